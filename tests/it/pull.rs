//! Images go out, whole or in ranges.

use std::fs::{self, File};
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::{Answer, Connection, OCI_INDEX, OCI_MANIFEST, Registry, sha256, sha512};

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

// ---- ranges

/// Of a blob `0123456789`.
fn get_range(registry: &Registry, headers: &[(&str, &str)]) -> Answer {
    registry.send("GET", &format!("/v2/a/blobs/{}", sha256(b"0123456789")), headers, b"")
}

#[test]
fn a_part_of_a_blob_goes_out_as_206() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"0123456789");
    for (range, part, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=0-", "0123456789", "bytes 0-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=8-99999999999999999999999999", "89", "bytes 8-9/10"),
        ("bytes=3-4, 90-99", "34", "bytes 3-4/10"),
    ] {
        let answer = get_range(&registry, &[("Range", range)]);
        let length = part.len().to_string();
        let headers = [
            ("Content-Range", content_range),
            ("Content-Length", length.as_str()),
            ("Content-Type", "application/octet-stream"),
            ("Docker-Content-Digest", &digest),
            ("ETag", &format!("\"{digest}\"")),
        ];
        answer.assert(206, &headers);
        assert_eq!(answer.body, part.as_bytes(), "{range}");
    }
}

#[test]
fn several_parts_go_out_as_one_multipart_body() {
    let registry = Registry::start();
    registry.push_blob("a", b"0123456789");
    let answer = get_range(&registry, &[("Range", "bytes=0-1, 4-5, -1")]);
    answer.assert(206, &[("Content-Length", &answer.body.len().to_string())]);
    let boundary =
        answer.header("Content-Type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, bytes: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n{bytes}"
        )
    };
    let parts = [part("bytes 0-1/10", "01"), part("bytes 4-5/10", "45"), part("bytes 9-9/10", "9")];
    assert_eq!(String::from_utf8_lossy(&answer.body), format!("{}\r\n--{boundary}--\r\n", parts.concat()));
    assert_eq!(answer.header("Content-Range"), None, "each part has its own");
}

#[test]
fn a_range_behind_the_end_is_416_and_says_how_long_the_blob_is() {
    let registry = Registry::start();
    registry.push_blob("a", b"0123456789");
    for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=11-12,99-"] {
        let answer = get_range(&registry, &[("Range", range)]);
        answer.assert_error(416, "SIZE_INVALID");
        answer.assert(416, &[("Content-Range", "bytes */10")]);
    }
}

#[test]
fn what_is_no_range_or_too_many_gets_the_whole_blob() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"0123456789");
    let thousands = format!("bytes={}", "0-0,".repeat(3000));
    for range in ["", "bytes=", "bytes=x-y", "items=0-1", "bytes 0-1", "bytes=0-8,1-9", "bytes=-", &thousands]
    {
        let answer = get_range(&registry, &[("Range", range)]);
        answer.assert(200, &[("Content-Length", "10")]);
        assert_eq!((answer.body.as_slice(), answer.header("Content-Range")), (&b"0123456789"[..], None));
    }
    let head = registry.send("HEAD", &format!("/v2/a/blobs/{digest}"), &[("Range", "bytes=0-1")], b"");
    head.assert(200, &[("Content-Length", "10")]);
}

#[test]
fn if_range_gives_the_part_only_of_the_same_blob() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"0123456789");
    let etag = format!("\"{digest}\"");
    let same = get_range(&registry, &[("Range", "bytes=2-3"), ("If-Range", &etag)]);
    same.assert(206, &[("Content-Range", "bytes 2-3/10")]);
    for other in
        [&format!("\"{}\"", sha256(b"other")), &format!("W/{etag}"), "Wed, 21 Oct 2015 07:28:00 GMT", ""]
    {
        let answer = get_range(&registry, &[("Range", "bytes=2-3"), ("If-Range", other)]);
        answer.assert(200, &[("Content-Length", "10")]);
        let answer = get_range(&registry, &[("Range", "bytes=20-"), ("If-Range", other)]);
        answer.assert(200, &[("Content-Length", "10")]);
    }
}

#[test]
fn an_empty_blob_has_no_ranges() {
    let registry = Registry::start();
    let path = format!("/v2/a/blobs/{}", registry.push_blob("a", b""));
    registry.get(&path).assert(200, &[("Content-Length", "0")]);
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
        let answer = registry.send("GET", &path, &[("Range", range)], b"");
        answer.assert(416, &[("Content-Range", "bytes */0")]);
    }
}

// ---- what people do to the files

/// A manifest that was written with an editor: nobody pushed these bytes.
fn by_hand(manifest: &[u8]) -> Vec<u8> {
    [manifest, b"\n"].concat()
}

#[test]
fn a_tag_made_by_hand_as_a_file_works() {
    let registry = Registry::start();
    let image = registry.push_image("a", "pushed", b"layer");
    let manifest = by_hand(&image.manifest);
    let (digest, length) = (sha256(&manifest), manifest.len().to_string());
    let tag = registry.path("repositories/a/_tags/mine");
    fs::write(&tag, &manifest).unwrap();

    // Many clients ask for the tag first and for what it is then.
    for reference in ["mine", &digest] {
        let path = format!("/v2/a/manifests/{reference}");
        for method in ["GET", "HEAD"] {
            let answer = registry.send(method, &path, &[], b"");
            let headers = [
                ("Content-Type", OCI_MANIFEST),
                ("Content-Length", &length),
                ("Docker-Content-Digest", &digest),
            ];
            answer.assert(200, &headers);
            assert_eq!(answer.body, if method == "GET" { &manifest[..] } else { b"" });
        }
    }
    assert_eq!(registry.get("/v2/a/tags/list").json()["tags"], serde_json::json!(["mine", "pushed"]));

    registry.put_manifest("a", "mine", OCI_MANIFEST, &image.manifest).assert(201, &[]);
    registry.assert_tagged("a", "mine", &image.digest, &image.manifest);
    registry.get(&format!("/v2/a/manifests/{digest}")).assert_error(404, "MANIFEST_UNKNOWN");
}

#[test]
fn a_tag_made_by_hand_is_deleted_by_its_name_and_by_its_digest() {
    let registry = Registry::start();
    let image = registry.push_image("a", "pushed", b"layer");
    let manifest = by_hand(&image.manifest);
    let tag = registry.path("repositories/a/_tags/mine");
    let before = registry.snapshot();
    for reference in ["mine", &sha256(&manifest)] {
        fs::write(&tag, &manifest).unwrap();
        registry.send("DELETE", &format!("/v2/a/manifests/{reference}"), &[], b"").assert(202, &[]);
        registry.get("/v2/a/manifests/mine").assert_error(404, "MANIFEST_UNKNOWN");
        assert_eq!(registry.snapshot(), before);
    }
}

#[test]
fn a_tag_in_a_repository_made_by_hand_works_too() {
    let registry = Registry::start();
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
    fs::create_dir_all(registry.path("repositories/by/hand/_tags")).unwrap();
    fs::write(registry.path("repositories/by/hand/_tags/v1"), &index).unwrap();
    for reference in ["v1", &sha256(index.as_bytes())] {
        let answer = registry.get(&format!("/v2/by/hand/manifests/{reference}"));
        answer.assert(200, &[("Content-Type", OCI_INDEX)]);
        assert_eq!(answer.body, index.as_bytes());
    }
    assert_eq!(registry.get("/v2/by/hand/tags/list").json()["tags"], serde_json::json!(["v1"]));
    registry.send("DELETE", "/v2/by/hand/manifests/v1", &[], b"").assert(202, &[]);
    assert_eq!(registry.files("repositories/by/hand/_tags"), Vec::<String>::new());
}

#[test]
fn a_tag_that_points_elsewhere_is_no_tag() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), &image.manifest).unwrap();
    let stranger = registry.push_image("b", "v1", b"another layer");
    let hex = |digest: &str| digest.replace(':', "/");
    for (tag, target) in [
        ("absolute", secret.path().to_owned()),
        ("upwards", Path::new("../../../../../../../../etc/passwd").to_owned()),
        ("neighbour", Path::new("../../b/_manifests").join(hex(&stranger.digest))),
        ("not-here", Path::new("../_manifests").join(hex(&stranger.digest))),
        ("itself", Path::new("itself").to_owned()),
        ("layer", Path::new("../_blobs").join(hex(&image.layer))),
        ("root", Path::new("/").to_owned()),
    ] {
        std::os::unix::fs::symlink(target, registry.path(&format!("repositories/a/_tags/{tag}"))).unwrap();
        let path = format!("/v2/a/manifests/{tag}");
        registry.get(&path).assert_error(404, "MANIFEST_UNKNOWN");
        registry.send("HEAD", &path, &[], b"").assert(404, &[]);
        // It can be replaced, and what it pointed at stays as it is.
        registry.put_manifest("a", tag, OCI_MANIFEST, &image.manifest).assert(201, &[]);
        registry.assert_tagged("a", tag, &image.digest, &image.manifest);
    }
    assert_eq!(fs::read(secret.path()).unwrap(), image.manifest);
    registry.assert_tagged("b", "v1", &stranger.digest, &stranger.manifest);
}

#[test]
fn a_copy_that_broke_the_links_apart_still_works() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    for file in registry.files("repositories") {
        let path = registry.path("repositories").join(file);
        let bytes = fs::read(&path).unwrap(); // through the tag, as `cp -rL` does
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(registry.link_count(&image.layer), 1);
    for reference in ["v1", &image.digest] {
        let answer = registry.get(&format!("/v2/a/manifests/{reference}"));
        assert_eq!((answer.status, answer.body), (200, image.manifest.clone()));
    }
    assert_eq!(registry.get(&format!("/v2/a/blobs/{}", image.layer)).body, b"layer");
    let again = registry.push_image("b", "v1", b"layer");
    assert_eq!(again.digest, image.digest);
    registry.assert_holds("b", &image.layer, b"layer");
    registry.send("DELETE", &format!("/v2/a/manifests/{}", image.digest), &[], b"").assert(202, &[]);
    registry.get("/v2/a/manifests/v1").assert_error(404, "MANIFEST_UNKNOWN");
    registry.assert_tagged("b", "v1", &image.digest, &image.manifest);
}
