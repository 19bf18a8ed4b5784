//! The API: one function for each endpoint, each a few sentences: parse, require, act, answer.
//!
//! The files here bear the names of those under `store/`; open two side by side and a whole feature is on the
//! screen. Nothing here touches a file, and nothing there knows a status code.

mod blobs;
mod catalog;
mod manifests;
mod operators;
mod referrers;
mod tags;
mod uploads;

use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::access::{Change, access};
use crate::auth::{Auth, Caller, basic};
use crate::digest::Digest;
use crate::error::Error;
use crate::http::Request;
use crate::metrics::{self, Working};
use crate::proxies::Proxies;
use crate::response::Response;
use crate::room::Watch;
use crate::route::{Route, encode};
use crate::store::Store;
use crate::store::manifests::Candidates;

/// What the handlers work with.
pub struct Api {
    /// The files.
    pub store: Store,
    /// Whether there is room for more of them.
    pub room: Arc<Watch>,
    /// Who may do what.
    pub auth: Auth,
    /// Who is believed to ask for others.
    pub proxies: Proxies,
    /// What goes in front of the paths in `Location` headers: nothing, or the URL that clients reach us by.
    pub public_url: String,
    /// The largest manifest, in bytes.
    pub manifest_bytes_max: u64,
}

/// What became of a request.
pub struct Outcome {
    /// The answer.
    pub response: Response,
    /// Why it was refused or failed.
    pub error: Option<Error>,
    /// Who asked, if they are logged in.
    pub user: Option<String>,
    /// The mark that the request is being worked at.
    pub working: Working,
    /// It is of little interest: a probe, that comes every few seconds.
    pub is_probe: bool,
}

impl Api {
    /// Answers a request of `client`, whatever it is.
    pub fn respond(&self, request: &mut Request, client: IpAddr) -> Outcome {
        let (mut user, mut warning) = (None, None);
        let route = request.check().and_then(|()| Route::parse(request.method(), request.path()));
        let working = Working::begin(route.as_ref().ok(), request.method());
        let is_probe = matches!(route, Ok(Route::Livez | Route::Readyz | Route::Metrics));
        let result = match &route {
            Ok(route) => self.admit(route, request, client).and_then(|caller| {
                user = caller.user().map(str::to_owned);
                if access(route).change == Change::Write {
                    warning = self.room.admit()?;
                }
                self.dispatch(route, &caller, request)
            }),
            Err(_) => Err(Error::RouteUnknown(String::new())), // replaced below
        };
        let (response, error) = match (route, result) {
            (_, Ok(response)) => (response.laid_down_by(|bytes| self.store.lay_down(bytes)), None),
            (Err(error), _) => (Response::error(&error), Some(error)),
            (Ok(route), Err(error)) => (self.refusal(&route, &error), Some(error)),
        };
        if let Some(Error::Denied { user: denied, .. }) = &error {
            user = Some(denied.clone());
        }
        if let Some(error) = &error {
            metrics::error(error);
        }
        // Of this form, says the spec ("Warnings"): clients show it to who pushes.
        let response = match warning {
            Some(warning) => response.header("Warning", format!("299 - \"{warning}\"")),
            None => response,
        };
        Outcome { response, error, user, working, is_probe }
    }

    /// Who asks, if they may. Credentials that are there twice are none.
    fn admit(&self, route: &Route, request: &Request, client: IpAddr) -> Result<Caller<'_>, Error> {
        let mut lines = request.headers("Authorization");
        let authorization = lines.next().map(|first| lines.next().map_or(first, |_| ""));
        self.auth.admit(route, authorization, client)
    }

    /// Who asks, also by way of a proxy that is trusted.
    pub fn client(&self, request: &Request) -> IpAddr {
        self.proxies.client(request.peer().ip(), request.headers("X-Forwarded-For"))
    }

    fn dispatch(&self, route: &Route, caller: &Caller<'_>, request: &mut Request) -> Result<Response, Error> {
        match route {
            Route::Livez => Ok(operators::livez()),
            Route::Readyz => Ok(operators::readyz(self)),
            Route::Metrics => Ok(operators::metrics(self)),
            Route::Version => Ok(version()),
            Route::Catalog => catalog::list(self, caller, request),
            Route::Discover => Ok(discover()),
            Route::Token => Ok(token(request)),
            Route::GetBlob { name, digest } => blobs::get(self, request, name, digest),
            Route::DeleteBlob { name, digest } => blobs::delete(self, name, digest),
            Route::GetManifest { name, reference } => manifests::get(self, request, name, reference),
            Route::PutManifest { name, reference } => manifests::put(self, caller, request, name, reference),
            Route::DeleteManifest { name, reference } => manifests::delete(self, caller, name, reference),
            Route::StartUpload { name } => uploads::start(self, caller, request, name),
            Route::GetUpload { name, id } => uploads::status(self, name, id),
            Route::PatchUpload { name, id } => uploads::patch(self, request, name, id),
            Route::PutUpload { name, id } => uploads::put(self, request, name, id),
            Route::DeleteUpload { name, id } => uploads::cancel(self, name, id),
            Route::ListTags { name } => tags::list(self, request, name),
            Route::ListReferrers { name, digest } => referrers::list(self, request, name, digest),
        }
    }

    /// The answer to a request that failed. A chunk in the wrong place learns where the session stands.
    fn refusal(&self, route: &Route, error: &Error) -> Response {
        let response = Response::error(error);
        match (error, route) {
            (Error::UploadOutOfOrder { offset, .. }, Route::PatchUpload { .. } | Route::PutUpload { .. }) => {
                uploads::progress(response, self.location(route), *offset)
            }
            _ => response,
        }
    }

    /// A URL for a `Location` header: a path, which is right behind any proxy, unless the configuration names
    /// the public URL.
    fn location(&self, route: &Route) -> String {
        format!("{}{route}", self.public_url)
    }
}

/// `GET /v2/` (end-1): yes, this is a registry.
fn version() -> Response {
    Response::json(200, &serde_json::json!({}))
}

/// `GET /v2/_oci/ext/discover`: which extensions there are.
fn discover() -> Response {
    Response::json(
        200,
        &serde_json::json!({ "extensions": [{
            "name": "_oci",
            "description": "lists the extensions that this registry supports",
            "url": "https://github.com/opencontainers/distribution-spec/blob/main/extensions/_oci.md",
            "endpoints": ["_oci/ext/discover"],
        }] }),
    )
}

/// `GET /v2/_token`: what to show from now on. Whoever is here was let pass, with a login or without.
fn token(request: &Request) -> Response {
    let token = basic::token(request.header("Authorization"));
    Response::json(200, &serde_json::json!({ "token": token })).header("Cache-Control", "no-store")
}

/// The header that leads to the next page of a list (RFC 8288): path-relative, as for `Location`.
fn link_to_next(path: &Route, parameters: &[(&str, &str)]) -> String {
    let query: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    format!("<{path}?{}>; rel=\"next\"", query.join("&"))
}

/// How many entries a client wants of a list: `n`, or all of them.
fn page_limit(n: Option<u64>) -> usize {
    n.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// The entity tag of content is its digest in quotes: it changes exactly when the bytes do.
fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// How entity tags are compared (RFC 9110, 8.8.3.2). Ours are strong; a client may call them weak, `W/"…"`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// For `If-Match`: a weak one is never the same.
    Strong,
    /// For `If-None-Match`: a weak one is as good.
    Weak,
}

/// Reads the entity tags of an `If-Match` or `If-None-Match`, which may come as several lines.
fn candidates<'a>(headers: impl Iterator<Item = &'a str>, comparison: Comparison) -> Option<Candidates> {
    let tags: Vec<&str> = headers.flat_map(|line| line.split(',')).map(str::trim).collect();
    if tags.is_empty() {
        return None;
    }
    if tags.contains(&"*") {
        return Some(Candidates::Any);
    }
    let digest = |tag: &str| match tag.strip_prefix("W/") {
        Some(_) if comparison == Comparison::Strong => None,
        weak => Some(weak.unwrap_or(tag).trim_matches('"').to_owned()),
    };
    Some(Candidates::These(tags.into_iter().filter_map(digest).collect()))
}

/// Does the client have this content already (`If-None-Match`)? Then it gets 304 and no body.
fn is_known(request: &Request, digest: &Digest) -> bool {
    candidates(request.headers("If-None-Match"), Comparison::Weak)
        .is_some_and(|known| known.contain(Some(digest)))
}
