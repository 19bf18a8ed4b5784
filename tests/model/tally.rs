//! How often each status was answered.

use std::collections::BTreeMap;
use std::fmt;

/// Counts of statuses.
#[derive(Default)]
pub struct Tally(BTreeMap<u16, usize>);

impl Tally {
    pub fn note(&mut self, status: u16) {
        *self.0.entry(status).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.0 {
            *self.0.entry(*status).or_default() += count;
        }
    }

    pub fn total(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        write!(f, "{} operations ({})", self.total(), counts.join(", "))
    }
}
