//! A step that was taken, as it is written down: [`Step`] with paths relative to the root.
//!
//! A child tells its steps to its parent as lines of text, one each.

use std::fmt;
use std::path::Path;

use container_registry::store::disk::Step;

use crate::content::things;

/// See [`Step`]. Paths are relative to the root; the root is the empty path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    CreateFolder(String),
    CreateFile(String),
    Write {
        path: String,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        path: String,
        length: usize,
    },
    MakeReadOnly(String),
    SyncFile(String),
    Link {
        source: String,
        name: String,
    },
    Symlink {
        target: String,
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove(String),
    RemoveFolder(String),
    SyncFolder(String),
    SyncAll(String),
    Renew(String),
    /// The so-manieth act was acknowledged.
    Acknowledged(usize),
}

impl Did {
    /// Notes a step below `root`.
    pub fn from_step(step: Step<'_>, root: &Path) -> Self {
        let relative = |path: &Path| text(path.strip_prefix(root).expect("a path below the root"));
        match step {
            Step::CreateFolder(path) => Self::CreateFolder(relative(path)),
            Step::CreateFile(path) => Self::CreateFile(relative(path)),
            Step::Write { path, offset, bytes } => {
                Self::Write { path: relative(path), offset: offset as usize, bytes: bytes.to_vec() }
            }
            Step::Truncate { path, length } => {
                Self::Truncate { path: relative(path), length: length as usize }
            }
            Step::MakeReadOnly(path) => Self::MakeReadOnly(relative(path)),
            Step::SyncFile(path) => Self::SyncFile(relative(path)),
            Step::Link { source, name } => Self::Link { source: relative(source), name: relative(name) },
            Step::Symlink { target, name } => Self::Symlink { target: text(target), name: relative(name) },
            Step::Rename { from, to } => Self::Rename { from: relative(from), to: relative(to) },
            Step::Remove(path) => Self::Remove(relative(path)),
            Step::RemoveFolder(path) => Self::RemoveFolder(relative(path)),
            Step::SyncFolder(path) => Self::SyncFolder(relative(path)),
            Step::SyncAll(path) => Self::SyncAll(relative(path)),
            Step::Renew(path) => Self::Renew(relative(path)),
        }
    }

    /// The step's name.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::CreateFolder(_) => "create folder",
            Self::CreateFile(_) => "create file",
            Self::Write { .. } => "write",
            Self::Truncate { .. } => "truncate",
            Self::MakeReadOnly(_) => "make read-only",
            Self::SyncFile(_) => "sync file",
            Self::Link { .. } => "link",
            Self::Symlink { .. } => "symlink",
            Self::Rename { .. } => "rename",
            Self::Remove(_) => "remove",
            Self::RemoveFolder(_) => "remove folder",
            Self::SyncFolder(_) => "sync folder",
            Self::SyncAll(_) => "sync all",
            Self::Renew(_) => "renew",
            Self::Acknowledged(_) => "acknowledged",
        }
    }

    /// As a line of text: the verb and its objects, separated by tabs.
    pub fn to_line(&self) -> String {
        let objects = match self {
            Self::CreateFolder(path) | Self::CreateFile(path) | Self::Remove(path) => vec![path.clone()],
            Self::RemoveFolder(path) | Self::SyncFolder(path) | Self::SyncAll(path) => vec![path.clone()],
            Self::MakeReadOnly(path) | Self::SyncFile(path) | Self::Renew(path) => vec![path.clone()],
            Self::Write { path, offset, bytes } => vec![path.clone(), offset.to_string(), hex(bytes)],
            Self::Truncate { path, length } => vec![path.clone(), length.to_string()],
            Self::Link { source: from, name: to }
            | Self::Symlink { target: from, name: to }
            | Self::Rename { from, to } => vec![from.clone(), to.clone()],
            Self::Acknowledged(count) => vec![count.to_string()],
        };
        format!("{}\t{}", self.verb(), objects.join("\t"))
    }

    /// Reads such a line.
    pub fn from_line(line: &str) -> Option<Self> {
        let parts: Vec<&str> = line.split('\t').collect();
        let own = |text: &str| text.to_owned();
        Some(match parts.as_slice() {
            ["create folder", path] => Self::CreateFolder(own(path)),
            ["create file", path] => Self::CreateFile(own(path)),
            ["write", path, offset, bytes] => {
                Self::Write { path: own(path), offset: offset.parse().ok()?, bytes: unhex(bytes)? }
            }
            ["truncate", path, length] => Self::Truncate { path: own(path), length: length.parse().ok()? },
            ["make read-only", path] => Self::MakeReadOnly(own(path)),
            ["sync file", path] => Self::SyncFile(own(path)),
            ["link", source, name] => Self::Link { source: own(source), name: own(name) },
            ["symlink", target, name] => Self::Symlink { target: own(target), name: own(name) },
            ["rename", from, to] => Self::Rename { from: own(from), to: own(to) },
            ["remove", path] => Self::Remove(own(path)),
            ["remove folder", path] => Self::RemoveFolder(own(path)),
            ["sync folder", path] => Self::SyncFolder(own(path)),
            ["sync all", path] => Self::SyncAll(own(path)),
            ["renew", path] => Self::Renew(own(path)),
            ["acknowledged", count] => Self::Acknowledged(count.parse().ok()?),
            _ => return None,
        })
    }
}

/// As it stands in the tables: a digest by the name of its content, an upload's id as `<id>`.
impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = match self {
            Self::CreateFolder(path) | Self::CreateFile(path) | Self::Remove(path) => path.clone(),
            Self::RemoveFolder(path) | Self::SyncFolder(path) | Self::SyncAll(path) => path.clone(),
            Self::MakeReadOnly(path) | Self::SyncFile(path) | Self::Renew(path) => path.clone(),
            Self::Write { path, .. } | Self::Truncate { path, .. } => path.clone(),
            Self::Link { name, .. } | Self::Symlink { name, .. } => name.clone(),
            Self::Rename { from, to } => format!("{from} to {to}"),
            Self::Acknowledged(count) => count.to_string(),
        };
        write!(f, "{:14} {}", self.verb(), readable(&object))
    }
}

/// Replaces what differs between runs or cannot be read.
fn readable(path: &str) -> String {
    let mut path = path.to_owned();
    for thing in things() {
        path = path.replace(thing.digest.hex(), thing.name);
    }
    let words = path.split_inclusive(['/', ' ']).map(|word| match word.strip_suffix(['/', ' ']) {
        Some(stem) => format!("{}{}", without_id(stem), &word[stem.len()..]),
        None => without_id(word),
    });
    words.collect()
}

/// An id is 36 characters, four of them hyphens.
fn without_id(word: &str) -> String {
    let is_id = |text: &str| text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4;
    match word.len().checked_sub(36).filter(|start| word.is_char_boundary(*start)) {
        Some(start) if is_id(&word[start..]) => format!("{}<id>", &word[..start]),
        _ => word.to_owned(),
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
