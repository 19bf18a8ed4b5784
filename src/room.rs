//! Is there room on the disk? Watched, so that those who can do something learn of it before it is full.
//!
//! Two shares of the disk are set: with less than the first free there are warnings, with less than the second
//! nothing that brings more is taken. A file system that runs short of files rather than of bytes counts as well.
//!
//! A server asks the disk once a second at most, and for each body of an upload, amid large ones again. Only while
//! pushes are refused it asks for each of them, so that they go on as soon as there is room. An import asks before it
//! writes, for all that it is about to write.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::background::Work;
use crate::error::Error;
use crate::log::{self, Level};
use crate::percent::Percent;
use crate::store::Store;
pub use crate::store::room::Room;

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(1);

/// After how many bytes of a body it is asked again: in pushes at once, each may be so far behind.
const LOOK_BYTES: usize = 1 << 20;

/// How often the disk is looked at when nobody pushes, so that the log tells of it all the same.
const LOOK: Duration = Duration::from_secs(10);

const WORK: Work = Work { name: "room", verb: "watch the disk", noun: "a look at the disk" };

/// How much room there is, by the shares that are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Supply {
    /// Enough.
    Enough,
    /// Less than the first share.
    Low,
    /// Less than the second share.
    Short,
}

/// The watch over the room of a store.
pub struct Watch {
    store: Store,
    warn: Percent,
    refuse: Percent,
    /// Nothing is ever written.
    read_only: bool,
    seen: Mutex<Seen>,
    ready: Mutex<Option<(Instant, Result<(), String>)>>,
}

/// What was seen last.
#[derive(Clone, Copy)]
struct Seen {
    when: Option<Instant>,
    room: Option<Room>,
    supply: Supply,
}

impl Watch {
    /// Over a store, with the two shares.
    pub fn new(store: Store, warn: Percent, refuse: Percent, read_only: bool) -> Self {
        let seen = Mutex::new(Seen { when: None, room: None, supply: Supply::Enough });
        let (warn, refuse) = if read_only { (Percent::ZERO, Percent::ZERO) } else { (warn, refuse) };
        Self { store, warn, refuse, read_only, seen, ready: Mutex::default() }
    }

    /// Looks now and then, also when nobody asks.
    pub fn start(self: Arc<Self>) {
        WORK.repeat(Duration::ZERO, LOOK, move || {
            self.look();
        });
    }

    /// The room on the disk, if the system tells.
    pub fn room(&self) -> Option<Room> {
        self.look().room
    }

    /// A word for who pushes, when room is running low.
    ///
    /// # Errors
    /// [`Error::DiskNearlyFull`]: nothing more is taken.
    pub fn admit(&self) -> Result<Option<String>, Error> {
        match self.look().supply {
            Supply::Enough => Ok(None),
            Supply::Low => Ok(Some(format!("the registry's disk has less than {} free", self.warn))),
            Supply::Short => Err(Error::DiskNearlyFull(self.refuse)),
        }
    }

    /// A body that there is room for, by the length that is announced; [watched] while it comes.
    ///
    /// # Errors
    /// [`Error::DiskNearlyFull`]: not so much is taken.
    pub fn admit_body<'w>(
        &'w self,
        length: Option<u64>,
        body: impl Read + 'w,
    ) -> Result<impl Read + 'w, Error> {
        require(&self.store, self.refuse, length.unwrap_or(0), 0)?;
        Ok(watched(&self.store, self.refuse, body))
    }

    /// Can the registry do its work? Tried once a second at most.
    ///
    /// # Errors
    /// Why not, without a path.
    pub fn ready(&self) -> Result<(), String> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, result)) = &*ready
            && when.elapsed() < FRESH
        {
            return result.clone();
        }
        let result = self.try_all();
        let was_ready = ready.as_ref().is_none_or(|(_, result)| result.is_ok());
        match &result {
            Err(why) if was_ready => log::event(Level::Warn, "not ready", &[("why", why)]),
            Ok(()) if !was_ready => log::event(Level::Info, "ready again", &[]),
            _ => {}
        }
        *ready = Some((Instant::now(), result.clone()));
        result
    }

    fn try_all(&self) -> Result<(), String> {
        let tried = if self.read_only { self.store.try_reading() } else { self.store.try_writing() };
        let verb = if self.read_only { "read" } else { "written to" };
        tried.map_err(|error| match error {
            Error::Disk(error) => format!("the root cannot be {verb}: {}", error.source),
            other => other.to_string(),
        })?;
        self.admit().map(drop).map_err(|error| error.to_string())
    }

    /// What there is, as of a second ago at most.
    fn look(&self) -> Seen {
        let mut seen = lock(&self.seen);
        let is_fresh = seen.when.is_some_and(|when| when.elapsed() < FRESH);
        if !is_fresh || seen.supply == Supply::Short {
            // Where the system does not tell, pushes go on until they fail.
            let room = self.store.room().ok();
            let supply = room.map_or(Supply::Enough, |room| supply(room, self.warn, self.refuse));
            if supply != seen.supply {
                self.tell(supply, room);
            }
            *seen = Seen { when: Some(Instant::now()), room, supply };
        }
        *seen
    }

    fn tell(&self, supply: Supply, room: Option<Room>) {
        let (level, message) = match supply {
            Supply::Enough => (Level::Info, "the disk has room enough again"),
            Supply::Low => (Level::Warn, "the disk is filling up"),
            Supply::Short => (Level::Warn, "the disk is nearly full: pushes are refused"),
        };
        let share = if supply == Supply::Short { self.refuse } else { self.warn };
        let room = room.unwrap_or(Room { free_bytes: 0, bytes: 0, free_files: 0, files: 0 });
        let fields: &log::Fields<'_> = &[
            ("share", &share),
            ("free_bytes", &room.free_bytes),
            ("bytes", &room.bytes),
            ("free_files", &room.free_files),
            ("files", &room.files),
        ];
        log::event(level, message, fields);
    }
}

/// Something that is looked after while it comes: of some nobody knows how long they are, and others come at the same
/// time. Reading from it fails with [`Error::DiskNearlyFull`] when there is no more room.
pub fn watched<'w>(store: &'w Store, refuse: Percent, body: impl Read + 'w) -> impl Read + 'w {
    Watched { store, refuse, body, arrived: 0, looked_at: 0 }
}

struct Watched<'w, R> {
    store: &'w Store,
    refuse: Percent,
    body: R,
    arrived: usize,
    looked_at: usize,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(buffer)?;
        self.arrived += count;
        let is_due = self.arrived - self.looked_at >= LOOK_BYTES;
        let is_end = count == 0 && self.arrived >= LOOK_BYTES;
        if is_due || is_end {
            self.looked_at = self.arrived;
            require(self.store, self.refuse, count as u64, 0).map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

/// Is there room for so much more, by a share that must stay free? Where the system does not tell, one goes on until
/// it fails.
///
/// # Errors
/// [`Error::DiskNearlyFull`]: less than the share would be free then.
pub fn require(store: &Store, refuse: Percent, bytes: u64, files: u64) -> Result<(), Error> {
    let Ok(room) = store.room() else { return Ok(()) };
    let free_bytes = room.free_bytes.saturating_sub(bytes);
    let free_files = room.free_files.saturating_sub(files);
    match supply(Room { free_bytes, free_files, ..room }, Percent::ZERO, refuse) {
        Supply::Enough | Supply::Low => Ok(()),
        Supply::Short => Err(Error::DiskNearlyFull(refuse)),
    }
}

fn supply(room: Room, warn: Percent, refuse: Percent) -> Supply {
    let is_under = |share: Percent| {
        share.is_more_than(room.free_bytes, room.bytes) || share.is_more_than(room.free_files, room.files)
    };
    match (is_under(refuse), is_under(warn)) {
        (true, _) => Supply::Short,
        (false, true) => Supply::Low,
        (false, false) => Supply::Enough,
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_files_can_run_short() {
        let (warn, refuse) = (Percent::parse("10%").unwrap(), Percent::parse("1%").unwrap());
        let check = |(free_bytes, bytes), (free_files, files), expect| {
            let room = Room { free_bytes, bytes, free_files, files };
            assert_eq!(supply(room, warn, refuse), expect, "{room:?}");
            assert_eq!(supply(room, Percent::ZERO, Percent::ZERO), Supply::Enough);
        };
        check((100, 1000), (100, 1000), Supply::Enough);
        check((99, 1000), (100, 1000), Supply::Low);
        check((100, 1000), (99, 1000), Supply::Low);
        check((10, 1000), (1000, 1000), Supply::Low);
        check((9, 1000), (1000, 1000), Supply::Short);
        check((1000, 1000), (9, 1000), Supply::Short);
        check((1000, 1000), (0, 0), Supply::Enough); // no limit of its own
    }
}
