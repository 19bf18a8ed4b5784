//! What a line tells, and what it cannot be made to tell.

use std::fs;

use serde_json::{Value, json};

use crate::harness::users::{Users, basic};
use crate::harness::{Connection, OCI_MANIFEST, Registry, eventually, sha256};

/// The lines of requests in a log of text, without what a person is told at the start.
fn text_lines(registry: &Registry) -> Vec<String> {
    registry
        .log()
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// The first line that contains `part`, once it is there.
fn line_with(registry: &Registry, part: &str) -> String {
    eventually(&format!("a line with {part}"), || registry.log().contains(part));
    registry.log().lines().find(|line| line.contains(part)).unwrap().to_owned()
}

/// The same as JSON.
fn json_with(registry: &Registry, part: &str) -> Value {
    let line = line_with(registry, part);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// `2026-01-02T03:04:05.678Z`
fn is_time(text: &str) -> bool {
    let pattern = "0000-00-00T00:00:00.000Z";
    text.len() == pattern.len()
        && text.chars().zip(pattern.chars()).all(|(c, p)| if p == '0' { c.is_ascii_digit() } else { c == p })
}

#[test]
fn a_line_of_text_tells_all_of_a_request() {
    let registry = Registry::start();
    let image = registry.push_image("a", "first", b"layer");
    let mut client = Connection::open(registry.address);
    let peer = client.stream.get_ref().local_addr().unwrap();
    let headers = [
        ("Content-Type", "application/vnd.oci.image.manifest.v1+json; a=b"),
        ("Accept", "text/html"),
        ("Accept", "*/*"),
    ];
    client.send("PUT", "/v2/a/manifests/v1?tag=v%32", &headers, &image.manifest).assert(201, &[]);

    let line = line_with(&registry, "/v2/a/manifests/v1");
    let words: Vec<&str> = line.splitn(8, ' ').collect();
    let [time, method, url, status, bytes_in, bytes_out, duration, rest] = words[..] else {
        panic!("{line}")
    };
    assert!(is_time(time), "{line}");
    assert_eq!((method, url, status), ("PUT", "/v2/a/manifests/v1?tag=v%32", "201"));
    assert_eq!((bytes_in, bytes_out), (format!("in={}", image.manifest.len()).as_str(), "out=0"));
    assert!(
        duration.strip_suffix("ms").is_some_and(|ms| ms.parse::<f64>().is_ok_and(|ms| ms > 0.0)),
        "{line}"
    );
    let type_as_sent = format!("type=\"{OCI_MANIFEST}; a=b\"");
    for part in [type_as_sent.as_str(), "accept=\"text/html, */*\"", &format!("peer={peer}")] {
        assert!(rest.contains(part), "no {part} in {line}");
    }
    assert!(!line.contains('\x1b') && !line.contains("header="), "no colour but on a terminal: {line}");
}

#[test]
fn a_line_of_json_tells_all_of_a_request() {
    let registry = Registry::start_with(&["--log-format", "json"]);
    let digest = registry.push_blob("a", b"0123456789");
    let mut client = Connection::open(registry.address);
    let peer = client.stream.get_ref().local_addr().unwrap().to_string();
    let path = format!("/v2/a/blobs/{digest}?x=%22");
    let headers = [("Range", "bytes=2-4"), ("Accept", "a/b"), ("Accept", "c/d;q=0.5")];
    client.send("GET", &path, &headers, b"").assert(206, &[]);
    let line = json_with(&registry, "%22");
    assert!(is_time(line["time"].as_str().unwrap()), "{line}");
    for (member, value) in [
        ("level", "info"),
        ("message", "request"),
        ("peer", &peer),
        ("method", "GET"),
        ("url", &path),
        ("accept", "a/b, c/d;q=0.5"),
    ] {
        assert_eq!(line[member], value, "{member}");
    }
    assert_eq!((&line["status"], &line["bytes_in"], &line["bytes_out"]), (&206.into(), &0.into(), &3.into()));
    assert!(line["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
    assert!(line.get("content_type").is_none() && line.get("headers").is_none(), "{line}");

    let upload = registry.start_upload("a");
    let headers = [("Content-Type", "application/octet-stream")];
    client.send_chunked("PATCH", &upload, &headers, &[b"four", b"more"]).assert(202, &[]);
    let line = json_with(&registry, "PATCH");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&8.into(), &0.into()));
    assert_eq!(line["content_type"], "application/octet-stream");
}

#[test]
fn a_refusal_says_why() {
    let registry = Registry::start_with(&["--log-format", "json"]);
    registry.get("/v2/none/manifests/v1").assert_error(404, "NAME_UNKNOWN");
    let line = json_with(&registry, "/v2/none/manifests/v1");
    assert_eq!((&line["status"], &line["level"]), (&404.into(), &"info".into()), "the client's, not ours");
    assert_eq!(line["error"], "there is no repository none");
    assert!(line["bytes_out"].as_u64().unwrap() > 0);
}

#[test]
fn a_failure_of_ours_is_an_error_with_its_path_which_the_client_is_not_told() {
    let registry = Registry::start_with(&["--log-level", "error"]);
    let image = registry.push_image("a", "v1", b"layer");
    registry.get("/v2/a/manifests/missing").assert_error(404, "MANIFEST_UNKNOWN");
    fs::create_dir(registry.path("repositories/a/_tags/broken")).unwrap(); // no tag is a folder
    let answer = registry.put_manifest("a", "broken", OCI_MANIFEST, &image.manifest);
    answer.assert_error(500, "UNKNOWN");
    let told = String::from_utf8(answer.body).unwrap();
    let root = registry.path("").display().to_string();
    assert!(!told.contains("_tags") && !told.contains(&root), "{told}");

    let line = line_with(&registry, " 500 ");
    assert!(line.contains("_tags/broken") && line.contains("/v2/a/manifests/broken"), "{line}");
    assert_eq!(text_lines(&registry).len(), 1, "nothing else is an error: {}", registry.log());
}

#[test]
fn who_is_logged_in_is_named() {
    for format in ["text", "json"] {
        let users = Users::new(&["alice"]);
        let config = users.config(json!([{ "user": "alice", "repository": "a", "pull": true }]));
        let registry = Registry::start_with(&["--config", &config, "--log-format", format]);
        let wrong = [("Authorization", &*basic("alice", "wrong"))];
        registry.send("GET", "/v2/a/tags/list?1", &wrong, b"").assert(401, &[]);
        registry.send_as("alice", "GET", "/v2/a/tags/list?2", b"").assert(404, &[]);
        registry.send_as("alice", "GET", "/v2/b/tags/list?3", b"").assert(403, &[]);
        registry.send_as("alice", "GET", "/v2/?4", b"").assert(200, &[]);
        let named = if format == "text" { " user=alice" } else { r#","user":"alice","# };
        for (part, is_named) in [("list?1", false), ("list?2", true), ("list?3", true), ("/v2/?4", true)] {
            let line = line_with(&registry, part);
            assert_eq!(line.contains(named), is_named, "{line}");
            assert!(!line.contains("alice-secret"), "{line}");
        }
    }
}

#[test]
fn debug_shows_headers_but_never_credentials() {
    for format in ["text", "json"] {
        let registry = Registry::start_with(&["--log-level", "debug", "--log-format", format]);
        let headers = [
            ("Authorization", "Basic c2VjcmV0OnNlY3JldA=="),
            ("aUTHORIZATION", "Bearer c2VjcmV0"),
            ("Proxy-Authorization", "Basic c2VjcmV0"),
            ("Cookie", "session=c2VjcmV0"),
            ("X-Shown", "with \"quotes\""),
        ];
        registry.send("GET", "/v2/", &headers, b"").assert(200, &[]);
        let line = line_with(&registry, "X-Shown");
        assert!(!registry.log().contains("c2VjcmV0"), "{line}");
        assert_eq!(line.matches("(hidden)").count(), 4, "{line}");
        match format {
            "text" => assert!(line.contains(r#"header="X-Shown: with \"quotes\"""#), "{line}"),
            _ => {
                let json: Value = serde_json::from_str(&line).unwrap();
                let shown = serde_json::json!(["X-Shown", "with \"quotes\""]);
                assert!(json["headers"].as_array().unwrap().contains(&shown), "{line}");
            }
        }
    }
}

#[test]
fn a_client_cannot_forge_a_line_or_move_the_cursor() {
    for format in ["text", "json"] {
        let registry = Registry::start_with(&["--log-level", "debug", "--log-format", format]);
        let forged = "2026-01-01T00:00:00.000Z GET /forged 200 in=0 out=0 1.0ms";
        let json = r#"{"time":"2026-01-01T00:00:00.000Z","level":"info","message":"forged"}"#;
        // As raw bytes: what the HTTP library lets pass of these must not pass here.
        for raw in [
            format!("GET /v2/\n{forged}\n HTTP/1.1\r\nHost: test\r\n\r\n"),
            format!("GET /v2/\r{forged} HTTP/1.1\r\nHost: test\r\n\r\n"),
            format!("GET /v2/ HTTP/1.1\r\nHost: test\r\nAccept: a\n{forged}\n\r\n\r\n"),
            format!("GET /v2/ HTTP/1.1\r\nHost: test\r\nContent-Type: a\"}}\n{json}\n\r\n\r\n"),
            "GET /v2/ HTTP/1.1\r\nHost: test\r\nAccept: \x1b[2J\x1b[31mred\x07\x08\x7f\r\n\r\n".to_owned(),
            format!("GET\n{forged}\n /v2/ HTTP/1.1\r\nHost: test\r\n\r\n"),
            "GET /v2/\x1b[2J HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
        ] {
            let mut client = Connection::open(registry.address);
            client.write(raw.as_bytes());
            client.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
            client.read_to_end();
        }
        // Encoded, it stays so; decoded, in the words of a refusal, it is escaped.
        registry.get("/v2/a%0a2026-01-01%1b[2J/tags/list").assert_error(400, "NAME_INVALID");
        let accept = "x status=200 \"y\" error=none";
        registry.send("GET", "/v2/last", &[("Accept", accept)], b"").assert(404, &[]);

        let (_, last) = (line_with(&registry, "2026-01-01%1b"), line_with(&registry, "/v2/last"));
        let log = registry.log();
        assert!(!log.contains(['\x1b', '\r', '\x07', '\x08', '\x7f']), "{log:?}");
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains("/v2/") || line.contains("forged")).collect();
        assert!(lines.len() >= 2, "{log}");
        for line in lines {
            assert!(!line.starts_with(forged) && !line.starts_with(json), "{line}");
        }
        if format == "text" {
            assert!(last.contains(r#"accept="x status=200 \"y\" error=none""#), "{last}");
            assert!(last.contains(" 404 "), "{last}");
        } else {
            for line in log.lines().filter(|line| line.starts_with('{')) {
                let line: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert_ne!(line["message"], "forged");
            }
            assert_eq!(json_with(&registry, "/v2/last")["accept"], accept);
        }
    }
}

#[test]
fn a_value_without_end_is_cut() {
    let registry = Registry::start();
    let long = "x".repeat(10_000);
    registry.send("GET", &format!("/v2/long/manifests/{long}"), &[("Accept", &long)], b"").assert(404, &[]);
    let line = line_with(&registry, "/v2/long");
    assert!(line.contains('…') && line.len() < 5000, "{} bytes", line.len());
}

#[test]
fn every_request_has_one_line() {
    let registry = Registry::start_with(&["--log-format", "json"]);
    let digest = sha256(b"layer");
    registry.push_image("a", "v1", b"layer");
    registry.get(&format!("/v2/a/blobs/{digest}")).assert(200, &[]);
    registry.get("/v2/last").assert(404, &[]);
    // A line is written when its answer is out, so the last line need not be that of the last request.
    let count = |part: &str| registry.log().lines().filter(|line| line.contains(part)).count();
    eventually("seven lines", || count("\"request\"") >= 7);
    assert_eq!((count("\"POST\""), count("\"PUT\""), count("\"GET\"")), (2, 3, 2));
    assert_eq!((count(&format!("/v2/a/blobs/{digest}")), count("/v2/a/manifests/v1")), (1, 1));
}
