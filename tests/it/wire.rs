//! Bytes over a socket, as an honest client does not send them, and what comes of it.
//!
//! - [`framing`]: where a message ends, and that nothing behind one that is refused is taken for a request
//! - [`heads`]: request lines, paths and headers
//! - [`bodies`]: bodies in chunks, cut off, waited for, unread
//! - [`exchanges`]: the order of requests on a connection, HEAD, versions, the end of a connection
//! - [`tls`]: clients that speak TLS
//! - [`floods`]: much of it, at once, and what it costs

mod bodies;
mod exchanges;
mod floods;
mod framing;
mod heads;
mod tls;

use std::net::Shutdown;

use crate::harness::{Answer, Connection, Registry};

/// What hides behind a message: a request that would be missed, if it were taken for one.
const HIDDEN: &str = "DELETE /v2/victim/manifests/v1 HTTP/1.1\r\nHost: hidden\r\n\r\n";

/// A registry with something to lose.
fn start() -> Registry {
    let registry = Registry::start();
    registry.push_image("victim", "v1", b"precious");
    registry
}

/// Sends bytes, ends our side, and reads all answers. Fails if the last of them is torn.
#[track_caller]
fn exchange(registry: &Registry, bytes: &[u8]) -> Vec<Answer> {
    let mut client = Connection::open(registry.address);
    client.write(bytes);
    let _ = client.stream.get_ref().shutdown(Shutdown::Write);
    let answers = std::iter::from_fn(|| client.read_answer("GET")).collect();
    assert_eq!(client.read_to_end().escape_ascii().to_string(), "");
    answers
}

/// Asserts that a message is refused, that the connection ends with the answer and that a request hidden behind
/// it was not seen: not answered, not logged, without effect.
#[track_caller]
fn check_refused(registry: &Registry, message: impl AsRef<[u8]>, status: u16, why: &str) {
    let message = message.as_ref();
    let shown = message[..message.len().min(300)].escape_ascii();
    let mut client = Connection::open(registry.address);
    client.write(&[message, HIDDEN.as_bytes()].concat());
    let answer = client.read_answer("GET").unwrap_or_else(|| panic!("no answer: {shown}"));
    assert_eq!(answer.status, status, "{shown}: {answer:?}");
    let text = answer.json()["errors"][0]["message"].to_string();
    assert!(text.contains(why), "{shown}: {text}");
    assert_eq!(answer.header("Connection"), Some("close"), "{shown}");
    assert_eq!(client.read_to_end().escape_ascii().to_string(), "", "{shown}");
    assert_nothing_hidden(registry, &shown.to_string());
}

/// Asserts that the hidden request was not seen.
#[track_caller]
fn assert_nothing_hidden(registry: &Registry, what: &str) {
    registry.assert_alive();
    assert!(!registry.log().contains("DELETE"), "{what}: {}", registry.log());
    assert!(registry.path("repositories/victim/_tags/v1").exists(), "{what}");
}
