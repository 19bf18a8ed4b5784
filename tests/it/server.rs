//! Many clients at once, slow ones and silent ones: how long they may stay, and that others are served meanwhile.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Connection, Registry, bytes, eventually, sha256};

/// Waits for the other side to close, and returns what came before and how long it took.
#[track_caller]
fn wait_for_end(client: &mut Connection) -> (Vec<u8>, Duration) {
    let begin = Instant::now();
    let mut bytes = Vec::new();
    client.stream.read_to_end(&mut bytes).expect("an end, not a reset and not 20 s of silence");
    (bytes, begin.elapsed())
}

/// As many connections as asked for, or fewer where `ulimit -n` is low: this process keeps half of its descriptors
/// for other tests, and the registry has room for a fifth of its own.
fn as_many_as(wanted: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let limit = |column| line.split_whitespace().nth(column).unwrap().parse().unwrap_or(usize::MAX);
    let (soft, hard) = (limit(3), limit(4)); // the registry raises its own to the hard one
    wanted.min(soft / 2).min(hard / 5 - 10)
}

// ---- many at once

#[test]
fn hundreds_of_slow_uploads_delay_nobody_and_their_threads_end_again() {
    let registry = Registry::start();
    let before = registry.usage();
    let blob: Vec<u8> = (0..16).collect();
    let mut uploads: Vec<Connection> = (0..as_many_as(600))
        .map(|_| {
            let location = registry.start_upload("a");
            let target = format!("{location}?digest={}", sha256(&blob));
            registry.begin("PUT", &target, blob.len(), &blob[..1])
        })
        .collect();
    for byte in &blob[1..] {
        for upload in &mut uploads {
            upload.write(&[*byte]);
        }
        if byte % 8 == 0 {
            registry.assert_served_at_once();
        }
    }
    for upload in &mut uploads {
        upload.read_answer("PUT").expect("an answer").assert(201, &[]);
    }
    registry.assert_holds("a", &sha256(&blob), &blob);
    drop(uploads);
    eventually("the surplus threads end", || registry.usage().threads <= before.threads + 2);
    registry.assert_alive();
}

#[test]
fn clients_that_come_at_the_same_moment_are_all_served() {
    let registry = Registry::start();
    for _ in 0..20 {
        // All connected before the first has sent anything, and none leaves before all are answered.
        let mut clients: Vec<Connection> = (0..40).map(|_| Connection::open(registry.address)).collect();
        for client in &mut clients {
            client.write(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let begin = Instant::now();
        for client in &mut clients {
            client.read_answer("GET").expect("an answer").assert(200, &[]);
        }
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
}

#[test]
fn thousands_of_half_open_requests_delay_nobody() {
    let registry = Registry::start();
    let before = registry.usage();
    let count = as_many_as(2000);
    let clients: Vec<Connection> = (0..count)
        .map(|n| {
            let mut client = Connection::open(registry.address);
            client.write(b"GET /v2/ HTTP/1.1\r\nHost: half");
            if n % 100 == 0 {
                registry.assert_served_at_once();
            }
            client
        })
        .collect();
    eventually("all are accepted", || registry.usage().descriptors >= 2 * count);
    registry.assert_served_at_once();
    assert!(registry.usage().resident < 32 + count / 20, "{:?}", registry.usage());
    drop(clients);
    eventually("the descriptors are free again", || registry.usage().descriptors <= before.descriptors);
    registry.assert_served_at_once();
}

#[test]
fn two_hundred_readers_that_take_nothing_delay_nobody_and_are_given_up() {
    let registry = Registry::start_with(&["--write-timeout", "1s"]);
    let before = registry.usage();
    let blob = registry.push_blob("a", &bytes(1, 16 << 20)); // more than the kernel keeps for a connection
    let mut clients: Vec<Connection> = (0..200)
        .map(|_| {
            let mut client = Connection::open(registry.address);
            client.write(format!("GET /v2/a/blobs/{blob} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            client
        })
        .collect();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(900) {
        registry.assert_served_at_once();
    }
    eventually("they are given up", || registry.usage().descriptors <= before.descriptors);
    // The kernel has kept little of the answers, and the log says how much was taken.
    let lines = || registry.log().lines().filter(|line| line.contains("GET /v2/a/blobs/")).count();
    eventually("all are in the log", || lines() == 200);
    for line in registry.log().lines().filter(|line| line.contains("GET /v2/a/blobs/")) {
        let (_, rest) = line.split_once(" out=").unwrap();
        let sent: usize = rest.split(' ').next().unwrap().parse().unwrap();
        assert!(sent < 5 << 20, "{line}");
    }
    // None of them can take what it has for the whole.
    for client in clients.iter_mut().step_by(20) {
        assert!(client.read_answer("GET").is_none());
    }
    registry.assert_alive();
}

// ---- the silent and the slow

#[test]
fn a_connection_without_a_request_ends_when_its_time_is_over() {
    let registry = Registry::start_with(&["--idle-timeout", "500ms"]);
    let mut silent = Connection::open(registry.address);
    let mut idle = Connection::open(registry.address);
    idle.send("GET", "/v2/", &[], b"").assert(200, &[]);
    let mut half = Connection::open(registry.address);
    half.write(b"GET /v2/ HTTP/1.1\r\nHost: half");
    for client in [&mut silent, &mut idle, &mut half] {
        let (bytes, took) = wait_for_end(client);
        assert!(bytes.is_empty() && took < Duration::from_secs(5), "{took:?} {}", bytes.escape_ascii());
    }
}

#[test]
fn a_head_that_trickles_in_has_no_more_time_than_silence() {
    let registry = Registry::start_with(&["--idle-timeout", "500ms"]);
    let mut client = Connection::open(registry.address);
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    let trickle = thread::spawn(move || {
        use std::io::Write;
        let _ = writer.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n");
        while writer.write_all(b"X: y\r\n").is_ok() {
            thread::sleep(Duration::from_millis(20)); // the trickle itself
        }
    });
    let begin = Instant::now();
    let mut byte = [0];
    let end = client.stream.get_mut().read(&mut byte); // an end, or a reset because of what trickled in late
    assert!(
        matches!(end, Ok(0) | Err(_)) && begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    trickle.join().unwrap();
}

#[test]
fn a_body_that_stops_coming_is_given_up_and_what_came_of_a_chunk_is_kept() {
    let registry = Registry::start_with(&["--read-timeout", "500ms"]);
    let blob = bytes(1, 3000);
    for coding in ["Content-Length: 3000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nbb8\r\n"] {
        let location = registry.start_upload("a");
        let mut client = Connection::open(registry.address);
        client.write(format!("PATCH {location} HTTP/1.1\r\nHost: a\r\n{coding}").as_bytes());
        client.write(&blob[..1000]);
        let answer = client.read_answer("PATCH").expect("an answer");
        answer.assert_error(408, "SIZE_INVALID");
        assert_eq!(answer.header("Connection"), Some("close"));
        wait_for_end(&mut client);
        registry.get(&location).assert(204, &[("Range", "0-999")]);
        registry.patch(&location, "1000-2999", &blob[1000..]).assert(202, &[]);
        registry.finish(&location, &sha256(&blob), b"").assert(201, &[]);
    }
    registry.assert_holds("a", &sha256(&blob), &blob);
}

#[test]
fn a_body_that_is_slow_but_steady_arrives() {
    let registry = Registry::start_with(&["--read-timeout", "1s", "--idle-timeout", "500ms"]);
    let blob = bytes(1, 2000);
    let target = format!("{}?digest={}", registry.start_upload("a"), sha256(&blob));
    let mut client = registry.begin("PUT", &target, blob.len(), &blob[..1]);
    for part in blob[1..].chunks(200) {
        thread::sleep(Duration::from_millis(150)); // slow, and longer in all than any limit
        client.write(part);
    }
    client.read_answer("PUT").expect("an answer").assert(201, &[]);
    client.send("GET", "/v2/", &[], b"").assert(200, &[]); // and the connection goes on
}

#[test]
fn a_body_or_an_answer_that_trickles_is_given_up() {
    let registry = Registry::start_with(&["--read-timeout", "500ms", "--write-timeout", "500ms"]);
    let location = registry.start_upload("a");
    let mut sender = registry.begin("PATCH", &location, 10_000, b"x");
    let begin = Instant::now();
    let mut writer = sender.stream.get_ref().try_clone().unwrap();
    let trickle = thread::spawn(move || {
        use std::io::Write;
        while begin.elapsed() < Duration::from_secs(15) && writer.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50)); // never silent for long
        }
    });
    sender.read_answer("PATCH").expect("an answer").assert_error(408, "SIZE_INVALID");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    drop(sender);
    trickle.join().unwrap();

    let blob = registry.push_blob("a", &bytes(1, 16 << 20));
    let mut reader = Connection::open(registry.address);
    reader.write(format!("GET /v2/a/blobs/{blob} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < Duration::from_secs(15) {
        match reader.stream.get_mut().read(&mut [0; 100]) {
            Ok(0) | Err(_) => break,
            Ok(some) => count += some,
        }
        thread::sleep(Duration::from_millis(20));
    }
    let took = |log: String| log.lines().any(|line| line.contains("GET /v2/a/blobs/"));
    eventually("the answer is given up", || took(registry.log()));
    assert!(count < 100_000, "it was still reading");
}

#[test]
fn an_answer_may_take_longer_than_a_connection_may_be_idle() {
    let registry = Registry::start_with(&["--idle-timeout", "300ms"]);
    let content = bytes(1, 16 << 20);
    let blob = registry.push_blob("a", &content);
    let mut client = Connection::open(registry.address);
    client.write(format!("GET /v2/a/blobs/{blob} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    thread::sleep(Duration::from_millis(900)); // longer than that, with most of the answer still to come
    assert!(client.read_answer("GET").expect("an answer").body == content);
    client.send("GET", "/v2/", &[], b"").assert(200, &[]);
}

// ---- a full house

#[test]
fn when_descriptors_run_out_clients_wait_and_are_served_when_others_leave() {
    let registry = Registry::start_limited("ulimit -n 64", &[]);
    registry.push_image("a", "v1", b"layer");
    for _ in 0..3 {
        let clients: Vec<Connection> = (0..200)
            .map(|_| {
                let mut client = Connection::open(registry.address);
                client.write(b"GET /v2/ HTTP/1.1\r\nHost: half");
                client
            })
            .collect();
        eventually("there is no more room", || registry.log().contains("no room for a further connection"));
        assert!(registry.usage().descriptors < 64, "{:?}", registry.usage());
        drop(clients);
        eventually("all have left", || registry.usage().descriptors < 10);
        registry.assert_served_at_once();
        registry.push_image("a", "v1", b"layer");
    }
}

#[test]
fn when_the_house_is_full_those_who_wait_longest_make_room() {
    let registry = Registry::start_limited("ulimit -n 64", &[]);
    let mut idle: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(registry.address).unwrap()).collect();
    // They stay, and for two minutes they may. Somebody with a request is served all the same.
    let begin = Instant::now();
    registry.push_image("a", "v1", b"layer");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    idle[0].set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(idle[0].read(&mut [0]).unwrap(), 0, "the first who came was asked to leave");
}

#[test]
fn when_the_house_is_full_of_requests_the_slowest_make_room() {
    let registry = Registry::start_limited("ulimit -n 64", &[]);
    let target = format!("/v2/a/blobs/uploads/?digest={}", sha256(b""));
    let mut slow = Vec::new();
    eventually("there is no more room", || {
        let mut client = Connection::open(registry.address);
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx");
        client.write(head.as_bytes());
        slow.push(client);
        registry.log().contains("no room for a further connection")
    });
    // For a minute they may be silent. Somebody else has to wait, but not that long.
    let begin = Instant::now();
    registry.push_image("a", "v1", b"layer");
    assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
    drop(slow);
}
