//! The outgoing half of a connection.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::crowd::{Guest, Pace};
use crate::buffer::Buffer;
use crate::system::socket::Socket;

/// How much of an answer the kernel may hold that the client has no room for.
pub(super) const UNSENT_BYTES_MAX: u32 = 512 << 10;

/// And while it goes through one of the large buffers, of which there are few: four times what one holds.
const UNSENT_BYTES_AHEAD: u32 = 2 << 20;

/// The outgoing half of a connection, for the body of one answer.
pub struct Outgoing<'a> {
    socket: Option<Socket>,
    guest: &'a Guest,
    pace: Pace,
    sent: u64,
}

/// How much is sent at a time, at most, between two looks at the pace.
const SEND_BYTES_MAX: usize = 1 << 20;

impl<'a> Outgoing<'a> {
    pub(super) fn new(socket: Option<Socket>, guest: &'a Guest, patience: Duration) -> Self {
        Self { socket, guest, pace: Pace::new(patience), sent: 0 }
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes note that bytes were sent by other ways.
    ///
    /// # Errors
    /// The client takes them too slowly.
    pub fn note(&mut self, count: u64) -> io::Result<()> {
        self.sent += count;
        self.pace.moved(self.guest, count)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The client has gone, takes nothing, or too slowly.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = bytes.len().min(SEND_BYTES_MAX);
            let count = self.socket()?.send_some(&bytes[..room])?;
            self.note(count as u64)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Sends a part of a file.
    ///
    /// Through a buffer that stays in the processor's cache. sendfile(2) saves this copy, and measured a fifth
    /// slower over loopback: then the reader is who waits for the file's bytes from main memory.
    ///
    /// # Errors
    /// As [`Self::send`]; `UnexpectedEof` when the file ends before.
    pub fn send_file(&mut self, file: &File, mut start: u64, length: u64) -> io::Result<()> {
        let end = start + length;
        let mut buffer = Buffer::new(length);
        let is_worth_it = buffer.is_large() && length > u64::from(UNSENT_BYTES_MAX);
        let ahead = if is_worth_it { Ahead::of(self.socket) } else { None };
        while start < end {
            let room = usize::try_from(end - start).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = file.read_at(&mut buffer[..room], start)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.send(&buffer[..count])?;
            start += count as u64;
        }
        drop(ahead);
        Ok(())
    }

    fn socket(&self) -> io::Result<Socket> {
        self.socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// The kernel takes more of an answer than it else does before the client has room for it, as long as this lives.
/// Sender and reader wait less for each other then.
struct Ahead(Socket);

impl Ahead {
    fn of(socket: Option<Socket>) -> Option<Self> {
        let socket = socket?;
        socket.set_unsent_limit(UNSENT_BYTES_AHEAD).ok()?;
        Some(Self(socket))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let _ = self.0.set_unsent_limit(UNSENT_BYTES_MAX); // the connection is gone if not
    }
}
