//! Crash safety, proven: what was acknowledged is there, whatever happens in between.
//!
//! - [`steps`]: a process stops at each of its steps on the disk, for every operation
//! - [`faults`]: an error at each step; [`full`]: a disk that is full, or read-only, for real
//! - [`repair`]: `registry verify --repair` ends at each of its steps
//! - [`power`]: what a loss of power leaves of an operation, or of two at once, at every point
//! - [`told`]: who is told that something is there while it is swept
//! - [`kill`]: SIGKILL at random times, under load ([`pusher`])
//!
//! All of them use what the store tells an observer of its steps ([`container_registry::store::disk`]), and
//! `registry verify` as the judge. Around them: [`content`] is what is pushed, [`acts`] and [`operations`] what is
//! done ([`swept`]: by a sweep), [`shown`] what the API would say, [`table`] in which steps; [`child`] is the process
//! that is stopped, [`did`] its steps written down, [`model`] a disk that loses power.
//!
//! `cargo test` runs a short version, `make crash` all of it. `ROUNDS` is how often SIGKILL comes, and how many
//! outcomes of a loss of power are looked at where there are too many for all; `SEED` replays a run. An argument
//! selects parts by their names.

#![allow(clippy::unwrap_used, clippy::expect_used)] // this is a test

mod acts;
mod child;
mod content;
mod did;
mod faults;
mod full;
mod kill;
mod model;
mod operations;
mod power;
mod pusher;
mod repair;
mod shown;
mod steps;
mod swept;
mod table;
mod told;

/// What the other tests from outside use.
#[path = "../it"]
mod it {
    #[allow(dead_code, unused_imports)] // this is a part of it
    pub mod harness;
}

/// What the tests in parts use.
#[allow(dead_code)] // this is one of them
#[path = "../parts/mod.rs"]
mod parts;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use container_registry::store::disk::{self, Observer};

/// How much of it.
#[derive(Clone, Copy)]
pub struct Plan {
    /// How often SIGKILL comes, and how many outcomes of each loss of power are looked at.
    pub rounds: usize,
    /// What chance follows from.
    pub seed: u64,
}

/// The short version's number of rounds.
const ROUNDS_SHORT: usize = 10;

/// From so many rounds on, nothing is left out that can be counted.
const ROUNDS_LONG: usize = 50;

const PARTS: &[parts::Part<Plan>] = &[
    ("steps", steps::run),
    ("faults", faults::run),
    ("told", told::run),
    ("repair", repair::run),
    ("full", full::run),
    ("power", power::run),
    ("kill", kill::run),
];

fn main() -> ExitCode {
    if let Some(code) = child::main().or_else(full::main) {
        return code;
    }
    let rounds = parts::number("ROUNDS").map_or(ROUNDS_SHORT, |rounds| rounds as usize);
    let plan = Plan { rounds, seed: parts::seed() };
    let told = format!("ROUNDS={} SEED={}", plan.rounds, plan.seed);
    parts::run("crash", &told, PARTS, plan)
}

/// What this process does at each step on the disk. Parts follow each other, and each has its own.
static OBSERVER: Mutex<Option<Arc<Observer>>> = Mutex::new(None);

/// Observes this process's steps from here on; `None`: no more.
fn observe(observer: Option<Arc<Observer>>) {
    *OBSERVER.lock().expect("no panic here") = observer;
    disk::observe(Box::new(|step| {
        let observer = OBSERVER.lock().expect("no panic here").clone(); // it may take steps of its own
        observer.map_or(Ok(()), |observer| observer(step))
    }));
}

/// Does the same to several things, on all cores; what came of each, in any order.
fn on_all_cores<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work_on = || {
        let jobs = std::iter::from_fn(|| jobs.get(next.fetch_add(1, Ordering::Relaxed)));
        jobs.map(&work).collect::<Vec<R>>()
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work_on)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("see above")).collect()
    })
}

/// A folder that goes when it is dropped; in memory where that is possible, because nothing here depends on the
/// disk below, and there is much of it.
fn temporary_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("registry-crash-").tempdir_in("/dev/shm");
    folder.or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}
