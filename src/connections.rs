//! The open connections: who is being served, and what waits behind it.
//!
//! The HTTP library hands out requests, not connections: two requests that a client sent one behind the other
//! (pipelining) come out as two, and two workers may take them at the same time. Two things follow that this
//! table sets right:
//!
//! - **Order.** Requests of one connection are handled one after the other. A request that comes while another
//!   of its connection is being handled waits here, and who handles the first goes on with it.
//! - **An end.** When a request's framing is wrong, nobody can say where the next one begins. Such a connection
//!   is closed to further requests, and whatever the library still reads from it is dropped.
//!
//! The table also knows each connection's descriptor, so that a handler can set time limits. Entries are
//! overwritten when a descriptor is used again; there are never more of them than descriptors.

use std::collections::{HashMap, VecDeque};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::system;

/// How many requests of one connection may wait behind the one being handled. A client that sends more
/// without reading answers loses its connection.
pub const PIPELINED_REQUESTS_MAX: usize = 16_384;

/// The table. `R` is a request of the HTTP library.
pub struct Connections<R> {
    table: Mutex<Table<R>>,
}

struct Table<R> {
    by_peer: HashMap<SocketAddr, Connection<R>>,
    /// Whose connection a descriptor was last, to forget that one when the descriptor is used again.
    peer_of: HashMap<RawFd, SocketAddr>,
}

struct Connection<R> {
    /// `None` where connections are not announced (see `system::Door`).
    fd: Option<RawFd>,
    busy: bool,
    closed: bool,
    waiting: VecDeque<R>,
}

impl<R> Connection<R> {
    fn new(fd: Option<RawFd>) -> Self {
        Self { fd, busy: false, closed: false, waiting: VecDeque::new() }
    }
}

impl<R> Default for Connections<R> {
    fn default() -> Self {
        Self { table: Mutex::new(Table { by_peer: HashMap::new(), peer_of: HashMap::new() }) }
    }
}

impl<R> Connections<R> {
    /// A new connection. What was known of an older one with the same peer or descriptor is forgotten.
    pub fn opened(&self, fd: RawFd, peer: SocketAddr) {
        let mut table = self.lock();
        if let Some(former) = table.peer_of.insert(fd, peer) {
            table.by_peer.remove(&former);
        }
        table.by_peer.insert(peer, Connection::new(Some(fd)));
    }

    /// A request has come. Gives it back when it is its turn; else keeps it for whoever is busy with the
    /// connection.
    pub fn arrived(&self, peer: SocketAddr, request: R) -> Option<R> {
        let mut table = self.lock();
        let connection = table.by_peer.entry(peer).or_insert_with(|| Connection::new(None));
        if !connection.busy {
            connection.busy = true;
            return Some(request);
        }
        connection.waiting.push_back(request);
        if connection.waiting.len() > PIPELINED_REQUESTS_MAX {
            connection.closed = true;
            let fd = connection.fd;
            drop(table);
            act(fd, peer, |socket| socket.shutdown(Shutdown::Both));
        }
        None
    }

    /// The request in hand is done: the next one of its connection, if one waits.
    pub fn next(&self, peer: SocketAddr) -> Option<R> {
        let mut table = self.lock();
        let connection = table.by_peer.get_mut(&peer)?;
        let next = connection.waiting.pop_front();
        connection.busy = next.is_some();
        next
    }

    /// Takes no more requests from a connection; those that wait or still come are for the bin.
    pub fn close(&self, peer: SocketAddr) {
        if let Some(connection) = self.lock().by_peer.get_mut(&peer) {
            connection.closed = true;
        }
    }

    /// Has the connection been closed to further requests?
    pub fn is_closed(&self, peer: SocketAddr) -> bool {
        self.lock().by_peer.get(&peer).is_some_and(|connection| connection.closed)
    }

    /// Acts on the socket of a connection, where it is known.
    pub fn with_socket<T>(&self, peer: SocketAddr, action: impl FnOnce(&TcpStream) -> T) -> Option<T> {
        let fd = self.lock().by_peer.get(&peer)?.fd;
        act(fd, peer, action)
    }

    /// How many connections are being served at this moment.
    pub fn busy(&self) -> usize {
        self.lock().by_peer.values().filter(|connection| connection.busy).count()
    }

    fn lock(&self) -> MutexGuard<'_, Table<R>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner) // no code under the lock panics halfway
    }
}

fn act<T>(fd: Option<RawFd>, peer: SocketAddr, action: impl FnOnce(&TcpStream) -> T) -> Option<T> {
    system::with_socket(fd?, peer, action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn requests_of_one_connection_take_turns() {
        let connections = Connections::default();
        connections.opened(1000, peer(1));
        assert_eq!(connections.arrived(peer(1), "first"), Some("first"));
        assert_eq!(connections.arrived(peer(1), "second"), None, "waits");
        assert_eq!(connections.arrived(peer(2), "other"), Some("other"), "another connection does not");
        assert_eq!(connections.busy(), 2);
        assert_eq!(connections.next(peer(1)), Some("second"));
        assert_eq!(connections.next(peer(1)), None);
        assert_eq!(connections.arrived(peer(1), "third"), Some("third"));
    }

    #[test]
    fn a_closed_connection_stays_closed_until_its_descriptor_is_used_again() {
        let connections = Connections::default();
        connections.opened(1000, peer(1));
        connections.arrived(peer(1), "bad");
        connections.close(peer(1));
        assert!(connections.is_closed(peer(1)));
        connections.opened(1000, peer(2));
        assert!(!connections.is_closed(peer(1)));
        assert!(!connections.is_closed(peer(2)));
    }
}
