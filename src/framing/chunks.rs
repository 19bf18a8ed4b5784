//! A chunked body, taken apart (RFC 9112, 7.1).

use std::io;

use super::BODY_BYTES_MAX;

/// The most bytes that may stand between two pieces of data, or behind the last: a size, extensions (which
/// nobody uses) or trailers (which nobody reads).
const OVERHEAD_BYTES_MAX: usize = 8 << 10;

/// Takes a chunked body apart as it comes. Remembers where it is, never what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    state: State,
    /// Bytes since the last data.
    overhead: usize,
    /// Bytes of data announced so far.
    total: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The digits of a size; `None` before the first.
    Size(Option<u64>),
    /// The rest of a size's line, up to its CR.
    Extension(u64),
    /// The LF that ends a size's line.
    SizeEnd(u64),
    /// So many bytes of data.
    Data(u64),
    /// The CR behind data.
    DataEnd,
    /// The LF behind that.
    DataEnded,
    /// A trailer's line, or the empty one that ends it all.
    Trailer {
        empty: bool,
    },
    /// The LF behind a trailer's line.
    TrailerEnd {
        empty: bool,
    },
    Done,
}

impl Chunks {
    /// At the first byte of a body.
    pub fn new() -> Self {
        Self { state: State::Size(None), overhead: 0, total: 0 }
    }

    /// Has the last chunk come, with what follows it?
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many of the next bytes are data, and nothing else.
    pub fn data_ahead(&self) -> u64 {
        if let State::Data(left) = self.state { left } else { 0 }
    }

    /// Takes note that `count` of [`Self::data_ahead`] have been read past this decoder.
    pub fn skip_data(&mut self, count: u64) {
        if let State::Data(left) = &mut self.state {
            *left = left.saturating_sub(count);
            if *left == 0 {
                self.state = State::DataEnd;
            }
        }
    }

    /// Moves data from `input` to `output`. Returns how much was taken of the one and put into the other; stops
    /// at the end of either, and of the body.
    ///
    /// # Errors
    /// The bytes are no chunked body.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize)> {
        let (mut taken, mut put) = (0, 0);
        loop {
            let (other, data) = self.advance(&input[taken..])?;
            taken += other;
            let count = data.min(output.len() - put);
            if count == 0 {
                return Ok((taken, put));
            }
            output[put..put + count].copy_from_slice(&input[taken..taken + count]);
            self.skip_data(count as u64);
            (taken, put) = (taken + count, put + count);
        }
    }

    /// The same within one buffer: moves data to the front.
    ///
    /// # Errors
    /// The bytes are no chunked body.
    pub fn decode_in_place(&mut self, bytes: &mut [u8]) -> io::Result<(usize, usize)> {
        let (mut taken, mut put) = (0, 0);
        loop {
            let (other, count) = self.advance(&bytes[taken..])?;
            taken += other;
            if count == 0 {
                return Ok((taken, put));
            }
            bytes.copy_within(taken..taken + count, put);
            self.skip_data(count as u64);
            (taken, put) = (taken + count, put + count);
        }
    }

    /// Passes over what is not data. Returns how much that was, and how much data lies behind it.
    fn advance(&mut self, input: &[u8]) -> io::Result<(usize, usize)> {
        let mut passed = 0;
        while passed < input.len() && self.data_ahead() == 0 && !self.is_done() {
            self.step(input[passed])?;
            passed += 1;
        }
        let ahead = usize::try_from(self.data_ahead()).unwrap_or(usize::MAX);
        Ok((passed, ahead.min(input.len() - passed)))
    }

    /// One byte that is not data.
    fn step(&mut self, byte: u8) -> io::Result<()> {
        self.overhead += 1;
        if self.overhead > OVERHEAD_BYTES_MAX {
            return malformed("there is too much between two chunks");
        }
        self.state = match (self.state, byte) {
            (State::Size(size), _) if byte.is_ascii_hexdigit() => {
                let digit = u64::from(char::from(byte).to_digit(16).unwrap_or(0));
                let size = size.unwrap_or(0) * 16 + digit;
                if self.total + size > BODY_BYTES_MAX {
                    return malformed("it is too long");
                }
                State::Size(Some(size))
            }
            (State::Size(Some(size)) | State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Size(Some(size)), b';' | b' ' | b'\t') => State::Extension(size),
            (State::Size(_), _) => return malformed("a chunk's size is not a hexadecimal number"),
            (State::Extension(_), b'\n') => return malformed("a line does not end with CR LF"),
            (State::Extension(size), _) => State::Extension(size),
            (State::SizeEnd(0), b'\n') => State::Trailer { empty: true },
            (State::SizeEnd(size), b'\n') => {
                (self.total, self.overhead) = (self.total + size, 0);
                State::Data(size)
            }
            (State::DataEnd, b'\r') => State::DataEnded,
            (State::DataEnded, b'\n') => State::Size(None),
            (State::DataEnd | State::DataEnded, _) => {
                return malformed("a chunk is longer than its size says");
            }
            (State::Trailer { empty }, b'\r') => State::TrailerEnd { empty },
            (State::Trailer { .. }, b'\n') => return malformed("a line does not end with CR LF"),
            (State::Trailer { .. }, _) => State::Trailer { empty: false },
            (State::TrailerEnd { empty: true }, b'\n') => State::Done,
            (State::TrailerEnd { empty: false }, b'\n') => State::Trailer { empty: true },
            (State::SizeEnd(_) | State::TrailerEnd { .. }, _) => {
                return malformed("a line does not end with CR LF");
            }
            (State::Data(_) | State::Done, _) => self.state, // `advance` does not come here
        };
        Ok(())
    }
}

impl Default for Chunks {
    fn default() -> Self {
        Self::new()
    }
}

fn malformed(why: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("the chunked body is malformed: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input`, handed over in pieces of `step` bytes. Returns the data, what was left, and whether the
    /// end was found.
    fn decode(input: &[u8], step: usize, room: usize) -> io::Result<(Vec<u8>, usize, bool)> {
        let (mut chunks, mut data, mut at) = (Chunks::new(), Vec::new(), 0);
        while at < input.len() && !chunks.is_done() {
            let mut output = vec![0; room];
            let piece = &input[at..input.len().min(at + step)];
            let (taken, put) = chunks.decode(piece, &mut output)?;
            data.extend_from_slice(&output[..put]);
            at += taken;
        }
        Ok((data, input.len() - at, chunks.is_done()))
    }

    #[track_caller]
    fn check(body: &[u8], expect: &[u8], behind: usize) {
        for (step, room) in [(1, 1), (2, 3), (7, 2), (1000, 1), (1000, 1000)] {
            let decoded = decode(body, step, room).unwrap();
            assert_eq!(decoded, (expect.to_vec(), behind, true), "{}", body.escape_ascii());
        }
        let mut bytes = body.to_vec();
        let (taken, put) = Chunks::new().decode_in_place(&mut bytes).unwrap();
        assert_eq!((&bytes[..put], &bytes[taken..]), (expect, &body[body.len() - behind..]));
    }

    #[track_caller]
    fn check_refused(body: &[u8], why: &str) {
        for step in [1, 3, 1000] {
            let error = decode(body, step, 1000).unwrap_err().to_string();
            assert!(error.contains(why), "{}: {error}", body.escape_ascii());
        }
    }

    #[test]
    fn chunks_come_apart_and_what_is_behind_them_stays() {
        check(b"0\r\n\r\n", b"", 0);
        check(b"3\r\nabc\r\n0\r\n\r\n", b"abc", 0);
        check(b"3\r\nabc\r\nA\r\n0123456789\r\n000\r\n\r\nGET /", b"abc0123456789", 5);
        check(b"3;name=\"value\"\r\nabc\r\n0 ;x\r\n\r\n", b"abc", 0);
        check(b"3  \r\na\r\n\r\n0\r\nTrailer: x\r\nAnother: y\r\n\r\nx", b"a\r\n", 1);
        check(b"00000000000000000000003\r\nabc\r\n0\r\n\r\n", b"abc", 0);
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for size in ["+3", "-3", "0x3", " 3", "", "g", "3g", ";", "\r"] {
            check_refused(format!("{size}\r\nabc\r\n0\r\n\r\n").as_bytes(), "not a hexadecimal number");
        }
        check_refused(b"3\nabc\n0\n\n", "not a hexadecimal number");
        check_refused(b"3;a\nabc\n", "CR LF");
        check_refused(b"3\r\rabc", "CR LF");
        check_refused(b"3\r\nabcd\r\n", "longer than its size");
        check_refused(b"3\r\nabc\n\n", "longer than its size");
        check_refused(b"3\r\nabc\r0", "longer than its size");
        check_refused(b"0\r\nTrailer: x\n\r\n", "CR LF");
        check_refused(b"0\r\n\r\r", "CR LF");
        for size in ["200000000001", "ffffffffffffffff", "10000000000000000", &"f".repeat(4000)] {
            check_refused(format!("{size}\r\n").as_bytes(), "too long");
        }
        let mut chunks = Chunks::new();
        assert_eq!(chunks.decode(b"200000000000\r\n", &mut []).unwrap(), (14, 0));
        chunks.skip_data(BODY_BYTES_MAX);
        assert!(chunks.decode(b"\r\n1", &mut []).is_err(), "the sum is what counts");
    }

    #[test]
    fn lines_that_never_end_are_refused() {
        for begin in [&b"3;"[..], b"0\r\nA: ", b"0"] {
            let mut body = begin.to_vec();
            body.resize(begin.len() + OVERHEAD_BYTES_MAX, b'0');
            check_refused(&body, "too much between two chunks");
        }
        let trailers = [b"0\r\n".as_slice(), &b"A: b\r\n".repeat(OVERHEAD_BYTES_MAX / 6 + 1)].concat();
        check_refused(&trailers, "too much between two chunks");
    }

    #[test]
    fn a_body_is_done_at_its_last_byte_and_not_before() {
        let body = b"3\r\nabc\r\n0\r\nA: b\r\n\r\n";
        for end in 0..body.len() {
            assert!(!decode(&body[..end], 1000, 1000).unwrap().2, "{end}");
        }
    }
}
