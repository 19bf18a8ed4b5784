//! The steps of every operation, in their order: bytes first, name last.
//!
//! A folder is synced before anything in it is relied on, and once by each process, whoever made it; so these
//! tables, each of which is that of a fresh process, begin with folders where a server at work has none. What a
//! body is written in is one step here; removals that follow each other are sorted.

mod imports;
mod sweeps;

/// The steps of an operation, by its name.
pub fn entry(name: &str) -> Option<&'static str> {
    let tables = TABLE.iter().chain(sweeps::SWEEPS).chain(imports::IMPORTS);
    tables.into_iter().find(|(known, _)| *known == name).map(|(_, steps)| *steps)
}

const TABLE: &[(&str, &str)] = &[
    (
        "push a blob",
        "
        create folder  uploads/<id>
        create file    uploads/<id>/session.json
        write          uploads/<id>/session.json
        create file    uploads/<id>/data
        write          uploads/<id>/data
        sync file      uploads/<id>/data
        create file    uploads/<id>/.new-<id>
        write          uploads/<id>/.new-<id>
        rename         uploads/<id>/.new-<id> to uploads/<id>/hash.json
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
        sync folder    repositories/a/_blobs/sha256
        rename         uploads/<id>/data to uploads/<id>
        remove folder  uploads/<id>
        remove         uploads/<id>",
    ),
    (
        "push a blob at once",
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
        sync folder    repositories/a/_blobs/sha256
        rename         uploads/<id>/data to uploads/<id>
        remove folder  uploads/<id>
        remove         uploads/<id>",
    ),
    (
        "push a blob that another repository has",
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
        sync folder    repositories/a/_blobs/sha256
        rename         uploads/<id>/data to uploads/<id>
        remove folder  uploads/<id>
        remove         uploads/<id>",
    ),
    (
        "mount a blob",
        "
        create folder  repositories/a
        sync folder    repositories
        create folder  repositories/a/_blobs
        sync folder    repositories/a
        create folder  repositories/a/_blobs/sha256
        sync folder    repositories/a/_blobs
        sync folder    blobs/sha256
        link           repositories/a/_blobs/sha256/layer
        sync folder    repositories/a/_blobs/sha256",
    ),
    (
        "push over a blob that has rotten",
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
        link           uploads/<id>
        rename         uploads/<id> to blobs/sha256/layer
        remove         uploads/<id>
        sync folder    blobs/sha256
        link           repositories/a/_blobs/sha256/layer
        link           uploads/<id>
        rename         uploads/<id> to repositories/a/_blobs/sha256/layer
        remove         uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        rename         uploads/<id>/data to uploads/<id>
        remove folder  uploads/<id>
        remove         uploads/<id>",
    ),
    (
        "begin an upload",
        "
        create folder  uploads/<id>
        create file    uploads/<id>/session.json
        write          uploads/<id>/session.json
        create file    uploads/<id>/data
        write          uploads/<id>/data
        sync file      uploads/<id>/data
        create file    uploads/<id>/.new-<id>
        write          uploads/<id>/.new-<id>
        rename         uploads/<id>/.new-<id> to uploads/<id>/hash.json",
    ),
    (
        "finish another process's upload",
        "
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
        sync folder    repositories/a/_blobs/sha256
        rename         uploads/<id>/data to uploads/<id>
        remove folder  uploads/<id>
        remove         uploads/<id>",
    ),
    (
        "cancel an upload",
        "
        rename         uploads/<id>/data to uploads/<id>
        remove folder  uploads/<id>
        remove         uploads/<id>",
    ),
    (
        "push a manifest with tags",
        "
        create folder  repositories/a
        sync folder    repositories
        sync folder    repositories/a/_blobs/sha256
        create file    uploads/<id>
        write          uploads/<id>
        make read-only uploads/<id>
        sync file      uploads/<id>
        create folder  repositories/a/_manifests
        sync folder    repositories/a
        create folder  repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests
        link           blobs/sha256/image
        sync folder    blobs/sha256
        link           repositories/a/_manifests/sha256/image
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
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
        "push a manifest with a subject",
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
        create folder  repositories/a/_manifests
        sync folder    repositories/a
        create folder  repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests
        link           blobs/sha256/signature
        sync folder    blobs/sha256
        link           repositories/a/_manifests/sha256/signature
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        create folder  repositories/a/_tags
        sync folder    repositories/a
        create file    repositories/a/_history/s1
        symlink        repositories/a/_tags/.new-<id>
        rename         repositories/a/_tags/.new-<id> to repositories/a/_tags/s1
        write          repositories/a/_history/s1
        sync folder    repositories/a/_tags",
    ),
    (
        "move a tag to a new manifest",
        "
        create folder  repositories/a
        sync folder    repositories
        sync folder    repositories/a/_blobs/sha256
        create file    uploads/<id>
        write          uploads/<id>
        make read-only uploads/<id>
        sync file      uploads/<id>
        create folder  repositories/a/_manifests
        sync folder    repositories/a
        create folder  repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests
        link           blobs/sha256/next
        sync folder    blobs/sha256
        link           repositories/a/_manifests/sha256/next
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        create folder  repositories/a/_tags
        sync folder    repositories/a
        symlink        repositories/a/_tags/.new-<id>
        rename         repositories/a/_tags/.new-<id> to repositories/a/_tags/v1
        write          repositories/a/_history/v1
        sync folder    repositories/a/_tags",
    ),
    (
        "set a tag again",
        "
        create folder  repositories/a
        sync folder    repositories
        sync folder    repositories/a/_blobs/sha256
        sync folder    repositories/a/_manifests/sha256
        create folder  repositories/a/_tags
        sync folder    repositories/a
        symlink        repositories/a/_tags/.new-<id>
        rename         repositories/a/_tags/.new-<id> to repositories/a/_tags/v1
        sync folder    repositories/a/_tags",
    ),
    (
        "push over a manifest that has rotten",
        "
        create folder  repositories/a
        sync folder    repositories
        sync folder    repositories/a/_blobs/sha256
        create file    uploads/<id>
        write          uploads/<id>
        make read-only uploads/<id>
        sync file      uploads/<id>
        create folder  repositories/a/_manifests
        sync folder    repositories/a
        create folder  repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests
        link           blobs/sha256/image
        link           uploads/<id>
        rename         uploads/<id> to blobs/sha256/image
        remove         uploads/<id>
        sync folder    blobs/sha256
        link           repositories/a/_manifests/sha256/image
        link           uploads/<id>
        rename         uploads/<id> to repositories/a/_manifests/sha256/image
        remove         uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
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
        "push a manifest that is lost",
        "
        create folder  repositories/a
        sync folder    repositories
        sync folder    repositories/a/_blobs/sha256
        create file    uploads/<id>
        write          uploads/<id>
        make read-only uploads/<id>
        sync file      uploads/<id>
        create folder  repositories/a/_manifests
        sync folder    repositories/a
        create folder  repositories/a/_manifests/sha256
        sync folder    repositories/a/_manifests
        link           blobs/sha256/image
        sync folder    blobs/sha256
        link           repositories/a/_manifests/sha256/image
        sync folder    repositories/a/_manifests/sha256
        remove         repositories/a/_lost/sha256-image
        remove         uploads/<id>
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
        "delete a tag",
        "
        remove         repositories/a/_tags/v1
        write          repositories/a/_history/v1
        sync folder    repositories/a/_tags",
    ),
    (
        "delete a manifest with tags",
        "
        remove         repositories/a/_tags/v1
        write          repositories/a/_history/v1
        remove         repositories/a/_tags/v2
        write          repositories/a/_history/v2
        sync folder    repositories/a/_tags
        rename         repositories/a/_manifests/sha256/image to uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        rename         blobs/sha256/image to uploads/<id>
        remove         uploads/<id>",
    ),
    (
        "delete a manifest with a subject and tags",
        "
        remove         repositories/a/_tags/s1
        write          repositories/a/_history/s1
        remove         repositories/a/_tags/s2
        write          repositories/a/_history/s2
        sync folder    repositories/a/_tags
        rename         repositories/a/_manifests/sha256/signature to uploads/<id>
        sync folder    repositories/a/_manifests/sha256
        remove         uploads/<id>
        rename         blobs/sha256/signature to uploads/<id>
        remove         repositories/a/_referrers/sha256/image/sha256-signature
        remove         uploads/<id>
        sync folder    repositories/a/_referrers/sha256/image",
    ),
    (
        "delete a blob",
        "
        rename         repositories/a/_blobs/sha256/layer to uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        remove         uploads/<id>
        rename         blobs/sha256/layer to uploads/<id>
        remove         uploads/<id>",
    ),
    (
        "delete a blob that another repository has",
        "
        rename         repositories/a/_blobs/sha256/layer to uploads/<id>
        sync folder    repositories/a/_blobs/sha256
        remove         uploads/<id>",
    ),
];
