//! How much memory is used: by many large pushes at once, and before and after.

use std::sync::Barrier;
use std::thread;

use crate::harness::Bench;
use crate::harness::client::How;
use crate::harness::content::Body;
use crate::harness::servers::{Kind, Server};
use crate::harness::table::{Bar, Line, mebibytes};

const PUSHING: Bar = Bar::at_most(64.0, "MiB");
const IDLE: Bar = Bar::at_most(10.0, "MiB");

const PUSHES: usize = 16;
const BLOB_BYTES: usize = 48 << 20;

/// What a server used.
struct Use {
    started: f64,
    peak: f64,
    afterwards: f64,
}

pub fn many_pushes(bench: &Bench) -> Vec<Line> {
    let body = Body::new(BLOB_BYTES);
    let [ours, other] = [Kind::Ours, Kind::Distribution].map(|kind| use_of(&bench.start(kind), &body));
    let line = |what: &str, figure: fn(&Use) -> f64, bar| {
        Line::new(what, mebibytes(figure(&ours)))
            .distribution(mebibytes(figure(&other)))
            .held_to(bar, figure(&ours))
    };
    vec![
        line("resident memory, at the start", |memory| memory.started, IDLE),
        line("resident memory, 16 pushes of 48 MiB at once: the most", |memory| memory.peak, PUSHING),
        line("resident memory, idle again", |memory| memory.afterwards, IDLE),
    ]
}

/// Both ways of pushing, one after the other.
fn use_of(server: &Server, body: &Body) -> Use {
    let started = server.memory().resident;
    for how in [How::Put, How::Chunked] {
        let blobs: Vec<_> = (0..PUSHES).map(|_| body.fresh()).collect();
        let all_ready = Barrier::new(PUSHES);
        thread::scope(|scope| {
            for blob in &blobs {
                scope.spawn(|| {
                    let mut client = server.client();
                    all_ready.wait();
                    client.push("bench", blob, how);
                });
            }
        });
        blobs.iter().for_each(|blob| server.forget("bench", &blob.digest));
    }
    Use { started, peak: server.memory().peak, afterwards: server.memory_when_calm().resident }
}
