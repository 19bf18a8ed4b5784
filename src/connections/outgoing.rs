//! The outgoing half of a connection.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::crowd::{Guest, Pace};
use crate::buffer::Buffer;
use crate::system::socket::Socket;

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
        while start < end {
            let room = usize::try_from(end - start).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = file.read_at(&mut buffer[..room], start)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.send(&buffer[..count])?;
            start += count as u64;
        }
        Ok(())
    }

    fn socket(&self) -> io::Result<Socket> {
        self.socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}
