//! Method and path of a request ([`container_registry::route`]).
//!
//! Input: `GET /v2/hello/tags/list`.
#![no_main]

use std::path::{Component, Path};

use container_registry::auth::access::{Change, Needs, access};
use container_registry::error::Error;
use container_registry::route::{Method, Route};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (method, path) = input.split_once(' ').unwrap_or(("GET", input));
    let method = Method::parse(method);
    match Route::parse(method, path) {
        Ok(route) => check_route(method, path, &route),
        Err(error) => check_refusal(path, &error),
    }
    if !path.contains('%') {
        let (plain, encoded) = (Route::parse(method, path), Route::parse(method, &encoded(path)));
        assert_eq!(plain.ok(), encoded.ok(), "however it is encoded");
    }
});

fn check_route(method: Method, path: &str, route: &Route) {
    let written = route.to_string();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-:".contains(&b);
    let is_beside = matches!(route, Route::Livez | Route::Readyz | Route::Metrics);
    assert!(is_beside || written.starts_with("/v2/"), "{written}");
    assert!( written.bytes().all(is_plain), "{written}");
    assert_eq!(Route::parse(method, &written).unwrap(), *route, "{written}");
    assert_eq!(Route::parse(method, &encoded(&written)).unwrap(), *route, "{written}");

    let reads = matches!(method, Method::Get | Method::Head);
    let other = if method == Method::Get { Method::Head } else { Method::Get };
    assert!(!reads || Route::parse(other, path).unwrap() == *route, "HEAD is GET");
    assert_eq!(reads, access(route).change == Change::Nothing, "only GET and HEAD change nothing");
    if let Needs::Right(_, name) = access(route).needs {
        let path = Path::new(name.as_str());
        assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{name}");
        assert!(name.as_str().split('/').all(|part| !part.starts_with(['.', '_'])), "{name}");
    }
}

/// A refusal is the client's fault; one of the method names those that the path takes, and no others.
fn check_refusal(path: &str, error: &Error) {
    assert!(matches!(error.status(), 400 | 404 | 405) && !error.ends_connection(), "{error}");
    let Error::MethodNotAllowed { allow } = error else { return };
    for (name, method) in Method::NAMES {
        let is_allowed = !matches!(Route::parse(method, path), Err(Error::MethodNotAllowed { .. }));
        assert_eq!(allow.split(", ").any(|allowed| allowed == name), is_allowed, "{name} {path}");
    }
}

/// The path with all but its slashes percent-encoded.
fn encoded(path: &str) -> String {
    let Some(rest) = path.strip_prefix("/v2") else { return path.to_owned() };
    let encode = |segment: &str| segment.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
    let segments: Vec<String> = rest.split('/').map(encode).collect();
    format!("/v2{}", segments.join("/"))
}
