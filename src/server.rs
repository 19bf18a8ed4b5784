//! The service: what happens to each request, and the end of it all.

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::api::{Api, Outcome};
use crate::error::Error;
use crate::http::{Request, Server};
use crate::log::{self, Level, RequestLine};
use crate::metrics::{self, Working};
use crate::response::Response;

/// A server with its API.
pub struct Service {
    server: Arc<Server>,
}

impl Service {
    /// Starts serving; returns at once.
    pub fn start(server: Server, api: Api) -> Self {
        let server = Arc::new(server);
        server.serve_by(move |request| {
            // A bug costs one request, not its connection's thread.
            let _ = catch_unwind(AssertUnwindSafe(|| serve(&api, request)));
        });
        Self { server }
    }

    /// Stops accepting, and waits until everything in hand is answered, but no longer than `patience`. Says
    /// whether it was.
    pub fn stop(&self, patience: Duration) -> bool {
        self.server.stop();
        let deadline = Instant::now() + patience;
        while self.server.busy() > 0 {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

/// Answers one request and logs it.
fn serve(api: &Api, mut request: Request) {
    let begin = Instant::now();
    // A bug in a handler costs not even the answer.
    let client = api.client(&request);
    let outcome = catch_unwind(AssertUnwindSafe(|| api.respond(&mut request, client))).unwrap_or_else(|_| {
        let (response, error) = (Response::error(&Error::Panicked), Some(Error::Panicked));
        metrics::error(&Error::Panicked);
        let working = Working::begin(None, request.method());
        Outcome { response, error, user: None, working, is_probe: false }
    });
    let mut entry = Entry::new(&request, client, &outcome);
    let sent = request.answer(outcome.response);
    if !sent.is_whole {
        outcome.working.breaks_off();
        entry.error.get_or_insert("the answer did not go out to its end".to_owned());
    }
    let duration = begin.elapsed();
    outcome.working.end(entry.status, entry.bytes_in, sent.bytes_out, duration);
    entry.log(sent.bytes_out, duration);
}

/// What the log says of a request, kept while the request is used up by answering it.
struct Entry {
    peer: SocketAddr,
    client: IpAddr,
    user: Option<String>,
    method: String,
    url: String,
    content_type: Option<String>,
    accept: Option<String>,
    status: u16,
    bytes_in: u64,
    error: Option<String>,
    headers: Vec<(String, String)>,
    is_probe: bool,
}

impl Entry {
    fn new(request: &Request, client: IpAddr, outcome: &Outcome) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let accept: Vec<&str> = request.headers("Accept").collect();
        Self {
            peer: request.peer(),
            client,
            user: outcome.user.clone(),
            method: request.method_text().to_owned(),
            url: request.target().to_owned(),
            content_type: request.header("Content-Type").map(str::to_owned),
            accept: (!accept.is_empty()).then(|| accept.join(", ")),
            status: outcome.response.status(),
            bytes_in: request.bytes_in(),
            error: outcome.error.as_ref().map(Error::log_text),
            headers: if log::enabled(Level::Debug) {
                request.all_headers().map(owned).collect()
            } else {
                Vec::new()
            },
            is_probe: outcome.is_probe,
        }
    }

    fn log(&self, bytes_out: u64, duration: Duration) {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        log::request(&RequestLine {
            peer: Some(self.peer),
            client: Some(self.client).filter(|client| *client != self.peer.ip().to_canonical()),
            user: self.user.as_deref(),
            method: &self.method,
            url: &self.url,
            content_type: self.content_type.as_deref(),
            accept: self.accept.as_deref(),
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out,
            duration,
            error: self.error.as_deref(),
            headers: &headers,
            is_probe: self.is_probe,
        });
    }
}
