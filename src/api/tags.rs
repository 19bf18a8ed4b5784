//! Tags: which there are.

use serde_json::json;

use super::{Api, link_to_next, page_limit};
use crate::error::Error;
use crate::http::Request;
use crate::name::RepositoryName;
use crate::response::Response;
use crate::route::Route;

/// `GET /v2/<name>/tags/list?n=<integer>&last=<tag>` (end-8)
pub(super) fn list(api: &Api, request: &Request, name: &RepositoryName) -> Result<Response, Error> {
    let query = request.query();
    let n = query.number("n")?;
    let (tags, more) = api.store.list_tags(name, query.one("last")?, page_limit(n))?;
    let response = Response::json(200, &json!({ "name": name.as_str(), "tags": tags }));
    match (tags.last(), n) {
        (Some(last), Some(n)) if more => {
            let route = Route::ListTags { name: name.clone() };
            Ok(response.header("Link", link_to_next(&route, &[("n", &n.to_string()), ("last", last)])))
        }
        _ => Ok(response), // the end, or n=0, which "MUST NOT include a Link header"
    }
}
