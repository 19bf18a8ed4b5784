//! Manifests: what makes an image of blobs.
//!
//! Who sees what, when: a manifest is in a repository from the moment its link under `_manifests` stands, and
//! then everything it refers to is there too, and so is its entry as a referrer; its tags follow after. The check
//! and the writing happen under the repository's lock, so nothing that was found present goes before the
//! manifest stands.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use super::Store;
use super::blobs::{parent, sync_folder_of};
use super::bound::Bound;
use super::compare;
use super::disk;
use super::tags::TagTarget;
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{Held, Manifest};
use crate::name::RepositoryName;
use crate::reference::{Reference, Tag, UploadId};

/// A manifest as it is served.
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// The bytes exactly as pushed.
    pub bytes: Vec<u8>,
}

/// What must be so for a tag to be written (RFC 9110, 13.1). The default demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// `If-Match`: the tag is one of these now.
    pub is: Option<Candidates>,
    /// `If-None-Match`: the tag is none of these now.
    pub is_not: Option<Candidates>,
}

/// The right side of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// `*`: whatever there is.
    Any,
    /// These digests, as text: one that does not parse matches nothing.
    These(Vec<String>),
}

impl Candidates {
    /// Is what is there now among them?
    pub fn contain(&self, current: Option<&Digest>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::These(digests), Some(current)) => digests.contains(&current.to_string()),
        }
    }
}

impl Condition {
    fn holds(&self, current: Option<&Digest>) -> bool {
        self.is.as_ref().is_none_or(|candidates| candidates.contain(current))
            && !self.is_not.as_ref().is_some_and(|candidates| candidates.contain(current))
    }
}

/// A manifest to be stored.
pub struct NewManifest<'a> {
    /// The digest of `bytes`.
    pub digest: &'a Digest,
    /// The bytes.
    pub bytes: &'a [u8],
    /// What is in them.
    pub content: &'a Manifest,
    /// The tags to point at it.
    pub tags: &'a [Tag],
    /// What must hold for the first tag.
    pub condition: Condition,
}

/// For whom a manifest is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A client, who may rely on it from now on.
    Client,
    /// Somebody who takes care of the store.
    Caretaker,
}

/// How often a reader looks again when a tag moves, and its old manifest goes, between two of its steps.
const READ_ATTEMPTS: usize = 10;

impl Store {
    /// Stores a manifest and points its tags at it, durably.
    ///
    /// # Errors
    /// [`Error::ManifestBlobUnknown`] with all that is missing; [`Error::PreconditionFailed`];
    /// [`Error::TagImmutable`]. Nothing is written then.
    pub fn put_manifest(&self, name: &RepositoryName, new: &NewManifest<'_>) -> Result<(), Error> {
        if !self.repository_exists(name) {
            self.require(name, new)?; // so that a refusal leaves not even a folder behind
        }
        let depends_on_tags =
            new.condition != Condition::default() || new.tags.iter().any(|tag| self.is_immutable(name, tag));
        let repository = match depends_on_tags {
            false => self.enter_repository(name)?,
            true => self.enter_repository_alone(name)?, // nobody moves a tag between the look at it and the writing
        };
        self.require(name, new)?; // what is there stays there from here on
        let written = self.write_in_order(name, new);
        drop(repository);
        if let (Err(_), Some(subject)) = (&written, &new.content.subject) {
            let _ = self.retract_referrer(name, &subject.digest, new.digest);
        }
        written
    }

    /// Bytes first, name last. The entry as a referrer points to nowhere until the manifest is there, and is not
    /// looked at until then; the other way round, a crash could leave a signature that nobody finds.
    fn write_in_order(&self, name: &RepositoryName, new: &NewManifest<'_>) -> Result<(), Error> {
        self.settle_required(name, new)?;
        if let Some(subject) = &new.content.subject {
            self.write_referrer(name, &subject.digest, new.digest)?;
        }
        self.write_manifest(name, new)?;
        self.forget_lost(name, new.digest)?;
        for tag in new.tags {
            self.write_tag(name, tag, new.digest)?;
        }
        if new.tags.is_empty() { Ok(()) } else { self.sync_tags(name) }
    }

    /// May its tags be set, is everything that the manifest refers to in its repository, and does its condition
    /// hold?
    fn require(&self, name: &RepositoryName, new: &NewManifest<'_>) -> Result<(), Error> {
        for tag in new.tags {
            self.require_mutable(name, tag, Some(new.digest))?;
        }
        let mut missing = BTreeSet::new();
        for (held, descriptor) in new.content.required() {
            let digest = &descriptor.digest;
            let there = match held {
                Held::Blob => self.has_blob(name, digest)?,
                Held::ManifestOrBlob => self.has_manifest(name, digest)? || self.has_blob(name, digest)?,
            };
            if !there {
                missing.insert(digest.clone());
            }
        }
        if !missing.is_empty() {
            return Err(Error::ManifestBlobUnknown(missing.into_iter().collect()));
        }
        if let Some(tag) = new.tags.first() {
            let current = self.read_tag(name, tag)?.map(|target| target.digest());
            if !new.condition.holds(current.as_ref()) {
                return Err(Error::PreconditionFailed { current });
            }
        }
        Ok(())
    }

    /// What the manifest refers to may have come a moment ago, by somebody who has not synced yet.
    fn settle_required(&self, name: &RepositoryName, new: &NewManifest<'_>) -> Result<(), Error> {
        let mut folders = BTreeSet::new();
        for (held, descriptor) in new.content.required() {
            folders.insert(parent(&self.held_blob(name, &descriptor.digest)).to_owned());
            if held == Held::ManifestOrBlob {
                folders.insert(parent(&self.held_manifest(name, &descriptor.digest)).to_owned());
            }
        }
        for folder in folders {
            disk::if_exists(disk::sync_folder(&folder))?;
        }
        Ok(())
    }

    fn write_manifest(&self, name: &RepositoryName, new: &NewManifest<'_>) -> Result<(), Error> {
        let (held, blob) = (self.held_manifest(name, new.digest), self.blob(new.digest));
        if compare::has_bytes(&blob, new.bytes)? {
            if compare::same(&held, &blob)? == Some(true) {
                self.note_brought(&held)?;
                return Ok(sync_folder_of(&held)?);
            }
            if self.hold(new.digest, &held)? {
                return Ok(());
            }
        }
        let arriving = self.upload(&UploadId::random()?);
        let written = disk::create_with(&arriving, new.bytes)
            .and_then(|file| disk::seal(&file, &arriving))
            .map_err(Error::from)
            .and_then(|()| self.admit(&arriving, new.digest, &held, None));
        disk::remove(&arriving)?;
        written
    }

    /// Does the repository hold this manifest?
    pub fn has_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
        Ok(disk::is_file(&self.held_manifest(name, digest))?)
    }

    /// Reads a manifest by tag or digest.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`] or [`Error::NameUnknown`].
    pub fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, Error> {
        self.read_manifest_for(Reader::Client, name, reference)
    }

    /// Reads a manifest for somebody who takes care of the store: it does not count as asked for.
    ///
    /// # Errors
    /// As [`Store::read_manifest`].
    pub fn look_at_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, Error> {
        self.read_manifest_for(Reader::Caretaker, name, reference)
    }

    fn read_manifest_for(
        &self,
        reader: Reader,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, Error> {
        let stored = match reference {
            Reference::Digest(digest) => self.read_by_digest(reader, name, digest)?,
            Reference::Tag(tag) => self.read_by_tag(reader, name, tag)?,
        };
        if let Some(stored) = stored {
            Ok(stored)
        } else if self.repository_exists(name) {
            Err(Error::ManifestUnknown { name: name.clone(), reference: reference.to_string() })
        } else {
            Err(Error::NameUnknown(name.clone()))
        }
    }

    /// The file of a manifest, which holds what its digest says; `None` if it is not there any more, or was
    /// written as a tag by hand.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn open_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Arc<File>>, Error> {
        Ok(disk::open(&self.held_manifest(name, digest))?.map(Arc::new))
    }

    fn read_by_digest(
        &self,
        reader: Reader,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, Error> {
        let bytes = match self.read_held(reader, name, digest)? {
            Some(bytes) => Some(bytes),
            None => self.read_tag_file(name, digest)?,
        };
        Ok(bytes.map(|bytes| StoredManifest { digest: digest.clone(), bytes }))
    }

    /// The bytes of a manifest that the repository holds.
    fn read_held(
        &self,
        reader: Reader,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Vec<u8>>, Error> {
        let path = self.held_manifest(name, digest);
        if reader == Reader::Caretaker {
            return Ok(disk::read(&path)?);
        }
        let Some((file, metadata)) = self.open_to_tell(&path)? else { return Ok(None) };
        Ok(Some(disk::read_all(file, &metadata, &path)?))
    }

    fn read_by_tag(
        &self,
        reader: Reader,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<StoredManifest>, Error> {
        for _ in 0..READ_ATTEMPTS {
            let Some(target) = self.read_tag(name, tag)? else { break };
            let digest = target.digest();
            let bytes = match target {
                TagTarget::Manifest(digest) => self.read_held(reader, name, &digest)?,
                TagTarget::File(bytes) => Some(bytes),
            };
            if let Some(bytes) = bytes {
                return Ok(Some(StoredManifest { digest, bytes }));
            }
        }
        Ok(None)
    }

    /// Removes a manifest, and with it the tags that point at it and its entry as a referrer. Names go in the
    /// opposite order of their coming, so that no crash leaves one without bytes.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`] or [`Error::NameUnknown`]; [`Error::TagNeeds`].
    pub fn delete_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        let reference = Reference::Digest(digest.clone());
        self.look_at_manifest(name, &reference)?;
        let mut bound = Bound::default();
        self.read_bound(name, &mut bound)?;
        let _repository = self.own_repository(name)?;
        self.read_bound(name, &mut bound)?;
        bound.require_free(digest)?;
        let stored = self.look_at_manifest(name, &reference)?; // again: somebody may have been faster
        self.delete_tags_of(name, digest)?;
        if self.has_manifest(name, digest)? {
            self.forget_lost(name, digest)?;
            self.let_go(digest, &self.held_manifest(name, digest)).map(drop)?;
        }
        match Manifest::parse_stored(&stored.bytes).ok().and_then(|manifest| manifest.subject) {
            Some(subject) => self.delete_referrer(name, &subject.digest, digest),
            None => Ok(()),
        }
    }
}
