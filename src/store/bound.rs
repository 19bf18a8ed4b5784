//! What immutable tags stand for: their manifests, and all that these refer to. It can be deleted as little as the
//! tags can: without one of its layers a tag would be another image.
//!
//! Who sees what, when: a tag that is immutable hardly ever moves (an import that fails takes its own back, hands can do
//! anything), and what a manifest says does not change. So nearly all can be read before the repository's lock is
//! taken, and under it only where tags point and what has come since.

use std::collections::btree_map::{BTreeMap, Entry};

use super::Store;
use super::disk;
use super::tags::TagTarget;
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::name::RepositoryName;
use crate::reference::Tag;

/// What belongs to immutable tags of a repository, as far as they have been looked at.
#[derive(Default)]
pub(super) struct Bound {
    tags: BTreeMap<Tag, Digest>,
    content: BTreeMap<Digest, Tag>,
}

impl Store {
    /// Takes note of the immutable tags that `bound` does not know yet, or not so. Where there can be none, this costs nothing.
    ///
    /// # Errors
    /// [`Error::ManifestInvalid`] for a manifest that is no longer one: nobody knows what it refers to.
    pub(super) fn read_bound(&self, name: &RepositoryName, bound: &mut Bound) -> Result<(), Error> {
        if !self.immutable.match_a_tag_of(name) {
            return Ok(());
        }
        for text in disk::file_and_link_names(&self.tags(name))? {
            let Ok(tag) = Tag::parse(&text) else { continue };
            if self.is_immutable(name, &tag)
                && let Some(target) = self.read_tag(name, &tag)?
                && bound.tags.get(&tag) != Some(&target.digest())
            {
                let mut queue = vec![target.digest()];
                bound.tags.insert(tag.clone(), target.digest());
                if let TagTarget::File(bytes) = target {
                    queue.extend(parts(&bytes)?);
                }
                while let Some(digest) = queue.pop() {
                    if let Entry::Vacant(new) = bound.content.entry(digest) {
                        if let Some(bytes) = disk::read(&self.held_manifest(name, new.key()))? {
                            queue.extend(parts(&bytes)?); // else it is a blob
                        }
                        new.insert(tag.clone());
                    }
                }
            }
        }
        Ok(())
    }
}

impl Bound {
    /// May this be deleted?
    ///
    /// # Errors
    /// [`Error::TagNeeds`].
    pub(super) fn require_free(&self, digest: &Digest) -> Result<(), Error> {
        match self.content.get(digest) {
            Some(tag) => Err(Error::TagNeeds { tag: tag.clone(), digest: digest.clone() }),
            None => Ok(()),
        }
    }
}

fn parts(bytes: &[u8]) -> Result<Vec<Digest>, Error> {
    Ok(Manifest::parse_stored(bytes)?.parts().map(|part| part.digest.clone()).collect())
}
