//! The sweep that a server does by itself, now and then.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::{Duration, Instant};

use super::{Options, Report, sweep};
use crate::background::Work;
use crate::log::{self, Level};
use crate::metrics;
use crate::store::Store;

const WORK: Work = Work { name: "gc", verb: "sweep", noun: "a sweep" };

/// The first sweep comes no later than this, or a server that is restarted often would never sweep.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(60);

/// Sweeps `store` once every `interval`, the first time when a tenth of one has passed, or a minute. A process that ends
/// amid a sweep leaves nothing that the next one, of any process, would not find.
pub fn start(store: Store, options: Options, interval: Duration) {
    WORK.repeat(FIRST_WAIT_MAX.min(interval / 10), interval, move || {
        let (report, numbers) = attempt(|| sweep(&store, &options));
        metrics::gc_run(numbers);
        match report {
            Ok(report) => tell(&report, numbers.duration),
            Err(panic) => resume_unwind(panic),
        }
    });
}

/// Sweeps, and says what it came to, also if it broke off.
fn attempt(sweep: impl FnOnce() -> Report) -> (thread::Result<Report>, metrics::Sweep) {
    let start = Instant::now();
    let report = catch_unwind(AssertUnwindSafe(sweep));
    let duration = start.elapsed();
    let numbers = match &report {
        Ok(report) => metrics::Sweep {
            failed: !report.faults.is_empty(),
            bytes: report.bytes,
            blobs: report.blobs + report.manifests + report.unheld,
            sessions: report.sessions,
            duration,
        },
        Err(_) => metrics::Sweep { failed: true, duration, ..metrics::Sweep::default() },
    };
    (report, numbers)
}

/// One line with what came back, and one for each fault.
fn tell(report: &Report, time: Duration) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_that_breaks_off_has_failed() {
        let (report, numbers) = attempt(|| panic!("on purpose"));
        assert!(report.is_err() && numbers.failed);
        let (report, numbers) = attempt(|| Report { bytes: 5, ..Report::default() });
        assert!(report.is_ok() && !numbers.failed && numbers.bytes == 5);
    }
}
