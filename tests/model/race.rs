//! Everybody does everything to the same few things at once, over two processes: blobs are pushed, mounted and
//! deleted, manifests pushed and deleted, tags moved, sessions begun, written to and finished by whoever comes.
//!
//! Every answer must be of those that are documented for its request, and never 500. What was read of a thing at
//! any time must be what somebody put there ([`registers`]); so whatever was acknowledged, and nobody can
//! have deleted since, is there. At pauses, when nobody is at work, the store is sound and holds nothing
//! that belongs to nobody.
//!
//! Clients may delete a blob that a manifest refers to; then the store says so, rightly, as a fault of that
//! manifest. That is a matter of order alone: a push of the manifest that is acknowledged and a delete
//! of its blob that is acknowledged leave the same, whether they met or not. So nobody deletes those blobs
//! here, and the blobs that are deleted are no part of a manifest.
//!
//! `SEED` replays what each client chooses, up to the first answer that comes out otherwise.

mod course;
mod racer;
mod registers;
mod swaps;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::files;
use crate::history::History;
use crate::it::harness::Registry;
use crate::parts::random::Random;
use crate::request::{Client, Request};
use crate::tally::Tally;
use crate::{Plan, QUIET};

use course::Course;
use racer::Racer;

const RACERS: u64 = 8;
/// How long they run, before everything is looked at.
const RUN: Duration = Duration::from_secs(1);
/// How often they then sprint: each does a few things to one blob and one manifest, and everything is looked at.
/// What goes wrong in a run may be mended by what comes later.
const SPRINTS: usize = 40;

pub fn run(plan: Plan) -> String {
    let mut race = Race::new(plan.seed);
    let end = Instant::now() + Duration::from_secs(plan.seconds);
    while Instant::now() < end {
        let deadline = end.min(Instant::now() + RUN);
        race.heat(|racer| racer.run_until(deadline));
        for _ in 0..SPRINTS {
            race.heat(|racer| racer.sprint());
        }
    }
    let Race { heats, reads, swaps, tally, .. } = race;
    format!(
        "{heats} heats, {RACERS} threads over 2 processes, {reads} reads and {swaps} swaps in order, {tally}"
    )
}

struct Race {
    registry: Registry,
    other: Registry,
    course: Course,
    seed: u64,
    heats: u64,
    reads: usize,
    swaps: usize,
    tally: Tally,
}

impl Race {
    fn new(seed: u64) -> Self {
        let registry = Registry::start_with(QUIET);
        let other = registry.start_beside();
        let course = Course::new(Random::new(seed, &[5]));
        Self { registry, other, course, seed, heats: 0, reads: 0, swaps: 0, tally: Tally::default() }
    }

    /// All do this at once; then everything is looked at.
    fn heat(&mut self, how: impl Fn(Racer<'_>) -> (Tally, History) + Sync) {
        let servers = [self.registry.address, self.other.address];
        let start = Barrier::new(RACERS as usize);
        let run = |number| {
            let random = Random::new(self.seed, &[5, self.heats, number]);
            let who = format!("heat {}, racer {number}", self.heats);
            let racer = Racer::new(who, Client::new(&servers), random, &self.course, self.heats as usize);
            start.wait();
            how(racer)
        };
        let ran: Vec<_> = thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS).map(|number| scope.spawn(move || run(number))).collect();
            racers.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let (log, other_log) = (self.registry.log(), self.other.log());
        assert!(ran.iter().all(Result::is_ok), "the registries said\n{log}{other_log}");
        let histories =
            || ran.iter().flatten().map(|(_, history)| history.told()).collect::<Vec<_>>().join("\n");
        let looked = catch_unwind(AssertUnwindSafe(|| self.look()));
        looked.unwrap_or_else(|_| panic!("{}", histories()));
        for (tally, _) in ran.iter().flatten() {
            self.tally.add(tally);
        }
        self.heats += 1;
    }

    fn look(&mut self) {
        let mut client = Client::new(&[self.registry.address, self.other.address]);
        cancel_sessions(&mut client, &self.course);
        self.reads += self.course.registers.look_at_all(&mut client);
        self.swaps += self.course.swaps.check(|path| self.course.registers.settled(path));
        files::assert_sound(&self.registry);
    }
}

/// Those that nobody finished.
fn cancel_sessions(client: &mut Client, course: &Course) {
    for session in course.take_sessions() {
        let status = client.send(0, &Request::new("DELETE", session.location)).status;
        assert!(matches!(status, 204 | 404), "{status} for the DELETE of a session");
    }
}
