//! Durable files. The one module that creates, links, renames, removes and syncs them.
//!
//! The guarantee: when a function here that names something returns `Ok`, the name and what it names survive
//! `kill -9` and loss of power. Content is synced before it gets a name, and the folder after. A reader sees
//! a name with its whole content or no name; a name that is moved shows the old content or the new.
//!
//! Every step is told to an [`Observer`], if there is one, before it is taken. There is none but in tests, which
//! stop the process at a step, let it fail, or write down what was done to play a loss of power.
//!
//! Its limit: it holds on a file system that keeps POSIX's promises for fsync, link and rename, on a disk that
//! does not lie about its cache. After a crash there can be bytes without a name, or a name that nobody was
//! told of yet; never a name without its bytes.

mod care;

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use self::care::TEMPORARY;
pub use self::care::*;
use crate::error::{Error, PathError};
use crate::reference::UploadId;
use crate::system::process::NONBLOCKING;

/// Blobs and manifests never change, and their mode says so.
const CONTENT_MODE: u32 = 0o444;

/// Something that is about to be done to the disk.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // the fields are the paths, and the names say the rest
pub enum Step<'a> {
    CreateFolder(&'a Path),
    CreateFile(&'a Path),
    Write { path: &'a Path, offset: u64, bytes: &'a [u8] },
    Truncate { path: &'a Path, length: u64 },
    MakeReadOnly(&'a Path),
    SyncFile(&'a Path),
    Link { source: &'a Path, name: &'a Path },
    Symlink { target: &'a Path, name: &'a Path },
    Rename { from: &'a Path, to: &'a Path },
    Remove(&'a Path),
    RemoveFolder(&'a Path),
    Renew(&'a Path),
    SyncFolder(&'a Path),
    SyncAll(&'a Path),
}

/// Is told of every step. What it returns is what the step comes to, if it is an error; it is not taken then.
pub type Observer = dyn Fn(Step<'_>) -> io::Result<()> + Send + Sync;

static OBSERVER: OnceLock<Box<Observer>> = OnceLock::new();

/// Sets the observer of this process, once. For tests.
pub fn observe(observer: Box<Observer>) {
    let _ = OBSERVER.set(observer);
}

fn about_to(step: Step<'_>) -> io::Result<()> {
    OBSERVER.get().map_or(Ok(()), |observer| observer(step))
}

/// Makes an I/O error say what was tried with which file.
pub fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PathError + 'a {
    move |source| PathError { action, path: path.to_owned(), source }
}

/// Turns "there is no such file" into `None`.
pub fn if_exists<T>(result: Result<T, PathError>) -> Result<Option<T>, PathError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.source.kind() {
            // NotADirectory: the path goes through something that is a file. Nothing can lie behind it.
            // IsADirectory: somebody made a folder where a file should be.
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

/// Is there a file? A folder, a socket or a pipe is none: to open a pipe is to wait for who writes to it.
pub fn is_file(path: &Path) -> Result<bool, PathError> {
    Ok(metadata(path)?.is_some_and(|metadata| metadata.is_file()))
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<Option<File>, PathError> {
    Ok(open_file(path)?.map(|(file, _)| file))
}

/// Opens a file for reading, and says what the system knows of it.
pub fn open_file(path: &Path) -> Result<Option<(File, Metadata)>, PathError> {
    let opened = OpenOptions::new().read(true).custom_flags(NONBLOCKING).open(path); // a pipe opens at once so
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) if !is_file(path)? => return Ok(None), // a socket
        Err(error) => return Err(failed("open", path)(error)),
    };
    let metadata = file.metadata().map_err(failed("look up", path))?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// What the system knows of a file. Symbolic links are followed.
pub fn metadata(path: &Path) -> Result<Option<Metadata>, PathError> {
    if_exists(fs::metadata(path).map_err(failed("look up", path)))
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    let Some((file, metadata)) = open_file(path)? else { return Ok(None) };
    read_all(file, &metadata, path).map(Some)
}

/// Reads a file to the end that it had when it was opened. std would ask for its length once more, and once more
/// for bytes behind it: a pull of a manifest is not much more than this.
pub fn read_all(mut file: File, metadata: &Metadata, path: &Path) -> Result<Vec<u8>, PathError> {
    let mut bytes = vec![0; usize::try_from(metadata.len()).unwrap_or(usize::MAX)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", path)(error)),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The names in a folder, unsorted; none if there is no such folder. Names that are not UTF-8 are not ours.
pub fn names(path: &Path) -> Result<Vec<String>, PathError> {
    names_of(path, |_| true)
}

/// Those of regular files among [`names`].
pub fn file_names(path: &Path) -> Result<Vec<String>, PathError> {
    names_of(path, |kind| kind.is_file())
}

/// Those of regular files and of symbolic links among [`names`].
pub fn file_and_link_names(path: &Path) -> Result<Vec<String>, PathError> {
    names_of(path, |kind| kind.is_file() || kind.is_symlink())
}

fn names_of(path: &Path, wanted: impl Fn(FileType) -> bool) -> Result<Vec<String>, PathError> {
    let entries = entries(path)?.into_iter();
    let wanted = entries.filter(|entry| entry.file_type().is_ok_and(&wanted));
    Ok(wanted.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// All that is in a folder, whatever it is, unsorted.
pub fn entries(path: &Path) -> Result<Vec<DirEntry>, PathError> {
    let mut found = Vec::new();
    for_each_entry(path, &mut |entry| found.push(entry))?;
    Ok(found)
}

/// Looks at all that is in a folder, one after the other, so that a large one takes no memory.
pub fn for_each_entry(path: &Path, look: &mut dyn FnMut(DirEntry)) -> Result<(), PathError> {
    let entries = if_exists(fs::read_dir(path).map_err(failed("list", path)))?;
    entries.into_iter().flatten().try_for_each(|entry| entry.map(&mut *look).map_err(failed("list", path)))
}

/// Is there anything in the folder?
pub fn has_entries(path: &Path) -> Result<bool, PathError> {
    let entries = if_exists(fs::read_dir(path).map_err(failed("list", path)))?;
    Ok(entries.is_some_and(|mut entries| entries.next().is_some()))
}

/// Makes a folder and those between it and `root`, durably. `root` is there, and for certain.
///
/// A folder that is there may have been made a moment ago by somebody who has not synced it yet, and might then
/// not outlive a loss of power. So each process syncs each folder's name once, whoever made it, and remembers
/// (`SETTLED`) that it did.
pub fn create_folder(path: &Path, root: &Path) -> Result<(), PathError> {
    let Some(parent) = path.parent().filter(|_| path != root) else { return Ok(()) };
    if let Some(folder) = metadata(path)?
        && settled().contains(&Folder::of(&folder))
    {
        return Ok(());
    }
    create_folder(parent, root)?;
    match about_to(Step::CreateFolder(path)).and_then(|()| fs::create_dir(path)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !path.is_dir() => {
            return Err(failed("create", path)(error));
        }
        _ => sync_folder(parent)?,
    }
    settle(path)
}

/// Makes the folder that holds everything, and takes it and all above it for durable from here on: whose they
/// are, and when they were made, is not the store's affair.
pub fn create_root(path: &Path) -> Result<(), PathError> {
    if !path.is_dir() {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_root(parent)?;
        about_to(Step::CreateFolder(path))
            .and_then(|()| fs::create_dir(path))
            .map_err(failed("create", path))?;
        sync_folder(parent)?;
    }
    Ok(())
}

/// The folders whose names this process knows to be on disk.
static SETTLED: Mutex<BTreeSet<Folder>> = Mutex::new(BTreeSet::new());

/// What tells a folder from all others. Its number alone does not: the next one to be made may get that of one
/// that was removed.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    device: u64,
    number: u64,
    born: Option<SystemTime>,
}

impl Folder {
    fn of(folder: &Metadata) -> Self {
        Self { device: folder.dev(), number: folder.ino(), born: folder.created().ok() }
    }
}

/// How many folders are remembered; it is some 10 MB of memory. Others cost a sync more each time.
const SETTLED_MAX: usize = 250_000;

fn settled() -> MutexGuard<'static, BTreeSet<Folder>> {
    SETTLED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settle(path: &Path) -> Result<(), PathError> {
    if let Some(folder) = metadata(path)?
        && settled().len() < SETTLED_MAX
    {
        settled().insert(Folder::of(&folder));
    }
    Ok(())
}

/// Makes a folder whose loss in a crash does not matter.
pub fn create_plain_folder(path: &Path) -> Result<(), PathError> {
    about_to(Step::CreateFolder(path)).and_then(|()| fs::create_dir(path)).map_err(failed("create", path))
}

/// Waits until the names in a folder are on disk.
pub fn sync_folder(path: &Path) -> Result<(), PathError> {
    about_to(Step::SyncFolder(path))
        .and_then(|()| File::open(path))
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", path))
}

/// Creates a file for bytes that come bit by bit, for reading and writing; it must not exist. Not durable:
/// it becomes that by [`seal`] and [`link`].
pub fn create(path: &Path) -> Result<File, PathError> {
    let how = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(path);
    about_to(Step::CreateFile(path)).and_then(|()| how()).map_err(failed("create", path))
}

/// Opens a file for reading and writing. A sealed one (see [`is_sealed`]) perhaps for reading only.
pub fn open_to_write(path: &Path) -> Result<Option<File>, PathError> {
    let opened = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => File::open(path),
        opened => opened,
    };
    if_exists(opened.map_err(failed("open", path)))
}

/// Opens a file to lock it; makes it if it is not there. Nothing will be in it, so nothing of it can be lost.
/// For reading too: on NFS a shared lock is a lock for reading, and refused otherwise (flock(2), "NFS details").
pub fn open_or_create(path: &Path) -> Result<File, PathError> {
    let how = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    how().map_err(failed("open", path))
}

/// Creates a file with these bytes, not durably.
pub fn create_with(path: &Path, bytes: &[u8]) -> Result<File, PathError> {
    let file = create(path)?;
    write(&file, path, 0, bytes)?;
    Ok(file)
}

/// Writes bytes to a file at an offset, all of them.
pub fn write(file: &File, path: &Path, offset: u64, bytes: &[u8]) -> Result<(), PathError> {
    about_to(Step::Write { path, offset, bytes })
        .and_then(|()| file.write_all_at(bytes, offset))
        .map_err(failed("write", path))
}

/// Cuts a file off.
pub fn truncate(file: &File, path: &Path, length: u64) -> Result<(), PathError> {
    about_to(Step::Truncate { path, length })
        .and_then(|()| file.set_len(length))
        .map_err(failed("truncate", path))
}

/// Puts a small file in place of another, so that a reader sees the old or the new; not durably.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let new = temporary_beside(path)?;
    Ok(or_remove(&new, create_with(&new, bytes).and_then(|_| rename(&new, path)))?)
}

/// Removes `new` if what was to become of it did not, so that what fails leaves nothing.
fn or_remove<T>(new: &Path, result: Result<T, PathError>) -> Result<T, PathError> {
    if result.is_err() {
        let _ = remove(new);
    }
    result
}

/// Makes a file read-only and its bytes durable. From here on it may be given a name.
pub fn seal(file: &File, path: &Path) -> Result<(), PathError> {
    about_to(Step::MakeReadOnly(path))
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(CONTENT_MODE)))
        .map_err(failed("make read-only", path))?;
    sync_file(file, path)
}

/// Waits until the bytes of a file are on disk.
pub fn sync_file(file: &File, path: &Path) -> Result<(), PathError> {
    about_to(Step::SyncFile(path)).and_then(|()| file.sync_all()).map_err(failed("sync", path))
}

/// Has the file been sealed? Then it may have a name by now that promises its bytes, and must not be written to.
pub fn is_sealed(file: &File, path: &Path) -> Result<bool, PathError> {
    let metadata = file.metadata().map_err(failed("look up", path))?;
    Ok(metadata.permissions().readonly() || metadata.nlink() > 1)
}

/// Puts a copy that can be written to in the place of a sealed file, whose other names keep it. The copy is
/// locked from before it is seen.
pub fn unseal(path: &Path) -> Result<File, Error> {
    let new = temporary_beside(path)?;
    let copied = copy_bytes(path, &new).and_then(|copy| {
        sync_file(&copy, &new)?; // the file's bytes were synced too
        copy.lock().map_err(failed("lock", &new))?;
        rename(&new, path).map(|()| copy)
    });
    Ok(or_remove(&new, copied)?)
}

/// What became of [`link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// The name is there now.
    Done,
    /// It was there before, and may be another file's.
    Taken,
    /// There is nothing to link to.
    NoSource,
    /// The file system allows no further link to this file.
    TooMany,
}

/// Gives a sealed file one more name. Durable after [`sync_folder`] of the name's folder, which must exist.
pub fn link(source: &Path, name: &Path) -> Result<Linked, PathError> {
    match about_to(Step::Link { source, name }).and_then(|()| fs::hard_link(source, name)) {
        Ok(()) => Ok(Linked::Done),
        Err(error) => match error.kind() {
            ErrorKind::AlreadyExists => Ok(Linked::Taken),
            ErrorKind::NotFound if !source.exists() => Ok(Linked::NoSource),
            ErrorKind::TooManyLinks => Ok(Linked::TooMany),
            _ => Err(failed("link", name)(error)),
        },
    }
}

/// Moves a name over another, if that exists: a reader sees the old file or the new. Durable after
/// [`sync_folder`].
pub fn rename(from: &Path, to: &Path) -> Result<(), PathError> {
    about_to(Step::Rename { from, to }).and_then(|()| fs::rename(from, to)).map_err(failed("rename to", to))
}

/// Makes `name` a symbolic link to `target`, in place of whatever it was. Durable after [`sync_folder`].
pub fn point(name: &Path, target: &Path) -> Result<(), Error> {
    let new = temporary_beside(name)?;
    let made = about_to(Step::Symlink { target, name: &new })
        .and_then(|()| std::os::unix::fs::symlink(target, &new))
        .map_err(failed("create", &new));
    Ok(or_remove(&new, made.and_then(|()| rename(&new, name)))?)
}

/// Where a symbolic link points, as written in it; `None` when there is no such name.
pub fn target(name: &Path) -> Result<Option<PathBuf>, PathError> {
    if_exists(fs::read_link(name).map_err(failed("read", name)))
}

/// Removes a name. Says whether it was there. Durable after [`sync_folder`].
pub fn remove(path: &Path) -> Result<bool, PathError> {
    let removed = about_to(Step::Remove(path)).and_then(|()| fs::remove_file(path));
    Ok(if_exists(removed.map_err(failed("remove", path)))?.is_some())
}

/// Removes a folder with all in it, if it is there.
pub fn remove_folder(path: &Path) -> Result<(), PathError> {
    let removed = about_to(Step::RemoveFolder(path)).and_then(|()| fs::remove_dir_all(path));
    if_exists(removed.map_err(failed("remove", path))).map(drop)
}

/// Puts a durable copy in the place of a sealed file, by way of `new`, which must not exist. Other names of the
/// file keep it. Durable after [`sync_folder`].
pub fn replace_by_copy(path: &Path, new: &Path) -> Result<(), PathError> {
    let copied = copy_bytes(path, new).and_then(|copy| seal(&copy, new));
    or_remove(new, copied.and_then(|()| rename(new, path)))
}

fn copy_bytes(from: &Path, to: &Path) -> Result<File, PathError> {
    let mut source = File::open(from).map_err(failed("open", from))?;
    let copy = create(to)?;
    let (mut buffer, mut offset) = (vec![0; 256 << 10], 0);
    loop {
        let count = source.read(&mut buffer).map_err(failed("read", from))?;
        if count == 0 {
            return Ok(copy);
        }
        write(&copy, to, offset, &buffer[..count])?;
        offset += count as u64;
    }
}

/// A name in the same folder that cannot be anybody's: no tag and no digest begins with a dot.
fn temporary_beside(path: &Path) -> Result<PathBuf, Error> {
    Ok(path.with_file_name(format!("{TEMPORARY}{}", UploadId::random()?)))
}
