//! The sweep that a server does by itself, now and then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use super::{Options, Report, sweep};
use crate::log::{self, Level};
use crate::metrics;
use crate::store::Store;

/// Sweeps `store` once every `interval`, the first time when one has passed, until the process ends. Whatever
/// happens in a sweep, the server goes on, and so does the next sweep. A process that ends amid a sweep leaves
/// nothing that the next one, of any process, would not find.
pub fn start(store: Store, options: Options, interval: Duration) {
    let work = move || {
        loop {
            wait(interval);
            let start = Instant::now();
            match catch_unwind(AssertUnwindSafe(|| sweep(&store, &options))) {
                Ok(report) => tell(&report, start.elapsed()),
                Err(_) => log::event(Level::Error, "a sweep broke off; the next one comes as usual", &[]),
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("gc".to_owned()).spawn(work) {
        log::event(Level::Error, "there is no thread to sweep with", &[("error", &error)]);
    }
}

fn wait(interval: Duration) {
    let end = Instant::now() + interval;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
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
