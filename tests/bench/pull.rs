//! A large blob goes out.

use std::fs;

use crate::harness::Bench;
use crate::harness::client::{How, get};
use crate::harness::content::Body;
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

pub fn whole(bench: &Bench) -> Vec<Line> {
    let kinds = [Kind::Ours, Kind::Distribution, Kind::Nginx];
    let servers = kinds.map(|kind| bench.start(kind));
    let [ours, other, nginx] = &servers;
    let body = Body::new(BLOB_BYTES);
    let blob = body.fresh();
    for server in [ours, other] {
        server.client().push("bench", &blob, How::Put);
    }
    fs::write(nginx.folder().join("files/blob"), blob.pieces(usize::MAX).collect::<Vec<_>>().concat())
        .expect("room for the blob");

    let pull = |server: &Server, path: &str| {
        let (request, mut client) = (get(path), server.client());
        sample(server, || {
            for _ in 0..PULLS {
                client.send(&request);
                assert_eq!(client.receive(200), blob.length());
            }
            PULLS
        })
    };
    let path = format!("/v2/bench/blobs/{}", blob.digest);
    let [ours, other, nginx] = in_turn(
        bench.pairs,
        [&mut || pull(ours, &path), &mut || pull(other, &path), &mut || pull(nginx, "/blob")],
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
