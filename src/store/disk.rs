//! Durable files. The one module that creates, links, renames, removes and syncs them.
//!
//! The guarantee: when a function here that names something returns `Ok`, the name and what it names survive
//! `kill -9` and loss of power. Content is synced before it gets a name, and the folder after. A reader sees
//! a name with its whole content or no name; a name that is moved shows the old content or the new.
//!
//! Its limit: it holds on a file system that keeps POSIX's promises for fsync, link and rename, on a disk that
//! does not lie about its cache. After a crash there can be bytes without a name, or a name that nobody was
//! told of yet; never a name without its bytes.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, PathError};
use crate::reference::UploadId;

/// Blobs and manifests never change, and their mode says so.
const CONTENT_MODE: u32 = 0o444;

/// Makes an I/O error say what was tried with which file.
pub fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PathError + 'a {
    move |source| PathError { action, path: path.to_owned(), source }
}

/// Turns "there is no such file" into `None`.
pub fn if_exists<T>(result: Result<T, PathError>) -> Result<Option<T>, PathError> {
    match result {
        Ok(value) => Ok(Some(value)),
        // NotADirectory: the path goes through something that is a file. Nothing can lie behind it.
        Err(error) if matches!(error.source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<Option<File>, PathError> {
    if_exists(File::open(path).map_err(failed("open", path)))
}

/// What the system knows of a file. Symbolic links are followed.
pub fn metadata(path: &Path) -> Result<Option<Metadata>, PathError> {
    if_exists(fs::metadata(path).map_err(failed("look up", path)))
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    if_exists(fs::read(path).map_err(failed("read", path)))
}

/// The names in a folder, unsorted; none if there is no such folder. Names that are not UTF-8 are not ours.
pub fn names(path: &Path) -> Result<Vec<String>, PathError> {
    let Some(entries) = if_exists(fs::read_dir(path).map_err(failed("list", path)))? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.map_err(failed("list", path))?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Is there anything in the folder?
pub fn has_entries(path: &Path) -> Result<bool, PathError> {
    let entries = if_exists(fs::read_dir(path).map_err(failed("list", path)))?;
    Ok(entries.is_some_and(|mut entries| entries.next().is_some()))
}

/// Makes a folder and those above it, durably. Costs one look-up when it is there.
pub fn create_folder(path: &Path) -> Result<(), PathError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    if !parent.as_os_str().is_empty() {
        create_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed("create", path)(error)),
        _ => sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }),
    }
}

/// Makes a folder whose loss in a crash does not matter.
pub fn create_plain_folder(path: &Path) -> Result<(), PathError> {
    fs::create_dir(path).map_err(failed("create", path))
}

/// Waits until the names in a folder are on disk.
pub fn sync_folder(path: &Path) -> Result<(), PathError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}

/// Creates a file for bytes that come bit by bit, for reading and writing; it must not exist. Not durable:
/// it becomes that by [`seal`] and [`link`].
pub fn create(path: &Path) -> Result<File, PathError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(failed("create", path))
}

/// Opens a file for reading and writing.
pub fn open_to_write(path: &Path) -> Result<Option<File>, PathError> {
    if_exists(OpenOptions::new().read(true).write(true).open(path).map_err(failed("open", path)))
}

/// Creates a file with these bytes, not durably.
pub fn create_with(path: &Path, bytes: &[u8]) -> Result<File, PathError> {
    let mut file = create(path)?;
    file.write_all(bytes).map_err(failed("write", path))?;
    Ok(file)
}

/// Puts a small file in place of another, so that a reader sees the old or the new; not durably.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let new = temporary_beside(path)?;
    create_with(&new, bytes)?;
    Ok(rename(&new, path)?)
}

/// Makes a file read-only and its bytes durable. From here on it may be given a name.
pub fn seal(file: &File, path: &Path) -> Result<(), PathError> {
    file.set_permissions(fs::Permissions::from_mode(CONTENT_MODE)).map_err(failed("make read-only", path))?;
    file.sync_all().map_err(failed("sync", path))
}

/// What became of [`link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// The name is there, now or since earlier.
    Done,
    /// There is nothing to link to.
    NoSource,
    /// The file system allows no further link to this file.
    TooMany,
}

/// Gives a sealed file one more name. Durable after [`sync_folder`] of the name's folder, which must exist.
pub fn link(source: &Path, name: &Path) -> Result<Linked, PathError> {
    match fs::hard_link(source, name) {
        Ok(()) => Ok(Linked::Done),
        Err(error) => match error.kind() {
            ErrorKind::AlreadyExists => Ok(Linked::Done),
            ErrorKind::NotFound if !source.exists() => Ok(Linked::NoSource),
            ErrorKind::TooManyLinks => Ok(Linked::TooMany),
            _ => Err(failed("link", name)(error)),
        },
    }
}

/// Moves a name over another, if that exists: a reader sees the old file or the new. Durable after
/// [`sync_folder`].
pub fn rename(from: &Path, to: &Path) -> Result<(), PathError> {
    fs::rename(from, to).map_err(failed("rename to", to))
}

/// Makes `name` a symbolic link to `target`, in place of whatever it was. Durable after [`sync_folder`].
pub fn point(name: &Path, target: &Path) -> Result<(), Error> {
    let new = temporary_beside(name)?;
    std::os::unix::fs::symlink(target, &new).map_err(failed("create", &new))?;
    Ok(rename(&new, name)?)
}

/// Where a symbolic link points, as written in it; `None` when there is no such name.
pub fn target(name: &Path) -> Result<Option<PathBuf>, PathError> {
    if_exists(fs::read_link(name).map_err(failed("read", name)))
}

/// Removes a name. Says whether it was there. Durable after [`sync_folder`].
pub fn remove(path: &Path) -> Result<bool, PathError> {
    Ok(if_exists(fs::remove_file(path).map_err(failed("remove", path)))?.is_some())
}

/// Removes a folder with all in it, if it is there.
pub fn remove_folder(path: &Path) -> Result<(), PathError> {
    if_exists(fs::remove_dir_all(path).map_err(failed("remove", path))).map(drop)
}

/// Copies a file, durably, to a new one beside it that has no other name yet.
pub fn copy(from: &Path, to: &Path) -> Result<(), PathError> {
    let mut source = File::open(from).map_err(failed("open", from))?;
    let mut copy = create(to)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = source.read(&mut buffer).map_err(failed("read", from))?;
        if count == 0 {
            return seal(&copy, to);
        }
        copy.write_all(&buffer[..count]).map_err(failed("write", to))?;
    }
}

/// Is this open file still the one that `path` names?
pub fn is_at(file: &File, path: &Path) -> Result<bool, PathError> {
    let open = file.metadata().map_err(failed("look up", path))?;
    Ok(metadata(path)?.is_some_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
}

/// Are these two names one file? `None` when either is not there.
pub fn same(one: &Path, other: &Path) -> Result<Option<bool>, PathError> {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    Ok(metadata(one)?.zip(metadata(other)?).map(|(one, other)| identity(one) == identity(other)))
}

/// A name in the same folder that cannot be anybody's: no tag and no digest begins with a dot.
fn temporary_beside(path: &Path) -> Result<PathBuf, Error> {
    Ok(path.with_file_name(format!(".new-{}", UploadId::random()?)))
}
