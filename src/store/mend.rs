//! What `registry verify --repair` does to the files, each step for itself.
//!
//! Who sees what, when: servers may be at work. Each step takes the locks that a push or a delete would take, looks
//! again whether things still are what they were found to be, and does nothing if not. Bytes come first and names
//! last: what is wrong has its name under `quarantine/`, durably, before it loses any other, and a name that gets
//! right bytes changes from the one to the other at once. Nothing here takes the last name of any bytes, but of a
//! copy whose like is known to be there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::Store;
use super::blobs::sync_folder_of;
use super::compare;
use super::disk::{self, Linked};
use super::walk::{FileId, Kind};
use crate::digest::Digest;
use crate::error::Error;
use crate::log::{self, Level};
use crate::name::RepositoryName;
use crate::reference::Tag;

impl Store {
    /// Opens the file at `path` if its bytes are not what `digest` says. While it is open, no other file can be
    /// taken for it.
    pub fn open_wrong(&self, path: &Path, digest: &Digest) -> Result<Option<File>, Error> {
        let Some(file) = disk::open(path)? else { return Ok(None) };
        let found = self.digest_of(path, digest.algorithm(), &|_| {})?;
        Ok((found.as_ref() != Some(digest) && compare::is_at(&file, path)?).then_some(file))
    }

    /// Gives a wrong file a name in quarantine, which no other has; none of its names is taken. `None` when `path` is
    /// not its name any more: a push has put right bytes there.
    pub fn quarantine(&self, wrong: &File, path: &Path, digest: &Digest) -> Result<Option<PathBuf>, Error> {
        let label = format!("{}-{}", digest.algorithm(), digest.hex());
        self.create_folder(&self.root.join("quarantine"))?;
        for name in self.quarantine_names(&label) {
            let linked = disk::link(path, &name)?;
            if compare::is_at(wrong, &name)? {
                sync_folder_of(&name)?;
                return Ok(Some(name));
            }
            match linked {
                Linked::Taken => {}
                Linked::Done => return Ok(disk::remove(&name).map(|_| None)?),
                Linked::NoSource => return Ok(None),
                Linked::TooMany => break,
            }
        }
        Err(disk::failed("link", path)(std::io::ErrorKind::TooManyLinks.into()).into())
    }

    /// Moves what is no content, whatever it is, from a name where only content belongs.
    pub fn move_to_quarantine(&self, path: &Path) -> Result<PathBuf, Error> {
        let label = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = self.root.join("quarantine");
        self.create_folder(&folder)?;
        let _names = self.own_names()?; // so that two who do this take different names
        let free = self.quarantine_names(&label).find(|name| name.symlink_metadata().is_err());
        let name = free.unwrap_or(folder);
        disk::rename(path, &name)?;
        sync_folder_of(&name)?;
        sync_folder_of(path)?;
        Ok(name)
    }

    /// `<label>`, `<label>-2`, `<label>-3` …
    fn quarantine_names(&self, label: &str) -> impl Iterator<Item = PathBuf> {
        let first = self.root.join("quarantine").join(label);
        let others = (2..u32::MAX).map({
            let first = first.clone();
            move |number| {
                first.with_file_name(format!("{}-{number}", first.file_name().unwrap_or_default().display()))
            }
        });
        std::iter::once(first).chain(others)
    }

    /// Puts right bytes under `blobs/`, where there are none, or in the place of `wrong` ones. Says whether it did.
    pub fn mend_home(&self, digest: &Digest, wrong: Option<&File>, right: &Path) -> Result<bool, Error> {
        let home = self.blob(digest);
        self.create_folder(&self.blobs(digest.algorithm()))?;
        let linked = {
            let _names = self.own_names()?;
            match wrong {
                Some(wrong) if compare::is_at(wrong, &home)? => self.link_over(right, &home)?,
                Some(_) => return Ok(false),
                None => disk::link(right, &home)?,
            }
        };
        sync_folder_of(&home)?;
        Ok(linked == Linked::Done)
    }

    /// Gives right bytes that a repository holds their name under `blobs/` again, where it is gone. It goes when bytes
    /// lie in more files than one, and the last repository lets go of the one with that name: the link count does not
    /// tell of the others. That is so when there are more repositories than a file can have names, and in a copy of
    /// a store that broke the links apart.
    pub fn put_homes_back(&self, name: &RepositoryName) -> Result<(), Error> {
        for kind in [Kind::Blobs, Kind::Manifests] {
            for digest in self.held_digests_of(name, kind)? {
                if disk::metadata(&self.blob(&digest))?.is_some() {
                    continue;
                }
                let held = self.held_as(name, kind, &digest);
                let is_right = self.digest_of(&held, digest.algorithm(), &|_| {})?.as_ref() == Some(&digest);
                if is_right && self.mend_home(&digest, None, &held)? {
                    let fields: &log::Fields<'_> = &[("digest", &digest), ("held_by", name)];
                    log::event(Level::Warn, "a name under blobs/ was gone, and is back", fields);
                }
            }
        }
        Ok(())
    }

    /// Takes wrong bytes' name under `blobs/`. Says whether it was theirs.
    pub fn drop_home(&self, digest: &Digest, wrong: &File) -> Result<bool, Error> {
        let home = self.blob(digest);
        let _names = self.own_names()?;
        if !compare::is_at(wrong, &home)? {
            return Ok(false);
        }
        disk::remove(&home)?;
        sync_folder_of(&home)?;
        Ok(true)
    }

    /// Takes wrong bytes' name as a blob of a repository. Says whether it was theirs.
    pub fn drop_blob(&self, name: &RepositoryName, digest: &Digest, wrong: &File) -> Result<bool, Error> {
        let held = self.held_blob(name, digest);
        let _repository = self.own_repository(name)?;
        if !compare::is_at(wrong, &held)? {
            return Ok(false);
        }
        disk::remove(&held)?;
        sync_folder_of(&held)?;
        Ok(true)
    }

    /// Moves the name of a manifest of a repository to its entry among those that are [lost](super::lost), if it is
    /// that of these wrong bytes; or of no file, when there are none. Says whether it was so.
    pub fn drop_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        wrong: Option<&File>,
    ) -> Result<bool, Error> {
        let held = self.held_manifest(name, digest);
        let _repository = self.own_repository(name)?;
        let is_still = match wrong {
            Some(wrong) => compare::is_at(wrong, &held)?,
            None => self.is_no_file(name, digest)?,
        };
        if is_still {
            self.lose(name, digest)?;
        }
        Ok(is_still)
    }

    /// Links a name in a repository to the bytes under `blobs/`, if it still is the name of this file.
    pub fn link_again(
        &self,
        name: &RepositoryName,
        held: &Path,
        file: FileId,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let _repository = self.own_repository(name)?;
        let is_still = disk::metadata(held)?.is_some_and(|there| FileId::of(&there) == file);
        Ok(is_still && self.hold(digest, held)?)
    }

    /// Gives a repository what it should hold and does not, if it is under `blobs/`, with the right bytes, and
    /// `is_needed` still. Says whether it did.
    pub fn put_name_back(
        &self,
        name: &RepositoryName,
        kind: Kind,
        digest: &Digest,
        is_needed: impl FnOnce() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        if self.digest_of(&self.blob(digest), digest.algorithm(), &|_| {})?.as_ref() != Some(digest) {
            return Ok(false);
        }
        let held = self.held_as(name, kind, digest);
        let _repository = self.own_repository(name)?;
        let done = disk::metadata(&held)?.is_none() && is_needed()? && self.hold(digest, &held)?;
        if done && kind == Kind::Manifests {
            self.forget_lost(name, digest)?;
        }
        Ok(done)
    }

    /// The length of what is under `blobs/`, in bytes.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        Ok(disk::metadata(&self.blob(digest))?.map(|file| file.len()))
    }

    /// What is under `blobs/`.
    pub fn read_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        Ok(disk::read(&self.blob(digest))?)
    }

    /// Enters a manifest in the list of its subject, if it is there still.
    pub fn list_again(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<bool, Error> {
        let _repository = self.own_repository(name)?;
        if !self.has_manifest(name, referrer)? {
            return Ok(false);
        }
        self.write_referrer(name, subject, referrer)?;
        Ok(true)
    }

    /// Drops a tag that is a link to no manifest of its repository. Says where it pointed.
    pub fn drop_tag_to_nowhere(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<PathBuf>, Error> {
        let path = self.tag(name, tag);
        let _repository = self.own_repository(name)?;
        if !is_link(&path) {
            return Ok(None);
        }
        let target = disk::target(&path)?;
        if let Some(current) = self.read_tag(name, tag)?
            && self.has_manifest(name, &current.digest())?
        {
            return Ok(None);
        }
        self.change_tag(name, tag, None, || Ok(disk::remove(&path)?))?;
        self.sync_tags(name)?;
        Ok(target)
    }

    /// Drops an entry in a list of referrers: a link; what is none goes to quarantine.
    pub fn drop_entry(&self, name: &RepositoryName, entry: &Path) -> Result<(), Error> {
        let _repository = self.own_repository(name)?;
        if !is_link(entry) {
            return self.move_to_quarantine(entry).map(drop);
        }
        disk::remove(entry)?;
        Ok(sync_folder_of(entry)?)
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|entry| entry.is_symlink())
}
