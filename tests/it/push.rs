//! Images come in: manifests, tags, names.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;

use crate::harness::{Connection, Image, OCI_INDEX, OCI_MANIFEST, Registry, sha256, sha512};

#[test]
fn a_pushed_image_lies_on_disk_as_the_readme_says() {
    let registry = Registry::start();
    let image = registry.push_image("library/hello", "v1", b"layer");

    let tag = registry.path("repositories/library/hello/_tags/v1");
    assert_eq!(fs::read(&tag).unwrap(), image.manifest);
    let target = fs::read_link(&tag).unwrap();
    assert_eq!(target.to_str().unwrap(), format!("../_manifests/{}", image.digest.replace(':', "/")));
    for digest in [&image.config, &image.layer, &image.digest] {
        let blob = fs::metadata(registry.blob_path(digest)).unwrap();
        assert_eq!((blob.nlink(), blob.mode() & 0o777), (2, 0o444));
        assert_eq!(sha256(&fs::read(registry.blob_path(digest)).unwrap()), **digest);
    }
    registry.assert_no_uploads();
}

// ---- manifests and tags

#[test]
fn a_pushed_manifest_says_where_and_what_it_is() {
    let registry = Registry::start();
    let image = registry.push_image("lib/hello", "v1", b"layer");
    let location = format!("/v2/lib/hello/manifests/{}", image.digest);
    let etag = format!("\"{}\"", image.digest);
    for reference in ["v1", "v2", &image.digest, &image.digest.replace(':', "%3A")] {
        let answer = registry.put_manifest("lib/hello", reference, OCI_MANIFEST, &image.manifest);
        answer.assert(
            201,
            &[
                ("Location", &location),
                ("Docker-Content-Digest", &image.digest),
                ("ETag", &etag),
                ("Content-Length", "0"),
            ],
        );
        assert_eq!((answer.header("OCI-Tag"), answer.header("OCI-Subject")), (None, None));
    }
    assert_eq!(registry.files("repositories/lib/hello/_tags"), ["v1", "v2"]);
    assert_eq!(registry.files("repositories/lib/hello/_manifests"), [image.digest.replace(':', "/")]);
    assert_eq!(registry.link_count(&image.digest), 2);
}

#[test]
fn a_manifest_may_come_chunked() {
    let registry = Registry::start();
    let image = registry.push_image("a", "whole", b"layer");
    let (start, end) = image.manifest.split_at(17);
    let mut client = Connection::open(registry.address);
    let headers = [("Content-Type", OCI_MANIFEST)];
    let answer = client.send_chunked("PUT", "/v2/a/manifests/chunked", &headers, &[start, end]);
    answer.assert(201, &[("Docker-Content-Digest", &image.digest)]);
    registry.assert_tagged("a", "chunked", &image.digest, &image.manifest);
}

#[test]
fn a_manifest_under_another_digest_is_refused() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let before = registry.snapshot();
    let wrong = sha256(b"other");
    let answer = registry.put_manifest("a", &wrong, OCI_MANIFEST, &image.manifest);
    answer.assert_error(400, "DIGEST_INVALID");
    assert_eq!(answer.json()["errors"][0]["detail"]["actual"], *image.digest);
    let answer = registry.put_manifest("a", &format!("{wrong}?tag=x"), OCI_MANIFEST, &image.manifest);
    answer.assert_error(400, "DIGEST_INVALID");
    assert_eq!(registry.snapshot(), before);
}

#[test]
fn a_manifest_is_kept_under_the_algorithm_it_came_with() {
    let registry = Registry::start();
    let image = registry.push_image("a", "by-sha256", b"layer");
    let digest = sha512(&image.manifest);
    let answer =
        registry.put_manifest("a", &format!("{digest}?tag=by-sha512"), OCI_MANIFEST, &image.manifest);
    answer.assert(201, &[("Docker-Content-Digest", &digest), ("OCI-Tag", "by-sha512")]);
    assert_eq!(answer.header("Location").unwrap(), format!("/v2/a/manifests/{digest}"));
    assert_eq!(fs::read(registry.blob_path(&digest)).unwrap(), image.manifest);
    registry.assert_tagged("a", "by-sha512", &digest, &image.manifest);
    registry.assert_tagged("a", "by-sha256", &image.digest, &image.manifest);
}

#[test]
fn one_push_may_set_many_tags() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v0", b"layer");
    let tags: Vec<String> = (1..=47).map(|number| format!("v{number}")).collect();
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let reference = format!("{}?{}", image.digest, query.join("&"));
    let answer = registry.put_manifest("a", &reference, OCI_MANIFEST, &image.manifest);
    answer.assert(201, &[("OCI-Tag", &tags.join(", ")), ("Docker-Content-Digest", &image.digest)]);
    assert_eq!(registry.files("repositories/a/_tags").len(), 48);
    for tag in &tags {
        registry.assert_tagged("a", tag, &image.digest, &image.manifest);
    }
    let answer = registry.put_manifest("a", "path?tag=query&tag=query", OCI_MANIFEST, &image.manifest);
    answer.assert(201, &[("OCI-Tag", "path, query")]);
    assert_eq!(registry.files("repositories/a/_tags").len(), 50);
}

#[test]
fn a_hundred_tags_are_taken_and_one_more_is_too_many() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v0", b"layer");
    let push = |count: usize| {
        let query: Vec<String> = (0..count).map(|number| format!("tag=v{number}")).collect();
        let reference = format!("{}?{}", image.digest, query.join("&"));
        registry.put_manifest("a", &reference, OCI_MANIFEST, &image.manifest)
    };
    let before = registry.snapshot();
    for count in [101, 1000] {
        let answer = push(count);
        answer.assert_error(414, "MANIFEST_INVALID");
        assert_eq!(answer.json()["errors"][0]["detail"]["limit"], 100);
    }
    assert_eq!(registry.snapshot(), before);
    push(100).assert(201, &[]);
    assert_eq!(registry.files("repositories/a/_tags").len(), 100);
}

#[test]
fn a_tag_that_is_none_is_refused_with_all_that_came_with_it() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let before = registry.snapshot();
    for tag in
        ["", ".hidden", "-x", "a/b", "a%2Fb", "..", "a%0d%0aX-Injected:%20yes", "a%00", "%C3%A4", "a:b"]
    {
        let reference = format!("{}?tag=good&tag={tag}", image.digest);
        let answer = registry.put_manifest("a", &reference, OCI_MANIFEST, &image.manifest);
        answer.assert_error(400, "MANIFEST_INVALID");
        assert_eq!(answer.header("X-Injected"), None);
    }
    for (tag, code) in [
        (".hidden", "MANIFEST_INVALID"),
        ("..", "MANIFEST_INVALID"),
        ("a%20b", "MANIFEST_INVALID"),
        (&"x".repeat(129), "MANIFEST_INVALID"),
        ("a:b", "DIGEST_INVALID"),
    ] {
        registry.put_manifest("a", tag, OCI_MANIFEST, &image.manifest).assert_error(400, code);
    }
    assert_eq!(registry.snapshot(), before);
    registry.put_manifest("a", &"x".repeat(128), OCI_MANIFEST, &image.manifest).assert(201, &[]);
}

#[test]
fn a_manifest_about_another_says_so_and_is_listed_with_it() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let subject = format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":9}}"#, image.digest);
    let signature =
        String::from_utf8(image.manifest).unwrap().replacen('{', &format!("{{\"subject\":{subject},"), 1);
    let answer = registry.put_manifest("a", "signature", OCI_MANIFEST, signature.as_bytes());
    answer.assert(201, &[("OCI-Subject", &image.digest)]);
    let (_, signed) = image.digest.split_once(':').unwrap();
    let signature_digest = sha256(signature.as_bytes());
    let entry = registry
        .path(&format!("repositories/a/_referrers/sha256/{signed}/{}", signature_digest.replace(':', "-")));
    let target = fs::read_link(&entry).unwrap();
    assert_eq!(
        target.to_str().unwrap(),
        format!("../../../_manifests/{}", signature_digest.replace(':', "/"))
    );
    assert_eq!(fs::read(entry).unwrap(), signature.as_bytes());
}

#[test]
fn a_tag_moves_and_the_old_manifest_stays() {
    let registry = Registry::start();
    let old = registry.push_image("a", "latest", b"old");
    let new = registry.push_image("a", "latest", b"new");
    registry.assert_tagged("a", "latest", &new.digest, &new.manifest);
    assert_eq!(registry.files("repositories/a/_tags"), ["latest"], "no temporary name is left");
    let answer = registry.get(&format!("/v2/a/manifests/{}", old.digest));
    assert_eq!((answer.status, answer.body), (200, old.manifest));
    assert_eq!(registry.link_count(&old.digest), 2);
}

#[test]
fn an_index_waits_for_its_children_and_may_have_blobs_as_such() {
    let registry = Registry::start();
    let image = registry.push_image("a", "amd64", b"layer");
    let child = |media_type: &str, digest: &str, size: usize| {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let index = |children: &[String]| {
        let children = children.join(",");
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{children}]}}"#)
    };
    let image_child = child(OCI_MANIFEST, &image.digest, image.manifest.len());
    let cache = [
        child("application/vnd.oci.image.layer.v1.tar+gzip", &image.layer, 5),
        child("application/vnd.buildkit.cacheconfig.v0", &image.config, 37),
    ];
    for (tag, document) in [("image", index(&[image_child])), ("cache", index(&cache)), ("empty", index(&[]))]
    {
        let answer = registry.put_manifest("a", tag, OCI_INDEX, document.as_bytes());
        answer.assert(201, &[("Docker-Content-Digest", &sha256(document.as_bytes()))]);
        let answer = registry.get(&format!("/v2/a/manifests/{tag}"));
        answer.assert(200, &[("Content-Type", OCI_INDEX)]);
        assert_eq!(answer.body, document.as_bytes());
    }
}

#[test]
fn many_who_push_to_one_repository_do_not_lose_a_tag_or_a_referrer() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let subject = format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":9}}"#, image.digest);
    let text = String::from_utf8(image.manifest.clone()).unwrap();
    thread::scope(|scope| {
        for pusher in 0..8 {
            let (registry, text, subject) = (&registry, &text, &subject);
            scope.spawn(move || {
                let more = format!("{{\"annotations\":{{\"pusher\":\"{pusher}\"}},\"subject\":{subject},");
                let document = text.replacen('{', &more, 1);
                let tag = format!("signature{pusher}");
                registry.put_manifest("a", &tag, OCI_MANIFEST, document.as_bytes()).assert(201, &[]);
            });
        }
    });
    assert_eq!(registry.files("repositories/a/_tags").len(), 9);
    assert_eq!(registry.files("repositories/a/_referrers").len(), 8);
    let answer = registry.get(&format!("/v2/a/referrers/{}", image.digest));
    assert_eq!(answer.json()["manifests"].as_array().unwrap().len(), 8);
}

// ---- names and locations

#[test]
fn the_words_of_the_api_and_of_the_store_make_good_names() {
    let registry = Registry::start();
    let long = format!("{}/{}", "a".repeat(127), "b".repeat(127));
    for name in
        ["blobs/uploads", "manifests/tags/list", "a/blobs/manifests/tags", "uploads", "sha256", "0", &long]
    {
        let image = registry.push_image(name, "manifests", name.as_bytes());
        registry.assert_holds(name, &image.layer, name.as_bytes());
        let answer = registry.get(&format!("/v2/{name}/manifests/manifests"));
        assert_eq!((answer.status, answer.body), (200, image.manifest));
        let answer = registry.get(&format!("/v2/{name}/tags/list"));
        assert_eq!(answer.json(), serde_json::json!({ "name": name, "tags": ["manifests"] }));
    }
}

#[test]
fn a_name_that_is_none_is_refused_wherever_it_stands_and_makes_no_folder() {
    let registry = Registry::start();
    let digest = sha256(b"");
    let before = registry.snapshot();
    let long = "a".repeat(256);
    for name in [
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "%2e%2e",
        "a%2f..%2fx",
        "a%252fb",
        "a%00b",
        "a//b",
        "/a",
        "a/",
        "A",
        "a_",
        "_tags",
        "a/_blobs",
        "_uploads",
        ".",
        "a/./b",
        "a%20b",
        "a%0ab",
        "%C3%A4",
        "a..b",
        "a___b",
        "-a",
        &long,
    ] {
        for (method, rest) in [
            ("POST", "blobs/uploads/".to_owned()),
            ("POST", format!("blobs/uploads/?mount={digest}")),
            ("POST", format!("blobs/uploads/?digest={digest}")),
            ("PUT", "manifests/v1".to_owned()),
            ("GET", "manifests/v1".to_owned()),
            ("DELETE", format!("manifests/{digest}")),
            ("GET", format!("blobs/{digest}")),
            ("DELETE", format!("blobs/{digest}")),
            ("GET", "tags/list".to_owned()),
            ("GET", format!("referrers/{digest}")),
        ] {
            let answer = registry.send(method, &format!("/v2/{name}/{rest}"), &[], b"");
            answer.assert_error(400, "NAME_INVALID");
        }
    }
    assert_eq!(registry.snapshot(), before);
}

#[test]
fn locations_are_paths_unless_a_public_url_is_set() {
    let registry = Registry::start_with(&["--public-url", "https://example.org/hub/"]);
    let location = registry.start_upload("a");
    let path = location.strip_prefix("https://example.org/hub").expect(&location);
    let digest = sha256(b"bytes");
    registry.get(path).assert(204, &[("Location", &location)]);
    let answer = registry.send("PATCH", path, &[], b"by");
    answer.assert(202, &[("Location", &location)]);
    let answer = registry.send("PATCH", path, &[("Content-Range", "7-8")], b"xx");
    answer.assert(416, &[("Location", &location)]);
    let answer = registry.send("PUT", &format!("{path}?digest={digest}"), &[], b"tes");
    answer.assert(201, &[("Location", &format!("https://example.org/hub/v2/a/blobs/{digest}"))]);
    let image = Image::new(&digest, 5, &digest, 5);
    let answer = registry.put_manifest("a", "v1", OCI_MANIFEST, &image.manifest);
    let manifest = format!("https://example.org/hub/v2/a/manifests/{}", image.digest);
    answer.assert(201, &[("Location", &manifest)]);
    let answer = registry.send("POST", &format!("/v2/b/blobs/uploads/?mount={digest}&from=a"), &[], b"");
    answer.assert(201, &[("Location", &format!("https://example.org/hub/v2/b/blobs/{digest}"))]);
}
