//! The steps of sweeps, and of what keeps things from them. What is nobody's any more goes after the names that led
//! to it, and a folder after what was in it.

/// As [`TABLE`](super::TABLE).
pub const SWEEPS: &[(&str, &str)] = &[
    (
        "ask for an old blob",
        "
        renew          repositories/a/_blobs/sha256/layer",
    ),
    (
        "push an old blob again",
        "
        create folder  uploads/<id>
        create file    uploads/<id>/session.json
        write          uploads/<id>/session.json
        create file    uploads/<id>/data
        write          uploads/<id>/data
        make read-only uploads/<id>/data
        sync file      uploads/<id>/data
        create folder  repositories/a
        sync folder    repositories
        create folder  repositories/a/_blobs
        sync folder    repositories/a
        create folder  repositories/a/_blobs/sha256
        sync folder    repositories/a/_blobs
        link           blobs/sha256/layer
        sync folder    blobs/sha256
        link           repositories/a/_blobs/sha256/layer
        renew          repositories/a/_blobs/sha256/layer
        sync folder    repositories/a/_blobs/sha256
        rename         uploads/<id>/data to uploads/<id>
        remove folder  uploads/<id>
        remove         uploads/<id>",
    ),
    (
        "sweep two stray blobs, one of which another repository has",
        "
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        rename         repositories/a/_blobs/sha256/patch to uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        remove         uploads/<id>
        sync folder    repositories/b/_manifests/sha256
        sync folder    repositories/b/_manifests/sha512
        sync folder    repositories/b/_tags
        rename         repositories/b/_blobs/sha256/layer to uploads/<id>
        sync folder    repositories/b/_blobs/sha256
        remove         uploads/<id>",
    ),
    (
        "sweep a repository that is empty then",
        "
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        rename         repositories/a/_blobs/sha256/layer to uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        remove         uploads/<id>
        rename         blobs/sha256/layer to uploads/<id>
        remove         uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        remove folder  repositories/a/_blobs/sha256
        remove folder  repositories/a/_blobs
        remove folder  repositories/a/_history
        rename         repositories/a/_lock to uploads/<id>
        remove         repositories/a/_turn
        remove folder  repositories/a
        remove         uploads/<id>",
    ),
    (
        "sweep an untagged index and its child",
        "
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        rename         repositories/a/_manifests/sha256/index to uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        rename         blobs/sha256/index to uploads/<id>
        remove         uploads/<id>
        rename         repositories/a/_manifests/sha256/image to uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        rename         blobs/sha256/image to uploads/<id>
        remove         uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        rename         repositories/a/_blobs/sha256/config to uploads/<id>
        rename         repositories/a/_blobs/sha256/layer to uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        remove         uploads/<id>
        rename         blobs/sha256/config to uploads/<id>
        remove         uploads/<id>
        rename         blobs/sha256/layer to uploads/<id>
        remove         uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        remove folder  repositories/a/_manifests/sha256
        remove folder  repositories/a/_manifests
        remove folder  repositories/a/_blobs/sha256
        remove folder  repositories/a/_blobs
        remove folder  repositories/a/_history
        rename         repositories/a/_lock to uploads/<id>
        remove         repositories/a/_turn
        remove folder  repositories/a
        remove         uploads/<id>",
    ),
    (
        "sweep an untagged signature",
        "
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        rename         repositories/a/_manifests/sha256/signature to uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        rename         blobs/sha256/signature to uploads/<id>
        remove         repositories/a/_referrers/sha256/image/sha256-signature
        remove         uploads/<id>
        sync folder    repositories/a/_referrers/sha256/image
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        rename         repositories/a/_blobs/sha256/config to uploads/<id>
        rename         repositories/a/_blobs/sha256/layer to uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        remove         uploads/<id>
        rename         blobs/sha256/config to uploads/<id>
        remove         uploads/<id>
        rename         blobs/sha256/layer to uploads/<id>
        remove         uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        remove folder  repositories/a/_referrers/sha256/image
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        remove folder  repositories/a/_referrers/sha256
        remove folder  repositories/a/_referrers
        remove folder  repositories/a/_tags
        remove folder  repositories/a/_manifests/sha256
        remove folder  repositories/a/_manifests
        remove folder  repositories/a/_blobs/sha256
        remove folder  repositories/a/_blobs
        remove folder  repositories/a/_history
        rename         repositories/a/_lock to uploads/<id>
        remove         repositories/a/_turn
        remove folder  repositories/a
        remove         uploads/<id>",
    ),
    (
        "sweep the history of a tag that is gone with what it was",
        "
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        remove folder  repositories/a/_referrers/sha256/image
        sync folder    repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests/sha512
        sync folder    repositories/a/_tags
        remove         repositories/a/_history/v1",
    ),
    (
        "sweep an upload session",
        "
        rename         uploads/<id>/data to uploads/<id>
        remove folder  uploads/<id>
        remove         uploads/<id>",
    ),
];
