//! An error at each step of each operation.
//!
//! The disk is full, over its quota, read-only, not permitted, broken: once, or from a step on. Whatever step it
//! is and whatever error, the answer must be the right one (507 where there is no room, else 500), no name may be
//! half-written, nothing may be left of what was not accepted (as far as things can be removed; a session that
//! the client knows of stays), `registry verify` finds no fault, and when the cause is gone the same operation
//! succeeds in the same process.
//!
//! Two errors are none: a file that has all the links it can have goes on as another; and a tag is moved or deleted
//! though its history cannot be written.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use container_registry::error::Error;
use container_registry::store::Store;
use container_registry::store::disk::Step;

use crate::acts::Act;
use crate::operations::{AT_THE_LIMIT, OPERATIONS, Operation};
use crate::shown::{Shown, assert_sound, assert_sound_or_rotten, sessions, shown};
use crate::{Plan, ROUNDS_LONG, observe, temporary_folder};

/// An error of the system: its number on Linux, its name, the status it leads to.
struct Cause {
    number: i32,
    name: &'static str,
    status: u16,
}

const CAUSES: &[Cause] = &[
    Cause { number: 28, name: "ENOSPC", status: 507 },
    Cause { number: 122, name: "EDQUOT", status: 507 },
    Cause { number: 30, name: "EROFS", status: 500 },
    Cause { number: 13, name: "EACCES", status: 500 },
    Cause { number: 5, name: "EIO", status: 500 },
];
const EMLINK: i32 = 31;

/// Which steps fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// One.
    Once,
    /// All from there on that need room.
    WhatNeedsRoom,
    /// All from there on.
    Everything,
}

/// What is wrong with the disk at present.
struct Fault {
    number: i32,
    extent: Extent,
    /// How many steps (of those that may fail) are taken before.
    steps_before: usize,
    /// The steps that have failed, as verbs.
    failed: Vec<&'static str>,
}

static FAULT: Mutex<Option<Fault>> = Mutex::new(None);

fn fault() -> MutexGuard<'static, Option<Fault>> {
    FAULT.lock().expect("no panic in the observer")
}

pub fn run(plan: Plan) -> String {
    // The first and the last, of either kind, will do for a short while.
    let causes =
        if plan.rounds < ROUNDS_LONG { vec![&CAUSES[0], &CAUSES[4]] } else { CAUSES.iter().collect() };
    listen();
    let mut faults = 0;
    for operation in OPERATIONS {
        for cause in &causes {
            let lasting = if cause.status == 507 { Extent::WhatNeedsRoom } else { Extent::Everything };
            for extent in [Extent::Once, lasting] {
                faults += fail_at_each_step(operation, cause, extent);
            }
        }
    }
    AT_THE_LIMIT.iter().for_each(succeeds_at_the_limit);
    observe(None);
    format!("{} operations, {} causes, {faults} faults", OPERATIONS.len(), causes.len())
}

/// From here on, what is wrong with the disk is wrong with it.
pub fn listen() {
    observe(Some(Arc::new(|step| fault().as_mut().map_or(Ok(()), |fault| fault.meet(step)))));
}

/// Does something of which nothing reaches the disk from a step on. Says whether it came so far.
pub fn stopped_at(steps_before: usize, action: impl FnOnce()) -> bool {
    let stop = Fault { number: 5, extent: Extent::Everything, steps_before, failed: Vec::new() };
    let (_, failed) = with(stop, || {
        action();
        Ok(())
    });
    !failed.is_empty()
}

impl Fault {
    fn meet(&mut self, step: Step<'_>) -> io::Result<()> {
        let Some(verb) = self.may_fail(step) else { return Ok(()) };
        if self.steps_before > 0 {
            self.steps_before -= 1;
            return Ok(());
        }
        if self.extent == Extent::Once && !self.failed.is_empty() {
            return Ok(());
        }
        self.failed.push(verb);
        Err(io::Error::from_raw_os_error(self.number))
    }

    fn may_fail(&self, step: Step<'_>) -> Option<&'static str> {
        let verb = match step {
            Step::CreateFolder(path) | Step::CreateFile(path) | Step::Write { path, .. }
                if is_memory(path) =>
            {
                "remember"
            }
            Step::CreateFolder(_) | Step::CreateFile(_) | Step::Write { .. } => "fill",
            Step::Symlink { .. } => "fill",
            Step::Link { name, .. } if is_held(name) => "link to hold",
            Step::Link { .. } => "fill",
            Step::Remove(_) | Step::RemoveFolder(_) => "remove",
            Step::SyncFile(_) => "sync file",
            Step::Truncate { .. } | Step::MakeReadOnly(_) => "other",
            Step::SyncFolder(_) | Step::SyncAll(_) => "other",
            Step::Rename { .. } => "rename",
            Step::Renew(_) => "renew",
        };
        match (self.number, self.extent) {
            (EMLINK, _) => (verb == "link to hold").then_some(verb),
            (_, Extent::WhatNeedsRoom) => {
                matches!(verb, "fill" | "remember" | "link to hold").then_some(verb)
            }
            (_, Extent::Once | Extent::Everything) => Some(verb),
        }
    }
}

fn is_memory(path: &Path) -> bool {
    path.iter().any(|part| part == "_history")
}

fn is_held(name: &Path) -> bool {
    name.iter().any(|part| part == "_blobs" || part == "_manifests")
}

/// Does it while something is wrong with the disk. Says what failed.
fn with(fault_: Fault, action: impl FnOnce() -> Result<(), Error>) -> (Result<(), Error>, Vec<&'static str>) {
    *fault() = Some(fault_);
    let result = action();
    let failed = fault().take().map(|fault| fault.failed).unwrap_or_default();
    (result, failed)
}

/// Without the blobs that another repository has. Whether somebody was told of them here cannot be known, so they are
/// not taken back; a sweep decides.
fn without_shared(mut shown: Shown) -> Shown {
    let in_b: Vec<String> =
        shown.keys().filter_map(|key| key.strip_prefix("b blob ")).map(str::to_owned).collect();
    shown.retain(|key, _| !key.strip_prefix("a blob ").is_some_and(|blob| in_b.iter().any(|b| b == blob)));
    shown
}

fn prepared(operation: &Operation) -> (tempfile::TempDir, Store) {
    let place = temporary_folder();
    let store = Store::open(place.path()).expect("a store");
    for act in operation.before {
        act.run(&store).expect("what comes before");
    }
    (place, store)
}

fn fail_at_each_step(operation: &Operation, cause: &Cause, extent: Extent) -> usize {
    for steps_before in 0.. {
        let (place, store) = prepared(operation);
        let when = format!("{}, {} at step {steps_before} ({extent:?})", operation.name, cause.name);
        let act = operation.acts[0];
        let states = act.states(&shown(&store).expect("the state before"));
        let fault = Fault { number: cause.number, extent, steps_before, failed: Vec::new() };
        let (result, failed) = with(fault, || act.run(&store));
        let is_refused = result.is_err();
        match result {
            Ok(()) if failed.is_empty() => return steps_before,
            // A name that cannot be moved aside before it is removed is removed at once. That the time of the last
            // use cannot be written is nobody's concern, nor that the history of a tag cannot.
            Ok(()) => {
                let is_harmless = failed.iter().all(|verb| ["rename", "renew", "remember"].contains(verb));
                assert!(is_harmless, "{when}: is acknowledged, though {failed:?} failed");
            }
            Err(error) => assert_eq!(error.status(), cause.status, "{when}: {}", error.log_text()),
        }
        let report = assert_sound_or_rotten(&store, &states, &when);
        let found = shown(&store).expect("the state after");
        assert!(states.contains(&found), "{when}: shows\n{found:#?}\nwhich is none of\n{states:#?}");
        if failed == ["sync file"] {
            // What could not be written may be forgotten: nobody may go on with it as if it were there.
            assert_eq!(sessions(&store, place.path(), "layer").expect("sessions").len(), 0, "{when}");
        }

        let can_tidy_up = extent != Extent::Everything && !failed.contains(&"remove");
        assert!(!can_tidy_up || report.leftovers.is_empty(), "{when}, leaves\n{report}");
        if can_tidy_up && is_refused && matches!(act, Act::Import(..)) {
            assert_eq!(
                without_shared(found),
                without_shared(states[0].clone()),
                "{when}: half of it was imported"
            );
        }
        if steps_before.is_multiple_of(2) {
            give_up_sessions(&store, place.path(), act); // else they are gone on with
        }
        act.retry(&store).unwrap_or_else(|error| panic!("{when}, then retried: {}", error.log_text()));
        let last = states.last().expect("a state");
        assert_eq!(shown(&store).expect("the state at the end"), *last, "{when}, then retried");
        give_up_sessions(&store, place.path(), act);
        let report = assert_sound(&store, &when);
        if can_tidy_up {
            let left = (report.leftovers.len(), report.sessions);
            assert_eq!(left, (0, 0), "{when}, then retried, leaves\n{report}");
        }
    }
    unreachable!("an operation has an end")
}

/// What is left of a client's own sessions is its own affair; it ends them.
fn give_up_sessions(store: &Store, root: &Path, act: Act) {
    for session in sessions(store, root, "layer").expect("sessions") {
        let cancelled = store.open_upload(&session.name, &session.id).and_then(|upload| upload.cancel());
        cancelled.unwrap_or_else(|error| panic!("{act:?}: {}", error.log_text()));
    }
}

/// The other repositories' links have no room for one more, and nobody notices.
fn succeeds_at_the_limit(operation: &Operation) {
    let (_place, store) = prepared(operation);
    let act = operation.acts[0];
    let states = act.states(&shown(&store).expect("the state before"));
    let fault = Fault { number: EMLINK, extent: Extent::Once, steps_before: 0, failed: Vec::new() };
    let (result, failed) = with(fault, || act.run(&store));
    assert_eq!(failed, ["link to hold"], "{}", operation.name);
    result.unwrap_or_else(|error| panic!("{}: {}", operation.name, error.log_text()));
    assert_eq!(shown(&store).as_ref().ok(), states.last(), "{}", operation.name);
    let report = assert_sound(&store, operation.name);
    assert!(report.leftovers.is_empty(), "{}: {report}", operation.name);
}
