//! Sessions: how blobs come in.

use serde_json::json;

use super::{created, started};
use crate::content::Blob;
use crate::expected::Expected;
use crate::it::harness::{Answer, sha256, sha512};
use crate::model::{self, Model};
use crate::operation::{Chunk, Session};

impl Model {
    /// Enters the session that an answer speaks of. It is meant for this blob.
    pub fn begin(&mut self, name: &str, blob: usize, answer: &Answer) {
        let location = answer.header("Location").expect("a location").to_owned();
        let id = answer.header("Docker-Upload-UUID").expect("an id");
        assert_eq!(location, format!("/v2/{name}/blobs/uploads/{id}"));
        let number = self.sessions.last_key_value().map_or(0, |(number, _)| number + 1);
        let session = model::Session { name: name.to_owned(), location, blob, bytes: Some(Vec::new()) };
        self.sessions.insert(number, session);
    }

    pub(super) fn post(&mut self, name: &str, blob: &Blob, digest: &str) -> Expected {
        if blob.digest_like(digest) == digest {
            self.take(name, digest)
        } else {
            mismatch(&blob.bytes, digest)
        }
    }

    pub(super) fn mount(&mut self, name: &str, digest: &str, from: Option<&str>) -> Expected {
        let is_there = match from {
            Some(from) => self.has_blob(from, digest),
            None => self.holders(digest) > 0,
        };
        if is_there || self.has_blob(name, digest) { self.take(name, digest) } else { started() }
    }

    pub(super) fn status(&self, at: &Session) -> Expected {
        match self.find(at) {
            Ok((session, bytes)) => progress(204, session, bytes.len()),
            Err(unknown) => unknown,
        }
    }

    pub(super) fn patch(&mut self, at: &Session, chunk: &Chunk) -> Expected {
        let (session, bytes) = match self.find(at) {
            Ok(found) => found,
            Err(unknown) => return unknown,
        };
        if let Some(refusal) = refusal(session, bytes.len(), chunk) {
            return refusal;
        }
        let bytes = [bytes, chunk.bytes.as_slice()].concat();
        let expected = progress(202, session, bytes.len());
        self.set(at, Some(bytes));
        expected
    }

    pub(super) fn finish(&mut self, at: &Session, chunk: &Chunk, digest: Option<&str>) -> Expected {
        let Some(digest) = digest else {
            return Expected::error(400, "DIGEST_INVALID", json!({ "parameter": "digest" }));
        };
        let (session, bytes) = match self.find(at) {
            Ok(found) => found,
            Err(unknown) => return unknown,
        };
        if let Some(refusal) = refusal(session, bytes.len(), chunk) {
            return refusal;
        }
        let (name, bytes) = (session.name.clone(), [bytes, chunk.bytes.as_slice()].concat());
        self.set(at, None); // also when it is not what the client said
        if digest_of(&bytes, digest) == digest { self.take(&name, digest) } else { mismatch(&bytes, digest) }
    }

    pub(super) fn cancel(&mut self, at: &Session) -> Expected {
        match self.find(at) {
            Ok(_) => {
                self.set(at, None);
                Expected::new(204)
            }
            Err(unknown) => unknown,
        }
    }

    fn take(&mut self, name: &str, digest: &str) -> Expected {
        self.enter(name).blobs.insert(digest.to_owned());
        created(format!("/v2/{name}/blobs/{digest}"), digest)
    }

    fn set(&mut self, at: &Session, bytes: Option<Vec<u8>>) {
        self.sessions.get_mut(&at.number).expect("a session").bytes = bytes;
    }

    /// The session with what it has, if it is not over and asked for where it belongs.
    fn find(&self, at: &Session) -> Result<(&model::Session, &[u8]), Expected> {
        let session = &self.sessions[&at.number];
        match &session.bytes {
            Some(bytes) if at.elsewhere.as_ref().is_none_or(|name| *name == session.name) => {
                Ok((session, bytes))
            }
            _ => Err(Expected::error(404, "BLOB_UPLOAD_UNKNOWN", json!({ "upload": session.id() }))),
        }
    }
}

/// How far the session is.
fn progress(status: u16, session: &model::Session, length: usize) -> Expected {
    Expected::new(status)
        .header("Location", session.location.clone())
        .header("Range", format!("0-{}", length.saturating_sub(1)))
        .header("Docker-Upload-UUID", session.id())
}

/// Why a chunk is not taken, if its range is not where it is or not what it is.
fn refusal(session: &model::Session, offset: usize, chunk: &Chunk) -> Option<Expected> {
    let (first, last) = chunk.range?;
    let (offset, length) = (offset as u64, chunk.bytes.len() as u64);
    if first != offset {
        let detail = json!({ "offset": offset, "start": first });
        let refused = Expected::error(416, "BLOB_UPLOAD_INVALID", detail);
        return Some(
            refused
                .header("Location", session.location.clone())
                .header("Range", format!("0-{}", offset.saturating_sub(1))),
        );
    }
    let said = last - first + 1;
    let detail = json!({ "range": said, "body": length });
    (said != length).then(|| Expected::error(400, "SIZE_INVALID", detail))
}

fn digest_of(bytes: &[u8], like: &str) -> String {
    if like.starts_with("sha512:") { sha512(bytes) } else { sha256(bytes) }
}

fn mismatch(bytes: &[u8], expected: &str) -> Expected {
    let detail = json!({ "expected": expected, "actual": digest_of(bytes, expected) });
    Expected::error(400, "DIGEST_INVALID", detail)
}
