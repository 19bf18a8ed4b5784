//! Taking back what an import brought in before it failed.
//!
//! Who sees what, when: an import is no secret while it goes on, and somebody else may have begun to build on what it
//! brought. So each thing goes only while nothing in the repository needs it, looked at under the repository's lock:
//! a tag while it is still where the import put it, a manifest while no tag and no index has it, a blob while no
//! manifest refers to it. And only while nobody was told of it: content that somebody has pushed, mounted or asked
//! for since is theirs, and so is what another repository had already, of which it cannot be known. A sweep decides
//! on that later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::Path;

use super::Store;
use super::disk;
use super::tags::TagTarget;
use super::walk::Kind;
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::name::RepositoryName;
use crate::reference::{Reference, Tag};

/// What an import has brought into a repository that was not there before.
#[derive(Debug, Default)]
pub struct Brought {
    /// Blobs.
    pub blobs: BTreeSet<Digest>,
    /// Manifests, in the order of their coming.
    pub manifests: Vec<Digest>,
    /// Tags, with what they were set to, or were about to be, and what they were before.
    pub tags: Vec<(Tag, Digest, Option<TagTarget>)>,
}

/// What the manifests of a repository refer to, and how many times.
type Needed = BTreeMap<Digest, usize>;

impl Store {
    /// Takes back what was brought by way of this store, which must be one that was made
    /// [to take back](Store::to_take_back).
    ///
    /// # Errors
    /// The disk. What is left then is what a crash leaves: content that no tag leads to.
    pub fn take_back(&self, name: &RepositoryName, brought: &Brought) -> Result<(), Error> {
        if !self.repository_exists(name) {
            return Ok(());
        }
        let _repository = self.own_repository(name)?;
        for (tag, ours, before) in brought.tags.iter().rev() {
            self.take_back_tag(name, tag, ours, before.as_ref())?;
        }
        let (mut needed, tagged) = (self.needed(name)?, self.tagged(name)?);
        for digest in brought.manifests.iter().rev() {
            let is_free = !needed.contains_key(digest) && !tagged.contains(digest);
            if is_free && self.has_manifest(name, digest)? {
                self.take_back_manifest(name, digest, &mut needed)?;
            }
        }
        for digest in brought.blobs.iter().filter(|digest| !needed.contains_key(digest)) {
            self.take_back_content(digest, &self.held_blob(name, digest))?;
        }
        Ok(())
    }

    /// Says whether it went.
    fn take_back_content(&self, digest: &Digest, held: &Path) -> Result<bool, Error> {
        let is_unused = |file: &Metadata| self.unused.is_some_and(|unused| unused.is_of(file));
        let Some(aside) = self.take_aside(digest, held, &is_unused)? else { return Ok(false) };
        let aside = [aside];
        self.settle_aside(&aside)?;
        let [aside] = aside;
        self.let_go_of(aside).map(|_| true)
    }

    fn take_back_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        ours: &Digest,
        before: Option<&TagTarget>,
    ) -> Result<(), Error> {
        if self.read_tag(name, tag)? != Some(TagTarget::Manifest(ours.clone())) {
            return Ok(()); // it never came so far, or somebody has moved it since
        }
        let path = self.tag(name, tag);
        match before {
            None => self.change_tag(name, tag, None, || Ok(disk::remove(&path).map(drop)?))?,
            Some(TagTarget::Manifest(digest)) => self.write_tag(name, tag, digest)?,
            Some(target @ TagTarget::File(bytes)) => {
                self.change_tag(name, tag, Some(&target.digest()), || disk::replace_file(&path, bytes))?;
            }
        }
        self.sync_tags(name)
    }

    fn take_back_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        needed: &mut Needed,
    ) -> Result<(), Error> {
        let stored = self.look_at_manifest(name, &Reference::Digest(digest.clone()))?;
        let manifest = Manifest::parse_stored(&stored.bytes)?;
        if !self.take_back_content(digest, &self.held_manifest(name, digest))? {
            return Ok(());
        }
        for (_, descriptor) in manifest.refers_to() {
            if let Some(count) = needed.get_mut(&descriptor.digest) {
                *count -= 1;
            }
        }
        needed.retain(|_, count| *count > 0);
        match manifest.subject {
            Some(subject) => self.delete_referrer(name, &subject.digest, digest),
            None => Ok(()),
        }
    }

    fn needed(&self, name: &RepositoryName) -> Result<Needed, Error> {
        let mut needed = Needed::new();
        for held in self.held(name, Kind::Manifests)? {
            let Some(bytes) = disk::read(&held.path)? else { continue };
            // One that is none any more, by a broken disk, needs nothing that could be told.
            let Ok(manifest) = Manifest::parse_stored(&bytes) else { continue };
            for (_, descriptor) in manifest.refers_to() {
                *needed.entry(descriptor.digest.clone()).or_default() += 1;
            }
        }
        Ok(needed)
    }

    /// What has a tag.
    fn tagged(&self, name: &RepositoryName) -> Result<BTreeSet<Digest>, Error> {
        let names = disk::file_and_link_names(&self.tags(name))?;
        let tags = names.into_iter().filter_map(|text| Tag::parse(&text).ok());
        let targets = tags.map(|tag| Ok(self.read_tag(name, &tag)?.map(|target| target.digest())));
        targets.filter_map(Result::transpose).collect()
    }
}
