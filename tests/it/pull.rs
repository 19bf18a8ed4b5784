//! Images go out.

use std::fs::{self, File};
use std::io::{BufRead, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::{Connection, OCI_INDEX, OCI_MANIFEST, Registry, sha256, sha512};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

#[test]
fn a_manifest_goes_out_as_it_came_by_tag_and_by_digest() {
    let registry = Registry::start();
    let image = registry.push_image("lib/hello", "v1", b"layer");
    let length = image.manifest.len().to_string();
    let etag = format!("\"{}\"", image.digest);
    let headers = [
        ("Content-Type", OCI_MANIFEST),
        ("Content-Length", &length),
        ("Docker-Content-Digest", &image.digest),
        ("ETag", &etag),
        ("Docker-Distribution-API-Version", "registry/2.0"),
    ];
    let mut client = Connection::open(registry.address); // one for all: each answer is as long as it says
    for reference in ["v1", &image.digest, &image.digest.replace(':', "%3A")] {
        let path = format!("/v2/lib/hello/manifests/{reference}");
        let answer = client.send("GET", &path, &[], b"");
        answer.assert(200, &headers);
        assert_eq!(answer.body, image.manifest);
        client.send("HEAD", &path, &[], b"").assert(200, &headers);
    }
}

#[test]
fn every_kind_of_manifest_goes_out_under_its_own_type_without_parameters() {
    let registry = Registry::start();
    let (config, layer) = (registry.push_blob("a", b"{}"), registry.push_blob("a", b"layer"));
    let image = |kind: &str| {
        format!(
            r#"{{ "mediaType":"{kind}", "schemaVersion":2,
                "config":{{"mediaType":"a/b","digest":"{config}","size":2}},
                "layers":[{{"mediaType":"c/d","digest":"{layer}","size":5}}], "x":{{"y":[1.50,"\u00e4"]}} }}"#
        )
    };
    let index = |kind: &str| format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[]}}"#);
    let untyped = image("x").replace(r#""mediaType":"x","#, "");
    for (kind, document) in [
        (OCI_MANIFEST, image(OCI_MANIFEST)),
        (DOCKER_MANIFEST, image(DOCKER_MANIFEST)),
        (OCI_INDEX, index(OCI_INDEX)),
        (DOCKER_LIST, index(DOCKER_LIST)),
        (OCI_MANIFEST, untyped),
    ] {
        let content_type = format!("{kind}; charset=utf-8");
        let pushed = registry.put_manifest("a", "tag", &content_type, document.as_bytes());
        pushed.assert(201, &[("Docker-Content-Digest", &sha256(document.as_bytes()))]);
        let answer = registry.get("/v2/a/manifests/tag");
        answer.assert(200, &[("Content-Type", kind)]);
        assert_eq!(answer.body, document.as_bytes(), "not a byte of it changes");
        assert_eq!(fs::read(registry.path("repositories/a/_tags/tag")).unwrap(), document.as_bytes());
    }
}

#[test]
fn accept_in_any_form_gets_the_manifest_that_is_there() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let list = format!("{OCI_INDEX}, {DOCKER_LIST};q=0.5");
    for lines in [
        &[][..],
        &["*/*"],
        &[""],
        &[OCI_INDEX],
        &[DOCKER_MANIFEST, DOCKER_LIST, OCI_INDEX],
        &[&list],
        &["text/html"],
        &["application/vnd.docker.distribution.manifest.v1+prettyjws"],
        &["nonsense ;;; q=,"],
        &["*/*;q=0"],
    ] {
        let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("Accept", *line)).collect();
        for reference in ["v1", &image.digest] {
            let path = format!("/v2/a/manifests/{reference}");
            let answer = registry.send("GET", &path, &headers, b"");
            answer.assert(200, &[("Content-Type", OCI_MANIFEST)]);
            assert_eq!(answer.body, image.manifest, "{lines:?}");
            registry.send("HEAD", &path, &headers, b"").assert(200, &[("Content-Type", OCI_MANIFEST)]);
        }
        let path = format!("/v2/a/blobs/{}", image.layer);
        registry.send("GET", &path, &headers, b"").assert(200, &[("Content-Length", "5")]);
    }
}

#[test]
fn a_blob_goes_out_with_all_that_clients_look_for() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"0123456789");
    let etag = format!("\"{digest}\"");
    let headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", "10"),
        ("Docker-Content-Digest", &digest),
        ("ETag", &etag),
        ("Accept-Ranges", "bytes"),
        ("Docker-Distribution-API-Version", "registry/2.0"),
    ];
    let mut client = Connection::open(registry.address);
    for _ in 0..2 {
        let answer = client.send("GET", &format!("/v2/a/blobs/{digest}"), &[], b"");
        answer.assert(200, &headers);
        assert_eq!(answer.body, b"0123456789");
        client.send("HEAD", &format!("/v2/a/blobs/{digest}"), &[], b"").assert(200, &headers);
    }
}

#[test]
fn a_sha512_blob_lies_in_its_own_folder_and_goes_out() {
    let registry = Registry::start();
    let digest = sha512(b"bytes");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    registry.send("POST", &path, &[], b"bytes").assert(201, &[]);
    registry.assert_holds("a", &digest, b"bytes");
    registry.get(&format!("/v2/a/blobs/{}", sha256(b"bytes"))).assert_error(404, "BLOB_UNKNOWN");
}

#[test]
fn what_is_not_there_is_404_and_the_code_says_what() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let nothing = sha256(b"nothing");
    for (path, code, detail, value) in [
        (format!("/v2/none/blobs/{nothing}"), "NAME_UNKNOWN", "name", "none"),
        (format!("/v2/none/manifests/{nothing}"), "NAME_UNKNOWN", "name", "none"),
        ("/v2/none/manifests/v1".to_owned(), "NAME_UNKNOWN", "name", "none"),
        (format!("/v2/a/blobs/{nothing}"), "BLOB_UNKNOWN", "digest", &nothing),
        (format!("/v2/a/blobs/{}", image.digest), "BLOB_UNKNOWN", "digest", &image.digest),
        (format!("/v2/a/manifests/{nothing}"), "MANIFEST_UNKNOWN", "reference", &nothing),
        (format!("/v2/a/manifests/{}", image.layer), "MANIFEST_UNKNOWN", "reference", &image.layer),
        ("/v2/a/manifests/v2".to_owned(), "MANIFEST_UNKNOWN", "reference", "v2"),
        ("/v2/a/manifests/.new-x".to_owned(), "MANIFEST_UNKNOWN", "reference", ".new-x"),
        (format!("/v2/a/manifests/{}", "x".repeat(129)), "MANIFEST_UNKNOWN", "reference", &"x".repeat(129)),
    ] {
        let answer = registry.get(&path);
        answer.assert_error(404, code);
        assert_eq!(answer.json()["errors"][0]["detail"][detail], value, "{path}");
        let head = registry.send("HEAD", &path, &[], b"");
        head.assert(404, &[("Content-Length", &answer.body.len().to_string())]);
    }
    registry.get("/v2/a/blobs/sha256:abc").assert_error(400, "DIGEST_INVALID");
    registry.get("/v2/a/manifests/sha256:abc").assert_error(400, "DIGEST_INVALID");
    assert!(!registry.path("repositories/none").exists());
}

#[test]
fn a_reader_keeps_the_blob_that_is_deleted_meanwhile() {
    let registry = Registry::start();
    registry.push_blob("a", b"so that the folders are there");
    // 64 MiB of zeros put there by hand: more than the sockets between us can hold.
    let (size, name) = (64 << 20, "0".repeat(64));
    let held = registry.path(&format!("repositories/a/_blobs/sha256/{name}"));
    File::create(&held).unwrap().set_len(size).unwrap();

    let mut client = Connection::open(registry.address);
    client.write(format!("GET /v2/a/blobs/sha256:{name} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        client.stream.read_line(&mut line).unwrap();
    }
    registry.send("DELETE", &format!("/v2/a/blobs/sha256:{name}"), &[], b"").assert(202, &[]);
    assert!(!held.exists());
    let mut body = client.stream.by_ref().take(size);
    assert_eq!(std::io::copy(&mut body, &mut std::io::sink()).unwrap(), size);
    client.send("GET", "/v2/", &[], b"").assert(200, &[]);
}

#[test]
fn a_tag_is_old_or_new_never_torn() {
    let registry = Registry::start();
    let images = [registry.push_image("a", "tag", b"one"), registry.push_image("a", "tag", b"two")];
    let (done, path) = (AtomicBool::new(false), registry.path("repositories/a/_tags/tag"));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Connection::open(registry.address);
            let is_one_of_both = |bytes: &[u8]| images.iter().any(|image| image.manifest == bytes);
            while !done.load(Ordering::SeqCst) {
                let answer = client.send("GET", "/v2/a/manifests/tag", &[], b"");
                answer.assert(200, &[("Docker-Content-Digest", &sha256(&answer.body))]);
                assert!(is_one_of_both(&answer.body) && is_one_of_both(&fs::read(&path).unwrap()));
            }
        });
        for image in images.iter().cycle().take(200) {
            registry.put_manifest("a", "tag", OCI_MANIFEST, &image.manifest).assert(201, &[]);
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(registry.files("repositories/a/_tags"), ["tag"]);
}
