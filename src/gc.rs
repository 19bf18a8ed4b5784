//! `registry gc`, and the same in the background of `serve`: space comes back by itself.
//!
//! When the last repository lets go of content, its bytes go at once ([`store::blobs`](crate::store::blobs)).
//! What is left for a sweep:
//!
//! - blobs to which no manifest of their repository refers: a push that broke off, an image that was deleted,
//! - with `untagged`, manifests that nothing holds: no tag, no index that is held, no subject that is held,
//! - upload sessions that nobody goes on with, and what a crash has left: names that were on their way, files
//!   that were moved aside, bytes that no repository holds,
//! - histories of tags that are gone, with all that they were,
//! - repositories in which nothing is left.
//!
//! It runs beside servers of the same root, and beside others of its kind. Nothing goes that was pushed, mounted or
//! asked for within the grace ([`store::usage`](crate::store::usage)): a client was told that it is there, and may
//! be about to refer to it. What goes is decided twice: without any lock, one repository at a time, and again under
//! that repository's lock for what seemed to go ([`store::sweep`](crate::store::sweep)); so in a store in which
//! nothing is to go, a sweep only reads.
//!
//! In a repository with a manifest that cannot be read, or is [lost](crate::store::lost), nothing is swept, since
//! nobody knows what it refers to.
//!
//! And one thing comes back: a name under `blobs/` that is gone while a repository holds the bytes.

pub mod background;
mod forecast;
mod references;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, SystemTime};

pub use self::forecast::{Item, forecast};
use self::references::References;
use crate::config;
use crate::digest::Digest;
use crate::error::Error;
use crate::name::RepositoryName;
use crate::store::Store;
use crate::store::blobs::Freed;
use crate::store::leavings::Leaving;
use crate::store::usage::Cutoff;
use crate::store::walk::Kind;

/// What a sweep takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long after its last use something stays, whatever refers to it.
    pub grace: Duration,
    /// Also manifests that nothing holds.
    pub untagged: bool,
    /// How long after its last byte an upload session stays.
    pub upload_max_age: Duration,
}

impl config::Gc {
    /// What the configuration says of it.
    pub fn options(&self) -> Options {
        Options { grace: self.grace, untagged: self.untagged, upload_max_age: self.upload_max_age }
    }
}

/// What a sweep did. Of a forecast: what one would do.
#[derive(Debug, Default)]
pub struct Report {
    /// The bytes that came back.
    pub bytes: u64,
    /// Blobs taken from a repository.
    pub blobs: u64,
    /// Manifests taken from a repository.
    pub manifests: u64,
    /// Upload sessions that ended.
    pub sessions: u64,
    /// Names and files of no use: what a crash had left, histories of tags that are gone with all that they were.
    pub leftovers: u64,
    /// Files under `blobs/` that nobody held.
    pub unheld: u64,
    /// Repositories that held nothing.
    pub repositories: u64,
    /// Where something could not be swept.
    pub faults: Vec<Fault>,
}

/// Why something was not swept.
#[derive(Debug)]
pub struct Fault {
    /// What: a repository, or a folder of the store.
    pub place: String,
    /// Why.
    pub error: Error,
}

impl Report {
    /// Was there nothing to do?
    pub fn is_nothing(&self) -> bool {
        let Self { bytes, blobs, manifests, sessions, leftovers, unheld, repositories, faults } = self;
        bytes + blobs + manifests + sessions + leftovers + unheld + repositories == 0 && faults.is_empty()
    }

    /// Notes why something did not succeed, so that the rest can go on.
    fn attempt(&mut self, place: &str, result: Result<(), Error>) {
        if let Err(error) = result {
            self.faults.push(Fault { place: place.to_owned(), error });
        }
    }

    fn freed(&mut self, freed: Freed) {
        self.bytes += freed.0.unwrap_or(0);
    }

    fn left(&mut self, leaving: &Leaving) {
        self.bytes += leaving.bytes;
        *(if leaving.is_session { &mut self.sessions } else { &mut self.leftovers }) += 1;
    }
}

/// The counts, for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, blobs, manifests, sessions, leftovers, unheld, repositories, .. } = self;
        write!(
            f,
            "{bytes} bytes: {blobs} blobs, {manifests} manifests, {unheld} files that nobody held, {sessions} upload \
             sessions, {leftovers} leftovers, {repositories} empty repositories"
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.error.log_text())
    }
}

/// Sweeps a store.
pub fn sweep(store: &Store, options: &Options) -> Report {
    let mut sweep = Sweep { store, times: Times::now(options), options, report: Report::default() };
    let uploads = sweep.uploads(); // first, because bytes may be nobody's after that
    sweep.report.attempt("uploads", uploads);
    match store.all_folders() {
        Ok(folders) => {
            for name in &folders {
                let result = sweep.repository(name);
                sweep.report.attempt(&format!("repositories/{name}"), result);
            }
        }
        Err(error) => sweep.report.attempt("repositories", Err(error)),
    }
    let unheld = sweep.unheld();
    sweep.report.attempt("blobs", unheld);
    sweep.report
}

/// Before which moments things must have been used last to go. All of them count from the start of a sweep. So with any
/// grace what is pushed, mounted or asked for while it is at work stays; without one (0 s) what is new does, but what
/// was there already and was used in the ten seconds before may have a time from then, and go.
#[derive(Clone, Copy)]
struct Times {
    start: SystemTime,
    content: Cutoff,
    uploads: Cutoff,
}

impl Times {
    fn now(options: &Options) -> Self {
        let start = SystemTime::now();
        let content = Cutoff::of_grace(start, options.grace);
        Self { start, content, uploads: Cutoff::of_age(start, options.upload_max_age) }
    }
}

struct Sweep<'s> {
    store: &'s Store,
    options: &'s Options,
    times: Times,
    report: Report,
}

impl Sweep<'_> {
    fn uploads(&mut self) -> Result<(), Error> {
        let mut leavings = self.store.leavings()?;
        leavings.retain(|leaving| self.times.uploads.is_after(leaving.last));
        if leavings.iter().any(|leaving| leaving.is_link) {
            self.store.settle_leavings()?;
        }
        for leaving in leavings {
            let result = self.store.remove_leaving(&leaving, self.times.uploads).map(|removed| {
                if removed {
                    self.report.left(&leaving);
                }
            });
            self.report.attempt(&format!("uploads/{}", leaving.name()), result); // and on to the next one
        }
        Ok(())
    }

    fn repository(&mut self, name: &RepositoryName) -> Result<(), Error> {
        if self.store.is_bare(name)? {
            self.store.remove_if_bare(name)?;
            return Ok(());
        }
        let mut references = References::read(self.store, name, self.options.untagged)?;
        if self.options.untagged {
            self.manifests(name, &mut references)?;
        }
        self.blobs(name, &mut references)?;
        self.store.put_homes_back(name)?;
        if !self.store.leftovers(name)?.is_empty()
            && let Some(sweeping) = self.store.sweep(name)?
        {
            self.report.leftovers += sweeping.tidy()?;
        }
        if self.store.is_empty(name)?
            && let Some(sweeping) = self.store.sweep(name)?
        {
            self.report.repositories += u64::from(sweeping.remove_if_empty()?);
        }
        self.histories(name)
    }

    /// Manifests that nothing holds. An index goes before its children, and a subject before what is about it, each for
    /// certain before the next. So no crash leaves an index without its children; it may leave a referrer without its
    /// subject, which is allowed, and the next sweep takes it. And whoever asks meanwhile for an index or a subject that
    /// is about to go keeps all of it.
    fn manifests(&mut self, name: &RepositoryName, references: &mut References) -> Result<(), Error> {
        let is_recent = is_recent(self.store, name, self.times.content);
        let kept = references.kept(&is_recent)?;
        let mut queue = VecDeque::from(references.not_in(&kept));
        while !queue.is_empty() {
            let Some(mut sweeping) = self.store.sweep(name)? else { return Ok(()) };
            references.refresh(self.store, name)?;
            let kept = references.kept(&is_recent)?;
            queue.retain(|digest| !references.is_in(&kept, digest));
            sweeping.is_prepared();
            while let Some(digest) = queue.pop_front() {
                let subject = references.subject(&digest);
                match sweeping.take_manifest(&digest, subject, self.times.content)? {
                    Some(freed) => {
                        self.report.manifests += 1;
                        self.report.freed(freed);
                    }
                    None => break, // it is in use, and with it its children and referrers: we decide anew
                }
                if sweeping.is_long() {
                    break;
                }
            }
        }
        references.refresh(self.store, name)
    }

    /// Blobs to which no manifest refers.
    fn blobs(&mut self, name: &RepositoryName, references: &mut References) -> Result<(), Error> {
        let referred = references.referred(None);
        let mut going = Vec::new();
        for digest in self.store.held_digests_of(name, Kind::Blobs)? {
            if !references.is_in(&referred, &digest)
                && let Some(used) = self.store.used(name, Kind::Blobs, &digest)?
                && self.times.content.is_after(used)
            {
                going.push(digest);
            }
        }
        going.sort(); // so that a sweep goes about it in the same order each time
        let mut queue = VecDeque::from(going);
        while !queue.is_empty() {
            let Some(mut sweeping) = self.store.sweep(name)? else { return Ok(()) };
            references.refresh(self.store, name)?;
            let referred = references.referred(None);
            sweeping.is_prepared();
            let mut result = Ok(());
            while let Some(digest) = queue.pop_front() {
                if !references.is_in(&referred, &digest) {
                    let taken = sweeping.take_blob(&digest, self.times.content);
                    result = taken.map(|taken| self.report.blobs += u64::from(taken));
                }
                if sweeping.is_long() || result.is_err() {
                    break;
                }
            }
            let finished = sweeping.finish(&mut |freed| self.report.freed(freed)); // also what came before an error
            result.and(finished)?;
        }
        Ok(())
    }

    /// Histories of tags that are gone, with all that they were.
    fn histories(&mut self, name: &RepositoryName) -> Result<(), Error> {
        let is_there = |digest: &Digest| self.store.has_manifest(name, digest);
        let going = self.store.forgettable_tags(name, self.times.content, &is_there)?;
        let mut queue = VecDeque::from(going);
        while !queue.is_empty() {
            let Some(sweeping) = self.store.sweep(name)? else { return Ok(()) };
            while let Some(tag) = queue.pop_front() {
                self.report.leftovers += u64::from(sweeping.forget(&tag, self.times.content)?);
                if sweeping.is_long() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Bytes that no repository holds.
    fn unheld(&mut self) -> Result<(), Error> {
        for named in self.store.unheld(self.times.content)? {
            if let Some(digest) = &named.digest
                && self.store.remove_unheld(digest)?
            {
                self.report.unheld += 1;
                self.report.bytes += named.size;
            }
        }
        Ok(())
    }
}

/// Was a manifest used within the grace? Then it stays, and holds what it refers to.
fn is_recent<'a>(
    store: &'a Store,
    name: &'a RepositoryName,
    cutoff: Cutoff,
) -> impl Fn(&Digest) -> Result<bool, Error> + 'a {
    move |digest| {
        let used = store.used(name, Kind::Manifests, digest)?;
        Ok(used.is_some_and(|used| !cutoff.is_after(used)))
    }
}
