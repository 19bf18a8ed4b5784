//! Sockets that the HTTP library owns, and what it reads from them.
//!
//! The library believes what it reads: it would follow two requests hidden in one, wait for ever for the end of
//! a line, and keep a line of any length in memory. So it does not read from its sockets; it reads from us. Our
//! `recv` stands in for the C library's, and for the server's connections asks the [`Reader`], which lets heads
//! through one at a time and after a check (see [`crate::connections`]).

use std::io::{self, Write};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{FromRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

/// Reads for the HTTP library: puts bytes into the room that it offers, and says how many, none at the end.
/// `None` when the socket is no business of the reader's.
pub type Reader = dyn Fn(Socket, &mut [MaybeUninit<u8>]) -> Option<usize> + Send + Sync;

/// The reader of this process; there is one.
static READER: OnceLock<Box<Reader>> = OnceLock::new();

/// From now on `reader` reads for the HTTP library. Only the first call counts.
pub fn read_by(reader: Box<Reader>) {
    let _ = READER.set(reader);
}

/// The stand-in: same signature and meaning as recv(2), which std's `TcpStream::read` calls.
///
/// # Safety
/// As for the C function: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn recv(
    fd: libc::c_int,
    buffer: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_int,
) -> libc::ssize_t {
    if let Some(reader) = READER.get().filter(|_| flags == 0 && length > 0) {
        // SAFETY: the caller promises that so many bytes are there; that they have values is not claimed.
        let room = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<MaybeUninit<u8>>(), length) };
        // A panic cannot pass through C code: it ends this connection.
        let read = catch_unwind(AssertUnwindSafe(|| reader(Socket(fd), room))).unwrap_or(Some(0));
        if let Some(count) = read {
            return count as libc::ssize_t;
        }
    }
    // SAFETY: the caller's promise is passed on. Without an address to fill in, this is what recv(2) does.
    unsafe { libc::recvfrom(fd, buffer, length, flags, std::ptr::null_mut(), std::ptr::null_mut()) }
}

/// A connected socket that the HTTP library owns: a number to act on, which closes nothing when dropped.
///
/// The reader gets it from the library's own call of `recv`, so it is open until that call returns. The reader
/// lends it to whoever answers the request, and does not return before it has it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket(RawFd);

impl Socket {
    /// Reads what has come, or waits for it as long as the socket's time limit allows. 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came in time, and what recv(2) says.
    pub fn receive(self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_with(0, buffer)
    }

    /// The same, but where nothing has come yet, all other threads have their turn before this one goes to sleep.
    /// When many clients are busy, the next request is there by then, and the costs of sleeping and of being woken
    /// are saved: between requests on 16 connections that makes a third more of them.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_next(self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.receive_with(libc::MSG_DONTWAIT, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
                self.receive(buffer)
            }
            received => received,
        }
    }

    fn receive_with(self, flags: libc::c_int, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // SAFETY: pointer and length are those of a slice. Not by std, which would call our own `recv`.
            let count = unsafe {
                let none = std::ptr::null_mut();
                libc::recvfrom(self.0, buffer.as_mut_ptr().cast(), buffer.len(), flags, none, none.cast())
            };
            match usize::try_from(count) {
                Ok(count) => return Ok(count),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// `WouldBlock` when the client takes nothing in time, and what send(2) says.
    pub fn send(self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)
    }

    /// Sends some of `bytes`, and says how many.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_some(self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent,
            }
        }
    }

    /// How long [`Self::receive`] waits; zero means for ever.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_read_timeout(self, limit: Duration) -> io::Result<()> {
        self.stream().set_read_timeout(nonzero(limit))
    }

    /// How long sending waits for a client that takes nothing; zero means for ever.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_write_timeout(self, limit: Duration) -> io::Result<()> {
        self.stream().set_write_timeout(nonzero(limit))
    }

    /// Sends what is written at once, in packets of any size.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_nodelay(self) -> io::Result<()> {
        self.stream().set_nodelay(true)
    }

    /// How much the kernel takes of an answer before the client has room for it. Without a limit it takes some
    /// megabytes for each connection, and many clients that read slowly or not at all fill the memory with them.
    /// What is under way does not count, so it makes no connection slower. On Linux only.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_unsent_limit(self, bytes: u32) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            let (value, size) = ((&raw const bytes).cast(), size_of_val(&bytes) as libc::socklen_t);
            // SAFETY: the option takes a number of this type, whose address and size are given.
            let result =
                unsafe { libc::setsockopt(self.0, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, value, size) };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = bytes;
        Ok(())
    }

    /// Ends one or both directions of the connection. When it has ended already, nothing is left to do.
    pub fn shutdown(self, how: Shutdown) {
        let _ = self.stream().shutdown(how);
    }

    /// Our end's address.
    ///
    /// # Errors
    /// When this is no socket of the internet.
    pub fn local(self) -> io::Result<SocketAddr> {
        self.stream().local_addr()
    }

    /// The client's address.
    ///
    /// # Errors
    /// When the client has gone.
    pub fn peer(self) -> io::Result<SocketAddr> {
        self.stream().peer_addr()
    }

    fn stream(self) -> ManuallyDrop<TcpStream> {
        // SAFETY: the descriptor is open as the type's contract says, and ManuallyDrop leaves it to its owner.
        ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(self.0) })
    }
}

/// std refuses a time limit of zero; for us it means none.
fn nonzero(limit: Duration) -> Option<Duration> {
    (!limit.is_zero()).then_some(limit)
}
