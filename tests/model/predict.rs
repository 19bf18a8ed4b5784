//! What an operation should be answered with, and what it changes.
//!
//! The rules are written here a second time, from the spec and the README, over maps instead of files.

mod blobs;
mod lists;
mod manifests;
mod sessions;

use serde_json::{Value, json};

use crate::content::Content;
use crate::expected::Expected;
use crate::model::Model;
use crate::operation::{Operation, Tags};

impl Model {
    /// Does the operation to the model, and says what the registry must answer. A session that begins is
    /// entered by [`Model::begin`], when its location is known.
    pub fn predict(&mut self, operation: &Operation, content: &Content) -> Expected {
        use Operation::*;
        match operation {
            Restart | MountOrSend { .. } => unreachable!("these are not one request"),
            Start { .. } => started(),
            Post { name, blob, digest } => self.post(name, &content.blobs[*blob], digest),
            Mount { name, digest, from } => self.mount(name, digest, from.as_deref()),
            Status { at, .. } => self.status(at),
            Patch { at, chunk } => self.patch(at, chunk),
            Finish { at, chunk, digest } => self.finish(at, chunk, digest.as_deref()),
            Cancel { at } => self.cancel(at),
            GetBlob { name, digest, head, known, range } => {
                let range = range.as_ref().filter(|_| !head);
                self.get_blob(name, digest, known.as_ref(), range, content)
            }
            DeleteBlob { name, digest } => self.delete_blob(name, digest),
            PutManifest { name, put } => self.put_manifest(name, put, content),
            GetManifest { name, reference, known, .. } => {
                self.get_manifest(name, reference, known.as_ref(), content)
            }
            DeleteManifest { name, reference } => self.delete_manifest(name, reference),
            ListTags { name, page } => self.list_tags(name, page),
            Catalog { page } => self.list_catalog(page),
            Referrers { name, subject, kind, page } => {
                self.list_referrers(name, subject, kind.as_deref(), page, content)
            }
        }
    }

    /// 404: the repository has no such thing, or there is no such repository.
    fn unknown(&self, name: &str, code: &'static str, detail: Value) -> Expected {
        match self.repository(name) {
            Some(_) => Expected::error(404, code, detail),
            None => Expected::error(404, "NAME_UNKNOWN", json!({ "name": name })),
        }
    }

    fn unknown_manifest(&self, name: &str, reference: &str) -> Expected {
        self.unknown(name, "MANIFEST_UNKNOWN", json!({ "name": name, "reference": reference }))
    }
}

/// A session begins. Its location is looked at when it is entered.
fn started() -> Expected {
    Expected::new(202).header("Range", "0-0")
}

/// A blob or a manifest is there now.
fn created(path: String, digest: &str) -> Expected {
    Expected::new(201).header("Location", path).header("Docker-Content-Digest", digest)
}

/// Is this digest among the entity tags of a condition? A weak one is none for `If-Match`.
fn among(tags: &Tags, digest: Option<&str>, weak_counts: bool) -> bool {
    let Some(digest) = digest else { return false };
    match tags {
        Tags::Any => true,
        Tags::Strong(digests) => digests.iter().any(|one| one == digest),
        Tags::Weak(digests) => weak_counts && digests.iter().any(|one| one == digest),
    }
}
