//! The store from end to end: what lies where. For those who take care of it (`registry verify`).
//!
//! Who sees what, when: servers may be at work meanwhile. What these functions list may be gone a moment later,
//! and what is new may be missing.

use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::disk::{self, failed};
use super::{KINDS, Store};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Error;
use crate::name::RepositoryName;
use crate::reference::Tag;

/// A name in the store that is a digest, or should be.
#[derive(Clone, Debug)]
pub struct Named {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name as a digest; `None` when it is none.
    pub digest: Option<Digest>,
    /// The file; `None` when it is something else, or a link to nowhere.
    pub file: Option<FileId>,
    /// How many names the file has.
    pub links: u64,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last pushed, mounted or asked for, if it is a file.
    pub used: SystemTime,
}

/// What tells a file from all others: names with the same are names of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    number: u64,
}

impl FileId {
    /// Of which file the system says this.
    pub fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), number: file.ino() }
    }
}

/// An entry of `_tags`.
#[derive(Clone, Debug)]
pub struct TagEntry {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name as a tag; `None` when it is none.
    pub tag: Option<Tag>,
    /// Is it a link or a file?
    pub can_be_tag: bool,
}

/// An entry below `_referrers`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it lies.
    pub path: PathBuf,
    /// Subject and referrer, where the names are digests.
    pub pair: Option<(Digest, Digest)>,
}

/// The two kinds of content that a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Below `_blobs`.
    Blobs,
    /// Below `_manifests`.
    Manifests,
}

impl Store {
    /// The folder that holds everything.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All files under `blobs/`.
    pub fn all_blobs(&self) -> Result<Vec<Named>, Error> {
        self.all_blobs_if(&|_| true)
    }

    /// Those of them of which this is so.
    pub fn all_blobs_if(&self, wanted: &dyn Fn(&Metadata) -> bool) -> Result<Vec<Named>, Error> {
        self.named_below(&self.root.join("blobs"), wanted)
    }

    /// All repositories, also those that hold nothing any more.
    pub fn all_repositories(&self) -> Result<Vec<RepositoryName>, Error> {
        let mut found = Vec::new();
        walk(&self.root.join("repositories"), "", &mut found)?;
        Ok(found)
    }

    /// All folders below `repositories/` that have the name of a repository, those that lie in another before it. One
    /// that cannot be read is among them, what lies in it is not: who goes there meets the error, and can go on.
    pub fn all_folders(&self) -> Result<Vec<RepositoryName>, Error> {
        let mut found = Vec::new();
        let names = disk::names(&self.root.join("repositories"))?;
        walk_folders(&self.root.join("repositories"), "", names, &mut found);
        Ok(found)
    }

    /// What a repository holds of one kind.
    pub fn held(&self, name: &RepositoryName, kind: Kind) -> Result<Vec<Named>, Error> {
        self.named_below(&self.repository(name).join(kind.folder()), &|_| true)
    }

    /// The digests of what a repository holds of one kind, which costs less.
    pub fn held_digests_of(&self, name: &RepositoryName, kind: Kind) -> Result<Vec<Digest>, Error> {
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL {
            let names = disk::names(&self.repository(name).join(kind.folder()).join(algorithm.as_str()))?;
            found.extend(names.iter().filter_map(|hex| Digest::from_parts(algorithm, hex).ok()));
        }
        Ok(found)
    }

    /// The digests of all that a repository holds.
    pub(super) fn held_digests(&self, name: &RepositoryName) -> Result<Vec<Digest>, Error> {
        let mut found = self.held_digests_of(name, Kind::Blobs)?;
        found.extend(self.held_digests_of(name, Kind::Manifests)?);
        Ok(found)
    }

    /// Every entry of a repository's `_tags`.
    pub fn all_tags(&self, name: &RepositoryName) -> Result<Vec<TagEntry>, Error> {
        let entries = disk::entries(&self.tags(name))?.into_iter().map(|entry| TagEntry {
            path: entry.path(),
            tag: entry.file_name().to_str().and_then(|text| Tag::parse(text).ok()),
            can_be_tag: entry.file_type().is_ok_and(|kind| kind.is_file() || kind.is_symlink()),
        });
        Ok(entries.collect())
    }

    /// Those of them that are files of their own, made by hand.
    pub fn tags_by_hand(&self, name: &RepositoryName) -> Result<Vec<Tag>, Error> {
        let names = disk::file_names(&self.tags(name))?;
        Ok(names.iter().filter_map(|text| Tag::parse(text).ok()).collect())
    }

    /// The name of something in a repository.
    pub(super) fn held_as(&self, name: &RepositoryName, kind: Kind, digest: &Digest) -> PathBuf {
        match kind {
            Kind::Blobs => self.held_blob(name, digest),
            Kind::Manifests => self.held_manifest(name, digest),
        }
    }

    /// When something that a repository holds was last pushed, mounted or asked for; `None` if it is not there.
    pub fn used(
        &self,
        name: &RepositoryName,
        kind: Kind,
        digest: &Digest,
    ) -> Result<Option<SystemTime>, Error> {
        let file = disk::metadata(&self.held_as(name, kind, digest))?.filter(Metadata::is_file); // anything else is nothing of ours
        Ok(file.map(|file| disk::last_used(&file)))
    }

    /// Is there something by the name of a manifest that is no file: a folder, a link to what is not mounted?
    pub fn is_no_file(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
        let held = self.held_manifest(name, digest);
        Ok(disk::metadata_of_name(&held)?.is_some() && !disk::is_file(&held)?)
    }

    /// Every entry of a repository's `_referrers`.
    pub fn all_referrers(&self, name: &RepositoryName) -> Result<Vec<Entry>, Error> {
        let mut found = Vec::new();
        let referrers = self.repository(name).join("_referrers");
        for Named { path, digest, .. } in self.named_below(&referrers, &|_| true)? {
            if !path.is_dir() {
                found.push(Entry { path, pair: None });
                continue;
            }
            for entry in disk::entries(&path)? {
                let referrer = entry.file_name().to_str().and_then(super::referrers::parse_entry);
                found.push(Entry { path: entry.path(), pair: digest.clone().zip(referrer) });
            }
        }
        Ok(found)
    }

    /// The names below `uploads/`, and whether each is a session that can go on.
    pub fn all_uploads(&self) -> Result<Vec<(PathBuf, bool)>, Error> {
        let mut found = Vec::new();
        for entry in disk::entries(&self.root.join("uploads"))? {
            let path = entry.path();
            let has_session = super::uploads::read_session(&path).is_ok_and(|session| session.is_some());
            let whole = has_session && disk::is_file(&path.join("data")).unwrap_or(false);
            found.push((path, whole));
        }
        Ok(found)
    }

    /// Hashes a file; `None` if it is gone. `passed` is told of every piece, in bytes.
    pub fn digest_of(
        &self,
        path: &Path,
        algorithm: Algorithm,
        passed: &dyn Fn(u64),
    ) -> Result<Option<Digest>, Error> {
        let Some(mut file) = disk::open(path)? else { return Ok(None) };
        let (mut hasher, mut buffer) = (Hasher::new(algorithm), vec![0; 256 << 10]);
        loop {
            let count = file.read(&mut buffer).map_err(failed("read", path))?;
            if count == 0 {
                return Ok(Some(hasher.finish()));
            }
            hasher.update(&buffer[..count]);
            passed(count as u64);
        }
    }

    /// The names in `<folder>/<algorithm>/`, for every algorithm, but for files that are not wanted; what else there
    /// is, is listed as such.
    fn named_below(&self, folder: &Path, wanted: &dyn Fn(&Metadata) -> bool) -> Result<Vec<Named>, Error> {
        let mut found = Vec::new();
        for entry in disk::entries(folder)? {
            let (path, name) = (entry.path(), entry.file_name());
            let algorithm = name.to_str().and_then(|name| Algorithm::parse(name).ok());
            match algorithm.filter(|_| path.is_dir()) {
                Some(algorithm) => {
                    for entry in disk::entries(&path)? {
                        let hex = entry.file_name();
                        let digest = hex.to_str().and_then(|hex| Digest::from_parts(algorithm, hex).ok());
                        found.extend(named(entry.path(), digest, wanted));
                    }
                }
                None => found.extend(named(path, None, wanted)),
            }
        }
        Ok(found)
    }
}

/// `None`: it is gone meanwhile, or a file that is not wanted.
fn named(path: PathBuf, digest: Option<Digest>, wanted: &dyn Fn(&Metadata) -> bool) -> Option<Named> {
    let metadata = disk::metadata(&path).ok().flatten().filter(Metadata::is_file);
    if metadata.as_ref().is_some_and(|file| !wanted(file)) {
        return None;
    }
    let there = metadata.is_some() || path.symlink_metadata().is_ok();
    let file = metadata.as_ref().map(FileId::of);
    let used = metadata.as_ref().map_or(SystemTime::UNIX_EPOCH, disk::last_used);
    let (links, size) = metadata.map_or((0, 0), |file| (file.nlink(), file.len()));
    there.then_some(Named { path, digest, file, links, size, used })
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Blobs => "_blobs",
            Self::Manifests => "_manifests",
        }
    }
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<RepositoryName>) -> Result<(), Error> {
    let names = disk::names(folder)?;
    if names.iter().any(|name| KINDS.contains(&name.as_str())) {
        found.extend(RepositoryName::parse(prefix));
    }
    for name in &names {
        let below = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if RepositoryName::parse(&below).is_ok() {
            walk(&folder.join(name), &below, found)?;
        }
    }
    Ok(())
}

fn walk_folders(folder: &Path, prefix: &str, mut names: Vec<String>, found: &mut Vec<RepositoryName>) {
    names.sort();
    for name in names {
        let (folder, below) = (folder.join(&name), format!("{prefix}{name}"));
        let Ok(repository) = RepositoryName::parse(&below) else { continue }; // nor is any below it
        if let Ok(names) = disk::names(&folder) {
            walk_folders(&folder, &format!("{below}/"), names, found);
        }
        found.push(repository);
    }
}
