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
//! │       ├── _history/latest                  what the tag has been: a line of text for each time it was moved
//! │       ├── _referrers/sha256/<subject hex>/sha256-<hex> -> ../../../_manifests/sha256/<hex>
//! │       ├── _lost/sha256-<hex>               a manifest whose bytes are lost, if `registry verify --repair` found one
//! │       └── _lock, _turn                     empty; see below
//! ├── uploads/<id>/                            an upload session: the bytes so far and what is needed to go on
//! ├── quarantine/                              what `registry verify --repair` found to be wrong, if it did
//! └── lock, turn                               empty; see below
//! ```
//!
//! A hard link is a reference count: a file under `blobs/` with a link count of 1 belongs to no repository.
//! Nothing is kept in memory, so any number of processes may serve one root.
//!
//! Two kinds of locks (flock, so they hold between processes) keep what several do at once in order:
//!
//! - A **repository's** `_lock` is shared by those who give it something: for a blob the moment in which it gets
//!   its name, for a manifest from the check that all it refers to is there until its tag stands. It is exclusive
//!   for those who remove something or write on a condition. So what a manifest refers to cannot go while the
//!   manifest arrives, and a repository cannot go while something comes into it.
//! - The **root's** `lock` is shared by those who link a blob that is there already, and exclusive for the
//!   moment in which a blob that nobody links to any more is removed, or one that has rotten is replaced. It is
//!   never held while anything slow happens.
//!
//! Whoever takes both takes the repository's first. Who only reads takes none.
//!
//! A lock that is shared by many one after the other would never be anybody's alone. So who wants one waits behind
//! those who came before: at its turnstile, `_turn` or `turn`, which one holds for as long as one waits for the lock.
//!
//! A sweep removes repositories that hold nothing, and `_lock` with them. A lock on a file that has no name any
//! more keeps nobody out, so whoever has got a lock looks whether the name still leads to it (`lock`, below).
//!
//! Every path below the root is made in this file, from parsed names only.

pub mod blobs;
mod bound;
pub mod catalog;
pub mod compare;
pub mod disk;
mod hashing;
pub mod history;
pub mod leavings;
pub mod lost;
pub mod manifests;
pub mod mend;
pub mod referrers;
pub mod room;
pub mod spool;
pub mod sweep;
pub mod tags;
pub mod take_back;
pub mod totals;
pub mod uploads;
pub mod usage;
pub mod walk;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, PathError};
use crate::name::RepositoryName;
use crate::pattern::TagPatterns;
use crate::reference::{Tag, UploadId};

use disk::failed;

/// A registry's content below one folder. Cheap to make and to copy; holds the path, which tags never move, and how
/// what it brings is dated.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    immutable: TagPatterns,
    /// The time of what it brings, if that is to tell whether somebody has used it.
    unused: Option<usage::Unused>,
}

/// What a repository consists of, beside its locks and the repositories below it; what came last first.
const KINDS: [&str; 5] = ["_referrers", "_tags", "_manifests", "_blobs", "_lost"];

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
        let store = Self::at(root);
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
        let store = Self::at(root);
        match store.root.join("blobs").is_dir() {
            true => Ok(store),
            false => Err(format!(
                "there is no registry in {}: nothing was pushed here yet; `registry serve` makes it",
                root.display()
            )),
        }
    }

    fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), immutable: TagPatterns::default(), unused: None }
    }

    /// These tags neither move nor go once they are set.
    #[must_use]
    pub fn with_immutable(self, immutable: TagPatterns) -> Self {
        Self { immutable, ..self }
    }

    /// What comes by way of this one can be taken back: see [`Store::take_back`].
    #[must_use]
    pub fn to_take_back(self) -> Self {
        Self { unused: Some(usage::Unused::at(SystemTime::now())), ..self }
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

    /// The files that this process makes belong to the user to whom those below `root` belong that are there already.
    /// Where there is no registry yet, it goes by whose the folder is; only one of root's, into which others were let,
    /// says nothing.
    ///
    /// # Errors
    /// A sentence for who has typed `command`: they would be another user's. A server could not work with such files: a
    /// user may link to their own files only (proc(5), protected_hardlinks), and write into their own folders.
    pub fn require_owner(root: &Path, command: &str) -> Result<(), String> {
        match Self::other_owner(root).map_err(|error| error.log_text())? {
            None => Ok(()),
            Some((theirs, ours)) => Err(format!(
                "the registry's files belong to the user with the number {theirs}, and what `registry {command}` makes \
                 would belong to {ours}, which a server could not work with; run it as that user: \
                 sudo -u '#{theirs}' registry {command} …"
            )),
        }
    }

    /// The numbers of the two users, if they are not one.
    fn other_owner(root: &Path) -> Result<Option<(u32, u32)>, Error> {
        let owner = |path: &Path| Ok::<_, Error>(disk::metadata(path)?.map(|file| file.uid()));
        let theirs = match owner(&root.join("repositories"))? {
            None => owner(root)?.filter(|theirs| *theirs != 0),
            theirs => theirs,
        };
        if theirs.is_none() || owner(Path::new("/proc/self"))? == theirs {
            return Ok(None); // the usual case, for which no file need be made
        }
        let probe = root.join(format!(".probe-{}", UploadId::random()?));
        let ours = disk::create(&probe)?.metadata().map_err(failed("look up", &probe))?.uid();
        disk::remove(&probe)?;
        Ok(theirs.filter(|theirs| *theirs != ours).map(|theirs| (theirs, ours)))
    }

    /// Is `Name` the same file as `name` here? Then `v1` and `V1` are one tag, and the start should say so.
    pub fn folds_case(&self) -> bool {
        self.root.join("BLOBS").is_dir()
    }

    /// Does the repository hold anything, or did it?
    pub fn repository_exists(&self, name: &RepositoryName) -> bool {
        let folder = self.repository(name);
        KINDS.iter().any(|kind| folder.join(kind).is_dir())
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

    fn histories(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_history")
    }

    fn history(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.histories(name).join(tag.as_str())
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
        self.lock_names(File::lock_shared)
    }

    /// Exclusive: nobody links to a blob at this moment.
    fn own_names(&self) -> Result<Guard, Error> {
        self.lock_names(File::lock)
    }

    fn lock_names(&self, how: Lock) -> Result<Guard, Error> {
        let path = self.root.join("lock");
        let turn = self.root.join("turn");
        let gone = || failed("open", &path)(ErrorKind::NotFound.into()).into();
        lock(&path, &turn, how)?.ok_or_else(gone)
    }

    /// Shared, to bring something: nothing is removed from the repository. Makes it if it is not there.
    fn enter_repository(&self, name: &RepositoryName) -> Result<Guard, Error> {
        self.make_and_lock(name, File::lock_shared)
    }

    /// Exclusive, to bring something: nobody else brings a manifest or a tag, or removes anything. Makes the
    /// repository if it is not there.
    fn enter_repository_alone(&self, name: &RepositoryName) -> Result<Guard, Error> {
        self.make_and_lock(name, File::lock)
    }

    /// Exclusive, to remove something.
    ///
    /// # Errors
    /// [`Error::NameUnknown`] when the repository is not there (any more).
    fn own_repository(&self, name: &RepositoryName) -> Result<Guard, Error> {
        let guard = lock_repository(&self.repository(name), File::lock)?;
        guard.ok_or_else(|| Error::NameUnknown(name.clone()))
    }

    /// A sweep may take the folders away again as fast as they are made, as long as there is no lock. It does
    /// not do that many times in a row.
    fn make_and_lock(&self, name: &RepositoryName, how: Lock) -> Result<Guard, Error> {
        let folder = self.repository(name);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match disk::create_folder(&folder, &self.root) {
                Ok(()) => {
                    if let Some(guard) = lock_repository(&folder, how)? {
                        return Ok(guard);
                    }
                }
                Err(error) if attempts == ENTER_ATTEMPTS || !is_for_a_folder_gone(&error) => {
                    return Err(error.into());
                }
                Err(_) => {}
            }
        }
    }
}

/// How often a repository may vanish while somebody tries to get into it.
const ENTER_ATTEMPTS: usize = 1000;

/// A folder above it went, or one that was there a moment ago did.
fn is_for_a_folder_gone(error: &PathError) -> bool {
    matches!(error.source.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists)
}

/// One of the two ways to lock a file.
type Lock = fn(&File) -> io::Result<()>;

/// `None` if its folder is not there.
fn lock_repository(folder: &Path, how: Lock) -> Result<Option<Guard>, Error> {
    lock(&folder.join("_lock"), &folder.join("_turn"), how)
}

/// Locks a file, which is made if need be; `None` if its folder is not there. While we waited for the lock, the
/// file may have lost its name, and somebody else locked another under it: then we do as they did.
fn lock(path: &Path, turn: &Path, how: Lock) -> Result<Option<Guard>, Error> {
    loop {
        let turnstile = match disk::if_exists(disk::open_or_create(turn)) {
            Ok(None) => return Ok(None),
            Err(error) if error.is_for_lack_of_room() => None, // then the order is not fair; but one can delete
            turnstile => turnstile?,
        };
        if let Some(turnstile) = &turnstile {
            turnstile.lock().map_err(failed("lock", turn))?;
        }
        let Some(file) = disk::if_exists(disk::open_or_create(path))? else { return Ok(None) };
        how(&file).map_err(failed("lock", path))?;
        drop(turnstile);
        if compare::is_at(&file, path)? {
            return Ok(Some(Guard { _file: file }));
        }
    }
}
