//! What std cannot ask of the operating system. The only file with `unsafe` in it.
//!
//! Four things, each a blunted edge of the HTTP library or of the machine:
//!
//! 1. **The front door** ([`Door`]): our own `accept4`, standing in for the C library's, looks at a new
//!    connection before the HTTP library does.
//! 2. **Sockets by number** ([`with_socket`]): time limits and an end for a connection that the HTTP library
//!    holds and does not show.
//! 3. **Signals** ([`block_stop_signals`], [`wait_for_stop_signal`]) and the **limit of open files**
//!    ([`raise_descriptor_limit`]).
//! 4. **Memory that is reserved, never used** ([`Heap`]): a request can make the HTTP library allocate any
//!    number of bytes; that must not end the process.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

// ---------------------------------------------------------------------------------------------------------
// 1. The front door

/// What stands between the listening socket and the HTTP library.
///
/// The library accepts connections in a thread of its own, by std's `TcpListener::accept`, which calls the
/// symbol `accept4`. A program may define that symbol itself, and then its definition is the one that is
/// called: ours ([`accept4`]). For the one listener named here it adds what the library lacks:
///
/// - a TLS handshake is answered at once. Docker, podman and skopeo try TLS first, and the library would wait
///   for a line end that a ClientHello does not have, until the client gives up after ten seconds;
/// - time limits are set on the new socket;
/// - an error from `accept` never reaches the library, which would stop accepting for good;
/// - while descriptors are short, connections wait in the kernel's queue instead of being taken.
///
/// On systems other than Linux the stand-in is not built: everything works there but for these four.
pub struct Door {
    listener: RawFd,
    read_timeout: Duration,
    write_timeout: Duration,
    opened: Box<dyn Fn(RawFd, SocketAddr) + Send + Sync>,
    closed: AtomicBool,
}

/// There is one door in a process.
static DOOR: OnceLock<Door> = OnceLock::new();

/// What a TLS client is told. Go's clients know an answer that begins like this, and say "server gave HTTP
/// response to HTTPS client".
const ANSWER_TO_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This port speaks HTTP, not HTTPS. Tell the client that the registry is insecure (plain HTTP), or put a\n\
    proxy that speaks TLS in front.\n";

/// The first byte of a TLS connection: record type 22, handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// How many connections may wait to be accepted; std asks for 128 only. The kernel caps it (somaxconn).
const BACKLOG: libc::c_int = 4096;

/// How long the kernel may hold back a connection on which nothing has been sent yet.
const FIRST_BYTE_WAIT: Duration = Duration::from_secs(10);

/// How long the door waits before it looks again whether there are descriptors.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(20);

/// No more descriptors than this are used, however many the system allows: each connection takes two of them
/// and a thread, and a system runs out of threads sooner than of descriptors.
const DESCRIPTORS_MAX: u64 = 16_384;

impl Door {
    /// Sets the door up for `listener`. `opened` is told of every connection before the HTTP library sees it.
    ///
    /// `read_timeout` is for which silence between two bytes a connection is given up, `write_timeout` the
    /// same for a peer that takes nothing.
    ///
    /// # Errors
    /// When this process has a door already, or the system refuses an option.
    pub fn open(
        listener: &TcpListener,
        read_timeout: Duration,
        write_timeout: Duration,
        opened: impl Fn(RawFd, SocketAddr) + Send + Sync + 'static,
    ) -> io::Result<()> {
        let fd = listener.as_raw_fd();
        // SAFETY: `listener` is borrowed, so the descriptor is open; the call takes two numbers.
        if unsafe { libc::listen(fd, BACKLOG) } != 0 {
            return Err(io::Error::last_os_error());
        }
        #[cfg(target_os = "linux")]
        defer_accept(fd, FIRST_BYTE_WAIT)?;
        let door = Self {
            listener: fd,
            read_timeout,
            write_timeout,
            opened: Box::new(opened),
            closed: AtomicBool::new(false),
        };
        DOOR.set(door).map_err(|_| io::Error::other("this process listens already"))
    }

    /// Closes the door: no further connection is accepted, and connecting is refused.
    pub fn close() {
        if let Some(door) = DOOR.get() {
            door.closed.store(true, Ordering::SeqCst);
            // SAFETY: takes two numbers. The HTTP library owns the listener and closes it only after its
            // accept fails, which is what this call brings about; a second call fails and does nothing.
            unsafe { libc::shutdown(door.listener, libc::SHUT_RDWR) };
        }
    }

    /// Prepares a new connection, or answers it and says `false`: then it is not for the HTTP library.
    #[cfg(target_os = "linux")]
    fn greet(&self, fd: RawFd) -> bool {
        // SAFETY: `fd` was accepted a moment ago and nobody else knows it; ManuallyDrop leaves it open.
        let mut socket = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd) });
        let Ok(peer) = socket.peer_addr() else { return false }; // gone already
        let set = socket
            .set_nodelay(true)
            .and_then(|()| socket.set_read_timeout(nonzero(self.read_timeout)))
            .and_then(|()| socket.set_write_timeout(nonzero(self.write_timeout)));
        if set.is_err() {
            return false;
        }
        if first_byte(&socket) == Some(TLS_HANDSHAKE) {
            // Closing a socket with unread bytes resets it, and the answer might be lost: read them first.
            let _ = socket.set_nonblocking(true);
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(ANSWER_TO_TLS.as_bytes());
            return false;
        }
        (self.opened)(fd, peer);
        true
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
    // SAFETY: the caller's promise about the pointers is passed on; std passes a buffer for any address.
    let accept =
        || unsafe { libc::syscall(libc::SYS_accept4, listener, address, length, flags) as libc::c_int };
    let Some(door) = DOOR.get().filter(|door| door.listener == listener) else { return accept() };
    loop {
        let fd = accept();
        if fd < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                _ if door.closed.load(Ordering::SeqCst) => return fd, // the library's accept thread ends
                Some(libc::ECONNABORTED | libc::EINTR) => {}
                _ => thread::sleep(DESCRIPTOR_WAIT), // EMFILE, ENFILE, ENOMEM: it will pass
            }
        } else if door.closed.load(Ordering::SeqCst) || !door.greet(fd) {
            // SAFETY: `fd` is ours, and given to nobody.
            unsafe { libc::close(fd) };
        } else {
            wait_for_descriptors(fd);
            return fd;
        }
    }
}

/// Holds a connection back while few descriptors are left for files: `fd` is about as high as there are open
/// ones, since the lowest free number is the next. The library needs one more for each connection and panics
/// without it; the store needs a few for each request.
#[cfg(target_os = "linux")]
fn wait_for_descriptors(fd: RawFd) {
    let limit = descriptor_limit().min(DESCRIPTORS_MAX);
    let high_water = RawFd::try_from(limit - (limit / 3).min(1024)).unwrap_or(RawFd::MAX);
    let mut lowest_free = fd;
    while lowest_free >= high_water {
        thread::sleep(DESCRIPTOR_WAIT);
        // SAFETY: duplicating a number and closing the duplicate touches no memory.
        lowest_free = match unsafe { libc::dup(fd) } {
            -1 => high_water, // none free at all
            free => {
                // SAFETY: this descriptor was made in the line above.
                unsafe { libc::close(free) };
                free
            }
        };
    }
}

/// Lets `accept` return a connection only once its first bytes are there to look at.
#[cfg(target_os = "linux")]
fn defer_accept(listener: RawFd, wait: Duration) -> io::Result<()> {
    let seconds = libc::c_int::try_from(wait.as_secs()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the option takes an int, whose address and size are given.
    let result = unsafe {
        libc::setsockopt(
            listener,
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The first byte that waits on a socket, left where it is; `None` when there is none yet.
#[cfg(target_os = "linux")]
fn first_byte(socket: &TcpStream) -> Option<u8> {
    let mut byte = 0u8;
    // SAFETY: `byte` has room for the one byte asked for.
    let count = unsafe {
        libc::recv(socket.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT)
    };
    (count == 1).then_some(byte)
}

/// std refuses a time limit of zero; for us it means none.
fn nonzero(timeout: Duration) -> Option<Duration> {
    (!timeout.is_zero()).then_some(timeout)
}

// ---------------------------------------------------------------------------------------------------------
// 2. Sockets by number

/// Acts on the connection with descriptor `fd`, if it still is the one to `peer`.
///
/// The HTTP library owns the connection and may close it at any time; the number can then belong to another.
/// The check makes that improbable, not impossible. So `act` may do only what another connection would
/// survive: set a time limit, or shut the socket down, which its client sees as a lost connection.
pub fn with_socket<T>(fd: RawFd, peer: SocketAddr, act: impl FnOnce(&TcpStream) -> T) -> Option<T> {
    // SAFETY: no memory is touched through `fd`; at worst it is closed or not a socket, and calls on it fail.
    // ManuallyDrop leaves it to its owner.
    let socket = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd) });
    (socket.peer_addr().ok()? == peer).then(|| act(&socket))
}

/// Ends a connection politely: says that nothing more will be sent, then reads and drops what still comes, so
/// that the kernel does not reset the connection before the client has read our answer. It stops at `limit`
/// bytes, at the end, and at `patience` without a byte.
pub fn linger(socket: &TcpStream, limit: u64, patience: Duration) {
    let _ = socket.shutdown(Shutdown::Write);
    let _ = socket.set_read_timeout(nonzero(patience));
    let _ = io::copy(&mut socket.take(limit), &mut io::sink());
    let _ = socket.shutdown(Shutdown::Both);
}

// ---------------------------------------------------------------------------------------------------------
// 3. Signals and limits

/// Makes SIGTERM and SIGINT wait to be taken by [`wait_for_stop_signal`] instead of ending the process. To be
/// called before other threads start, which inherit it.
pub fn block_stop_signals() {
    // SAFETY: `stop_signals` returns an initialised set; the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &stop_signals(), std::ptr::null_mut()) };
}

/// Waits for SIGTERM or SIGINT and returns its name.
pub fn wait_for_stop_signal() -> &'static str {
    let mut signal: libc::c_int = 0;
    // SAFETY: both pointers are to initialised values of the right types.
    while unsafe { libc::sigwait(&stop_signals(), &mut signal) } != 0 {}
    if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" }
}

fn stop_signals() -> libc::sigset_t {
    // SAFETY: a zeroed sigset_t is a valid value, which sigemptyset then sets up.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        set
    }
}

/// Raises the limit of open files as far as this process may, and returns it.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer and a valid request.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
    descriptor_limit()
}

/// How many files this process may have open.
fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}

// ---------------------------------------------------------------------------------------------------------
// 4. Memory that is reserved, never used

/// The system's allocator, but for blocks that no honest part of this program asks for.
///
/// When the HTTP library drops a request whose body was not read, it allocates a zeroed buffer as long as what
/// is missing by `Content-Length`, reads into it once, and frees it; one for each read. With
/// `Content-Length: 1000000000000` the system's allocator fails, and a failed allocation aborts the process.
/// Here such a block is address space that becomes memory only where it is written.
pub struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

/// Blocks from this size on are mapped by [`Heap`] itself. Our own largest buffer is far smaller.
const MAPPED_FROM: usize = 64 << 20;

/// The most that is really mapped. One read(2) transfers at most 0x7ffff000 bytes on Linux, whatever it is
/// asked for, so of a longer buffer, which only the library's drop makes and fills by one read, no byte beyond
/// this is ever touched. It leaves address space (128 TiB) for 8,192 such buffers at once (DESCRIPTORS_MAX / 2).
const MAPPED_MAX: usize = 2 << 30;

// SAFETY: small blocks are the system allocator's. Large ones are fresh anonymous mappings, zeroed and aligned
// to pages, given back with the length they were made with, which `mapped_len` derives from the same layout.
// Above MAPPED_MAX the block is shorter than its layout says, which is sound only for the use described there;
// any other would end in the unmapped page that follows the block, and so in a fault, never in foreign memory.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() < MAPPED_FROM {
            // SAFETY: the caller's promises are the system allocator's.
            unsafe { System.alloc(layout) }
        } else {
            map(layout)
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() < MAPPED_FROM {
            // SAFETY: as above.
            unsafe { System.alloc_zeroed(layout) }
        } else {
            map(layout) // new mappings are zero
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size().max(size) < MAPPED_FROM {
            // SAFETY: as above.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller promises a size that makes a layout, and `block` of `layout`; what is copied lies
        // within both blocks.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() < MAPPED_FROM {
            // SAFETY: as above.
            unsafe { System.dealloc(block, layout) }
        } else {
            // SAFETY: `block` was mapped by `map` with the same layout, so with this length.
            unsafe { libc::munmap(block.cast(), mapped_len(layout)) };
        }
    }
}

fn map(layout: Layout) -> *mut u8 {
    let length = mapped_len(layout);
    // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
    let block = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if block == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    // SAFETY: the last page of the mapping made above, which nobody uses yet, becomes the one that faults.
    unsafe { libc::mprotect(block.byte_add(length - GUARD), GUARD, libc::PROT_NONE) };
    block.cast()
}

/// The page behind a mapped block that cannot be touched. 64 KiB is a multiple of every page size in use.
const GUARD: usize = 64 << 10;

fn mapped_len(layout: Layout) -> usize {
    layout.size().min(MAPPED_MAX).next_multiple_of(GUARD) + GUARD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_no_machine_has_is_reserved_not_used() {
        for size in [100usize << 20, 1 << 40, 1 << 50, isize::MAX as usize] {
            let mut block = vec![0u8; size];
            block[0] = 1; // it is memory, where it is touched
            assert_eq!(block[1], 0);
        }
    }

    #[test]
    fn blocks_below_the_line_are_the_system_allocators() {
        let mut block = vec![7u8; MAPPED_FROM - 1];
        block.push(8);
        block.push(9); // grows across the line
        assert_eq!((block[0], block[MAPPED_FROM - 1], block[MAPPED_FROM]), (7, 8, 9));
    }
}
