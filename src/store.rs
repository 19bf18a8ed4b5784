//! The store: plain files that explain themselves.
//!
//! ```text
//! testdata/                                    the root
//! ├── blobs/
//! │   ├── sha256/<hex>                         every blob and every manifest, once, bytes exactly as pushed
//! │   └── sha512/<hex>
//! ├── repositories/
//! │   └── library/hello/                       a repository; names nest
//! │       ├── _blobs/sha256/<hex>              this repository may serve this blob:  a hard link to ../blobs/…
//! │       ├── _manifests/sha256/<hex>          this repository holds this manifest:  a hard link to ../blobs/…
//! │       ├── _tags/latest -> ../_manifests/sha256/<hex>
//! │       ├── _referrers/sha256/<subject hex>/sha256-<hex> -> ../../../_manifests/sha256/<hex>
//! │       └── _lock                            empty; see below
//! ├── uploads/<id>/                            an upload session: the bytes so far and what is needed to go on
//! └── lock                                     empty; see below
//! ```
//!
//! A hard link is a reference count: a file under `blobs/` with a link count of 1 belongs to no repository.
//! Nothing is kept in memory, so any number of processes may serve one root.
//!
//! Two kinds of locks (flock, so they hold between processes) keep what several do at once in order:
//!
//! - A **repository's** `_lock` is shared by those who write a manifest, from the check that all it refers to is
//!   there until its tag stands, and exclusive for those who remove something or write on a condition. So what
//!   a manifest refers to cannot go while the manifest arrives.
//! - The **root's** `lock` is shared by those who link a blob that is there already, and exclusive for the
//!   moment in which a blob that nobody links to any more is removed, or one that has rotten is replaced. It is
//!   never held while anything slow happens.
//!
//! Whoever takes both takes the repository's first.
//!
//! Every path below the root is made in this file, from parsed names only.

pub mod blobs;
pub mod catalog;
pub mod compare;
pub mod disk;
mod hashing;
pub mod manifests;
pub mod referrers;
pub mod spool;
pub mod tags;
pub mod uploads;
pub mod walk;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::name::RepositoryName;
use crate::reference::{Tag, UploadId};

use disk::failed;

/// A registry's content below one folder. Cheap to make; holds nothing but the path.
pub struct Store {
    root: PathBuf,
}

/// A lock, held until it is dropped.
#[must_use]
pub struct Guard {
    _file: File,
}

impl Store {
    /// Opens the store below `root`, and makes the folders if they are not there.
    ///
    /// # Errors
    /// A sentence for the one who starts the server: the folder cannot be written, or its file system lacks
    /// hard links, symbolic links or locks, on which the store is built.
    pub fn open(root: &Path) -> Result<Self, String> {
        let store = Self { root: root.to_owned() };
        store
            .prepare()
            .map_err(|error| format!("cannot use {} as root: {}", root.display(), error.log_text()))?;
        store.probe().map_err(|missing| {
            format!("cannot use {} as root: its file system has no {missing}", root.display())
        })?;
        Ok(store)
    }

    /// Opens a store that is there already, to look at it; makes and tries nothing.
    ///
    /// # Errors
    /// A sentence: there is none below `root`.
    pub fn existing(root: &Path) -> Result<Self, String> {
        let store = Self { root: root.to_owned() };
        match store.root.join("blobs").is_dir() {
            true => Ok(store),
            false => Err(format!(
                "there is no registry in {}: nothing was pushed here yet; `registry serve` makes it",
                root.display()
            )),
        }
    }

    fn prepare(&self) -> Result<(), Error> {
        disk::create_root(&self.root)?;
        for algorithm in Algorithm::ALL {
            self.create_folder(&self.blobs(algorithm))?;
        }
        self.create_folder(&self.root.join("repositories"))?;
        self.create_folder(&self.root.join("uploads"))?;
        self.share_names().map(drop)
    }

    /// Tries what the store is built on. The error names what is missing.
    fn probe(&self) -> Result<(), String> {
        let attempt = || -> Result<(), (&'static str, Error)> {
            let folder = self.upload(&UploadId::random().map_err(|e| ("random numbers", e))?);
            disk::create_plain_folder(&folder).map_err(|e| ("room for a folder", e.into()))?;
            let (file, hard, soft) = (folder.join("file"), folder.join("hard"), folder.join("soft"));
            let sealed = disk::create_with(&file, b"x").and_then(|open| disk::seal(&open, &file));
            let result = (sealed.map_err(|e| ("durable files", e.into())))
                .and_then(|()| match disk::link(&file, &hard) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(("hard links", error.into())),
                })
                .and_then(|()| disk::point(&soft, Path::new("file")).map_err(|e| ("symbolic links", e)));
            disk::remove_folder(&folder).map_err(|e| ("removing of folders", e.into()))?;
            result
        };
        match attempt() {
            // This says nothing of the file system, and a server is needed for somebody to delete something.
            Err((_, Error::Disk(error))) if error.is_for_lack_of_room() => Ok(()),
            result => result.map_err(|(missing, error)| format!("{missing} ({})", error.log_text())),
        }
    }

    /// Is `Name` the same file as `name` here? Then `v1` and `V1` are one tag, and the start should say so.
    pub fn folds_case(&self) -> bool {
        self.root.join("BLOBS").is_dir()
    }

    /// Does the repository hold anything, or did it?
    pub fn repository_exists(&self, name: &RepositoryName) -> bool {
        let folder = self.repository(name);
        ["_manifests", "_blobs", "_tags"].iter().any(|kind| folder.join(kind).is_dir())
    }

    /// Makes a folder below the root, durably.
    fn create_folder(&self, path: &Path) -> Result<(), Error> {
        Ok(disk::create_folder(path, &self.root)?)
    }

    // ---- paths

    fn blobs(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.as_str())
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs(digest.algorithm()).join(digest.hex())
    }

    fn repository(&self, name: &RepositoryName) -> PathBuf {
        self.root.join("repositories").join(name.as_str())
    }

    fn held_blob(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.repository(name).join("_blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    fn held_manifest(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.repository(name).join("_manifests").join(digest.algorithm().as_str()).join(digest.hex())
    }

    fn tags(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_tags")
    }

    fn tag(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tags(name).join(tag.as_str())
    }

    fn referrers_of(&self, name: &RepositoryName, subject: &Digest) -> PathBuf {
        self.repository(name).join("_referrers").join(subject.algorithm().as_str()).join(subject.hex())
    }

    fn upload(&self, id: &UploadId) -> PathBuf {
        self.root.join("uploads").join(id.as_str())
    }

    // ---- locks

    /// Shared: blobs that are there stay there.
    fn share_names(&self) -> Result<Guard, Error> {
        lock(&self.root.join("lock"), File::lock_shared)
    }

    /// Exclusive: nobody links to a blob at this moment.
    fn own_names(&self) -> Result<Guard, Error> {
        lock(&self.root.join("lock"), File::lock)
    }

    /// Shared: nothing is removed from the repository.
    fn share_repository(&self, name: &RepositoryName) -> Result<Guard, Error> {
        lock(&self.repository(name).join("_lock"), File::lock_shared)
    }

    /// Exclusive: nobody writes a manifest or a tag, or removes anything.
    fn own_repository(&self, name: &RepositoryName) -> Result<Guard, Error> {
        lock(&self.repository(name).join("_lock"), File::lock)
    }
}

fn lock(path: &Path, how: impl Fn(&File) -> io::Result<()>) -> Result<Guard, Error> {
    let file = disk::open_or_create(path)?;
    how(&file).map_err(failed("lock", path))?;
    Ok(Guard { _file: file })
}
