//! What the manifests of a repository refer to, and which of them are held by something.
//!
//! A digest that is mentioned a thousand times is kept once, and is a number in all lists: a repository may have a
//! hundred thousand manifests of fifty layers each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::digest::Digest;
use crate::error::Error;
use crate::json::invalid;
use crate::manifest::Manifest;
use crate::name::RepositoryName;
use crate::reference::{Reference, Tag};
use crate::store::Store;
use crate::store::tags::TagTarget;
use crate::store::walk::Kind;

/// A digest, by its place in a list of all that were mentioned.
type Id = u32;

/// The references of a repository.
pub(super) struct References {
    ids: HashMap<Digest, Id>,
    digests: Vec<Digest>,
    /// The manifests that the repository holds.
    manifests: BTreeMap<Id, Document>,
    /// Where tags point, and what is in those that are files of their own.
    tags: Vec<(String, Id, Option<Document>)>,
    /// Are all tags to be read, or only those of the second kind?
    all_tags: bool,
}

/// What a manifest says.
struct Document {
    parts: Box<[Id]>,
    subject: Option<Id>,
}

/// Why something stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A tag points at it, or contains it.
    Tag(String),
    /// It was used within the grace.
    Recent,
    /// This manifest refers to it.
    In(Digest),
    /// This is its subject.
    About(Digest),
}

/// What stays, and why.
pub(super) type Stays = HashMap<Id, Why>;

impl References {
    /// Reads all manifests of a repository, and its tags: all of them, or those that are files of their own.
    ///
    /// # Errors
    /// [`Error::ManifestInvalid`] for a manifest that is lost or whose bytes are not what they were, or a tag made by
    /// hand that is none: what it refers to cannot be known.
    pub fn read(store: &Store, name: &RepositoryName, all_tags: bool) -> Result<Self, Error> {
        let mut references = Self {
            ids: HashMap::new(),
            digests: Vec::new(),
            manifests: BTreeMap::new(),
            tags: Vec::new(),
            all_tags,
        };
        references.refresh(store, name)?;
        Ok(references)
    }

    /// Takes note of what has come and gone. A manifest that was read before is not read again: it is what its
    /// digest says.
    pub fn refresh(&mut self, store: &Store, name: &RepositoryName) -> Result<(), Error> {
        let mut held = store.held_digests_of(name, Kind::Manifests)?;
        held.sort(); // so that a sweep goes about it in the same order each time
        let held: BTreeSet<Id> = held.into_iter().map(|digest| self.id(digest)).collect();
        if let Some((_, digest)) = store.lost(name)?.first() {
            let entry = format!("_lost/{}-{}", digest.algorithm(), digest.hex());
            let why =
                format!("it is lost; push the image again, or remove {entry} to give up what it refers to");
            return Err(unreadable(&digest.to_string(), &why));
        }
        self.manifests.retain(|id, _| held.contains(id));
        for id in held {
            if !self.manifests.contains_key(&id)
                && let Some(document) = self.read_manifest(store, name, id)?
            {
                self.manifests.insert(id, document);
            }
        }
        self.read_tags(store, name)
    }

    fn read_manifest(
        &mut self,
        store: &Store,
        name: &RepositoryName,
        id: Id,
    ) -> Result<Option<Document>, Error> {
        let digest = self.digests[id as usize].clone();
        let bytes = match store.look_at_manifest(name, &Reference::Digest(digest.clone())) {
            Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_))
                if store.is_no_file(name, &digest)? =>
            {
                return Err(unreadable(&digest.to_string(), "it is no file, or a link to none"));
            }
            Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => return Ok(None), // gone meanwhile
            stored => stored?.bytes,
        };
        if Digest::of(digest.algorithm(), &bytes) != digest {
            return Err(unreadable(&digest.to_string(), "its bytes have another digest"));
        }
        self.document(&bytes, &digest.to_string()).map(Some)
    }

    fn read_tags(&mut self, store: &Store, name: &RepositoryName) -> Result<(), Error> {
        let tags: Vec<Tag> = match self.all_tags {
            true => store.all_tags(name)?.into_iter().filter_map(|entry| entry.tag).collect(),
            false => store.tags_by_hand(name)?,
        };
        self.tags.clear();
        for tag in tags {
            let Some(target) = store.read_tag(name, &tag)? else { continue };
            let id = self.id(target.digest());
            let document = match target {
                TagTarget::Manifest(_) => None,
                TagTarget::File(bytes) => Some(self.document(&bytes, &format!("_tags/{tag}"))?),
            };
            self.tags.push((tag.to_string(), id, document));
        }
        Ok(())
    }

    fn document(&mut self, bytes: &[u8], place: &str) -> Result<Document, Error> {
        let manifest =
            Manifest::parse_stored(bytes).map_err(|error| unreadable(place, &error.to_string()))?;
        let parts = manifest.parts().map(|part| self.id(part.digest.clone())).collect();
        Ok(Document { parts, subject: manifest.subject.map(|subject| self.id(subject.digest)) })
    }

    fn id(&mut self, digest: Digest) -> Id {
        let next = self.digests.len() as Id;
        *self.ids.entry(digest).or_insert_with_key(|digest| {
            self.digests.push(digest.clone());
            next
        })
    }

    // ---- who holds whom

    /// The manifests that something holds: a tag, an index that is held, a subject that is held, or their use a
    /// moment ago.
    pub fn kept(&self, is_recent: &dyn Fn(&Digest) -> Result<bool, Error>) -> Result<Stays, Error> {
        let about = self.about();
        let mut kept = Stays::new();
        let mut queue: Vec<Id> = Vec::new();
        let mut keep = |queue: &mut Vec<Id>, id: Id, why: Why| {
            kept.entry(id).or_insert_with(|| {
                queue.push(id);
                why
            });
        };
        for (tag, id, document) in &self.tags {
            keep(&mut queue, *id, Why::Tag(tag.clone()));
            for part in document.iter().flat_map(|document| &document.parts) {
                keep(&mut queue, *part, Why::Tag(tag.clone()));
            }
        }
        for id in self.manifests.keys() {
            if is_recent(&self.digests[*id as usize])? {
                keep(&mut queue, *id, Why::Recent);
            }
        }
        while let Some(id) = queue.pop() {
            let this = &self.digests[id as usize];
            for part in self.manifests.get(&id).iter().flat_map(|document| &document.parts) {
                if self.manifests.contains_key(part) {
                    keep(&mut queue, *part, Why::In(this.clone()));
                }
            }
            for referrer in about.get(&id).into_iter().flatten() {
                keep(&mut queue, *referrer, Why::About(this.clone()));
            }
        }
        Ok(kept)
    }

    /// Everything that these manifests refer to, or all; and what tags refer to that are files of their own.
    pub fn referred(&self, by: Option<&Stays>) -> Stays {
        let mut referred = Stays::new();
        for (tag, _, document) in &self.tags {
            for id in document.iter().flat_map(Document::mentioned) {
                referred.insert(id, Why::Tag(tag.clone()));
            }
        }
        for (id, document) in &self.manifests {
            if by.is_none_or(|by| by.contains_key(id)) {
                for part in document.mentioned() {
                    referred.entry(part).or_insert_with(|| Why::In(self.digests[*id as usize].clone()));
                }
            }
        }
        referred
    }

    /// The manifests that do not stay: each behind all that refer to it as to a part, and behind its subject. So when
    /// one is found to be in use after all, what it holds is still there, parts and referrers.
    ///
    /// Both at once cannot always be: an index may be about its own child. Where they go in a circle, indexes alone
    /// count, which cannot: each digest is of bytes that contain those of its parts.
    pub fn not_in(&self, kept: &Stays) -> Vec<Digest> {
        let going = || self.manifests.iter().filter(|(id, _)| !kept.contains_key(id));
        // For each that is not in order yet: how many that refer to it are not, either.
        let mut left: HashMap<Id, usize> = going().map(|(id, _)| (*id, 0)).collect();
        for part in going().flat_map(|(_, document)| &document.parts) {
            if let Some(count) = left.get_mut(part) {
                *count += 1;
            }
        }
        let about = self.about();
        let subject = |id: Id| self.manifests[&id].subject;
        let is_free = |id: &Id| left[id] == 0;
        let waits = |left: &HashMap<Id, usize>, id: Id| subject(id).is_some_and(|id| left.contains_key(&id));
        let (mut waiting, mut ready): (BTreeSet<Id>, BTreeSet<Id>) =
            going().map(|(id, _)| *id).filter(is_free).partition(|id| waits(&left, *id));
        let mut order = Vec::new();
        while let Some(id) = ready.pop_first().or_else(|| waiting.pop_first()) {
            left.remove(&id);
            order.push(self.digests[id as usize].clone());
            for part in &self.manifests[&id].parts {
                if let Some(count) = left.get_mut(part) {
                    *count -= 1;
                    if *count == 0 {
                        let next = if waits(&left, *part) { &mut waiting } else { &mut ready };
                        next.insert(*part);
                    }
                }
            }
            for referrer in about.get(&id).into_iter().flatten() {
                ready.extend(waiting.take(referrer));
            }
        }
        order
    }

    /// The manifests that are about each subject.
    fn about(&self) -> HashMap<Id, Vec<Id>> {
        let mut about: HashMap<Id, Vec<Id>> = HashMap::new();
        for (id, document) in &self.manifests {
            if let Some(subject) = document.subject {
                about.entry(subject).or_default().push(*id);
            }
        }
        about
    }

    /// Is a digest among these?
    pub fn is_in(&self, stays: &Stays, digest: &Digest) -> bool {
        self.why(stays, digest).is_some()
    }

    /// Why it is.
    pub fn why<'s>(&self, stays: &'s Stays, digest: &Digest) -> Option<&'s Why> {
        stays.get(self.ids.get(digest)?)
    }

    /// What a manifest is about.
    pub fn subject(&self, digest: &Digest) -> Option<&Digest> {
        let document = self.manifests.get(self.ids.get(digest)?)?;
        document.subject.map(|subject| &self.digests[subject as usize])
    }
}

impl Document {
    fn mentioned(&self) -> impl Iterator<Item = Id> {
        self.parts.iter().copied().chain(self.subject)
    }
}

fn unreadable(place: &str, why: &str) -> Error {
    invalid("", format!("{place} cannot be read, so nothing is swept in this repository: {why}"))
}
