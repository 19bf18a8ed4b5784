//! Where a message begins and where it ends. Pure: bytes in, verdict out, no I/O.
//!
//! On a connection that carries many requests, everything hangs on one question: which byte is the first of the
//! next request? Whoever stands between a client and us, a proxy or a cache, answers it too, and where two
//! answers differ, one request can be hidden in another (request smuggling). So heads are read strictly
//! (RFC 9112), and one that leaves a doubt is refused together with all that comes behind it.
//!
//! [`head_length`] finds the end of a head, [`Head`] is what it says, [`Chunks`] takes a chunked body apart.

mod chunks;

pub use self::chunks::Chunks;
use crate::error::Error;

/// The longest request target (path and query) we read, in bytes.
pub const TARGET_BYTES_MAX: usize = 16 << 10;

/// The longest head, request line and headers, in bytes. Cookies from behind a login proxy come to 16 KiB or so;
/// nginx's limit is the same. Each of some thousand connections may hold as much in memory.
pub const HEAD_BYTES_MAX: usize = 32 << 10;

/// The most header lines.
pub const HEADER_LINES_MAX: usize = 256;

/// The longest body a request may announce, in bytes: 32 TiB. No disk takes it, and sums stay far from
/// overflowing.
pub const BODY_BYTES_MAX: u64 = 1 << 45;

/// Room for method, version and spaces in a request line whose target is as long as it may be.
const REQUEST_LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + 64;

/// The one header that the HTTP library gets to see: which turn the request belongs to (see
/// [`crate::connections`]).
pub const TURN_HEADER: &str = "Turn";

/// A head, judged.
pub struct Head {
    /// What the HTTP library gets to see of it: the request line, and [`TURN_HEADER`].
    ///
    /// The library would take the first of two lengths, none for one that it cannot parse, and any transfer coding
    /// for chunked; it hangs for ever on a version above 1.1; dropping a body that was not read, it allocates as
    /// many bytes as are missing. So it sees no header of the client's and no body, and the version is always 1.1.
    pub shown: Vec<u8>,
    /// The headers.
    pub headers: Headers,
    /// What it says about its message; or why it is refused, and with it all that comes behind it.
    pub message: Result<Message, Error>,
}

/// The headers of a request, in their order: of one that is refused, those before the fault.
#[derive(Debug, Default)]
pub struct Headers(String);

/// What a head says about its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// How the end of the body is found.
    pub framing: Framing,
    /// HTTP/1.0: the connection ends with the answer, unless both sides say that it goes on.
    pub old: bool,
    /// The client sends its body only after a "100 Continue", or an impatient while.
    pub expects_continue: bool,
    /// The client wants the connection to end with the answer.
    pub last: bool,
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

/// The length of the head at the front of `bytes`, with the empty line that ends it; `None` while that has not
/// come. `searched` bytes of it have been looked at before.
///
/// # Errors
/// The head is longer than the limits, or its lines do not end as lines must.
pub fn head_length(bytes: &[u8], searched: usize) -> Result<Option<usize>, Error> {
    if bytes.len() > REQUEST_LINE_BYTES_MAX && !bytes[..REQUEST_LINE_BYTES_MAX].contains(&b'\n') {
        return Err(Error::UriTooLong { limit: TARGET_BYTES_MAX });
    }
    let line_ends = (searched..bytes.len()).filter(|&index| bytes[index] == b'\n');
    for index in line_ends {
        let until = &bytes[..=index];
        if !until.ends_with(b"\r\n") {
            return refused("the lines of a request must end with CR LF");
        }
        if until.ends_with(b"\r\n\r\n") && until.len() <= HEAD_BYTES_MAX {
            return Ok(Some(until.len()));
        }
    }
    if bytes.len() > HEAD_BYTES_MAX {
        return Err(Error::Framing(format!("the request's headers are longer than {HEAD_BYTES_MAX} bytes")));
    }
    Ok(None)
}

impl Head {
    /// Judges a whole head, of the length that [`head_length`] says.
    pub fn parse(head: &[u8], turn: u64) -> Self {
        let mut lines =
            head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next().unwrap_or_default();
        let mut headers = Headers(String::with_capacity(head.len().saturating_sub(line.len())));
        let message =
            parse_request_line(line).and_then(|is_old| parse_headers(lines, &mut headers)?.message(is_old));
        Self { shown: shown(line, turn), headers, message }
    }

    /// What begins with these bytes is no head.
    pub fn refused(bytes: &[u8], turn: u64, why: Error) -> Self {
        let line = bytes.split(|&byte| byte == b'\n' || byte == b'\r').next().unwrap_or_default();
        let line = &line[..line.len().min(REQUEST_LINE_BYTES_MAX)];
        Self { shown: shown(line, turn), headers: Headers::default(), message: Err(why) }
    }
}

impl Headers {
    /// Names and values. Bytes beyond ASCII, which mean nothing, are question marks.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split_terminator('\n').filter_map(|line| line.split_once(':'))
    }

    /// Adds a checked name, which contains no colon, and a checked value, which contains no line end.
    fn push(&mut self, name: &[u8], value: &[u8]) {
        let shown = |&byte: &u8| if byte.is_ascii() { char::from(byte) } else { '?' };
        self.0.extend(name.iter().map(shown));
        self.0.push(':');
        self.0.extend(value.iter().map(shown));
        self.0.push('\n');
    }
}

/// A request line that the library surely takes, with `-` for what is missing or wrong, and our own header.
fn shown(line: &[u8], turn: u64) -> Vec<u8> {
    let mut parts = line.split(|&byte| byte == b' ');
    let method = parts.next().filter(|method| is_token(method)).unwrap_or(b"-");
    let target = parts.next().filter(|target| is_target(target)).unwrap_or(b"-");
    let rest = format!(" HTTP/1.1\r\n{TURN_HEADER}: {turn}\r\n\r\n");
    [method, b" ", target, rest.as_bytes()].concat()
}

/// Checks the request line; says whether it is one of HTTP/1.0.
fn parse_request_line(line: &[u8]) -> Result<bool, Error> {
    let parts: Vec<&[u8]> = line.splitn(4, |&byte| byte == b' ').collect();
    match parts.as_slice() {
        [method, target, version] if is_token(method) && is_target(target) => match *version {
            b"HTTP/1.1" => Ok(false),
            b"HTTP/1.0" => Ok(true),
            _ => refused("this port speaks HTTP/1.1 and HTTP/1.0; a proxy in front can add other versions"),
        },
        _ => refused("a request must begin with a line of method, target and version, as GET /v2/ HTTP/1.1"),
    }
}

/// The headers that frame a message or steer its connection, as they were sent.
#[derive(Default)]
struct Steering<'a> {
    lengths: Vec<&'a [u8]>,
    codings: Vec<&'a [u8]>,
    hosts: Vec<&'a [u8]>,
    expects_continue: bool,
    close: bool,
    keep_alive: bool,
}

/// Checks the header lines, adds them to `headers`, and gathers those that steer.
fn parse_headers<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    headers: &mut Headers,
) -> Result<Steering<'a>, Error> {
    let mut steering = Steering::default();
    let lines = lines.take_while(|line| !line.is_empty());
    for (count, line) in lines.enumerate() {
        if count == HEADER_LINES_MAX {
            return Err(Error::Framing(format!("the request has more than {HEADER_LINES_MAX} header lines")));
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        if !is_token(name) {
            return refused(
                "a header line must be a name, a colon and a value, without spaces before the colon",
            );
        }
        let value = trim(value.get(1..).unwrap_or_default());
        if !value.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f) {
            return refused("a header contains a control character");
        }
        steering.take(name, value);
        headers.push(name, value);
    }
    Ok(steering)
}

impl<'a> Steering<'a> {
    /// Takes note of a header, if it is one of those.
    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        if name.eq_ignore_ascii_case(b"Content-Length") {
            self.lengths.push(value);
        } else if name.eq_ignore_ascii_case(b"Transfer-Encoding") {
            self.codings.push(value);
        } else if name.eq_ignore_ascii_case(b"Host") {
            self.hosts.push(value);
        } else if name.eq_ignore_ascii_case(b"Expect") {
            self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
        } else if name.eq_ignore_ascii_case(b"Connection") {
            for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }

    fn message(&self, old: bool) -> Result<Message, Error> {
        let framing = match (self.lengths.as_slice(), self.codings.as_slice()) {
            ([], []) => Framing::None,
            ([length], []) => Framing::Length(parse_length(length)?),
            ([], [_]) if old => return refused("HTTP/1.0 knows no Transfer-Encoding"),
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            ([], [_]) => return refused("the only Transfer-Encoding this server reads is chunked"),
            ([_, _, ..], []) => return refused("Content-Length is given more than once"),
            ([], [_, _, ..]) => return refused("Transfer-Encoding is given more than once"),
            ([_, ..], [_, ..]) => return refused("Content-Length and Transfer-Encoding exclude each other"),
        };
        match self.hosts.as_slice() {
            [] if !old => return refused("a request of HTTP/1.1 must have a Host header"),
            [_, _, ..] => return refused("Host is given more than once"),
            [host] if !is_host(host) => {
                return refused("Host must be a name or an address, perhaps with a port");
            }
            [] | [_] => {}
        }
        Ok(Message {
            framing,
            old,
            expects_continue: self.expects_continue && !old,
            last: self.close || old && !self.keep_alive,
        })
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Error> {
    let text = String::from_utf8_lossy(value);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Error::Framing(format!("Content-Length {text:?} is not a number of bytes")));
    }
    match text.parse() {
        Ok(length) if length <= BODY_BYTES_MAX => Ok(length),
        _ => Err(Error::Framing(format!("Content-Length {text} is more than {BODY_BYTES_MAX}"))),
    }
}

/// Without the spaces and tabs at both ends, which are not part of a header's value.
fn trim(value: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let end = value.iter().rposition(is_part).map_or(0, |last| last + 1);
    let start = value[..end].iter().position(is_part).unwrap_or(end);
    &value[start..end]
}

/// A name as HTTP writes them: a method, a header (RFC 9110, 5.6.2).
fn is_token(text: &[u8]) -> bool {
    let is_token_char = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_token_char)
}

/// Could it be `uri-host [ ":" port ]` (RFC 9112, 3.2)? Nothing hangs on it here, but much on it elsewhere.
fn is_host(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

fn is_target(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_graphic)
}

fn refused<T>(why: &str) -> Result<T, Error> {
    Err(Error::Framing(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines without their ends: the head that they make, judged.
    fn judge(lines: &str) -> (String, String, Result<Message, Error>) {
        let bytes = format!("{}\r\n\r\n", lines.replace('\n', "\r\n"));
        assert_eq!(head_length(bytes.as_bytes(), 0).unwrap(), Some(bytes.len()));
        let head = Head::parse(bytes.as_bytes(), 7);
        (String::from_utf8(head.shown).unwrap(), head.headers.0, head.message)
    }

    #[track_caller]
    fn check(lines: &str, framing: Framing) {
        assert_eq!(judge(lines).2.unwrap().framing, framing, "{lines}");
    }

    #[track_caller]
    fn check_refused(lines: &str, why: &str) {
        let error = judge(lines).2.unwrap_err();
        assert_eq!((error.status(), error.ends_connection()), (400, true), "{lines}");
        assert!(error.to_string().contains(why), "{lines}: {error}");
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_arrives() {
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n\r\n";
        for split in 0..=bytes.len() {
            let first = head_length(&bytes[..split], 0).unwrap();
            assert_eq!(first, (split >= 24).then_some(24));
            assert_eq!(head_length(bytes, split.min(23)).unwrap(), Some(24));
        }
    }

    #[test]
    fn a_head_without_an_end_is_refused_before_it_fills_the_memory() {
        let path = [b"GET /".as_slice(), &[b'a'; TARGET_BYTES_MAX + 64]].concat();
        assert_eq!(head_length(&path, 0).unwrap_err().status(), 414);
        let headers = [b"GET / HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(HEAD_BYTES_MAX / 6)].concat();
        assert_eq!(head_length(&headers, 0).unwrap_err().status(), 400);
        assert_eq!(head_length(&[headers.as_slice(), b"\r\n"].concat(), 0).unwrap_err().status(), 400);
        assert_eq!(head_length(b"GET / HTTP/1.1\nA: b\n\n", 0).unwrap_err().status(), 400);
    }

    #[test]
    fn the_library_sees_no_header_and_no_other_version() {
        let (shown, headers, message) =
            judge("PUT /x HTTP/1.0\nHost: a\ncontent-length:  5\nConnection: Keep-Alive, x:y\nX:");
        assert_eq!(shown, "PUT /x HTTP/1.1\r\nTurn: 7\r\n\r\n");
        assert_eq!(headers, "Host:a\ncontent-length:5\nConnection:Keep-Alive, x:y\nX:\n");
        let all: Vec<_> = Headers(headers).iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(all, ["Host=a", "content-length=5", "Connection=Keep-Alive, x:y", "X="]);
        let framing = Framing::Length(5);
        assert_eq!(message.unwrap(), Message { framing, old: true, expects_continue: false, last: false });
    }

    #[test]
    fn the_end_of_a_body_is_certain_or_the_message_is_refused() {
        let with = |headers: &str| format!("PUT / HTTP/1.1\nHost: a\n{headers}");
        check("PUT / HTTP/1.1\nHost: a", Framing::None);
        check(&with("Content-Length: 0"), Framing::Length(0));
        check(&with("Content-Length: 0005"), Framing::Length(5));
        check(&with("Content-Length: 35184372088832"), Framing::Length(BODY_BYTES_MAX));
        check(&with("TRANSFER-ENCODING: Chunked"), Framing::Chunked);
        check(&with("Transfer-Encoding: chunked\nConnection: Upgrade\nUpgrade: h2c"), Framing::Chunked);
        for length in ["", "+5", "-5", "0x5", "5, 5", "5,5", "5 5", "5a", "5.0", "\u{665}"] {
            check_refused(&with(&format!("Content-Length: {length}")), "is not a number of bytes");
        }
        for length in
            ["35184372088833", "9223372036854775808", "18446744073709551615", "18446744073709551616"]
        {
            check_refused(&with(&format!("Content-Length: {length}")), "is more than");
        }
        check_refused(&with("Content-Length: 5\nContent-Length: 5"), "more than once");
        check_refused(&with("Content-Length: 5\nContent-Length: 6"), "more than once");
        check_refused(&with("Content-Length: 5\nTransfer-Encoding: chunked"), "exclude");
        check_refused(&with("Transfer-Encoding: chunked\nContent-Length: 5"), "exclude");
        check_refused(&with("Transfer-Encoding: chunked\nTransfer-Encoding: chunked"), "more than once");
        for coding in ["", "gzip", "identity", "chunked, chunked", "gzip, chunked", "xchunked"] {
            check_refused(&with(&format!("Transfer-Encoding: {coding}")), "is chunked");
        }
        check_refused("PUT / HTTP/1.0\nTransfer-Encoding: chunked", "HTTP/1.0");
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_refused() {
        for line in
            ["GET /", "GET", "", " GET / HTTP/1.1", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "G@T / HTTP/1.1"]
        {
            check_refused(&format!("{line}\nHost: a"), "must begin");
        }
        check_refused("GET /a b HTTP/1.1", "must begin");
        check_refused("GET /\u{e4} HTTP/1.1", "must begin");
        for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/1.2", "http/1.1", "HTTP/1.1\r", "x"] {
            check_refused(&format!("GET / {version}"), "this port speaks");
        }
        for header in
            ["Content-Length : 5", " Content-Length: 5", "\tfolded", "no colon", ": x", "@turn: 5", "a b: c"]
        {
            check_refused(&format!("GET / HTTP/1.1\n{header}"), "a name, a colon");
        }
        for header in ["A: b\0", "A: b\r", "A: \u{b}b", "A: b\rContent-Length: 5", "A: \u{7f}", "A: \x1b[0m"]
        {
            check_refused(&format!("GET / HTTP/1.1\n{header}"), "control character");
        }
        check_refused(&format!("GET / HTTP/1.1{}", "\nA: b".repeat(HEADER_LINES_MAX + 1)), "header lines");
    }

    #[test]
    fn what_the_library_sees_of_a_refused_head_is_a_head() {
        let seen = |head: &[u8]| String::from_utf8(Head::parse(head, 7).shown).unwrap();
        assert_eq!(seen(b"GET /x HTTP/9\r\nA: b\r\n\r\n"), "GET /x HTTP/1.1\r\nTurn: 7\r\n\r\n");
        assert_eq!(seen(b"\xff\xff\r\n\r\n"), "- - HTTP/1.1\r\nTurn: 7\r\n\r\n");
        assert_eq!(seen(b""), "- - HTTP/1.1\r\nTurn: 7\r\n\r\n");
        let head = Head::refused(b"GET /x HTTP/1.1\nA: b\n\n", 7, Error::Panicked);
        assert_eq!(head.shown, b"GET /x HTTP/1.1\r\nTurn: 7\r\n\r\n");
        let (shown, ..) = judge("GET /\u{e4} HTTP/1.1\nUser-Agent: \u{e4}");
        assert_eq!(shown, "GET - HTTP/1.1\r\nTurn: 7\r\n\r\n");
        let (_, headers, message) = judge("GET / HTTP/1.1\nHost: a\nUser-Agent: \u{e4}");
        assert_eq!((headers.as_str(), message.is_ok()), ("Host:a\nUser-Agent:??\n", true));
    }

    #[test]
    fn a_connection_ends_as_client_and_version_have_it() {
        let last = |lines: &str| judge(lines).2.unwrap().last;
        assert!(!last("GET / HTTP/1.1\nHost: a"));
        assert!(last("GET / HTTP/1.1\nHost: a\nConnection: Close"));
        assert!(last("GET / HTTP/1.1\nHost: a\nConnection: keep-alive\nConnection: x , close"));
        assert!(last("GET / HTTP/1.0"));
        assert!(last("GET / HTTP/1.0\nConnection: upgrade"));
        assert!(!last("GET / HTTP/1.0\nConnection: keep-alive"));
        assert!(judge("PUT / HTTP/1.1\nHost: a\nExpect: 100-Continue").2.unwrap().expects_continue);
        assert!(!judge("PUT / HTTP/1.1\nHost: a\nExpect: tea").2.unwrap().expects_continue);
        assert!(!judge("PUT / HTTP/1.0\nExpect: 100-continue").2.unwrap().expects_continue);
    }

    #[test]
    fn a_request_is_for_one_host() {
        for host in ["", "a", "a.example:5080", "127.0.0.1:80", "[::1]:5080", "a_b"] {
            check(&format!("GET / HTTP/1.1\nhOST: {host}"), Framing::None);
            check(&format!("GET / HTTP/1.0\nHost: {host}"), Framing::None);
        }
        check("GET / HTTP/1.0", Framing::None);
        check_refused("GET / HTTP/1.1", "must have a Host");
        check_refused("GET http://a/ HTTP/1.1\nX-Host: a", "must have a Host");
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            check_refused(&format!("GET / {version}\nHost: a\nHost: a"), "Host is given more than once");
            check_refused(&format!("GET / {version}\nHost: a\nX: y\nhost:"), "Host is given more than once");
            for host in ["a b", "a, b", "a/b", "user@a", "http://a", "a?", "a#", "\u{e4}", "a\"", "a\\"] {
                check_refused(&format!("GET / {version}\nHost: {host}"), "Host must be a name");
            }
        }
    }
}
