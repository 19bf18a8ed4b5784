//! The head of a request, as it comes in pieces ([`container_registry::framing`]).
//!
//! Input: what a client sends. The byte 0xff stands for 4,000 more of the byte before it, which brings the limits
//! into reach of short inputs.
#![no_main]

use container_registry::error::Error;
use container_registry::framing::{
    self, BODY_BYTES_MAX, Framing, HEAD_BYTES_MAX, HEADER_LINES_MAX, Head, Message, TURN_HEADER,
};
use httparse::{Request, Status};
use libfuzzer_sys::fuzz_target;

const TURN: u64 = 7;
const LONG: usize = 4_000;

fuzz_target!(|input: &[u8]| {
    let bytes = stretched(input);
    let whole = arrived(&bytes, bytes.len());
    for piece in [1, 17, 4096].into_iter().filter(|piece| bytes.len() < piece * LONG) {
        assert_eq!(arrived(&bytes, piece), whole, "in pieces of {piece}");
    }
    check_shown(&Head::refused(&bytes, TURN, Error::Panicked).shown);
    if let Ok(Some(length)) = whole {
        let head = &bytes[..length];
        assert!(length <= HEAD_BYTES_MAX && head.ends_with(b"\r\n\r\n"));
        assert!(!head[..length - 1].windows(4).any(|end| end == b"\r\n\r\n"), "it ends where it ends first");
        check_head(head);
    }
});

fn stretched(input: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for byte in input {
        match (byte, bytes.last().copied()) {
            (0xff, Some(last)) if bytes.len() < 2 * HEAD_BYTES_MAX => bytes.resize(bytes.len() + LONG, last),
            _ => bytes.push(*byte),
        }
    }
    bytes
}

/// What is made of bytes that arrive in pieces. It must not depend on how they are cut: whoever sends them does
/// not decide that. Which refusal it is may.
fn arrived(bytes: &[u8], piece: usize) -> Result<Option<usize>, ()> {
    let mut searched = 0;
    loop {
        let end = bytes.len().min(searched + piece.max(1));
        match framing::head_length(&bytes[..end], searched) {
            Ok(None) if end == bytes.len() => return Ok(None),
            Ok(None) => searched = end,
            Ok(found) => return Ok(found),
            Err(error) => return Err(check_refusal(&error)),
        }
    }
}

fn check_refusal(error: &Error) {
    assert!(matches!(error.status(), 400 | 414), "{error}");
}

/// What the HTTP library gets to see is a request without headers of its sender's.
fn check_shown(shown: &[u8]) {
    let shown = str::from_utf8(shown).unwrap();
    assert!(shown.bytes().all(|b| b.is_ascii_graphic() || b" \r\n".contains(&b)), "{shown:?}");
    let line = shown.strip_suffix(&format!("\r\n{TURN_HEADER}: {TURN}\r\n\r\n")).expect("our header, and no other");
    let [method, target, "HTTP/1.1"] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{shown:?}") };
    assert!(!method.is_empty() && !target.is_empty() && !line.contains(['\r', '\n']), "{shown:?}");
}

/// Whatever we take, httparse takes, and finds the same in it.
fn check_head(bytes: &[u8]) {
    let head = Head::parse(bytes, TURN);
    check_shown(&head.shown);
    let message = match head.message {
        Ok(message) => message,
        Err(error) => return check_refusal(&error),
    };
    let mut room = [httparse::EMPTY_HEADER; HEADER_LINES_MAX];
    let mut request = Request::new(&mut room);
    assert_eq!(request.parse(bytes), Ok(Status::Complete(bytes.len())), "{}", bytes.escape_ascii());
    assert_eq!(message, judged(&request), "{}", bytes.escape_ascii());

    let expect = format!("{} {} HTTP/1.1\r\n", request.method.unwrap(), request.path.unwrap());
    assert!(head.shown.starts_with(expect.as_bytes()));
    let text = |value: &[u8]| -> String {
        value.iter().map(|&b| if b.is_ascii() { char::from(b) } else { '?' }).collect()
    };
    let expect: Vec<_> = request.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect();
    let found: Vec<_> = head.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(found, expect, "{}", bytes.escape_ascii());
}

/// The message that a request is, by RFC 9112, from headers that somebody else has read.
fn judged(request: &Request<'_, '_>) -> Message {
    let values = |name: &str| -> Vec<String> {
        let headers = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        headers.map(|header| String::from_utf8_lossy(header.value).to_ascii_lowercase()).collect()
    };
    let (lengths, codings, old) =
        (values("content-length"), values("transfer-encoding"), request.version == Some(0));
    let framing = match (&lengths[..], &codings[..]) {
        ([], []) => Framing::None,
        ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => {
            Framing::Length(length.parse().unwrap())
        }
        ([], [coding]) if coding == "chunked" && !old => Framing::Chunked,
        other => panic!("should have been refused: {other:?}"),
    };
    assert!(!matches!(framing, Framing::Length(length) if length > BODY_BYTES_MAX));
    match &values("host")[..] {
        [] => assert!(old, "HTTP/1.1 without Host"),
        [host] => assert!(!host.contains(|c: char| !c.is_ascii_graphic() || "/@?#\"\\".contains(c)), "{host}"),
        hosts => panic!("should have been refused: {hosts:?}"),
    }
    let connection = values("connection").join(",");
    let has = |option: &str| connection.split(',').any(|given| given.trim_matches([' ', '\t']) == option);
    Message {
        framing,
        old,
        expects_continue: !old && values("expect").iter().any(|value| value == "100-continue"),
        last: has("close") || old && !has("keep-alive"),
    }
}
