//! A layout in a folder, as it is written.
//!
//! Who sees what, when: each file appears complete, and `index.json` comes last. Exports into one folder take turns:
//! each has it to itself from its first look until it is done, so none lists less than the one before it, and none
//! counts on a file that another removes again. Other programs know nothing of that.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::beside;
use crate::digest::{Algorithm, Digest};
use crate::layout::export::check;
use crate::layout::index::{self, Entry};
use crate::layout::source::{Links, Source};
use crate::layout::{Failure, Hashed, INDEX_FILE, MARK, MARK_FILE, blob_file, digest_of};
use crate::name::RepositoryName;
use crate::store::disk::{self, Linked, failed};
use crate::store::{Store, compare};

/// A folder that becomes a layout, or has become one before.
pub struct Folder {
    path: PathBuf,
    /// Copy, do not link.
    copy: bool,
    /// The most bytes that an `index.json` may have.
    limit: u64,
    /// What was not there before, in the order of its coming: folders and files.
    made: Vec<(PathBuf, What)>,
    /// The folder itself, locked.
    _turn: File,
}

#[derive(Clone, Copy)]
enum What {
    Folder,
    File,
}

/// What is at the place of content.
#[derive(PartialEq, Eq)]
enum Found {
    Nothing,
    Sound,
    ToReplace,
}

/// How a blob came into a folder.
pub(super) enum Came {
    Linked,
    Copied,
    /// It was there.
    Before,
}

impl Folder {
    /// Waits for the folder and looks at what is in it, or makes it. Nothing that is there is changed.
    ///
    /// # Errors
    /// There is something else than a layout, or no way to write there.
    pub fn open(path: &Path, copy: bool, limit: u64) -> Result<Self, Failure> {
        let (turn, is_new) = wait_for(path)?;
        let made = is_new.then(|| (path.to_owned(), What::Folder)).into_iter().collect();
        let folder = Self { path: path.to_owned(), copy, limit, made, _turn: turn };
        folder.index()?;
        Ok(folder)
    }

    /// The `index.json` of a layout that is there; nothing of an empty folder.
    fn index(&self) -> Result<Option<Vec<u8>>, Failure> {
        let source = Source::Folder(self.path.clone());
        if source.has(MARK_FILE) {
            index::check_mark(&source, self.limit)?;
            return source.read(INDEX_FILE, self.limit, Links::Refuse);
        }
        match disk::has_entries(&self.path)? {
            true => Err(Failure::Refused(format!(
                "is a folder with other things in it, and no layout (no {MARK_FILE})"
            ))),
            false => Ok(None),
        }
    }

    /// Writes what a layout begins with.
    pub(super) fn begin(&mut self, algorithms: &BTreeSet<Algorithm>) -> Result<(), Failure> {
        if disk::metadata(&self.path.join(MARK_FILE))?.is_none() {
            self.copy(MARK_FILE, &mut MARK.as_bytes())?; // first, so that what breaks off can be taken up
        }
        self.folder("blobs")?;
        algorithms.iter().try_for_each(|algorithm| self.folder(&format!("blobs/{algorithm}")))
    }

    /// Writes a blob of a repository, that should have `size` bytes. Where something is wrong, with the blob's length
    /// or with what is there already, it is not linked but copied, and that tells with what.
    pub(super) fn blob(
        &mut self,
        store: &Store,
        name: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<(Came, u64), Failure> {
        let found = self.find(digest)?;
        if found == Found::Sound {
            return Ok((Came::Before, 0));
        }
        let blob = store.open_blob(name, digest)?;
        let may_link = !self.copy && found == Found::Nothing && blob.size == size;
        if may_link && self.link(store, name, digest)? {
            return Ok((Came::Linked, 0));
        }
        let mut content = Hashed::new(blob.file, digest.algorithm());
        let copied = self.copy_beside(&blob_file(digest), &mut content)?;
        if let Err(failure) = check(digest, &content.digest()) {
            let _ = disk::remove(&copied);
            return Err(failure);
        }
        self.put(&copied, self.path.join(blob_file(digest)))?;
        Ok((Came::Copied, blob.size))
    }

    /// Writes a manifest.
    pub(super) fn manifest(&mut self, digest: &Digest, bytes: &[u8]) -> Result<Came, Failure> {
        if self.find(digest)? == Found::Sound {
            return Ok(Came::Before);
        }
        self.copy(&blob_file(digest), &mut &bytes[..])?;
        Ok(Came::Copied)
    }

    /// Names what was written, beside what is listed there by now.
    pub(super) fn finish(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        for algorithm in Algorithm::ALL {
            disk::if_exists(disk::sync_folder(&self.path.join(format!("blobs/{algorithm}"))))?;
        }
        let index = index::merge(self.index()?.as_deref(), entries)?;
        self.copy(INDEX_FILE, &mut index.as_bytes())?;
        self.made.clear(); // it is listed from here on
        Ok(disk::sync_folder(&self.path)?)
    }

    /// Removes what was written, as far as that goes.
    pub(super) fn abandon(self) {
        for (path, what) in self.made.iter().rev() {
            let _ = match what {
                What::File => disk::remove(path),
                What::Folder => disk::remove_empty_folder(path),
            };
        }
    }

    fn folder(&mut self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        if disk::metadata(&path)?.is_none() {
            disk::create_plain_folder(&path)?;
            self.made.push((path, What::Folder));
        }
        Ok(())
    }

    /// Is this content there already? Where copies are wanted, what has further names does not count: they may be the
    /// store's.
    fn find(&self, digest: &Digest) -> Result<Found, Failure> {
        let path = self.path.join(blob_file(digest));
        let Some((mut file, metadata)) = disk::open_file(&path)? else { return Ok(Found::Nothing) };
        if self.copy && metadata.nlink() > 1 {
            return Ok(Found::ToReplace);
        }
        let (found, _) = digest_of(&mut file, digest.algorithm()).map_err(failed("read", &path))?;
        Ok(if found == *digest { Found::Sound } else { Found::ToReplace })
    }

    /// Makes a file that is the store's. `false`: it cannot be, and must be copied. Why not matters little: another
    /// file system, one without links, as many links as there may be, a user who does not own the store's files.
    fn link(&mut self, store: &Store, name: &RepositoryName, digest: &Digest) -> Result<bool, Failure> {
        let path = self.path.join(blob_file(digest));
        let temporary = beside(&path)?;
        let linked = store.link_blob_to(name, digest, &temporary);
        if !matches!(linked, Ok(Linked::Done)) {
            return Ok(false);
        }
        let put = self.put(&temporary, path);
        let _ = disk::remove(&temporary); // a file is not renamed over itself, if somebody has just linked it there too
        put.map(|()| true)
    }

    /// Makes a file that holds this content.
    fn copy(&mut self, name: &str, content: &mut dyn Read) -> Result<(), Failure> {
        let copied = self.copy_beside(name, content)?;
        self.put(&copied, self.path.join(name))
    }

    /// Makes such a file beside the name that it is to get.
    fn copy_beside(&self, name: &str, content: &mut dyn Read) -> Result<PathBuf, Failure> {
        let temporary = beside(&self.path.join(name))?;
        let mut file = disk::create(&temporary)?;
        let copied = io::copy(content, &mut file)
            .map_err(failed("write", &temporary))
            .and_then(|_| disk::sync_file(&file, &temporary));
        if copied.is_err() {
            let _ = disk::remove(&temporary);
        }
        copied?;
        Ok(temporary)
    }

    /// Moves a complete file to its name, over what is there.
    fn put(&mut self, temporary: &Path, path: PathBuf) -> Result<(), Failure> {
        let is_new = disk::metadata(&path)?.is_none();
        if let Err(error) = disk::rename(temporary, &path) {
            let _ = disk::remove(temporary);
            return Err(error.into());
        }
        if is_new {
            self.made.push((path, What::File));
        }
        Ok(())
    }
}

/// Makes the folder if need be, and waits until nobody else exports into it. Says whether it was made. Who waited
/// may find that the folder was removed meanwhile, by the export that had made it.
fn wait_for(path: &Path) -> Result<(File, bool), Failure> {
    loop {
        let is_new = match disk::create_plain_folder(path) {
            Ok(()) => true,
            Err(error) if error.source.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error.into()),
        };
        let folder = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(failed("open", path))?,
        };
        folder.lock().map_err(failed("lock", path))?;
        if compare::is_at(&folder, path)? {
            return Ok((folder, is_new));
        }
    }
}
