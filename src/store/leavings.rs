//! What is left of those who never came back: upload sessions, files that were on their way to a name or from
//! one, and bytes that no repository holds.
//!
//! Who sees what, when: a session ends only when nobody writes to it, and while we hold its lock. Bytes that nobody
//! holds go while nobody can link to them.

use std::collections::BTreeSet;
use std::fs::{Metadata, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use super::usage::Cutoff;
use super::walk::Named;
use super::{Store, disk};
use crate::digest::Digest;
use crate::error::Error;
use crate::reference::UploadId;

/// Something below `uploads/`.
#[derive(Clone, Debug)]
pub struct Leaving {
    id: UploadId,
    /// Is it a session's folder?
    pub is_session: bool,
    /// Is it a name of content that has others?
    pub is_link: bool,
    /// The bytes that go with it: those that have no other name.
    pub bytes: u64,
    /// When somebody was last at work on it.
    pub last: SystemTime,
}

impl Leaving {
    /// Its name below `uploads/`.
    pub fn name(&self) -> &str {
        self.id.as_str()
    }
}

impl Store {
    /// All there is below `uploads/` that we may have put there.
    pub fn leavings(&self) -> Result<Vec<Leaving>, Error> {
        let mut found = Vec::new();
        for name in disk::names(&self.root.join("uploads"))? {
            if let Ok(id) = UploadId::parse(&name) {
                found.extend(self.leaving(id)?);
            }
        }
        Ok(found)
    }

    fn leaving(&self, id: UploadId) -> Result<Option<Leaving>, Error> {
        let path = self.upload(&id);
        let Some(itself) = disk::metadata_of_name(&path)? else { return Ok(None) };
        let (is_session, mut bytes) = (itself.is_dir(), 0);
        let is_link = !is_session && itself.nlink() > 1;
        let mut last = if is_session { disk::last_used(&itself) } else { last_work_on(&itself) };
        let inside = if is_session { disk::names(&path)? } else { Vec::new() };
        let mut files = Vec::from_iter((!is_session).then_some(itself));
        for name in inside {
            files.extend(disk::metadata_of_name(&path.join(name))?);
        }
        for file in files.iter().filter(|file| file.nlink() == 1) {
            bytes += file.len();
            last = last.max(disk::last_used(file));
        }
        Ok(Some(Leaving { id, is_session, is_link, bytes, last }))
    }

    /// Makes certain that no name comes back which content had before it got one below `uploads/`: whoever moved it
    /// there may have ended before that was certain. While that one stands, the bytes count as held.
    pub fn settle_leavings(&self) -> Result<(), Error> {
        Ok(disk::settle_all(&self.root)?)
    }

    /// Removes something below `uploads/` that nobody has worked on since `cutoff`, and says whether it did. Not a
    /// session that somebody writes to at this moment.
    pub fn remove_leaving(&self, leaving: &Leaving, cutoff: Cutoff) -> Result<bool, Error> {
        let path = self.upload(&leaving.id);
        let data = match leaving.is_session {
            true => disk::open_to_write(&path.join("data"))?,
            false => None,
        };
        if let Some(data) = &data {
            match data.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(error)) => return Err(disk::failed("lock", &path)(error).into()),
            }
            if !super::compare::is_at(data, &path.join("data"))? {
                return Ok(false); // somebody has finished or cancelled it
            }
        }
        // Again, now that nobody is at work on it.
        match self.leaving(leaving.id.clone())? {
            Some(now) if cutoff.is_after(now.last) && now.is_session == leaving.is_session => {}
            _ => return Ok(false),
        }
        if leaving.is_session {
            self.end_session(&path, data)?;
            Ok(true)
        } else {
            Ok(disk::remove(&path)?)
        }
    }

    /// The files under `blobs/` that no repository holds and nobody has used since `cutoff`.
    ///
    /// Those with a link count of 1, as a rule. In a copy of a store that broke the links apart all have that, and
    /// the repositories hold the same bytes in files of their own; so each that seems to be nobody's is looked for
    /// in all of them.
    pub fn unheld(&self, cutoff: Cutoff) -> Result<Vec<Named>, Error> {
        let mut unheld =
            self.all_blobs_if(&|file| file.nlink() == 1 && cutoff.is_after(disk::last_used(file)))?;
        unheld.retain(|named| named.digest.is_some() && named.file.is_some());
        if unheld.is_empty() {
            return Ok(unheld);
        }
        let mut candidates: BTreeSet<Digest> =
            unheld.iter().filter_map(|named| named.digest.clone()).collect();
        for name in self.all_repositories()? {
            for digest in self.held_digests(&name)? {
                candidates.remove(&digest);
            }
        }
        unheld.retain(|named| named.digest.as_ref().is_some_and(|digest| candidates.contains(digest)));
        Ok(unheld)
    }

    /// Removes bytes that [`Store::unheld`] has found, unless somebody holds them by now. Says whether it did.
    pub fn remove_unheld(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.release(digest)?.0.is_some())
    }
}

/// When somebody was last at work on a file in `uploads/`. One that has other names was moved aside when it was let
/// go of, or is about to get its name: the time of its last use says nothing of that.
fn last_work_on(file: &Metadata) -> SystemTime {
    if file.nlink() > 1 { disk::last_touched(file) } else { disk::last_used(file) }
}
