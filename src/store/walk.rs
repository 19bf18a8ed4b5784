//! The store from end to end: what lies where. For those who take care of it (`registry verify`).
//!
//! Who sees what, when: servers may be at work meanwhile. What these functions list may be gone a moment later,
//! and what is new may be missing.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Store;
use super::disk::{self, failed};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Error;
use crate::name::RepositoryName;

/// A file of the store that bears a digest as its name, or should.
#[derive(Clone, Debug)]
pub struct Named {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name as a digest; `None` when it is none.
    pub digest: Option<Digest>,
    /// Its length in bytes.
    pub size: u64,
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

/// How a name in a repository relates to the one under `blobs/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// They are one file.
    Linked,
    /// They are two files, and others are one with this: it had all the links it can have, and another took its
    /// place under `blobs/`.
    Older,
    /// They are two files.
    Copied,
    /// There is none under `blobs/`.
    Torn,
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

    /// Is this file the one under `blobs/`?
    pub fn tie(&self, path: &Path, digest: &Digest) -> Result<Tie, Error> {
        Ok(match disk::same(path, &self.blob(digest))? {
            Some(true) => Tie::Linked,
            Some(false) if disk::metadata(path)?.is_some_and(|file| file.nlink() > 1) => Tie::Older,
            Some(false) => Tie::Copied,
            None => Tie::Torn,
        })
    }

    /// The names in a repository's `_tags`, whatever they are.
    pub fn tag_names(&self, name: &RepositoryName) -> Result<Vec<String>, Error> {
        Ok(disk::names(&self.tags(name))?)
    }

    /// Every entry of a repository's `_referrers`.
    pub fn all_referrers(&self, name: &RepositoryName) -> Result<Vec<Entry>, Error> {
        let mut found = Vec::new();
        for subject in self.named_below(&self.repository(name).join("_referrers"))? {
            for entry in disk::names(&subject.path)? {
                let pair = subject.digest.clone().zip(super::referrers::parse_entry(&entry));
                found.push(Entry { path: subject.path.join(entry), pair });
            }
        }
        Ok(found)
    }

    /// The names below `uploads/`, and whether each is a session that can go on.
    pub fn all_uploads(&self) -> Result<Vec<(PathBuf, bool)>, Error> {
        let uploads = self.root.join("uploads");
        let mut found = Vec::new();
        for entry in disk::names(&uploads)? {
            let path = uploads.join(entry);
            let whole = super::uploads::read_session(&path)?.is_some()
                && disk::metadata(&path.join("data"))?.is_some();
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

    /// The names in `<folder>/<algorithm>/`, for every algorithm; folders of another name are listed as such.
    fn named_below(&self, folder: &Path) -> Result<Vec<Named>, Error> {
        let mut found = Vec::new();
        for name in disk::names(folder)? {
            let path = folder.join(&name);
            match Algorithm::parse(&name) {
                Ok(algorithm) => {
                    for hex in disk::names(&path)? {
                        let digest = Digest::from_parts(algorithm, &hex).ok();
                        found.extend(self.named(path.join(hex), digest)?);
                    }
                }
                Err(_) => found.extend(self.named(path, None)?),
            }
        }
        Ok(found)
    }

    fn named(&self, path: PathBuf, digest: Option<Digest>) -> Result<Option<Named>, Error> {
        let metadata = disk::metadata(&path)?; // none: it is gone meanwhile
        Ok(metadata.map(|metadata| Named { path, digest, size: metadata.len() }))
    }
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
