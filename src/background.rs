//! What a server does by itself, now and then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crate::log::{self, Level};

/// What is done, in words for the log.
#[derive(Clone, Copy)]
pub struct Work {
    /// The thread's name.
    pub name: &'static str,
    /// To …
    pub verb: &'static str,
    /// One time of it.
    pub noun: &'static str,
}

impl Work {
    /// Does this after `first`, and again whenever `pause` has passed since the last time, until the process ends.
    /// Whatever happens in it, the server goes on, and so does the next time.
    pub fn repeat(self, first: Duration, pause: Duration, mut once: impl FnMut() + Send + 'static) {
        let all = move || {
            thread::sleep(first);
            loop {
                if catch_unwind(AssertUnwindSafe(&mut once)).is_err() {
                    let message = format!("{} broke off; the next one comes as usual", self.noun);
                    log::event(Level::Error, &message, &[]);
                }
                thread::sleep(pause);
            }
        };
        if let Err(error) = thread::Builder::new().name(self.name.to_owned()).spawn(all) {
            let message = format!("there is no thread to {} with", self.verb);
            log::event(Level::Error, &message, &[("error", &error)]);
        }
    }
}
