//! What the race is about: a few repositories, blobs, manifests, tags and sessions, and what is known of them.

use std::sync::Mutex;

use super::registers::Registers;
use super::swaps::Swaps;
use crate::content::{Blob, Document};
use crate::parts::random::Random;
use crate::request::{blob, manifest};

pub const NAMES: [&str; 3] = ["a", "a/b", "library/hello"];
/// It is moved, among [`Course::kept`], and never deleted.
pub const KEPT_TAG: &str = "latest";
/// It is moved on a condition only, among [`Course::kept`].
pub const SWAPPED_TAG: &str = "swapped";
/// These are moved among all manifests, and deleted.
pub const TAGS: [&str; 2] = ["v1", "v2"];

const PART_SIZES: [usize; 3] = [100, 1000, 5000];
const LOOSE_SIZES: [usize; 3] = [50, 3000, 100_000];
const KEPT: usize = 3;
const FLEETING: usize = 4;

/// Everything that all share.
pub struct Course {
    /// Blobs that manifests refer to. They come and stay.
    pub parts: Vec<Blob>,
    /// Blobs that come and go.
    pub loose: Vec<Blob>,
    /// Manifests that come and stay.
    pub kept: Vec<Document>,
    /// Manifests that come and go. Each is about the first of those that stay.
    pub fleeting: Vec<Document>,
    pub registers: Registers,
    pub swaps: Swaps,
    sessions: Mutex<Vec<Session>>,
}

/// An upload session that is open to all.
#[derive(Clone)]
pub struct Session {
    pub name: &'static str,
    pub location: String,
    /// Which of the loose blobs it is for.
    pub blob: usize,
}

impl Course {
    pub fn new(mut random: Random) -> Self {
        let parts = PART_SIZES.map(|size| Blob::new(random.bytes(size))).to_vec();
        let loose = LOOSE_SIZES.map(|size| Blob::new(random.bytes(size))).to_vec();
        let image = |note: String, subject: Option<&str>| {
            Document::image(&parts.iter().collect::<Vec<_>>(), &note, subject)
        };
        let kept: Vec<Document> = (0..KEPT).map(|number| image(format!("kept {number}"), None)).collect();
        let subject = Some(kept[0].blob.sha256.as_str());
        let fleeting: Vec<Document> =
            (0..FLEETING).map(|number| image(format!("fleeting {number}"), subject)).collect();
        let blobs = parts.iter().chain(&loose);
        let manifests = kept.iter().chain(&fleeting);
        let paths = NAMES.iter().flat_map(|name| {
            let blobs = blobs.clone().map(|one| blob(name, &one.sha256));
            let manifests = manifests.clone().map(|one| manifest(name, &one.blob.sha256));
            let tags = [KEPT_TAG, SWAPPED_TAG].into_iter().chain(TAGS).map(|tag| manifest(name, tag));
            blobs.chain(manifests).chain(tags)
        });
        let registers = Registers::of(paths);
        let (swaps, sessions) = Default::default();
        Self { parts, loose, kept, fleeting, registers, swaps, sessions }
    }

    /// What anybody can be about to find under a digest.
    pub fn bytes(&self, digest: &str) -> &[u8] {
        let manifests = self.kept.iter().chain(&self.fleeting).map(|document| &document.blob);
        let mut all = self.parts.iter().chain(&self.loose).chain(manifests);
        &all.find(|blob| blob.sha256 == digest).unwrap_or_else(|| panic!("nobody pushed {digest}")).bytes
    }

    // ---- sessions

    pub fn open_session(&self, session: Session) {
        self.sessions.lock().expect("nobody panicked here").push(session);
    }

    /// It is over.
    pub fn close_session(&self, location: &str) {
        self.sessions.lock().expect("nobody panicked here").retain(|session| session.location != location);
    }

    /// One of them, for all to use; which, the number says.
    pub fn session(&self, number: usize) -> Option<Session> {
        let sessions = self.sessions.lock().expect("nobody panicked here");
        sessions.get(number % sessions.len().max(1)).cloned()
    }

    /// All that are open; from now on none.
    pub fn take_sessions(&self) -> Vec<Session> {
        std::mem::take(&mut self.sessions.lock().expect("nobody panicked here"))
    }
}
