//! How much there is in all: counted by walking, from names and metadata alone.
//!
//! A number kept in memory would be wrong as soon as another process serves the same root, or somebody uses `rm`.
//! So it is counted, now and then, by a thread that takes its time.
//!
//! Who sees what, when: servers are at work meanwhile, so what came or went during the walk may be counted or not.

use std::fs::DirEntry;
use std::path::Path;
use std::thread;
use std::time::Instant;

use super::Store;
use super::disk;
use crate::digest::Algorithm;
use crate::error::Error;
use crate::name::RepositoryName;

/// What there is below a root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Repositories that hold a manifest: as many as the catalog lists.
    pub repositories: u64,
    /// Tags in all of them.
    pub tags: u64,
    /// Files under `blobs/`: blobs and manifests, each once.
    pub blobs: u64,
    /// Their lengths, in bytes.
    pub bytes: u64,
    /// Upload sessions, begun and not yet finished.
    pub uploads: u64,
}

/// So many entries are looked at between two rests.
const ENTRIES: u32 = 256;

/// A rest is so many times as long as the work before it: a walk takes a fifth of one core at most, and leaves the
/// disk to others for as much of the time.
const REST: u32 = 4;

/// Keeps a walk slow.
struct Pace {
    begin: Instant,
    entries: u32,
}

impl Pace {
    fn step(&mut self) {
        self.entries += 1;
        if self.entries >= ENTRIES {
            thread::sleep(self.begin.elapsed() * REST);
            *self = Self { begin: Instant::now(), entries: 0 };
        }
    }
}

impl Store {
    /// Counts all there is, slowly.
    ///
    /// # Errors
    /// A folder cannot be read. One that is gone, or was never there, holds nothing.
    pub fn count(&self) -> Result<Totals, Error> {
        let mut walk = Walk { totals: Totals::default(), pace: Pace { begin: Instant::now(), entries: 0 } };
        for algorithm in Algorithm::ALL {
            walk.blobs(&self.blobs(algorithm))?;
        }
        walk.uploads(&self.root.join("uploads"))?;
        walk.repositories(&self.root.join("repositories"), "")?;
        Ok(walk.totals)
    }
}

struct Walk {
    totals: Totals,
    pace: Pace,
}

impl Walk {
    fn blobs(&mut self, folder: &Path) -> Result<(), Error> {
        disk::for_each_entry(folder, &mut |entry| {
            self.pace.step();
            // Gone meanwhile: not counted.
            if let Ok(file) = entry.metadata()
                && file.is_file()
            {
                self.totals.blobs += 1;
                self.totals.bytes += file.len();
            }
        })?;
        Ok(())
    }

    fn uploads(&mut self, folder: &Path) -> Result<(), Error> {
        disk::for_each_entry(folder, &mut |entry| {
            self.pace.step();
            self.totals.uploads += u64::from(!is_hidden(&entry));
        })?;
        Ok(())
    }

    /// Holds no folder open while it goes into those below.
    fn repositories(&mut self, folder: &Path, prefix: &str) -> Result<(), Error> {
        for component in disk::names(folder)?.iter().filter(|name| !name.starts_with(['_', '.'])) {
            let (folder, name) = (folder.join(component), format!("{prefix}{component}"));
            if RepositoryName::parse(&name).is_ok() {
                self.repository(&folder)?;
                self.repositories(&folder, &format!("{name}/"))?;
            }
        }
        Ok(())
    }

    fn repository(&mut self, folder: &Path) -> Result<(), Error> {
        self.pace.step();
        if super::catalog::holds_manifest(folder)? {
            self.totals.repositories += 1;
        }
        disk::for_each_entry(&folder.join("_tags"), &mut |entry| {
            self.pace.step();
            let can_be_tag = entry.file_type().is_ok_and(|kind| kind.is_file() || kind.is_symlink());
            self.totals.tags += u64::from(can_be_tag && !is_hidden(&entry));
        })?;
        Ok(())
    }
}

/// A name that is on its way, or a probe.
fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}
