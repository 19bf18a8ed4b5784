//! Blobs: how they go out, and away.

use serde_json::json;

use super::among;
use crate::content::Content;
use crate::expected::{Body, Expected};
use crate::model::Model;
use crate::operation::{Range, Tags};
use crate::request::quoted;

impl Model {
    pub(super) fn get_blob(
        &self,
        name: &str,
        digest: &str,
        known: Option<&Tags>,
        range: Option<&Range>,
        content: &Content,
    ) -> Expected {
        if !self.has_blob(name, digest) {
            return self.unknown(name, "BLOB_UNKNOWN", json!({ "digest": digest }));
        }
        let found = |status| {
            Expected::new(status)
                .header("Docker-Content-Digest", digest)
                .header("ETag", quoted(digest))
                .header("Accept-Ranges", "bytes")
        };
        if known.is_some_and(|tags| among(tags, Some(digest), true)) {
            return found(304).maybe("Content-Type", None);
        }
        let bytes = content.bytes(digest);
        let size = bytes.len();
        let is_same = |range: &&Range| range.only_if.as_ref().is_none_or(|tag| tag == digest);
        let whole = found(200).header("Content-Type", "application/octet-stream");
        let part = |(start, end): &(usize, usize)| {
            (format!("bytes {start}-{}/{size}", end - 1), bytes[*start..*end].to_vec())
        };
        match range.filter(is_same).map(|range| parts(range, size)) {
            None | Some(Wanted::Whole) => whole.body(Body::Bytes(bytes.to_vec())),
            Some(Wanted::Nothing) => Expected::error(416, "SIZE_INVALID", json!({ "size": size }))
                .header("Content-Range", format!("bytes */{size}")),
            Some(Wanted::Parts(parts)) if parts.len() == 1 => {
                let (range, bytes) = part(&parts[0]);
                found(206)
                    .header("Content-Type", "application/octet-stream")
                    .header("Content-Range", range)
                    .body(Body::Bytes(bytes))
            }
            Some(Wanted::Parts(parts)) => found(206).body(Body::Parts(parts.iter().map(part).collect())),
        }
    }

    pub(super) fn delete_blob(&mut self, name: &str, digest: &str) -> Expected {
        if !self.has_blob(name, digest) {
            return self.unknown(name, "BLOB_UNKNOWN", json!({ "digest": digest }));
        }
        self.enter(name).blobs.remove(digest);
        Expected::new(202)
    }
}

/// What a range asks for of so many bytes.
enum Wanted {
    Whole,
    Nothing,
    /// From, and up to but without.
    Parts(Vec<(usize, usize)>),
}

/// RFC 9110, 14.1.2. Parts that are together more than the whole are answered with the whole.
fn parts(range: &Range, size: usize) -> Wanted {
    let part = |part: &(Option<u64>, Option<u64>)| {
        let (start, end) = match *part {
            (Some(first), Some(last)) => (first, last.saturating_add(1)),
            (Some(first), None) => (first, size as u64),
            (None, Some(count)) => ((size as u64).saturating_sub(count), size as u64),
            (None, None) => unreachable!("no range"),
        };
        let end = end.min(size as u64);
        (start < end).then_some((start as usize, end as usize))
    };
    let parts: Vec<(usize, usize)> = range.parts.iter().filter_map(part).collect();
    match parts.iter().map(|(start, end)| end - start).sum::<usize>() {
        0 => Wanted::Nothing,
        sum if sum > size => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}
