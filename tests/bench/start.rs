//! How soon it answers over a large store, and how large the program is.

use std::fs;
use std::time::Instant;

use crate::harness::Bench;
use crate::harness::measure::median;
use crate::harness::servers::{Kind, Server};
use crate::harness::table::{Bar, Line, mebibytes, time};

const FIRST_ANSWER: Bar = Bar::at_most(50.0, "ms");
const PROGRAM: Bar = Bar::at_most(4.0, "MiB");

/// From the start of the process to a 200 for `GET /v2/`.
pub fn first_answer(bench: &Bench) -> Vec<Line> {
    let fixture = bench.fixture();
    let start = || {
        let begin = Instant::now();
        let server = Server::start(Kind::Ours, &fixture.root);
        let seconds = begin.elapsed().as_secs_f64();
        drop(server);
        seconds
    };
    start(); // to warm up
    let seconds = median((0..bench.pairs).map(|_| start()).collect());
    vec![
        Line::new("start to first answer, 100,000 blobs", time(seconds)).held_to(FIRST_ANSWER, seconds * 1e3),
    ]
}

/// The release binary, stripped.
pub fn program(_: &Bench) -> Vec<Line> {
    let bytes = fs::metadata(Kind::Ours.program()).expect("the program").len();
    let size = bytes as f64 / f64::from(1 << 20);
    vec![Line::new("release binary, stripped", mebibytes(size)).held_to(PROGRAM, size)]
}
