//! Upload sessions: asked, continued in order, closed, cancelled, and by whom.

use std::fs;
use std::thread;

use crate::harness::{Connection, Registry, bytes, sha256, sha512};

#[test]
fn a_session_says_how_far_it_is() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    let id = location.rsplit('/').next().unwrap();
    for (chunk, range) in [(&b""[..], "0-0"), (b"x", "0-0"), (b"yz", "0-2"), (b"", "0-2")] {
        let answer = registry.send("PATCH", &location, &[], chunk);
        answer.assert(202, &[("Range", range)]);
        for method in ["GET", "HEAD"] {
            let answer = registry.send(method, &location, &[], b"");
            let headers = [("Location", location.as_str()), ("Range", range), ("Docker-Upload-UUID", id)];
            answer.assert(204, &headers);
            assert_eq!((answer.header("Content-Length"), answer.header("Content-Type")), (None, None));
        }
    }
    assert_eq!(fs::read(registry.session_path(&location).join("data")).unwrap(), b"xyz");
    registry.assert_finished(&registry.finish(&location, &sha256(b"xyz"), b""), &sha256(b"xyz"), b"xyz");
}

#[test]
fn a_chunk_in_the_wrong_place_is_416_and_the_session_lives_on() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    registry.patch(&location, "0-4", b"01234").assert(202, &[("Range", "0-4")]);
    let digest = sha256(b"0123456789");
    let close = format!("{location}?digest={digest}");
    for (range, start) in [
        ("0-4", 0),  // sent again
        ("4-8", 4),  // overlapping
        ("6-10", 6), // a gap
        ("10-14", 10),
        ("18446744073709551610-18446744073709551614", 18_446_744_073_709_551_610_u64),
    ] {
        for (method, path) in [("PATCH", &location), ("PUT", &close)] {
            let answer = registry.send(method, path, &[("Content-Range", range)], b"xxxxx");
            answer.assert_error(416, "BLOB_UPLOAD_INVALID");
            answer.assert(416, &[("Location", &location), ("Range", "0-4")]);
            let detail = &answer.json()["errors"][0]["detail"];
            assert_eq!((detail["offset"].as_u64(), detail["start"].as_u64()), (Some(5), Some(start)));
        }
    }
    registry.get(&location).assert(204, &[("Range", "0-4")]);
    let answer = registry.send("PUT", &close, &[("Content-Range", "5-9")], b"56789");
    registry.assert_finished(&answer, &digest, b"0123456789");
}

#[test]
fn the_first_chunk_begins_at_zero() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    let answer = registry.patch(&location, "1-5", b"xxxxx");
    answer.assert(416, &[("Location", &location), ("Range", "0-0")]);
    registry.patch(&location, "0-4", b"xxxxx").assert(202, &[("Range", "0-4")]);
}

#[test]
fn a_content_range_that_makes_no_sense_is_400_and_takes_nothing() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    registry.patch(&location, "0-4", b"01234").assert(202, &[]);
    let (digest, before) =
        (sha256(b"0123456789"), fs::read(registry.session_path(&location).join("data")).unwrap());
    for (range, code) in [
        ("", "UNSUPPORTED"),
        ("5", "UNSUPPORTED"),
        ("5-", "UNSUPPORTED"),
        ("-5", "UNSUPPORTED"),
        ("9-5", "UNSUPPORTED"),
        ("5-9-12", "UNSUPPORTED"),
        ("a-b", "UNSUPPORTED"),
        ("+5-9", "UNSUPPORTED"),
        ("5-18446744073709551616", "UNSUPPORTED"),
        ("0-18446744073709551615", "UNSUPPORTED"),
        ("5-8", "SIZE_INVALID"),
        ("5-10", "SIZE_INVALID"),
    ] {
        let headers = [("Content-Range", range)];
        let mut client = Connection::open(registry.address);
        for (method, path) in [("PATCH", location.clone()), ("PUT", format!("{location}?digest={digest}"))] {
            client.send(method, &path, &headers, b"56789").assert_error(400, code);
            client.send_chunked(method, &path, &headers, &[b"56", b"789"]).assert_error(400, code);
        }
        registry.get(&location).assert(204, &[("Range", "0-4")]);
        assert_eq!(fs::read(registry.session_path(&location).join("data")).unwrap(), before, "{range}");
    }
    let answer = registry.finish(&location, &digest, b"56789");
    registry.assert_finished(&answer, &digest, b"0123456789");
}

// ---- algorithms

#[test]
fn a_session_may_say_at_the_start_which_algorithm_it_wants() {
    let registry = Registry::start();
    for (algorithm, digest) in [("sha512", sha512(b"one two")), ("sha256", sha256(b"one two"))] {
        let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
        let location = registry.send("POST", &path, &[], b"").header("Location").unwrap().to_owned();
        registry.send("PATCH", &location, &[], b"one ").assert(202, &[]);
        registry.assert_finished(&registry.finish(&location, &digest, b"two"), &digest, b"one two");
    }
    for unknown in ["md5", "SHA256", "", "sha256:", "blake3"] {
        let path = format!("/v2/a/blobs/uploads/?digest-algorithm={unknown}");
        registry.send("POST", &path, &[], b"").assert_error(400, "DIGEST_INVALID");
    }
    registry.assert_no_uploads();
}

#[test]
fn the_algorithm_may_be_known_only_at_the_close() {
    let registry = Registry::start();
    let blob = bytes(6, 700_000);
    for (announced, digest) in [("sha256", sha512(&blob)), ("sha512", sha256(&blob))] {
        let path = format!("/v2/a/blobs/uploads/?digest-algorithm={announced}");
        let location = registry.send("POST", &path, &[], b"").header("Location").unwrap().to_owned();
        registry.send("PATCH", &location, &[], &blob[..650_000]).assert(202, &[]);
        let answer = registry.finish(&location, &digest, &blob[650_000..]);
        registry.assert_finished(&answer, &digest, &blob);
    }
    let location = registry.start_upload("a");
    let wrong = sha512(b"other");
    let answer = registry.finish(&location, &wrong, b"bytes");
    answer.assert_error(400, "DIGEST_INVALID");
    assert_eq!(answer.json()["errors"][0]["detail"]["actual"], *sha512(b"bytes"));
}

// ---- who may

#[test]
fn of_two_writers_the_second_is_refused_and_disturbs_nothing() {
    let registry = Registry::start();
    let beside = registry.start_beside();
    let blob = bytes(8, 20_000);
    let (location, digest) = (registry.start_upload("a"), sha256(&blob));
    let mut first = registry.begin("PATCH", &location, 20_000, &blob[..8000]);
    for server in [&registry, &beside] {
        server.send("PATCH", &location, &[], b"intruder").assert_error(409, "BLOB_UPLOAD_INVALID");
        server.finish(&location, &digest, b"intruder").assert_error(409, "BLOB_UPLOAD_INVALID");
        server.send("DELETE", &location, &[], b"").assert_error(409, "BLOB_UPLOAD_INVALID");
        server.get(&location).assert(204, &[("Range", "0-7999")]);
    }
    first.write(&blob[8000..]);
    first.read_answer("PATCH").expect("an answer").assert(202, &[("Range", "0-19999")]);
    registry.assert_finished(&registry.finish(&location, &digest, b""), &digest, &blob);
}

#[test]
fn of_many_who_close_one_session_one_succeeds() {
    let registry = Registry::start();
    let blob = bytes(7, 300_000);
    let digest = sha256(&blob);
    for _ in 0..5 {
        let location = registry.start_upload("a");
        registry.send("PATCH", &location, &[], &blob).assert(202, &[]);
        let statuses: Vec<u16> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| registry.finish(&location, &digest, b"").status)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 201 | 404 | 409)), "{statuses:?}");
        registry.assert_holds("a", &digest, &blob);
        registry.assert_no_uploads();
    }
}

#[test]
fn a_session_is_known_by_its_id_in_its_repository_only() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    registry.send("PATCH", &location, &[], b"bytes").assert(202, &[]);
    let id = location.rsplit('/').next().unwrap();
    fs::write(registry.path("uploads/a-file"), "").unwrap();
    let before = registry.snapshot();
    for path in [
        format!("/v2/b/blobs/uploads/{id}"),
        format!("/v2/a/b/blobs/uploads/{id}"),
        "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000".to_owned(),
        format!("/v2/a/blobs/uploads/{}", id.to_uppercase()),
        format!("/v2/a/blobs/uploads/{}", &id[1..]),
        format!("/v2/a/blobs/uploads/{id}0"),
        "/v2/a/blobs/uploads/a-file".to_owned(),
        "/v2/a/blobs/uploads/..".to_owned(),
        "/v2/a/blobs/uploads/.".to_owned(),
        "/v2/a/blobs/uploads/..%2F..%2Flock".to_owned(),
        "/v2/a/blobs/uploads/%00".to_owned(),
    ] {
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let query = if method == "PUT" { format!("?digest={}", sha256(b"bytes")) } else { String::new() };
            let answer = registry.send(method, &format!("{path}{query}"), &[], b"");
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
            if !path.contains("%2F") {
                answer.assert_error(404, "BLOB_UPLOAD_UNKNOWN");
            }
        }
    }
    assert_eq!(registry.snapshot(), before);
    registry.finish(&location, &sha256(b"bytes"), b"").assert(201, &[]);
}

#[test]
fn a_session_whose_files_are_not_what_they_should_be_is_unknown() {
    let registry = Registry::start();
    for (file, content) in [
        ("session.json", None),
        ("session.json", Some("")),
        ("session.json", Some("{}")),
        ("session.json", Some(r#"{"repository":["a"],"algorithm":"sha256"}"#)),
        ("data", None),
    ] {
        let location = registry.start_upload("a");
        let path = registry.session_path(&location).join(file);
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        registry.get(&location).assert_error(404, "BLOB_UPLOAD_UNKNOWN");
        registry.send("PATCH", &location, &[], b"x").assert_error(404, "BLOB_UPLOAD_UNKNOWN");
        registry.finish(&location, &sha256(b""), b"").assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[test]
fn a_cancelled_session_is_gone() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    registry.send("PATCH", &location, &[], b"bytes").assert(202, &[]);
    let answer = registry.send("DELETE", &location, &[], b"");
    answer.assert(204, &[]);
    assert_eq!(answer.header("Content-Length"), None);
    registry.assert_no_uploads();
    registry.get(&location).assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry.send("PATCH", &location, &[], b"x").assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry.send("DELETE", &location, &[], b"").assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry.assert_no_uploads();
    assert_eq!(registry.files("blobs"), Vec::<String>::new());
}
