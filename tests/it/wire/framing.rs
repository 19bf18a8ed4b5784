//! Where a message ends.

use super::{HIDDEN, assert_nothing_hidden, check_refused, exchange, start};
use crate::harness::{Connection, sha256};

/// A PUT with these header lines, and a body of five bytes.
fn put(headers: &str) -> String {
    let headers = headers.replace('\n', "\r\n");
    format!("PUT /v2/new/manifests/v1 HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\nabcde")
}

#[test]
fn a_length_that_is_not_a_number_of_bytes_is_refused() {
    let registry = start();
    for length in ["", "+5", "-5", "0x5", "5, 5", "5,5", "5 5", "5;", "5.0", "5e0", "five", "\u{665}"] {
        check_refused(&registry, put(&format!("Content-Length: {length}")), 400, "is not a number of bytes");
    }
}

#[test]
fn a_length_that_no_body_can_have_is_refused() {
    let registry = start();
    for length in [
        "35184372088833",                         // 2^45 + 1
        "9223372036854775807",                    // 2^63 - 1
        "9223372036854775808",                    // 2^63
        "18446744073709551615",                   // 2^64 - 1
        "18446744073709551616",                   // 2^64
        "18446744073709551621",                   // 2^64 + 5
        "99999999999999999999999999999999999999", // 2^126 or so
    ] {
        check_refused(&registry, put(&format!("Content-Length: {length}")), 400, "is more than");
    }
}

#[test]
fn two_lengths_are_refused_even_when_they_agree() {
    let registry = start();
    for headers in [
        "Content-Length: 5\nContent-Length: 5",
        "Content-Length: 5\nContent-Length: 6",
        "Content-Length: 0\nHost: b\ncontent-length: 5",
    ] {
        check_refused(&registry, put(headers), 400, "more than once");
    }
    for headers in [
        "Content-Length: 5\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nContent-Length: 5",
        "Content-Length: 5\nTransfer-Encoding: identity",
        "Content-Length: 5\nContent-Length: 5\nTransfer-Encoding: chunked",
    ] {
        check_refused(&registry, put(headers), 400, "exclude each other");
    }
}

#[test]
fn a_transfer_encoding_other_than_chunked_is_refused() {
    let registry = start();
    for coding in ["", "gzip", "identity", "chunked, chunked", "gzip, chunked", "chunked;q=1", "xchunked"] {
        check_refused(&registry, put(&format!("Transfer-Encoding: {coding}")), 400, "reads is chunked");
    }
    let twice = "Transfer-Encoding: chunked\nTransfer-Encoding: chunked";
    check_refused(&registry, put(twice), 400, "more than once");
    let old = put("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0");
    check_refused(&registry, old, 400, "HTTP/1.0 knows no Transfer-Encoding");
}

#[test]
fn names_that_only_look_like_a_length_are_refused_and_not_ignored() {
    let registry = start();
    for header in [
        "Content-Length : 5",
        " Content-Length: 5",
        "\tContent-Length: 5",
        "Transfer-Encoding\t: chunked",
        "Content Length: 5",
        "X: y\n Content-Length: 5", // a folded line
        "@Content-Length: 5",
        "@turn: 1",
    ] {
        check_refused(&registry, put(header), 400, "a name, a colon and a value");
    }
    for header in ["X: y\rContent-Length: 5", "X: y\0", "Content-Length: 5\r"] {
        check_refused(&registry, put(header), 400, "control character");
    }
    let line_feeds = put("Content-Length: 5").replace("\r\n", "\n");
    check_refused(&registry, line_feeds, 400, "must end with CR LF");
    let one_line_feed = put("Content-Length: 5").replace("Host: a\r\n", "Host: a\n");
    check_refused(&registry, one_line_feed, 400, "must end with CR LF");
}

#[test]
fn an_upgrade_is_not_done_and_hides_nothing() {
    let registry = start();
    let blob = b"upgraded";
    let (location, digest) = (registry.start_upload("a"), sha256(blob));
    let mut client = Connection::open(registry.address);
    let head = format!("PUT {location}?digest={digest} HTTP/1.1\r\nHost: a\r\n");
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    client.write(format!("{head}{upgrade}Transfer-Encoding: chunked\r\n\r\n8\r\n").as_bytes());
    client.write(
        b"upgraded\r\n0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    client.read_answer("PUT").expect("an answer").assert(201, &[]);
    client.read_answer("GET").expect("an answer").assert(200, &[]);
    registry.assert_holds("a", &digest, blob);
}

#[test]
fn a_body_shorter_than_its_length_is_refused_when_the_connection_ends() {
    let registry = start();
    for (length, body) in [(5, "abcd"), (2000, "abcde"), (1, "")] {
        let message = put(&format!("Content-Length: {length}")).replace("abcde", body);
        let answers = exchange(&registry, message.as_bytes());
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers[0].assert_error(400, "SIZE_INVALID");
        assert!(answers[0].json()["errors"][0]["message"].to_string().contains("ended before"));
    }
    assert!(!registry.path("repositories/new").exists());
}

#[test]
fn a_body_longer_than_its_length_is_followed_by_what_is_no_request() {
    let registry = start();
    for rest in ["cde", "cdefghijkl\r\n", "cde\r\n\r\n", &"x".repeat(5000)] {
        let message = put("Content-Length: 2").replace("abcde", &format!("ab{rest}\r\n\r\n{HIDDEN}"));
        let answers = exchange(&registry, message.as_bytes());
        assert_eq!(answers.len(), 2, "{answers:?}");
        answers[0].assert_error(400, "MANIFEST_INVALID");
        answers[1].assert_error(400, "SIZE_INVALID");
        assert_nothing_hidden(&registry, rest);
    }
}
