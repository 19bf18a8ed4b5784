//! The open connections: between the socket and the HTTP library.
//!
//! The library gives each connection a thread, which reads heads and queues requests. It reads them through a
//! `Gate` (by way of [`crate::system::socket`]), and a gate lets through one whole, checked head at a time. When
//! the library comes back for more, it has queued the request, and the gate has it served, then and there:
//!
//! ```text
//! the library's thread of a connection:
//!
//!   reads ──► Gate: waits for a head, whole, within its limits, and judges it ──► parses it, queues the request
//!   reads ──► Gate: has the request served: body read, answered, logged;  waits for the next head ──► parses …
//! ```
//!
//! So a request never changes threads, which would cost more than most requests do; nobody waits for a worker;
//! and requests of one connection are handled one after the other, each seeing what those before it did. What a
//! client sends ahead waits in the kernel's buffers, and a client that sends without end is held up there.
//!
//! The right to read a request's body and to answer it is its [`Turn`]. When that ends with a doubt about what
//! comes next, nothing more is read as a request.

mod crowd;
mod outgoing;
mod stream;
mod turn;

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use self::crowd::{Crowd, Seat};
pub use self::outgoing::Outgoing;
use self::outgoing::UNSENT_BYTES_MAX;
use self::stream::{Rest, Stream, left_until};
use self::turn::{Back, DRAIN_BYTES_MAX};
pub use self::turn::{Busy, End, Turn};
use crate::error::Error;
use crate::framing::{self, Head};
use crate::log::{self, Level};
use crate::metrics;
use crate::system::door::{Door, Place};
use crate::system::socket::Socket;

/// How much is read, at most, of a connection that is being closed, so that the client gets to see the answer:
/// the kernel resets a connection that is closed with bytes unread, and the answer is lost with it.
const LINGER_BYTES_MAX: u64 = 64 << 20;

/// How long that goes on at most.
const LINGER_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a client may be silent meanwhile.
const LINGER_PATIENCE: Duration = Duration::from_secs(1);

/// The first byte of a TLS connection: record type 22, handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a TLS client is told. Docker, podman and skopeo try TLS first, and wait for an answer of any kind. Go's
/// clients know one that begins like this, and say "server gave HTTP response to HTTPS client".
const ANSWER_TO_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This port speaks HTTP, not HTTPS. Tell the client that the registry is insecure (plain HTTP), or put a\n\
    proxy that speaks TLS in front.\n";

/// How long a connection may be silent. Zero means for ever.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Between two parts of a body.
    pub read: Duration,
    /// While the client takes nothing of an answer.
    pub write: Duration,
    /// From the beginning, or from one answer, to the end of the next head. Not silence alone counts: a head
    /// that trickles in byte by byte has no more time.
    pub idle: Duration,
}

/// Serves the request of a turn that the library has queued.
pub type Serve = dyn Fn(Turn) + Send + Sync;

/// What the connections of a server have in common.
pub struct Connections {
    timeouts: Timeouts,
    /// The server's port: a socket with another one is none of ours.
    port: u16,
    next_turn: AtomicU64,
    crowd: Arc<Crowd>,
    serve: OnceLock<Box<Serve>>,
    busy: Arc<AtomicUsize>,
}

thread_local! {
    /// The gate of this thread's connection, in a thread that the library uses for connections.
    static GATE: RefCell<Option<Gate>> = const { RefCell::new(None) };
}

impl Connections {
    /// For a server on `port`.
    pub fn new(port: u16, timeouts: Timeouts) -> Arc<Self> {
        Arc::new(Self {
            timeouts,
            port,
            next_turn: AtomicU64::new(1),
            crowd: Arc::default(),
            serve: OnceLock::new(),
            busy: Arc::default(),
        })
    }

    /// Reads from a connection for the library, which calls from the connection's thread. 0 is the end, after
    /// which the library does not call again. `None` when it is no connection to this server.
    pub fn read(self: &Arc<Self>, socket: Socket, room: &mut [MaybeUninit<u8>]) -> Option<usize> {
        GATE.with_borrow_mut(|gate| {
            if gate.as_ref().is_none_or(|gate| gate.socket != socket) {
                if socket.local().ok()?.port() != self.port {
                    return None;
                }
                let place = Door::enter();
                *gate = socket.peer().ok().map(|peer| Gate::new(self, socket, peer, place));
            }
            let count = gate.as_mut().map_or(0, |gate| gate.read(room));
            if count == 0 {
                *gate = None;
            }
            Some(count)
        })
    }

    /// From now on requests are served, by `serve`; until then they wait. Only the first call counts.
    pub fn serve_by(&self, serve: Box<Serve>) {
        let _ = self.serve.set(serve);
    }

    /// Ends a connection whose place others need more: one that waits for a request, or is very slow with it.
    pub fn make_room(&self) {
        self.crowd.make_room();
    }

    /// How many requests are being handled, answered or logged.
    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::SeqCst)
    }
}

/// A connection, seen from its thread.
struct Gate {
    connections: Arc<Connections>,
    socket: Socket,
    peer: SocketAddr,
    /// Here between turns; with the turn while there is one.
    stream: Option<Stream>,
    /// The turn whose head the library is reading.
    turn: Option<Turn>,
    /// Where the stream comes back to.
    back: Arc<Back>,
    seat: Seat,
    /// The head that the library is reading, and how much of it it has.
    head: Vec<u8>,
    taken: usize,
    _place: Place,
}

impl Gate {
    /// The gate of a new connection.
    fn new(connections: &Arc<Connections>, socket: Socket, peer: SocketAddr, place: Place) -> Self {
        // Where an option cannot be set the connection is gone, as reading will show.
        let _ = socket.set_nodelay();
        let _ = socket.set_write_timeout(connections.timeouts.write);
        let _ = socket.set_unsent_limit(UNSENT_BYTES_MAX);
        Self {
            connections: Arc::clone(connections),
            socket,
            peer,
            stream: Some(Stream::new(socket)),
            turn: None,
            back: Arc::default(),
            seat: connections.crowd.enter(socket),
            head: Vec::new(),
            taken: 0,
            _place: place,
        }
    }

    /// Gives the library as much of a head as it has room for. 0 is the end of the connection.
    fn read(&mut self, room: &mut [MaybeUninit<u8>]) -> usize {
        if self.taken == self.head.len() && self.next_head().is_none() {
            return 0;
        }
        let left = &self.head[self.taken..];
        let count = left.len().min(room.len());
        for (place, byte) in room.iter_mut().zip(&left[..count]) {
            place.write(*byte);
        }
        self.taken += count;
        count
    }

    /// Has the request served that the library has queued; then waits for a head, and begins its turn. `None` when
    /// the connection is over.
    fn next_head(&mut self) -> Option<()> {
        let mut rest = Rest::Nothing;
        if let Some(turn) = self.turn.take() {
            self.connections.serve.wait()(turn);
            let ended = self.back.take()?;
            let unread = !ended.rest.is_nothing() || !ended.stream.buffered().is_empty();
            self.stream = Some(ended.stream);
            match ended.end {
                End::GoOn => rest = ended.rest,
                // A client that said this was its last request sends nothing that would have to be waited for.
                End::Close if unread || !ended.announced => return self.linger(),
                End::Close | End::Abort => return self.hang_up(),
            }
        }
        let stream = self.stream.as_mut()?;
        let idle = self.connections.timeouts.idle;
        let deadline = (!idle.is_zero()).then(|| Instant::now() + idle);
        let mut patience = idle;
        if !rest.is_nothing() {
            match stream.drain(rest, DRAIN_BYTES_MAX, deadline).and_then(|()| left_until(deadline)) {
                Some(left) => patience = left,
                None => return self.linger(),
            }
        }
        self.seat.guest.waits();
        let found = find_head(stream, patience, deadline);
        self.seat.guest.works();
        let number = self.connections.next_turn.fetch_add(1, Ordering::Relaxed);
        match found {
            Some(Found::Head(length)) => {
                let head = Head::parse(&stream.buffered()[..length], number);
                stream.consume(length);
                self.begin_turn(number, head)
            }
            Some(Found::Nonsense(error)) => {
                let head = Head::refused(stream.buffered(), number, error);
                self.begin_turn(number, head)
            }
            Some(Found::Tls) => self.answer_tls(),
            None => self.hang_up(),
        }
    }

    /// Readies the head for the library, and the turn for when that has read it.
    fn begin_turn(&mut self, number: u64, head: Head) -> Option<()> {
        (self.head, self.taken) = (head.shown, 0);
        let connections = &self.connections;
        self.turn = Some(Turn::new(
            number,
            self.peer,
            (head.headers, head.message),
            self.stream.take()?,
            (Arc::clone(&self.seat.guest), Arc::clone(&self.back)),
            connections.timeouts,
            Busy::new(&connections.busy),
        ));
        Some(())
    }

    fn answer_tls(&mut self) -> Option<()> {
        metrics::connection_tls();
        log::event(
            Level::Debug,
            "a client tried TLS: it was told that this port speaks HTTP",
            &[("peer", &self.peer)],
        );
        let _ = self.socket.send(ANSWER_TO_TLS.as_bytes());
        self.linger()
    }

    /// Ends the connection politely: says that nothing more will be sent, then reads and drops what still comes,
    /// until the client ends its side too.
    fn linger(&mut self) -> Option<()> {
        self.socket.shutdown(Shutdown::Write);
        let mut stream = self.stream.take()?;
        let deadline = Some(Instant::now() + LINGER_TIME_MAX);
        let _ = stream.set_timeout(LINGER_PATIENCE);
        stream.drop_all(LINGER_BYTES_MAX, deadline);
        None
    }

    fn hang_up(&mut self) -> Option<()> {
        self.socket.shutdown(Shutdown::Both);
        None
    }
}

/// What a client sent where a head should be.
enum Found {
    /// A head of this length.
    Head(usize),
    /// Something that is none, and why.
    Nonsense(Error),
    /// The beginning of a TLS handshake.
    Tls,
}

/// Reads until it is clear what is there. `None` when the client is gone or the time is over: `patience` for the
/// first bytes, `deadline` for all.
fn find_head(stream: &mut Stream, patience: Duration, deadline: Option<Instant>) -> Option<Found> {
    let mut searched = 0;
    loop {
        if searched == 0 {
            stream.skip_empty_lines(); // some clients send one behind a body (RFC 9112, 2.2)
        }
        let bytes = stream.buffered();
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            return Some(Found::Tls);
        }
        match framing::head_length(bytes, searched) {
            Ok(None) => {}
            Ok(Some(length)) => return Some(Found::Head(length)),
            Err(error) => return Some(Found::Nonsense(error)),
        }
        searched = bytes.len();
        // As a rule a head comes in one piece, and the limit is the one that is set already.
        let limit = if searched == 0 { patience } else { left_until(deadline)? };
        stream.set_timeout(limit).ok()?;
        stream.fill().ok().filter(|&count| count > 0)?;
    }
}
