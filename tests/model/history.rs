//! What somebody did last, for the one who has to find out why it went wrong.

use std::collections::VecDeque;

/// How many lines are kept.
const LINES: usize = 60;

/// The last things that one client did.
pub struct History {
    who: String,
    lines: VecDeque<String>,
}

impl History {
    pub fn of(who: String) -> Self {
        Self { who, lines: VecDeque::new() }
    }

    pub fn who(&self) -> &str {
        &self.who
    }

    pub fn remember(&mut self, line: String) {
        self.lines.push_back(line);
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }

    /// All of it, to be read by a person.
    pub fn told(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        format!("{}, the last {} operations:\n  {}", self.who, lines.len(), lines.join("\n  "))
    }
}
