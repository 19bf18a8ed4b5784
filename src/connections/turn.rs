//! A turn: the right to read a request's body and to answer it.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Timeouts;
use super::crowd::{Guest, Pace};
use super::outgoing::Outgoing;
use super::stream::{Rest, Stream};
use crate::error::Error;
use crate::framing::{Framing, Headers, Message};

/// How much of a body that nobody wants is read to keep the connection for the next request.
pub(super) const DRAIN_BYTES_MAX: u64 = 1 << 20;

/// How a turn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The answer is sent; the next request may come.
    GoOn,
    /// The answer is sent, and is the last one of its connection.
    Close,
    /// The answer could not be sent whole; the client must not take what it has for all of it.
    Abort,
}

/// The right to a connection for the time of one request. Whoever drops it without [`Turn::end`] aborts the
/// connection.
pub struct Turn {
    number: u64,
    peer: SocketAddr,
    headers: Headers,
    message: Message,
    /// Why the message is refused, until somebody asks.
    refused: Option<Error>,
    /// `None` when the turn has ended.
    stream: Option<Stream>,
    guest: Arc<Guest>,
    back: Arc<Back>,
    rest: Rest,
    arrived: u64,
    /// The body's, from when somebody asked for it. From then on a client that waits for "100 Continue" has it.
    pace: Option<Pace>,
    timeouts: Timeouts,
    busy: Option<Busy>,
}

impl Turn {
    /// The turn of a request with this head, whose body follows in `stream`.
    pub(super) fn new(
        number: u64,
        peer: SocketAddr,
        (headers, message): (Headers, Result<Message, Error>),
        stream: Stream,
        (guest, back): (Arc<Guest>, Arc<Back>),
        timeouts: Timeouts,
        busy: Busy,
    ) -> Self {
        // Of a message that is refused nothing is certain, least of all what comes behind it.
        let nothing = Message { framing: Framing::None, old: false, expects_continue: false, last: true };
        let (message, refused) =
            message.map_or_else(|error| (nothing, Some(error)), |message| (message, None));
        let rest = Rest::from(message.framing);
        Self {
            number,
            peer,
            headers,
            message,
            refused,
            stream: Some(stream),
            guest,
            back,
            rest,
            arrived: 0,
            pace: None,
            timeouts,
            busy: Some(busy),
        }
    }

    /// The number by which the HTTP library's request is known to be this turn's.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The client.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The request's headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// What the head says of the body and of the connection.
    pub fn message(&self) -> Message {
        self.message
    }

    /// Why the message must be refused, if it must. To be asked once.
    pub fn refusal(&mut self) -> Option<Error> {
        self.refused.take()
    }

    /// Bytes of the body read so far.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Reads of the body; tells a client that waits for our word to send it. 0 is the end.
    ///
    /// # Errors
    /// The connection ended before the body did, the client fell silent, or the chunks are malformed.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.rest.is_nothing()) else { return Ok(0) };
        if self.pace.is_none() {
            stream.set_timeout(self.timeouts.read)?;
            if self.message.expects_continue {
                stream.socket().send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
        }
        let pace = self.pace.get_or_insert_with(|| Pace::new(self.timeouts.read));
        let read = stream.read_body(&mut self.rest, buffer).and_then(|count| {
            pace.moved(&self.guest, count as u64)?;
            Ok(count)
        });
        match &read {
            Ok(count) => self.arrived += *count as u64,
            Err(_) => self.rest = Rest::Unknown,
        }
        read
    }

    /// Where the answer goes.
    pub fn outgoing(&self) -> Outgoing<'_> {
        let socket = self.stream.as_ref().map(Stream::socket);
        Outgoing::new(socket, &self.guest, self.timeouts.write)
    }

    /// May another request follow on this connection? Not if the client does not want to, nor if much of the
    /// body is unread, or will perhaps not be sent at all.
    pub fn can_go_on(&self) -> bool {
        let drainable = match &self.rest {
            Rest::Nothing => true,
            Rest::Unknown => false,
            _ if self.message.expects_continue && self.pace.is_none() => false,
            Rest::Length(left) => *left <= DRAIN_BYTES_MAX,
            Rest::Chunks(_) => true, // as far as it goes
        };
        drainable && !self.message.last
    }

    /// Ends the turn. The connection's thread does what remains to be done. Returns the mark that the request is
    /// still in work, to be kept until it is logged.
    pub fn end(mut self, end: End) -> Option<Busy> {
        self.give_back(end);
        self.busy.take()
    }

    fn give_back(&mut self, end: End) {
        if let Some(stream) = self.stream.take() {
            let rest = mem::replace(&mut self.rest, Rest::Nothing);
            self.back.put(Ended { end, stream, rest, announced: self.message.last });
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.give_back(End::Abort);
    }
}

/// What a turn leaves behind.
pub(super) struct Ended {
    pub(super) end: End,
    pub(super) stream: Stream,
    /// What is unread of the body.
    pub(super) rest: Rest,
    /// The client has said that it sends nothing more.
    pub(super) announced: bool,
}

/// Where that comes back to the connection.
#[derive(Default)]
pub(super) struct Back(Mutex<Option<Ended>>);

impl Back {
    /// What the turn that has ended left.
    pub(super) fn take(&self) -> Option<Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, ended: Ended) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
    }
}

/// A request in work, counted as long as this lives.
pub struct Busy(Arc<AtomicUsize>);

impl Busy {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
