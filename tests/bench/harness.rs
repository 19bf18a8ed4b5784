//! What all rows need: where the data lies, how often things are measured, and on what machine.

pub mod client;
pub mod content;
pub mod fixture;
pub mod measure;
pub mod process;
pub mod servers;
pub mod table;

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use fixture::Fixture;
use servers::{Kind, Server};

/// How often each contestant has its turn, unless `PAIRS` says otherwise.
pub const PAIRS: usize = 5;

/// Where folders in memory are made on Linux. `DATA` names another.
const MEMORY: &str = "/dev/shm";

/// Names the folders, together with the process that made them.
const FOLDER: &str = "container-registry-bench-";

/// What a row works with.
pub struct Bench {
    pub pairs: usize,
    memory: Folder,
    fixture: OnceCell<Fixture>,
}

impl Bench {
    pub fn new(pairs: usize) -> Self {
        let place = std::env::var_os("DATA").map_or_else(|| PathBuf::from(MEMORY), PathBuf::from);
        Self { pairs, memory: Folder::new(&place), fixture: OnceCell::new() }
    }

    /// Starts a server over an empty folder in memory.
    pub fn start(&self, kind: Kind) -> Server {
        Server::start(kind, &self.memory.fresh())
    }

    /// The large store, made when it is first asked for.
    pub fn fixture(&self) -> &Fixture {
        self.fixture.get_or_init(|| Fixture::make(&self.memory.fresh()))
    }

    /// What a reader of the table must know: the machine, the day, the versions.
    pub fn circumstances(&self) -> String {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let processor = read("/proc/cpuinfo");
        let model = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let date = Command::new("date").args(["-u", "+%F %H:%M UTC"]).output().expect("date");
        format!(
            "{} pairs, {}. {cores} cores, {}; Linux {}; load {}. Data in {} ({}). {}; {}; {}.",
            self.pairs,
            String::from_utf8_lossy(&date.stdout).trim(),
            model.trim_start_matches(['\t', ' ', ':']).trim(),
            read("/proc/sys/kernel/osrelease").trim(),
            read("/proc/loadavg").split(' ').next().unwrap_or_default(),
            self.memory.place.display(),
            file_system(&self.memory.place),
            Kind::Ours.version(),
            Kind::Distribution.version(),
            Kind::Nginx.version(),
        )
    }
}

/// A folder that goes when this is dropped.
pub struct Folder {
    place: PathBuf,
    path: PathBuf,
    count: AtomicUsize,
}

impl Folder {
    /// Makes one in `place`, and removes those that a measurement has left there which was killed.
    pub fn new(place: &Path) -> Self {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = place.join(format!("{FOLDER}{}", std::process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { place: place.to_owned(), path, count: AtomicUsize::new(0) }
    }

    /// The path of a folder in it that there has not been.
    pub fn fresh(&self) -> PathBuf {
        self.path.join(self.count.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The type of the file system that a folder is in.
pub fn file_system(folder: &Path) -> String {
    let output = Command::new("df").arg("--output=fstype").arg(folder).output().expect("df");
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().trim().to_owned()
}
