//! A loss of power, at every point of every operation, and of two at once.
//!
//! Each operation is recorded in a process of its own: every step it takes, and when it is acknowledged. The
//! record is played to every prefix into a [`Disk`], which knows what is certain then; and every way in which the
//! rest may turn out (or, where there are too many, the extremes and as many as `ROUNDS` that chance picks)
//! becomes files again. A store is opened over these, and:
//!
//! - `registry verify` finds no fault,
//! - what was acknowledged is there, byte for byte; what was not shows as before or as after,
//! - an upload session that is left goes on and gives the right blob, or is found broken and refused,
//! - the operation that was cut off succeeds when it is tried again.
//!
//! What this shows: the store asks for the syncs it needs, in an order that suffices on any file system that
//! keeps the promises of POSIX, also when another process, that was killed, had got ahead of its own syncs.
//!
//! What it cannot show: that the file system keeps its promises, or the disk does (a disk that says "written" of
//! what is in its cache loses what we acknowledged); that a fsync of a folder makes its names durable, which
//! POSIX hardly says but all file systems of Linux do; what is torn within one sector; what happens to syncs of
//! which the kernel reports an error (see [`faults`](crate::faults)). And it shows nothing of the locks: a step
//! of one process in between two of another is the affair of the model test.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::path::Path;

use container_registry::digest::{Algorithm, Digest};
use container_registry::error::Error;
use container_registry::store::Store;

use crate::acts::Act;
use crate::child::{Order, Task};
use crate::content::{Pieces, name_of, thing};
use crate::did::Did;
use crate::model::{Disk, Left, Tree, build};
use crate::operations::{LIFE, OPERATIONS, Operation, TOGETHER};
use crate::parts::random::Random;
use crate::shown::{Shown, assert_sound, assert_sound_or_rotten, sessions, shown};
use crate::{Plan, ROUNDS_LONG, on_all_cores, temporary_folder};

pub fn run(plan: Plan) -> String {
    let operations: Vec<&'static Operation> = OPERATIONS.iter().chain([&LIFE]).chain(TOGETHER).collect();
    // First all records, then all playing: a process that is being started has our open files for a moment, and
    // with them our locks.
    let records: Vec<Record> =
        on_all_cores(&operations, |operation| record(operation)).into_iter().flatten().collect();
    let counts = on_all_cores(&records, |record| record.play(plan));
    let (prefixes, outcomes) =
        counts.iter().fold((0, 0), |sum, count| (sum.0 + count.prefixes, sum.1 + count.outcomes));
    format!(
        "{} operations, {} of two at once, {} records, {prefixes} prefixes, {outcomes} outcomes",
        operations.len(),
        TOGETHER.len(),
        records.len()
    )
}

/// Of so many outcomes none is left out in a short while.
const FEW: usize = 8;

/// What was looked at.
struct Count {
    prefixes: usize,
    outcomes: usize,
}

/// Records an operation; where two are at work, once for each step at which the other can be killed.
fn record(operation: &'static Operation) -> Vec<Record> {
    let mut records = Vec::new();
    for stop in 0.. {
        let place = prepare(operation);
        let mut record = Record::start(&place, operation);
        let is_last = operation.meanwhile.is_empty() || record.meanwhile(&place, stop);
        record.of(&place, if operation.meanwhile.is_empty() { Task::Do } else { Task::Attempt }, None);
        records.push(record);
        if is_last {
            break;
        }
    }
    records
}

fn prepare(operation: &Operation) -> tempfile::TempDir {
    let place = temporary_folder();
    if !matches!(operation.acts[0], Act::Open) {
        Order { root: place.path(), operation, task: Task::Before, stop: None, nobody: false }.run();
    }
    place
}

/// An operation as it was recorded.
struct Record {
    operation: &'static Operation,
    when: String,
    /// The disk before it.
    disk: Disk,
    /// What it may show before it.
    before: Vec<Shown>,
    steps: Vec<Did>,
}

impl Record {
    fn start(place: &tempfile::TempDir, operation: &'static Operation) -> Self {
        let before = match Store::existing(place.path()) {
            Ok(store) => shown(&store).expect("the state before"),
            Err(_) => Shown::new(),
        };
        let (disk, when) = (Disk::read(place.path()), operation.name.to_owned());
        Self { operation, when, disk, before: vec![before], steps: Vec::new() }
    }

    /// Another process comes as far as its step `stop`. Says whether it came to its end.
    fn meanwhile(&mut self, place: &tempfile::TempDir, stop: usize) -> bool {
        let ended = self.of(place, Task::Meanwhile, Some(stop));
        self.steps.drain(..).for_each(|did| self.disk.take(&did));
        let states = self.operation.meanwhile[0].states(&self.before[0]);
        self.before = if ended { states.last().cloned().into_iter().collect() } else { states };
        self.when = format!("{}, the other one killed at its step {stop}", self.operation.name);
        ended
    }

    fn of(&mut self, place: &tempfile::TempDir, task: Task, stop: Option<usize>) -> bool {
        let order = Order { root: place.path(), operation: self.operation, task, stop, nobody: false };
        let outcome = order.run();
        self.steps = outcome.steps;
        outcome.ended
    }

    /// Are there many more records, or prefixes, of this kind?
    fn is_long(&self) -> bool {
        !self.operation.meanwhile.is_empty() || self.operation.acts.len() > 1
    }

    /// Plays the record to every prefix.
    fn play(&self, plan: Plan) -> Count {
        let mut count = Count { prefixes: 0, outcomes: 0 };
        let mut random = Random::new(plan.seed, &[]);
        let mut seen = HashSet::new();
        let (mut disk, mut acknowledged) = (self.disk.clone(), 0);
        for cut in 0..=self.steps.len() {
            count.prefixes += 1;
            let chosen = choose(&disk.ways(), plan.rounds, &mut random);
            let are_many = self.is_long() && chosen.len() > FEW;
            for ways in chosen {
                let tree = disk.left(&ways);
                let skip = are_many && random.below(ROUNDS_LONG) >= plan.rounds;
                if !skip && seen.insert(fingerprint(&tree, acknowledged)) {
                    count.outcomes += 1;
                    self.check(&tree, acknowledged, &format!("{}, cut after {cut} steps", self.when));
                }
            }
            if let Some(did) = self.steps.get(cut) {
                disk.take(did);
                if let Did::Acknowledged(acts) = did {
                    acknowledged = *acts;
                }
            }
        }
        count
    }

    fn check(&self, tree: &Tree, acknowledged: usize, when: &str) {
        let place = temporary_folder();
        build(tree, place.path());
        let when = || format!("{when}\n{}", readable(tree));
        let store = Store::open(place.path()).unwrap_or_else(|error| panic!("{}: {error}", when()));
        let states = self.states(acknowledged);
        assert_sound_or_rotten(&store, &states, &when());
        let found = shown(&store).expect("the state after");
        for (key, values) in self.allowed(&states) {
            let value = found.get(&key);
            assert!(values.contains(&value.cloned()), "{}: {key} is {value:?}, not {values:?}", when());
        }
        go_on(&store, place.path(), &when());
        if let Some(act) = self.operation.acts.get(acknowledged) {
            let alone = self.operation.meanwhile.is_empty();
            let retried = if alone { act.retry(&store) } else { act.attempt(&store).map(drop) };
            retried.unwrap_or_else(|error| panic!("{}, then retried: {error}", when()));
        }
        assert_sound(&store, &format!("{}, then went on", when()));
    }

    /// The states that the store may be in after so many acts were acknowledged.
    fn states(&self, acknowledged: usize) -> Vec<Shown> {
        let mut states = self.before.clone();
        for act in &self.operation.acts[..acknowledged] {
            states = states.iter().filter_map(|state| act.states(state).pop()).collect();
        }
        if let Some(act) = self.operation.acts.get(acknowledged) {
            states = states.iter().flat_map(|state| act.states(state)).collect();
        }
        states
    }

    /// What each name may show in these states: each is for itself.
    fn allowed(&self, states: &[Shown]) -> BTreeMap<String, BTreeSet<Option<String>>> {
        let keys: BTreeSet<&String> = states.iter().chain(&self.before).flat_map(BTreeMap::keys).collect();
        let values = |key: &String| states.iter().map(|state| state.get(key).cloned()).collect();
        keys.into_iter().map(|key| (key.clone(), values(key))).collect()
    }
}

/// Sessions that are left go on. Their bytes may be wrong, which must not go unseen.
fn go_on(store: &Store, root: &Path, when: &str) {
    let blob = thing("layer");
    for session in sessions(store, root, blob.name).expect("sessions") {
        let rest = blob.bytes.get(session.offset as usize..).unwrap_or_default();
        let result = store.open_upload(&session.name, &session.id).and_then(|mut upload| {
            upload.append(&mut Pieces(rest))?;
            upload.finish(&blob.digest)
        });
        match result {
            Ok(()) => {}
            Err(Error::DigestMismatch { .. }) if !session.sound => {}
            Err(error) => panic!("{when}, and the session does not go on: {error}"),
        }
    }
}

/// Which outcomes to look at: all, or the extremes, those that differ from an extreme in one place, and some that
/// chance picks. What is only about sessions is left to chance where there is much else.
fn choose(ways: &[(usize, bool)], rounds: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let product = |minor_too: bool| {
        let counts = ways.iter().filter(|(_, minor)| minor_too || !minor).map(|(count, _)| *count);
        counts.fold(1, usize::saturating_mul)
    };
    let limit = 2 * rounds;
    if product(true) <= limit {
        return (0..product(true))
            .map(|number| digits(number, ways.iter().map(|(count, _)| *count)))
            .collect();
    }
    let mut chosen = Vec::new();
    let any =
        |random: &mut Random| -> Vec<usize> { ways.iter().map(|(count, _)| random.below(*count)).collect() };
    if product(false) <= limit {
        for number in 0..product(false) {
            let counts = ways.iter().map(|(count, minor)| if *minor { 1 } else { *count });
            let by_chance = any(random);
            let main = digits(number, counts);
            let mixed = ways.iter().zip(main.iter().zip(by_chance));
            chosen.push(
                mixed.map(|((_, minor), (main, chance))| if *minor { chance } else { *main }).collect(),
            );
        }
    }
    let oldest = vec![0; ways.len()];
    let newest: Vec<usize> = ways.iter().map(|(count, _)| count - 1).collect();
    let extremes = if rounds < ROUNDS_LONG { vec![newest] } else { vec![newest, oldest] };
    for (at, (count, _)) in ways.iter().enumerate() {
        for (extreme, way) in extremes.iter().flat_map(|extreme| (0..*count).map(move |way| (extreme, way))) {
            let mut but_one = extreme.clone();
            but_one[at] = way;
            chosen.push(but_one);
        }
    }
    chosen.extend((0..rounds).map(|_| any(random)));
    chosen
}

/// The digits of a number whose places have these bases.
fn digits(mut number: usize, bases: impl Iterator<Item = usize>) -> Vec<usize> {
    let digit = |base: usize| {
        let digit = number % base;
        number /= base;
        digit
    };
    bases.map(digit).collect()
}

fn fingerprint(tree: &Tree, acknowledged: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (tree, acknowledged).hash(&mut hasher);
    hasher.finish()
}

fn readable(tree: &Tree) -> String {
    let text = |left: &Left| match left {
        Left::Folder => "folder".to_owned(),
        Left::Symlink(target) => format!("-> {target}"),
        Left::File { node, bytes, read_only } => {
            let content = name_of(&Digest::of(Algorithm::Sha256, bytes));
            let mode = if *read_only { "read-only" } else { "writable" };
            format!("file {node}, {mode}, {} bytes: {content}", bytes.len())
        }
    };
    tree.iter().map(|(path, left)| format!("  {path}: {}\n", text(left))).collect()
}
