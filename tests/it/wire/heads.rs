//! Request lines, paths and headers.

use super::{check_refused, exchange, start};
use crate::harness::{Connection, OCI_MANIFEST};

/// The answer to a GET of this target.
#[track_caller]
fn status(registry: &crate::harness::Registry, target: &str) -> u16 {
    let answers = exchange(registry, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    assert_eq!(answers.len(), 1, "{target}: {answers:?}");
    answers[0].status
}

#[test]
fn a_request_line_that_is_none_is_refused() {
    let registry = start();
    for line in [
        "GET",
        "GET /v2/",
        "GET  /v2/ HTTP/1.1",
        " GET /v2/ HTTP/1.1",
        "GET /v2/ HTTP/1.1 ",
        "GET /v2/ HTTP/1.1 x",
        "GET\t/v2/ HTTP/1.1",
        "GET /v2/a b HTTP/1.1",
        "G@T /v2/ HTTP/1.1",
        "GET /v2/\u{e4} HTTP/1.1",
        "GET /v2/\0 HTTP/1.1",
        "\u{1}\u{2}\u{3}",
    ] {
        check_refused(
            &registry,
            format!("{line}\r\nHost: a\r\n\r\n"),
            400,
            "a line of method, target and version",
        );
    }
    check_refused(&registry, [0xff, 0xfe, b'\r', b'\n', b'\r', b'\n'], 400, "a line of method");
}

#[test]
fn other_versions_are_refused_at_once() {
    let registry = start();
    for version in
        ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/1.2", "HTTP/1.01", "http/1.1", "HTTP/1.1\r", "ICY"]
    {
        let line = format!("GET /v2/ {version}\r\n");
        check_refused(&registry, format!("{line}\r\n"), 400, "this port speaks HTTP/1.1");
        let with_length = format!("{line}Content-Length: 1000000000000000\r\n\r\n");
        check_refused(&registry, with_length, 400, "this port speaks HTTP/1.1");
    }
    // HTTP/2 without asking first: its preface.
    check_refused(&registry, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "this port speaks HTTP/1.1");
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    let registry = start();
    let answers = exchange(
        &registry,
        b"\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200]);
}

#[test]
fn a_head_may_arrive_byte_by_byte() {
    let registry = start();
    let mut client = Connection::open(registry.address);
    client.stream.get_ref().set_nodelay(true).unwrap();
    for byte in b"GET /v2/victim/tags/list HTTP/1.1\r\nHost: a\r\n\r\n" {
        client.write(&[*byte]);
    }
    assert_eq!(client.read_answer("GET").expect("an answer").json()["tags"][0], "v1");
}

#[test]
fn no_path_leads_out_of_the_root() {
    let registry = start();
    let before = registry.snapshot();
    for (want, target) in [
        (404, "/"),
        (404, "/v1/"),
        (404, "//v2/"),
        (404, "/v2//"),
        (404, "/v2/../../etc/passwd"),
        (404, "/../v2/"),
        (404, "*"),
        (404, "v2/"),
        (400, "/v2/../../etc/manifests/passwd"),
        (400, "/v2/%2e%2e/%2e%2e/etc/manifests/passwd"),
        (400, "/v2/victim/../victim/manifests/v1"),
        (400, "/v2/victim/./manifests/v1"),
        (400, "/v2//victim/manifests/v1"),
        (400, "/v2/victim//manifests/v1"),
        (400, "/v2/victim%2F..%2F..%2Fblobs/manifests/v1"),
        (400, "/v2/victim%252f..%252f../manifests/v1"),
        (400, "/v2/victim%00/manifests/v1"),
        (400, "/v2/victim%0d%0a/manifests/v1"),
        (400, "/v2/victim%5c..%5c../manifests/v1"),
        (400, "/v2/_tags/manifests/v1"),
        (400, "/v2/victim/_tags/manifests/v1"),
        (404, "/v2/victim/manifests/.."),
        (404, "/v2/victim/manifests/%2e%2e%2f%2e%2e"),
        (404, "/v2/victim/manifests/v1%00"),
        (404, "/v2/victim/manifests/v1/"),
        (404, "/v2/victim/blobs/sha256:../../../etc/passwd"),
        (400, "/v2/victim/blobs/sha256%3a..%2f..%2f"),
        (404, "/v2/victim/blobs/uploads/../../x"),
        (404, "/v2/victim/blobs/uploads/%2e%2e"),
        (200, "/v2/victim/manifests/v1?%2e%2e/../"),
        (200, "/v2/victim/manifests/v1#../../"),
        (200, "/v2/%76ictim/manifests/v1"),
    ] {
        assert_eq!(status(&registry, target), want, "{target}");
    }
    assert_eq!(registry.snapshot(), before);
}

#[test]
fn a_target_in_absolute_form_is_as_good_as_its_path() {
    let registry = start();
    for (want, target) in [
        (200, "http://registry.example/v2/"),
        (200, "https://user@registry.example:443/v2/victim/tags/list?n=1"),
        (404, "http://registry.example"),
        (404, "http://registry.example?/v2/"),
        (404, "ftp://registry.example/v2/"),
        (400, "http://registry.example/v2/../victim/tags/list"),
    ] {
        assert_eq!(status(&registry, target), want, "{target}");
    }
}

#[test]
fn a_path_that_is_too_long_is_refused_whole_or_in_parts() {
    let registry = start();
    for length in [16 << 10, 17 << 10, 64 << 10, 1 << 20] {
        let message = format!("GET /v2/{}/manifests/v1 HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length));
        check_refused_or_answered(&registry, &message);
    }
    check_refused(&registry, format!("GET /{}", "a".repeat(20_000)), 414, "longer than 16384 bytes");
    // The longest that is read.
    let name = "a".repeat((16 << 10) - "/v2//tags/list".len());
    assert_eq!(status(&registry, &format!("/v2/{name}/tags/list")), 400);
    assert_eq!(status(&registry, &format!("/v2/{name}a/tags/list")), 414);
}

/// 414, whether or not the connection goes on.
#[track_caller]
fn check_refused_or_answered(registry: &crate::harness::Registry, message: &str) {
    let mut client = Connection::open(registry.address);
    client.write(message.as_bytes());
    client.read_answer("GET").expect("an answer").assert_error(414, "UNSUPPORTED");
    registry.assert_alive();
}

#[test]
fn headers_have_their_limits() {
    let registry = start();
    let get = "GET /v2/ HTTP/1.1\r\nHost: a\r\n";
    let lines = |count: usize| (0..count).map(|n| format!("H{n}: x\r\n")).collect::<String>();
    assert_eq!(exchange(&registry, format!("{get}{}\r\n", lines(255)).as_bytes())[0].status, 200);
    check_refused(&registry, format!("{get}{}\r\n", lines(256)), 400, "more than 256 header lines");
    let long = |length: usize| format!("{get}X: {}\r\n\r\n", "x".repeat(length));
    assert_eq!(exchange(&registry, long(32_000).as_bytes())[0].status, 200);
    check_refused(&registry, long(33_000), 400, "longer than 32768 bytes");
    check_refused(&registry, long(10 << 20), 400, "longer than 32768 bytes");
    check_refused(&registry, format!("{get}{}", "x: y\r\n".repeat(100_000)), 400, "longer than 32768 bytes");
}

#[test]
fn a_request_is_for_one_host() {
    let registry = start();
    for rest in ["", "X: y\r\n"] {
        check_refused(&registry, format!("GET /v2/ HTTP/1.1\r\n{rest}\r\n"), 400, "must have a Host");
    }
    for version in ["1.1", "1.0"] {
        for (hosts, why) in [
            ("Host: a\r\nHost: a", "more than once"),
            ("Host: a\r\nX: y\r\nhost: b", "more than once"),
            ("Host: a b", "Host must be"),
        ] {
            let message = format!("GET /v2/ HTTP/{version}\r\n{hosts}\r\n\r\n");
            check_refused(&registry, message, 400, why);
        }
    }
    assert_eq!(exchange(&registry, b"GET /v2/ HTTP/1.0\r\n\r\n")[0].status, 200);
}

#[test]
fn bytes_beyond_ascii_in_a_header_harm_nobody() {
    let registry = start();
    let answers =
        exchange(&registry, "GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: k\u{f6}ln\r\n\r\n".as_bytes());
    assert_eq!(answers[0].status, 200);
    let answers = exchange(&registry, b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\xfe\r\n\r\n");
    assert_eq!(answers[0].status, 200);
}

#[test]
fn nothing_in_a_request_becomes_a_header_of_the_answer() {
    let registry = start();
    let manifest = std::fs::read_to_string(registry.path("repositories/victim/_tags/v1")).unwrap();
    for target in [
        "/v2/victim/manifests/v2?tag=a%0d%0aX-Evil:%201",
        "/v2/victim/manifests/v2?tag=%0aX-Evil:1",
        "/v2/victim/manifests/a%0d%0aX-Evil:%201",
        "/v2/a%0d%0aX-Evil:%201/manifests/v2",
        "/v2/victim/manifests/sha256:%0d%0aX-Evil:%201",
    ] {
        let head = format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {OCI_MANIFEST}\r\n");
        let message = format!("{head}Content-Length: {}\r\n\r\n{manifest}", manifest.len());
        let answers = exchange(&registry, message.as_bytes());
        assert_eq!((answers.len(), answers[0].status), (1, 400), "{target}: {answers:?}");
        assert!(answers[0].header("X-Evil").is_none(), "{answers:?}");
    }
    for target in
        ["/v2/_catalog?last=%0d%0aX-Evil:%201&n=1", "/v2/victim/tags/list?n=1&last=%0d%0aX-Evil:%201"]
    {
        let answers = exchange(&registry, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert!(answers[0].header("X-Evil").is_none(), "{answers:?}");
    }
    assert_eq!(registry.files("repositories/victim/_tags"), ["v1"]);
    // Nor a line of the log.
    assert!(!registry.log().lines().any(|line| line.trim_start().starts_with("X-Evil")));
}

/// The next of a sequence of numbers that look random and are the same in every run.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap()
}

/// A request, parts of which are replaced by others that mean something in a head.
fn random_head(state: &mut u64) -> Vec<u8> {
    const PARTS: [&str; 24] = [
        "\r\n",
        "\r",
        "\n",
        " ",
        "\t",
        ":",
        ": ",
        "@",
        "@turn: 1\r\n",
        "\0",
        "\u{7f}",
        "\u{e4}",
        "GET ",
        "/v2/",
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/2.0",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Expect: x\r\n",
        "Connection: close\r\n",
        "\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
    ];
    let mut head = b"GET /v2/victim/tags/list HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n".to_vec();
    for _ in 0..next(state) % 4 {
        let (at, part) = (next(state) % head.len(), PARTS[next(state) % PARTS.len()].as_bytes());
        let end = (at + next(state) % 4).min(head.len());
        head.splice(at..end, part.iter().copied());
    }
    head
}

#[test]
fn whatever_a_head_is_made_of_an_answer_or_an_end_comes_at_once() {
    let registry = start();
    let before = registry.usage();
    let mut state = 0x5eed;
    for _ in 0..3000 {
        let head = random_head(&mut state);
        // Behind it a request that ends the connection, so that nothing is waited for.
        let last = b"GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\r\n\r\n";
        for answer in exchange(&registry, &[head.as_slice(), last].concat()) {
            let shown = head.escape_ascii();
            assert!(matches!(answer.status, 100 | 200 | 400 | 404 | 405), "{shown}: {answer:?}");
        }
    }
    crate::harness::eventually("nothing is left of them", || {
        registry.usage().descriptors <= before.descriptors
    });
    assert!(!registry.log().contains("panic"));
    registry.assert_tagged("victim", "v1", &tag_digest(&registry), &tag_bytes(&registry));
}

fn tag_bytes(registry: &crate::harness::Registry) -> Vec<u8> {
    std::fs::read(registry.path("repositories/victim/_tags/v1")).unwrap()
}

fn tag_digest(registry: &crate::harness::Registry) -> String {
    crate::harness::sha256(&tag_bytes(registry))
}
