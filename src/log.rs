//! The log: one line for each thing that happened, on standard error, as text or as JSON.
//!
//! A request's line shows what went over the wire:
//!
//! ```text
//! 2026-01-02T03:04:05.678Z PUT /v2/hello/manifests/v1 201 in=524 out=0 1.8ms peer=127.0.0.1:4711 user=alice type=application/vnd.oci.image.manifest.v1+json
//! ```
//!
//! Three things always hold. A line is written with one call, so lines of several threads never mix. What
//! comes from a client is escaped to printable ASCII and cut at [`VALUE_BYTES_MAX`], so it can neither pass
//! for a line of ours nor move the cursor of the terminal that shows it. And logging never fails: when
//! standard error is gone, the line is lost and the registry goes on.

mod json;
mod text;
mod value;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use crate::clock::Utc;

/// The most bytes shown of one value; what is longer ends in `…`. Enough for every digest, name and Accept
/// header of a real client, and little enough that nobody fills the disk by way of the log.
pub const VALUE_BYTES_MAX: usize = 1024;

/// The most request headers shown at level debug.
pub const HEADERS_MAX: usize = 64;

/// Request headers that carry credentials; in the log their values are `(hidden)`.
const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// How important a line is. The order is that of the words: each level shows those before it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is broken: a request answered with 5xx, a panic.
    Error,
    /// Something will break, or is not as it should be.
    Warn,
    /// What happens: start, stop, each request.
    Info,
    /// All that is known, such as the headers of each request.
    Debug,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people, coloured on a terminal.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// A request and its answer, as one line.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// Who sent it; `None` when the socket no longer knows.
    pub peer: Option<SocketAddr>,
    /// For whom, if the sender is a proxy that is believed.
    pub client: Option<IpAddr>,
    /// The user, if they are logged in.
    pub user: Option<&'a str>,
    /// The method as sent.
    pub method: &'a str,
    /// Path and query as sent; shown without the password that a target of absolute form may contain.
    pub url: &'a str,
    /// `Content-Type` as sent.
    pub content_type: Option<&'a str>,
    /// `Accept` as sent; several lines joined by `, `.
    pub accept: Option<&'a str>,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the request's body that were read.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were sent.
    pub bytes_out: u64,
    /// From the request's head to the end of the answer.
    pub duration: Duration,
    /// Why it was refused or failed.
    pub error: Option<&'a str>,
    /// All request headers, name and value; shown at level debug only, so `&[]` does when
    /// [`enabled`]`(Level::Debug)` is false.
    pub headers: &'a [(&'a str, &'a str)],
    /// Somebody asks how the registry is, as they do every few seconds: for level debug.
    pub is_probe: bool,
}

impl Level {
    /// The word for it in the log.
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl RequestLine<'_> {
    /// A failure of ours is an error; one of the client's is everyday life. What a probe finds has a line of its
    /// own, once.
    fn level(&self) -> Level {
        match self.is_probe {
            true => Level::Debug,
            false if self.status >= 500 => Level::Error,
            false => Level::Info,
        }
    }
}

/// Names and values of an event.
pub type Fields<'a> = [(&'a str, &'a dyn Display)];

/// What the program was told about its log.
#[derive(Clone, Copy, Debug)]
struct Logger {
    level: Level,
    format: Format,
    colour: bool,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Sets level and format, once for the process; later calls change nothing. Until then the log is text of
/// level info. Text is coloured when standard error is a terminal and `NO_COLOR` is unset or empty.
pub fn init(level: Level, format: Format) {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = format == Format::Text && !no_color && io::stderr().is_terminal();
    let _ = LOGGER.set(Logger { level, format, colour });
}

/// Are lines of this level shown?
pub fn enabled(level: Level) -> bool {
    level <= logger().level
}

/// Logs that something happened. `message` is the same words each time; what differs goes into `fields`,
/// whose names should not be `time`, `level` or `message`.
///
/// ```
/// use container_registry::log::{self, Level};
/// log::event(Level::Info, "listening", &[("address", &"127.0.0.1:5080"), ("workers", &512)]);
/// ```
pub fn event(level: Level, message: &str, fields: &Fields<'_>) {
    if enabled(level) {
        write_line(io::stderr(), logger().event(Utc::now(), level, message, fields));
    }
}

/// Logs a request that has been answered: at level error when the status is 5xx, else info; a probe at debug.
pub fn request(line: &RequestLine<'_>) {
    if enabled(line.level()) {
        write_line(io::stderr(), logger().request(Utc::now(), line));
    }
}

/// Makes a panic one line of this log, with thread and place, in place of Rust's own lines.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        write_line(io::stderr(), logger().panic(Utc::now(), panic));
    }));
}

fn logger() -> &'static Logger {
    LOGGER.get().unwrap_or(&Logger { level: Level::Info, format: Format::Text, colour: false })
}

/// The only write: one call, which takes the lock of standard error when the line is complete. An error
/// has nowhere to be told.
fn write_line(mut out: impl Write, mut line: String) {
    line.push('\n');
    let _ = out.write_all(line.as_bytes());
}

/// Room for most lines, so that a line costs one allocation.
const LINE_BYTES_USUAL: usize = 512;

impl Logger {
    fn request(&self, time: Utc, line: &RequestLine<'_>) -> String {
        match self.format {
            Format::Text => self.request_text(time, line),
            Format::Json => self.request_json(time, line),
        }
    }

    fn event(&self, time: Utc, level: Level, message: &str, fields: &Fields<'_>) -> String {
        match self.format {
            Format::Text => self.event_text(time, level, message, fields),
            Format::Json => self.event_json(time, level, message, fields),
        }
    }

    fn panic(&self, time: Utc, panic: &PanicHookInfo<'_>) -> String {
        let payload = panic.payload();
        let story = payload.downcast_ref::<&str>().copied();
        let story = story.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let story = story.unwrap_or("(not a text)");
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("(no name)");
        let place = panic.location().map_or(String::new(), ToString::to_string);
        self.event(time, Level::Error, "panic", &[("error", &story), ("at", &place), ("thread", &thread)])
    }

    /// The headers to show, none below debug, with credentials replaced.
    fn shown_headers<'a>(&self, line: &RequestLine<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
        let shown = if self.level >= Level::Debug { HEADERS_MAX } else { 0 };
        line.headers.iter().take(shown).map(|&(name, value)| {
            let is_secret = CREDENTIAL_HEADERS.iter().any(|secret| name.eq_ignore_ascii_case(secret));
            (name, if is_secret { "(hidden)" } else { value })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PUSH: RequestLine<'static> = RequestLine {
        peer: None,
        client: None,
        user: None,
        method: "PUT",
        url: "/v2/hello/manifests/v1",
        content_type: Some("application/json; charset=utf-8"),
        accept: None,
        status: 201,
        bytes_in: 524,
        bytes_out: 0,
        duration: Duration::from_micros(1849),
        error: None,
        headers: &[("Host", "localhost:5080"), ("AUTHORIZATION", "Basic c2VjcmV0"), ("Cookie", "c2VjcmV0")],
        is_probe: false,
    };

    fn epoch() -> Utc {
        Utc::from_epoch(Duration::ZERO)
    }

    fn logger(level: Level, format: Format) -> Logger {
        Logger { level, format, colour: false }
    }

    #[track_caller]
    fn check_text(line: RequestLine<'_>, level: Level, expect: &str) {
        let text = logger(level, Format::Text).request(epoch(), &line);
        assert_eq!(text.strip_prefix("1970-01-01T00:00:00.000Z "), Some(expect), "{text}");
    }

    #[track_caller]
    fn check_json(line: &str, expect: Value) {
        assert_eq!(serde_json::from_str::<Value>(line).expect(line), expect, "{line}");
    }

    #[test]
    fn a_request_shows_what_went_over_the_wire() {
        let push =
            "PUT /v2/hello/manifests/v1 201 in=524 out=0 1.8ms type=\"application/json; charset=utf-8\"";
        check_text(PUSH, Level::Info, push);
        let peer = Some("[::1]:4711".parse().unwrap());
        let refused = RequestLine { peer, status: 400, error: Some("no"), accept: Some("*/*"), ..PUSH };
        let rest =
            push.replace("201", "400").replace("1.8ms", "1.8ms peer=[::1]:4711 error=no") + " accept=*/*";
        check_text(refused, Level::Info, &rest);
    }

    #[test]
    fn who_is_logged_in_is_named_and_cannot_pass_for_something_else() {
        let line = RequestLine { user: Some("\u{e4}l ice\n\x1b"), content_type: None, ..PUSH };
        let push = r#"PUT /v2/hello/manifests/v1 201 in=524 out=0 1.8ms user="\u{e4}l ice\x0a\x1b""#;
        check_text(line, Level::Info, push);
        let line = logger(Level::Info, Format::Json).request(epoch(), &line);
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["user"], "\u{e4}l ice\n\x1b");
        assert!(line.is_ascii() && !line.contains(|c: char| c.is_ascii_control()), "{line}");
    }

    #[test]
    fn behind_a_proxy_the_client_is_the_peer() {
        let (peer, client) = (Some("127.0.0.1:4711".parse().unwrap()), Some("2001:db8::7".parse().unwrap()));
        let line = RequestLine { peer, client, content_type: None, ..PUSH };
        let push = "PUT /v2/hello/manifests/v1 201 in=524 out=0 1.8ms peer=2001:db8::7 proxy=127.0.0.1:4711";
        check_text(line, Level::Info, push);
        let line = logger(Level::Info, Format::Json).request(epoch(), &line);
        assert!(line.contains(r#","peer":"2001:db8::7","proxy":"127.0.0.1:4711","#), "{line}");
    }

    #[test]
    fn a_request_is_one_json_object() {
        let line =
            RequestLine { peer: Some("127.0.0.1:80".parse().unwrap()), accept: Some("a, b\n"), ..PUSH };
        check_json(
            &logger(Level::Info, Format::Json).request(epoch(), &line),
            json!({
                "time": "1970-01-01T00:00:00.000Z", "level": "info", "message": "request",
                "peer": "127.0.0.1:80", "method": "PUT", "url": "/v2/hello/manifests/v1", "status": 201,
                "bytes_in": 524, "bytes_out": 0, "ms": 1.849,
                "content_type": "application/json; charset=utf-8", "accept": "a, b\n",
            }),
        );
    }

    #[test]
    fn debug_adds_the_headers_but_never_credentials() {
        let text = logger(Level::Debug, Format::Text).request(epoch(), &PUSH);
        let headers =
            r#" header="Host: localhost:5080" header="AUTHORIZATION: (hidden)" header="Cookie: (hidden)""#;
        assert!(text.ends_with(headers), "{text}");
        let line = logger(Level::Debug, Format::Json).request(epoch(), &PUSH);
        let json: Value = serde_json::from_str(&line).unwrap();
        let headers =
            json!([["Host", "localhost:5080"], ["AUTHORIZATION", "(hidden)"], ["Cookie", "(hidden)"]]);
        assert_eq!(json["headers"], headers);
    }

    #[test]
    fn a_password_in_the_target_is_not_shown() {
        let line = RequestLine { url: "http://alice:secret@host/v2/", ..PUSH };
        for format in [Format::Text, Format::Json] {
            let line = logger(Level::Debug, format).request(epoch(), &line);
            assert!(!line.contains("secret") && line.contains("(hidden)@host/v2/"), "{line}");
        }
    }

    #[test]
    fn headers_have_a_limit() {
        let line = RequestLine { headers: &[("a", "b"); HEADERS_MAX + 1], ..PUSH };
        let text = logger(Level::Debug, Format::Text).request(epoch(), &line);
        assert_eq!(text.matches("header=").count(), HEADERS_MAX);
    }

    #[test]
    fn failures_of_ours_are_errors_and_those_of_clients_are_not() {
        for (status, level) in [
            (200, Level::Info),
            (404, Level::Info),
            (499, Level::Info),
            (500, Level::Error),
            (507, Level::Error),
        ] {
            assert_eq!(RequestLine { status, ..PUSH }.level(), level, "{status}");
            assert_eq!(RequestLine { status, is_probe: true, ..PUSH }.level(), Level::Debug, "{status}");
        }
        assert!(Level::Error < Level::Warn && Level::Warn < Level::Info && Level::Info < Level::Debug);
    }

    #[test]
    fn colours_are_there_only_when_asked_for() {
        let coloured = Logger { level: Level::Info, format: Format::Text, colour: true };
        let line = coloured.request(epoch(), &RequestLine { content_type: None, ..PUSH });
        let expect = "\x1b[2m1970-01-01T00:00:00.000Z\x1b[0m \x1b[1mPUT\x1b[0m /v2/hello/manifests/v1 \
                      \x1b[32m201\x1b[0m in=524 out=0 1.8ms";
        assert_eq!(line, expect);
    }

    #[test]
    fn an_event_has_words_and_fields() {
        let fields: &[(&str, &dyn Display)] = &[("root", &"my data"), ("workers", &512)];
        let text = logger(Level::Info, Format::Text).event(epoch(), Level::Warn, "low\ndisk", fields);
        assert_eq!(text, r#"1970-01-01T00:00:00.000Z warn low\x0adisk root="my data" workers=512"#);
        check_json(
            &logger(Level::Info, Format::Json).event(epoch(), Level::Error, "low disk", fields),
            json!({ "time": "1970-01-01T00:00:00.000Z", "level": "error", "message": "low disk",
                    "root": "my data", "workers": "512" }),
        );
    }

    /// Counts the calls, and fails each.
    struct Closed(usize);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_write_and_a_closed_log_harms_nobody() {
        let mut closed = Closed(0);
        write_line(&mut closed, "line".into());
        assert_eq!(closed.0, 1);
        let mut open = Vec::new();
        write_line(&mut open, "line".into());
        assert_eq!(open, b"line\n");
    }

    #[test]
    fn a_panic_is_one_line_with_its_place_and_thread() {
        const THREAD: &str = "panics-on-purpose";
        let (sender, receiver) = std::sync::mpsc::channel();
        let other_tests_hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(THREAD) {
                let _ = sender.send(logger(Level::Info, Format::Text).panic(epoch(), panic));
            } else {
                other_tests_hook(panic);
            }
        }));
        let thread = std::thread::Builder::new().name(THREAD.into());
        assert!(thread.spawn(|| panic!("two\nlines: {}", 1)).unwrap().join().is_err());
        let line = receiver.recv().unwrap();
        let expect = r#"1970-01-01T00:00:00.000Z error panic error="two\x0alines: 1" at=src/log.rs:"#;
        assert!(line.starts_with(expect) && line.ends_with(" thread=panics-on-purpose"), "{line}");
    }
}
