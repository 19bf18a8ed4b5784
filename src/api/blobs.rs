//! Blobs: pull, check, delete.

use std::sync::Arc;

use super::{Api, etag, is_known};
use crate::digest::Digest;
use crate::error::Error;
use crate::http::Request;
use crate::name::RepositoryName;
use crate::range::{self, Part};
use crate::reference::UploadId;
use crate::response::{Payload, Piece, Response};
use crate::route::Method;

/// What a blob is served as. What it really is stands in the descriptor that led to it.
const CONTENT_TYPE: &str = "application/octet-stream";

/// `GET`, `HEAD /v2/<name>/blobs/<digest>` (end-2)
pub(super) fn get(
    api: &Api,
    request: &Request,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Response, Error> {
    let blob = api.store.open_blob(name, digest)?;
    let response = |status| {
        Response::new(status)
            .header("Docker-Content-Digest", digest.to_string())
            .header("ETag", etag(digest))
            .header("Accept-Ranges", "bytes")
    };
    if is_known(request, digest) {
        return Ok(response(304));
    }
    let file = Arc::new(blob.file);
    let piece = |part: Part| Piece::File { file: Arc::clone(&file), start: part.start, length: part.length };
    match wanted_parts(request, digest, blob.size)?.as_deref() {
        None => {
            let whole = Part { start: 0, length: blob.size };
            Ok(response(200).header("Content-Type", CONTENT_TYPE).body(Payload::Pieces(vec![piece(whole)])))
        }
        Some([part]) => Ok(response(206)
            .header("Content-Type", CONTENT_TYPE)
            .header("Content-Range", part.content_range(blob.size))
            .body(Payload::Pieces(vec![piece(*part)]))),
        Some(parts) => {
            let boundary = UploadId::random()?; // nothing in a blob can be made to equal it
            Ok(response(206)
                .header("Content-Type", format!("multipart/byteranges; boundary={boundary}"))
                .body(multipart(parts, blob.size, &boundary, piece)))
        }
    }
}

/// `DELETE /v2/<name>/blobs/<digest>` (end-10)
pub(super) fn delete(api: &Api, name: &RepositoryName, digest: &Digest) -> Result<Response, Error> {
    api.store.delete_blob(name, digest)?;
    Ok(Response::new(202))
}

/// The parts that a `Range` asks for; `None` for the whole. With `If-Range`, only if the client's earlier part
/// was of the same content.
fn wanted_parts(request: &Request, digest: &Digest, size: u64) -> Result<Option<Vec<Part>>, Error> {
    let same = request.header("If-Range").is_none_or(|tag| tag.trim() == etag(digest));
    match request.header("Range") {
        Some(header) if same && request.method() == Method::Get => range::parse(header, size),
        _ => Ok(None),
    }
}

/// Several parts in one body (RFC 9110, 14.6).
fn multipart(parts: &[Part], size: u64, boundary: &UploadId, piece: impl Fn(Part) -> Piece) -> Payload {
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for part in parts {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Range: {}\r\n\r\n",
            part.content_range(size)
        );
        pieces.push(Piece::Bytes(head.into_bytes()));
        pieces.push(piece(*part));
    }
    pieces.push(Piece::Bytes(format!("\r\n--{boundary}--\r\n").into_bytes()));
    Payload::Pieces(pieces)
}
