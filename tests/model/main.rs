//! The registry against a model of it: plain maps in memory, and the rules of the spec written a second time.
//!
//! - [`alone`]: random operations from one client; every answer and every file is what the model says
//! - [`together`]: the same from several clients at once, over two processes that share one root
//! - [`referrers`]: fifty at once about one manifest
//! - [`session`]: two writers at once to one upload session
//! - [`gap`]: the moment in which bytes go that nobody holds any more
//! - [`race`]: everybody pushes, mounts, moves and deletes the same few things
//!
//! Around the first two and `session`: [`content`] is what is pushed, [`operation`] what can be done with it,
//! [`choose`] what is done next, [`request`] how it is sent, [`model`] and [`predict`] what must come of it,
//! [`expected`] whether that is what came, [`files`] whether it is what lies there; [`player`] does one after the
//! other.
//!
//! `cargo test` runs a short version, `make model` all of it. `ROUNDS` is how often each part but the race begins
//! anew, `SECONDS` how long the race takes; `SEED` replays the choices of a run. An argument selects parts by
//! their names.

#![allow(clippy::unwrap_used, clippy::expect_used)] // this is a test

mod alone;
mod choose;
mod content;
mod expected;
mod files;
mod gap;
mod history;
mod model;
mod operation;
mod player;
mod predict;
mod race;
mod random;
mod referrers;
mod request;
mod session;
mod tally;
mod together;

/// What the other tests from outside use.
#[path = "../it"]
mod it {
    #[allow(dead_code, unused_imports)] // this is a part of it
    pub mod harness;
}

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

/// How much of it.
#[derive(Clone, Copy)]
pub struct Plan {
    /// How often each part but the race begins anew.
    pub rounds: u64,
    /// How long the race takes.
    pub seconds: u64,
    /// What chance follows from.
    pub seed: u64,
}

/// The short version.
const ROUNDS_SHORT: u64 = 1;
const SECONDS_SHORT: u64 = 2;

/// Flags of the registries. They log what goes wrong; a line for each request is not looked at here.
const QUIET: &[&str] = &["--log-level", "warn"];

/// A part: its name, and what it does. It returns its counts, or panics.
type Part = (&'static str, fn(Plan) -> String);

const PARTS: &[Part] = &[
    ("alone", alone::run),
    ("together", together::run),
    ("referrers", referrers::run),
    ("session", session::run),
    ("gap", gap::run),
    ("race", race::run),
];

fn main() -> ExitCode {
    let number = |name| env::var(name).ok().map(|text| text.parse().expect(name));
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_micros());
    let plan = Plan {
        rounds: number("ROUNDS").unwrap_or(ROUNDS_SHORT),
        seconds: number("SECONDS").unwrap_or(SECONDS_SHORT),
        seed: number("SEED").unwrap_or(clock as u64 % 1_000_000),
    };
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    use_memory();

    let told = format!("ROUNDS={} SECONDS={} SEED={}", plan.rounds, plan.seconds, plan.seed);
    println!("\nmodel tests, {told}");
    let (mut passed, mut failed) = (0, 0);
    for (name, run) in PARTS.iter().filter(|(name, _)| is_wanted(name)) {
        let start = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| run(plan))) {
            Ok(counts) => {
                passed += 1;
                println!("{name}: {counts} ({:.1} s)", start.elapsed().as_secs_f64());
            }
            Err(_) => {
                failed += 1;
                println!("{name}: FAILED; to replay: {told}");
            }
        }
    }
    println!("{passed} passed, {failed} failed\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Roots lie in memory where that is possible and nobody says otherwise: what is tested here does not depend on the
/// disk below, and comes about more often where nobody waits for it.
fn use_memory() {
    let memory = Path::new("/dev/shm");
    if env::var_os("TMPDIR").is_none() && memory.is_dir() {
        let _ = tempfile::env::override_temp_dir(memory);
    }
}
