//! When content was last used: pushed, mounted, or asked for.
//!
//! A client asks for a layer, is told that it is there, does not send it, and sends the manifest a while later.
//! In between nothing refers to the layer, and yet it must not go. So the time at which it was last used is kept,
//! where every process over the root sees it and `ls -l` shows it: as the file's time of modification. Content
//! never changes, so that time has no other meaning. The names of a blob are links to one file: what is used in
//! one repository is taken for used in all of them.
//!
//! Who sees what, when. Readers take no lock, and a sweep does not wait for them; it is the order of the steps
//! that makes them meet:
//!
//! ```text
//! who tells a client that it is there         who takes it
//!   opens the name                              (holds the repository's lock alone)
//!   renews the time                             moves the name aside
//!   looks whether the name is still there       looks at the time
//!   yes: tells                                  old: it goes; renewed: the name comes back
//! ```
//!
//! Each writes first and looks then, so at least one of them sees the other: either the client is not told, or
//! the time is seen. Whoever brings content (a push, a mount) renews under the repository's lock, shared, and
//! meets nobody.
//!
//! A time that is younger than [`RENEWED_EVERY`] is left as it is, so that many requests for one blob are one
//! write. A sweep knows that a time may be so far behind (see [`Cutoff`]).
//!
//! Who may have to take back what it brings (an import, see [`take_back`](super::take_back)) must know of every use.
//! So its content comes with a time that is too old to be left as it is (`Unused`): as long as it stands, nobody
//! was told of the content.

use std::fs::{File, Metadata};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Store;
use super::disk;
use crate::error::Error;

/// How old the time of a file becomes before it is renewed.
pub const RENEWED_EVERY: Duration = Duration::from_secs(10);

/// A moment: what was used before it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoff(SystemTime);

impl Cutoff {
    /// So long before now. What was used later than that is kept; 10 s more, because the times that we see may be so
    /// far behind. No grace at all is none: then also goes what was used up to now.
    pub fn of_grace(now: SystemTime, grace: Duration) -> Self {
        let behind = if grace.is_zero() { Duration::ZERO } else { RENEWED_EVERY };
        Self::of_age(now, grace.saturating_add(behind))
    }

    /// Exactly so long before now.
    pub fn of_age(now: SystemTime, age: Duration) -> Self {
        Self(now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// Does this time lie behind it? One in the future does not.
    pub fn is_after(self, time: SystemTime) -> bool {
        time <= self.0
    }
}

/// So much older than it is looks what an import has brought: enough to be renewed by whoever uses it, also where a
/// clock is behind.
const BROUGHT_BEFORE: Duration = Duration::from_secs(20);

/// The mark of what was brought and has not been used since, in its time: the nanoseconds in the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unused(u32);

impl Unused {
    /// A mark that no other import has; as fine as file systems keep times.
    pub fn at(now: SystemTime) -> Self {
        let micros = now.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_micros();
        Self(micros.max(1) * 1000)
    }

    /// The time of what is brought now.
    fn time(self, now: SystemTime) -> SystemTime {
        let old = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(BROUGHT_BEFORE);
        UNIX_EPOCH + Duration::new(old.as_secs(), self.0)
    }

    /// Is this the time of a file that nobody has used since?
    pub fn is_of(self, file: &Metadata) -> bool {
        let time = disk::last_used(file).duration_since(UNIX_EPOCH).unwrap_or_default();
        time.subsec_nanos() == self.0
    }
}

impl Store {
    /// Dates sealed bytes that are about to get a name, if that is to tell whether somebody used them. Where it
    /// cannot, they look used.
    pub(super) fn date_brought(&self, source: &Path) -> Result<(), Error> {
        if let Some(unused) = self.unused
            && let Some(file) = disk::open(source)?
        {
            disk::date(&file, source, unused.time(SystemTime::now()));
        }
        Ok(())
    }

    /// Opens content at its name in a repository for a client, and notes that it was asked for; `None` if it is
    /// not there.
    pub(super) fn open_to_tell(&self, held: &Path) -> Result<Option<(File, Metadata)>, Error> {
        loop {
            let Some((file, metadata)) = disk::open_file(held)? else { return Ok(None) };
            if !is_older(&metadata, RENEWED_EVERY)
                || !disk::renew(&file, held)
                || super::compare::is_at(&file, held)?
            {
                return Ok(Some((file, metadata)));
            }
        }
    }

    /// Notes that content was brought into a repository. The repository's lock is the caller's.
    pub(super) fn note_brought(&self, held: &Path) -> Result<(), Error> {
        if let Some((file, metadata)) = disk::open_file(held)? {
            match self.unused.filter(|unused| unused.is_of(&metadata)) {
                // What we brought a while ago is as if we brought it now.
                Some(unused) if is_older(&metadata, BROUGHT_BEFORE + RENEWED_EVERY) => {
                    disk::date(&file, held, unused.time(SystemTime::now()));
                }
                None if is_older(&metadata, RENEWED_EVERY) => drop(disk::renew(&file, held)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// One in the future, by the clock of another machine, is not.
fn is_older(metadata: &Metadata, time: Duration) -> bool {
    let age = SystemTime::now().duration_since(disk::last_used(metadata));
    age.is_ok_and(|age| age > time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cutoff_allows_for_times_that_are_behind() {
        let now = SystemTime::now();
        let check = |grace: u64, age: u64, goes: bool| {
            let cutoff = Cutoff::of_grace(now, Duration::from_secs(grace));
            assert_eq!(cutoff.is_after(now - Duration::from_secs(age)), goes, "{grace} s, {age} s old");
        };
        check(3600, 3609, false);
        check(3600, 3610, true);
        check(7, 16, false); // it was asked for 7 s ago, when the time was young enough to be left as it was
        check(7, 17, true);
        check(0, 0, true);
        assert!(!Cutoff::of_grace(now, Duration::ZERO).is_after(now + Duration::from_secs(1)));
        assert!(!Cutoff::of_grace(now, Duration::MAX).is_after(now));
    }
}
