//! Upload sessions that are asked, broken off, taken up again, cancelled.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;

use crate::harness::{Answer, Connection, Registry, bytes, eventually, sha256, sha512};

/// The folder of the only session there is, and of the one at `location` if there are several.
fn folder(registry: &Registry, location: &str) -> PathBuf {
    registry.path("uploads").join(location.rsplit('/').next().unwrap())
}

fn patch(registry: &Registry, location: &str, range: &str, bytes: &[u8]) -> Answer {
    registry.send("PATCH", location, &[("Content-Range", range)], bytes)
}

fn finish(registry: &Registry, location: &str, digest: &str, bytes: &[u8]) -> Answer {
    registry.send("PUT", &format!("{location}?digest={digest}"), &[], bytes)
}

/// The blob is in repository `a`, and the session is gone.
#[track_caller]
fn assert_finished(registry: &Registry, answer: &Answer, digest: &str, blob: &[u8]) {
    answer.assert(201, &[("Docker-Content-Digest", digest), ("Location", &format!("/v2/a/blobs/{digest}"))]);
    registry.assert_holds("a", digest, blob);
    registry.assert_no_uploads();
}

/// Sends the head of a request with a body of `length` bytes, but only `part` of it, and waits until that is on
/// disk, behind what was there before.
fn begin(registry: &Registry, head: &str, length: usize, part: &[u8], location: &str) -> Connection {
    let data = folder(registry, location).join("data");
    let before = fs::metadata(&data).unwrap().len();
    let mut client = Connection::open(registry.address);
    client.write(format!("{head} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n").as_bytes());
    client.write(part);
    let wanted = before + part.len() as u64;
    eventually("the part is on disk", || fs::metadata(&data).is_ok_and(|data| data.len() == wanted));
    client
}

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
    assert_eq!(fs::read(folder(&registry, &location).join("data")).unwrap(), b"xyz");
    assert_finished(&registry, &finish(&registry, &location, &sha256(b"xyz"), b""), &sha256(b"xyz"), b"xyz");
}

#[test]
fn a_chunk_in_the_wrong_place_is_416_and_the_session_lives_on() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    patch(&registry, &location, "0-4", b"01234").assert(202, &[("Range", "0-4")]);
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
    assert_finished(&registry, &answer, &digest, b"0123456789");
}

#[test]
fn the_first_chunk_begins_at_zero() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    let answer = patch(&registry, &location, "1-5", b"xxxxx");
    answer.assert(416, &[("Location", &location), ("Range", "0-0")]);
    patch(&registry, &location, "0-4", b"xxxxx").assert(202, &[("Range", "0-4")]);
}

#[test]
fn a_content_range_that_makes_no_sense_is_400_and_takes_nothing() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    patch(&registry, &location, "0-4", b"01234").assert(202, &[]);
    let (digest, before) =
        (sha256(b"0123456789"), fs::read(folder(&registry, &location).join("data")).unwrap());
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
        assert_eq!(fs::read(folder(&registry, &location).join("data")).unwrap(), before, "{range}");
    }
    let answer = finish(&registry, &location, &digest, b"56789");
    assert_finished(&registry, &answer, &digest, b"0123456789");
}

// ---- what breaks off

#[test]
fn a_session_goes_on_at_its_offset_after_kill_9() {
    let mut registry = Registry::start();
    let blob = bytes(1, 1_000_000);
    let location = registry.start_upload("a");
    patch(&registry, &location, "0-599999", &blob[..600_000]).assert(202, &[]);
    registry.kill_and_restart();
    registry.get(&location).assert(204, &[("Range", "0-599999"), ("Location", &location)]);
    patch(&registry, &location, "600000-799999", &blob[600_000..800_000])
        .assert(202, &[("Range", "0-799999")]);
    registry.kill_and_restart();
    let answer = finish(&registry, &location, &sha256(&blob), &blob[800_000..]);
    assert_finished(&registry, &answer, &sha256(&blob), &blob);
}

#[test]
fn what_came_before_kill_9_in_the_middle_of_a_chunk_is_kept() {
    let mut registry = Registry::start();
    let blob = bytes(2, 900_000);
    let location = registry.start_upload("a");
    patch(&registry, &location, "0-299999", &blob[..300_000]).assert(202, &[]);
    let client = begin(&registry, &format!("PATCH {location}"), 500_000, &blob[300_000..400_000], &location);
    registry.kill_and_restart();
    drop(client);
    registry.get(&location).assert(204, &[("Range", "0-399999")]);
    let answer = finish(&registry, &location, &sha256(&blob), &blob[400_000..]);
    assert_finished(&registry, &answer, &sha256(&blob), &blob);
}

#[test]
fn what_came_of_a_chunk_that_breaks_off_is_kept() {
    let registry = Registry::start();
    let blob = bytes(3, 200_000);
    let location = registry.start_upload("a");
    let client = begin(&registry, &format!("PATCH {location}"), 200_000, &blob[..120_000], &location);
    drop(client);
    eventually("the session is free again", || registry.send("PATCH", &location, &[], b"").status != 409);
    registry.get(&location).assert(204, &[("Range", "0-119999")]);
    let answer = finish(&registry, &location, &sha256(&blob), &blob[120_000..]);
    assert_finished(&registry, &answer, &sha256(&blob), &blob);
}

#[test]
fn a_closing_put_that_breaks_off_is_as_if_it_had_not_been() {
    let registry = Registry::start();
    let blob = bytes(4, 200_000);
    let location = registry.start_upload("a");
    patch(&registry, &location, "0-99999", &blob[..100_000]).assert(202, &[]);
    let put = format!("PUT {location}?digest={}", sha256(&blob));
    for _ in 0..2 {
        let client = begin(&registry, &put, 100_000, &blob[100_000..150_000], &location);
        client.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        let mut client = client;
        let answer = client.read_answer("PUT").expect("an answer");
        answer.assert_error(400, "SIZE_INVALID");
        registry.get(&location).assert(204, &[("Range", "0-99999")]);
    }
    let answer = finish(&registry, &location, &sha256(&blob), &blob[100_000..]);
    assert_finished(&registry, &answer, &sha256(&blob), &blob);
}

#[test]
fn a_finished_session_is_gone_and_its_blob_survives_kill_9() {
    let mut registry = Registry::start();
    let (location, digest) = (registry.start_upload("a"), sha256(b"bytes"));
    finish(&registry, &location, &digest, b"bytes").assert(201, &[]);
    registry.kill_and_restart();
    registry.assert_holds("a", &digest, b"bytes");
    finish(&registry, &location, &digest, b"bytes").assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry.get(&location).assert_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn a_session_goes_on_through_another_process() {
    let one = Registry::start();
    let two = one.start_beside();
    let blob = bytes(5, 30_000);
    let location = one.start_upload("a");
    patch(&one, &location, "0-9999", &blob[..10_000]).assert(202, &[]);
    two.get(&location).assert(204, &[("Range", "0-9999")]);
    patch(&two, &location, "10000-19999", &blob[10_000..20_000]).assert(202, &[("Range", "0-19999")]);
    let answer = finish(&one, &location, &sha256(&blob), &blob[20_000..]);
    assert_finished(&two, &answer, &sha256(&blob), &blob);
}

/// A process that ends while it finishes a session leaves the session's file sealed, and perhaps named as a blob
/// already. From then on those bytes are not the session's alone.
#[test]
fn a_session_that_was_nearly_finished_goes_on_and_its_blob_stays_as_it_is() {
    let registry = Registry::start();
    let (half, whole) = (sha256(b"half"), sha256(b"half whole"));
    for is_named in [false, true] {
        for (digest, rest) in [(&half, &b""[..]), (&whole, b" whole")] {
            let location = registry.start_upload("a");
            registry.send("PATCH", &location, &[], b"half").assert(202, &[]);
            let data = folder(&registry, &location).join("data");
            fs::set_permissions(&data, fs::Permissions::from_mode(0o444)).unwrap();
            if is_named {
                fs::hard_link(&data, registry.blob_path(&half)).unwrap();
            }
            registry.get(&location).assert(204, &[("Range", "0-3")]);
            if !rest.is_empty() {
                registry.send("PATCH", &location, &[], rest).assert(202, &[("Range", "0-9")]);
            }
            let answer = finish(&registry, &location, digest, b"");
            assert_finished(&registry, &answer, digest, &[b"half", rest].concat());
            if is_named {
                assert_eq!(fs::read(registry.blob_path(&half)).unwrap(), b"half");
            }
            for file in registry.files("") {
                fs::remove_file(registry.path(&file)).unwrap();
            }
        }
    }
}

// ---- the state of the hash

/// Begins a session with `half` in it, does something to its files, and finishes it with ` whole`.
fn finish_after(change: impl Fn(&Registry, &PathBuf)) -> (Registry, Answer) {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    registry.send("PATCH", &location, &[], b"half").assert(202, &[]);
    change(&registry, &folder(&registry, &location));
    let answer = finish(&registry, &location, &sha256(b"half whole"), b" whole");
    (registry, answer)
}

/// What `hash.json` is after other bytes.
fn foreign_hash(registry: &Registry, algorithm: &str, bytes: &[u8]) -> serde_json::Value {
    let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
    let location = registry.send("POST", &path, &[], b"").header("Location").unwrap().to_owned();
    registry.send("PATCH", &location, &[], bytes).assert(202, &[]);
    let json = fs::read(folder(registry, &location).join("hash.json")).unwrap();
    registry.send("DELETE", &location, &[], b"").assert(204, &[]);
    serde_json::from_slice(&json).unwrap()
}

#[test]
fn a_session_finishes_right_whatever_has_become_of_its_hash() {
    let check = |what: &str, content: &dyn Fn(&Registry) -> Option<Vec<u8>>| {
        let (registry, answer) = finish_after(|registry, folder| match content(registry) {
            Some(content) => fs::write(folder.join("hash.json"), content).unwrap(),
            None => fs::remove_file(folder.join("hash.json")).unwrap(),
        });
        assert_eq!(answer.status, 201, "{what}: {answer:?}");
        assert_finished(&registry, &answer, &sha256(b"half whole"), b"half whole");
    };
    check("missing", &|_| None);
    check("empty", &|_| Some(Vec::new()));
    check("no JSON", &|_| Some(b"\xff{\"format\":".to_vec()));
    check("another JSON", &|_| Some(b"[1,2]".to_vec()));
    check("deep", &|_| Some("[".repeat(100_000).into_bytes()));
    // States that would give another digest if they were used.
    check("another format", &|registry| {
        let mut hash = foreign_hash(registry, "sha256", b"else");
        hash["format"] = "sha2 0.12".into();
        Some(hash.to_string().into_bytes())
    });
    check("ahead of the bytes", &|registry| {
        Some(foreign_hash(registry, "sha256", b"much more").to_string().into_bytes())
    });
    check("another algorithm", &|registry| {
        Some(foreign_hash(registry, "sha512", b"else").to_string().into_bytes())
    });
    check("a state cut short", &|registry| {
        let mut hash = foreign_hash(registry, "sha256", b"else");
        hash["state"] = hash["state"].as_str().unwrap()[2..].into();
        Some(hash.to_string().into_bytes())
    });
    // One that is behind the bytes is of use: what is missing is read.
    check("behind the bytes", &|registry| {
        Some(foreign_hash(registry, "sha256", b"ha").to_string().into_bytes())
    });
}

#[test]
fn the_state_of_the_hash_is_kept_so_that_finishing_reads_nothing_again() {
    let (registry, answer) = finish_after(|registry, folder| {
        let lie = foreign_hash(registry, "sha256", b"else");
        fs::write(folder.join("hash.json"), lie.to_string()).unwrap();
    });
    answer.assert_error(400, "DIGEST_INVALID");
    assert_eq!(answer.json()["errors"][0]["detail"]["actual"], *sha256(b"else whole"));
    assert_eq!(registry.files("blobs"), Vec::<String>::new());
}

// ---- algorithms

#[test]
fn a_session_may_say_at_the_start_which_algorithm_it_wants() {
    let registry = Registry::start();
    for (algorithm, digest) in [("sha512", sha512(b"one two")), ("sha256", sha256(b"one two"))] {
        let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
        let location = registry.send("POST", &path, &[], b"").header("Location").unwrap().to_owned();
        registry.send("PATCH", &location, &[], b"one ").assert(202, &[]);
        assert_finished(&registry, &finish(&registry, &location, &digest, b"two"), &digest, b"one two");
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
        let answer = finish(&registry, &location, &digest, &blob[650_000..]);
        assert_finished(&registry, &answer, &digest, &blob);
    }
    let location = registry.start_upload("a");
    let wrong = sha512(b"other");
    let answer = finish(&registry, &location, &wrong, b"bytes");
    answer.assert_error(400, "DIGEST_INVALID");
    assert_eq!(answer.json()["errors"][0]["detail"]["actual"], *sha512(b"bytes"));
}

// ---- who may

#[test]
fn of_two_writers_the_second_is_refused_and_disturbs_nothing() {
    let registry = Registry::start();
    let beside = registry.start_beside();
    let location = registry.start_upload("a");
    let digest = sha256(b"first second");
    let mut first = begin(&registry, &format!("PATCH {location}"), 12, b"first ", &location);
    for server in [&registry, &beside] {
        server.send("PATCH", &location, &[], b"intruder").assert_error(409, "BLOB_UPLOAD_INVALID");
        finish(server, &location, &digest, b"intruder").assert_error(409, "BLOB_UPLOAD_INVALID");
        server.send("DELETE", &location, &[], b"").assert_error(409, "BLOB_UPLOAD_INVALID");
        server.get(&location).assert(204, &[("Range", "0-5")]);
    }
    first.write(b"second");
    first.read_answer("PATCH").expect("an answer").assert(202, &[("Range", "0-11")]);
    assert_finished(&registry, &finish(&registry, &location, &digest, b""), &digest, b"first second");
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
                (0..4).map(|_| scope.spawn(|| finish(&registry, &location, &digest, b"").status)).collect();
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
    finish(&registry, &location, &sha256(b"bytes"), b"").assert(201, &[]);
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
        let path = folder(&registry, &location).join(file);
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        registry.get(&location).assert_error(404, "BLOB_UPLOAD_UNKNOWN");
        registry.send("PATCH", &location, &[], b"x").assert_error(404, "BLOB_UPLOAD_UNKNOWN");
        finish(&registry, &location, &sha256(b""), b"").assert_error(404, "BLOB_UPLOAD_UNKNOWN");
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
