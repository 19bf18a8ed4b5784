//! Referrers: what has been said about a manifest (signatures, bills of materials).

use serde_json::{Value, json};

use super::{Api, link_to_next, page_limit};
use crate::descriptor::OCI_INDEX;
use crate::digest::Digest;
use crate::error::Error;
use crate::http::Request;
use crate::manifest::Manifest;
use crate::name::RepositoryName;
use crate::reference::Reference;
use crate::response::{Payload, Response};
use crate::route::Route;

/// A page of referrers is an image index, and must not grow past what clients take for one: "at least 4
/// megabytes". What is more comes with the next page.
const PAGE_BYTES_MAX: usize = 4_000_000;

/// `GET /v2/<name>/referrers/<digest>?artifactType=<type>` (end-12). Never 404: no referrers is a list of none.
pub(super) fn list(
    api: &Api,
    request: &Request,
    name: &RepositoryName,
    subject: &Digest,
) -> Result<Response, Error> {
    let query = request.query();
    let n = query.number("n")?;
    let artifact_type = query.one("artifactType")?;
    let after = query.one("last")?.map(Digest::parse).transpose()?;

    let (digests, _) = api.store.list_referrers(name, subject, after.as_ref(), usize::MAX)?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    let mut last = None; // the last one of this page
    let mut more = false;
    for digest in digests.iter().take_while(|_| n != Some(0)) {
        let Some(descriptor) = describe(api, name, digest)? else { continue };
        if artifact_type.is_some_and(|wanted| descriptor["artifactType"] != wanted) {
            continue;
        }
        bytes += descriptor.to_string().len();
        if page.len() == page_limit(n) || last.is_some() && bytes > PAGE_BYTES_MAX {
            more = true;
            break;
        }
        page.push(descriptor);
        last = Some(digest);
    }

    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page });
    let mut response = Response::new(200)
        .header("Content-Type", OCI_INDEX)
        .body(Payload::Bytes(index.to_string().into_bytes()));
    if artifact_type.is_some() {
        response = response.header("OCI-Filters-Applied", "artifactType");
    }
    if let Some(last) = last.filter(|_| more) {
        let (count, last) = (n.map(|n| n.to_string()), last.to_string());
        let mut parameters = vec![("last", last.as_str())];
        parameters.extend(count.as_deref().map(|n| ("n", n)));
        parameters.extend(artifact_type.map(|wanted| ("artifactType", wanted)));
        let route = Route::ListReferrers { name: name.clone(), digest: subject.clone() };
        response = response.header("Link", link_to_next(&route, &parameters));
    }
    Ok(response)
}

/// The descriptor of a referrer, with its artifact type and annotations; `None` if it was deleted meanwhile.
fn describe(api: &Api, name: &RepositoryName, digest: &Digest) -> Result<Option<Value>, Error> {
    let stored = match api.store.read_manifest(name, &Reference::Digest(digest.clone())) {
        Ok(stored) => stored,
        Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(manifest) = Manifest::parse_stored(&stored.bytes) else { return Ok(None) };
    let mut descriptor = json!({
        "mediaType": manifest.media_type.as_str(),
        "digest": digest.to_string(),
        "size": stored.bytes.len(),
    });
    if let Some(artifact_type) = manifest.referrer_artifact_type() {
        descriptor["artifactType"] = json!(artifact_type);
    }
    if let Some(annotations) = manifest.annotations.to_map() {
        descriptor["annotations"] = Value::Object(annotations);
    }
    Ok(Some(descriptor))
}
