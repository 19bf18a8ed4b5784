//! An archive as names and places.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::GZIP;
use super::gzip::Inflated;
use crate::error::Error;
use crate::layout::source::{Content, Links, Spool, member_name};
use crate::layout::{Failure, Interruptible};
use crate::store::disk;

/// tar is made of blocks.
const BLOCK_BYTES: u64 = 512;

/// What belongs to a header that follows (a long name, a list of extensions) is held in memory, so it has a limit:
/// 1 MiB, as for Go's archive/tar, with which most of these files are written.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// A longer name is none that a layout has. The longest is that of a blob by sha512, with 141 bytes.
const NAME_BYTES_MAX: usize = 255;

/// How many files an archive may hold: each costs memory, and of empty ones a megabyte of gzip holds millions.
const FILES_MAX: usize = 1_000_000;

/// How many links may follow one another.
const LINKS_MAX: usize = 16;

/// What compressed files that we cannot read begin with.
const FOREIGN: [(&str, &[u8]); 4] = [
    ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]),
    ("xz", &[0xfd, b'7', b'z', b'X', b'Z']),
    ("bzip2", b"BZh"),
    ("zip", b"PK\x03\x04"),
];

/// An archive, ready to be read in any order.
pub struct Archive {
    file: File,
    entries: HashMap<String, Entry>,
}

enum Entry {
    File {
        offset: u64,
        size: u64,
    },
    /// To a name of the archive, or outside.
    Link(Option<String>),
    /// What this is not: a device, a file with holes.
    Other(&'static str),
}

impl Archive {
    /// Opens the file at `path`. One that cannot be read in any order, compressed or a pipe, is copied by
    /// `spool`.
    pub(in crate::layout) fn open(path: &Path, is_plain: bool, spool: &Spool<'_>) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| Failure::Store(disk::failed("read", path)(error).into());
        let file = File::open(path).map_err(disk::failed("open", path))?;
        let mut head = Vec::new();
        Interruptible(&file).take(8).read_to_end(&mut head).map_err(unreadable)?;
        if let Some((program, _)) = FOREIGN.iter().find(|(_, start)| head.starts_with(start)) {
            return Err(Failure::Refused(format!(
                "is compressed with {program}, which is not supported; uncompress it, or use gzip"
            )));
        }
        let is_gzip = head.starts_with(&GZIP);
        let whole = io::Cursor::new(head).chain(Interruptible(&file));
        let seekable = match (is_gzip, is_plain) {
            (true, _) => copied(&mut Inflated::new(whole), spool)?,
            (false, false) => copied(&mut { whole }, spool)?,
            (false, true) => file,
        };
        let entries = Headers::of(&seekable)?.collect()?;
        Ok(Self { file: seekable, entries })
    }

    /// Opens a file of the archive; `None` if there is none of this name.
    pub(in crate::layout) fn file(&self, name: &str, links: Links) -> Result<Option<Content<'_>>, Failure> {
        let mut at = name;
        for _ in 0..LINKS_MAX {
            match self.entries.get(at) {
                None if at == name => return Ok(None),
                None => return Err(Failure::at(name, format!("is a link to {at:?}, which is not there"))),
                Some(Entry::File { offset, size }) => {
                    let section = Section { file: &self.file, offset: *offset, left: *size };
                    return Ok(Some(Content::new(section, *size)));
                }
                Some(Entry::Other(what)) => {
                    return Err(Failure::at(name, format!("is {what}, no plain file")));
                }
                Some(Entry::Link(_)) if links == Links::Refuse => {
                    return Err(Failure::at(name, "is a link, where a layout has a plain file"));
                }
                Some(Entry::Link(None)) => {
                    return Err(Failure::at(name, "is a link that leads out of the archive"));
                }
                Some(Entry::Link(Some(target))) => at = target,
            }
        }
        Err(Failure::at(name, "is a link to a link, without end"))
    }

    pub(in crate::layout) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }
}

/// Inflates gzip.
pub fn inflate<'r>(content: impl Read + 'r) -> Result<Box<dyn Read + 'r>, Failure> {
    Ok(Box::new(Inflated::new(content)))
}

/// Copies it, and says what is wrong with which side.
fn copied(from: &mut dyn Read, spool: &Spool<'_>) -> Result<File, Failure> {
    spool(from).map_err(|failure| match failure {
        Failure::Store(Error::BodyUnreadable(error)) => match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Failure::Refused(format!("is cut off or damaged, its gzip does not end well: {error}"))
            }
            _ => Failure::Refused(format!("cannot be read: {error}")),
        },
        Failure::Store(error) => Failure::Refused(format!(
            "cannot be copied into uploads/ below the root, to be read there: {}",
            error.log_text()
        )),
        refused @ Failure::Refused(_) => refused,
    })
}

/// A part of a file, read without moving the file's own position: several may be open.
struct Section<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into()); // somebody cut it off meanwhile
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// The headers of an archive, one after the other.
struct Headers<'a> {
    file: &'a File,
    length: u64,
    offset: u64,
}

/// What headers before an entry's own say of it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    has_holes: bool,
}

impl<'a> Headers<'a> {
    fn of(file: &'a File) -> Result<Self, Failure> {
        let length = file.metadata().map_err(|error| Failure::Refused(error.to_string()))?.len();
        if length == 0 {
            return Err(Failure::Refused("is empty".to_owned()));
        }
        Ok(Self { file, length, offset: 0 })
    }

    fn collect(mut self) -> Result<HashMap<String, Entry>, Failure> {
        let (mut entries, mut extensions) = (HashMap::new(), Extensions::default());
        while let Some(block) = self.next_block()? {
            let header = tar::Header::from_byte_slice(&block);
            let kind = header.entry_type();
            let stated = header.entry_size().map_err(|error| self.damaged(&error.to_string()))?;
            if kind.is_gnu_longname() {
                extensions.name = Some(without_nul(self.extension(stated)?));
            } else if kind.is_gnu_longlink() {
                extensions.target = Some(without_nul(self.extension(stated)?));
            } else if kind.is_pax_local_extensions() {
                let records = self.extension(stated)?;
                extensions.read(&records).ok_or_else(|| self.damaged("its extensions are malformed"))?;
            } else if kind.is_pax_global_extensions() {
                self.skip(stated)?; // such as the commit that git archive writes
            } else {
                self.enter(&mut entries, header, std::mem::take(&mut extensions), stated)?;
            }
        }
        Ok(entries)
    }

    /// Notes an entry of its own right, and steps over its content.
    fn enter(
        &mut self,
        entries: &mut HashMap<String, Entry>,
        header: &tar::Header,
        extensions: Extensions,
        stated: u64,
    ) -> Result<(), Failure> {
        let kind = header.entry_type();
        // These are a header and nothing else, whatever their size says (as in Go's archive/tar).
        let is_link = kind.is_symlink() || kind.is_hard_link();
        let is_device = kind.is_fifo() || kind.is_character_special() || kind.is_block_special();
        let is_header_only = kind.is_dir() || is_link || is_device;
        let size = if is_header_only { 0 } else { extensions.size.unwrap_or(stated) };
        let offset = self.offset;
        self.skip(size)?;
        let raw = extensions.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let Ok(raw) = String::from_utf8(raw) else { return Ok(()) }; // nobody asks for it
        if kind.is_dir() || raw.ends_with('/') || raw.len() > NAME_BYTES_MAX {
            return Ok(());
        }
        let Some(name) = member_name(&raw) else {
            return Err(Failure::Refused(format!(
                "has a file {raw:?}, which would lie outside of the layout"
            )));
        };
        let target = || {
            let raw = extensions.target.or_else(|| header.link_name_bytes().map(|bytes| bytes.into_owned()));
            String::from_utf8(raw.unwrap_or_default()).unwrap_or_default()
        };
        let entry = if kind.is_symlink() {
            Entry::Link(follow(&name, &target()))
        } else if kind.is_hard_link() {
            Entry::Link(member_name(&target()))
        } else if kind.is_gnu_sparse() || extensions.has_holes {
            Entry::Other("stored with holes (tar --sparse)")
        } else if kind.is_file() || kind.is_contiguous() {
            Entry::File { offset, size }
        } else {
            Entry::Other("a device or a pipe")
        };
        if entries.len() >= FILES_MAX {
            return Err(Failure::Refused(format!("holds more than {FILES_MAX} files")));
        }
        match entries.entry(name) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
                Ok(())
            }
            Slot::Occupied(slot) => {
                let why = "is in the archive twice, and which one is meant is anybody's guess; make it anew";
                Err(Failure::at(slot.key(), why))
            }
        }
    }

    /// The next header; `None` at the end: a block of zeros, or simply the end, as some writers have it.
    fn next_block(&mut self) -> Result<Option<[u8; BLOCK_BYTES as usize]>, Failure> {
        if self.offset == self.length {
            return Ok(None);
        }
        let mut block = [0; BLOCK_BYTES as usize];
        let begin = self.offset;
        self.skip(BLOCK_BYTES)?;
        self.file
            .read_exact_at(&mut block, begin)
            .map_err(|error| Failure::Refused(format!("cannot be read: {error}")))?;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        // The sum of all bytes, the field of the sum itself (148 to 155) taken for blanks.
        let fields =
            block.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { b' ' } else { byte });
        let sum: u32 = fields.map(u32::from).sum();
        if tar::Header::from_byte_slice(&block).cksum().ok() == Some(sum) {
            return Ok(Some(block));
        }
        Err(match begin {
            0 => Failure::Refused(
                "is neither a folder, nor a tar archive, nor one compressed with gzip".to_owned(),
            ),
            _ => self.damaged("its checksum is wrong"),
        })
    }

    /// Steps over content, which fills up whole blocks.
    fn skip(&mut self, size: u64) -> Result<(), Failure> {
        let end = size.checked_next_multiple_of(BLOCK_BYTES).and_then(|size| self.offset.checked_add(size));
        // The last block need not be filled up; what is in it must be there.
        let needed = self.offset.checked_add(size).filter(|needed| *needed <= self.length);
        match (end, needed) {
            (Some(end), Some(_)) => self.offset = end.min(self.length),
            _ => return Err(Failure::Refused(format!("is cut off: it ends after {} bytes", self.length))),
        }
        Ok(())
    }

    /// Reads what belongs to the next header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Failure> {
        if size > EXTENSION_BYTES_MAX {
            return Err(self
                .damaged(&format!("it has {size} bytes of extensions, allowed are {EXTENSION_BYTES_MAX}")));
        }
        let section = Section { file: self.file, offset: self.offset, left: size };
        self.skip(size)?;
        let mut bytes = Vec::new();
        section.take(size).read_to_end(&mut bytes).map_err(|error| self.damaged(&error.to_string()))?;
        Ok(bytes)
    }

    fn damaged(&self, why: &str) -> Failure {
        Failure::Refused(format!("is damaged as a tar archive before byte {}: {why}", self.offset))
    }
}

impl Extensions {
    /// Reads records of the form `<length> <key>=<value>` and a line end (POSIX, pax). Values may hold any bytes,
    /// so only the lengths tell where one ends.
    fn read(&mut self, mut records: &[u8]) -> Option<()> {
        while !records.is_empty() {
            let digits = records.iter().position(|&byte| byte == b' ')?;
            let length: usize = std::str::from_utf8(&records[..digits]).ok()?.parse().ok()?;
            let record = records.get(digits + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.name = Some(value.to_owned()),
                b"linkpath" => self.target = Some(value.to_owned()),
                b"size" => self.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
                _ => self.has_holes |= key.starts_with(b"GNU.sparse."),
            }
            records = &records[length..];
        }
        Some(())
    }
}

/// GNU's long names end with a zero.
fn without_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// Where a symbolic link at `name` leads, as a name; `None` if that is outside.
fn follow(name: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_never_leads_out() {
        for (name, target, expect) in [
            ("a/layer.tar", "../b/layer.tar", Some("b/layer.tar")),
            ("a/layer.tar", "other.tar", Some("a/other.tar")),
            ("a", "b", Some("b")),
            ("a/layer.tar", "../../b", None),
            ("a/layer.tar", "/etc/passwd", None),
            ("a/layer.tar", "..", None),
        ] {
            assert_eq!(follow(name, target).as_deref(), expect, "{name} -> {target}");
        }
    }
}
