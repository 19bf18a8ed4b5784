//! What those need who let go of things: when a file was last used, and folders that go when they are empty.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Step, about_to, failed, has_entries, if_exists};
use crate::error::PathError;
use crate::reference::UploadId;
use crate::system;

/// What the names of files begin with that have not got their names yet.
pub(super) const TEMPORARY: &str = ".new-";

/// Notes in the file itself that it was used at this moment. Says whether it could.
///
/// Where it cannot (the file system is mounted read-only, the file is another user's), nobody needs to be told:
/// who cannot write this cannot sweep either, or should not have been started as another user than the server.
/// It is not synced: what a loss of power takes of it makes a file look a few seconds older.
pub fn renew(file: &File, path: &Path) -> bool {
    date(file, path, SystemTime::now())
}

/// The same with another time.
pub fn date(file: &File, path: &Path, time: SystemTime) -> bool {
    about_to(Step::Renew(path)).and_then(|()| file.set_modified(time)).is_ok()
}

/// When a file was last written or renewed.
pub fn last_used(file: &Metadata) -> SystemTime {
    file.modified().unwrap_or_else(|_| SystemTime::now()) // every Unix has it
}

/// When a file was last written, or renewed, or got or lost a name, or was moved.
pub fn last_touched(file: &Metadata) -> SystemTime {
    let seconds = u64::try_from(file.ctime()).unwrap_or(0);
    let nanoseconds = u32::try_from(file.ctime_nsec()).unwrap_or(0);
    last_used(file).max(UNIX_EPOCH + Duration::new(seconds, nanoseconds))
}

/// Is this the name of something that was to be renamed to its place?
pub fn is_temporary(name: &str) -> bool {
    name.strip_prefix(TEMPORARY).is_some_and(|rest| UploadId::parse(rest).is_ok())
}

/// What the system knows of a name itself, be it a symbolic link.
pub fn metadata_of_name(path: &Path) -> Result<Option<Metadata>, PathError> {
    if_exists(fs::symlink_metadata(path).map_err(failed("look up", path)))
}

/// Gives a new file the mode of the one whose place it is to take.
pub fn set_mode(file: &File, path: &Path, of: &Metadata) -> Result<(), PathError> {
    file.set_permissions(of.permissions()).map_err(failed("set the mode of", path))
}

/// Waits until everything below `root` is on disk, whoever did it.
pub fn settle_all(root: &Path) -> Result<(), PathError> {
    let wait = || system::disk::flush(&File::open(root)?);
    about_to(Step::SyncAll(root)).and_then(|()| wait()).map_err(failed("sync", root))
}

/// Removes a folder if it is there and empty; says whether it did. Not durable: an empty folder that a loss of
/// power brings back is as empty as it was.
pub fn remove_empty_folder(path: &Path) -> Result<bool, PathError> {
    if metadata_of_name(path)?.is_none_or(|it| !it.is_dir()) || has_entries(path)? {
        return Ok(false);
    }
    match about_to(Step::RemoveFolder(path)).and_then(|()| fs::remove_dir(path)) {
        // Somebody has put something there, or was faster.
        Err(error) if matches!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty) => Ok(false),
        removed => Ok(if_exists(removed.map_err(failed("remove", path)))?.is_some()),
    }
}
