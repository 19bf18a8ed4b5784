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

/// What the tests in parts use.
#[path = "../parts/mod.rs"]
mod parts;

use std::env;
use std::path::Path;
use std::process::ExitCode;

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

const PARTS: &[parts::Part<Plan>] = &[
    ("alone", alone::run),
    ("together", together::run),
    ("referrers", referrers::run),
    ("session", session::run),
    ("gap", gap::run),
    ("race", race::run),
];

fn main() -> ExitCode {
    let plan = Plan {
        rounds: parts::number("ROUNDS").unwrap_or(ROUNDS_SHORT),
        seconds: parts::number("SECONDS").unwrap_or(SECONDS_SHORT),
        seed: parts::seed(),
    };
    use_memory();
    let told = format!("ROUNDS={} SECONDS={} SEED={}", plan.rounds, plan.seconds, plan.seed);
    parts::run("model", &told, PARTS, plan)
}

/// Roots lie in memory where that is possible and nobody says otherwise: what is tested here does not depend on the
/// disk below, and comes about more often where nobody waits for it.
fn use_memory() {
    let memory = Path::new("/dev/shm");
    if env::var_os("TMPDIR").is_none() && memory.is_dir() {
        let _ = tempfile::env::override_temp_dir(memory);
    }
}
