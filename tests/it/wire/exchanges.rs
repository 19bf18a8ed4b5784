//! Several requests on one connection, the method HEAD, the versions, and the end.

use super::{HIDDEN, exchange, start};
use crate::harness::{Connection, OCI_INDEX, bytes, sha256};

#[test]
fn requests_sent_ahead_are_done_in_order_each_seeing_what_those_before_it_did() {
    let registry = start();
    let document = |n: usize| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[],"annotations":{{"n":"{n}"}}}}"#
        )
    };
    let mut message = String::new();
    for n in 0..50 {
        let (document, head) = (document(n), "/v2/new/manifests/v1 HTTP/1.1\r\nHost: a\r\n");
        message +=
            &format!("PUT {head}Content-Type: {OCI_INDEX}\r\nContent-Length: {}\r\n\r\n", document.len());
        message += &format!("{document}GET {head}\r\nDELETE {head}\r\nGET {head}\r\n");
    }
    let answers = exchange(&registry, message.as_bytes());
    assert_eq!(answers.len(), 200);
    for (n, answers) in answers.chunks(4).enumerate() {
        let digest = sha256(document(n).as_bytes());
        answers[0].assert(201, &[("Docker-Content-Digest", &digest)]);
        answers[1].assert(200, &[("Docker-Content-Digest", &digest)]);
        assert_eq!(answers[1].body, document(n).as_bytes());
        assert_eq!((answers[2].status, answers[3].status), (202, 404));
    }
}

#[test]
fn ten_thousand_requests_sent_ahead_are_all_answered_and_delay_nobody() {
    let registry = start();
    let mut client = Connection::open(registry.address);
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        use std::io::Write;
        let message: String = (0..10_000)
            .map(|n| format!("GET /v2/victim/tags/list?n={n} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .collect();
        writer.write_all(message.as_bytes()).unwrap();
    });
    for n in 0..10_000 {
        let answer = client.read_answer("GET").expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["tags"].as_array().unwrap().len(), n.min(1), "the {n}th has its own answer");
        if n % 2_500 == 0 {
            registry.assert_served_at_once();
        }
    }
    sender.join().unwrap();
    assert!(registry.usage().resident < 100, "{:?}", registry.usage());
}

#[test]
fn a_long_conversation_sent_ahead_does_not_grow_in_memory() {
    let registry = start();
    let mut client = Connection::open(registry.address);
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    let message = format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(30_001)).repeat(100);
    let sender = std::thread::spawn(move || {
        use std::io::Write;
        for _ in 0..10 {
            writer.write_all(message.as_bytes()).unwrap(); // 30 MB in all
        }
    });
    let before = registry.usage().resident;
    for n in 0..1000 {
        client.read_answer("GET").expect("an answer").assert(200, &[]);
        let now = if n % 50 == 0 { registry.usage().resident } else { before };
        assert!(now < before + 10, "{before} MiB before, {now} after {n} requests");
    }
    sender.join().unwrap();
}

#[test]
fn head_is_get_without_the_body() {
    let registry = start();
    let blob = registry.push_blob("victim", &bytes(1, 100_000));
    let none = sha256(b"none");
    let mut client = Connection::open(registry.address);
    for path in [
        "/v2/".to_owned(),
        "/v2/_catalog".to_owned(),
        "/v2/victim/tags/list".to_owned(),
        "/v2/victim/manifests/v1".to_owned(),
        format!("/v2/victim/blobs/{blob}"),
        format!("/v2/victim/referrers/{none}"),
        format!("/v2/victim/blobs/{none}"),
        "/v2/victim/manifests/none".to_owned(),
        "/v2/BAD/tags/list".to_owned(),
        "/nowhere".to_owned(),
    ] {
        for headers in [&[][..], &[("TE", "chunked")], &[("TE", "trailers, chunked;q=1")]] {
            let get = client.send("GET", &path, headers, b"");
            let head = client.send("HEAD", &path, headers, b"");
            assert_eq!(get.header("Content-Length"), Some(&*get.body.len().to_string()), "{path}");
            assert!(get.header("Transfer-Encoding").is_none(), "{path}");
            assert_eq!(head.status, get.status, "{path}");
            let but_date = |headers: &[(String, String)]| {
                headers.iter().filter(|(name, _)| name != "Date").cloned().collect::<Vec<_>>()
            };
            assert_eq!(but_date(&head.headers), but_date(&get.headers), "{path}");
        }
    }
    client.send("GET", "/v2/", &[], b"").assert(200, &[]); // no byte too many came before
}

#[test]
fn http_1_0_ends_with_the_answer_unless_it_asks_to_go_on() {
    let registry = start();
    let get = "GET /v2/victim/tags/list HTTP/1.0\r\n";
    let answers = exchange(&registry, format!("{get}\r\n{HIDDEN}").as_bytes());
    assert_eq!(answers.len(), 1);
    answers[0].assert(200, &[("Connection", "close")]);
    let message =
        format!("{get}Connection: keep-alive\r\n\r\n{get}Connection: Keep-Alive\r\n\r\n{get}\r\n{HIDDEN}");
    let answers = exchange(&registry, message.as_bytes());
    assert_eq!(answers.len(), 3);
    answers[0].assert(200, &[("Connection", "keep-alive")]);
    answers[1].assert(200, &[("Connection", "keep-alive")]);
    answers[2].assert(200, &[("Connection", "close")]);
    super::assert_nothing_hidden(&registry, "HTTP/1.0");
}

#[test]
fn a_connection_ends_when_the_client_says_so() {
    let registry = start();
    for option in ["close", "Close", "keep-alive, close", "x\r\nConnection: close"] {
        let message = format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: {option}\r\n\r\n{HIDDEN}");
        let answers = exchange(&registry, message.as_bytes());
        assert_eq!(answers.len(), 1, "{option}");
        answers[0].assert(200, &[("Connection", "close")]);
        super::assert_nothing_hidden(&registry, option);
    }
    // And without a half-closed client to help it along.
    let mut client = Connection::open(registry.address);
    client.send("GET", "/v2/", &[("Connection", "close")], b"").assert(200, &[]);
    assert!(client.read_to_end().is_empty());
}

#[test]
fn a_client_that_leaves_in_the_middle_is_not_missed() {
    let registry = start();
    let before = registry.usage();
    let blob = registry.push_blob("a", &bytes(1, 4 << 20));
    for path in ["/v2/".to_owned(), format!("/v2/a/blobs/{blob}")] {
        for _ in 0..50 {
            let mut client = Connection::open(registry.address);
            client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            drop(client); // with an answer on its way, which resets the connection
        }
    }
    registry.assert_alive();
    crate::harness::eventually("the descriptors are free again", || {
        registry.usage().descriptors <= before.descriptors
    });
    assert!(!registry.log().contains("panic"), "{}", registry.log());
}
