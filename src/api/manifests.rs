//! Manifests: pull, push, delete, by tag or digest.

use super::{Api, Comparison, candidates, etag, is_known};
use crate::auth::Caller;
use crate::buffer::MEMORY_BYTES_MAX;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::http::Request;
use crate::manifest::{Manifest, media_type_of};
use crate::name::RepositoryName;
use crate::reference::{Reference, Tag};
use crate::response::{Payload, Response};
use crate::route::Route;
use crate::store::manifests::{Condition, NewManifest};
use crate::store::spool::Document;

/// How many tags one push may set. The spec asks for 10 at least.
pub(super) const TAGS_MAX: usize = 100;

/// `GET`, `HEAD /v2/<name>/manifests/<tag-or-digest>` (end-3). `Accept` is not looked at: there is one manifest
/// under a name, and a client that cannot read it can say so better than a 404.
pub(super) fn get(
    api: &Api,
    request: &Request,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Response, Error> {
    let stored = api.store.read_manifest(name, reference)?;
    let response = |status| {
        Response::new(status)
            .header("Docker-Content-Digest", stored.digest.to_string())
            .header("ETag", etag(&stored.digest))
    };
    if is_known(request, &stored.digest) {
        return Ok(response(304));
    }
    let media_type = media_type_of(&stored.bytes);
    let length = stored.bytes.len();
    let is_long = length > MEMORY_BYTES_MAX;
    let file = if is_long { api.store.open_manifest(name, &stored.digest)? } else { None };
    let body = match file {
        Some(file) => Payload::file(file, length as u64),
        None => Payload::Bytes(stored.bytes),
    };
    Ok(response(200).header("Content-Type", media_type.as_str()).body(body))
}

/// `PUT /v2/<name>/manifests/<tag-or-digest>` (end-7a), with further tags as `tag` parameters (end-7b)
pub(super) fn put(
    api: &Api,
    caller: &Caller<'_>,
    request: &mut Request,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Response, Error> {
    let tags = tags_to_set(request, reference)?;
    let condition = Condition {
        is: candidates(request.headers("If-Match"), Comparison::Strong),
        is_not: candidates(request.headers("If-None-Match"), Comparison::Weak),
    };
    let bytes = receive(api, request)?;
    let digest = match reference {
        Reference::Tag(_) => Digest::of(Algorithm::Sha256, &bytes),
        Reference::Digest(expected) => match Digest::of(expected.algorithm(), &bytes) {
            actual if actual == *expected => actual,
            actual => return Err(Error::DigestMismatch { expected: expected.clone(), actual }),
        },
    };
    let manifest = Manifest::parse(&bytes, request.header("Content-Type"))?;
    let new = NewManifest { digest: &digest, bytes: &bytes, content: &manifest, tags: &tags, condition };
    api.store.put_manifest(name, &new).map_err(|error| discreet(error, caller, name))?;

    let route = Route::GetManifest { name: name.clone(), reference: Reference::Digest(digest.clone()) };
    let mut response = Response::new(201)
        .header("Location", api.location(&route))
        .header("Docker-Content-Digest", digest.to_string())
        .header("ETag", etag(&digest));
    if let Some(subject) = &manifest.subject {
        response = response.header("OCI-Subject", subject.digest.to_string());
    }
    if request.query().all("tag").next().is_some() {
        let names: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        response = response.header("OCI-Tag", names.join(", "));
    }
    Ok(response)
}

/// `DELETE /v2/<name>/manifests/<tag-or-digest>` (end-9): a tag alone, or a manifest with all its tags
pub(super) fn delete(
    api: &Api,
    caller: &Caller<'_>,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Response, Error> {
    let deleted = match reference {
        Reference::Tag(tag) => api.store.delete_tag(name, tag),
        Reference::Digest(digest) => api.store.delete_manifest(name, digest),
    };
    deleted.map_err(|error| discreet(error, caller, name))?;
    Ok(Response::new(202))
}

/// Who may not pull is not told what is there.
fn discreet(error: Error, caller: &Caller<'_>, repository: &RepositoryName) -> Error {
    match error {
        error if caller.may_pull(repository) => error,
        Error::PreconditionFailed { .. } => Error::ConditionFailed,
        Error::TagImmutable { name, tag, .. } => Error::TagImmutable { name, tag, current: None },
        other => other,
    }
}

/// The tag in the path and those in the query, each once.
fn tags_to_set(request: &Request, reference: &Reference) -> Result<Vec<Tag>, Error> {
    let mut tags = Vec::new();
    if let Reference::Tag(tag) = reference {
        tags.push(tag.clone());
    }
    for text in request.query().all("tag") {
        let tag = Tag::parse(text)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > TAGS_MAX {
            return Err(Error::TooManyTags { limit: TAGS_MAX });
        }
    }
    Ok(tags)
}

/// The body, if it is not too large. It takes room as it arrives, not as it is announced.
fn receive(api: &Api, request: &mut Request) -> Result<Document, Error> {
    let limit = api.manifest_bytes_max;
    let document = match request.body_length() {
        Some(length) if length > limit => None,
        _ => api.store.receive(&mut request.body(), limit)?,
    };
    document.ok_or(Error::ManifestTooLarge { limit })
}
