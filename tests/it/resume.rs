//! Upload sessions that break off and are taken up again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::harness::{Answer, Connection, Registry, bytes, eventually, sha256};

#[test]
fn a_session_goes_on_at_its_offset_after_kill_9() {
    let mut registry = Registry::start();
    let blob = bytes(1, 1_000_000);
    let location = registry.start_upload("a");
    registry.patch(&location, "0-599999", &blob[..600_000]).assert(202, &[]);
    registry.kill_and_restart();
    registry.get(&location).assert(204, &[("Range", "0-599999"), ("Location", &location)]);
    registry.patch(&location, "600000-799999", &blob[600_000..800_000]).assert(202, &[("Range", "0-799999")]);
    registry.kill_and_restart();
    let answer = registry.finish(&location, &sha256(&blob), &blob[800_000..]);
    registry.assert_finished(&answer, &sha256(&blob), &blob);
}

#[test]
fn what_came_before_kill_9_in_the_middle_of_a_chunk_is_kept() {
    let mut registry = Registry::start();
    let blob = bytes(2, 900_000);
    let location = registry.start_upload("a");
    registry.patch(&location, "0-299999", &blob[..300_000]).assert(202, &[]);
    let client = registry.begin("PATCH", &location, 500_000, &blob[300_000..400_000]);
    registry.kill_and_restart();
    drop(client);
    registry.get(&location).assert(204, &[("Range", "0-399999")]);
    let answer = registry.finish(&location, &sha256(&blob), &blob[400_000..]);
    registry.assert_finished(&answer, &sha256(&blob), &blob);
}

#[test]
fn what_came_of_a_chunk_that_breaks_off_is_kept() {
    let registry = Registry::start();
    let blob = bytes(3, 200_000);
    let location = registry.start_upload("a");
    let client = registry.begin("PATCH", &location, 200_000, &blob[..120_000]);
    drop(client);
    eventually("the session is free again", || registry.send("PATCH", &location, &[], b"").status != 409);
    registry.get(&location).assert(204, &[("Range", "0-119999")]);
    let answer = registry.finish(&location, &sha256(&blob), &blob[120_000..]);
    registry.assert_finished(&answer, &sha256(&blob), &blob);
}

#[test]
fn a_closing_put_that_breaks_off_is_as_if_it_had_not_been() {
    let registry = Registry::start();
    let blob = bytes(4, 200_000);
    let location = registry.start_upload("a");
    registry.patch(&location, "0-99999", &blob[..100_000]).assert(202, &[]);
    let close = format!("{location}?digest={}", sha256(&blob));
    for _ in 0..2 {
        let client = registry.begin("PUT", &close, 100_000, &blob[100_000..150_000]);
        client.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        let mut client = client;
        let answer = client.read_answer("PUT").expect("an answer");
        answer.assert_error(400, "SIZE_INVALID");
        registry.get(&location).assert(204, &[("Range", "0-99999")]);
    }
    let answer = registry.finish(&location, &sha256(&blob), &blob[100_000..]);
    registry.assert_finished(&answer, &sha256(&blob), &blob);
}

#[test]
fn a_chunked_body_that_breaks_off_is_no_different() {
    let registry = Registry::start();
    let blob = bytes(9, 20_000);
    let (location, digest) = (registry.start_upload("a"), sha256(&blob));
    let send_part = |method: &str, target: &str, part: &[u8]| {
        let mut client = Connection::open(registry.address);
        let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.write(format!("{head}{:x}\r\n", part.len() + 1).as_bytes());
        client.write(part);
        client.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        client.read_answer(method).expect("an answer")
    };
    send_part("PATCH", &location, &blob[..9000]).assert_error(400, "SIZE_INVALID");
    registry.get(&location).assert(204, &[("Range", "0-8999")]);
    let close = format!("{location}?digest={digest}");
    send_part("PUT", &close, &blob[9000..15_000]).assert_error(400, "SIZE_INVALID");
    registry.get(&location).assert(204, &[("Range", "0-8999")]);
    let answer = registry.finish(&location, &digest, &blob[9000..]);
    registry.assert_finished(&answer, &digest, &blob);
}

#[test]
fn a_finished_session_is_gone_and_its_blob_survives_kill_9() {
    let mut registry = Registry::start();
    let (location, digest) = (registry.start_upload("a"), sha256(b"bytes"));
    registry.finish(&location, &digest, b"bytes").assert(201, &[]);
    registry.kill_and_restart();
    registry.assert_holds("a", &digest, b"bytes");
    registry.finish(&location, &digest, b"bytes").assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry.get(&location).assert_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn a_session_goes_on_through_another_process() {
    let one = Registry::start();
    let two = one.start_beside();
    let blob = bytes(5, 30_000);
    let location = one.start_upload("a");
    one.patch(&location, "0-9999", &blob[..10_000]).assert(202, &[]);
    two.get(&location).assert(204, &[("Range", "0-9999")]);
    two.patch(&location, "10000-19999", &blob[10_000..20_000]).assert(202, &[("Range", "0-19999")]);
    let answer = one.finish(&location, &sha256(&blob), &blob[20_000..]);
    two.assert_finished(&answer, &sha256(&blob), &blob);
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
            let data = registry.session_path(&location).join("data");
            fs::set_permissions(&data, fs::Permissions::from_mode(0o444)).unwrap();
            if is_named {
                fs::hard_link(&data, registry.blob_path(&half)).unwrap();
            }
            registry.get(&location).assert(204, &[("Range", "0-3")]);
            if !rest.is_empty() {
                registry.send("PATCH", &location, &[], rest).assert(202, &[("Range", "0-9")]);
            }
            let answer = registry.finish(&location, digest, b"");
            registry.assert_finished(&answer, digest, &[b"half", rest].concat());
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
    change(&registry, &registry.session_path(&location));
    let answer = registry.finish(&location, &sha256(b"half whole"), b" whole");
    (registry, answer)
}

/// What `hash.json` is after other bytes.
fn foreign_hash(registry: &Registry, algorithm: &str, bytes: &[u8]) -> serde_json::Value {
    let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
    let location = registry.send("POST", &path, &[], b"").header("Location").unwrap().to_owned();
    registry.send("PATCH", &location, &[], bytes).assert(202, &[]);
    let json = fs::read(registry.session_path(&location).join("hash.json")).unwrap();
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
        registry.assert_finished(&answer, &sha256(b"half whole"), b"half whole");
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
