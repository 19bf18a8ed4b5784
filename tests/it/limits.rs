//! What is too large or does not come whole is refused, and costs nothing.

use std::net::Shutdown;

use crate::harness::{Connection, OCI_INDEX, Registry, sha256};

const LIMIT: usize = 8 << 20;

/// An index without children, filled up with spaces.
fn index(length: usize) -> Vec<u8> {
    let mut document =
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#).into_bytes();
    document.resize(length, b' ');
    document
}

#[test]
fn a_manifest_may_have_8_mib_and_not_a_byte_more() {
    let registry = Registry::start();
    let document = index(LIMIT);
    registry.put_manifest("a", "large", OCI_INDEX, &document).assert(201, &[]);
    registry.assert_tagged("a", "large", &sha256(&document), &document);
    let document = index(LIMIT + 1);
    let headers = [("Content-Type", OCI_INDEX)];
    for is_chunked in [false, true] {
        let mut client = Connection::open(registry.address);
        let answer = if is_chunked {
            client.send_chunked("PUT", "/v2/new/manifests/v1", &headers, &[&document])
        } else {
            client.send("PUT", "/v2/new/manifests/v1", &headers, &document)
        };
        answer.assert_error(413, "MANIFEST_INVALID");
        assert_eq!(answer.json()["errors"][0]["detail"]["limit"], LIMIT);
    }
    assert_eq!((registry.files("blobs").len(), registry.path("repositories/new").exists()), (1, false));
    registry.assert_no_uploads();
}

#[test]
fn the_limit_of_manifests_can_be_set() {
    let registry = Registry::start_with(&["--manifest-bytes", "1KiB"]);
    registry.put_manifest("a", "v1", OCI_INDEX, &index(1024)).assert(201, &[]);
    registry.put_manifest("a", "v2", OCI_INDEX, &index(1025)).assert_error(413, "MANIFEST_INVALID");
    assert_eq!(registry.files("repositories/a/_tags"), ["v1"]);
}

#[test]
fn a_huge_announced_length_is_refused_before_the_body_comes() {
    let registry = Registry::start();
    let before = registry.snapshot();
    let mut client = Connection::open(registry.address);
    client.write(b"PUT /v2/a/manifests/v2 HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000000\r\n\r\n{");
    client.read_answer("PUT").expect("an answer").assert_error(413, "MANIFEST_INVALID");
    assert_eq!(registry.snapshot(), before);
    registry.assert_alive();
}

#[test]
fn a_manifest_that_breaks_off_leaves_nothing() {
    let registry = Registry::start();
    let before = registry.snapshot();
    let document = String::from_utf8(index(4000)).unwrap();
    for rest in [
        format!("Content-Length: 9000\r\n\r\n{document}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}", document.len(), &document[..40]),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{document}\r\n", document.len()),
    ] {
        let mut client = Connection::open(registry.address);
        let head =
            format!("PUT /v2/new/manifests/v1 HTTP/1.1\r\nHost: test\r\nContent-Type: {OCI_INDEX}\r\n");
        client.write(format!("{head}{rest}").as_bytes());
        client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
        let answer = client.read_answer("PUT").expect("an answer");
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(registry.snapshot(), before);
    }
}
