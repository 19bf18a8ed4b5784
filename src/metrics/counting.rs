//! What the store holds, counted in the background.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::background::Work;
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

const WORK: Work = Work { name: "count", verb: "count the store", noun: "a count of the store" };

/// Counts what `store` holds, now and again whenever `interval` has passed since the last count ended. One at a
/// time, and slowly. A count that fails leaves the one before.
pub fn start(store: Store, interval: Duration) {
    WORK.repeat(Duration::ZERO, interval, move || count(&store));
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
