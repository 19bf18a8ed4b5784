//! The store from end to end: what lies where. For those who take care of it (`registry verify`).
//!
//! Who sees what, when: servers may be at work meanwhile. What these functions list may be gone a moment later,
//! and what is new may be missing.

use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Store;
use super::disk::{self, failed};
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
}

/// What tells a file from all others: names with the same are names of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    number: u64,
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
        self.named_below(&self.root.join("blobs"))
    }

    /// All repositories, also those that hold nothing any more.
    pub fn all_repositories(&self) -> Result<Vec<RepositoryName>, Error> {
        let mut found = Vec::new();
        walk(&self.root.join("repositories"), "", &mut found)?;
        Ok(found)
    }

    /// What a repository holds of one kind.
    pub fn held(&self, name: &RepositoryName, kind: Kind) -> Result<Vec<Named>, Error> {
        let folder = match kind {
            Kind::Blobs => "_blobs",
            Kind::Manifests => "_manifests",
        };
        self.named_below(&self.repository(name).join(folder))
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

    /// Every entry of a repository's `_referrers`.
    pub fn all_referrers(&self, name: &RepositoryName) -> Result<Vec<Entry>, Error> {
        let mut found = Vec::new();
        for Named { path, digest, .. } in self.named_below(&self.repository(name).join("_referrers"))? {
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

    /// The names in `<folder>/<algorithm>/`, for every algorithm; what else there is, is listed as such.
    fn named_below(&self, folder: &Path) -> Result<Vec<Named>, Error> {
        let mut found = Vec::new();
        for entry in disk::entries(folder)? {
            let (path, name) = (entry.path(), entry.file_name());
            let algorithm = name.to_str().and_then(|name| Algorithm::parse(name).ok());
            match algorithm.filter(|_| path.is_dir()) {
                Some(algorithm) => {
                    for entry in disk::entries(&path)? {
                        let hex = entry.file_name();
                        let digest = hex.to_str().and_then(|hex| Digest::from_parts(algorithm, hex).ok());
                        found.extend(named(entry.path(), digest));
                    }
                }
                None => found.extend(named(path, None)),
            }
        }
        Ok(found)
    }
}

/// `None`: it is gone meanwhile.
fn named(path: PathBuf, digest: Option<Digest>) -> Option<Named> {
    let metadata = disk::metadata(&path).ok().flatten().filter(Metadata::is_file);
    let there = metadata.is_some() || path.symlink_metadata().is_ok();
    let file = metadata.as_ref().map(|file| FileId { device: file.dev(), number: file.ino() });
    let (links, size) = metadata.map_or((0, 0), |file| (file.nlink(), file.len()));
    there.then_some(Named { path, digest, file, links, size })
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<RepositoryName>) -> Result<(), Error> {
    let names = disk::names(folder)?;
    if names.iter().any(|name| matches!(name.as_str(), "_blobs" | "_manifests" | "_tags" | "_referrers")) {
        found.extend(RepositoryName::parse(prefix));
    }
    for name in names.iter().filter(|name| !name.starts_with(['_', '.'])) {
        let below = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        walk(&folder.join(name), &below, found)?;
    }
    Ok(())
}
