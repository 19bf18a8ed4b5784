//! Where a layout's bytes are: a folder, or an archive that is read where it lies.
//!
//! Its files are asked for by name, and a name never leads out of it: `member_name` takes none that could. In a
//! folder symbolic links are followed, since build tools make layouts of them; what they lead to is held against
//! its digest like everything else.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::{Failure, Interruptible, read_limited};
use crate::store::disk;

/// A folder or an archive.
pub enum Source {
    /// A folder.
    Folder(PathBuf),
    /// One file that holds the others.
    Archive(Archive),
}

/// Copies what is read into a file without a name, which can be read in any order.
pub type Spool<'a> = dyn Fn(&mut dyn Read) -> Result<File, Failure> + 'a;

/// Content of a layout, from its start.
pub struct Content<'s> {
    reader: Interruptible<Box<dyn Read + 's>>,
    size: u64,
}

impl<'s> Content<'s> {
    pub(super) fn new(reader: impl Read + 's, size: u64) -> Self {
        Self { reader: Interruptible(Box::new(reader)), size }
    }

    /// How many bytes it has by what the file system or the archive says.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// What to do about links in an archive. In a folder the system follows them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// A link is not what is meant.
    Refuse,
    /// They lead to another file of the archive, or to none: docker wrote layers so.
    Follow,
}

impl Source {
    /// Opens what lies at `path`, with `spool` for what must be inflated to be read in any order.
    ///
    /// # Errors
    /// There is nothing, or nothing of a kind that is known.
    pub fn open(path: &Path, spool: &Spool<'_>) -> Result<Self, Failure> {
        match disk::metadata(path)? {
            None => Err(Failure::Refused("there is no such file or folder".to_owned())),
            Some(found) if found.is_dir() => Ok(Self::Folder(path.to_owned())),
            Some(found) => Archive::open(path, found.is_file(), spool).map(Self::Archive),
        }
    }

    /// Opens the file `name`; `None` if there is none.
    ///
    /// # Errors
    /// It is there and no plain file, or cannot be opened.
    pub fn file(&self, name: &str, links: Links) -> Result<Option<Content<'_>>, Failure> {
        match self {
            Self::Archive(archive) => archive.file(name, links),
            Self::Folder(folder) => {
                let path = folder.join(name);
                match disk::metadata(&path)? {
                    None => return Ok(None),
                    Some(found) if !found.is_file() => return Err(Failure::at(name, "is no plain file")),
                    Some(_) => {}
                }
                let opened = disk::open_file(&path)?;
                Ok(opened.map(|(file, metadata)| Content::new(file, metadata.len())))
            }
        }
    }

    /// Reads the file `name` into memory; `None` if there is none.
    ///
    /// # Errors
    /// It has more than `limit` bytes, or cannot be read.
    pub fn read(&self, name: &str, limit: u64, links: Links) -> Result<Option<Vec<u8>>, Failure> {
        let Some(content) = self.file(name, links)? else { return Ok(None) };
        match read_limited(content, limit).map_err(|error| Failure::at(name, error))? {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(Failure::at(
                name,
                format!("is larger than a manifest may be, {limit} bytes (limits.manifest_bytes)"),
            )),
        }
    }

    /// Is there a folder or a file of this name, whatever it is?
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Archive(archive) => archive.has(name),
            Self::Folder(folder) => fs::symlink_metadata(folder.join(name)).is_ok(),
        }
    }
}

/// A name as it stands in an archive or a `manifest.json`, in its plainest form: `./a//b` is `a/b`. `None` if it
/// leads out of the layout, or nowhere.
pub(super) fn member_name(text: &str) -> Option<String> {
    if text.starts_with('/') {
        return None;
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            _ => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out() {
        for (text, expect) in [
            ("a", Some("a")),
            ("./blobs//sha256/./x", Some("blobs/sha256/x")),
            ("a/", Some("a")),
            ("", None),
            ("./", None),
            ("/a", None),
            ("..", None),
            ("a/../b", None),
        ] {
            assert_eq!(member_name(text).as_deref(), expect, "{text}");
        }
    }
}
