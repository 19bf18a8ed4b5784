//! The server: workers that take requests, answer them, and write the log.
//!
//! A worker is busy for as long as its request takes, an upload for minutes. So that slow requests never stall
//! the rest, there is always a worker free: whoever takes a request when no other is waiting starts another
//! first. Those that find nothing to do for a while end again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::error::Error;
use crate::http::{Request, Server};
use crate::log::{self, Level, RequestLine};
use crate::response::Response;

/// How many workers stay when there is nothing to do.
const WORKERS_MIN: usize = 4;

/// How long a surplus worker waits for something to do.
const WORKER_PATIENCE: Duration = Duration::from_secs(10);

/// The workers of one server.
pub struct Workers {
    server: Server,
    api: Api,
    /// The most there may be.
    max: usize,
    alive: AtomicUsize,
    /// Those that wait for a request.
    free: AtomicUsize,
}

impl Workers {
    /// Starts serving; returns at once.
    pub fn start(server: Server, api: Api, max: usize) -> Arc<Self> {
        let workers =
            Arc::new(Self { server, api, max, alive: AtomicUsize::new(0), free: AtomicUsize::new(0) });
        for _ in 0..WORKERS_MIN.min(max) {
            workers.add();
        }
        workers
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

    fn add(self: &Arc<Self>) {
        if self.alive.fetch_add(1, Ordering::SeqCst) >= self.max {
            self.alive.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        self.free.fetch_add(1, Ordering::SeqCst);
        let workers = Arc::clone(self);
        let started = thread::Builder::new().name("worker".to_owned()).spawn(move || workers.work());
        if started.is_err() {
            // No thread to be had: the others go on, and the next request tries again.
            self.free.fetch_sub(1, Ordering::SeqCst);
            self.alive.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn work(self: Arc<Self>) {
        loop {
            let request = self.server.receive(WORKER_PATIENCE);
            if request.is_some() && self.free.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.add();
            }
            match request {
                Some(request) => {
                    let mut next = Some(request);
                    while let Some(request) = next {
                        next = self.serve(request);
                    }
                    self.free.fetch_add(1, Ordering::SeqCst);
                }
                None if self.alive.load(Ordering::SeqCst) > WORKERS_MIN => {
                    self.free.fetch_sub(1, Ordering::SeqCst);
                    self.alive.fetch_sub(1, Ordering::SeqCst);
                    return;
                }
                None => {}
            }
        }
    }

    /// Answers one request and logs it. Returns the next one of the same connection.
    fn serve(&self, mut request: Request) -> Option<Request> {
        let begin = Instant::now();
        // A bug in a handler costs one answer, not a worker.
        let (response, error) = catch_unwind(AssertUnwindSafe(|| self.api.respond(&mut request)))
            .unwrap_or_else(|_| (Response::error(&Error::Panicked), Some(Error::Panicked)));
        let entry = Entry::new(&request, &response, error.as_ref());
        let sent = request.answer(response);
        entry.log(sent.bytes_out, begin.elapsed());
        sent.next
    }
}

/// What the log says of a request, kept while the request is used up by answering it.
struct Entry {
    peer: std::net::SocketAddr,
    method: String,
    url: String,
    content_type: Option<String>,
    accept: Option<String>,
    status: u16,
    bytes_in: u64,
    error: Option<String>,
    headers: Vec<(String, String)>,
}

impl Entry {
    fn new(request: &Request, response: &Response, error: Option<&Error>) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let accept: Vec<&str> = request.headers("Accept").collect();
        Self {
            peer: request.peer(),
            method: request.method_text().to_owned(),
            url: request.target().to_owned(),
            content_type: request.header("Content-Type").map(str::to_owned),
            accept: (!accept.is_empty()).then(|| accept.join(", ")),
            status: response.status(),
            bytes_in: request.bytes_in(),
            error: error.map(Error::log_text),
            headers: if log::enabled(Level::Debug) {
                request.all_headers().map(owned).collect()
            } else {
                Vec::new()
            },
        }
    }

    fn log(&self, bytes_out: u64, duration: Duration) {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        log::request(&RequestLine {
            peer: Some(self.peer),
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
        });
    }
}
