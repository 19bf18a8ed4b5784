//! Every route with every setting: what is answered, and the table of the README that it makes.
//!
//! To write the table: `ACCESS_TABLE=table.md cargo test --test it access`.

use std::fs;
use std::path::Path;

use container_registry::digest::Digest;
use container_registry::name::RepositoryName;
use container_registry::reference::{Reference, UploadId};
use container_registry::route::{Method, Route};
use serde_json::json;

use crate::harness::users::{Users, basic, login};
use crate::harness::{Answer, Image, OCI_MANIFEST, Registry, sha256};

/// The repository that everything happens in.
const NAME: &str = "team/app";
const LAYER: &[u8] = b"layer";
const CHUNK: &[u8] = b"chunk";

/// A column of the table: a registry, and who asks it.
struct Setting<'a> {
    title: &'static str,
    registry: &'a Registry,
    who: Who,
}

#[derive(Clone, Copy)]
enum Who {
    Nobody,
    /// Somebody with a wrong password.
    Liar,
    User(&'static str),
}

/// How a route stands in the table. A new route does not compile before it has its line here; it needs one in
/// [`routes`] too.
fn row(route: &Route) -> (&'static str, &'static str) {
    match route {
        Route::Livez => ("GET", "/livez"),
        Route::Readyz => ("GET", "/readyz"),
        Route::Metrics => ("GET", "/metrics"),
        Route::Version => ("GET", "/v2/"),
        Route::Catalog => ("GET", "/v2/_catalog"),
        Route::Discover => ("GET", "/v2/_oci/ext/discover"),
        Route::Token => ("GET", "/v2/_token"),
        Route::GetBlob { .. } => ("GET", "…/blobs/<digest>"),
        Route::DeleteBlob { .. } => ("DELETE", "…/blobs/<digest>"),
        Route::GetManifest { reference: Reference::Tag(_), .. } => ("GET", "…/manifests/<tag>"),
        Route::GetManifest { reference: Reference::Digest(_), .. } => ("GET", "…/manifests/<digest>"),
        Route::PutManifest { reference: Reference::Tag(_), .. } => ("PUT", "…/manifests/<tag>"),
        Route::PutManifest { reference: Reference::Digest(_), .. } => ("PUT", "…/manifests/<digest>"),
        Route::DeleteManifest { reference: Reference::Tag(_), .. } => ("DELETE", "…/manifests/<tag>"),
        Route::DeleteManifest { reference: Reference::Digest(_), .. } => ("DELETE", "…/manifests/<digest>"),
        Route::StartUpload { .. } => ("POST", "…/blobs/uploads/"),
        Route::GetUpload { .. } => ("GET", "…/blobs/uploads/<id>"),
        Route::PatchUpload { .. } => ("PATCH", "…/blobs/uploads/<id>"),
        Route::PutUpload { .. } => ("PUT", "…/blobs/uploads/<id>"),
        Route::DeleteUpload { .. } => ("DELETE", "…/blobs/uploads/<id>"),
        Route::ListTags { .. } => ("GET", "…/tags/list"),
        Route::ListReferrers { .. } => ("GET", "…/referrers/<digest>"),
    }
}

/// All routes, to what is there.
fn routes(image: &Image, session: &str) -> Vec<Route> {
    let name = RepositoryName::parse(NAME).unwrap();
    let blob = Digest::parse(&image.layer).unwrap();
    let digest = Digest::parse(&image.digest).unwrap();
    let by_tag = Reference::parse("v1").unwrap();
    let by_digest = Reference::Digest(digest.clone());
    let id = UploadId::parse(session.rsplit('/').next().unwrap()).unwrap();
    let n = || name.clone();
    vec![
        Route::Version,
        Route::Catalog,
        Route::Discover,
        Route::Token,
        Route::Livez,
        Route::Readyz,
        Route::Metrics,
        Route::ListTags { name: n() },
        Route::ListReferrers { name: n(), digest },
        Route::GetManifest { name: n(), reference: by_tag.clone() },
        Route::GetManifest { name: n(), reference: by_digest.clone() },
        Route::GetBlob { name: n(), digest: blob.clone() },
        Route::PutManifest { name: n(), reference: by_tag.clone() },
        Route::PutManifest { name: n(), reference: by_digest.clone() },
        Route::StartUpload { name: n() },
        Route::GetUpload { name: n(), id: id.clone() },
        Route::PatchUpload { name: n(), id: id.clone() },
        Route::PutUpload { name: n(), id: id.clone() },
        Route::DeleteUpload { name: n(), id },
        Route::DeleteManifest { name: n(), reference: by_tag },
        Route::DeleteManifest { name: n(), reference: by_digest },
        Route::DeleteBlob { name: n(), digest: blob },
    ]
}

/// Sends a route's request, by a method of its path.
fn send(setting: &Setting<'_>, method: &str, route: &Route, image: &Image) -> Answer {
    let (path, body) = match route {
        Route::PutManifest { .. } => (route.to_string(), image.manifest.as_slice()),
        Route::PutUpload { .. } => (format!("{route}?digest={}", sha256(CHUNK)), CHUNK),
        Route::PatchUpload { .. } => (route.to_string(), CHUNK),
        _ => (route.to_string(), &b""[..]),
    };
    let authorization = match setting.who {
        Who::Nobody => None,
        // Another name each time, as often as one address may be wrong.
        Who::Liar => Some(basic(&format!("{method}-{}", path.len()), "guess")),
        Who::User(name) => Some(login(name)),
    };
    let mut headers = vec![("Content-Type", OCI_MANIFEST)];
    headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
    setting.registry.send(method, &path, &headers, body)
}

/// One cell: the status, after it was made sure that a refusal changes nothing and that HEAD is GET.
fn cell(open: &Registry, setting: &Setting<'_>, which: usize) -> u16 {
    let image = open.push_image(NAME, "v1", LAYER);
    let session = open.start_upload(NAME);
    let route = &routes(&image, &session)[which];
    let (method, path) = row(route);
    let before = open.snapshot();
    let answer = send(setting, method, route, &image);
    let status = answer.status;
    let place = format!("{method} {path} with {}", setting.title);
    match status {
        200..=299 => {}
        401 => assert!(answer.header("WWW-Authenticate").is_some(), "{place}"),
        403 => assert_eq!(answer.code(), "DENIED", "{place}"),
        405 => assert!(answer.code() == "UNSUPPORTED" && answer.header("Allow").is_some(), "{place}"),
        other => panic!("{place}: {other}"),
    }
    if status >= 300 || method == "GET" {
        assert_eq!(open.snapshot(), before, "{place}");
    }
    if method == "GET" {
        assert_eq!(send(setting, "HEAD", route, &image).status, status, "HEAD {path} with {}", setting.title);
    }
    open.send("DELETE", &session, &[], b"");
    status
}

/// The table in Markdown.
fn table(open: &Registry, settings: &[Setting<'_>]) -> String {
    let titles: Vec<&str> = settings.iter().map(|setting| setting.title).collect();
    let mut table = format!("| | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
    let image = open.push_image(NAME, "v1", LAYER);
    for (which, route) in routes(&image, &open.start_upload(NAME)).iter().enumerate() {
        let cells = settings.iter().map(|setting| cell(open, setting, which).to_string());
        let (method, path) = row(route);
        table += &format!("| `{method} {path}` | {} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
    table
}

#[test]
fn every_route_with_every_setting_answers_as_the_readme_says() {
    let users = Users::new(&["alice", "reader", "writer", "owner", "other"]);
    let htpasswd = users.file().display().to_string();
    let rules = users.config(json!([
        { "user": "reader", "repository": "team/*", "pull": true },
        { "user": "writer", "repository": "team/*", "pull": true, "push": true },
        { "user": "owner", "repository": "team/*", "pull": true, "push": true, "delete": true },
    ]));
    let open = Registry::start();
    let read_only = open.start_beside_with(&["--read-only"]);
    let no_delete = open.start_beside_with(&["--no-delete"]);
    let closed = open.start_beside_with(&["--htpasswd", &htpasswd]);
    let public = open.start_beside_with(&["--htpasswd", &htpasswd, "--anonymous-pull"]);
    let ruled = open.start_beside_with(&["--config", &rules]);
    let setting = |title, registry, who| Setting { title, registry, who };
    let settings = [
        setting("no flag", &open, Who::Nobody),
        setting("`--read-only`", &read_only, Who::Nobody),
        setting("`--no-delete`", &no_delete, Who::Nobody),
        setting("`--htpasswd`: no login", &closed, Who::Nobody),
        setting("wrong login", &closed, Who::Liar),
        setting("any user", &closed, Who::User("alice")),
        setting("`--anonymous-pull`: no login", &public, Who::Nobody),
        setting("rules: pull", &ruled, Who::User("reader")),
        setting("pull, push", &ruled, Who::User("writer")),
        setting("pull, push, delete", &ruled, Who::User("owner")),
        setting("another user", &ruled, Who::User("other")),
    ];
    let table = table(&open, &settings);
    if let Some(file) = std::env::var_os("ACCESS_TABLE") {
        return fs::write(file, table).unwrap();
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let written =
        readme.split_once("<!-- access-table -->\n").and_then(|(_, rest)| rest.split_once("<!-- /access"));
    let (written, _) = written.unwrap_or(("(no such table)", ""));
    assert!(written == table, "the README should say:\n{table}\nbut says:\n{written}");
}

/// What is wrong with a request whoever sends it, they are told whoever they are: it is read off its text.
#[test]
fn a_path_takes_no_other_methods_from_anybody() {
    let users = Users::new(&["alice"]);
    let registries = [
        Registry::start(),
        Registry::start_with(&["--read-only"]),
        Registry::start_with(&["--no-delete"]),
        users.start(&[]),
        users.start(&["--anonymous-pull"]),
    ];
    let image = Image::new(&sha256(b"config"), 6, &sha256(LAYER), LAYER.len());
    let session = format!("/v2/{NAME}/blobs/uploads/0b7a4c2e-9d1f-4a3b-8c5d-6e7f8091a2b3");
    for route in routes(&image, &session) {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get"] {
            if Route::parse(Method::parse(method), &route.to_string()).is_ok() {
                continue;
            }
            for registry in &registries {
                let answer = registry.send(method, &route.to_string(), &[], b"");
                assert_eq!(answer.status, 405, "{method} {route}");
                assert!(answer.header("Allow").is_some_and(|allow| !allow.is_empty()), "{method} {route}");
            }
        }
    }
    for registry in &registries {
        assert_eq!(registry.get("/").status, 404);
        assert_eq!(registry.get("/v2/UPPER/tags/list").status, 400);
    }
}
