//! Answers, and how they look on the wire.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use crate::buffer::MEMORY_BYTES_MAX;
use crate::clock::Utc;
use crate::connections::Outgoing;
use crate::error::Error;

/// An answer.
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Payload,
    close: bool,
}

/// What an answer's body is made of.
pub enum Payload {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// Pieces, one after the other; the length is the sum of theirs.
    Pieces(Vec<Piece>),
}

/// A piece of a body.
pub enum Piece {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A part of a file.
    File {
        /// The file, open for reading.
        file: Arc<File>,
        /// First byte.
        start: u64,
        /// Number of bytes.
        length: u64,
    },
}

impl Response {
    /// An answer without headers and body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Payload::Empty, close: false }
    }

    /// An answer with JSON in it.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        let body = Payload::Bytes(value.to_string().into_bytes());
        Self::new(status).header("Content-Type", "application/json").body(body)
    }

    /// The answer to a request that was refused or failed.
    pub fn error(error: &Error) -> Self {
        let mut response = Self::json(error.status(), &error.to_json());
        response.close = error.ends_connection();
        if let Some((name, value)) = error.header() {
            response = response.header(name, value);
        }
        response
    }

    /// Adds a header. Values come from parsed types or are encoded, so none contains a line end.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Payload) -> Self {
        self.body = body;
        self
    }

    /// Has a long body laid down in a file, so that clients who take it slowly, or not at all, fill no memory.
    #[must_use]
    pub fn laid_down_by(mut self, lay_down: impl Fn(&[u8]) -> Option<Arc<File>>) -> Self {
        if let Payload::Bytes(bytes) = &self.body
            && bytes.len() > MEMORY_BYTES_MAX
            && let Some(file) = lay_down(bytes)
        {
            self.body = Payload::file(file, bytes.len() as u64);
        }
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Must the connection end after this answer?
    pub fn ends_connection(&self) -> bool {
        self.close
    }

    /// Status line and headers, up to and with the empty line. `ends`: the connection ends with this answer;
    /// `old`: the request was HTTP/1.0, where going on must be said.
    pub fn head(&self, ends: bool, old: bool) -> Vec<u8> {
        let mut head = Vec::with_capacity(512);
        let mut line = |name: &str, value: &str| {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        };
        line("HTTP/1.1 ", &format!("{} {}", self.status, reason(self.status)));
        line("Date: ", &Utc::now().http_date());
        line("Docker-Distribution-API-Version: ", "registry/2.0");
        line("X-Content-Type-Options: ", "nosniff");
        for (name, value) in &self.headers {
            line(&format!("{name}: "), value);
        }
        if !matches!(self.status, 204 | 304) {
            line("Content-Length: ", &self.body.length().to_string());
        }
        match (ends, old) {
            (true, _) => line("Connection: ", "close"),
            (false, true) => line("Connection: ", "keep-alive"),
            (false, false) => {}
        }
        line("", "");
        head
    }

    /// Writes head and body (the head only, for HEAD). The head goes by way of the library's `writer`, which
    /// lets the answers of a connection out one after the other; a large body goes to the connection past it.
    ///
    /// # Errors
    /// The client's going away or taking nothing, or a file that could not be read to the announced length.
    pub fn write(
        self,
        writer: &mut dyn Write,
        connection: &mut Outgoing<'_>,
        mut head: Vec<u8>,
        head_only: bool,
    ) -> io::Result<()> {
        let body = if head_only { Payload::Empty } else { self.body };
        if let Payload::Bytes(bytes) = &body
            && bytes.len() <= MEMORY_BYTES_MAX
        {
            head.extend_from_slice(bytes); // one write, one packet
            writer.write_all(&head)?;
            writer.flush()?;
            return connection.note(bytes.len() as u64);
        }
        writer.write_all(&head)?;
        writer.flush()?;
        match body {
            Payload::Empty => Ok(()),
            Payload::Bytes(bytes) => connection.send(&bytes),
            Payload::Pieces(pieces) => pieces.into_iter().try_for_each(|piece| piece.send(connection)),
        }
    }
}

impl Payload {
    /// A whole file.
    pub fn file(file: Arc<File>, length: u64) -> Self {
        Self::Pieces(vec![Piece::File { file, start: 0, length }])
    }

    fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Pieces(pieces) => pieces.iter().map(Piece::length).sum(),
        }
    }
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    fn send(self, connection: &mut Outgoing<'_>) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => connection.send(&bytes),
            Self::File { file, start, length } => connection.send_file(&file, start, length),
        }
    }
}

/// The words behind the status code (RFC 9110, 15). Nobody decides by them; but of a 5xx they are all that docker and
/// skopeo show.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        507 => "Insufficient Storage: the registry's disk is full or nearly so, nothing was stored",
        _ => "Status",
    }
}
