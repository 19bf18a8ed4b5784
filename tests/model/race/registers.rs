//! Things that are there or not, or that are one thing or another, and whether what was read of them can be.
//!
//! Each path of the API is such a thing; its value is the digest that it is answered with, or none. A client notes
//! when it began to ask and when it had the answer, by a clock that all share: a number that grows. Of two requests
//! of which one ended before the other began, the order is known; of others it is not. So what is read must have
//! been written by a request that had begun by then, and must not have been replaced by one that began after that
//! and ended before the reading began.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::operation::shorten;
use crate::request::{Client, Request};

/// How many of a thing's changes are shown when something is wrong with it.
const SHOWN: usize = 40;

/// A digest, or that nothing is there.
pub type Value = Option<String>;

/// From when to when something was asked and answered.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub began: u64,
    pub ended: u64,
}

/// What a request did to a thing.
#[derive(Debug)]
pub enum Change {
    To(Value),
    /// Nothing is there any more, if it was this.
    From(String),
}

impl Change {
    fn gives(&self, value: &Value) -> bool {
        match self {
            Self::To(given) => given == value,
            Self::From(_) => value.is_none(),
        }
    }

    fn replaces(&self, value: &Value) -> bool {
        match self {
            Self::To(_) => true,
            Self::From(old) => value.as_ref() == Some(old),
        }
    }
}

/// All things.
#[derive(Default)]
pub struct Registers {
    clock: AtomicU64,
    by_path: Mutex<BTreeMap<String, Register>>,
}

#[derive(Default)]
struct Register {
    changes: Vec<(Span, Change, String)>,
    reads: Vec<(Span, Value, String)>,
}

impl Registers {
    /// Things at these paths, of which nothing is there.
    pub fn of(paths: impl Iterator<Item = String>) -> Self {
        let registers = Self::default();
        for path in paths {
            let start = registers.instant();
            registers.change(&path, start, Change::To(None), "the start");
        }
        registers
    }

    pub fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn instant(&self) -> Span {
        Span { began: self.now(), ended: self.now() }
    }

    /// Notes that `who` changed a thing.
    pub fn change(&self, path: &str, span: Span, change: Change, who: &str) {
        let mut all = self.by_path.lock().expect("nobody panicked here");
        all.entry(path.to_owned()).or_default().changes.push((span, change, who.to_owned()));
    }

    /// Notes that `who` read a thing.
    pub fn read(&self, path: &str, span: Span, value: Value, who: &str) {
        let mut all = self.by_path.lock().expect("nobody panicked here");
        let register = all.get_mut(path).unwrap_or_else(|| panic!("{path} is none of these things"));
        register.reads.push((span, value, who.to_owned()));
    }

    /// Reads everything, while nobody is at work, and panics if that or anything that was read before cannot be.
    /// From then on everything is what it is now. Returns how many reads there were.
    pub fn look_at_all(&mut self, client: &mut Client) -> usize {
        let paths: Vec<String> =
            self.by_path.get_mut().expect("nobody panicked here").keys().cloned().collect();
        for path in &paths {
            let began = self.now();
            let answer = client.send(0, &Request::new("HEAD", path.clone()));
            assert!(matches!(answer.status, 200 | 404), "{path}: {answer:?}");
            let value = answer.header("Docker-Content-Digest").map(str::to_owned);
            self.read(path, Span { began, ended: self.now() }, value, "the end");
        }
        let mut count = 0;
        for (path, register) in self.by_path.get_mut().expect("nobody panicked here") {
            register.check(path);
            count += register.reads.len();
            register.settle();
        }
        count
    }

    /// What a thing was when all were looked at last.
    pub fn settled(&self, path: &str) -> Value {
        let all = self.by_path.lock().expect("nobody panicked here");
        all[path].changes.iter().find_map(|(_, change, _)| match change {
            Change::To(value) => value.clone(),
            Change::From(_) => None,
        })
    }
}

impl Register {
    /// Panics if something that was read cannot be, or something went more often than it came.
    fn check(&self, path: &str) {
        let count = |is: fn(&Change) -> bool| self.changes.iter().filter(|(_, change, _)| is(change)).count();
        let came = count(|change| matches!(change, Change::To(Some(_))));
        let went = count(|change| matches!(change, Change::To(None)));
        let is_there_first = matches!(self.changes[0].1, Change::To(Some(_)));
        let most = came + usize::from(!is_there_first); // what it was at first is a change here, too
        assert!(went <= most, "{path}: it came {came} times and went {went}");
        for (span, value, who) in &self.reads {
            let can_be = self.changes.iter().any(|(written, change, _)| {
                change.gives(value)
                    && written.began < span.ended
                    && !self.is_over(*written, value, span.began)
            });
            if !can_be {
                panic!(
                    "{}",
                    shorten(&format!("{path}: {who} read {value:?} at {span:?}\n{}", self.told(span)))
                );
            }
        }
    }

    /// Was what was written then replaced, for certain, by this time?
    fn is_over(&self, written: Span, value: &Value, at: u64) -> bool {
        let after = |span: &Span| span.began > written.ended && span.ended < at;
        self.changes.iter().any(|(span, change, _)| after(span) && change.replaces(value))
    }

    /// What was written up to the end of a reading.
    fn told(&self, reading: &Span) -> String {
        let mut changes: Vec<_> =
            self.changes.iter().filter(|(span, ..)| span.began < reading.ended).collect();
        changes.sort_by_key(|(span, ..)| span.ended);
        let mut told = String::new();
        for (span, change, who) in changes.iter().rev().take(SHOWN).rev() {
            let _ = writeln!(told, "  {}-{} {change:?} by {who}", span.began, span.ended);
        }
        told
    }

    /// Forgets all but what was read last.
    fn settle(&mut self) {
        if let Some((span, value, who)) = self.reads.pop() {
            self.changes = vec![(span, Change::To(value), who)];
            self.reads.clear();
        }
    }
}
