//! What only the system knows of a whole file system: how much room it has, and when all of it is on disk.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The room on a file system, for who is not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Bytes that are used or can be: without those that are kept for root.
    pub bytes: u64,
    /// Files that can still be made.
    pub free_files: u64,
    /// Files that there are or can be. 0: the file system has no limit of its own.
    pub files: u64,
}

/// The room where `path` lies.
///
/// # Errors
/// What statvfs(3) says.
pub fn room(path: &Path) -> io::Result<Room> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut answer = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the first pointer is to a text that ends with NUL, the second to a place for the answer.
    if unsafe { libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it has filled the answer in.
    let answer = unsafe { answer.assume_init() };
    #[allow(clippy::unnecessary_cast)] // the width depends on the system
    let (blocks, free, available, size) =
        (answer.f_blocks as u64, answer.f_bfree as u64, answer.f_bavail as u64, answer.f_frsize as u64);
    #[allow(clippy::unnecessary_cast)]
    let (files, free_files, files_available) =
        (answer.f_files as u64, answer.f_ffree as u64, answer.f_favail as u64);
    let usable = |all: u64, free: u64, available: u64| all.saturating_sub(free).saturating_add(available);
    Ok(Room {
        free_bytes: available.saturating_mul(size),
        bytes: usable(blocks, free, available).saturating_mul(size),
        free_files: files_available,
        files: if files == 0 { 0 } else { usable(files, free_files, files_available) },
    })
}

/// Waits until everything that was done to the file system of this file is on disk, whoever did it.
///
/// # Errors
/// What syncfs(2) says.
#[cfg(target_os = "linux")]
pub fn flush(file: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open, and stays so for as long as the call takes.
    match unsafe { libc::syncfs(file.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The same, for all file systems there are.
#[cfg(not(target_os = "linux"))]
pub fn flush(_: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::sync() };
    Ok(())
}
