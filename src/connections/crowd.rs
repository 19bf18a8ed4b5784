//! The crowd: who is connected and what they do, so that the right one leaves when others need its place.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics;
use crate::system::socket::Socket;

/// How long a connection may wait for a request undisturbed, when others need its place.
const SEAT_KEPT: Duration = Duration::from_millis(250);

/// How long a request may take its time, when others need its connection's place.
const SLOWNESS_SPARED: Duration = Duration::from_secs(10);

/// From this pace on, in bytes per second, a request is not disturbed even then.
const PACE_SPARED: u64 = 16 << 10;

/// The least pace of a body or an answer, in bytes per second, once its time limit is used up. Silence alone must
/// not be the measure: one byte a minute would keep a connection for ever.
const PACE_MIN: u64 = 1 << 10;

/// All connections.
#[derive(Default)]
pub(super) struct Crowd(Mutex<Guests>);

#[derive(Default)]
struct Guests {
    next: u64,
    inside: BTreeMap<u64, Arc<Guest>>,
}

/// A connection.
pub(super) struct Guest {
    socket: Socket,
    doing: Mutex<Doing>,
    asked_to_leave: AtomicBool,
}

#[derive(Clone, Copy)]
enum Doing {
    /// Waiting for a request, since then.
    Waiting(Instant),
    /// At a request since then; so many bytes have moved in or out.
    Working(Instant, u64),
}

/// A guest's place in the crowd, until it is dropped.
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    number: u64,
    pub(super) guest: Arc<Guest>,
}

impl Crowd {
    /// Lets a connection in. The socket must stay open until its seat is dropped.
    pub(super) fn enter(self: &Arc<Self>, socket: Socket) -> Seat {
        metrics::connection_opened();
        let doing = Mutex::new(Doing::Waiting(Instant::now()));
        let guest = Arc::new(Guest { socket, doing, asked_to_leave: AtomicBool::new(false) });
        let mut guests = lock(&self.0);
        let number = guests.next;
        guests.next += 1;
        guests.inside.insert(number, Arc::clone(&guest));
        Seat { crowd: Arc::clone(self), number, guest }
    }

    /// Ends the connection that has waited longest for a request, if that is a while; else the slowest of those
    /// that have taken long for theirs.
    pub(super) fn make_room(&self) {
        let guests = lock(&self.0); // while it is held no seat is given up, so no socket closed
        let inside = || guests.inside.values();
        let longest = inside().filter_map(|guest| Some((guest.waited()?, guest))).max_by_key(|pair| pair.0);
        let slowest =
            || inside().filter_map(|guest| Some((guest.slowness()?, guest))).max_by_key(|pair| pair.0);
        let chosen = longest.map(|(_, guest)| (guest, false));
        if let Some((guest, is_working)) = chosen.or_else(|| slowest().map(|(_, guest)| (guest, true))) {
            guest.socket.shutdown(Shutdown::Both);
            // Until it has left, the next look may find it again.
            if !guest.asked_to_leave.swap(true, Ordering::Relaxed) {
                metrics::connection_asked_to_leave(is_working);
            }
        }
    }
}

impl Guest {
    /// It waits for a request from now on.
    pub(super) fn waits(&self) {
        *lock(&self.doing) = Doing::Waiting(Instant::now());
    }

    /// It is at a request from now on.
    pub(super) fn works(&self) {
        *lock(&self.doing) = Doing::Working(Instant::now(), 0);
    }

    fn moved(&self, count: u64) {
        if let Doing::Working(_, moved) = &mut *lock(&self.doing) {
            *moved += count;
        }
    }

    /// How long it has waited for a request, if that is a while.
    fn waited(&self) -> Option<Duration> {
        match *lock(&self.doing) {
            Doing::Waiting(since) => Some(since.elapsed()).filter(|waited| *waited >= SEAT_KEPT),
            Doing::Working(..) => None,
        }
    }

    /// How slow its request is, in nanoseconds per byte, if it is slow and has been for a while.
    fn slowness(&self) -> Option<u128> {
        match *lock(&self.doing) {
            Doing::Waiting(_) => None,
            Doing::Working(since, moved) => {
                let time = since.elapsed();
                let pace = u128::from(moved) * 1000 / time.as_millis().max(1);
                let is_spared = time < SLOWNESS_SPARED || pace >= u128::from(PACE_SPARED);
                (!is_spared).then(|| time.as_nanos() / u128::from(moved.max(1)))
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.crowd.0).inside.remove(&self.number);
        metrics::connection_closed();
    }
}

/// The pace of a body or an answer.
pub(super) struct Pace {
    begin: Instant,
    patience: Duration,
    moved: u64,
}

impl Pace {
    /// One that begins now. `patience` is what it may take whatever moves; zero: there is no least pace.
    pub(super) fn new(patience: Duration) -> Self {
        Self { begin: Instant::now(), patience, moved: 0 }
    }

    /// Takes note that bytes have moved.
    ///
    /// # Errors
    /// `TimedOut` when it is too slow.
    pub(super) fn moved(&mut self, guest: &Guest, count: u64) -> io::Result<()> {
        guest.moved(count);
        self.moved += count;
        let allowed = self.patience + Duration::from_millis(self.moved.saturating_mul(1000) / PACE_MIN);
        if !self.patience.is_zero() && self.begin.elapsed() > allowed {
            let why = format!("slower than {PACE_MIN} bytes per second");
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // no code under these locks panics halfway
}
