//! HTTP, as the rest of the program sees it. The only file that names `tiny_http`.
//!
//! The library reads request lines, headers and chunks. What it leaves open is settled here:
//!
//! - a message whose end is uncertain ([`Framing`]) is refused, and its connection ends with it;
//! - every answer is written by [`Request::answer`] with our own head: exact `Content-Length`, for HEAD too, and
//!   never chunked;
//! - a body that nobody read is read away if little is left of it, else the connection ends;
//! - requests of one connection take turns (see [`crate::connections`]).

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::connections::Connections;
use crate::error::Error;
use crate::response::Response;
use crate::route::{Method, Query};
use crate::system::{self, Door};

/// The longest request target (path and query) we read, in bytes.
pub const TARGET_BYTES_MAX: usize = 16 << 10;

/// The longest body a request may announce, in bytes: 32 TiB. No disk takes it, and the sums below stay far
/// from overflowing.
pub const BODY_BYTES_MAX: u64 = 1 << 45;

/// How much of a body that nobody wants is read to keep the connection for the next request.
const DRAIN_BYTES_MAX: u64 = 1 << 20;

/// How much is read, at most, before a connection is closed, so that the client gets to see the answer.
const LINGER_BYTES_MAX: u64 = 64 << 20;

/// How long a silence may last while draining and lingering.
const LINGER_PATIENCE: Duration = Duration::from_secs(1);

/// How long a connection may be silent. Zero means for ever.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Between two parts of a body.
    pub read: Duration,
    /// While the client takes nothing of an answer.
    pub write: Duration,
    /// Before and between requests.
    pub idle: Duration,
}

/// The listening server.
pub struct Server {
    library: tiny_http::Server,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What every request needs of its server.
struct Shared {
    connections: Connections<tiny_http::Request>,
    timeouts: Timeouts,
    stopping: AtomicBool,
}

impl Server {
    /// Listens on `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// What the system says: the port is in use, the address is not ours.
    pub fn bind(address: SocketAddr, timeouts: Timeouts) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let stopping = AtomicBool::new(false);
        let shared = Arc::new(Shared { connections: Connections::default(), timeouts, stopping });
        let told = Arc::clone(&shared);
        Door::open(&listener, timeouts.idle, timeouts.write, move |fd, peer| {
            told.connections.opened(fd, peer)
        })?;
        let library = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        Ok(Self { library, address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits up to `patience` for a request whose turn it is.
    pub fn receive(&self, patience: Duration) -> Option<Request> {
        loop {
            // An error means that the library has stopped accepting; requests that are read still come.
            let arrived = self.library.recv_timeout(patience).ok()??;
            let peer = peer_of(&arrived);
            if let Some(request) = self.shared.connections.arrived(peer, arrived)
                && let Some(request) = Request::new(&self.shared, request, peer)
            {
                return Some(request);
            }
        }
    }

    /// Stops accepting connections. Answers from now on end theirs.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        Door::close();
    }

    /// How many requests are being handled or answered.
    pub fn busy(&self) -> usize {
        self.shared.connections.busy()
    }
}

/// How the end of a request's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// It has this many bytes.
    Length(u64),
    /// It comes in chunks, the last of which is empty.
    Chunked,
}

/// A request, and the right to answer it.
pub struct Request {
    inner: tiny_http::Request,
    shared: Arc<Shared>,
    peer: SocketAddr,
    framing: Result<Framing, Error>,
    /// Bytes of the body read so far.
    arrived: u64,
    /// The body was read to its end.
    complete: bool,
    /// Somebody asked for the body. From then on a client that waits for "100 Continue" has it.
    touched: bool,
}

/// What became of an answer.
pub struct Sent {
    /// Bytes of the body that were sent.
    pub bytes_out: u64,
    /// The next request of the same connection, if it is there already.
    pub next: Option<Request>,
}

impl Request {
    /// Makes a request of the library's ours. One on a closed connection, and what waits behind it, goes to the
    /// bin.
    fn new(shared: &Arc<Shared>, mut inner: tiny_http::Request, peer: SocketAddr) -> Option<Self> {
        while shared.connections.is_closed(peer) {
            discard(inner);
            inner = shared.connections.next(peer)?;
        }
        let framing = framing(&inner);
        let complete = matches!(framing, Ok(Framing::None | Framing::Length(0)));
        Some(Self { inner, shared: Arc::clone(shared), peer, framing, arrived: 0, complete, touched: false })
    }

    /// Who asks.
    pub fn peer(&self) -> SocketAddr {
        self.peer
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
        let target = self.target();
        let path = match target.split_once("://") {
            Some(("http" | "https", rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            _ => target,
        };
        path.split(['?', '#']).next().unwrap_or(path)
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
        self.inner.headers().iter().filter(move |h| h.field.equiv(name)).map(|h| h.value.as_str())
    }

    /// All headers, in their order.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.headers().iter().map(|h| (h.field.as_str().as_str(), h.value.as_str()))
    }

    /// Is this a message we can work with? To be asked before anything else.
    ///
    /// # Errors
    /// [`Error::Framing`], [`Error::UriTooLong`].
    pub fn check(&mut self) -> Result<(), Error> {
        if let Err(Error::Framing(why)) = &self.framing {
            return Err(Error::Framing(why.clone()));
        }
        if self.target().len() > TARGET_BYTES_MAX {
            return Err(Error::UriTooLong { limit: TARGET_BYTES_MAX });
        }
        Ok(())
    }

    /// The body's length where it is announced; `None` for a chunked one.
    pub fn body_length(&self) -> Option<u64> {
        match self.framing {
            Ok(Framing::Length(length)) => Some(length),
            Ok(Framing::Chunked) => None,
            Ok(Framing::None) | Err(_) => Some(0),
        }
    }

    /// Bytes of the body read so far.
    pub fn bytes_in(&self) -> u64 {
        self.arrived
    }

    /// The body, to be read as it arrives. Asking for it tells a waiting client to send it.
    pub fn body(&mut self) -> Body<'_> {
        if !self.touched && !self.complete {
            self.touched = true;
            self.set_read_timeout(self.shared.timeouts.read);
        }
        Body { request: self }
    }

    fn set_read_timeout(&self, limit: Duration) {
        let limit = (!limit.is_zero()).then_some(limit);
        self.shared.connections.with_socket(self.peer, |socket| socket.set_read_timeout(limit));
    }

    /// Sends the answer, and makes the connection ready for its next request or ends it.
    pub fn answer(mut self, response: Response) -> Sent {
        let (shared, peer) = (Arc::clone(&self.shared), self.peer);
        let connections = &shared.connections;
        let clean = !response.ends_connection() && self.framing.is_ok() && self.drain();
        let ends = !clean || self.is_last() || shared.stopping.load(Ordering::SeqCst);
        if ends {
            connections.close(peer);
        }
        if !clean {
            // The library, letting go of the body, waits for all that is missing: but no longer than this.
            self.set_read_timeout(Duration::from_millis(1));
        } else if self.touched {
            self.set_read_timeout(shared.timeouts.idle);
        }

        let head_only = self.method() == Method::Head;
        let head = response.head(ends, *self.inner.http_version() == tiny_http::HTTPVersion(1, 0));
        let linger = |socket: &TcpStream| system::linger(socket, LINGER_BYTES_MAX, LINGER_PATIENCE);
        let mut bytes_out = 0;
        match catch_unwind(AssertUnwindSafe(|| self.inner.into_writer())) {
            Ok(mut writer) => {
                let sent = response.write(&mut writer, head, head_only, &mut bytes_out);
                if sent.is_err() {
                    // The client is gone, or a file ended early: it must not take what it has for the whole.
                    connections.close(peer);
                    connections.with_socket(peer, |socket| socket.shutdown(Shutdown::Both));
                } else if !clean {
                    connections.with_socket(peer, linger);
                }
            }
            // The library panics over a length above isize::MAX as it lets go of the body, and takes the writer
            // with it.
            Err(_) => {
                connections.with_socket(peer, |mut socket| {
                    let _ = response.write(&mut socket, head, head_only, &mut bytes_out);
                    linger(socket);
                });
            }
        }
        let next = connections.next(peer).and_then(|next| Request::new(&shared, next, peer));
        Sent { bytes_out, next }
    }

    /// Reads away what is left of the body; says whether the next request can follow on this connection.
    fn drain(&mut self) -> bool {
        if self.complete {
            return true;
        }
        if !self.touched && self.header("Expect").is_some() {
            return false; // the client waits for our word before it sends; the answer is that word
        }
        self.touched = true;
        self.set_read_timeout(LINGER_PATIENCE);
        io::copy(&mut self.body().take(DRAIN_BYTES_MAX), &mut io::sink()).is_ok() && self.complete
    }

    /// Will the library end the connection after this request? The same rules as its own.
    fn is_last(&self) -> bool {
        let old = *self.inner.http_version() == tiny_http::HTTPVersion(1, 0);
        match self.header("Connection").map(str::to_ascii_lowercase) {
            Some(value) => {
                value.contains("close") || value.contains("upgrade") || old && !value.contains("keep-alive")
            }
            None => old,
        }
    }
}

/// The body of a request. Ends with an error if the announced length does not arrive.
pub struct Body<'a> {
    request: &'a mut Request,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let request = &mut *self.request;
        if request.complete || buffer.is_empty() {
            return Ok(0);
        }
        let room = match request.framing {
            Ok(Framing::Length(length)) => {
                usize::try_from(length - request.arrived).unwrap_or(usize::MAX).min(buffer.len())
            }
            _ => buffer.len(),
        };
        let count = request.inner.as_reader().read(&mut buffer[..room])?;
        request.arrived += count as u64;
        match request.framing {
            Ok(Framing::Length(length)) if count == 0 => {
                let text = format!("it ended after {} of {length} bytes", request.arrived);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            Ok(Framing::Length(length)) => request.complete = request.arrived == length,
            _ => request.complete = count == 0,
        }
        Ok(count)
    }
}

/// Finds the end of a body, or says why it is uncertain. The library takes the first of several lengths, none
/// for one that it cannot parse, and any transfer coding for chunked; whoever stands between the client and
/// us may see it otherwise, and then the rest of one request is another one (request smuggling).
fn framing(request: &tiny_http::Request) -> Result<Framing, Error> {
    let values = |name: &'static str| {
        let of_name = request.headers().iter().filter(move |header| header.field.equiv(name));
        of_name.map(|header| header.value.as_str()).collect::<Vec<_>>()
    };
    let upgrade = values("Connection").iter().any(|value| value.to_ascii_lowercase().contains("upgrade"));
    let refused = |why: &str| Err(Error::Framing(why.to_owned()));
    match (values("Content-Length").as_slice(), values("Transfer-Encoding").as_slice()) {
        ([], []) => Ok(Framing::None),
        ([text], []) => match text.parse::<u64>() {
            Ok(length) if !text.bytes().all(|b| b.is_ascii_digit()) => Err(Error::Framing(format!(
                "Content-Length must be written in digits only: {length}, not {text}"
            ))),
            Ok(length) if length <= BODY_BYTES_MAX => Ok(Framing::Length(length)),
            Ok(_) => Err(Error::Framing(format!("no body may be longer than {BODY_BYTES_MAX} bytes"))),
            Err(_) => Err(Error::Framing(format!("Content-Length {text:?} is not a number of bytes"))),
        },
        ([], [coding]) if !coding.eq_ignore_ascii_case("chunked") => {
            refused("the only Transfer-Encoding this server reads is chunked")
        }
        ([], [_]) if upgrade => refused("a chunked body cannot come with Connection: Upgrade"),
        ([], [_]) if *request.http_version() == tiny_http::HTTPVersion(1, 0) => {
            refused("HTTP/1.0 knows no Transfer-Encoding")
        }
        ([], [_]) => Ok(Framing::Chunked),
        ([_, _, ..], _) => refused("Content-Length is given more than once"),
        (_, [_, _, ..]) => refused("Transfer-Encoding is given more than once"),
        ([_], [_]) => refused("Content-Length and Transfer-Encoding exclude each other"),
    }
}

/// The library answers a request that is dropped, and may panic at it (see [`Request::answer`]).
fn discard(request: tiny_http::Request) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(request)));
}

fn peer_of(request: &tiny_http::Request) -> SocketAddr {
    request.remote_addr().copied().unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
}
