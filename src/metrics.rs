//! What the process has done, in numbers: `GET /metrics`.
//!
//! Every number is an atomic in one static table, so that a request costs a handful of relaxed additions and no
//! lock. The labels are from fixed sets (route, method, status, code): nothing that a client makes up, such as the
//! name of a repository, becomes one, so the table never grows.
//!
//! The numbers are this process's own, since its start. What the *store* holds is another matter: several
//! processes may serve it, so that is counted, now and then, by [`counting`], and told with the time of the count.
//!
//! Whoever does something that is counted calls a function here; [`page`] writes it all down.

pub mod counting;
pub mod page;
mod text;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::error::Error;
use crate::route::{Method, Route};

/// What the label `route` says. The first is for what has no route: a path or a message that is none.
const ROUTES: [&str; 14] = [
    "none",
    "livez",
    "readyz",
    "metrics",
    "version",
    "catalog",
    "discover",
    "token",
    "blob",
    "manifest",
    "upload_start",
    "upload",
    "tags",
    "referrers",
];

/// What the label `method` says.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];

/// What the label `status` says: all that is ever answered.
const STATUSES: [u16; 23] = [
    200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 414, 416, 429, 431, 500, 503,
    507, 0, // any other
];

/// What the label `code` says: the codes of the spec's table.
const CODES: [&str; 16] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "TAG_INVALID",
    "TOOMANYREQUESTS",
    "UNAUTHORIZED",
    "UNSUPPORTED",
    "UNKNOWN",
];

/// The upper bounds of the histogram's buckets, in microseconds: from a manifest out of the cache to a layer of
/// gigabytes over a slow line.
const BUCKETS: [u64; 12] = [
    100,
    500,
    1_000,
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    10_000_000,
    60_000_000,
    600_000_000,
];

/// A number that goes up, and some of them down again.
struct Number(AtomicU64);

impl Number {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    fn subtract(&self, amount: u64) {
        self.0.fetch_sub(amount, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The requests of one route and method.
struct Requests {
    in_progress: Number,
    nanoseconds: Number,
    received: Number,
    sent: Number,
    broken_off: Number,
    /// Each counts those that took no longer than its bound, and longer than the one before; the last the rest.
    buckets: [Number; BUCKETS.len() + 1],
    statuses: [Number; STATUSES.len()],
}

/// All there is.
struct Table {
    requests: [[Requests; METHODS.len()]; ROUTES.len()],
    errors: [Number; CODES.len()],
    connections_opened: Number,
    connections_closed: Number,
    connections_tls: Number,
    held_back: Number,
    asked_to_leave_waiting: Number,
    asked_to_leave_working: Number,
    gc: GcNumbers,
}

struct GcNumbers {
    runs: Number,
    failures: Number,
    bytes: Number,
    blobs: Number,
    sessions: Number,
    nanoseconds: Number,
    /// Seconds since 1970; 0: never.
    last: Number,
}

static TABLE: Table = Table {
    requests: [const { [const { Requests::new() }; METHODS.len()] }; ROUTES.len()],
    errors: [const { Number::new() }; CODES.len()],
    connections_opened: Number::new(),
    connections_closed: Number::new(),
    connections_tls: Number::new(),
    held_back: Number::new(),
    asked_to_leave_waiting: Number::new(),
    asked_to_leave_working: Number::new(),
    gc: GcNumbers {
        runs: Number::new(),
        failures: Number::new(),
        bytes: Number::new(),
        blobs: Number::new(),
        sessions: Number::new(),
        nanoseconds: Number::new(),
        last: Number::new(),
    },
};

impl Requests {
    const fn new() -> Self {
        Self {
            in_progress: Number::new(),
            nanoseconds: Number::new(),
            received: Number::new(),
            sent: Number::new(),
            broken_off: Number::new(),
            buckets: [const { Number::new() }; BUCKETS.len() + 1],
            statuses: [const { Number::new() }; STATUSES.len()],
        }
    }

    fn count(&self) -> u64 {
        self.buckets.iter().map(Number::get).sum()
    }
}

/// A request that is being worked at, counted as such until this is dropped.
pub struct Working(&'static Requests);

impl Working {
    /// One that begins now. `route` is `None` for a message or a path that is none of ours.
    pub fn begin(route: Option<&Route>, method: Method) -> Self {
        let requests = &TABLE.requests[number_of_route(route)][number_of_method(method)];
        requests.in_progress.add(1);
        Self(requests)
    }

    /// Its answer does not go out to its end: the client is gone, or takes nothing.
    pub fn breaks_off(&self) {
        self.0.broken_off.add(1);
    }

    /// It is answered: with this status and these bytes in its body and the answer's.
    pub fn end(self, status: u16, received: u64, sent: u64, duration: Duration) {
        let Self(requests) = &self;
        let other = STATUSES.len() - 1;
        requests.statuses[STATUSES.iter().position(|known| *known == status).unwrap_or(other)].add(1);
        let microseconds = duration.as_micros();
        let bucket = BUCKETS.iter().position(|bound| microseconds <= u128::from(*bound));
        requests.buckets[bucket.unwrap_or(BUCKETS.len())].add(1);
        requests.nanoseconds.add(nanoseconds(duration));
        if received > 0 {
            requests.received.add(received);
        }
        if sent > 0 {
            requests.sent.add(sent);
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.in_progress.subtract(1);
    }
}

/// A request was refused or failed.
pub fn error(error: &Error) {
    let code = CODES.iter().position(|code| *code == error.code());
    TABLE.errors[code.unwrap_or(CODES.len() - 1)].add(1);
}

/// A connection is being served.
pub fn connection_opened() {
    TABLE.connections_opened.add(1);
}

/// It has ended.
pub fn connection_closed() {
    TABLE.connections_closed.add(1);
}

/// A connection began with TLS, and was told that nobody here speaks it.
pub fn connection_tls() {
    TABLE.connections_tls.add(1);
}

/// A connection must wait until there is room for it. None is ever refused.
pub fn connection_held_back() {
    TABLE.held_back.add(1);
}

/// A connection was ended to make room for others. `is_working`: it was slow with a request; else it waited for one.
pub fn connection_asked_to_leave(is_working: bool) {
    if is_working { &TABLE.asked_to_leave_working } else { &TABLE.asked_to_leave_waiting }.add(1);
}

/// What a sweep of the store came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    /// It could not do all it should.
    pub failed: bool,
    /// The bytes that came back.
    pub bytes: u64,
    /// The blobs and manifests that they were.
    pub blobs: u64,
    /// Upload sessions that were ended.
    pub sessions: u64,
    /// How long it took.
    pub duration: Duration,
}

/// A sweep of the store has ended.
pub fn gc_run(sweep: Sweep) {
    let numbers = &TABLE.gc;
    numbers.runs.add(1);
    numbers.failures.add(u64::from(sweep.failed));
    numbers.bytes.add(sweep.bytes);
    numbers.blobs.add(sweep.blobs);
    numbers.sessions.add(sweep.sessions);
    numbers.nanoseconds.add(nanoseconds(sweep.duration));
    numbers.last.0.store(crate::clock::seconds_since_1970(), Relaxed);
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A route's place in [`ROUTES`]. A new route does not compile before it has one.
fn number_of_route(route: Option<&Route>) -> usize {
    match route {
        None => 0,
        Some(Route::Livez) => 1,
        Some(Route::Readyz) => 2,
        Some(Route::Metrics) => 3,
        Some(Route::Version) => 4,
        Some(Route::Catalog) => 5,
        Some(Route::Discover) => 6,
        Some(Route::Token) => 7,
        Some(Route::GetBlob { .. } | Route::DeleteBlob { .. }) => 8,
        Some(Route::GetManifest { .. } | Route::PutManifest { .. } | Route::DeleteManifest { .. }) => 9,
        Some(Route::StartUpload { .. }) => 10,
        Some(
            Route::GetUpload { .. }
            | Route::PatchUpload { .. }
            | Route::PutUpload { .. }
            | Route::DeleteUpload { .. },
        ) => 11,
        Some(Route::ListTags { .. }) => 12,
        Some(Route::ListReferrers { .. }) => 13,
    }
}

/// A method's place in [`METHODS`].
fn number_of_method(method: Method) -> usize {
    match method {
        Method::Get => 0,
        Method::Head => 1,
        Method::Post => 2,
        Method::Put => 3,
        Method::Patch => 4,
        Method::Delete => 5,
        Method::Other => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_and_a_method_have_a_name_of_their_own() {
        let blob = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let id = "0b7a4c2e-9d1f-4a3b-8c5d-6e7f8091a2b3";
        for (method, path, name) in [
            ("GET", "/livez", "livez"),
            ("GET", "/readyz", "readyz"),
            ("GET", "/metrics", "metrics"),
            ("GET", "/v2/", "version"),
            ("GET", "/v2/_catalog", "catalog"),
            ("GET", "/v2/_oci/ext/discover", "discover"),
            ("GET", "/v2/_token", "token"),
            ("HEAD", &format!("/v2/a/blobs/{blob}"), "blob"),
            ("PUT", "/v2/a/manifests/v1", "manifest"),
            ("POST", "/v2/a/blobs/uploads/", "upload_start"),
            ("PATCH", &format!("/v2/a/blobs/uploads/{id}"), "upload"),
            ("GET", "/v2/a/tags/list", "tags"),
            ("GET", &format!("/v2/a/referrers/{blob}"), "referrers"),
        ] {
            let parsed = Method::parse(method);
            let route = Route::parse(parsed, path).unwrap();
            assert_eq!(ROUTES[number_of_route(Some(&route))], name, "{path}");
            assert_eq!(METHODS[number_of_method(parsed)], method);
        }
        assert_eq!(ROUTES[number_of_route(None)], "none");
        assert_eq!(METHODS[number_of_method(Method::parse("BREW"))], "other");
    }

    #[test]
    fn a_request_counts_once_in_each_place() {
        // No other test of this process has requests of this kind.
        let requests = &TABLE.requests[number_of_route(Some(&Route::Token))][number_of_method(Method::Patch)];
        let begin = || Working::begin(Some(&Route::Token), Method::Patch);
        let (one, other) = (begin(), begin());
        assert_eq!(requests.in_progress.get(), 2);
        one.end(200, 3, 0, Duration::from_micros(100));
        other.end(799, 4, 5, Duration::from_micros(101));
        begin().end(200, 0, 0, Duration::from_secs(601));
        drop(begin()); // broken off
        assert_eq!((requests.in_progress.get(), requests.count()), (0, 3));
        let buckets: Vec<u64> = requests.buckets.iter().map(Number::get).collect();
        assert_eq!(buckets, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((requests.received.get(), requests.sent.get()), (7, 5));
        let status = |status| requests.statuses[STATUSES.iter().position(|s| *s == status).unwrap()].get();
        assert_eq!((status(200), status(201), status(0)), (2, 0, 1));
    }
}
