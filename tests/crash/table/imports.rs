//! The steps of an import: those of the pushes that it consists of, with content dated before it gets its names, so
//! that it can be taken back; a manifest is written first and tagged last.

/// As [`TABLE`](super::TABLE).
pub const IMPORTS: &[(&str, &str)] = &[
    (
        "import a layout",
        "
        create folder  repositories/a
        sync folder    repositories
        sync folder    repositories/a/_blobs/sha256
        create folder  uploads/<id>
        create file    uploads/<id>/session.json
        write          uploads/<id>/session.json
        create file    uploads/<id>/data
        write          uploads/<id>/data
        make read-only uploads/<id>/data
        sync file      uploads/<id>/data
        renew          uploads/<id>/data
        create folder  repositories/a/_blobs
        sync folder    repositories/a
        create folder  repositories/a/_blobs/sha256
        sync folder    repositories/a/_blobs
        link           blobs/sha256/layer
        sync folder    blobs/sha256
        link           repositories/a/_blobs/sha256/layer
        sync folder    repositories/a/_blobs/sha256
        rename         uploads/<id>/data to uploads/<id>
        remove folder  uploads/<id>
        remove         uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        create file    uploads/<id>
        write          uploads/<id>
        make read-only uploads/<id>
        sync file      uploads/<id>
        renew          uploads/<id>
        create folder  repositories/a/_manifests
        sync folder    repositories/a
        create folder  repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests
        link           blobs/sha256/image
        sync folder    blobs/sha256
        link           repositories/a/_manifests/sha256/image
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        sync folder    repositories/a/_manifests/sha256
        create folder  repositories/a/_tags
        sync folder    repositories/a
        create folder  repositories/a/_history
        create file    repositories/a/_history/v1
        symlink        repositories/a/_tags/.new-<id>
        rename         repositories/a/_tags/.new-<id> to repositories/a/_tags/v1
        write          repositories/a/_history/v1
        create file    repositories/a/_history/v2
        symlink        repositories/a/_tags/.new-<id>
        rename         repositories/a/_tags/.new-<id> to repositories/a/_tags/v2
        write          repositories/a/_history/v2
        sync folder    repositories/a/_tags",
    ),
    (
        "import a layout whose blobs another repository has",
        "
        create folder  repositories/a
        sync folder    repositories
        create folder  repositories/a/_blobs
        sync folder    repositories/a
        create folder  repositories/a/_blobs/sha256
        sync folder    repositories/a/_blobs
        sync folder    blobs/sha256
        link           repositories/a/_blobs/sha256/config
        sync folder    repositories/a/_blobs/sha256
        sync folder    blobs/sha256
        link           repositories/a/_blobs/sha256/layer
        sync folder    repositories/a/_blobs/sha256
        create file    uploads/<id>
        write          uploads/<id>
        make read-only uploads/<id>
        sync file      uploads/<id>
        renew          uploads/<id>
        create folder  repositories/a/_manifests
        sync folder    repositories/a
        create folder  repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests
        link           blobs/sha256/image
        sync folder    blobs/sha256
        link           repositories/a/_manifests/sha256/image
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        sync folder    repositories/a/_manifests/sha256
        create folder  repositories/a/_tags
        sync folder    repositories/a
        create folder  repositories/a/_history
        create file    repositories/a/_history/v1
        symlink        repositories/a/_tags/.new-<id>
        rename         repositories/a/_tags/.new-<id> to repositories/a/_tags/v1
        write          repositories/a/_history/v1
        sync folder    repositories/a/_tags",
    ),
    (
        "import a layout that moves a tag",
        "
        create folder  repositories/a
        sync folder    repositories
        sync folder    repositories/a/_blobs/sha256
        create file    uploads/<id>
        write          uploads/<id>
        make read-only uploads/<id>
        sync file      uploads/<id>
        renew          uploads/<id>
        create folder  repositories/a/_manifests
        sync folder    repositories/a
        create folder  repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests
        link           blobs/sha256/next
        sync folder    blobs/sha256
        link           repositories/a/_manifests/sha256/next
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        sync folder    repositories/a/_manifests/sha256
        create folder  repositories/a/_tags
        sync folder    repositories/a
        symlink        repositories/a/_tags/.new-<id>
        rename         repositories/a/_tags/.new-<id> to repositories/a/_tags/v1
        write          repositories/a/_history/v1
        sync folder    repositories/a/_tags",
    ),
    (
        "import a signature",
        "
        create folder  repositories/a
        sync folder    repositories
        sync folder    repositories/a/_blobs/sha256
        create folder  repositories/a/_referrers
        sync folder    repositories/a
        create folder  repositories/a/_referrers/sha256
        sync folder    repositories/a/_referrers
        create folder  repositories/a/_referrers/sha256/image
        sync folder    repositories/a/_referrers/sha256
        symlink        repositories/a/_referrers/sha256/image/.new-<id>
        rename         repositories/a/_referrers/sha256/image/.new-<id> to repositories/a/_referrers/sha256/image/sha256-signature
        sync folder    repositories/a/_referrers/sha256/image
        create file    uploads/<id>
        write          uploads/<id>
        make read-only uploads/<id>
        sync file      uploads/<id>
        renew          uploads/<id>
        create folder  repositories/a/_manifests
        sync folder    repositories/a
        create folder  repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests
        link           blobs/sha256/signature
        sync folder    blobs/sha256
        link           repositories/a/_manifests/sha256/signature
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        symlink        repositories/a/_referrers/sha256/image/.new-<id>
        rename         repositories/a/_referrers/sha256/image/.new-<id> to repositories/a/_referrers/sha256/image/sha256-signature
        sync folder    repositories/a/_referrers/sha256/image
        sync folder    repositories/a/_manifests/sha256
        create folder  repositories/a/_tags
        sync folder    repositories/a
        create file    repositories/a/_history/s1
        symlink        repositories/a/_tags/.new-<id>
        rename         repositories/a/_tags/.new-<id> to repositories/a/_tags/s1
        write          repositories/a/_history/s1
        sync folder    repositories/a/_tags",
    ),
];
