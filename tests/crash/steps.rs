//! A process stops at each of its steps on the disk.
//!
//! For every operation, and every k: a process is ended where it would take its k-th step. Then the store must
//! verify, show the state from before or the one from after (of an operation that sets several names: each name
//! old or new, in the order of [`Act::states`](crate::acts::Act::states)), and the operation must succeed
//! when it is tried again. An upload session that is left behind has a beginning of what was sent, and can go on
//! or be cancelled.
//!
//! Which steps there are, and in which order, stands in [`table`].

use std::os::unix::fs::chown;
use std::path::Path;

use container_registry::store::Store;

use crate::acts::Act;
use crate::child::{NOBODY, Order, Outcome, Task, is_root};
use crate::operations::{OPERATIONS, Operation};
use crate::shown::{Shown, assert_sound_or_rotten, sessions, shown};
use crate::{Plan, on_all_cores, table, temporary_folder};

pub fn run(_: Plan) -> String {
    for operation in OPERATIONS {
        let steps = steps_of(operation);
        let expected = table_entry(operation.name);
        assert!(
            steps == expected,
            "{} takes these steps:\n{}\nnot these:\n{}",
            operation.name,
            steps.join("\n"),
            expected.join("\n")
        );
    }
    let users = if is_root() { &[false, true][..] } else { &[false] };
    let jobs: Vec<(&Operation, bool)> = OPERATIONS
        .iter()
        .flat_map(|operation| users.iter().map(move |nobody| (operation, *nobody)))
        .collect();
    let stops = on_all_cores(&jobs, |(operation, nobody)| stop_at_each_step(operation, *nobody));
    format!("{} operations, {} stops", OPERATIONS.len(), stops.into_iter().sum::<usize>())
}

fn table_entry(name: &str) -> Vec<&str> {
    let steps = table::entry(name).expect("an entry of the table");
    steps.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// The steps of an operation, readable. What a body is written in is one of them; removals in a row are sorted:
/// a folder lists its names in any order.
fn steps_of(operation: &Operation) -> Vec<String> {
    let place = Place::new(operation, false);
    let outcome = place.order(operation, Task::Do, None);
    let mut steps: Vec<String> = outcome.steps.iter().map(ToString::to_string).collect();
    steps.retain(|step| !step.starts_with("acknowledged"));
    let removes = |step: &String| step.starts_with("remove  "); // not: remove folder
    steps.chunk_by_mut(|one, other| removes(one) && removes(other)).for_each(<[_]>::sort);
    steps.dedup();
    steps
}

/// A root in which everything that comes before an operation was done.
struct Place {
    folder: tempfile::TempDir,
    nobody: bool,
}

impl Place {
    fn new(operation: &Operation, nobody: bool) -> Self {
        let place = Self { folder: temporary_folder(), nobody };
        if nobody {
            chown(place.root(), Some(NOBODY), Some(NOBODY)).expect("chown");
        }
        assert!(place.order(operation, Task::Before, None).ended);
        place
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn order(&self, operation: &Operation, task: Task, stop: Option<usize>) -> Outcome {
        Order { root: self.root(), operation, task, stop, nobody: self.nobody }.run()
    }

    fn store(&self) -> Store {
        Store::existing(self.root()).expect("a store")
    }
}

fn stop_at_each_step(operation: &Operation, nobody: bool) -> usize {
    for stop in 0.. {
        let when =
            format!("{} stopped at step {stop}{}", operation.name, if nobody { " as nobody" } else { "" });
        let place = Place::new(operation, nobody);
        let before = shown(&place.store()).expect("the state before");
        let outcome = place.order(operation, Task::Do, Some(stop));
        let states = operation.acts[0].states(&before);
        check_state(&place, &states, outcome.ended, &when);
        if outcome.ended {
            return stop;
        }
        check_recovery(&place, operation, &states, stop, &when);
    }
    unreachable!("an operation has an end")
}

fn check_state(place: &Place, states: &[Shown], ended: bool, when: &str) {
    let store = place.store();
    let allowed = if ended { &states[states.len() - 1..] } else { states };
    assert_sound_or_rotten(&store, allowed, when);
    let found = shown(&store).expect("the state after");
    assert!(allowed.contains(&found), "{when}: shows\n{found:#?}\nwhich is none of\n{allowed:#?}");
    for session in sessions(&store, place.root(), "layer").expect("sessions") {
        assert!(session.sound, "{when}: the session has other bytes than were sent");
    }
}

/// What was left behind goes on or is given up, in turn; and the operation succeeds when it is tried again.
fn check_recovery(place: &Place, operation: &Operation, states: &[Shown], stop: usize, when: &str) {
    let mut last = states.last().expect("a state").clone();
    let sessions_task = if stop.is_multiple_of(2) { Task::GoOn } else { Task::GiveUp };
    if sessions_task == Task::GoOn
        && !sessions(&place.store(), place.root(), "layer").expect("sessions").is_empty()
        && !matches!(operation.acts[0], Act::Sweep | Act::SweepUntagged)
    {
        last.insert("a blob layer".to_owned(), "held".to_owned());
    }
    for task in [sessions_task, Task::Retry] {
        let when = format!("{when}, then {task}");
        assert!(place.order(operation, task, None).ended, "{when}");
        let allowed = if task == Task::Retry { &states[states.len() - 1..] } else { states };
        assert_sound_or_rotten(&place.store(), allowed, &when);
    }
    let found = shown(&place.store()).expect("the state after");
    assert_eq!(found, last, "{when}, then retried");
}
