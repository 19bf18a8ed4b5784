//! Bodies: in chunks, cut off, waited for, unread.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::{HIDDEN, assert_nothing_hidden, check_refused, start};
use crate::harness::{Answer, Connection, OCI_INDEX, Registry, bytes, sha256};

const NEXT: &str = "GET /v2/victim/tags/list HTTP/1.1\r\nHost: next\r\n\r\n";

// ---- chunks

/// Pushes a blob with this body, and asks for something else behind it.
fn push_chunked(registry: &Registry, blob: &[u8], body: &str) -> (Answer, Option<Answer>) {
    let target = format!("{}?digest={}", registry.start_upload("a"), sha256(blob));
    let head = format!("PUT {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut client = Connection::open(registry.address);
    client.write(format!("{head}{body}{NEXT}").as_bytes());
    let _ = client.stream.get_ref().shutdown(Shutdown::Write);
    (client.read_answer("PUT").expect("an answer"), client.read_answer("GET"))
}

#[test]
fn chunks_of_any_form_make_one_body_and_the_next_request_follows() {
    let registry = start();
    let blob = b"0123456789abcdef";
    for body in [
        "10\r\n0123456789abcdef\r\n0\r\n\r\n",
        "1\r\n0\r\nF\r\n123456789abcdef\r\n0\r\n\r\n",
        "a\r\n0123456789\r\n000006\r\nabcdef\r\n000\r\n\r\n",
        "10;name=\"value\";x\r\n0123456789abcdef\r\n0;last\r\n\r\n",
        "10 \t\r\n0123456789abcdef\r\n0\r\n\r\n",
        "10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\nContent-Length: 5\r\n\r\n",
        &format!("{}0\r\n\r\n", blob.map(|byte| format!("1\r\n{}\r\n", char::from(byte))).concat()),
    ] {
        let (answer, next) = push_chunked(&registry, blob, body);
        assert_eq!(answer.status, 201, "{body:?}: {answer:?}");
        assert_eq!(next.expect(body).json()["tags"][0], "v1");
        registry.assert_holds("a", &sha256(blob), blob);
    }
}

#[test]
fn chunks_may_arrive_byte_by_byte() {
    let registry = start();
    let blob = b"in small pieces";
    let target = format!("{}?digest={}", registry.start_upload("a"), sha256(blob));
    let mut client = Connection::open(registry.address);
    client.stream.get_ref().set_nodelay(true).unwrap();
    let head = format!("PUT {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for byte in format!("{head}5;x=y\r\nin sm\r\nA\r\nall pieces\r\n0\r\nT: t\r\n\r\n").as_bytes() {
        client.write(&[*byte]);
    }
    client.read_answer("PUT").expect("an answer").assert(201, &[]);
    registry.assert_holds("a", &sha256(blob), blob);
}

#[test]
fn what_is_no_chunked_body_is_refused_and_the_next_request_is_not_one() {
    let registry = start();
    for body in [
        "+5\r\nabcde\r\n0\r\n\r\n",
        "-5\r\nabcde\r\n0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n",
        "\r\n5\r\nabcde\r\n0\r\n\r\n",
        ";x\r\nabcde\r\n0\r\n\r\n",
        "five\r\nabcde\r\n0\r\n\r\n",
        "5\nabcde\n0\n\n",
        "5\r\nabcde0\r\n\r\n",
        "5\r\nabcde\n0\r\n\r\n",
        "5\r\nabcdef\r\n0\r\n\r\n",
        "4\r\nabcde\r\n0\r\n\r\n",
        "5\r\nabcde\r\n0\r\n\n",
        "5\r\nabcde\r\n0\r\nTrailer: x\n\r\n",
        "200000000001\r\nabcde",
        "7fffffffffffffff\r\nabcde",
        "ffffffffffffffff\r\nabcde",
        "10000000000000005\r\nabcde",
        &format!("{}5\r\nabcde\r\n0\r\n\r\n", "0".repeat(20_000)),
        &format!("5;{}\r\nabcde\r\n0\r\n\r\n", "x".repeat(20_000)),
        &format!("0\r\n{}\r\n", "T: x\r\n".repeat(5_000)),
    ] {
        let message = format!(
            "PUT /v2/new/manifests/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}{NEXT}"
        );
        check_refused(&registry, message, 400, "the chunked body is malformed");
    }
    assert!(!registry.path("repositories/new").exists());
}

// ---- cut off at every stage

/// Sends the message up to every byte of its end and checks what is left after each; the whole comes last.
fn cut_everywhere(message: &[u8], mut check: impl FnMut(usize, &[u8], Option<Answer>, &Registry)) {
    let registry = start();
    for end in (0..message.len()).rev().take(200).rev().chain([message.len()]) {
        let mut client = Connection::open(registry.address);
        client.write(&message[..end]);
        let _ = client.stream.get_ref().shutdown(Shutdown::Write);
        let answer = client.read_answer("PUT");
        assert!(client.read_to_end().is_empty(), "one answer at most");
        check(end, &message[..end], answer, &registry);
    }
    registry.assert_alive();
}

/// No answer to a head that is cut off, a refusal of a body that is.
#[track_caller]
fn assert_cut_off(sent: &[u8], answer: Option<Answer>) {
    let head_is_whole = sent.windows(4).any(|end| end == b"\r\n\r\n");
    let status = answer.map(|answer| answer.status);
    assert_eq!(status, head_is_whole.then_some(400), "{}", sent.escape_ascii());
}

#[test]
fn a_manifest_cut_off_anywhere_leaves_nothing() {
    let manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
    let head = format!("PUT /v2/new/manifests/v1 HTTP/1.1\r\nHost: a\r\nContent-Type: {OCI_INDEX}\r\n");
    let (first, second) = manifest.split_at(40);
    // With a space behind it: a document that is whole before the message is.
    for message in [
        format!("{head}Content-Length: {}\r\n\r\n{manifest} ", manifest.len() + 1),
        format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n28\r\n{first}\r\n{:x}\r\n{second} \r\n0\r\n\r\n",
            second.len() + 1
        ),
    ] {
        cut_everywhere(message.as_bytes(), |end, sent, answer, registry| {
            let is_there = registry.path("repositories/new").exists();
            if end < message.len() {
                assert_cut_off(sent, answer);
                assert!(!is_there, "{}", sent.escape_ascii());
            } else {
                assert_eq!((answer.expect("an answer").status, is_there), (201, true));
            }
        });
    }
}

#[test]
fn a_blob_cut_off_anywhere_does_not_appear_and_its_chunk_is_kept_as_far_as_it_came() {
    let blob = bytes(3, 40);
    let data: String = blob.iter().map(|byte| char::from(byte & 0x7f)).collect();
    for (coding, body) in [
        ("Content-Length: 40".to_owned(), data.clone()),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("1e\r\n{}\r\na\r\n{}\r\n0\r\n\r\n", &data[..30], &data[30..]),
        ),
    ] {
        for method in ["PATCH", "PUT"] {
            let registry = start();
            let head = |location: &str| {
                let query = if method == "PUT" {
                    format!("?digest={}", sha256(data.as_bytes()))
                } else {
                    String::new()
                };
                format!("{method} {location}{query} HTTP/1.1\r\nHost: a\r\n{coding}\r\n\r\n")
            };
            for end in 0..body.len() {
                let location = registry.start_upload("a");
                let mut client = Connection::open(registry.address);
                client.write(format!("{}{}", head(&location), &body[..end]).as_bytes());
                client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
                let answer = client.read_answer(method).expect("an answer");
                answer.assert_error(400, "SIZE_INVALID");
                assert!(client.read_to_end().is_empty());
                // What came of a chunk is there; a closing PUT can be tried again from where it began.
                let kept = std::fs::metadata(registry.session_path(&location).join("data")).unwrap().len();
                let arrived = match (method, coding.starts_with("Content")) {
                    ("PUT", _) => 0,
                    (_, true) => end,
                    (_, false) => end.saturating_sub(4).min(30) + end.saturating_sub(39).min(10),
                };
                assert_eq!(kept, arrived as u64, "{:?}", &body[..end]);
                assert!(!registry.blob_path(&sha256(data.as_bytes())).exists());
            }
        }
    }
}

// ---- waited for

#[test]
fn a_client_that_waits_to_be_asked_for_the_body_is_asked() {
    let registry = start();
    let blob = bytes(1, 100_000);
    let mut client = Connection::open(registry.address);
    for coding in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let target = format!("{}?digest={}", registry.start_upload("a"), sha256(&blob));
        client.write(
            format!("PUT {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{coding}\r\n\r\n")
                .as_bytes(),
        );
        client.read_answer("PUT").expect("an answer").assert(100, &[]);
        if coding.starts_with("Transfer") {
            client.write(b"186a0\r\n");
        }
        client.write(&blob);
        if coding.starts_with("Transfer") {
            client.write(b"\r\n0\r\n\r\n");
        }
        client.read_answer("PUT").expect("an answer").assert(201, &[]);
    }
    client.send("GET", "/v2/", &[], b"").assert(200, &[]); // the connection goes on
    registry.assert_holds("a", &sha256(&blob), &blob);
}

#[test]
fn a_client_that_waits_and_is_refused_is_told_so_without_a_byte_of_body() {
    let registry = start();
    for target in ["/v2/BAD/manifests/v1", "/v2/a/blobs/uploads/none", "/nowhere"] {
        let mut client = Connection::open(registry.address);
        let head =
            format!("PUT {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n");
        client.write(head.as_bytes());
        let begin = Instant::now();
        let answer = client.read_answer("PUT").expect("an answer");
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        assert!(matches!(answer.status, 400 | 404), "{answer:?}");
        // It may send the body all the same or not at all, so nothing can follow.
        assert_eq!(answer.header("Connection"), Some("close"));
        client.write(HIDDEN.as_bytes());
        assert!(client.read_to_end().is_empty());
        assert_nothing_hidden(&registry, target);
    }
}

#[test]
fn other_expectations_and_those_of_http_1_0_are_ignored() {
    let registry = start();
    for (expect, version) in [("tea", "HTTP/1.1"), ("100-continue", "HTTP/1.0")] {
        let mut client = Connection::open(registry.address);
        let head = format!(
            "PUT /v2/a/manifests/v1 {version}\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 5\r\n\r\n"
        );
        client.write(format!("{head}abcde").as_bytes());
        client.read_answer("PUT").expect("an answer").assert_error(400, "MANIFEST_INVALID");
    }
}

// ---- unread

#[test]
fn a_small_body_that_nobody_reads_does_not_end_the_connection() {
    let registry = start();
    let mut client = Connection::open(registry.address);
    for length in [1, 1024, 1025, 100_000, 1 << 20] {
        let body = vec![b'x'; length];
        client.send("DELETE", "/v2/none/manifests/v1", &[("Content-Length", &length.to_string())], &[]);
        client.write(&body);
        client
            .send_chunked("DELETE", "/v2/none/manifests/v1", &[], &[&body[..length.div_ceil(2)]])
            .assert(404, &[]);
        client.send("GET", "/v2/victim/tags/list", &[], b"").assert(200, &[]);
    }
}

#[test]
fn a_large_body_that_nobody_reads_ends_the_connection_and_the_answer_arrives() {
    let registry = start();
    let body = vec![b'x'; 16 << 20];
    for is_chunked in [false, true] {
        for _ in 0..10 {
            let mut client = Connection::open(registry.address);
            let answer = if is_chunked {
                client.send_chunked("PUT", "/v2/BAD/manifests/v1", &[], &[&body])
            } else {
                client.send("PUT", "/v2/BAD/manifests/v1", &[], &body)
            };
            answer.assert_error(400, "NAME_INVALID");
            if !is_chunked {
                assert_eq!(answer.header("Connection"), Some("close"));
            }
            client.write(HIDDEN.as_bytes());
            assert!(client.read_to_end().is_empty());
        }
    }
    assert_nothing_hidden(&registry, "a large body");
}
