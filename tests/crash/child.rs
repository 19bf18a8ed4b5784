//! The child process: does something to a store, tells its parent each step before it takes it, and may be told
//! to end at one.
//!
//! Each is a fresh process, as a server is after its start. It ends by `abort`: nothing is flushed, no
//! destructor runs, locks go with the process. Where the tests run as root, it can run as nobody too, for whom
//! file permissions count.

use std::env;
use std::fmt;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio, abort};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use container_registry::error::Error;
use container_registry::store::{Store, disk};

use crate::acts::Act;
use crate::content::{Pieces, thing};
use crate::did::Did;
use crate::operations::{Operation, all};
use crate::shown::sessions;

/// Makes a process a child: the order, as [`Order`] writes it.
const ORDER: &str = "CRASH_TEST_ORDER";

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// What comes before the operation.
    Before,
    /// What another process does at the same time.
    Meanwhile,
    /// The operation.
    Do,
    /// The operation once more.
    Retry,
    /// The operation, where another process was at work.
    Attempt,
    /// The sessions that are there go on, and are finished.
    GoOn,
    /// The sessions that are there are sent something else, and cancelled.
    GiveUp,
}

const TASKS: [Task; 7] =
    [Task::Before, Task::Meanwhile, Task::Do, Task::Retry, Task::Attempt, Task::GoOn, Task::GiveUp];

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Who does what, and how far.
pub struct Order<'a> {
    pub root: &'a Path,
    pub operation: &'a Operation,
    pub task: Task,
    /// The process ends where it would take this step, counted from 0.
    pub stop: Option<usize>,
    /// Is it to run as nobody?
    pub nobody: bool,
}

/// The ids of the user `nobody` and of its group.
pub const NOBODY: u32 = 65534;

/// What a child did.
pub struct Outcome {
    /// The steps, the one it stopped at excluded.
    pub steps: Vec<Did>,
    /// Did it come to its end?
    pub ended: bool,
}

impl Order<'_> {
    /// Starts a child and waits for its end, for which it has a minute.
    pub fn run(&self) -> Outcome {
        let order = format!(
            "{}\t{}\t{}\t{}",
            self.root.display(),
            self.operation.name,
            self.task,
            self.stop.map_or("-".to_owned(), |stop| stop.to_string())
        );
        let mut command = Command::new("/proc/self/exe"); // found by nobody too, wherever it lies
        command.env(ORDER, &order).current_dir(self.root).stdin(Stdio::null());
        if self.nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        let Output { status, stdout, stderr } = command.output().expect("a child");
        let said = String::from_utf8(stdout).expect("text");
        let mut steps: Vec<Did> =
            said.lines().map(|line| Did::from_line(line).unwrap_or_else(|| panic!("{line}"))).collect();
        if !status.success() {
            let stopped = steps.len().checked_sub(1) == self.stop && self.stop.is_some();
            assert!(stopped, "{order}: {status}: {}", String::from_utf8_lossy(&stderr));
            steps.pop();
        }
        Outcome { steps, ended: status.success() }
    }
}

/// Is this process a child? Then it does what it is told to, and this is its exit code.
pub fn main() -> Option<ExitCode> {
    let order = env::var(ORDER).ok()?;
    let parts: Vec<&str> = order.split('\t').collect();
    let [root, operation, task, stop] = parts.as_slice() else { panic!("{order}") };
    let operation = all().find(|known| known.name == *operation).expect("an operation");
    let task = TASKS.into_iter().find(|known| known.to_string() == *task).expect("a task");
    watchdog();
    match obey(Path::new(root), operation, task, stop.parse().ok()) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{}", error.log_text());
            Some(ExitCode::FAILURE)
        }
    }
}

fn obey(root: &Path, operation: &Operation, task: Task, stop: Option<usize>) -> Result<(), Error> {
    let open = || Store::open(root).expect("a store");
    let observe = || observe(root.to_owned(), stop);
    let store = if matches!(operation.acts.first(), Some(Act::Open)) && task == Task::Do {
        observe();
        open()
    } else {
        let store = open();
        observe();
        store
    };
    let acts = match task {
        Task::Before => operation.before,
        Task::Meanwhile => operation.meanwhile,
        Task::Do | Task::Retry | Task::Attempt => operation.acts,
        Task::GoOn => return go_on(&store),
        Task::GiveUp => return give_up(&store),
    };
    for (at, act) in acts.iter().enumerate() {
        match task {
            Task::Attempt if !act.attempt(&store)? => return Ok(()),
            Task::Attempt => {}
            Task::Retry => act.retry(&store)?,
            _ => act.run(&store)?,
        }
        tell(&Did::Acknowledged(at + 1));
    }
    Ok(())
}

/// Sends what is missing to each session, and closes it.
fn go_on(store: &Store) -> Result<(), Error> {
    let blob = thing("layer");
    for session in sessions(store, store.root(), blob.name)? {
        let mut upload = store.open_upload(&session.name, &session.id)?;
        upload.append(&mut Pieces(&blob.bytes[session.offset as usize..]))?;
        upload.finish(&blob.digest)?;
    }
    Ok(())
}

/// Sends something else to each session, and then cancels it.
fn give_up(store: &Store) -> Result<(), Error> {
    for session in sessions(store, store.root(), "layer")? {
        let mut upload = store.open_upload(&session.name, &session.id)?;
        upload.append(&mut Pieces(b"no part of any blob"))?;
        upload.save()?;
        drop(upload);
        store.open_upload(&session.name, &session.id)?.cancel()?;
    }
    Ok(())
}

fn observe(root: PathBuf, stop: Option<usize>) {
    let count = AtomicUsize::new(0);
    disk::observe(Box::new(move |step| {
        tell(&Did::from_step(step, &root));
        if Some(count.fetch_add(1, Ordering::Relaxed)) == stop {
            abort();
        }
        Ok(())
    }));
}

fn tell(did: &Did) {
    let line = format!("{}\n", did.to_line());
    std::io::stdout().write_all(line.as_bytes()).expect("somebody who listens");
}

/// A child that hangs must not hang the tests: it ends after a minute.
fn watchdog() {
    let deadline = Instant::now() + Duration::from_secs(60);
    thread::spawn(move || {
        while Instant::now() < deadline {
            thread::park_timeout(deadline - Instant::now());
        }
        eprintln!("this took more than a minute");
        abort();
    });
}

/// Is this process root's? Then it can start children that are nobody's.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}
