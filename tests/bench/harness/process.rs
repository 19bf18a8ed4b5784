//! What the system says of a process: CPU seconds, memory.

use std::fs;

/// The unit of times in /proc, in seconds: Linux tells programs 100 a second, whatever the kernel was built with.
const TICK: f64 = 0.01;

/// CPU seconds that a process has used, in it and in the kernel for it, all its threads together, also those
/// that have ended. Exact to two hundredths: what is measured must take longer.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses"); // it may contain anything
    let mut times = fields.split(' ').skip(11).map(|ticks| ticks.parse::<f64>().expect("a number"));
    let (user, system) = (times.next().expect("utime"), times.next().expect("stime"));
    (user + system) * TICK
}

/// The processes that a process has started.
pub fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(1));
        if parent.and_then(|parent| parent.parse().ok()) == Some(pid) {
            found.push(child);
        }
    }
    found
}

/// Memory of a process, in MiB.
#[derive(Clone, Copy)]
pub struct Memory {
    /// What is really there now.
    pub resident: f64,
    /// The most there ever was.
    pub peak: f64,
}

/// The memory of a process.
pub fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let field = |name: &str| -> f64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.split_whitespace().next().expect(name).parse::<f64>().expect(name) / 1024.0
    };
    Memory { resident: field("VmRSS:"), peak: field("VmHWM:") }
}
