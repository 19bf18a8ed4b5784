//! The sweep that a server does by itself, now and then.

use std::time::{Duration, Instant};

use super::{Options, Report, sweep};
use crate::background::Work;
use crate::log::{self, Level};
use crate::metrics;
use crate::store::Store;

const WORK: Work = Work { name: "gc", verb: "sweep", noun: "a sweep" };

/// Sweeps `store` once every `interval`, the first time when one has passed. A process that ends amid a sweep leaves
/// nothing that the next one, of any process, would not find.
pub fn start(store: Store, options: Options, interval: Duration) {
    WORK.repeat(interval, interval, move || {
        let start = Instant::now();
        tell(&sweep(&store, &options), start.elapsed());
    });
}

/// One line with what came back, and one for each fault.
fn tell(report: &Report, time: Duration) {
    metrics::gc_run(metrics::Sweep {
        failed: !report.faults.is_empty(),
        bytes: report.bytes,
        blobs: report.blobs + report.manifests + report.unheld,
        sessions: report.sessions,
        duration: time,
    });
    let Report { bytes, blobs, manifests, sessions, leftovers, unheld, repositories, faults } = report;
    for fault in faults {
        log::event(Level::Error, "not swept", &[("what", fault)]);
    }
    let level = if report.is_nothing() { Level::Debug } else { Level::Info };
    let milliseconds = format!("{:.1}ms", time.as_secs_f64() * 1000.0);
    let fields: &log::Fields<'_> = &[
        ("bytes", bytes),
        ("blobs", blobs),
        ("manifests", manifests),
        ("unheld", unheld),
        ("sessions", sessions),
        ("leftovers", leftovers),
        ("repositories", repositories),
        ("took", &milliseconds),
    ];
    log::event(level, "swept", fields);
}
