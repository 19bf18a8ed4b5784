//! What the store holds, counted in the background.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::seconds_since_1970;
use crate::log::{self, Level};
use crate::store::Store;
use crate::store::totals::Totals;

/// What a count came to.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// What there was.
    pub totals: Totals,
    /// When it ended, in seconds since 1970.
    pub seconds: u64,
    /// How long it took.
    pub took: Duration,
}

static LAST: Mutex<Option<Count>> = Mutex::new(None);

/// What the last count came to, if there was one.
pub fn last() -> Option<Count> {
    *LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts what `store` holds, now and again whenever `interval` has passed since the last count ended, until the
/// process ends. One at a time, and slowly. A count that fails leaves the one before.
pub fn start(store: Store, interval: Duration) {
    let work = move || {
        loop {
            if catch_unwind(AssertUnwindSafe(|| count(&store))).is_err() {
                log::event(Level::Error, "a count of the store broke off; the next one comes as usual", &[]);
            }
            thread::sleep(interval);
        }
    };
    if let Err(error) = thread::Builder::new().name("count".to_owned()).spawn(work) {
        log::event(Level::Error, "there is no thread to count the store with", &[("error", &error)]);
    }
}

fn count(store: &Store) {
    let begin = Instant::now();
    match store.count() {
        Ok(totals) => {
            let count = Count { totals, seconds: seconds_since_1970(), took: begin.elapsed() };
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(count);
        }
        Err(error) => {
            log::event(Level::Warn, "the store could not be counted", &[("error", &error.log_text())]);
        }
    }
}
