//! The front door: what stands between the listening socket and the HTTP library.
//!
//! The library accepts connections in a thread of its own, and that thread is easily lost or misled:
//!
//! - an error from `accept`, be it that descriptors are short, ends it, and the server is deaf from then on;
//! - it duplicates each descriptor and starts threads, and panics where it cannot;
//! - two connections in quick succession can both be left to the same idle thread, and then the second waits
//!   until the client of the first hangs up.
//!
//! So the stand-in for `accept4` returns a connection only when a descriptor and a thread are to be had and the
//! one before is being served; meanwhile connections wait in the kernel's queue. It never returns an error until
//! the door is closed. If the thread ends all the same, so does the process: whoever watches over it can start
//! it again, while a deaf one looks alive for ever.
//!
//! The stand-in is built on Linux only. On other systems everything works but for the above.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::process::descriptor_limit;
use crate::log::{self, Level};
use crate::metrics;

/// How many connections may wait to be accepted; std asks for 128 only. The kernel caps it (somaxconn).
const BACKLOG: libc::c_int = 4096;

/// How long the door waits before it looks again whether there is room.
const ROOM_WAIT: Duration = Duration::from_millis(5);

/// How long the door waits at most for the last connection to be served. Only a machine that has come to a
/// standstill takes longer, and then waiting is no use.
const PICK_UP_WAIT: Duration = Duration::from_secs(5);

/// How long a thread of the library's certainly stays when its connection has ended; it is 5 s in truth.
const THREADS_STAY: Duration = Duration::from_secs(4);

/// No more descriptors than this are used, however many the system allows: each connection takes a thread, and
/// a system runs out of threads sooner than of descriptors.
const DESCRIPTORS_MAX: u64 = 16_384;

/// How many descriptors a connection may need: two for the library, and three for the files that its request
/// works with.
const DESCRIPTORS_PER_CONNECTION: u64 = 5;

/// How many are open or needed whether or not there are connections.
const DESCRIPTORS_RESERVED: u64 = 16;

/// The door of this process; there is one.
static DOOR: OnceLock<Door> = OnceLock::new();

/// The door, and who is in it.
pub struct Door {
    listener: RawFd,
    /// Asks one of those inside to leave.
    make_room: Box<dyn Fn() + Send + Sync>,
    closed: AtomicBool,
    /// A connection was held back, and none has been let in at once since.
    crowded: AtomicBool,
    /// How many connections there are.
    inside: AtomicUsize,
    /// Has the last connection found a thread?
    picked_up: Mutex<bool>,
    changed: Condvar,
}

impl Door {
    /// Sets the door up for `listener`. While there is no room for a further connection, `make_room` is called
    /// now and then.
    ///
    /// # Errors
    /// When this process has a door already, or the system refuses.
    pub fn open(listener: &TcpListener, make_room: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
        let listener = listener.as_raw_fd();
        // SAFETY: the descriptor is borrowed from its owner, so it is open; the call takes two numbers.
        if unsafe { libc::listen(listener, BACKLOG) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let door = Self {
            listener,
            make_room: Box::new(make_room),
            closed: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            picked_up: Mutex::new(true),
            changed: Condvar::new(),
        };
        DOOR.set(door).map_err(|_| io::Error::other("this process listens already"))
    }

    /// Closes the door: no further connection is accepted, and connecting is refused.
    pub fn close() {
        let Some(door) = DOOR.get() else { return };
        if !door.closed.swap(true, Ordering::SeqCst) {
            // SAFETY: takes two numbers. The HTTP library owns the listener and closes it only after its accept
            // has failed, which is what this call, made once, brings about.
            unsafe { libc::shutdown(door.listener, libc::SHUT_RDWR) };
        }
    }

    /// Lets the next connection in: the last one has found a thread. It is counted for as long as the returned
    /// value lives.
    pub fn enter() -> Place {
        let door = DOOR.get();
        if let Some(door) = door {
            door.inside.fetch_add(1, Ordering::SeqCst);
            *door.picked_up.lock().unwrap_or_else(PoisonError::into_inner) = true;
            door.changed.notify_one();
        }
        Place(door)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// A connection's place inside.
pub struct Place(Option<&'static Door>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(door) = self.0 {
            door.inside.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The stand-in: same signature and meaning as accept4(2), which std's `TcpListener::accept` calls.
///
/// # Safety
/// As for the C function: `address` and `length` are null or point to what accept4(2) asks for.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(
    listener: libc::c_int,
    address: *mut libc::sockaddr,
    length: *mut libc::socklen_t,
    flags: libc::c_int,
) -> libc::c_int {
    // SAFETY: the caller's promise about the pointers is passed on.
    let accept =
        || unsafe { libc::syscall(libc::SYS_accept4, listener, address, length, flags) as libc::c_int };
    let Some(door) = DOOR.get().filter(|door| door.listener == listener) else { return accept() };
    door.wait_for_pick_up();
    loop {
        let connection = accept();
        let error = io::Error::last_os_error();
        if connection >= 0 {
            door.wait_for_room();
        }
        match error.raw_os_error() {
            _ if door.is_closed() => {
                // SAFETY: the descriptor, if it is one, was accepted a moment ago and given to nobody.
                unsafe { libc::close(connection) };
                return -1; // the library's thread ends
            }
            _ if connection >= 0 => {
                *door.picked_up.lock().unwrap_or_else(PoisonError::into_inner) = false;
                return connection;
            }
            Some(libc::ECONNABORTED | libc::EINTR) => {}
            _ => {
                // EMFILE, ENFILE, ENOBUFS, ENOMEM: it will pass.
                (door.make_room)();
                thread::sleep(ROOM_WAIT);
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl Door {
    fn wait_for_pick_up(&self) {
        let picked_up = self.picked_up.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.changed.wait_timeout_while(picked_up, PICK_UP_WAIT, |picked_up| !*picked_up);
    }

    /// Holds a connection back until there are descriptors and a thread for it.
    fn wait_for_room(&self) {
        if self.has_room() {
            self.crowded.store(false, Ordering::SeqCst);
            return;
        }
        metrics::connection_held_back();
        if !self.crowded.swap(true, Ordering::SeqCst) {
            log::event(Level::Warn, "no room for a further connection: it waits for another to end", &[]);
        }
        while !self.is_closed() && !self.has_room() {
            (self.make_room)();
            thread::sleep(ROOM_WAIT);
        }
        thread::sleep(ROOM_WAIT); // until the library has let go of what the one who left had
    }

    fn has_room(&self) -> bool {
        let inside = self.inside.load(Ordering::SeqCst);
        let descriptors = descriptor_limit().min(DESCRIPTORS_MAX).saturating_sub(DESCRIPTORS_RESERVED);
        (inside == 0 || inside as u64 * DESCRIPTORS_PER_CONNECTION < descriptors)
            && WATCH.with(|watch| watch.has_threads(inside))
    }
}

thread_local! {
    /// Lives in the library's accept thread, and ends with it.
    static WATCH: Watch = const { Watch { threads: Cell::new(None) } };
}

/// Watches over the accept thread.
struct Watch {
    /// So many threads for connections there were, and when.
    threads: Cell<Option<(usize, Instant)>>,
}

impl Watch {
    /// Is there a thread for one more connection than `inside`? Either one that has served another, or a new one:
    /// whether that can be had nobody knows who has not tried.
    fn has_threads(&self, inside: usize) -> bool {
        let now = Instant::now();
        let lately = self.threads.get().filter(|(_, when)| now.duration_since(*when) < THREADS_STAY);
        if lately.is_some_and(|(threads, _)| inside < threads) {
            return true;
        }
        let started = thread::Builder::new().spawn(|| ()).map(thread::JoinHandle::join).is_ok();
        self.threads.set(Some((inside + usize::from(started), now)));
        started
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !DOOR.get().is_some_and(Door::is_closed) {
            log::event(Level::Error, "no connection is accepted any more: giving up", &[]);
            process::exit(1);
        }
    }
}
