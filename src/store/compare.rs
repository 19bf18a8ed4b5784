//! Are these the same? File against file, and bytes against bytes.
//!
//! Who sees what, when: nobody sees anything of this; it only reads. Bytes are compared when something is pushed
//! that is there already, so that good ones are not dropped in favour of bad ones.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::disk::{self, failed};
use crate::error::PathError;

/// How much of each file is in memory at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Is this open file still the one that `path` names?
pub fn is_at(file: &File, path: &Path) -> Result<bool, PathError> {
    let open = file.metadata().map_err(failed("look up", path))?;
    Ok(disk::metadata(path)?.is_some_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
}

/// Are these two names one file? `None` when either is not there.
pub fn same(one: &Path, other: &Path) -> Result<Option<bool>, PathError> {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    Ok(disk::metadata(one)?.zip(disk::metadata(other)?).map(|(one, other)| identity(one) == identity(other)))
}

/// Has `found` the bytes of the file at `source`? If it cannot be read to its end, it has not.
pub fn same_bytes(found: &File, source: &Path) -> Result<bool, PathError> {
    let Some((mut right, metadata)) = disk::open_file(source)? else { return Ok(false) };
    let mut left = metadata.len();
    if found.metadata().map_err(failed("look up", source))?.len() != left {
        return Ok(false);
    }
    let (mut found, mut one, mut other) = (found, vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    while left > 0 {
        let count = left.min(BUFFER_BYTES as u64) as usize;
        right.read_exact(&mut one[..count]).map_err(failed("read", source))?;
        if found.read_exact(&mut other[..count]).is_err() || one[..count] != other[..count] {
            return Ok(false);
        }
        left -= count as u64;
    }
    Ok(true)
}

/// Are these the bytes of the file at `path`? Not if there is none, or it cannot be read to its end.
pub fn has_bytes(path: &Path, bytes: &[u8]) -> Result<bool, PathError> {
    let Some(file) = disk::open(path)? else { return Ok(false) };
    let mut found = Vec::new();
    let read = file.take(bytes.len() as u64 + 1).read_to_end(&mut found);
    Ok(read.is_ok() && found == bytes)
}
