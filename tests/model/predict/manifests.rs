//! Manifests and tags: how they come, go out, and away.

use serde_json::json;

use super::{among, created};
use crate::content::Content;
use crate::expected::{Body, Expected};
use crate::model::Model;
use crate::operation::{Put, Tags};
use crate::request::quoted;

/// How many tags one push may set.
const TAGS_MAX: usize = 100;

impl Model {
    pub(super) fn put_manifest(&mut self, name: &str, put: &Put, content: &Content) -> Expected {
        let document = &content.documents[put.document];
        let tags = match tags_of(put) {
            Ok(tags) => tags,
            Err(refused) => return refused,
        };
        let digest = document.blob.digest_like(&put.reference);
        if put.reference.contains(':') && put.reference != digest {
            let detail = json!({ "expected": put.reference, "actual": digest });
            return Expected::error(400, "DIGEST_INVALID", detail);
        }
        if put.wrong_type.is_some() {
            return Expected::error(400, "MANIFEST_INVALID", json!({ "field": "mediaType" }));
        }
        let missing = self.missing(name, document);
        if !missing.is_empty() {
            let details = missing.iter().map(|digest| json!({ "digest": digest })).collect();
            return Expected::new(404).body(Body::Error("MANIFEST_BLOB_UNKNOWN", details));
        }
        if let Some(tag) = tags.first() {
            let current = self.tag(name, tag).map(String::as_str);
            let holds = put.is.as_ref().is_none_or(|tags| among(tags, current, false))
                && !put.is_not.as_ref().is_some_and(|tags| among(tags, current, true));
            if !holds {
                return Expected::error(412, "DENIED", json!({ "current": current }));
            }
        }
        let repository = self.enter(name);
        repository.manifests.insert(digest.to_owned(), put.document);
        repository.tags.extend(tags.iter().map(|tag| (tag.clone(), digest.to_owned())));
        created(format!("/v2/{name}/manifests/{digest}"), digest)
            .header("ETag", quoted(digest))
            .maybe("OCI-Subject", document.subject.clone())
            .maybe("OCI-Tag", (!put.tags.is_empty()).then(|| tags.join(", ")))
    }

    pub(super) fn get_manifest(
        &self,
        name: &str,
        reference: &str,
        known: Option<&Tags>,
        content: &Content,
    ) -> Expected {
        let Some((digest, document)) = self.resolve(name, reference) else {
            return self.unknown_reference(name, reference);
        };
        let found = |status| {
            Expected::new(status).header("Docker-Content-Digest", digest).header("ETag", quoted(digest))
        };
        if known.is_some_and(|tags| among(tags, Some(digest), true)) {
            return found(304).maybe("Content-Type", None);
        }
        let document = &content.documents[document];
        found(200).header("Content-Type", document.media_type).body(Body::Bytes(document.blob.bytes.to_vec()))
    }

    pub(super) fn delete_manifest(&mut self, name: &str, reference: &str) -> Expected {
        if self.resolve(name, reference).is_none() {
            return self.unknown_reference(name, reference);
        }
        let repository = self.enter(name);
        if repository.tags.remove(reference).is_none() {
            repository.manifests.remove(reference);
            repository.tags.retain(|_, digest| digest != reference);
        }
        Expected::new(202)
    }

    /// A tag's or digest's manifest: its digest, and the document's number.
    fn resolve(&self, name: &str, reference: &str) -> Option<(&str, usize)> {
        let repository = self.repository(name)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        repository.manifests.get_key_value(digest).map(|(digest, number)| (digest.as_str(), *number))
    }

    fn unknown_reference(&self, name: &str, reference: &str) -> Expected {
        if is_tag(reference) || reference.contains(':') {
            return self.unknown_manifest(name, reference);
        }
        // What can be no tag is looked for in no repository.
        Expected::error(404, "MANIFEST_UNKNOWN", json!({ "name": name, "reference": reference }))
    }
}

/// Of the words that are used here, those that can be tags.
fn is_tag(text: &str) -> bool {
    !text.starts_with(['.', '-'])
}

/// The tags to set, each once: that of the path, and those of the query.
fn tags_of(put: &Put) -> Result<Vec<String>, Expected> {
    let invalid = |tag: &str| Expected::error(400, "MANIFEST_INVALID", json!({ "tag": tag }));
    let mut tags = Vec::new();
    if !put.reference.contains(':') {
        if !is_tag(&put.reference) {
            return Err(invalid(&put.reference));
        }
        tags.push(put.reference.clone());
    }
    for tag in &put.tags {
        if !is_tag(tag) {
            return Err(invalid(tag));
        }
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
        if tags.len() > TAGS_MAX {
            return Err(Expected::error(414, "MANIFEST_INVALID", json!({ "limit": TAGS_MAX })));
        }
    }
    Ok(tags)
}
