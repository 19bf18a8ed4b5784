//! Manifests that are lost: a repository held them, and nobody has their bytes any more.
//!
//! `registry verify --repair` moves the name of such a manifest from `_manifests` to `_lost/<algorithm>-<hex>`: nobody
//! is served wrong bytes then, and a client that asks is told to push the manifest. But what it referred to is still
//! in the repository, and only its bytes say what that is.
//!
//! Who sees what, when: an entry counts while the repository does not hold the manifest. So long a sweep takes nothing
//! there ([`gc`](crate::gc)) and `registry verify` names it. Who brings the manifest removes the entry when its name
//! stands; who gives it up removes the entry by hand.

use std::path::PathBuf;

use super::Store;
use super::blobs::{parent, sync_folder_of};
use super::disk;
use super::referrers::{entry, parse_entry};
use crate::digest::Digest;
use crate::error::Error;
use crate::name::RepositoryName;

impl Store {
    /// The manifests of a repository that are lost, each with its entry.
    pub fn lost(&self, name: &RepositoryName) -> Result<Vec<(PathBuf, Digest)>, Error> {
        let (folder, mut found) = (self.repository(name).join("_lost"), Vec::new());
        for text in disk::names(&folder)? {
            if let Some(digest) = parse_entry(&text)
                && !self.has_manifest(name, &digest)?
            {
                found.push((folder.join(text), digest));
            }
        }
        Ok(found)
    }

    /// Moves the name of a manifest to its entry, durably. The repository's lock is the caller's.
    pub(super) fn lose(&self, name: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        let (held, lost) = (self.held_manifest(name, digest), self.lost_manifest(name, digest));
        self.create_folder(parent(&lost))?;
        disk::rename(&held, &lost)?;
        disk::remove(&held)?; // it is still there if both were names of one file (rename(2))
        sync_folder_of(&lost)?;
        Ok(sync_folder_of(&held)?)
    }

    /// Removes the entry of a manifest that is there again, or was until now.
    pub(super) fn forget_lost(&self, name: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        let lost = self.lost_manifest(name, digest);
        match disk::metadata_of_name(&lost)? {
            Some(it) if it.is_dir() => Ok(disk::remove_folder(&lost)?), // what had the name of a manifest and was none
            Some(_) => Ok(disk::remove(&lost).map(drop)?),
            None => Ok(()),
        }
    }

    fn lost_manifest(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.repository(name).join("_lost").join(entry(digest))
    }
}
