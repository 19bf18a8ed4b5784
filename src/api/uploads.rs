//! Uploads: how blobs come in. A client begins a session (POST), sends the bytes in one or many requests
//! (PATCH, PUT), and closes it with the digest (PUT); or has a blob mounted from another repository and sends
//! nothing.

use super::Api;
use crate::auth::Caller;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::http::Request;
use crate::name::RepositoryName;
use crate::range::parse_content_range;
use crate::reference::UploadId;
use crate::response::Response;
use crate::route::Route;
use crate::store::uploads::Upload;

/// `POST /v2/<name>/blobs/uploads/`: begin a session (end-4a, end-4c), send a blob at once (end-4b: `digest`), or
/// mount one (end-11: `mount` and `from`)
pub(super) fn start(
    api: &Api,
    caller: &Caller<'_>,
    request: &mut Request,
    name: &RepositoryName,
) -> Result<Response, Error> {
    let query = request.query();
    if let Some(mount) = query.one("mount")? {
        let digest = Digest::parse(mount)?;
        let from = query.one("from")?.map(RepositoryName::parse).transpose()?;
        // What the caller may not pull is not looked for, and no answer tells that it is there.
        let may_pull = match &from {
            Some(from) => caller.may_pull(from),
            None => caller.may_pull_everything(), // from wherever it is
        };
        if may_pull && api.store.mount_blob(name, &digest, from.as_ref())? {
            return Ok(created(api, name, &digest));
        }
        // "unable to mount … SHOULD return a 202": the client goes on by sending the blob.
    }
    let algorithm = query.one("digest-algorithm")?.map(Algorithm::parse).transpose()?;
    if let Some(digest) = query.one("digest")?.map(Digest::parse).transpose()? {
        let mut body = api.room.admit_body(request.body_length(), request.body())?;
        api.store.push_blob(name, &digest, &mut body)?;
        return Ok(created(api, name, &digest));
    }
    let id = api.store.start_upload(name, algorithm.unwrap_or(Algorithm::Sha256))?;
    Ok(progress(Response::new(202), location(api, name, &id), 0).header("Docker-Upload-UUID", id.as_str()))
}

/// `GET <blob-push-location>` (end-13)
pub(super) fn status(api: &Api, name: &RepositoryName, id: &UploadId) -> Result<Response, Error> {
    let offset = api.store.upload_offset(name, id)?;
    Ok(progress(Response::new(204), location(api, name, id), offset)
        .header("Docker-Upload-UUID", id.as_str()))
}

/// `PATCH <blob-push-location>` (end-5)
pub(super) fn patch(
    api: &Api,
    request: &mut Request,
    name: &RepositoryName,
    id: &UploadId,
) -> Result<Response, Error> {
    let mut upload = api.store.open_upload(name, id)?;
    let before = upload.offset();
    let chunk = receive(api, request, &mut upload);
    if chunk.as_ref().is_err_and(Error::is_for_lack_of_room) {
        upload.roll_back(before)?; // nobody knows when the client comes back, and others need room, too
    }
    upload.save()?; // also what came of a body that broke off
    chunk?;
    let offset = upload.offset();
    Ok(progress(Response::new(202), location(api, name, id), offset)
        .header("Docker-Upload-UUID", id.as_str()))
}

/// `PUT <blob-push-location>?digest=<digest>` (end-6), with or without a last chunk
pub(super) fn put(
    api: &Api,
    request: &mut Request,
    name: &RepositoryName,
    id: &UploadId,
) -> Result<Response, Error> {
    let digest = Digest::parse(request.query().one("digest")?.ok_or(Error::DigestMissing)?)?;
    let mut upload = api.store.open_upload(name, id)?;
    let before = upload.offset();
    if let Err(error) = receive(api, request, &mut upload) {
        upload.roll_back(before)?; // the same PUT may be tried again
        return Err(error);
    }
    upload.finish(&digest)?;
    Ok(created(api, name, &digest))
}

/// `DELETE <blob-push-location>` (end-14)
pub(super) fn cancel(api: &Api, name: &RepositoryName, id: &UploadId) -> Result<Response, Error> {
    api.store.open_upload(name, id)?.cancel()?;
    Ok(Response::new(204))
}

/// Adds a request's body to a session, if it belongs where the session ends. Without `Content-Range` it does:
/// docker sends none.
fn receive(api: &Api, request: &mut Request, upload: &mut Upload<'_>) -> Result<(), Error> {
    let before = upload.offset();
    let chunk = request.header("Content-Range").map(parse_content_range).transpose()?;
    if let Some(chunk) = chunk {
        if chunk.start != before {
            return Err(Error::UploadOutOfOrder { offset: before, start: chunk.start });
        }
        if let Some(length) = request.body_length().filter(|length| *length != chunk.length) {
            return Err(Error::ChunkLength { range: chunk.length, body: length });
        }
    }
    upload.append(&mut api.room.admit_body(request.body_length(), request.body())?)?;
    let length = upload.offset() - before;
    match chunk {
        Some(chunk) if chunk.length != length => {
            upload.roll_back(before)?;
            Err(Error::ChunkLength { range: chunk.length, body: length })
        }
        _ => Ok(()),
    }
}

/// Where a session goes on, and how far it is. `Range` gives the last byte, and for none of them `0-0`: there
/// is no other form that all clients can read.
pub(super) fn progress(response: Response, location: String, offset: u64) -> Response {
    response.header("Location", location).header("Range", format!("0-{}", offset.saturating_sub(1)))
}

fn location(api: &Api, name: &RepositoryName, id: &UploadId) -> String {
    api.location(&Route::GetUpload { name: name.clone(), id: id.clone() })
}

/// 201: the blob is in the repository, and stays there whatever happens now.
fn created(api: &Api, name: &RepositoryName, digest: &Digest) -> Response {
    let route = Route::GetBlob { name: name.clone(), digest: digest.clone() };
    Response::new(201)
        .header("Location", api.location(&route))
        .header("Docker-Content-Digest", digest.to_string())
}
