//! Where an export goes: a folder, or an archive.
//!
//! Who sees what, when: an archive appears under its name when it is complete. In a folder each file does, and
//! `index.json` comes last; a folder without it is no layout, and one that has it already lists what it listed until
//! then. What fails is removed again. After a crash there may be files that nothing lists, and the same export takes
//! up from there.

mod folder;

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use self::folder::{Came, Folder};
use super::archive::{Form, Writer};
use super::docker;
use super::export::check;
use super::index::{self, Entry};
use super::{Failure, Hashed, INDEX_FILE, MARK, MARK_FILE, blob_file};
use crate::digest::{Algorithm, Digest};
use crate::name::RepositoryName;
use crate::reference::UploadId;
use crate::store::Store;
use crate::store::disk;

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

impl Kind {
    /// Begins an archive, which will have the mode of the file that it replaces.
    fn archive(path: &Path, found: Option<&Metadata>, form: Form) -> Result<Self, Failure> {
        let path = match found {
            Some(_) => path.canonicalize().map_err(disk::failed("look up", path))?,
            None => path.to_owned(),
        };
        let temporary = beside(&path)?;
        let file = disk::create(&temporary)?;
        let kept = found.map_or(Ok(()), |found| disk::set_mode(&file, &temporary, found));
        match kept.map_err(Failure::from).and_then(|()| Writer::new(file, form)) {
            Ok(writer) => Ok(Self::Archive { writer: Some(writer), temporary, path }),
            Err(failure) => {
                let _ = disk::remove(&temporary);
                Err(failure)
            }
        }
    }
}

impl Target {
    /// Looks at what is there, and begins. Nothing that is there is changed. A symbolic link stays, and what it leads
    /// to is written.
    ///
    /// # Errors
    /// There is something else than a layout, or no way to write there.
    pub fn open(path: &Path, copy: bool, limit: u64) -> Result<Self, Failure> {
        let refused = |why: &str| Err(Failure::Refused(why.to_owned()));
        let found = disk::metadata(path)?;
        if found.is_none() && disk::metadata_of_name(path)?.is_some_and(|it| it.is_symlink()) {
            return refused("is a symbolic link to nothing");
        }
        let is_folder =
            found.as_ref().is_some_and(Metadata::is_dir) || path.as_os_str().as_bytes().ends_with(b"/");
        let name = path.file_name().and_then(|name| name.to_str()).filter(|_| !is_folder).unwrap_or_default();
        let kind = match (Form::of(name)?, found) {
            _ if is_folder => Kind::Folder(Folder::open(path, copy, limit)?),
            (_, Some(found)) if !found.is_file() => return refused("is neither a plain file nor a folder"),
            (Some(form), found) => Kind::archive(path, found.as_ref(), form)?,
            (None, None) => Kind::Folder(Folder::open(path, copy, limit)?),
            (None, Some(_)) => {
                return refused(
                    "is a file; export to a folder, or to a name that ends with .tar, .tar.gz or .tgz",
                );
            }
        };
        Ok(Self { kind, written: Written::default() })
    }

    /// Writes what a layout begins with; in an archive, also what docker looks for.
    pub(super) fn begin(
        &mut self,
        entries: &[Entry],
        saved: Option<String>,
        algorithms: &BTreeSet<Algorithm>,
    ) -> Result<(), Failure> {
        match &mut self.kind {
            Kind::Folder(folder) => folder.begin(algorithms),
            Kind::Archive { writer, .. } => {
                let index = index::merge(None, entries)?;
                let add = |writer: &mut Writer| {
                    writer.file(MARK_FILE, MARK.len() as u64, MARK.as_bytes())?;
                    writer.file(INDEX_FILE, index.len() as u64, index.as_bytes())?;
                    if let Some(saved) = &saved {
                        writer.file(docker::LIST_FILE, saved.len() as u64, saved.as_bytes())?;
                    }
                    writer.folder("blobs")?;
                    algorithms.iter().try_for_each(|algorithm| writer.folder(&format!("blobs/{algorithm}")))
                };
                writer.as_mut().map_or(Ok(()), add).map_err(not_written)
            }
        }
    }

    /// Writes a blob of a repository, that should have `size` bytes.
    pub(super) fn blob(
        &mut self,
        store: &Store,
        name: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<(), Failure> {
        let (came, bytes) = match &mut self.kind {
            Kind::Folder(folder) => folder.blob(store, name, digest, size)?,
            Kind::Archive { writer, .. } => {
                let blob = store.open_blob(name, digest)?;
                let mut content = Hashed::new(blob.file, digest.algorithm());
                let add = |to: &mut Writer| to.file(&blob_file(digest), blob.size, &mut content);
                writer.as_mut().map_or(Ok(()), add).map_err(not_written)?;
                check(digest, &content.digest())?;
                (Came::Copied, blob.size)
            }
        };
        self.written.note(&came, bytes);
        Ok(())
    }

    /// Writes a manifest. Always as a copy: it is small, and a link would cost more names than it saves bytes.
    pub(super) fn manifest(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), Failure> {
        let came = match &mut self.kind {
            Kind::Folder(folder) => folder.manifest(digest, bytes)?,
            Kind::Archive { writer, .. } => {
                let add = |to: &mut Writer| to.file(&blob_file(digest), bytes.len() as u64, bytes);
                writer.as_mut().map_or(Ok(()), add).map_err(not_written)?;
                Came::Copied
            }
        };
        self.written.note(&came, bytes.len() as u64);
        Ok(())
    }

    /// Names what was written.
    pub(super) fn finish(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        match &mut self.kind {
            Kind::Folder(folder) => folder.finish(entries),
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
            Kind::Folder(folder) => folder.abandon(),
        }
    }
}

impl Written {
    fn note(&mut self, came: &Came, bytes: u64) {
        match came {
            Came::Linked => self.linked += 1,
            Came::Copied => {
                self.copied += 1;
                self.bytes += bytes;
            }
            Came::Before => {}
        }
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
