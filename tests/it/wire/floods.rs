//! Much of it, at once: what it costs, that it costs it no longer than it lasts, and that others are served.
//!
//! The figures are for a debug build. What an attack leaves behind is compared with what was there before it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::start;
use crate::harness::{Connection, OCI_INDEX, RESIDENT_MAX, Registry, Usage, eventually};

/// Asserts that what an attack took comes back. Idle threads stay for a while, the library's for 5 s and ours for
/// 10: one test waits for that.
#[track_caller]
fn assert_recovers(registry: &Registry, before: Usage) {
    eventually("the descriptors come back", || registry.usage().descriptors <= before.descriptors);
    assert!(registry.usage().resident < RESIDENT_MAX, "{:?}", registry.usage());
    registry.assert_alive();
    registry.assert_tagged_image();
}

impl Registry {
    /// Asserts that the image is still there, byte for byte.
    #[track_caller]
    fn assert_tagged_image(&self) {
        let manifest = std::fs::read(self.path("repositories/victim/_tags/v1")).unwrap();
        let answer = self.get("/v2/victim/manifests/v1");
        assert_eq!((answer.status, answer.body), (200, manifest));
    }
}

/// Runs `attack` in fifty threads, over and over, while others are served for a second and a half. Returns the
/// most memory that was used meanwhile, in MiB.
#[track_caller]
fn attack_by_fifty(registry: &Registry, attack: impl Fn(SocketAddr) + Sync) -> usize {
    let (over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let most = thread::scope(|scope| {
        let end = OnDrop(&over); // also when an assertion fails
        for _ in 0..50 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    attack(registry.address);
                    rounds.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let most = others_are_served(registry);
        drop(end);
        most
    });
    assert!(rounds.into_inner() >= 50);
    most
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// For a second and a half, asks for something again and again. Returns the most memory that was used meanwhile.
#[track_caller]
fn others_are_served(registry: &Registry) -> usize {
    let (begin, mut most) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_millis(1500) {
        registry.assert_served_at_once();
        registry.assert_tagged_image();
        most = most.max(registry.usage().resident);
    }
    most
}

/// Lengths up to 2^64 - 1, most of which no machine has.
fn lengths() -> impl Iterator<Item = u64> {
    let powers = (0..64).map(|power| 1u64 << power);
    powers.chain([1_000_000_000_000, i64::MAX as u64, u64::MAX - 1, u64::MAX])
}

#[test]
fn lengths_that_lie_cost_nothing() {
    let registry = start();
    let before = registry.usage();
    let head = |length: u64| {
        format!("PUT /v2/x/manifests/y HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nabc")
    };
    for length in lengths().chain(lengths()) {
        let mut client = Connection::open(registry.address);
        client.write(head(length).as_bytes());
        drop(client);
    }
    // Fifty at once, left open.
    let clients: Vec<Connection> = lengths()
        .skip(20)
        .map(|length| {
            let mut client = Connection::open(registry.address);
            client.write(head(length).as_bytes());
            client
        })
        .collect();
    assert!(clients.len() >= 48);
    registry.assert_alive();
    assert!(registry.usage().resident < RESIDENT_MAX, "{:?}", registry.usage());
    drop(clients);
    eventually("the threads end", || registry.usage().threads <= before.threads + 2);
    assert_recovers(&registry, before);
}

#[test]
fn versions_above_1_1_leave_nothing_behind() {
    let registry = start();
    let before = registry.usage();
    for _ in 0..200 {
        let mut client = Connection::open(registry.address);
        client.write(b"GET / HTTP/2.0\r\nContent-Length: 1000000000000000\r\n\r\n");
    }
    assert_recovers(&registry, before);
}

#[test]
fn endless_headers_from_fifty_clients_fill_no_memory() {
    let registry = start();
    let before = registry.usage();
    let endless = |address: SocketAddr| {
        let mut client = Connection::open(address);
        client.write(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n");
        let (line, mut sent) = ([b"X: ".as_slice(), &[b'x'; 65_000], b"\r\n"].concat(), 0);
        while client.write(&line) && sent < 100 {
            sent += 1; // until we are refused, or 6.5 MB
        }
    };
    let most = attack_by_fifty(&registry, endless);
    assert!(most < RESIDENT_MAX, "{most} MiB");
    assert_recovers(&registry, before);
}

#[test]
fn endless_lines_between_chunks_from_fifty_clients_fill_no_memory() {
    let registry = start();
    let before = registry.usage();
    let endless = |address: SocketAddr| {
        let mut client = Connection::open(address);
        client.write(b"PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let (digits, mut sent) = ([b'0'; 65_000], 0);
        while client.write(&digits) && sent < 100 {
            sent += 1;
        }
    };
    let most = attack_by_fifty(&registry, endless);
    assert!(most < RESIDENT_MAX, "{most} MiB");
    assert_recovers(&registry, before);
}

#[test]
fn requests_without_end_whose_answers_nobody_reads_are_held_up() {
    let registry = start();
    let clients: Vec<TcpFlood> = (0..10).map(|_| TcpFlood::begin(registry.address)).collect();
    let most = others_are_served(&registry);
    assert!(most < RESIDENT_MAX, "{most} MiB");
    drop(clients);
    registry.assert_alive();
}

/// A client that sends requests for as long as they are taken, and reads nothing.
struct TcpFlood {
    stream: std::net::TcpStream,
    thread: Option<thread::JoinHandle<()>>,
}

impl TcpFlood {
    fn begin(address: SocketAddr) -> Self {
        use std::io::Write;
        let stream = std::net::TcpStream::connect(address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let requests = "GET /v2/victim/manifests/v1 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n".repeat(1000);
        let thread = thread::spawn(move || while writer.write_all(requests.as_bytes()).is_ok() {});
        Self { stream, thread: Some(thread) }
    }
}

impl Drop for TcpFlood {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn fat_manifests_sent_and_taken_slowly_fill_no_memory() {
    let registry = start();
    let before = registry.usage();
    let mut fat = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#).into_bytes();
    fat.resize(8 << 20, b' ');
    registry.put_manifest("victim", "fat", OCI_INDEX, &fat).assert(201, &[]);
    let (last, most) = fat.split_last().unwrap();
    let senders: Vec<Connection> = (0..30)
        .map(|_| {
            let mut client = Connection::open(registry.address);
            let length = fat.len();
            let head =
                format!("PUT /v2/victim/manifests/fat HTTP/1.1\r\nHost: a\r\nContent-Length: {length}");
            client.write(format!("{head}\r\nContent-Type: text/plain\r\n\r\n").as_bytes());
            client.write(most);
            client
        })
        .collect();
    let readers: Vec<Connection> = (0..30)
        .map(|_| {
            let mut client = Connection::open(registry.address);
            client.write(b"GET /v2/victim/manifests/fat HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    assert!(others_are_served(&registry) < RESIDENT_MAX, "{:?}", registry.usage());
    for mut client in senders {
        client.write(&[*last]);
        client.read_answer("PUT").expect("an answer").assert_error(400, "MANIFEST_INVALID"); // by its type
    }
    for mut client in readers {
        assert!(client.read_answer("GET").expect("an answer").body == fat);
    }
    assert_recovers(&registry, before);
}
