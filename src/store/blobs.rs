//! Blobs: bytes under the name that they give themselves, and which repository may serve them.
//!
//! Who sees what, when: a blob is in a repository from the moment its link under `_blobs` stands, whole and
//! with the right content. A reader that has opened it keeps it, whatever is removed meanwhile. Whoever was told
//! that it is there finds it for as long as the grace of a sweep lasts ([`usage`](super::usage)).

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Store;
use super::bound::Bound;
use super::compare;
use super::disk::{self, Linked};
use crate::digest::Digest;
use crate::error::{Error, PathError};
use crate::name::RepositoryName;
use crate::reference::UploadId;

/// A blob, open for reading.
pub struct Blob {
    /// The file, at its start.
    pub file: File,
    /// Its length in bytes.
    pub size: u64,
}

impl Store {
    /// Opens a blob that the repository holds.
    ///
    /// # Errors
    /// [`Error::BlobUnknown`] or [`Error::NameUnknown`].
    pub fn open_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Blob, Error> {
        let opened = self.open_to_tell(&self.held_blob(name, digest))?;
        let (file, metadata) = opened.ok_or_else(|| self.no_blob(name, digest))?;
        Ok(Blob { file, size: metadata.len() })
    }

    /// Gives a blob that the repository holds one more name, `path`, which lies outside of the store. The bytes are
    /// then in use as long as that name stands: when the last repository lets go of them, their name under `blobs/`
    /// stays, since the link count does not tell whose names there are.
    pub fn link_blob_to(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        path: &Path,
    ) -> Result<Linked, PathError> {
        disk::link(&self.held_blob(name, digest), path)
    }

    /// Does the repository hold this blob?
    pub fn has_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
        Ok(disk::is_file(&self.held_blob(name, digest))?)
    }

    /// Are these bytes here, whoever holds them?
    pub fn has_bytes(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(disk::metadata(&self.blob(digest))?.is_some())
    }

    /// Gives `name` a blob of another repository, or of whichever has it, without moving a byte. Says whether
    /// there was one.
    pub fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool, Error> {
        let is_here = self.has_blob(name, digest)?;
        let is_there = match from {
            Some(from) => self.has_blob(from, digest)?,
            None => self.has_bytes(digest)?,
        };
        if !is_here && !is_there {
            return Ok(false); // so that a refusal leaves not even a folder behind
        }
        let _repository = self.enter_repository(name)?;
        let held = self.held_blob(name, digest);
        if self.has_blob(name, digest)? {
            sync_folder_of(&held)?; // it may have come a moment ago, by somebody who has not synced yet
            self.note_brought(&held)?;
            return Ok(true);
        }
        self.hold(digest, &held)
    }

    /// Takes a blob from a repository. When it was the last one to hold it, the bytes go too.
    ///
    /// # Errors
    /// [`Error::BlobUnknown`] or [`Error::NameUnknown`]; [`Error::TagNeeds`].
    pub fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        let path = self.held_blob(name, digest);
        if !self.has_blob(name, digest)? {
            return Err(self.no_blob(name, digest));
        }
        let mut bound = Bound::default();
        self.read_bound(name, &mut bound)?;
        let _repository = self.own_repository(name)?;
        self.read_bound(name, &mut bound)?;
        bound.require_free(digest)?;
        if !self.has_blob(name, digest)? {
            return Err(self.no_blob(name, digest)); // somebody was faster
        }
        self.let_go(digest, &path).map(drop)
    }

    fn no_blob(&self, name: &RepositoryName, digest: &Digest) -> Error {
        if self.repository_exists(name) {
            Error::BlobUnknown(digest.clone())
        } else {
            Error::NameUnknown(name.clone())
        }
    }

    // ---- what blobs and manifests share

    /// Brings sealed bytes, at `source`, under `blobs/` and under `held`, the name in a repository. Bytes first,
    /// name last: either name may be missing after a crash, but not the first while the second is there. The
    /// repository's lock is the caller's; or it is that of `into`, and taken for the moment of the second name, not
    /// while large files are compared.
    pub(super) fn admit(
        &self,
        source: &Path,
        digest: &Digest,
        held: &Path,
        into: Option<&RepositoryName>,
    ) -> Result<(), Error> {
        let dated = self.date_brought(source);
        let admitted = dated.and_then(|()| self.name_twice(source, digest, held, into));
        if admitted.is_err() {
            let _ = self.withdraw(source, digest);
        }
        admitted
    }

    fn name_twice(
        &self,
        source: &Path,
        digest: &Digest,
        held: &Path,
        into: Option<&RepositoryName>,
    ) -> Result<(), Error> {
        let blob = self.blob(digest);
        let enter = || {
            let repository = into.map(|name| self.enter_repository(name)).transpose()?;
            self.create_folder(parent(held)).map(|()| repository)
        };
        drop(enter()?); // folders first; a sweep may take them away again while we compare
        loop {
            let named = {
                let _names = self.share_names()?;
                disk::link(source, &blob)?
            };
            if named == Linked::Taken {
                self.mend(source, &blob)?;
            }
            let _repository = enter()?;
            match self.link_named(&blob, held)? {
                Linked::Done | Linked::Taken => {
                    self.note_brought(held)?; // the bytes may be those of somebody who pushed them long ago
                    return Ok(sync_folder_of(held)?);
                }
                // The bytes that were there have all the links they can have; ours take their place.
                Linked::TooMany => disk::rename(source, &blob)?,
                // They were another push's, and released between the two steps: now it is ours that count.
                Linked::NoSource if named != Linked::NoSource => {}
                Linked::NoSource => return Err(missing(source)),
            }
        }
    }

    /// What is under `blobs/` already is not taken on trust: if it has rotten, bytes that are known to be right
    /// take its place. Other repositories may hold the rotten file still, until somebody pushes there.
    fn mend(&self, source: &Path, blob: &Path) -> Result<(), Error> {
        loop {
            let found = disk::open(blob)?;
            if let Some(found) = &found
                && (compare::is_at(found, source)? || compare::same_bytes(found, source)?)
            {
                return Ok(());
            }
            let _names = self.own_names()?;
            let is_still_there = match &found {
                Some(found) => compare::is_at(found, blob)?,
                None => disk::open(blob)?.is_none(),
            };
            if is_still_there {
                return match self.link_over(source, blob)? {
                    Linked::Done | Linked::Taken => Ok(()),
                    Linked::NoSource | Linked::TooMany => Err(missing(source)),
                };
            }
        }
    }

    /// Links `held` to bytes that are under `blobs/` already. Says whether they were. The repository's lock is the
    /// caller's.
    pub(super) fn hold(&self, digest: &Digest, held: &Path) -> Result<bool, Error> {
        let blob = self.blob(digest);
        if disk::metadata(&blob)?.is_none() {
            return Ok(false);
        }
        self.create_folder(parent(held))?;
        loop {
            match self.link_named(&blob, held)? {
                Linked::Done | Linked::Taken => break,
                Linked::NoSource => return Ok(false),
                Linked::TooMany => disk::replace_by_copy(&blob, &self.upload(&UploadId::random()?))?,
            }
        }
        self.note_brought(held)?;
        sync_folder_of(held)?;
        Ok(true)
    }

    /// Links `held` to the bytes under `blobs/`, once their name there is on disk: who gave it to them may not
    /// have synced it yet. If `held` is another file, it may be one that has rotten, and gives way.
    fn link_named(&self, blob: &Path, held: &Path) -> Result<Linked, Error> {
        loop {
            let Some(file) = disk::open(blob)? else { return Ok(Linked::NoSource) };
            sync_folder_of(blob)?;
            let _names = self.share_names()?;
            if compare::is_at(&file, blob)? {
                return match disk::link(blob, held)? {
                    Linked::Taken if compare::same(blob, held)? != Some(true) => self.link_over(blob, held),
                    linked => Ok(linked),
                };
            }
        }
    }

    /// Puts a link to `source` in the place of another file.
    pub(super) fn link_over(&self, source: &Path, name: &Path) -> Result<Linked, Error> {
        let aside = self.upload(&UploadId::random()?);
        let linked = disk::link(source, &aside)?;
        if linked == Linked::Done {
            let moved = disk::rename(&aside, name);
            // Whoever did the same a moment ago has left us nothing to move (rename(2): two links to one file).
            let removed = disk::remove(&aside);
            moved.and(removed)?;
        }
        Ok(linked)
    }

    /// Takes a name from a repository, durably, and the bytes with it when it was the last. The repository's lock
    /// is the caller's. Returns how many bytes went.
    ///
    /// Until it is certain that no loss of power brings the name back, the bytes count as held, so that nobody
    /// else takes them: the name is moved aside first.
    pub(super) fn let_go(&self, digest: &Digest, held: &Path) -> Result<Freed, Error> {
        let aside = [self.move_aside(digest, held)?];
        self.settle_aside(&aside)?;
        let [aside] = aside;
        self.let_go_of(aside)
    }

    /// Moves a name aside if it may go by what its file says, looks whether somebody was told of it a moment ago,
    /// and brings it back then. It looks at an open file: to open one on NFS is to ask the server for its time, which by
    /// its name may be an old one. The repository's lock is the caller's.
    pub(super) fn take_aside(
        &self,
        digest: &Digest,
        held: &Path,
        may_go: &dyn Fn(&Metadata) -> bool,
    ) -> Result<Option<Aside>, Error> {
        let may_go = |path: &Path| -> Result<Option<bool>, Error> {
            Ok(disk::open_file(path)?.map(|(_, file)| may_go(&file)))
        };
        if may_go(held)? != Some(true) {
            return Ok(None);
        }
        let aside = self.move_aside(digest, held)?;
        let still = match may_go(&aside.path) {
            Ok(None) => may_go(&self.blob(digest)), // it could not be moved, and was removed
            seen => seen,
        };
        match still {
            Ok(Some(true) | None) => Ok(Some(aside)),
            still => {
                self.put_back(&aside);
                still.map(|_| None)
            }
        }
    }

    /// The first step of letting go.
    pub(super) fn move_aside(&self, digest: &Digest, held: &Path) -> Result<Aside, Error> {
        let path = self.upload(&UploadId::random()?);
        if disk::rename(held, &path).is_err() {
            disk::remove(held)?; // the disk has no room for one more name, perhaps; this makes some
        }
        Ok(Aside { digest: digest.clone(), held: held.to_owned(), path })
    }

    /// The second: no loss of power brings the names back. When that is not certain, they come back at once.
    pub(super) fn settle_aside(&self, asides: &[Aside]) -> Result<(), Error> {
        let folders: BTreeSet<&Path> = asides.iter().map(|aside| parent(&aside.held)).collect();
        let synced = folders.into_iter().try_for_each(disk::sync_folder);
        if synced.is_err() {
            asides.iter().for_each(|aside| self.put_back(aside));
        }
        Ok(synced?)
    }

    /// The last, for which nobody needs the repository's lock: the bytes go, if this was their last name.
    pub(super) fn let_go_of(&self, aside: Aside) -> Result<Freed, Error> {
        disk::remove(&aside.path)?;
        self.release(&aside.digest)
    }

    /// Gives a name back that was moved aside. The repository's lock is the caller's.
    pub(super) fn put_back(&self, aside: &Aside) {
        if disk::rename(&aside.path, &aside.held).is_ok() {
            let _ = disk::remove(&aside.path); // it is still there if the name has come again meanwhile
        } else {
            let _ = disk::link(&self.blob(&aside.digest), &aside.held); // it could not be moved, and was removed
        }
    }

    /// Takes the name under `blobs/` back from bytes that have no other but `source`.
    fn withdraw(&self, source: &Path, digest: &Digest) -> Result<(), Error> {
        let blob = self.blob(digest);
        let _names = self.own_names()?;
        if compare::same(source, &blob)? == Some(true)
            && disk::metadata(&blob)?.is_some_and(|metadata| metadata.nlink() == 2)
        {
            disk::remove(&blob)?;
        }
        Ok(())
    }

    /// Removes bytes that no repository holds any more. Of many that takes a while, for which they lie elsewhere:
    /// nobody can link to anything while the lock is ours.
    pub(super) fn release(&self, digest: &Digest) -> Result<Freed, Error> {
        let blob = self.blob(digest);
        let (unheld, aside) = {
            let _names = self.own_names()?;
            match disk::metadata(&blob)?.filter(|metadata| metadata.nlink() == 1) {
                Some(unheld) => (unheld, self.move_aside(digest, &blob)?),
                None => return Ok(Freed(None)),
            }
        };
        disk::remove(&aside.path)?;
        Ok(Freed(Some(unheld.len())))
    }

    /// Are there bytes under `blobs/` that have no other name?
    pub(super) fn is_unheld(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(disk::metadata(&self.blob(digest))?.is_some_and(|metadata| metadata.nlink() == 1))
    }
}

/// A name that was taken from a repository and is not forgotten yet.
pub(super) struct Aside {
    digest: Digest,
    held: PathBuf,
    /// Where the bytes lie meanwhile, unless there was no room for that.
    pub path: PathBuf,
}

/// How many bytes went; `None` when somebody else holds them.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freed(pub Option<u64>);

fn missing(path: &Path) -> Error {
    disk::failed("link", path)(io::ErrorKind::NotFound.into()).into()
}

pub(super) fn sync_folder_of(path: &Path) -> Result<(), PathError> {
    disk::sync_folder(parent(path))
}

/// The folder that a name is in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
