//! Blobs: bytes under the name that they give themselves, and which repository may serve them.
//!
//! Who sees what, when: a blob is in a repository from the moment its link under `_blobs` stands, whole and
//! with the right content. A reader that has opened it keeps it, whatever is removed meanwhile.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Store;
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
        let path = self.held_blob(name, digest);
        let file = disk::open(&path)?.ok_or_else(|| self.no_blob(name, digest))?;
        let size = file.metadata().map_err(disk::failed("look up", &path))?.len();
        Ok(Blob { file, size })
    }

    /// Does the repository hold this blob?
    pub fn has_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
        Ok(disk::is_file(&self.held_blob(name, digest))?)
    }

    /// Gives `name` a blob of another repository, or of whichever has it, without moving a byte. Says whether
    /// there was one.
    pub fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool, Error> {
        let held = self.held_blob(name, digest);
        if self.has_blob(name, digest)? {
            sync_folder_of(&held)?; // it may have come a moment ago, by somebody who has not synced yet
            return Ok(true);
        }
        if let Some(from) = from
            && !self.has_blob(from, digest)?
        {
            return Ok(false);
        }
        self.hold(digest, &held)
    }

    /// Takes a blob from a repository. When it was the last one to hold it, the bytes go too.
    ///
    /// # Errors
    /// [`Error::BlobUnknown`] or [`Error::NameUnknown`].
    pub fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        let path = self.held_blob(name, digest);
        if !self.has_blob(name, digest)? {
            return Err(self.no_blob(name, digest));
        }
        let _repository = self.own_repository(name)?;
        if !self.has_blob(name, digest)? {
            return Err(self.no_blob(name, digest)); // somebody was faster
        }
        self.let_go(digest, &path)
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
    /// name last: either name may be missing after a crash, but not the first while the second is there.
    pub(super) fn admit(&self, source: &Path, digest: &Digest, held: &Path) -> Result<(), Error> {
        let admitted = self.name_twice(source, digest, held);
        if admitted.is_err() {
            let _ = self.withdraw(source, digest);
        }
        admitted
    }

    fn name_twice(&self, source: &Path, digest: &Digest, held: &Path) -> Result<(), Error> {
        let blob = self.blob(digest);
        self.create_folder(parent(held))?;
        loop {
            let named = {
                let _names = self.share_names()?;
                disk::link(source, &blob)?
            };
            if named == Linked::Taken {
                self.mend(source, &blob)?;
            }
            match self.link_named(&blob, held)? {
                Linked::Done | Linked::Taken => break,
                // The bytes that were there have all the links they can have; ours take their place.
                Linked::TooMany => disk::rename(source, &blob)?,
                // They were another push's, and released between the two steps: now it is ours that count.
                Linked::NoSource if named != Linked::NoSource => {}
                Linked::NoSource => return Err(missing(source)),
            }
        }
        Ok(sync_folder_of(held)?)
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

    /// Links `held` to bytes that are under `blobs/` already. Says whether they were.
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
    fn link_over(&self, source: &Path, name: &Path) -> Result<Linked, Error> {
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
    /// is the caller's.
    ///
    /// Until it is certain that no loss of power brings the name back, the bytes count as held, so that nobody
    /// else takes them: the name is moved aside first.
    pub(super) fn let_go(&self, digest: &Digest, held: &Path) -> Result<(), Error> {
        let aside = self.upload(&UploadId::random()?);
        if disk::rename(held, &aside).is_err() {
            disk::remove(held)?; // the disk has no room for one more name, perhaps; this makes some
        }
        if let Err(error) = sync_folder_of(held) {
            if disk::rename(&aside, held).is_ok() {
                let _ = disk::remove(&aside); // it is still there if the name has come again meanwhile
            }
            return Err(error.into());
        }
        disk::remove(&aside)?;
        self.release(digest)
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

    /// Removes bytes that no repository holds any more.
    pub(super) fn release(&self, digest: &Digest) -> Result<(), Error> {
        let _names = self.own_names()?;
        if self.is_unheld(digest)? {
            disk::remove(&self.blob(digest))?;
        }
        Ok(())
    }

    /// Are there bytes under `blobs/` that have no other name?
    pub(super) fn is_unheld(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(disk::metadata(&self.blob(digest))?.is_some_and(|metadata| metadata.nlink() == 1))
    }
}

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
