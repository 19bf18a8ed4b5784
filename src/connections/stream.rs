//! What a client sends, in its order: bytes that have come and are not used yet, and behind them the socket.

use std::io;
use std::time::{Duration, Instant};

use crate::framing::{Chunks, Framing};
use crate::system::socket::Socket;

/// How much is asked for at a time where bytes are looked at one by one: most heads fit.
const FILL_BYTES: usize = 4 << 10;

/// How much room a connection keeps between requests.
const KEEP_BYTES: usize = 16 << 10;

/// The incoming half of a connection.
pub(super) struct Stream {
    socket: Socket,
    bytes: Vec<u8>,
    /// Where in `bytes` the unused ones begin.
    start: usize,
    /// The time limit that is set on the socket.
    timeout: Option<Duration>,
}

/// The part of a body that has not been read.
#[derive(Debug)]
pub(super) enum Rest {
    Nothing,
    /// So many bytes.
    Length(u64),
    Chunks(Chunks),
    /// Nobody can say: the message was refused, or its body was malformed.
    Unknown,
}

impl Rest {
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

impl From<Framing> for Rest {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Nothing,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunks(Chunks::new()),
        }
    }
}

impl Stream {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, bytes: Vec::new(), start: 0, timeout: None }
    }

    pub(super) fn socket(&self) -> Socket {
        self.socket
    }

    /// The bytes that have come and are not used yet.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Takes note that the first `count` of them are used.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEEP_BYTES);
            self.start = 0;
        }
    }

    /// Passes over empty lines.
    pub(super) fn skip_empty_lines(&mut self) {
        while self.buffered().starts_with(b"\r\n") {
            self.consume(2);
        }
    }

    /// Waits for more bytes. 0 is the end.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let end = self.bytes.len();
        self.bytes.reserve_exact(FILL_BYTES); // what a client makes us keep is what it sent, not twice that
        self.bytes.resize(end + FILL_BYTES, 0);
        let count = self.socket.receive_next(&mut self.bytes[end..]);
        self.bytes.truncate(end + count.as_ref().copied().unwrap_or(0));
        count
    }

    /// How long to wait for bytes; zero means for ever.
    pub(super) fn set_timeout(&mut self, limit: Duration) -> io::Result<()> {
        if self.timeout != Some(limit) {
            self.socket.set_read_timeout(limit)?;
            self.timeout = Some(limit);
        }
        Ok(())
    }

    /// Reads of a body, and takes what was read from `rest`. 0 is the end of the body; a connection that ends
    /// before it is an error.
    pub(super) fn read_body(&mut self, rest: &mut Rest, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match rest {
            Rest::Nothing => Ok(0),
            Rest::Unknown => Err(cut_off()),
            Rest::Length(left) => {
                let count = self.read_some(*left, buffer)?;
                *left -= count as u64;
                if *left == 0 {
                    *rest = Rest::Nothing;
                }
                Ok(count)
            }
            Rest::Chunks(chunks) => {
                let count = self.read_chunks(chunks, buffer)?;
                if chunks.is_done() {
                    *rest = Rest::Nothing;
                }
                Ok(count)
            }
        }
    }

    fn read_chunks(&mut self, chunks: &mut Chunks, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (taken, put) = chunks.decode(self.buffered(), buffer)?;
            self.consume(taken);
            if put > 0 || chunks.is_done() {
                return Ok(put);
            }
            // What we had is used up. The rest comes past our own buffer, if there is room.
            if chunks.data_ahead() >= buffer.len() as u64 {
                let count = self.read_some(chunks.data_ahead(), buffer)?;
                chunks.skip_data(count as u64);
                return Ok(count);
            }
            if buffer.len() < FILL_BYTES {
                if self.fill()? == 0 {
                    return Err(cut_off());
                }
                continue;
            }
            let count = self.socket.receive(buffer)?;
            if count == 0 {
                return Err(cut_off());
            }
            let (taken, put) = chunks.decode_in_place(&mut buffer[..count])?;
            self.bytes.extend_from_slice(&buffer[taken..count]); // the beginning of the next request
            if put > 0 || chunks.is_done() {
                return Ok(put);
            }
        }
    }

    /// Reads at least one byte and at most `limit`, past our own buffer if that is empty.
    fn read_some(&mut self, limit: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(limit).unwrap_or(usize::MAX).min(buffer.len());
        let ready = self.buffered();
        if ready.is_empty() {
            return match self.socket.receive(&mut buffer[..room])? {
                0 => Err(cut_off()),
                count => Ok(count),
            };
        }
        let count = room.min(ready.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }

    /// Reads a body away, up to `limit` bytes and `deadline`. `None` if its end was not reached.
    pub(super) fn drain(&mut self, mut rest: Rest, mut limit: u64, deadline: Option<Instant>) -> Option<()> {
        let mut bin = [0; 16 << 10];
        while !rest.is_nothing() {
            self.set_timeout(left_until(deadline)?).ok()?;
            let count = self.read_body(&mut rest, &mut bin).ok()?;
            limit = limit.checked_sub(count as u64)?;
        }
        Some(())
    }

    /// Reads away whatever comes, up to `limit` bytes, `deadline`, a silence or the end.
    pub(super) fn drop_all(&mut self, mut limit: u64, deadline: Option<Instant>) {
        let mut bin = [0; 16 << 10];
        while limit > 0 && left_until(deadline).is_some() {
            match self.socket.receive(&mut bin) {
                Ok(count) if count > 0 => limit = limit.saturating_sub(count as u64),
                _ => return,
            }
        }
    }
}

/// The time until a deadline, as a time limit for a socket: zero when there is none, `None` when it has passed.
pub(super) fn left_until(deadline: Option<Instant>) -> Option<Duration> {
    let Some(deadline) = deadline else { return Some(Duration::ZERO) };
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then(|| left.max(Duration::from_millis(1))) // less is rounded down to none at all
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before the body did")
}
