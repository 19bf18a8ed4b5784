//! Pairs, medians, ratios.
//!
//! Two runs of a benchmark on one machine differ by more than what they are to tell apart: others use it too. So
//! each figure of ours is compared with the peer's that was taken right before or after it, and the median of
//! these ratios counts.

use std::time::Instant;

use super::servers::Server;

/// What one run of some work took.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Seconds by the clock.
    pub wall: f64,
    /// Seconds of CPU that the server used.
    pub cpu: f64,
    /// How much was done: requests, images; 1 where it is one thing.
    pub done: f64,
}

impl Sample {
    /// So many a second.
    pub fn rate(&self) -> f64 {
        self.done / self.wall
    }

    /// Seconds by the clock for each.
    pub fn wall_each(&self) -> f64 {
        self.wall / self.done
    }

    /// CPU seconds of the server for each.
    pub fn cpu_each(&self) -> f64 {
        self.cpu / self.done
    }
}

/// Takes the time of `work`, which returns how much it has done.
pub fn sample(server: &Server, work: impl FnOnce() -> usize) -> Sample {
    let (cpu, begin) = (server.cpu_seconds(), Instant::now());
    let done = work() as f64;
    Sample { wall: begin.elapsed().as_secs_f64(), cpu: server.cpu_seconds() - cpu, done }
}

/// Runs the same work by each contestant in turn, once to warm up and then `pairs` times. Returns each one's
/// samples.
pub fn in_turn<const N: usize>(
    pairs: usize,
    mut contestants: [&mut dyn FnMut() -> Sample; N],
) -> [Vec<Sample>; N] {
    let mut samples = [const { Vec::new() }; N];
    for round in 0..=pairs {
        for (run, samples) in contestants.iter_mut().zip(&mut samples) {
            let sample = run();
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    samples
}

/// The median of what `figure` says of each sample.
pub fn median_of(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(figure).collect())
}

/// The one in the middle, or between the two there.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) }
}

/// The ratios of two contestants, pair by pair.
#[derive(Clone, Copy)]
pub struct Ratio {
    /// This one counts.
    pub median: f64,
    /// The smallest of them,
    pub least: f64,
    /// and the largest.
    pub most: f64,
}

/// Ours divided by the other's, pair by pair.
pub fn ratio(ours: &[Sample], other: &[Sample], figure: impl Fn(&Sample) -> f64) -> Ratio {
    let ratios: Vec<f64> = ours.iter().zip(other).map(|(ours, other)| figure(ours) / figure(other)).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    Ratio { median: median(ratios), least, most }
}
