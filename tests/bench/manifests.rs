//! A manifest goes out, as often as it can; also beside a thousand idle connections.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::Bench;
use crate::harness::client::{Client, get};
use crate::harness::content::Image;
use crate::harness::measure::{Sample, in_turn, median_of, ratio, sample};
use crate::harness::servers::{Kind, Server};
use crate::harness::table::{Bar, Line, mebibytes, rate, time};

const RATE_OF_DISTRIBUTION: Bar = Bar::at_least(10.0, "× distribution");
const RATE_OF_NGINX: Bar = Bar::at_least(0.7, "× nginx");

/// Beside idle connections, of the rate without them: "others not slowed by more than a tenth".
const RATE_BESIDE_IDLE: Bar = Bar::at_least(0.9, "× without them");
const MEMORY_OF_IDLE: Bar = Bar::at_most(64.0, "MiB more");

/// The manifest of an image with so many layers is about 1.4 KB.
const LAYERS: usize = 7;

/// How long requests are sent for one sample.
const SAMPLE_TIME: Duration = Duration::from_millis(1500);

/// The load generator's threads, and the connections that each of them works: as few threads as fill the
/// machine, so that it spends its time on requests and not on waking threads.
const THREADS: usize = 2;
const CONNECTIONS_PER_THREAD: usize = 8;

const IDLE_CONNECTIONS: usize = 1000;

const TAGGED: &str = "/v2/bench/manifests/latest";

pub fn by_tag(bench: &Bench) -> Vec<Line> {
    let kinds = [Kind::Ours, Kind::Distribution, Kind::Nginx];
    let servers = kinds.map(|kind| bench.start(kind));
    let [ours, other, nginx] = &servers;
    let image = Image::fresh(LAYERS, 64);
    for server in [ours, other] {
        server.client().push_image("bench", "latest", &image);
    }
    fs::write(nginx.folder().join("files/manifest"), &image.manifest).expect("room for the manifest");

    let [ours, other, nginx] = in_turn(
        bench.pairs,
        [&mut || flood(ours, TAGGED), &mut || flood(other, TAGGED), &mut || flood(nginx, "/manifest")],
    );
    let rates = |beside: &str| {
        Line::new(
            format!("manifest GET by tag, 16 connections, beside {beside}"),
            rate(median_of(&ours, Sample::rate)),
        )
        .distribution(rate(median_of(&other, Sample::rate)))
        .nginx(rate(median_of(&nginx, Sample::rate)))
    };
    let cpu = Sample::cpu_each;
    vec![
        rates("distribution").ratio_held_to(RATE_OF_DISTRIBUTION, ratio(&ours, &other, Sample::rate)),
        rates("nginx").ratio_held_to(RATE_OF_NGINX, ratio(&ours, &nginx, Sample::rate)),
        Line::new("manifest GET by tag, 16 connections: CPU for each", time(median_of(&ours, cpu)))
            .distribution(time(median_of(&other, cpu)))
            .nginx(time(median_of(&nginx, cpu)))
            .ratio(ratio(&ours, &nginx, cpu)),
    ]
}

pub fn beside_idle_connections(bench: &Bench) -> Vec<Line> {
    let ours = bench.start(Kind::Ours);
    ours.client().push_image("bench", "latest", &Image::fresh(LAYERS, 64));
    let mut memory = Vec::new();
    let alone = || flood(&ours, TAGGED);
    let mut beside = || {
        let before = ours.memory().resident;
        let idle: Vec<Client> = (0..IDLE_CONNECTIONS).map(|_| idle_connection(&ours)).collect();
        memory.push(ours.memory().resident - before);
        let sample = flood(&ours, TAGGED);
        drop(idle);
        sample
    };
    let [alone, beside] = in_turn(bench.pairs, [&mut { alone }, &mut beside]);
    let most = memory.into_iter().fold(0.0, f64::max);
    vec![
        Line::new("1,000 idle keep-alive connections: memory", format!("{} more", mebibytes(most)))
            .held_to(MEMORY_OF_IDLE, most),
        Line::new("manifest GET beside them", rate(median_of(&beside, Sample::rate)))
            .ratio_held_to(RATE_BESIDE_IDLE, ratio(&beside, &alone, Sample::rate)),
    ]
}

/// A connection that has been used once, and is open.
fn idle_connection(server: &Server) -> Client {
    let mut client = server.client();
    client.request("GET /v2/", b"", 200);
    client
}

/// Gets one path on 16 connections, as often as it goes.
fn flood(server: &Server, path: &str) -> Sample {
    let request = get(path);
    let connections = || (0..CONNECTIONS_PER_THREAD).map(|_| server.client()).collect();
    let mut all: Vec<Vec<Client>> = (0..THREADS).map(|_| connections()).collect();
    sample(server, || {
        let end = Instant::now() + SAMPLE_TIME;
        thread::scope(|scope| {
            let threads: Vec<_> =
                all.iter_mut().map(|clients| scope.spawn(|| flood_until(end, clients, &request))).collect();
            threads.into_iter().map(|thread| thread.join().expect("the load generator")).sum()
        })
    })
}

/// Sends a request on each connection, then takes the answers, and again. Returns how many.
fn flood_until(end: Instant, clients: &mut [Client], request: &[u8]) -> usize {
    let mut count = 0;
    while Instant::now() < end {
        clients.iter_mut().for_each(|client| client.send(request));
        for client in clients.iter_mut() {
            client.receive(200);
            count += 1;
        }
    }
    count
}
