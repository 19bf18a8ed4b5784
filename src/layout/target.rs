//! Where an export goes: a folder, or an archive.
//!
//! Who sees what, when: an archive appears under its name when it is complete. In a folder each file does, and
//! `index.json` comes last; a folder without it is no layout, and one that has it already lists what it listed until
//! then. What fails is removed again. After a crash there may be files that nothing lists, and the same export takes
//! up from there.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::archive::{Form, Writer};
use super::index::{self, Entry};
use super::source::{Links, Source};
use super::{Failure, INDEX_FILE, MARK, MARK_FILE, blob_file, digest_of};
use crate::digest::{Algorithm, Digest};
use crate::name::RepositoryName;
use crate::reference::UploadId;
use crate::store::Store;
use crate::store::disk::{self, Linked, failed};

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Files that are links to the store's.
    pub linked: usize,
    /// Files that are copies.
    pub copied: usize,
    /// The lengths of the copies together.
    pub bytes: u64,
}

/// A layout that is being written.
pub struct Target {
    kind: Kind,
    written: Written,
}

enum Kind {
    Folder(Folder),
    /// The writer goes when the archive is complete.
    Archive {
        writer: Option<Writer>,
        temporary: PathBuf,
        path: PathBuf,
    },
}

struct Folder {
    path: PathBuf,
    copy: bool,
    /// The `index.json` that was there.
    index: Option<Vec<u8>>,
    /// What was not there before, in the order of its coming: folders and files.
    made: Vec<(PathBuf, What)>,
}

#[derive(Clone, Copy)]
enum What {
    Folder,
    File,
}

impl Target {
    /// Looks at what is there, and begins. Nothing that is there is changed.
    ///
    /// # Errors
    /// There is something else than a layout, or no way to write there.
    pub fn open(path: &Path, copy: bool, limit: u64) -> Result<Self, Failure> {
        let written = Written::default();
        let found = disk::metadata(path)?;
        if found.as_ref().is_some_and(|found| found.is_dir()) {
            let index = look_at(path, limit)?;
            return Ok(Self {
                kind: Kind::Folder(Folder { path: path.into(), copy, index, made: Vec::new() }),
                written,
            });
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(form) = Form::of(name) {
            let temporary = beside(path)?;
            let writer = Writer::new(disk::create(&temporary)?, form);
            if writer.is_err() {
                let _ = disk::remove(&temporary);
            }
            let kind = Kind::Archive { writer: Some(writer?), temporary, path: path.into() };
            return Ok(Self { kind, written });
        }
        if found.is_some() {
            let why = "is a file; export to a folder, or to a name that ends with .tar, .tar.gz or .tgz";
            return Err(Failure::Refused(why.to_owned()));
        }
        disk::create_plain_folder(path)?;
        let made = vec![(path.to_owned(), What::Folder)];
        Ok(Self { kind: Kind::Folder(Folder { path: path.into(), copy, index: None, made }), written })
    }

    /// Writes what a layout begins with.
    pub(super) fn begin(
        &mut self,
        entries: &[Entry],
        algorithms: &BTreeSet<Algorithm>,
    ) -> Result<(), Failure> {
        match &mut self.kind {
            Kind::Folder(folder) => {
                if disk::metadata(&folder.path.join(MARK_FILE))?.is_none() {
                    folder.small_file(MARK_FILE, MARK.as_bytes())?; // first, so that what breaks off can be taken up
                }
                folder.folder("blobs")?;
                algorithms.iter().try_for_each(|algorithm| folder.folder(&format!("blobs/{algorithm}")))
            }
            Kind::Archive { writer, .. } => {
                let index = index::merge(None, entries)?;
                let add = |writer: &mut Writer| {
                    writer.file(MARK_FILE, MARK.len() as u64, MARK.as_bytes())?;
                    writer.file(INDEX_FILE, index.len() as u64, index.as_bytes())?;
                    writer.folder("blobs")?;
                    algorithms.iter().try_for_each(|algorithm| writer.folder(&format!("blobs/{algorithm}")))
                };
                writer.as_mut().map_or(Ok(()), add).map_err(not_written)
            }
        }
    }

    /// Writes a blob of a repository.
    pub(super) fn blob(
        &mut self,
        store: &Store,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Failure> {
        let file = blob_file(digest);
        match &mut self.kind {
            Kind::Folder(folder) => {
                if folder.has(digest)? {
                    return Ok(());
                }
                if !folder.copy && folder.link(store, name, digest)? {
                    self.written.linked += 1;
                    return Ok(());
                }
                let mut blob = store.open_blob(name, digest)?;
                folder.copy(&file, &mut blob.file)?;
                self.written.bytes += blob.size;
            }
            Kind::Archive { writer, .. } => {
                let blob = store.open_blob(name, digest)?;
                self.written.bytes += blob.size;
                writer
                    .as_mut()
                    .map_or(Ok(()), |to| to.file(&file, blob.size, blob.file))
                    .map_err(not_written)?;
            }
        }
        self.written.copied += 1;
        Ok(())
    }

    /// Writes a manifest. Always as a copy: it is small, and a link would cost more names than it saves bytes.
    pub(super) fn manifest(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), Failure> {
        let file = blob_file(digest);
        match &mut self.kind {
            Kind::Folder(folder) => {
                if folder.has(digest)? {
                    return Ok(());
                }
                folder.copy(&file, &mut &bytes[..])?;
            }
            Kind::Archive { writer, .. } => {
                let add = |to: &mut Writer| to.file(&file, bytes.len() as u64, bytes);
                writer.as_mut().map_or(Ok(()), add).map_err(not_written)?;
            }
        }
        self.written.copied += 1;
        self.written.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Names what was written.
    pub(super) fn finish(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        match &mut self.kind {
            Kind::Folder(folder) => {
                for algorithm in Algorithm::ALL {
                    disk::if_exists(disk::sync_folder(&folder.path.join(format!("blobs/{algorithm}"))))?;
                }
                let index = index::merge(folder.index.as_deref(), entries)?;
                folder.small_file(INDEX_FILE, index.as_bytes())?;
                Ok(disk::sync_folder(&folder.path)?)
            }
            Kind::Archive { writer, temporary, path } => {
                if let Some(writer) = writer.take() {
                    disk::sync_file(&writer.finish().map_err(not_written)?, temporary)?;
                    disk::rename(temporary, path)?;
                    disk::sync_folder(folder_of(path))?;
                }
                Ok(())
            }
        }
    }

    /// It is complete.
    pub(super) fn close(self) -> Result<Written, Failure> {
        Ok(self.written)
    }

    /// Removes what was written, as far as that goes.
    pub(super) fn abandon(self) {
        match self.kind {
            Kind::Archive { temporary, .. } => {
                let _ = disk::remove(&temporary);
            }
            Kind::Folder(folder) => {
                for (path, what) in folder.made.iter().rev() {
                    let _ = match what {
                        What::File => disk::remove(path),
                        What::Folder => disk::remove_empty_folder(path),
                    };
                }
            }
        }
    }
}

/// The `index.json` of a layout that is there; nothing of an empty folder.
fn look_at(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
    let source = Source::Folder(path.to_owned());
    if source.has(MARK_FILE) {
        index::check_mark(&source, limit)?;
        return source.read(INDEX_FILE, limit, Links::Refuse);
    }
    match disk::has_entries(path)? {
        true => Err(Failure::Refused(format!(
            "is a folder with other things in it, and no layout (no {MARK_FILE})"
        ))),
        false => Ok(None),
    }
}

impl Folder {
    fn folder(&mut self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        if disk::metadata(&path)?.is_none() {
            disk::create_plain_folder(&path)?;
            self.made.push((path, What::Folder));
        }
        Ok(())
    }

    /// Is this content there already, and sound? What is not is replaced.
    fn has(&self, digest: &Digest) -> Result<bool, Failure> {
        let path = self.path.join(blob_file(digest));
        let Some(mut file) = disk::open(&path)? else { return Ok(false) };
        let (found, _) = digest_of(&mut file, digest.algorithm()).map_err(failed("read", &path))?;
        Ok(found == *digest)
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
        let _ = disk::remove(&temporary); // a file is not renamed over itself, if it is that which was not sound
        put.map(|()| true)
    }

    /// Makes a file that holds this content.
    fn copy(&mut self, name: &str, content: &mut dyn Read) -> Result<(), Failure> {
        let path = self.path.join(name);
        let temporary = beside(&path)?;
        let mut file = disk::create(&temporary)?;
        let copied = io::copy(content, &mut file)
            .map_err(failed("write", &temporary))
            .and_then(|_| disk::sync_file(&file, &temporary));
        if copied.is_err() {
            let _ = disk::remove(&temporary);
        }
        copied?;
        self.put(&temporary, path)
    }

    fn small_file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.copy(name, &mut &bytes[..])
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

/// A name in the same folder that nobody else uses.
fn beside(path: &Path) -> Result<PathBuf, Failure> {
    Ok(path.with_file_name(format!(".new-{}", UploadId::random()?)))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn not_written(error: io::Error) -> Failure {
    Failure::Refused(format!("cannot be written: {error}"))
}
