//! What operators see: is it alive, is it ready, what has it done, is there room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::harness::users::{Users, basic};
use crate::harness::{Connection, OCI_MANIFEST, Registry, eventually, sha256};

/// A scrape: every number by its name and labels, as they are written. The form is checked on the way.
fn scrape(registry: &Registry) -> BTreeMap<String, f64> {
    let answer = registry.get("/metrics");
    answer.assert(200, &[("Content-Type", "text/plain; version=0.0.4; charset=utf-8")]);
    let (mut numbers, mut names, mut name) = (BTreeMap::new(), BTreeSet::new(), String::new());
    for line in String::from_utf8(answer.body).unwrap().lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            name = rest.split(' ').next().unwrap().to_owned();
            assert!(names.insert(name.clone()), "{name} comes twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(rest.starts_with(&format!("{name} ")), "{line} behind {name}");
        } else {
            let (labelled, number) = line.rsplit_once(' ').unwrap();
            assert!(labelled.starts_with(&name), "{line} below {name}");
            let before = numbers.insert(labelled.to_owned(), number.parse().unwrap());
            assert!(before.is_none(), "{labelled} comes twice");
        }
    }
    numbers
}

/// A number that is there.
#[track_caller]
fn number(numbers: &BTreeMap<String, f64>, name: &str) -> f64 {
    *numbers.get(name).unwrap_or_else(|| panic!("no {name} in {numbers:#?}"))
}

#[track_caller]
fn check(numbers: &BTreeMap<String, f64>, name: &str, expect: usize) {
    assert_eq!(number(numbers, name), expect as f64, "{name}");
}

// ---- requests and connections

#[test]
fn what_was_pushed_and_pulled_is_counted_by_route_method_and_status() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    for _ in 0..3 {
        registry.get("/v2/a/manifests/v1").assert(200, &[]);
    }
    registry.get("/v2/a/manifests/v2").assert_error(404, "MANIFEST_UNKNOWN");
    registry.get("/nowhere").assert(404, &[]);
    let last = r#"registry_http_requests_total{route="none",method="GET",status="404"}"#;
    eventually("the last request is over", || scrape(&registry).get(last) == Some(&1.0));
    let numbers = scrape(&registry);
    let get = r#"route="manifest",method="GET""#;
    check(&numbers, &format!("registry_http_requests_total{{{get},status=\"200\"}}"), 3);
    check(&numbers, &format!("registry_http_requests_total{{{get},status=\"404\"}}"), 1);
    check(&numbers, &format!("registry_http_request_duration_seconds_count{{{get}}}"), 4);
    check(&numbers, &format!("registry_http_request_duration_seconds_bucket{{{get},le=\"+Inf\"}}"), 4);
    assert!(number(&numbers, &format!("registry_http_request_duration_seconds_sum{{{get}}}")) > 0.0);
    let sent = number(&numbers, &format!("registry_http_sent_bytes_total{{{get}}}"));
    assert!(sent > (3 * image.manifest.len()) as f64 && sent < (4 * image.manifest.len()) as f64, "{sent}");
    let put = r#"route="manifest",method="PUT""#;
    check(&numbers, &format!("registry_http_requests_total{{{put},status=\"201\"}}"), 1);
    check(&numbers, &format!("registry_http_received_bytes_total{{{put}}}"), image.manifest.len());
    check(&numbers, &format!("registry_http_requests_in_progress{{{put}}}"), 0);
    check(&numbers, r#"registry_errors_total{code="MANIFEST_UNKNOWN"}"#, 1);
    check(&numbers, r#"registry_errors_total{code="UNSUPPORTED"}"#, 1);
    eventually("a scrape sees itself at work, and nobody else", || {
        let numbers = scrape(&registry);
        let scrapes = number(&numbers, r#"registry_http_requests_in_progress{route="metrics",method="GET"}"#);
        (scrapes, number(&numbers, r#"registry_connections{state="working"}"#)) == (1.0, 1.0)
    });
}

#[test]
fn an_upload_is_seen_while_it_is_in_progress() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    let mut client = registry.begin("PATCH", &location, 3, b"x");
    let name = r#"registry_http_requests_in_progress{route="upload",method="PATCH"}"#;
    eventually("it is seen", || scrape(&registry).get(name) == Some(&1.0));
    client.write(b"yz");
    client.read_answer("PATCH").expect("an answer").assert(202, &[]);
    eventually("it is over", || scrape(&registry)[name] == 0.0);
}

#[test]
fn who_goes_away_amid_an_answer_and_who_tries_tls_is_counted() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", &vec![0; 16 << 20]); // more than the kernel takes ahead
    let mut client = Connection::open(registry.address);
    client.write(format!("GET /v2/a/blobs/{} HTTP/1.1\r\nHost: test\r\n\r\n", image.layer).as_bytes());
    drop(client);
    let broken_off = r#"registry_http_broken_off_answers_total{route="blob",method="GET"}"#;
    eventually("it is seen", || scrape(&registry).get(broken_off) == Some(&1.0));
    assert!(registry.log().contains("the answer did not go out to its end"), "{}", registry.log());
    let mut client = Connection::open(registry.address);
    client.write(b"\x16\x03\x01");
    client.read_to_end();
    check(&scrape(&registry), "registry_connections_tls_total", 1);
}

#[test]
fn nothing_that_a_client_makes_up_becomes_a_label() {
    let registry = Registry::start();
    let ask = |number: usize| {
        registry.get(&format!("/v2/made-up-{number}/tags/list"));
        registry.get(&format!("/made-up-{number}"));
        registry.send(&format!("MADEUP{number}"), "/v2/", &[], b"");
        registry.send("GET", "/v2/", &[("Authorization", &basic(&format!("made-up-{number}"), "x"))], b"");
    };
    ask(0);
    scrape(&registry);
    eventually("all are counted", || {
        scrape(&registry)
            .contains_key(r#"registry_http_requests_total{route="metrics",method="GET",status="200"}"#)
    });
    let names = |numbers: BTreeMap<String, f64>| numbers.into_keys().collect::<BTreeSet<_>>();
    let before = names(scrape(&registry));
    (1..50).for_each(ask);
    let after = names(scrape(&registry));
    let more: Vec<_> = after.difference(&before).filter(|name| !name.contains("registry_store_")).collect();
    assert!(more.is_empty() && after.iter().all(|name| !name.to_lowercase().contains("made")), "{more:?}");
}

#[test]
fn who_waits_for_room_and_who_makes_it_is_counted() {
    let registry = Registry::start_limited("ulimit -n 64", &[]);
    let _idle: Vec<Connection> = (0..100).map(|_| Connection::open(registry.address)).collect();
    let mut numbers = scrape(&registry);
    assert!(number(&numbers, "registry_connections_held_back_total") > 0.0);
    let left = r#"registry_connections_asked_to_leave_total{state="waiting"}"#;
    eventually("some have made room", || {
        numbers = scrape(&registry);
        number(&numbers, left) > 80.0
    });
    assert!(number(&numbers, left) <= number(&numbers, "registry_connections_opened_total"));
    check(&numbers, r#"registry_connections_asked_to_leave_total{state="working"}"#, 0);
}

// ---- what there is

#[test]
fn what_the_store_holds_is_counted_whoever_brought_it() {
    let registry = Registry::start_with(&["--count-interval", "50ms"]);
    let other = registry.start_beside();
    other.push_image("team/a", "v1", b"layer");
    other.push_image("team/a", "v2", b"layer");
    let second = registry.push_image("b", "v1", b"another layer");
    registry.start_upload("b");
    let count = |registry: &Registry| {
        let numbers = scrape(registry);
        ["repositories", "tags", "blobs", "bytes", "uploads"]
            .map(|what| numbers.get(&format!("registry_store_{what}")).map_or(-1.0, |number| *number))
    };
    let bytes = |registry: &Registry| -> f64 {
        let files = registry.files("blobs");
        files.iter().map(|file| fs::metadata(registry.path("blobs").join(file)).unwrap().len() as f64).sum()
    };
    // Both images in team/a are the same; the configuration is that of all.
    let expect = [2.0, 3.0, 5.0, bytes(&registry), 1.0];
    for process in [&registry, &other] {
        eventually("all is counted", || count(process) == expect);
    }
    for path in [format!("manifests/{}", second.digest), format!("blobs/{}", second.layer)] {
        registry.send("DELETE", &format!("/v2/b/{path}"), &[], b"").assert(202, &[]);
    }
    let expect = [1.0, 2.0, 3.0, bytes(&registry), 1.0];
    eventually("what is gone is not", || count(&other) == expect);
    let numbers = scrape(&registry);
    let when = number(&numbers, "registry_store_counted_timestamp_seconds");
    assert!(when >= number(&numbers, "process_start_time_seconds") && when < 1e11);
    assert!(number(&numbers, "registry_disk_free_bytes") <= number(&numbers, "registry_disk_size_bytes"));
}

#[test]
fn who_wants_no_count_has_none() {
    let registry = Registry::start_with(&["--count-interval", "0s"]);
    registry.push_image("a", "v1", b"layer");
    let numbers = scrape(&registry);
    assert!(numbers.keys().all(|name| !name.starts_with("registry_store_")), "{numbers:?}");
}

// ---- whom it is told

#[test]
fn probes_need_no_password_and_metrics_only_if_so_configured() {
    let users = Users::new(&["alice"]);
    let (open, closed) = (users.start(&[]), users.start(&["--metrics-auth"]));
    for registry in [&open, &closed] {
        for path in ["/livez", "/readyz"] {
            let answer = registry.get(path);
            answer.assert(200, &[("Content-Type", "text/plain; charset=utf-8")]);
            assert_eq!(answer.body, b"ok\n");
            assert!(registry.send("HEAD", path, &[], b"").body.is_empty());
            registry.send("POST", path, &[], b"").assert(405, &[("Allow", "GET, HEAD")]);
        }
        registry.send_as("alice", "GET", "/metrics", b"").assert(200, &[]);
    }
    open.get("/metrics").assert(200, &[]);
    let refused = closed.get("/metrics");
    refused.assert_error(401, "UNAUTHORIZED");
    assert!(refused.header("WWW-Authenticate").is_some());
}

#[test]
fn probes_are_logged_at_level_debug_only() {
    let (usual, debug) = (Registry::start(), Registry::start_with(&["--log-level", "debug"]));
    for registry in [&usual, &debug] {
        let mut client = Connection::open(registry.address); // the log of one connection is in order
        for path in ["/livez", "/readyz", "/metrics", "/v2/"] {
            client.send("GET", path, &[], b"").assert(200, &[]);
        }
        eventually("the last one is logged", || registry.log().contains("GET /v2/ 200"));
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert!(!usual.log().contains(path) && debug.log().contains(&format!("GET {path} 200")), "{path}");
    }
}

// ---- is it ready

#[test]
fn a_root_that_cannot_be_written_to_is_not_ready_and_recovers() {
    let registry = Registry::start();
    let reader = registry.start_beside_with(&["--read-only"]);
    registry.get("/readyz").assert(200, &[]);
    assert!(registry.files("uploads").is_empty(), "the probe is left");
    fs::rename(registry.path("uploads"), registry.path("away")).unwrap();
    eventually("it is not ready", || registry.get("/readyz").status == 503);
    let answer = registry.get("/readyz");
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(text, "not ready: the root cannot be written to: No such file or directory (os error 2)\n");
    registry.get("/livez").assert(200, &[]);
    reader.get("/readyz").assert(200, &[]); // which need not write
    fs::rename(registry.path("blobs"), registry.path("gone")).unwrap();
    eventually("nor the reader", || reader.get("/readyz").status == 503);
    fs::rename(registry.path("gone"), registry.path("blobs")).unwrap();
    fs::rename(registry.path("away"), registry.path("uploads")).unwrap();
    for registry in [&registry, &reader] {
        eventually("it is ready again", || registry.get("/readyz").status == 200);
        eventually("the log tells", || registry.log().contains("info ready again"));
        assert_eq!(registry.log().matches("warn not ready").count(), 1, "{}", registry.log());
    }
}

// ---- is there room

/// What brings bytes, and nothing else.
fn pushes(registry: &Registry) -> Vec<(&'static str, crate::harness::Answer)> {
    let image = crate::harness::Image::new(&sha256(b"config"), 6, &sha256(b"layer"), 5);
    let session = "/v2/a/blobs/uploads/0b7a4c2e-9d1f-4a3b-8c5d-6e7f8091a2b3";
    let at_once = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"blob"));
    vec![
        ("POST", registry.send("POST", "/v2/a/blobs/uploads/", &[], b"")),
        ("POST at once", registry.send("POST", &at_once, &[], b"blob")),
        ("PATCH", registry.send("PATCH", session, &[], b"blob")),
        ("PUT", registry.send("PUT", &format!("{session}?digest={}", sha256(b"blob")), &[], b"blob")),
        ("manifest", registry.put_manifest("a", "v2", OCI_MANIFEST, &image.manifest)),
    ]
}

#[test]
fn with_little_room_whoever_pushes_is_warned_and_so_is_the_log() {
    let registry = Registry::start_with(&["--warn-free", "100%"]); // no disk is as empty as that
    let warning = "299 - \"the registry's disk has less than 100% free\"";
    for (what, answer) in pushes(&registry) {
        assert_eq!(answer.header("Warning"), Some(warning), "{what}: {answer:?}");
        assert_ne!(answer.status, 507, "{what}");
    }
    let image = registry.push_image("a", "v1", b"layer");
    for path in ["/v2/", "/v2/a/manifests/v1", "/v2/a/tags/list", "/readyz", "/metrics"] {
        let answer = registry.get(path);
        assert!(answer.status == 200 && answer.header("Warning").is_none(), "{path}");
    }
    let deleted = registry.send("DELETE", &format!("/v2/a/manifests/{}", image.digest), &[], b"");
    assert!(deleted.status == 202 && deleted.header("Warning").is_none());
    let event = "warn the disk is filling up share=100%";
    eventually("the log tells", || registry.log().contains(event));
    assert_eq!(registry.log().matches(event).count(), 1, "{}", registry.log());
    // Who may not push is not told.
    let users = Users::new(&["alice"]);
    let closed = users.start(&["--warn-free", "100%"]);
    let refused = closed.send("POST", "/v2/a/blobs/uploads/", &[], b"");
    assert!(refused.status == 401 && refused.header("Warning").is_none());
}

#[test]
fn with_hardly_any_room_pushes_are_refused_and_all_else_goes_on() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let session = registry.start_upload("a");
    let short = registry.start_beside_with(&["--warn-free", "100%", "--refuse-free", "100%"]);
    let before = short.snapshot();
    for (what, answer) in pushes(&short) {
        answer.assert_error(507, "UNKNOWN");
        let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        let expect =
            "the registry's disk is nearly full: less than 100% would be left free; nothing more is stored";
        assert_eq!(message, expect, "{what}");
    }
    assert_eq!(short.snapshot(), before);
    let answer = short.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with(b"not ready: the registry's disk is nearly full"), "{answer:?}");
    short.get("/livez").assert(200, &[]);
    assert!(number(&scrape(&short), r#"registry_errors_total{code="UNKNOWN"}"#) >= 5.0);

    short.get("/v2/a/manifests/v1").assert(200, &[]);
    short.get(&session).assert(204, &[]);
    short.send("DELETE", &session, &[], b"").assert(204, &[]);
    short.send("DELETE", &format!("/v2/a/manifests/{}", image.digest), &[], b"").assert(202, &[]);
    let reader = registry.start_beside_with(&["--read-only", "--refuse-free", "100%", "--warn-free", "0%"]);
    reader.get("/readyz").assert(200, &[]); // nothing comes anyway
}
