//! Blobs come in: in one request or in many, or without a byte, by a mount.

use std::thread;

use crate::harness::{Answer, Connection, Registry, bytes, eventually, sha256, sha512};

/// A 201 for a blob says where it is and what it is called; the session is gone.
#[track_caller]
fn assert_created(registry: &Registry, answer: &Answer, name: &str, digest: &str) {
    let location = format!("/v2/{name}/blobs/{digest}");
    answer
        .assert(201, &[("Location", &location), ("Docker-Content-Digest", digest), ("Content-Length", "0")]);
    registry.assert_no_uploads();
}

#[test]
fn a_session_begins_with_all_that_clients_look_for() {
    let registry = Registry::start();
    let answer = registry.send("POST", "/v2/a/b/blobs/uploads/", &[], b"");
    answer.assert(202, &[("Range", "0-0"), ("Content-Length", "0")]);
    let id = answer.header("Docker-Upload-UUID").unwrap();
    assert_eq!(answer.header("Location").unwrap(), format!("/v2/a/b/blobs/uploads/{id}"));
    assert_eq!(registry.files("uploads"), [format!("{id}/data"), format!("{id}/session.json")]);
    assert_eq!(registry.files("repositories"), Vec::<String>::new(), "nothing is there before it is whole");
}

#[test]
fn a_blob_comes_in_one_put_as_containerd_and_oras_send_it() {
    let registry = Registry::start();
    let blob = bytes(1, 300_000);
    let (digest, location) = (sha256(&blob), registry.start_upload("a"));
    let answer = registry.send("PUT", &format!("{location}?digest={digest}"), &[], &blob);
    assert_created(&registry, &answer, "a", &digest);
    registry.assert_holds("a", &digest, &blob);
}

#[test]
fn a_blob_comes_in_the_first_post() {
    let registry = Registry::start();
    for (blob, digest) in [(&b"one"[..], sha256(b"one")), (b"two", sha512(b"two")), (b"", sha256(b""))] {
        let answer = registry.send("POST", &format!("/v2/a/blobs/uploads/?digest={digest}"), &[], blob);
        assert_created(&registry, &answer, "a", &digest);
        registry.assert_holds("a", &digest, blob);
    }
}

/// docker's legacy path: HEAD, POST with `mount` and `from`, one chunked PATCH without lengths, an empty PUT,
/// and a HEAD that must have a Content-Length; all on one connection, which shows that no answer is longer or
/// shorter than it says.
#[test]
fn a_blob_comes_as_docker_sends_it() {
    let registry = Registry::start();
    let blob = bytes(2, 100_000);
    let digest = sha256(&blob);
    let mut docker = Connection::open(registry.address);
    let path = format!("/v2/lib/new/blobs/{digest}");
    docker.send("HEAD", &path, &[], b"").assert(404, &[]);
    let mount = format!("/v2/lib/new/blobs/uploads/?from=lib%2Fold&mount={}", digest.replace(':', "%3A"));
    let begun = docker.send("POST", &mount, &[], b"");
    begun.assert(202, &[("Range", "0-0"), ("Content-Length", "0")]);

    let (start, end) = blob.split_at(65_000);
    let patched = docker.send_chunked("PATCH", begun.header("Location").unwrap(), &[], &[start, end]);
    let id = begun.header("Docker-Upload-UUID").unwrap();
    patched.assert(202, &[("Range", "0-99999"), ("Docker-Upload-UUID", id), ("Content-Length", "0")]);
    let close = format!("{}?digest={digest}", patched.header("Location").unwrap());
    assert_created(&registry, &docker.send("PUT", &close, &[], b""), "lib/new", &digest);
    let head = docker.send("HEAD", &path, &[], b"");
    head.assert(200, &[("Content-Length", "100000"), ("Docker-Content-Digest", &digest)]);
    docker.send("GET", "/v2/", &[], b"").assert(200, &[]);
    registry.assert_holds("lib/new", &digest, &blob);
}

#[test]
fn a_blob_comes_in_chunks_that_say_where_they_belong() {
    let registry = Registry::start();
    let blob = bytes(3, 3000);
    let location = registry.start_upload("a");
    let mut client = Connection::open(registry.address);
    let answer = client.send("PATCH", &location, &[("Content-Range", "0-999")], &blob[..1000]);
    answer.assert(202, &[("Location", &location), ("Range", "0-999")]);
    let answer = client.send("PATCH", &location, &[("Content-Range", "1000-1000")], &blob[1000..1001]);
    answer.assert(202, &[("Location", &location), ("Range", "0-1000")]);
    let (digest, last) = (sha256(&blob), [("Content-Range", "1001-2999")]);
    let answer = client.send("PUT", &format!("{location}?digest={digest}"), &last, &blob[1001..]);
    assert_created(&registry, &answer, "a", &digest);
    registry.assert_holds("a", &digest, &blob);
}

#[test]
fn an_empty_blob_comes_in_every_way() {
    let registry = Registry::start();
    let digest = sha256(b"");
    let mut client = Connection::open(registry.address);
    for name in ["length", "chunked", "patched"] {
        let location = registry.start_upload(name);
        if name == "patched" {
            client.send_chunked("PATCH", &location, &[], &[]).assert(202, &[("Range", "0-0")]);
        }
        let close = format!("{location}?digest={digest}");
        let answer = match name {
            "chunked" => client.send_chunked("PUT", &close, &[], &[]),
            _ => client.send("PUT", &close, &[], b""),
        };
        assert_created(&registry, &answer, name, &digest);
        registry.assert_holds(name, &digest, b"");
        client
            .send("HEAD", &format!("/v2/{name}/blobs/{digest}"), &[], b"")
            .assert(200, &[("Content-Length", "0")]);
    }
    assert_eq!(registry.link_count(&digest), 4);
}

#[test]
fn bytes_that_are_not_what_the_digest_says_are_refused_and_leave_nothing() {
    let registry = Registry::start();
    let before = registry.snapshot();
    let wrong = sha256(b"other");
    let location = registry.start_upload("a");
    let answer = registry.send("PUT", &format!("{location}?digest={wrong}"), &[], b"bytes");
    answer.assert_error(400, "DIGEST_INVALID");
    assert_eq!(answer.json()["errors"][0]["detail"]["expected"], *wrong);
    assert_eq!(answer.json()["errors"][0]["detail"]["actual"], *sha256(b"bytes"));
    registry.get(&location).assert_error(404, "BLOB_UPLOAD_UNKNOWN");

    let answer = registry.send("POST", &format!("/v2/a/blobs/uploads/?digest={wrong}"), &[], b"bytes");
    answer.assert_error(400, "DIGEST_INVALID");
    assert_eq!(registry.snapshot(), before);
}

#[test]
fn a_digest_that_is_none_is_refused_and_the_session_lives_on() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    let sha256 = sha256(b"bytes");
    let before = registry.snapshot();
    for query in [
        "".to_owned(),
        "?digest=".to_owned(),
        "?digest=sha256".to_owned(),
        "?digest=sha256:".to_owned(),
        format!("?digest={}", &sha256[..70]),
        format!("?digest={sha256}0"),
        format!("?digest={}", sha256.to_uppercase()),
        format!("?digest={}", sha256.replace("sha256", "sha512")),
        format!("?digest={}", sha256.replace("sha256", "blake3")),
        format!("?digest={}", sha256.replace(':', "%253A")),
        format!("?digest={}", sha256.replace(':', "/")),
        "?digest=sha256:../../../../../../etc/passwd".to_owned(),
        format!("?digest=%20{sha256}"),
    ] {
        registry
            .send("PUT", &format!("{location}{query}"), &[], b"bytes")
            .assert_error(400, "DIGEST_INVALID");
        if !query.is_empty() {
            let answer = registry.send("POST", &format!("/v2/a/blobs/uploads/{query}"), &[], b"bytes");
            answer.assert_error(400, "DIGEST_INVALID");
        }
    }
    let twice = format!("{location}?digest={sha256}&digest={sha256}");
    registry.send("PUT", &twice, &[], b"bytes").assert_error(400, "UNSUPPORTED");
    assert_eq!(registry.snapshot(), before);
    let answer = registry.send("PUT", &format!("{location}?digest={sha256}"), &[], b"bytes");
    assert_created(&registry, &answer, "a", &sha256);
}

#[test]
fn a_digest_may_be_percent_encoded() {
    let registry = Registry::start();
    let (digest, location) = (sha256(b"bytes"), registry.start_upload("a"));
    let encoded = digest.replace(':', "%3A");
    let answer = registry.send("PUT", &format!("{location}?digest={encoded}"), &[], b"bytes");
    assert_created(&registry, &answer, "a", &digest);
    registry
        .get(&format!("/v2/a/blobs/{}", digest.replace(':', "%3a")))
        .assert(200, &[("Content-Length", "5")]);
}

#[test]
fn a_layer_of_two_repositories_lies_on_disk_once_and_shows_three_links() {
    let registry = Registry::start();
    let layer = registry.push_blob("one", b"layer");
    assert_eq!(registry.link_count(&layer), 2);
    assert_eq!(registry.push_blob("one", b"layer"), layer, "pushing again changes nothing");
    assert_eq!(registry.link_count(&layer), 2);
    registry.push_blob("two", b"layer");
    assert_eq!(registry.link_count(&layer), 3);
    assert_eq!(registry.files("blobs"), [layer.replace(':', "/")]);
    registry.assert_holds("one", &layer, b"layer");
    registry.assert_holds("two", &layer, b"layer");
}

#[test]
fn one_blob_pushed_by_many_at_once_is_one_file() {
    let registry = Registry::start();
    let blob = bytes(4, 200_000);
    thread::scope(|scope| {
        for pusher in 0..8 {
            let (registry, blob) = (&registry, &blob);
            scope.spawn(move || registry.push_blob(&format!("r{}", pusher % 4), blob));
        }
    });
    let digest = sha256(&blob);
    for repository in 0..4 {
        registry.assert_holds(&format!("r{repository}"), &digest, &blob);
    }
    assert_eq!(registry.files("blobs"), [digest.replace(':', "/")]);
    assert_eq!(registry.link_count(&digest), 5);
}

#[test]
fn a_push_that_meets_a_delete_elsewhere_keeps_its_bytes() {
    let registry = Registry::start();
    let blob = bytes(5, 10_000);
    let digest = sha256(&blob);
    for _ in 0..20 {
        registry.push_blob("other", &blob);
        thread::scope(|scope| {
            scope.spawn(|| registry.push_blob("mine", &blob));
            scope.spawn(|| {
                registry.send("DELETE", &format!("/v2/other/blobs/{digest}"), &[], b"").assert(202, &[])
            });
        });
        registry.assert_holds("mine", &digest, &blob);
        assert_eq!(registry.link_count(&digest), 2);
        registry.send("DELETE", &format!("/v2/mine/blobs/{digest}"), &[], b"").assert(202, &[]);
        assert_eq!(registry.link_count(&digest), 0);
    }
}

#[test]
fn a_post_that_breaks_off_leaves_no_session() {
    let registry = Registry::start();
    let mut client = Connection::open(registry.address);
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={} HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\na part of it",
        sha256(b"x")
    );
    client.write(head.as_bytes());
    eventually("the session is there", || !registry.files("uploads").is_empty());
    drop(client);
    eventually("the session is gone", || registry.files("uploads").is_empty());
    assert_eq!(registry.files("blobs"), Vec::<String>::new());
    assert!(!registry.path("repositories/a").exists());
}

// ---- mounts

#[test]
fn a_mount_makes_a_link_and_moves_no_byte() {
    let registry = Registry::start();
    let digest = registry.push_blob("from/here", b"layer");
    let path = format!("/v2/to/here/blobs/uploads/?mount={digest}&from=from/here");
    for _ in 0..2 {
        assert_created(&registry, &registry.send("POST", &path, &[], b""), "to/here", &digest);
        assert_eq!(registry.link_count(&digest), 3);
    }
    registry.assert_holds("to/here", &digest, b"layer");
}

#[test]
fn a_mount_without_from_finds_the_blob_wherever_it_is() {
    let registry = Registry::start();
    let digest = registry.push_blob("somewhere", b"layer");
    let answer = registry.send("POST", &format!("/v2/b/blobs/uploads/?mount={digest}"), &[], b"");
    assert_created(&registry, &answer, "b", &digest);
    registry.assert_holds("b", &digest, b"layer");
}

#[test]
fn a_mount_of_what_is_not_there_begins_a_session() {
    let registry = Registry::start();
    let held = registry.push_blob("holder", b"held");
    let missing = sha256(b"missing");
    let before = registry.snapshot();
    for query in [
        format!("mount={missing}"),
        format!("mount={missing}&from=holder"),
        format!("mount={missing}&from=nobody"),
        format!("mount={held}&from=nobody"), // it is somewhere, but not where they say
    ] {
        let answer = registry.send("POST", &format!("/v2/new/blobs/uploads/?{query}"), &[], b"");
        answer.assert(202, &[("Range", "0-0"), ("Content-Length", "0")]);
        let location = answer.header("Location").unwrap();
        registry.get(location).assert(204, &[("Range", "0-0")]);
        registry.send("DELETE", location, &[], b"").assert(204, &[]); // podman and skopeo do this
        assert_eq!(registry.snapshot(), before, "{query}");
    }
    let answer =
        registry.send("POST", &format!("/v2/new/blobs/uploads/?mount={missing}&from=holder"), &[], b"");
    let close = format!("{}?digest={missing}", answer.header("Location").unwrap());
    assert_created(&registry, &registry.send("PUT", &close, &[], b"missing"), "new", &missing);
    registry.assert_holds("new", &missing, b"missing");
}

#[test]
fn a_mount_that_makes_no_sense_is_refused() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"layer");
    let before = registry.snapshot();
    let check = |query: &str, code: &str| {
        let answer = registry.send("POST", &format!("/v2/b/blobs/uploads/?{query}"), &[], b"");
        answer.assert_error(400, code);
    };
    check("mount=sha256:zz&from=a", "DIGEST_INVALID");
    check("mount=&from=a", "DIGEST_INVALID");
    check(&format!("mount={digest}&from=../a"), "NAME_INVALID");
    check(&format!("mount={digest}&from=A"), "NAME_INVALID");
    check(&format!("mount={digest}&mount={digest}"), "UNSUPPORTED");
    assert_eq!(registry.snapshot(), before);
}
