//! Referrers: manifests that say of themselves what they are about (signatures, bills of materials).
//!
//! Who sees what, when: a manifest with a `subject` is listed from the moment it is there. Its entry is written
//! before it and removed after it, and an entry without a manifest is not looked at. The subject itself need not
//! be there.

use std::path::PathBuf;

use super::Store;
use super::disk;
use super::tags::{page, target_of};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::name::RepositoryName;

impl Store {
    /// Enters `referrer` in the list of `subject`, durably. The repository's lock is the caller's.
    pub(super) fn write_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<(), Error> {
        let folder = self.referrers_of(name, subject);
        self.create_folder(&folder)?;
        disk::point(&folder.join(entry(referrer)), &target_of("../../..", referrer))?;
        Ok(disk::sync_folder(&folder)?)
    }

    /// Takes `referrer` from the list of `subject`. The repository's lock is the caller's.
    pub(super) fn delete_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<(), Error> {
        let folder = self.referrers_of(name, subject);
        if disk::remove(&folder.join(entry(referrer)))? {
            disk::sync_folder(&folder)?;
        }
        Ok(())
    }

    /// The name by which `referrer` is in the list of `subject`.
    pub fn entry_of(&self, name: &RepositoryName, subject: &Digest, referrer: &Digest) -> PathBuf {
        self.referrers_of(name, subject).join(entry(referrer))
    }

    /// Takes back the entry of a manifest that could not be written.
    pub(super) fn retract_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<(), Error> {
        let _repository = self.own_repository(name)?; // so that nobody else is about to write it
        if self.has_manifest(name, referrer)? {
            return Ok(());
        }
        self.delete_referrer(name, subject, referrer)
    }

    /// The digests of the manifests whose subject is `subject`, in order, those behind `last`, at most `limit`;
    /// and whether there are more. A repository or a subject that does not exist has none.
    pub fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        last: Option<&Digest>,
        limit: usize,
    ) -> Result<(Vec<Digest>, bool), Error> {
        let entries = disk::names(&self.referrers_of(name, subject))?;
        let entries = entries.into_iter().filter(|text| parse_entry(text).is_some());
        let (entries, more) = page(entries, last.map(entry).as_deref(), limit);
        Ok((entries.iter().filter_map(|text| parse_entry(text)).collect(), more))
    }
}

/// `sha256-<hex>`: a digest as a file name that is easy to type (a colon is not, in a shell).
pub(super) fn entry(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.hex())
}

pub(super) fn parse_entry(text: &str) -> Option<Digest> {
    let (algorithm, hex) = text.split_once('-')?;
    Digest::from_parts(Algorithm::parse(algorithm).ok()?, hex).ok()
}
