//! HTTP, as the rest of the program sees it. The only file that names `tiny_http`.
//!
//! The library accepts connections, gives each a thread, reads request lines and queues requests. What surrounds
//! that is ours: which bytes it gets to see, and when ([`crate::connections`]); headers and bodies, which are read
//! past it; and the answers, which are written by [`Request::answer`] with our own head, so that each has an exact
//! `Content-Length`, to HEAD too, and none is chunked.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

pub use crate::connections::Timeouts;
use crate::connections::{Busy, Connections, End, Turn};
use crate::error::Error;
use crate::framing::{Framing, TARGET_BYTES_MAX, TURN_HEADER};
use crate::response::Response;
use crate::route::{Method, Query};
use crate::system::door::Door;
use crate::system::socket;

/// The listening server.
pub struct Server {
    library: tiny_http::Server,
    address: SocketAddr,
    connections: Arc<Connections>,
    stopping: Arc<AtomicBool>,
    /// Requests that another thread than their own took from the library's queue, by their turns' numbers.
    strays: Mutex<HashMap<u64, tiny_http::Request>>,
    strayed: Condvar,
}

impl Server {
    /// Listens on `address`; port 0 lets the system choose. One server in a process.
    ///
    /// # Errors
    /// What the system says: the port is in use, the address is not ours.
    pub fn bind(address: SocketAddr, timeouts: Timeouts) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let connections = Connections::new(address.port(), timeouts);
        let reader = Arc::clone(&connections);
        socket::read_by(Box::new(move |socket, room| reader.read(socket, room)));
        let crowd = Arc::clone(&connections);
        Door::open(&listener, move || crowd.make_room())?;
        let library = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        let (strays, strayed) = (Mutex::default(), Condvar::new());
        Ok(Self { library, address, connections, stopping: Arc::default(), strays, strayed })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on requests are served, each by `serve` on the thread of its connection.
    pub fn serve_by(self: &Arc<Self>, serve: impl Fn(Request) + Send + Sync + 'static) {
        let server = Arc::clone(self);
        self.connections.serve_by(Box::new(move |turn| {
            let inner = server.queued(turn.number());
            serve(Request { inner, turn, stopping: Arc::clone(&server.stopping) });
        }));
    }

    /// The library's request for a turn, which it has queued before its thread comes here. The queue is of all
    /// connections: others' requests are laid aside for them, as they lay aside ours.
    fn queued(&self, turn: u64) -> tiny_http::Request {
        loop {
            match self.library.try_recv() {
                Ok(Some(request)) => match turn_number(&request) {
                    Some(number) if number == turn => return request,
                    Some(number) => {
                        self.strays.lock().unwrap_or_else(PoisonError::into_inner).insert(number, request);
                        self.strayed.notify_all();
                    }
                    None => {} // it came from no gate; dropped, the library answers it with 500
                },
                Ok(None) => break,
                Err(_) => {} // the library has stopped accepting; requests that it has are queued still
            }
        }
        let mut strays = self.strays.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match strays.remove(&turn) {
                Some(request) => return request,
                None => strays = self.strayed.wait(strays).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Stops accepting connections. Answers from now on end theirs.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        Door::close();
    }

    /// How many requests are being handled, answered or logged.
    pub fn busy(&self) -> usize {
        self.connections.busy()
    }
}

/// A request, and the right to answer it.
pub struct Request {
    inner: tiny_http::Request,
    turn: Turn,
    stopping: Arc<AtomicBool>,
}

/// What became of an answer.
pub struct Sent {
    /// Bytes of the body that were sent.
    pub bytes_out: u64,
    /// Did the answer go out to its end?
    pub is_whole: bool,
    /// The request is in work until this is dropped.
    pub busy: Option<Busy>,
}

impl Request {
    /// Who asks.
    pub fn peer(&self) -> SocketAddr {
        self.turn.peer()
    }

    /// The method, as one of those we know.
    pub fn method(&self) -> Method {
        Method::parse(self.inner.method().as_str())
    }

    /// The method as sent.
    pub fn method_text(&self) -> &str {
        self.inner.method().as_str()
    }

    /// The request target as sent: path and query.
    pub fn target(&self) -> &str {
        self.inner.url()
    }

    /// The path, still percent-encoded. A target in absolute form (`http://host/v2/`) is as good (RFC 9112,
    /// 3.2.2).
    pub fn path(&self) -> &str {
        let path = self.target().split(['?', '#']).next().unwrap_or_default();
        match path.split_once("://") {
            Some(("http" | "https", rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            _ => path,
        }
    }

    /// The query's parameters.
    pub fn query(&self) -> Query {
        self.target().split_once('?').map(|(_, query)| Query::parse(query)).unwrap_or_default()
    }

    /// The first header of this name.
    pub fn header(&self, name: &'static str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All headers of this name.
    pub fn headers(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.all_headers().filter(move |(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, in their order.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.turn.headers().iter()
    }

    /// Is this a message we can work with? To be asked before anything else.
    ///
    /// # Errors
    /// [`Error::Framing`], [`Error::UriTooLong`].
    pub fn check(&mut self) -> Result<(), Error> {
        if let Some(error) = self.turn.refusal() {
            return Err(error);
        }
        if self.target().len() > TARGET_BYTES_MAX {
            return Err(Error::UriTooLong { limit: TARGET_BYTES_MAX });
        }
        Ok(())
    }

    /// The body's length where it is announced; `None` for a chunked one.
    pub fn body_length(&self) -> Option<u64> {
        match self.turn.message().framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
            Framing::None => Some(0),
        }
    }

    /// Bytes of the body read so far.
    pub fn bytes_in(&self) -> u64 {
        self.turn.arrived()
    }

    /// The body, to be read as it arrives. A client that waits to be asked for it is asked by the first read.
    pub fn body(&mut self) -> Body<'_> {
        Body { turn: &mut self.turn }
    }

    /// Sends the answer, and hands the connection on to its next request or ends it.
    pub fn answer(self, response: Response) -> Sent {
        let head_only = self.method() == Method::Head;
        let Self { inner, turn, stopping } = self;
        let goes_on = turn.can_go_on() && !response.ends_connection() && !stopping.load(Ordering::SeqCst);
        let head = response.head(!goes_on, turn.message().old);
        let mut writer = inner.into_writer();
        let mut connection = turn.outgoing();
        let end = match response.write(&mut writer, &mut connection, head, head_only) {
            Ok(()) if goes_on => End::GoOn,
            Ok(()) => End::Close,
            // The client is gone, or takes nothing, or a file ended early.
            Err(_) => End::Abort,
        };
        let (bytes_out, is_whole) = (connection.sent(), !matches!(end, End::Abort));
        drop(writer); // the library lets the next answer of this connection begin only now
        Sent { bytes_out, is_whole, busy: turn.end(end) }
    }
}

/// The body of a request. Ends with an error if it does not arrive whole.
pub struct Body<'a> {
    turn: &'a mut Turn,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.turn.read(buffer)
    }
}

/// The number of the turn that the request's head came with.
fn turn_number(request: &tiny_http::Request) -> Option<u64> {
    let header = request.headers().iter().find(|header| header.field.equiv(TURN_HEADER))?;
    header.value.as_str().parse().ok()
}
