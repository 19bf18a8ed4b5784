//! The catalog: which repositories there are. Not of the spec, but of docker's API before it, and clients ask.

use serde_json::json;

use super::{Api, link_to_next, page_limit};
use crate::auth::Caller;
use crate::error::Error;
use crate::http::Request;
use crate::name::RepositoryName;
use crate::response::Response;
use crate::route::Route;

/// `GET /v2/_catalog?n=<integer>&last=<name>`: of what there is, what its reader may pull
pub(super) fn list(api: &Api, caller: &Caller<'_>, request: &Request) -> Result<Response, Error> {
    let query = request.query();
    let n = query.number("n")?;
    let may_pull = |name: &RepositoryName| caller.may_pull(name);
    let (names, more) = api.store.list_repositories(query.one("last")?, page_limit(n), &may_pull)?;
    let response = Response::json(200, &json!({ "repositories": names }));
    match (names.last(), n) {
        (Some(last), Some(n)) if more => {
            Ok(response
                .header("Link", link_to_next(&Route::Catalog, &[("n", &n.to_string()), ("last", last)])))
        }
        _ => Ok(response),
    }
}
