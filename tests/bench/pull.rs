//! A large blob goes out.

use std::fs::{self, File};
use std::io::Write;

use crate::harness::Bench;
use crate::harness::client::{How, get};
use crate::harness::content::{Blob, Body};
use crate::harness::measure::{Sample, in_turn, median_of, ratio, sample};
use crate::harness::servers::{Kind, Server};
use crate::harness::table::{Bar, Line, time};

const WALL_OF_NGINX: Bar = Bar::at_most(1.10, "× nginx");
const WALL_OF_DISTRIBUTION: Bar = Bar::at_most(0.95, "× distribution");
const CPU_OF_NGINX: Bar = Bar::at_most(1.6, "× nginx");

const BLOB_BYTES: usize = 512 << 20;

/// How often it is pulled for one sample: CPU time is counted in hundredths of a second, of which one pull takes
/// too few.
const PULLS: usize = 4;

/// How nginx's file is written: as a registry would.
const FILE_PIECE_BYTES: usize = 256 << 10;

pub fn whole(bench: &Bench) -> Vec<Line> {
    let kinds = [Kind::Ours, Kind::Distribution, Kind::Nginx];
    let servers = kinds.map(|kind| bench.start(kind));
    let [ours, other, nginx] = &servers;
    let body = Body::new(BLOB_BYTES);
    // Each sample pulls another blob: where in memory one comes to lie makes more of a difference than any server.
    let pull = |server: &Server, blob: &Blob<'_>, path: &str| {
        let (request, mut client) = (get(path), server.client());
        sample(server, || {
            for _ in 0..PULLS {
                client.send(&request);
                assert_eq!(client.receive(200), blob.length());
            }
            PULLS
        })
    };
    let pull_pushed = |server: &Server| {
        let blob = body.fresh();
        server.client().push("bench", &blob, How::Put);
        let sample = pull(server, &blob, &format!("/v2/bench/blobs/{}", blob.digest));
        server.forget("bench", &blob.digest);
        sample
    };
    let pull_file = |server: &Server| {
        let (blob, file) = (body.fresh(), server.folder().join("files/blob"));
        let mut written = File::create(&file).expect("a file");
        blob.pieces(FILE_PIECE_BYTES).for_each(|piece| written.write_all(piece).expect("room for the blob"));
        let sample = pull(server, &blob, "/blob");
        fs::remove_file(file).expect("the file is there");
        sample
    };
    let [ours, other, nginx] = in_turn(
        bench.pairs,
        [&mut || pull_pushed(ours), &mut || pull_pushed(other), &mut || pull_file(nginx)],
    );
    let line = |what: &str, figure: fn(&Sample) -> f64| {
        Line::new(format!("pull 512 MiB: {what}"), time(median_of(&ours, figure)))
            .distribution(time(median_of(&other, figure)))
            .nginx(time(median_of(&nginx, figure)))
    };
    let (wall, cpu) = (Sample::wall_each, Sample::cpu_each);
    vec![
        line("wall, beside nginx", wall).ratio_held_to(WALL_OF_NGINX, ratio(&ours, &nginx, wall)),
        line("wall, beside distribution", wall)
            .ratio_held_to(WALL_OF_DISTRIBUTION, ratio(&ours, &other, wall)),
        line("CPU", cpu).ratio_held_to(CPU_OF_NGINX, ratio(&ours, &nginx, cpu)),
    ]
}
