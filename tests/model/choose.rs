//! What to do next: chosen at random, but with an eye on the model, so that most of it comes to something.

use crate::content::{ARTIFACT_TYPES, Content};
use crate::model::Model;
use crate::operation::{Chunk, Operation, Page, Put, Range, Session, Tags};
use crate::parts::random::Random;

const TAGS: [&str; 7] = ["latest", "v1", "V1", "v1.0_rc-1", "_", "0", "zz"];
/// What can be no tag.
const NO_TAGS: [&str; 2] = ["-x", ".hidden"];
/// Once in so many operations the process is killed.
const OPERATIONS_PER_RESTART: usize = 150;
const SESSIONS_MAX: usize = 6;

/// Chooses operations.
pub struct Chooser<'c> {
    pub content: &'c Content,
    /// The repositories that there may be.
    pub names: Vec<String>,
    /// Those of others, to mount from. Where there are any, the registry is not ours alone.
    pub foreign: Vec<String>,
    pub random: Random,
}

impl Chooser<'_> {
    pub fn choose(&mut self, model: &Model) -> Operation {
        if self.foreign.is_empty() && self.random.one_in(OPERATIONS_PER_RESTART) {
            return Operation::Restart;
        }
        let name = self.random.one_of(&self.names).clone();
        match self.random.below(100) {
            0..8 if model.open_sessions().count() < SESSIONS_MAX => self.start(name),
            0..30 => self.session(model, name),
            30..37 => self.post(model, name),
            37..46 => self.mount(model, name),
            46..54 => self.get_blob(model, name),
            54..59 => Operation::DeleteBlob { digest: self.blob_of(model, &name), name },
            59..74 => Operation::PutManifest { put: self.put(model, &name), name },
            74..82 => Operation::GetManifest {
                reference: self.reference(model, &name),
                head: self.random.one_in(3),
                known: self.known(model, &name),
                name,
            },
            82..89 => Operation::DeleteManifest { reference: self.reference(model, &name), name },
            89..93 => Operation::ListTags { page: self.page(&TAGS.map(str::to_owned)), name },
            93..95 => self.catalog(model),
            _ => self.referrers(model, name),
        }
    }

    // ---- uploads

    fn start(&mut self, name: String) -> Operation {
        let algorithm = *self.random.one_of(&[None, Some("sha256"), Some("sha512")]);
        Operation::Start { name, algorithm }
    }

    fn post(&mut self, model: &Model, name: String) -> Operation {
        let digest = self.wanted(model, &name);
        let number =
            |digest: &str| self.content.blobs.iter().position(|blob| blob.digest_like(digest) == digest);
        let blob = number(&digest).filter(|_| !self.random.one_in(10));
        Operation::Post { name, blob: blob.unwrap_or(self.random.below(self.content.blobs.len())), digest }
    }

    fn mount(&mut self, model: &Model, name: String) -> Operation {
        let digest = if self.random.one_in(8) {
            self.any_digest() // also one of a manifest
        } else {
            self.wanted(model, &name)
        };
        let own = |random: &mut Random| {
            let holders: Vec<&String> =
                self.names.iter().filter(|from| model.has_blob(from, &digest)).collect();
            let from = random.any(holders).filter(|_| !random.one_in(4));
            from.cloned().unwrap_or_else(|| random.one_of(&self.names).clone())
        };
        let from_elsewhere = self.random.one_in(3);
        if self.foreign.is_empty() {
            let from = (!from_elsewhere).then(|| own(&mut self.random));
            return Operation::Mount { name, digest, from };
        }
        let is_blob = self.content.blobs.iter().any(|blob| blob.digest_like(&digest) == digest);
        if from_elsewhere && is_blob {
            let from = self.random.one_of(&self.foreign).clone();
            let from = (!self.random.one_in(3)).then_some(from);
            return Operation::MountOrSend { name, digest, from };
        }
        let from = Some(own(&mut self.random));
        Operation::Mount { name, digest, from }
    }

    fn session(&mut self, model: &Model, name: String) -> Operation {
        let over = self.random.one_in(12);
        let numbers = model.sessions.iter().filter(|(_, session)| session.bytes.is_none() == over);
        let Some(number) = self.random.any(numbers.map(|(number, _)| *number)) else {
            return self.start(name);
        };
        let elsewhere = self.random.one_in(30).then_some(name);
        let at = Session { number, elsewhere };
        let blob = &self.content.blobs[model.sessions[&number].blob];
        let sent = model.sessions[&number].bytes.as_ref().map_or(0, Vec::len);
        let rest = blob.bytes.get(sent..).unwrap_or_default();
        match self.random.below(16) {
            0 => Operation::Cancel { at },
            1 | 2 => Operation::Status { at, head: self.random.one_in(2) },
            3..10 => {
                let length = self.random.below(rest.len() + 1);
                Operation::Patch { at, chunk: self.chunk(sent, &rest[..length]) }
            }
            _ => {
                let last = if self.random.one_in(6) { &rest[..rest.len() / 2] } else { rest };
                let digest = *self.random.one_of(&[&blob.sha256, &blob.sha256, &blob.sha512]);
                let digest = (!self.random.one_in(20)).then(|| digest.clone());
                Operation::Finish { at, chunk: self.chunk(sent, last), digest }
            }
        }
    }

    /// What comes next, as a rule.
    fn chunk(&mut self, sent: usize, next: &[u8]) -> Chunk {
        let mut bytes = next.to_vec();
        if self.random.one_in(40) {
            bytes = self.random.bytes(5); // something else
        }
        let (first, length) = (sent as u64, bytes.len() as u64);
        let range = match self.random.below(12) {
            0..6 => None,
            6..10 if length > 0 => Some((first, first + length - 1)),
            10 if sent > 0 => Some((first - 1, first + length)), // overlapping
            11 => Some((first, first + length)),                 // one more than there is
            _ => Some((first + 1, first + 1 + length)),          // a gap
        };
        Chunk { bytes, range, chunked: self.random.one_in(3) }
    }

    // ---- what is there

    fn get_blob(&mut self, model: &Model, name: String) -> Operation {
        let digest = self.blob_of(model, &name);
        let known = self.random.one_in(6).then(|| self.tags_with(&digest));
        let range = self.random.one_in(2).then(|| self.range(&digest));
        Operation::GetBlob { name, digest, head: self.random.one_in(4), known, range }
    }

    fn range(&mut self, digest: &str) -> Range {
        let size = self.content.bytes(digest).len();
        let edge = |random: &mut Random| match random.below(6) {
            0 => 0,
            1 => size.saturating_sub(1) as u64,
            2 => size as u64,
            3 => u64::MAX,
            _ => random.below(size + 2) as u64,
        };
        let part = |random: &mut Random| {
            let (one, other) = (edge(random), edge(random));
            match random.below(6) {
                0 => (Some(one), None),
                1 => (None, Some(one)),
                2 => (Some(one), Some(other)),
                _ => (Some(one.min(other)), Some(one.max(other))),
            }
        };
        let count = if self.random.one_in(2) { 1 } else { 1 + self.random.below(4) };
        let parts = (0..count).map(|_| part(&mut self.random)).collect();
        let only_if = match self.random.below(5) {
            0 => Some(digest.to_owned()),
            1 => Some(self.any_digest()),
            _ => None,
        };
        Range { parts, only_if }
    }

    fn put(&mut self, model: &Model, name: &str) -> Put {
        let ready = |number: &usize| model.missing(name, &self.content.documents[*number]).is_empty();
        let all = 0..self.content.documents.len();
        let document = match self.random.below(4) {
            0 => self.random.below(all.len()),
            _ => self.random.any(all.clone().filter(ready)).unwrap_or(self.random.below(all.len())),
        };
        let blob = &self.content.documents[document].blob;
        let reference = match self.random.below(12) {
            0 => self.any_digest(), // of something else, most likely
            1 => self.random.one_of(&NO_TAGS).to_string(),
            2 => blob.sha512.clone(),
            3 | 4 => blob.sha256.clone(),
            _ => self.random.one_of(&TAGS).to_string(),
        };
        let tags = match self.random.below(40) {
            0 => (0..101).map(|number| format!("t{number}")).collect(),
            1 => vec!["zz".to_owned(), "-x".to_owned()],
            2..12 => (0..1 + self.random.below(3)).map(|_| self.random.one_of(&TAGS).to_string()).collect(),
            _ => Vec::new(),
        };
        let first = Some(&reference).filter(|reference| !reference.contains(':')).or(tags.first());
        let current = first.and_then(|tag| model.tag(name, tag)).cloned();
        let mut condition = |count: usize| {
            let wanted = self.random.one_in(count);
            let digest = current.clone().unwrap_or_else(|| self.any_digest());
            wanted.then(|| self.tags_with(&digest))
        };
        let (is, is_not) = (condition(6), condition(8));
        let wrong_type = self.random.one_in(30).then_some("application/json");
        Put { document, reference, tags, wrong_type, is, is_not }
    }

    /// Entity tags, as a rule with this one among them.
    fn tags_with(&mut self, digest: &str) -> Tags {
        let digest = if self.random.one_in(3) { self.any_digest() } else { digest.to_owned() };
        match self.random.below(6) {
            0 => Tags::Any,
            1 => Tags::Weak(vec![digest]),
            2 => Tags::Strong(vec![self.any_digest(), digest]),
            _ => Tags::Strong(vec![digest]),
        }
    }

    fn known(&mut self, model: &Model, name: &str) -> Option<Tags> {
        let wanted = self.random.one_in(4);
        let there = model.repository(name).into_iter().flat_map(|repository| repository.manifests.keys());
        let digest = self.random.any(there).filter(|_| wanted)?.clone();
        Some(self.tags_with(&digest))
    }

    fn reference(&mut self, model: &Model, name: &str) -> String {
        let there = model.repository(name).into_iter();
        let there = there.flat_map(|repository| repository.manifests.keys().chain(repository.tags.keys()));
        match (self.random.below(10), self.random.any(there)) {
            (0, _) => self.any_digest(),
            (1, _) | (_, None) => self.random.one_of(&TAGS).to_string(),
            (2, _) => self.random.one_of(&NO_TAGS).to_string(),
            (_, Some(reference)) => reference.clone(),
        }
    }

    // ---- lists

    fn page(&mut self, names: &[String]) -> Page {
        let n = match self.random.below(8) {
            0..3 => None,
            3 => Some(0),
            4 => Some(u64::from(u32::MAX)),
            _ => Some(1 + self.random.below(4) as u64),
        };
        let last = match self.random.below(6) {
            0..3 => None,
            3 => Some("no such name/or so".to_owned()),
            _ => Some(self.random.one_of(names).clone()),
        };
        Page { n, last }
    }

    fn catalog(&mut self, model: &Model) -> Operation {
        let mut page = self.page(&self.names.clone());
        if let Some(prefix) = &model.prefix {
            let behind = page.last.take().filter(|last| last.starts_with(prefix));
            page.last = behind.or(Some(prefix.trim_end_matches('/').to_owned()));
        }
        Operation::Catalog { page }
    }

    fn referrers(&mut self, model: &Model, name: String) -> Operation {
        let subjects = self.content.documents.iter().filter_map(|document| document.subject.clone());
        let subject = self.random.any(subjects).unwrap_or_else(|| self.any_digest());
        let listed = model.referrers(&name, &subject, self.content).into_iter().map(|(digest, _)| digest);
        let last = [self.any_digest(), self.random.any(listed).unwrap_or_else(|| self.any_digest())];
        let mut page = self.page(&last);
        page.last = page.last.filter(|last| last.contains(':'));
        let kind = self.random.one_in(3).then(|| self.random.one_of(&ARTIFACT_TYPES).to_string());
        Operation::Referrers { name, subject, kind, page }
    }

    // ---- digests

    fn any_digest(&mut self) -> String {
        let digests: Vec<&String> = self.content.digests().collect();
        (*self.random.one_of(&digests)).clone()
    }

    /// A blob that the repository holds, as a rule.
    fn blob_of(&mut self, model: &Model, name: &str) -> String {
        let held = model.repository(name).into_iter().flat_map(|repository| &repository.blobs);
        let held = self.random.any(held).filter(|_| !self.random.one_in(6));
        held.cloned().unwrap_or_else(|| self.any_digest())
    }

    /// A blob that some manifest lacks here, as a rule.
    fn wanted(&mut self, model: &Model, name: &str) -> String {
        let document = self.random.one_of(&self.content.documents);
        let missing = model.missing(name, document);
        let blobs =
            |digest: &String| self.content.blobs.iter().any(|blob| blob.digest_like(digest) == digest);
        let wanted = self.random.any(missing.into_iter().filter(blobs));
        wanted.unwrap_or_else(|| self.random.one_of(&self.content.blobs).sha256.clone())
    }
}
