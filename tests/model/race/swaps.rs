//! Tags that are moved on a condition only: from what a client has seen to something else. No move may be lost.
//!
//! Whatever the order was, each value was left as often as it was reached, but for the first and the last.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::registers::Value;

/// The moves that were acknowledged, by tag.
#[derive(Default)]
pub struct Swaps(Mutex<BTreeMap<String, Moves>>);

/// How often each value was reached, less how often it was left, up to now; it began with none.
#[derive(Default)]
struct Moves {
    balance: BTreeMap<Value, isize>,
    count: usize,
}

impl Swaps {
    pub fn note(&self, path: &str, from: Value, to: Value) {
        let mut all = self.0.lock().expect("nobody panicked here");
        let moves = all.entry(path.to_owned()).or_default();
        *moves.balance.entry(from).or_default() -= 1;
        *moves.balance.entry(to).or_default() += 1;
        moves.count += 1;
    }

    /// Panics if a move was lost; `now` says what a tag is, while nobody is at work. Returns how many there were
    /// since the last time.
    pub fn check(&self, now: impl Fn(&str) -> Value) -> usize {
        let mut count = 0;
        for (path, moves) in self.0.lock().expect("nobody panicked here").iter_mut() {
            let now = now(path);
            for (value, balance) in &moves.balance {
                let wanted = isize::from(*value == now) - isize::from(value.is_none());
                assert_eq!(
                    *balance, wanted,
                    "{path} is {now:?}; {value:?} was reached too often or not enough"
                );
            }
            count += std::mem::take(&mut moves.count);
        }
        count
    }
}
