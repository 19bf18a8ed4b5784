//! Parts of blobs go out: `Range` and `If-Range`.

use crate::harness::{Answer, Registry, sha256};

/// Of a blob `0123456789`.
fn get_range(registry: &Registry, headers: &[(&str, &str)]) -> Answer {
    registry.send("GET", &format!("/v2/a/blobs/{}", sha256(b"0123456789")), headers, b"")
}

#[test]
fn a_part_of_a_blob_goes_out_as_206() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"0123456789");
    for (range, part, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=0-", "0123456789", "bytes 0-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=8-99999999999999999999999999", "89", "bytes 8-9/10"),
        ("bytes=3-4, 90-99", "34", "bytes 3-4/10"),
    ] {
        let answer = get_range(&registry, &[("Range", range)]);
        let length = part.len().to_string();
        let headers = [
            ("Content-Range", content_range),
            ("Content-Length", length.as_str()),
            ("Content-Type", "application/octet-stream"),
            ("Docker-Content-Digest", &digest),
            ("ETag", &format!("\"{digest}\"")),
        ];
        answer.assert(206, &headers);
        assert_eq!(answer.body, part.as_bytes(), "{range}");
    }
}

#[test]
fn several_parts_go_out_as_one_multipart_body() {
    let registry = Registry::start();
    registry.push_blob("a", b"0123456789");
    let answer = get_range(&registry, &[("Range", "bytes=0-1, 4-5, -1")]);
    answer.assert(206, &[("Content-Length", &answer.body.len().to_string())]);
    let boundary =
        answer.header("Content-Type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, bytes: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n{bytes}"
        )
    };
    let parts = [part("bytes 0-1/10", "01"), part("bytes 4-5/10", "45"), part("bytes 9-9/10", "9")];
    assert_eq!(String::from_utf8_lossy(&answer.body), format!("{}\r\n--{boundary}--\r\n", parts.concat()));
    assert_eq!(answer.header("Content-Range"), None, "each part has its own");
}

#[test]
fn a_range_behind_the_end_is_416_and_says_how_long_the_blob_is() {
    let registry = Registry::start();
    registry.push_blob("a", b"0123456789");
    for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=11-12,99-"] {
        let answer = get_range(&registry, &[("Range", range)]);
        answer.assert_error(416, "SIZE_INVALID");
        answer.assert(416, &[("Content-Range", "bytes */10")]);
    }
}

#[test]
fn what_is_no_range_or_too_many_gets_the_whole_blob() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"0123456789");
    let thousands = format!("bytes={}", "0-0,".repeat(3000));
    for range in ["", "bytes=", "bytes=x-y", "items=0-1", "bytes 0-1", "bytes=0-8,1-9", "bytes=-", &thousands]
    {
        let answer = get_range(&registry, &[("Range", range)]);
        answer.assert(200, &[("Content-Length", "10")]);
        assert_eq!((answer.body.as_slice(), answer.header("Content-Range")), (&b"0123456789"[..], None));
    }
    let head = registry.send("HEAD", &format!("/v2/a/blobs/{digest}"), &[("Range", "bytes=0-1")], b"");
    head.assert(200, &[("Content-Length", "10")]);
}

#[test]
fn if_range_gives_the_part_only_of_the_same_blob() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"0123456789");
    let etag = format!("\"{digest}\"");
    let same = get_range(&registry, &[("Range", "bytes=2-3"), ("If-Range", &etag)]);
    same.assert(206, &[("Content-Range", "bytes 2-3/10")]);
    for other in
        [&format!("\"{}\"", sha256(b"other")), &format!("W/{etag}"), "Wed, 21 Oct 2015 07:28:00 GMT", ""]
    {
        let answer = get_range(&registry, &[("Range", "bytes=2-3"), ("If-Range", other)]);
        answer.assert(200, &[("Content-Length", "10")]);
        let answer = get_range(&registry, &[("Range", "bytes=20-"), ("If-Range", other)]);
        answer.assert(200, &[("Content-Length", "10")]);
    }
}

#[test]
fn an_empty_blob_has_no_ranges() {
    let registry = Registry::start();
    let path = format!("/v2/a/blobs/{}", registry.push_blob("a", b""));
    registry.get(&path).assert(200, &[("Content-Length", "0")]);
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
        let answer = registry.send("GET", &path, &[("Range", range)], b"");
        answer.assert(416, &[("Content-Range", "bytes */0")]);
    }
}
