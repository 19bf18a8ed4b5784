//! What a sweep does to a repository while it holds its lock alone. What is to go is decided in
//! [`gc`](crate::gc); here it goes, in the order that no crash can turn into a name without bytes.
//!
//! Who sees what, when: nobody brings a manifest, a tag or a blob meanwhile. Readers go on; one who has just been
//! told that something is there keeps it ([`usage`](super::usage)). The lock is held for a moment only: `is_long`
//! says when it is time to let others in, and the slow part, to forget the bytes, comes after it.
//!
//! What looks unreferenced may look so because of a change that nobody has synced yet: a tag that was moved, an
//! index that was deleted. So the first thing under the lock is to sync those folders. Otherwise a loss of power
//! could bring back a tag whose manifest is gone.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::blobs::{Aside, Freed};
use super::usage::Cutoff;
use super::{Guard, KINDS, Store, disk};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::name::RepositoryName;
use crate::reference::{Tag, UploadId};

/// For how long a sweep keeps others from writing, as a rule, and how many blobs it takes at a time at most.
const LOCK_TIME_MAX: Duration = Duration::from_millis(50);
const LOCK_BLOBS_MAX: usize = 1000;

/// A repository to which nobody else writes at present.
pub struct Sweeping<'s> {
    store: &'s Store,
    name: RepositoryName,
    _lock: Guard,
    since: Instant,
    time_max: Duration,
    asides: Vec<Aside>,
}

impl Store {
    /// Waits until nobody else writes to a repository. `None` if it is not there.
    pub fn sweep(&self, name: &RepositoryName) -> Result<Option<Sweeping<'_>>, Error> {
        let lock = match self.own_repository(name) {
            Err(Error::NameUnknown(_)) => return Ok(None),
            lock => lock?,
        };
        for algorithm in Algorithm::ALL {
            let manifests = self.repository(name).join("_manifests").join(algorithm.as_str());
            disk::if_exists(disk::sync_folder(&manifests))?;
        }
        disk::if_exists(disk::sync_folder(&self.tags(name)))?;
        let (name, since) = (name.clone(), Instant::now());
        Ok(Some(Sweeping {
            store: self,
            name,
            _lock: lock,
            since,
            time_max: LOCK_TIME_MAX,
            asides: Vec::new(),
        }))
    }

    /// What a crash has left in a repository: names that a push had no time to give their place, entries of
    /// referrers that never came or are gone, and the folders of subjects that have none any more.
    pub fn leftovers(&self, name: &RepositoryName) -> Result<Vec<PathBuf>, Error> {
        let mut found = temporary_names(&self.tags(name))?;
        for subject in self.subjects(name)? {
            let entries = disk::names(&subject)?;
            let mut dead = temporary_names(&subject)?;
            for entry in &entries {
                if let Some(referrer) = super::referrers::parse_entry(entry)
                    && !self.has_manifest(name, &referrer)?
                {
                    dead.push(subject.join(entry));
                }
            }
            let is_empty = dead.len() == entries.len();
            found.extend(dead);
            found.extend(is_empty.then_some(subject)); // behind all that is in it
        }
        Ok(found)
    }

    /// The folders `_referrers/<algorithm>/<subject>` of a repository.
    fn subjects(&self, name: &RepositoryName) -> Result<Vec<PathBuf>, Error> {
        let mut subjects = Vec::new();
        for algorithm in Algorithm::ALL {
            let folder = self.repository(name).join("_referrers").join(algorithm.as_str());
            for subject in disk::names(&folder)?.into_iter().map(|hex| folder.join(hex)) {
                if disk::metadata_of_name(&subject)?.is_some_and(|it| it.is_dir()) {
                    subjects.push(subject); // what is no folder is nothing of ours
                }
            }
        }
        Ok(subjects)
    }

    /// Is there nothing in a repository? Upload sessions do not count: one that is finished later makes the
    /// repository anew. Nor do repositories below it, its locks, and what its tags have been. But what somebody put there
    /// does, whatever it is.
    pub fn is_empty(&self, name: &RepositoryName) -> Result<bool, Error> {
        self.is_empty_without(name, &HashSet::new())
    }

    /// Will there be nothing in it when these names are gone?
    pub fn is_empty_without(&self, name: &RepositoryName, gone: &HashSet<PathBuf>) -> Result<bool, Error> {
        for entry in disk::entries(&self.repository(name))? {
            let is_nothing = match entry.file_name().to_str() {
                Some("_lock" | "_turn" | "_history") => true,
                Some(kind) if KINDS.contains(&kind) => is_hollow(&entry.path(), gone)?,
                Some(below) => {
                    !below.starts_with(['_', '.']) && entry.file_type().is_ok_and(|it| it.is_dir())
                }
                None => false,
            };
            if !is_nothing {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes a folder below `repositories/` that holds nothing at all, and says whether it was so. Folders with
    /// something of a repository in them are none of these, see [`Sweeping::remove_if_empty`].
    pub fn remove_if_bare(&self, name: &RepositoryName) -> Result<bool, Error> {
        Ok(disk::remove_empty_folder(&self.repository(name))?)
    }

    /// Is there nothing of a repository in this folder, not even a lock?
    pub fn is_bare(&self, name: &RepositoryName) -> Result<bool, Error> {
        Ok(disk::names(&self.repository(name))?.iter().all(|entry| !entry.starts_with('_')))
    }
}

impl Sweeping<'_> {
    /// It is known what is to go; now it goes. Of a repository in which the look alone takes long, more goes at a
    /// time, or there would be no end to looking.
    pub fn is_prepared(&mut self) {
        self.time_max = LOCK_TIME_MAX.max(self.since.elapsed());
        self.since = Instant::now();
    }

    /// Have others waited for long enough?
    pub fn is_long(&self) -> bool {
        self.since.elapsed() > self.time_max || self.asides.len() >= LOCK_BLOBS_MAX
    }

    /// Takes a blob from the repository, unless it was used since `cutoff`. That it is gone is certain after
    /// [`Sweeping::finish`].
    pub fn take_blob(&mut self, digest: &Digest, cutoff: Cutoff) -> Result<bool, Error> {
        let aside = self.take(digest, &self.store.held_blob(&self.name, digest), cutoff)?;
        let taken = aside.is_some();
        self.asides.extend(aside);
        Ok(taken)
    }

    /// Takes a manifest from the repository, durably, and its entry as a referrer, unless it was used since
    /// `cutoff`. It must have no tags. `None`: it stays, or is gone.
    pub fn take_manifest(
        &mut self,
        digest: &Digest,
        subject: Option<&Digest>,
        cutoff: Cutoff,
    ) -> Result<Option<Freed>, Error> {
        let held = self.store.held_manifest(&self.name, digest);
        self.store.forget_lost(&self.name, digest)?;
        let Some(aside) = self.take(digest, &held, cutoff)? else { return Ok(None) };
        let aside = [aside];
        self.store.settle_aside(&aside)?;
        let [aside] = aside;
        let freed = self.store.let_go_of(aside)?;
        if let Some(subject) = subject {
            self.store.delete_referrer(&self.name, subject, digest)?;
        }
        Ok(Some(freed))
    }

    fn take(&self, digest: &Digest, held: &Path, cutoff: Cutoff) -> Result<Option<Aside>, Error> {
        self.store.take_aside(digest, held, &|file| cutoff.is_after(disk::last_used(file)))
    }

    /// Lets the others in, and forgets the bytes that were taken. `freed` is told of each. Of several errors the
    /// first is returned.
    pub fn finish(mut self, freed: &mut dyn FnMut(Freed)) -> Result<(), Error> {
        let asides = std::mem::take(&mut self.asides);
        self.store.settle_aside(&asides)?;
        let store = self.store;
        drop(self);
        let mut result = Ok(());
        for aside in asides {
            match store.let_go_of(aside) {
                Ok(bytes) => freed(bytes),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// Removes what a crash has left; says how many names that were. Nobody can be at work on them now.
    pub fn tidy(&self) -> Result<u64, Error> {
        let mut count = 0;
        for path in self.store.leftovers(&self.name)? {
            let is_folder = disk::metadata_of_name(&path)?.is_some_and(|it| it.is_dir());
            let removed = if is_folder { disk::remove_empty_folder(&path)? } else { disk::remove(&path)? };
            count += u64::from(removed);
        }
        Ok(count)
    }

    /// Removes what is remembered of a tag, if that is [of no use](Store::forgettable_tags); says whether it was.
    pub fn forget(&self, tag: &Tag, cutoff: Cutoff) -> Result<bool, Error> {
        let is_there = |digest: &Digest| self.store.has_manifest(&self.name, digest);
        let goes = self.store.is_forgettable(&self.name, tag, cutoff, &is_there)?;
        Ok(goes && disk::remove(&self.store.history(&self.name, tag))?)
    }

    /// Removes the repository if it holds nothing; says whether it did. Repositories below it stay.
    ///
    /// The lock goes last, while we hold it: who waits for it finds that it has no name any more, and makes the
    /// repository anew. It is moved out of the folder before, because NFS keeps an open file there under another
    /// name.
    pub fn remove_if_empty(self) -> Result<bool, Error> {
        if !self.store.is_empty(&self.name)? {
            return Ok(false);
        }
        let folder = self.store.repository(&self.name);
        for kind in KINDS {
            remove_hollow(&folder.join(kind))?;
        }
        disk::remove_folder(&folder.join("_history"))?; // a memory of what is gone
        let (lock, aside) = (folder.join("_lock"), self.store.upload(&UploadId::random()?));
        if disk::rename(&lock, &aside).is_err() {
            disk::remove(&lock)?;
        }
        disk::remove(&folder.join("_turn"))?;
        let removed = disk::remove_empty_folder(&folder);
        drop(self);
        disk::remove(&aside)?;
        removed?; // the folder is there still if a repository lies below it, but is none itself
        Ok(true)
    }
}

/// The names in a folder that [`disk`] gives to what has none yet.
fn temporary_names(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let temporary = disk::names(folder)?.into_iter().filter(|name| disk::is_temporary(name));
    Ok(temporary.map(|name| folder.join(name)).collect())
}

/// Is there nothing at a path but what is gone then, and folders with nothing else in them?
fn is_hollow(path: &Path, gone: &HashSet<PathBuf>) -> Result<bool, Error> {
    if disk::metadata_of_name(path)?.is_some_and(|it| !it.is_dir()) {
        return Ok(gone.contains(path));
    }
    for entry in disk::entries(path)? {
        if !is_hollow(&entry.path(), gone)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn remove_hollow(folder: &Path) -> Result<(), Error> {
    for name in disk::names(folder)? {
        remove_hollow(&folder.join(name))?;
    }
    disk::remove_empty_folder(folder)?;
    Ok(())
}
