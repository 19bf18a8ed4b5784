//! What `crash` and `model` have in common: tests in parts, with counts, a seed, and a main of their own.

pub mod random;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

/// A part: its name, and what it does. It returns its counts, or panics.
pub type Part<P> = (&'static str, fn(P) -> String);

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect(name))
}

/// What chance follows from: `SEED`, or by default the time.
pub fn seed() -> u64 {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_micros());
    number("SEED").unwrap_or(clock as u64 % 1_000_000)
}

/// Runs the parts that the arguments select, each whatever became of the one before. With the settings in `told`,
/// the same run can be had again.
pub fn run<P: Copy>(what: &str, told: &str, parts: &[Part<P>], plan: P) -> ExitCode {
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    println!("\n{what} tests, {told}");
    let (mut passed, mut failed) = (0, 0);
    for (name, run) in parts.iter().filter(|(name, _)| is_wanted(name)) {
        let start = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| run(plan))) {
            Ok(counts) => {
                passed += 1;
                println!("{name}: {counts} ({:.1} s)", start.elapsed().as_secs_f64());
            }
            Err(_) => {
                failed += 1;
                println!("{name}: FAILED; to replay: {told}");
            }
        }
    }
    println!("{passed} passed, {failed} failed\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
