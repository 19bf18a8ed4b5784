//! What a client takes or sends in its own time lies in a file meanwhile: memory is ours, time is theirs. So does an
//! archive that is compressed while it is read.
//!
//! A manifest may have megabytes, and so may a list. Thousands of clients that send one but for its last byte, or
//! ask for one and do not read, would fill any memory.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::Store;
use super::disk::{self, failed};
use crate::buffer::{Buffer, MEMORY_BYTES_MAX};
use crate::error::Error;
use crate::quota::{Quota, Share};
use crate::reference::UploadId;

/// How many documents of more than that are in memory at a time, to be read and checked.
const LARGE_MAX: usize = 4;

static LARGE: Quota = Quota::new();

/// A document in memory.
pub struct Document {
    bytes: Vec<u8>,
    _large: Option<Share>,
}

impl Store {
    /// Takes a whole body of at most `limit` bytes; `None` if it has more.
    ///
    /// # Errors
    /// [`Error::BodyUnreadable`] from the client's side, [`Error::Disk`] from ours.
    pub fn receive(&self, body: &mut dyn Read, limit: u64) -> Result<Option<Document>, Error> {
        let mut bytes = Vec::new();
        body.take(MEMORY_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(Error::BodyUnreadable)?;
        if bytes.len() as u64 > limit {
            return Ok(None);
        }
        if bytes.len() <= MEMORY_BYTES_MAX {
            return Ok(Some(Document { bytes, _large: None }));
        }
        let (file, path) = self.nameless()?;
        let write = |bytes: &[u8], offset| disk::write(&file, &path, offset, bytes);
        let mut length = 0;
        loop {
            write(&bytes, length)?;
            length += bytes.len() as u64;
            bytes.resize(MEMORY_BYTES_MAX, 0);
            match body.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => bytes.truncate(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => bytes.clear(),
                Err(error) => return Err(Error::BodyUnreadable(error)),
            }
            if length + bytes.len() as u64 > limit {
                return Ok(None);
            }
        }
        let large = LARGE.wait(LARGE_MAX);
        bytes.resize(usize::try_from(length).unwrap_or(usize::MAX), 0); // what has come, not what was announced
        file.read_exact_at(&mut bytes, 0).map_err(failed("read", &path))?;
        Ok(Some(Document { bytes, _large: Some(large) }))
    }

    /// Copies what can only be read from front to back into a file that can be read anywhere, and has no name.
    ///
    /// # Errors
    /// [`Error::BodyUnreadable`] from the other side, [`Error::Disk`] from ours; what reading from `from` says, if it is
    /// one of ours, too.
    pub fn spool(&self, from: &mut dyn Read) -> Result<File, Error> {
        let (file, path) = self.nameless()?;
        let (mut buffer, mut length) = (Buffer::new(u64::MAX), 0);
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(file),
                Ok(count) => {
                    disk::write(&file, &path, length, &buffer[..count])?;
                    length += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.downcast().unwrap_or_else(Error::BodyUnreadable)),
            }
        }
    }

    /// Lays bytes down in a file, which goes when it is closed. `None` when the disk does not take them.
    pub fn lay_down(&self, bytes: &[u8]) -> Option<Arc<File>> {
        let (file, path) = self.nameless().ok()?;
        disk::write(&file, &path, 0, bytes).ok()?;
        Some(Arc::new(file))
    }

    /// A file that no longer has the name it was made under, and is gone when it is closed.
    pub(super) fn nameless(&self) -> Result<(File, PathBuf), Error> {
        let path = self.upload(&UploadId::random()?);
        let file = disk::create(&path)?;
        disk::remove(&path)?;
        Ok((file, path))
    }
}

impl Deref for Document {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
