//! The server: workers that take requests, answer them, and write the log.
//!
//! A worker is busy for as long as its request takes, an upload for minutes. So that slow requests never stall
//! the rest, there is always a worker free: whoever takes a request when no other is waiting starts another
//! first. Those that find nothing to do for a while end again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    count: Mutex<Count>,
}

/// How many workers there are.
#[derive(Default)]
struct Count {
    alive: usize,
    /// Those that wait for a request.
    free: usize,
}

impl Workers {
    /// Starts serving; returns at once.
    pub fn start(server: Server, api: Api, max: usize) -> Arc<Self> {
        let workers = Arc::new(Self { server, api, max, count: Mutex::default() });
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

    /// Starts another worker, if there may be one more.
    fn add(self: &Arc<Self>) {
        {
            let mut count = self.count();
            if count.alive == self.max {
                return;
            }
            count.alive += 1;
            count.free += 1; // from now on, so that nobody else starts one for the same reason
        }
        let workers = Arc::clone(self);
        if thread::Builder::new().name("worker".to_owned()).spawn(move || workers.work()).is_err() {
            // No thread to be had: the others go on, and the next request tries again.
            let mut count = self.count();
            count.alive -= 1;
            count.free -= 1;
        }
    }

    fn work(self: Arc<Self>) {
        loop {
            let Some(request) = self.server.receive(WORKER_PATIENCE) else {
                let mut count = self.count();
                // One free worker stays, however many are busy: nobody would start another for the next request.
                if count.alive > WORKERS_MIN && count.free > 1 {
                    count.alive -= 1;
                    count.free -= 1;
                    return;
                }
                continue;
            };
            let was_last = {
                let mut count = self.count();
                count.free -= 1;
                count.free == 0
            };
            if was_last {
                self.add();
            }
            // A bug costs one request, not a worker.
            let _ = catch_unwind(AssertUnwindSafe(|| self.serve(request)));
            self.count().free += 1;
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner) // no code under the lock panics halfway
    }

    /// Answers one request and logs it.
    fn serve(&self, mut request: Request) {
        let begin = Instant::now();
        // A bug in a handler costs not even the answer.
        let (response, error) = catch_unwind(AssertUnwindSafe(|| self.api.respond(&mut request)))
            .unwrap_or_else(|_| (Response::error(&Error::Panicked), Some(Error::Panicked)));
        let entry = Entry::new(&request, &response, error.as_ref());
        let sent = request.answer(response);
        entry.log(sent.bytes_out, begin.elapsed());
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
