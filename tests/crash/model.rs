//! A disk that loses power: a small file system in memory that knows what is certain and what is not.
//!
//! What it takes from POSIX, and nothing more: fsync of a file makes its bytes and its mode durable, fsync of a
//! folder the names in it, syncfs (which is Linux's) everything. Anything else that was done since may have reached the disk or not, in any order and
//! each for itself:
//!
//! - of each name in a folder, any of the things that it stood for since the last sync of that folder (so the two
//!   halves of a rename are independent, and a folder that is gone takes all in it along),
//! - of each file, the bytes as of its last sync; or all that was written since; or the first half of that; or
//!   the new length, with zeros in place of all that was written or of its first half; and in each case the old
//!   mode or the new.
//!
//! Real file systems promise more: journals keep the order of changes, and rename is atomic. What survives here
//! survives there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::did::Did;

/// A file system. Node 0 is the root folder, which is certain.
#[derive(Clone)]
pub struct Disk {
    nodes: Vec<Node>,
}

#[derive(Clone)]
enum Node {
    /// For each name, what it stood for since the last sync, the present last.
    Folder(BTreeMap<String, Vec<Option<usize>>>),
    File(File),
    Symlink(String),
}

#[derive(Clone)]
struct File {
    durable: Vec<u8>,
    present: Vec<u8>,
    /// What was written since the last sync, as offset and length.
    written: Vec<(usize, usize)>,
    was_read_only: bool,
    read_only: bool,
}

/// Something that may turn out in one way or another.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Open {
    Name(usize, String),
    Bytes(usize),
    Mode(usize),
}

/// What is left after a loss of power, path by path.
pub type Tree = BTreeMap<String, Left>;

/// A thing that is left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Left {
    Folder,
    /// The number says which names are one file.
    File {
        node: usize,
        bytes: Vec<u8>,
        read_only: bool,
    },
    Symlink(String),
}

impl Disk {
    /// A disk with what lies below a folder, all of which is certain.
    pub fn read(root: &Path) -> Self {
        let mut disk = Self { nodes: vec![Node::Folder(BTreeMap::new())] };
        let mut known = BTreeMap::new();
        disk.read_folder(root, 0, &mut known);
        disk
    }

    fn read_folder(&mut self, path: &Path, folder: usize, known: &mut BTreeMap<u64, usize>) {
        for entry in fs::read_dir(path).expect("a folder") {
            let entry = entry.expect("an entry");
            let (path, metadata) = (entry.path(), entry.metadata().expect("metadata"));
            let node = known.get(&metadata.ino()).copied().unwrap_or_else(|| {
                if metadata.is_dir() {
                    self.add(Node::Folder(BTreeMap::new()))
                } else if metadata.is_symlink() {
                    let target = fs::read_link(&path).expect("a target");
                    self.add(Node::Symlink(target.to_str().expect("UTF-8").to_owned()))
                } else {
                    let bytes = fs::read(&path).expect("bytes");
                    self.add(Node::File(File::certain(bytes, metadata.permissions().readonly())))
                }
            });
            known.insert(metadata.ino(), node);
            self.names(folder).insert(entry.file_name().into_string().expect("UTF-8"), vec![Some(node)]);
            if metadata.is_dir() {
                self.read_folder(&path, node, known);
            }
        }
    }

    /// Takes a step, which may fail as it would on a real disk, and then does nothing.
    pub fn take(&mut self, did: &Did) {
        match did {
            Did::CreateFolder(path) if self.find(path).is_none() => {
                let node = self.add(Node::Folder(BTreeMap::new()));
                self.set(path, Some(node));
            }
            Did::CreateFile(path) if self.find(path).is_none() => {
                let node = self.add(Node::File(File::certain(Vec::new(), false)));
                self.set(path, Some(node));
            }
            Did::Write { path, offset, bytes } => self.file(path).write(*offset, bytes),
            Did::Truncate { path, length } => self.file(path).truncate(*length),
            Did::MakeReadOnly(path) => self.file(path).read_only = true,
            Did::SyncFile(path) => self.file(path).sync(),
            Did::Link { source, name } if self.find(name).is_none() => {
                if let Some(node) = self.find(source) {
                    self.set(name, Some(node));
                }
            }
            Did::Symlink { target, name } if self.find(name).is_none() => {
                let node = self.add(Node::Symlink(target.clone()));
                self.set(name, Some(node));
            }
            Did::Rename { from, to } => {
                if let Some(node) = self.find(from) {
                    self.set(to, Some(node));
                    self.set(from, None);
                }
            }
            Did::Remove(path) | Did::RemoveFolder(path) => {
                if let Some(node) = self.find(path) {
                    self.empty(node);
                    self.set(path, None);
                }
            }
            Did::SyncFolder(path) => {
                if let Some(node) = self.find(path) {
                    self.nodes[node].sync();
                }
            }
            Did::SyncAll(_) => self.nodes.iter_mut().for_each(Node::sync),
            Did::CreateFolder(_) | Did::CreateFile(_) | Did::Link { .. } | Did::Symlink { .. } => {}
            Did::Acknowledged(_) | Did::Renew(_) => {} // no promise is about times
        }
    }

    /// For each thing that is open: in how many ways it may turn out, and whether it is only about sessions.
    pub fn ways(&self) -> Vec<(usize, bool)> {
        let (mut sessions, mut names) = (BTreeSet::new(), BTreeSet::new());
        self.collect("uploads", &mut sessions);
        self.collect("blobs", &mut names);
        self.collect("repositories", &mut names);
        let is_minor = |node: usize| sessions.contains(&node) && !names.contains(&node);
        self.open().iter().map(|open| (self.ways_of(open), is_minor(open.node()))).collect()
    }

    /// All nodes that a path leads to or ever led to, and what lies below.
    fn collect(&self, path: &str, found: &mut BTreeSet<usize>) {
        let mut nodes: Vec<usize> = self.find(path).into_iter().collect();
        while let Some(node) = nodes.pop() {
            found.insert(node);
            if let Node::Folder(names) = &self.nodes[node] {
                nodes.extend(names.values().flatten().flatten());
            }
        }
    }

    fn ways_of(&self, open: &Open) -> usize {
        match (open, &self.nodes[open.node()]) {
            (Open::Name(_, name), Node::Folder(names)) => names[name].len(),
            (Open::Bytes(_), _) => 5,
            _ => 2,
        }
    }

    fn open(&self) -> Vec<Open> {
        let mut open = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            match node {
                Node::Folder(names) => {
                    let several = names.iter().filter(|(_, stood_for)| stood_for.len() > 1);
                    open.extend(several.map(|(name, _)| Open::Name(number, name.clone())));
                }
                Node::File(file) => {
                    if file.durable != file.present {
                        open.push(Open::Bytes(number));
                    }
                    if file.was_read_only != file.read_only {
                        open.push(Open::Mode(number));
                    }
                }
                Node::Symlink(_) => {}
            }
        }
        open
    }

    /// What is left when each open thing turns out in the way that is given: 0 is the oldest, the last the
    /// present.
    pub fn left(&self, ways: &[usize]) -> Tree {
        let turned_out: Vec<(Open, usize)> = self.open().into_iter().zip(ways.iter().copied()).collect();
        let way = |wanted: &Open| turned_out.iter().find(|(open, _)| open == wanted).map(|(_, way)| *way);
        let mut tree = Tree::new();
        let mut folders = vec![(String::new(), 0)];
        while let Some((path, folder)) = folders.pop() {
            let Node::Folder(names) = &self.nodes[folder] else { continue };
            for (name, stood_for) in names {
                let turned = way(&Open::Name(folder, name.clone())).unwrap_or(stood_for.len() - 1);
                let Some(node) = stood_for[turned] else { continue };
                let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                if matches!(self.nodes[node], Node::Folder(_)) {
                    folders.push((path.clone(), node));
                }
                tree.insert(path, self.left_of(node, &way));
            }
        }
        tree
    }

    fn left_of(&self, node: usize, way: &dyn Fn(&Open) -> Option<usize>) -> Left {
        match &self.nodes[node] {
            Node::Folder(_) => Left::Folder,
            Node::Symlink(target) => Left::Symlink(target.clone()),
            Node::File(file) => {
                let bytes = match way(&Open::Bytes(node)) {
                    Some(0) => file.durable.clone(),
                    Some(1) => file.half(),
                    Some(2) => file.with_zeros(file.length_written()),
                    Some(3) => file.with_zeros(file.length_written() / 2),
                    _ => file.present.clone(),
                };
                let is_old = way(&Open::Mode(node)) == Some(0);
                Left::File {
                    node,
                    bytes,
                    read_only: if is_old { file.was_read_only } else { file.read_only },
                }
            }
        }
    }

    // ---- nodes and paths, as they are at present

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn names(&mut self, folder: usize) -> &mut BTreeMap<String, Vec<Option<usize>>> {
        match &mut self.nodes[folder] {
            Node::Folder(names) => names,
            Node::File(_) | Node::Symlink(_) => panic!("no folder"),
        }
    }

    fn file(&mut self, path: &str) -> &mut File {
        let node = self.find(path).unwrap_or_else(|| panic!("there is no {path}"));
        match &mut self.nodes[node] {
            Node::File(file) => file,
            Node::Folder(_) | Node::Symlink(_) => panic!("{path} is no file"),
        }
    }

    fn find(&self, path: &str) -> Option<usize> {
        let mut node = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Node::Folder(names) = &self.nodes[node] else { return None };
            node = (*names.get(name)?.last()?)?;
        }
        Some(node)
    }

    fn set(&mut self, path: &str, node: Option<usize>) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.find(folder).unwrap_or_else(|| panic!("there is no {folder}"));
        self.names(folder).entry(name.to_owned()).or_insert_with(|| vec![None]).push(node);
    }

    /// Removes all in a folder.
    fn empty(&mut self, folder: usize) {
        let Node::Folder(names) = &mut self.nodes[folder] else { return };
        let mut below = Vec::new();
        for stood_for in names.values_mut() {
            below.extend(stood_for.last().copied().flatten());
            stood_for.push(None);
        }
        below.into_iter().for_each(|node| self.empty(node));
    }
}

impl Node {
    fn sync(&mut self) {
        match self {
            Self::Folder(names) => {
                for stood_for in names.values_mut() {
                    stood_for.drain(..stood_for.len() - 1);
                }
                names.retain(|_, stood_for| *stood_for != [None]);
            }
            Self::File(file) => file.sync(),
            Self::Symlink(_) => {}
        }
    }
}

impl Open {
    fn node(&self) -> usize {
        match self {
            Self::Name(node, _) | Self::Bytes(node) | Self::Mode(node) => *node,
        }
    }
}

impl File {
    fn certain(bytes: Vec<u8>, read_only: bool) -> Self {
        Self {
            durable: bytes.clone(),
            present: bytes,
            written: Vec::new(),
            was_read_only: read_only,
            read_only,
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.present.resize(self.present.len().max(end), 0);
        self.present[offset..end].copy_from_slice(bytes);
        self.written.push((offset, bytes.len()));
    }

    fn truncate(&mut self, length: usize) {
        self.present.resize(length, 0);
        for (offset, count) in &mut self.written {
            *count = (*count).min(length.saturating_sub(*offset));
        }
    }

    fn sync(&mut self) {
        *self = Self::certain(self.present.clone(), self.read_only);
    }

    /// The first half of what was written has reached the disk.
    fn half(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut room = self.length_written() / 2;
        for (offset, count) in &self.written {
            let count = (*count).min(room);
            bytes.resize(bytes.len().max(offset + count), 0);
            bytes[*offset..offset + count].copy_from_slice(&self.present[*offset..offset + count]);
            room -= count;
        }
        bytes
    }

    /// The length has reached the disk, and not the first so many bytes that were written.
    fn with_zeros(&self, mut missing: usize) -> Vec<u8> {
        let mut bytes = self.present.clone();
        for (offset, count) in &self.written {
            let count = (*count).min(missing);
            bytes[*offset..offset + count].fill(0);
            missing -= count;
        }
        bytes
    }

    fn length_written(&self) -> usize {
        self.written.iter().map(|(_, count)| count).sum()
    }
}

/// Makes real files of what is left.
pub fn build(tree: &Tree, root: &Path) {
    let mut built: BTreeMap<usize, &str> = BTreeMap::new();
    for (path, left) in tree {
        let at = root.join(path);
        match left {
            Left::Folder => fs::create_dir(&at).expect("a folder"),
            Left::Symlink(target) => std::os::unix::fs::symlink(target, &at).expect("a link"),
            Left::File { node, .. } if built.contains_key(node) => {
                fs::hard_link(root.join(built[node]), &at).expect("a link");
            }
            Left::File { node, bytes, read_only } => {
                fs::write(&at, bytes).expect("a file");
                let mode = if *read_only { 0o444 } else { 0o644 };
                fs::set_permissions(&at, fs::Permissions::from_mode(mode)).expect("a mode");
                built.insert(*node, path);
            }
        }
    }
}
