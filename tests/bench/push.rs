//! A large blob comes in: in one PUT, chunked as docker sends it, and how it is finished.

use crate::harness::Bench;
use crate::harness::client::How;
use crate::harness::content::Body;
use crate::harness::measure::{Sample, in_turn, median_of, ratio, sample};
use crate::harness::servers::{Kind, Server};
use crate::harness::table::{Bar, Line, time};

const WALL: Bar = Bar::at_most(0.40, "× distribution");
const CPU: Bar = Bar::at_most(0.50, "× distribution");

/// Beyond the sync, which costs nothing in memory. The blob is not read again: that alone would take longer.
const FINISH: Bar = Bar::at_most(50.0, "ms");

const BLOB_BYTES: usize = 512 << 20;
const FINISHED_BYTES: usize = 1 << 30;

pub fn in_one_put(bench: &Bench) -> Vec<Line> {
    whole(bench, "push 512 MiB, one PUT with length", How::Put)
}

pub fn chunked(bench: &Bench) -> Vec<Line> {
    whole(bench, "push 512 MiB, one chunked PATCH, then PUT", How::Chunked)
}

/// From the POST that begins the session to the 201.
fn whole(bench: &Bench, work: &str, how: How) -> Vec<Line> {
    let (ours, other) = (bench.start(Kind::Ours), bench.start(Kind::Distribution));
    let body = Body::new(BLOB_BYTES);
    let push = |server: &Server| {
        let (blob, mut client) = (body.fresh(), server.client());
        let sample = sample(server, || {
            client.push("bench", &blob, how);
            1
        });
        server.forget("bench", &blob.digest);
        sample
    };
    let [ours, other] = in_turn(bench.pairs, [&mut || push(&ours), &mut || push(&other)]);
    let line = |what: &str, figure: fn(&Sample) -> f64, bar| {
        Line::new(format!("{work}: {what}"), time(median_of(&ours, figure)))
            .distribution(time(median_of(&other, figure)))
            .ratio_held_to(bar, ratio(&ours, &other, figure))
    };
    vec![line("wall", |sample| sample.wall, WALL), line("CPU", |sample| sample.cpu, CPU)]
}

/// The closing PUT alone, after a PATCH that brought everything.
pub fn finish(bench: &Bench) -> Vec<Line> {
    let (ours, other) = (bench.start(Kind::Ours), bench.start(Kind::Distribution));
    let body = Body::new(FINISHED_BYTES);
    let finish = |server: &Server| {
        let (blob, mut client) = (body.fresh(), server.client());
        let location = client.start_upload("bench");
        let location = client.patch(&location, &blob);
        let sample = sample(server, || {
            client.finish(&location, &blob);
            1
        });
        server.forget("bench", &blob.digest);
        sample
    };
    // Pairs would tell nothing more: the bar is a time, not a ratio.
    let [ours, other] = in_turn(bench.pairs.div_ceil(2), [&mut || finish(&ours), &mut || finish(&other)]);
    let (seconds, wall) = (median_of(&ours, |sample| sample.wall), |sample: &Sample| sample.wall);
    vec![
        Line::new("finish of a 1 GiB upload: the closing PUT", time(seconds))
            .distribution(time(median_of(&other, wall)))
            .ratio(ratio(&ours, &other, wall))
            .held_to(FINISH, seconds * 1e3),
    ]
}
