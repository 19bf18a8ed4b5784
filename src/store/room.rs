//! Room for more: how much there is, and whether anything can be written at all.

use std::io::ErrorKind;

use super::Store;
use super::disk::{self, failed};
use crate::error::Error;
use crate::reference::UploadId;
pub use crate::system::disk::Room;

impl Store {
    /// The room on the root's file system.
    ///
    /// # Errors
    /// The system's.
    pub fn room(&self) -> Result<Room, Error> {
        Ok(crate::system::disk::room(&self.root).map_err(failed("ask for the room of", &self.root))?)
    }

    /// Writes a byte to a file under `uploads/` and removes it again. Nothing is synced, so this costs no wait for
    /// the disk.
    ///
    /// # Errors
    /// The system's: the file system is full, read-only, broken, or not ours to write to.
    pub fn try_writing(&self) -> Result<(), Error> {
        let path = self.root.join("uploads").join(format!(".probe-{}", UploadId::random()?));
        let written = disk::create_with(&path, b"x").map(drop);
        let removed = disk::remove(&path);
        written?;
        Ok(removed.map(drop)?)
    }

    /// Looks whether the store is there to be read.
    ///
    /// # Errors
    /// The system's.
    pub fn try_reading(&self) -> Result<(), Error> {
        let blobs = self.root.join("blobs");
        match disk::metadata(&blobs)? {
            Some(_) => Ok(disk::has_entries(&blobs).map(drop)?),
            None => Err(failed("list", &blobs)(ErrorKind::NotFound.into()).into()),
        }
    }
}
