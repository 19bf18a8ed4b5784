//! Clients that speak TLS: docker, podman and skopeo try it first, whatever they are told.

use std::time::{Duration, Instant};

use super::start;
use crate::harness::{Connection, bytes};

/// A ClientHello: its record's and its message's head, version and random, and extensions to fill it up.
fn client_hello(length: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
    let [message_high, message_low] = u16::try_from(length - 4).unwrap().to_be_bytes();
    let mut hello = vec![0x16, 3, 1, high, low, 1, 0, message_high, message_low, 3, 3];
    hello.extend(bytes(1, length - 6));
    hello
}

#[test]
fn a_client_hello_is_answered_at_once_in_plain_text() {
    let registry = start();
    let hello = client_hello(1800);
    for sent in [&hello[..1], &hello[..5], &hello[..300], &hello] {
        let mut client = Connection::open(registry.address);
        client.write(sent);
        let begin = Instant::now();
        let answer = String::from_utf8(client.read_to_end()).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("This port speaks HTTP, not HTTPS."), "{answer}");
    }
    registry.assert_alive();
}

#[test]
fn tls_after_a_request_or_a_while_is_answered_as_well() {
    let registry = start();
    let mut client = Connection::open(registry.address);
    client.send("GET", "/v2/", &[], b"").assert(200, &[]);
    client.write(&client_hello(500));
    assert!(client.read_to_end().starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
}

#[test]
fn many_tls_clients_leave_nothing_behind() {
    let registry = start();
    let before = registry.usage();
    let hello = client_hello(1800);
    let clients: Vec<Connection> = (0..200)
        .map(|_| {
            let mut client = Connection::open(registry.address);
            client.write(&hello);
            client
        })
        .collect();
    for mut client in clients {
        assert!(client.read_to_end().starts_with(b"HTTP/1.1 400"));
    }
    crate::harness::eventually("the descriptors are free again", || {
        registry.usage().descriptors <= before.descriptors
    });
}
