//! What the registry should hold: plain maps in memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::{Content, Document};

/// What there is.
#[derive(Clone, Default)]
pub struct Model {
    /// By name. One that ever held something stays, if need be empty.
    pub repositories: BTreeMap<String, Repository>,
    /// By number, in the order of their coming.
    pub sessions: BTreeMap<usize, Session>,
    /// Where others work in the same registry, the names of this model's repositories begin with this.
    pub prefix: Option<String>,
}

#[derive(Clone, Default)]
pub struct Repository {
    /// Digests.
    pub blobs: BTreeSet<String>,
    /// Digest and the document's number.
    pub manifests: BTreeMap<String, usize>,
    /// Tag and digest.
    pub tags: BTreeMap<String, String>,
}

/// An upload session.
#[derive(Clone)]
pub struct Session {
    pub name: String,
    pub location: String,
    /// Which blob the client has in mind.
    pub blob: usize,
    /// What was sent; `None` when the session is over.
    pub bytes: Option<Vec<u8>>,
}

impl Session {
    /// The last part of its location.
    pub fn id(&self) -> &str {
        self.location.rsplit('/').next().unwrap_or_default()
    }
}

impl Model {
    /// What several models, of different repositories, say together.
    pub fn union<'m>(models: impl Iterator<Item = &'m Self>) -> Self {
        models.fold(Self::default(), |mut union, model| {
            union.repositories.extend(model.repositories.clone());
            let first = union.sessions.len();
            union.sessions.extend((first..).zip(model.sessions.values().cloned()));
            union
        })
    }

    pub fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    /// The repository, which is there from now on.
    pub fn enter(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub fn has_blob(&self, name: &str, digest: &str) -> bool {
        self.repository(name).is_some_and(|repository| repository.blobs.contains(digest))
    }

    pub fn has_manifest(&self, name: &str, digest: &str) -> bool {
        self.repository(name).is_some_and(|repository| repository.manifests.contains_key(digest))
    }

    pub fn tag(&self, name: &str, tag: &str) -> Option<&String> {
        self.repository(name)?.tags.get(tag)
    }

    /// How many repositories hold these bytes, each as blob and as manifest.
    pub fn holders(&self, digest: &str) -> usize {
        let held = |repository: &Repository| {
            usize::from(repository.blobs.contains(digest))
                + usize::from(repository.manifests.contains_key(digest))
        };
        self.repositories.values().map(held).sum()
    }

    /// All digests that some repository holds.
    pub fn held(&self) -> BTreeSet<&String> {
        self.repositories
            .values()
            .flat_map(|repository| repository.blobs.iter().chain(repository.manifests.keys()))
            .collect()
    }

    /// What a document needs and the repository does not hold.
    pub fn missing(&self, name: &str, document: &Document) -> BTreeSet<String> {
        let is_there = |digest: &str, or_manifest: bool| {
            self.has_blob(name, digest) || or_manifest && self.has_manifest(name, digest)
        };
        let needs = document.needs.iter().filter(|need| !is_there(&need.digest, need.or_manifest));
        needs.map(|need| need.digest.clone()).collect()
    }

    /// The manifests that refer to something that was deleted since: repository, digest, and what is missing.
    pub fn dangling(&self, content: &Content) -> BTreeSet<(String, String, String)> {
        let mut found = BTreeSet::new();
        for (name, repository) in &self.repositories {
            for (digest, number) in &repository.manifests {
                for missing in self.missing(name, &content.documents[*number]) {
                    found.insert((name.clone(), digest.clone(), missing));
                }
            }
        }
        found
    }

    /// The manifests that say that they are about `subject`, in the order of their digests.
    pub fn referrers(&self, name: &str, subject: &str, content: &Content) -> Vec<(String, usize)> {
        let manifests = self.repository(name).map(|repository| repository.manifests.clone());
        let is_about = |number: &usize| content.documents[*number].subject.as_deref() == Some(subject);
        manifests.into_iter().flatten().filter(|(_, number)| is_about(number)).collect()
    }

    /// The repositories that hold a manifest.
    pub fn catalog(&self) -> Vec<String> {
        let holding = self.repositories.iter().filter(|(_, repository)| !repository.manifests.is_empty());
        holding.map(|(name, _)| name.clone()).collect()
    }

    /// Sessions that are not over.
    pub fn open_sessions(&self) -> impl Iterator<Item = (usize, &Session)> {
        self.sessions.iter().filter(|(_, session)| session.bytes.is_some()).map(|(number, s)| (*number, s))
    }
}
