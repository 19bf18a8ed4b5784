//! The registry as the system sees it, and as little of the system as it may have.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Registry, listen};

/// What a process uses.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Memory that is really there, in MiB.
    pub resident: usize,
    /// The most of it there has been, in MiB.
    pub peak: usize,
    pub threads: usize,
    pub descriptors: usize,
}

impl Registry {
    /// Starts one through a shell that first runs `limits`: `ulimit -n 64`.
    pub fn start_limited(limits: &str, flags: &[&str]) -> Self {
        let root = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let log = Arc::default();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limits}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_registry")]);
        let (child, address) = listen(&mut shell, root.path(), &flags, &log);
        Self { child, address, root, flags, log }
    }

    /// Asserts that an answer comes within a second. On a machine that is busy with other things, of five requests
    /// it is enough that one is.
    #[track_caller]
    pub fn assert_served_at_once(&self) {
        let mut times = Vec::new();
        for _ in 0..5 {
            let begin = Instant::now();
            self.assert_alive();
            times.push(begin.elapsed());
            if begin.elapsed() < Duration::from_secs(1) {
                return;
            }
        }
        panic!("none of these was at once: {times:?}");
    }

    /// What the process uses at this moment.
    pub fn usage(&self) -> Usage {
        let folder = format!("/proc/{}", self.pid());
        let status = fs::read_to_string(format!("{folder}/status")).expect("the process lives");
        let field = |name: &str| -> usize {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.split_whitespace().next().expect(name).parse().expect(name)
        };
        Usage {
            resident: field("VmRSS:") / 1024,
            peak: field("VmHWM:") / 1024,
            threads: field("Threads:"),
            descriptors: fs::read_dir(format!("{folder}/fd")).expect("the process lives").count(),
        }
    }
}
