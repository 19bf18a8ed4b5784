//! What there is: the API itself, tags and the catalog, in pages.

use std::fs;

use serde_json::json;

use crate::harness::{Connection, OCI_MANIFEST, Registry, sha256};

#[test]
fn the_api_says_that_it_is_there() {
    let registry = Registry::start();
    for path in ["/v2/", "/v2"] {
        let answer = registry.get(path);
        answer.assert(200, &[("Content-Type", "application/json"), ("Content-Length", "2")]);
        assert_eq!(answer.json(), json!({}));
        registry.send("HEAD", path, &[], b"").assert(200, &[("Content-Length", "2")]);
    }
    let extensions = registry.get("/v2/_oci/ext/discover");
    extensions.assert(200, &[("Content-Type", "application/json")]);
    assert_eq!(extensions.json()["extensions"][0]["name"], "_oci");
    assert_eq!(extensions.json()["extensions"][0]["endpoints"], json!(["_oci/ext/discover"]));
}

#[test]
fn every_answer_names_the_api_and_its_length() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let (blob, manifest) =
        (format!("/v2/a/blobs/{}", image.layer), format!("/v2/a/manifests/{}", image.digest));
    let etag = format!("\"{}\"", image.digest);
    let mut client = Connection::open(registry.address); // what is not as long as it says derails the next
    for (method, path, headers, status) in [
        ("GET", "/v2/", &[][..], 200),
        ("GET", "/", &[], 404),
        ("HEAD", "/v2/", &[], 200),
        ("PATCH", "/v2/", &[], 405),
        ("GET", &blob, &[], 200),
        ("GET", &blob, &[("Range", "bytes=1-1")], 206),
        ("GET", &blob, &[("Range", "bytes=9-")], 416),
        ("HEAD", &blob, &[], 200),
        ("HEAD", &manifest, &[], 200),
        ("GET", &manifest, &[("If-None-Match", &etag)], 304),
        ("POST", "/v2/a/blobs/uploads/", &[], 202),
        ("HEAD", "/v2/a/manifests/none", &[], 404),
        ("PUT", "/v2/a/manifests/v1", &[("Content-Type", OCI_MANIFEST)], 400),
        ("PUT", "/v2/a/manifests/v1", &[("Content-Type", OCI_MANIFEST), ("If-None-Match", "*")], 400),
        ("DELETE", "/v2/a/manifests/v1", &[], 202),
        ("GET", "/v2/a/tags/list?n=x", &[], 400),
        ("GET", "/v2/A/tags/list", &[], 400),
    ] {
        let answer = client.send(method, path, headers, b"");
        answer.assert(status, &[("Docker-Distribution-API-Version", "registry/2.0")]);
        assert_eq!(answer.header("Content-Length").is_some(), status != 304, "{method} {path}");
        assert_eq!(answer.header("Transfer-Encoding"), None);
        let content_type = answer.header("Content-Type").unwrap_or_default();
        assert!(!content_type.contains(';'), "{method} {path}: {content_type}");
    }
}

#[test]
fn a_known_path_with_another_method_is_405_and_says_which_it_takes() {
    let registry = Registry::start();
    let (name, digest) = ("a/b", sha256(b""));
    let session = registry.start_upload(name);
    let before = registry.snapshot();
    for (path, allow) in [
        ("/v2/", "GET, HEAD"),
        ("/v2/_catalog", "GET, HEAD"),
        ("/v2/_oci/ext/discover", "GET, HEAD"),
        ("/v2/a/b/tags/list", "GET, HEAD"),
        (&format!("/v2/a/b/referrers/{digest}"), "GET, HEAD"),
        (&format!("/v2/a/b/blobs/{digest}"), "GET, HEAD, DELETE"),
        ("/v2/a/b/manifests/v1", "GET, HEAD, PUT, DELETE"),
        (&format!("/v2/a/b/manifests/{digest}"), "GET, HEAD, PUT, DELETE"),
        ("/v2/a/b/blobs/uploads/", "POST"),
        (&session, "GET, HEAD, PATCH, PUT, DELETE"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "BREW"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = registry.send(method, path, &[], b"");
            answer.assert(405, &[("Allow", allow)]);
            if method != "HEAD" {
                answer.assert_error(405, "UNSUPPORTED");
            }
        }
    }
    assert_eq!(registry.snapshot(), before);
}

#[test]
fn a_path_that_is_none_of_ours_is_404() {
    let registry = Registry::start();
    for path in [
        "/",
        "/v1/",
        "/v3/",
        "/V2/",
        "/v2//",
        "/v2/a",
        "/v2/a/tags",
        "/v2/a/tags/list/",
        "/v2/_catalog/",
        "/v2/_oci/ext",
        "/v2/a/blobs/uploads/x/y",
        "/favicon.ico",
        "/v2x/",
        "/../v2/",
        "/v2/../etc/passwd",
        "/blobs/sha256/",
        "/testdata",
        "/%76%32/",
        "/v2%2F",
        "/v2;x/",
    ] {
        let answer = registry.get(path);
        answer.assert_error(404, "UNSUPPORTED");
        assert_eq!(answer.json()["errors"][0]["detail"]["path"], path);
        assert_eq!(answer.header("Allow"), None);
    }
}

#[test]
fn a_target_without_end_is_414() {
    let registry = Registry::start();
    for target in [format!("/v2/{}/tags/list", "a/".repeat(32 << 10)), format!("/v2/?{}", "x".repeat(20_000))]
    {
        let answer = registry.get(&target);
        answer.assert_error(414, "UNSUPPORTED");
        assert_eq!(answer.json()["errors"][0]["detail"]["limit"], 16 << 10);
    }
    registry.assert_alive();
}

// ---- tags

/// A repository `a` with these tags.
fn with_tags(tags: &[&str]) -> Registry {
    let registry = Registry::start();
    let image = registry.push_image("a", tags[0], b"layer");
    for tag in &tags[1..] {
        registry.put_manifest("a", tag, OCI_MANIFEST, &image.manifest).assert(201, &[]);
    }
    registry
}

#[test]
fn tags_are_listed_in_order_all_or_in_pages() {
    let registry = with_tags(&["v10", "v1", "latest", "V1", "_x", "0"]);
    let sorted = ["0", "V1", "_x", "latest", "v1", "v10"];
    let answer = registry.get("/v2/a/tags/list");
    answer.assert(200, &[("Content-Type", "application/json")]);
    assert_eq!(answer.json(), json!({ "name": "a", "tags": sorted }));
    assert_eq!(answer.next_page(), None);
    let head = registry.send("HEAD", "/v2/a/tags/list", &[], b"");
    head.assert(200, &[("Content-Length", &answer.body.len().to_string())]);

    for n in 1..=7 {
        let tags = registry.all_pages(&format!("/v2/a/tags/list?n={n}"), "tags", n);
        assert_eq!(tags, sorted, "{n} a page");
    }
    let page = registry.get("/v2/a/tags/list?n=2");
    assert_eq!(page.header("Link"), Some("</v2/a/tags/list?n=2&last=V1>; rel=\"next\""));
    assert_eq!(registry.get("/v2/a/tags/list?n=6").next_page(), None, "nothing follows");
}

#[test]
fn last_need_not_exist() {
    let registry = with_tags(&["a", "c", "e"]);
    for (query, tags) in [
        ("last=b", &["c", "e"][..]),
        ("last=c", &["e"]),
        ("n=1&last=b", &["c"]),
        ("last=zzz", &[]),
        ("last=%2Fno%20tag", &["a", "c", "e"]),
        ("last=", &["a", "c", "e"]),
    ] {
        let answer = registry.get(&format!("/v2/a/tags/list?{query}"));
        assert_eq!((answer.status, &answer.json()["tags"]), (200, &json!(tags)), "{query}");
    }
    registry.send("DELETE", "/v2/a/manifests/c", &[], b"").assert(202, &[]);
    assert_eq!(registry.get("/v2/a/tags/list?last=c").json()["tags"], json!(["e"]));
}

#[test]
fn a_page_of_none_is_empty_and_has_no_next() {
    let registry = with_tags(&["a", "b"]);
    for (path, list) in [("/v2/a/tags/list", "tags"), ("/v2/_catalog", "repositories")] {
        let answer = registry.get(&format!("{path}?n=0"));
        answer.assert(200, &[]);
        assert_eq!((&answer.json()[list], answer.header("Link")), (&json!([]), None));
    }
}

#[test]
fn a_page_size_is_a_number_and_a_huge_one_costs_nothing() {
    let registry = with_tags(&["a", "b"]);
    let digest = sha256(b"");
    for path in ["/v2/a/tags/list", "/v2/_catalog", &format!("/v2/a/referrers/{digest}")] {
        for n in ["-1", "x", "", "1.0", "+1", "%201", "18446744073709551616", "1&n=1"] {
            let answer = registry.get(&format!("{path}?n={n}"));
            answer.assert_error(400, "UNSUPPORTED");
            assert_eq!(answer.json()["errors"][0]["detail"]["parameter"], "n", "{path}?n={n}");
        }
        for n in ["99999999999", "9223372036854775807", "18446744073709551615"] {
            let answer = registry.get(&format!("{path}?n={n}"));
            assert_eq!((answer.status, answer.header("Link")), (200, None));
        }
        registry.get(&format!("{path}?last=x&last=y")).assert_error(400, "UNSUPPORTED");
    }
}

#[test]
fn a_repository_without_tags_has_an_empty_list_and_none_is_404() {
    let registry = Registry::start();
    registry.push_image("a", "v1", b"layer");
    registry.send("DELETE", "/v2/a/manifests/v1", &[], b"").assert(202, &[]);
    assert_eq!(registry.get("/v2/a/tags/list").json(), json!({ "name": "a", "tags": [] }));
    registry.push_blob("blobs-only", b"");
    assert_eq!(registry.get("/v2/blobs-only/tags/list").json()["tags"], json!([]));
    let answer = registry.get("/v2/none/tags/list");
    answer.assert_error(404, "NAME_UNKNOWN");
    assert_eq!(answer.json()["errors"][0]["detail"]["name"], "none");
}

#[test]
fn what_is_no_tag_is_not_listed() {
    let registry = with_tags(&["v1"]);
    for name in [".new-0b7a4c2e", ".DS_Store", "v1~", "a b"] {
        fs::write(registry.path("repositories/a/_tags").join(name), "").unwrap();
    }
    assert_eq!(registry.get("/v2/a/tags/list").json()["tags"], json!(["v1"]));
}

// ---- catalog

#[test]
fn the_catalog_lists_repositories_in_the_order_of_their_names() {
    let registry = Registry::start();
    assert_eq!(registry.get("/v2/_catalog").json(), json!({ "repositories": [] }));
    let sorted = ["a", "a-b", "a-b/c", "a.b", "a/b", "a/b/c", "a/c", "a0", "b/blobs/uploads", "c/d/e"];
    for name in sorted.iter().rev() {
        registry.push_image(name, "v1", b"layer");
    }
    registry.push_blob("without-a-manifest", b"");
    registry.start_upload("only-begun");
    fs::write(registry.path("repositories/a-file"), "").unwrap();
    fs::create_dir_all(registry.path("repositories/No-Name/_manifests/sha256/x")).unwrap();
    let answer = registry.get("/v2/_catalog");
    answer.assert(200, &[("Content-Type", "application/json")]);
    assert_eq!(answer.json(), json!({ "repositories": sorted }));
    for n in 1..=sorted.len() + 1 {
        let names = registry.all_pages(&format!("/v2/_catalog?n={n}"), "repositories", n);
        assert_eq!(names, sorted, "{n} a page");
    }
    for (last, rest) in [("a/b", &sorted[5..]), ("a/bb", &sorted[6..]), ("a/", &sorted[4..]), ("", &sorted)] {
        let answer = registry.get(&format!("/v2/_catalog?last={last}"));
        assert_eq!(answer.json()["repositories"], json!(rest), "{last}");
    }
    assert_eq!(registry.get("/v2/_catalog?last=~").json()["repositories"], json!([]));
    let page = registry.get("/v2/_catalog?n=5");
    assert_eq!(page.header("Link"), Some("</v2/_catalog?n=5&last=a%2Fb>; rel=\"next\""));
}

#[test]
fn a_repository_leaves_the_catalog_with_its_last_manifest() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    registry.push_image("a/b", "v1", b"layer");
    registry.send("DELETE", &format!("/v2/a/manifests/{}", image.digest), &[], b"").assert(202, &[]);
    assert_eq!(registry.get("/v2/_catalog").json()["repositories"], json!(["a/b"]));
}
