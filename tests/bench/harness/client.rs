//! The load generator: HTTP/1.1 on plain sockets that stay open.
//!
//! It must not be what is measured, as it shares the machine with the server. So it sends what was made before,
//! receives into a buffer that it keeps, looks at nothing but status, length and `Location`, and hashes nothing.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use super::content::{Blob, Image, OCI_MANIFEST};

/// How much is received at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A server that is silent for so long will not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pieces that docker's client sends a layer in: what its gzip writer hands on.
const DOCKER_CHUNK_BYTES: usize = 32 << 10;

/// Go's HTTP client writes a chunk in three parts: what fits into its buffer of 4 KiB with the chunk's length in
/// front, the rest, and the line end (seen with strace).
const GO_BUFFER_BYTES: usize = 4096;

/// How a blob is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// POST, then one PUT with Content-Length: containerd, oras.
    Put,
    /// POST, then one PATCH with a chunked body, then an empty PUT: docker.
    Chunked,
}

/// A connection.
pub struct Client {
    /// Who is at the other end, for messages.
    server: &'static str,
    stream: TcpStream,
    /// Allocated once; `buffer[taken..filled]` has come and is not used yet.
    buffer: Vec<u8>,
    taken: usize,
    filled: usize,
}

/// The head of an answer, as far as it is looked at.
struct Head {
    status: u16,
    length: usize,
    location: Option<String>,
}

impl Client {
    pub fn open(server: &'static str, address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{server}: {error}"));
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
        Self { server, stream, buffer: vec![0; BUFFER_BYTES], taken: 0, filled: 0 }
    }

    // ---- any request

    /// Sends bytes as they are.
    pub fn send(&mut self, request: &[u8]) {
        let sent = self.stream.write_all(request);
        sent.unwrap_or_else(|error| panic!("{} does not take the request: {error}", self.server));
    }

    /// Receives an answer and passes over its body. Returns the body's length.
    pub fn receive(&mut self, status: u16) -> usize {
        let head = self.head(status);
        self.pass_over(head.length);
        head.length
    }

    /// A request of one line and perhaps a body, all in one.
    pub fn request(&mut self, line: &str, body: &[u8], status: u16) {
        self.send(&message(line, "", body));
        self.receive(status);
    }

    /// A GET, whose body is returned.
    pub fn get(&mut self, path: &str) -> Vec<u8> {
        self.send(&get(path));
        let length = self.head(200).length;
        self.body(length)
    }

    // ---- pushes

    /// Pushes a blob to a repository.
    pub fn push(&mut self, name: &str, blob: &Blob<'_>, how: How) {
        let location = self.start_upload(name);
        match how {
            How::Put => {
                let line = format!("PUT {}", with_digest(&location, &blob.digest));
                let length = blob.length();
                self.send(
                    format!("{line} HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n").as_bytes(),
                );
                blob.pieces(usize::MAX).for_each(|piece| self.send(piece));
                self.receive(201);
            }
            How::Chunked => {
                let location = self.patch(&location, blob);
                self.finish(&location, blob);
            }
        }
    }

    /// Begins a session; returns where it is.
    pub fn start_upload(&mut self, name: &str) -> String {
        self.send(&message(&format!("POST /v2/{name}/blobs/uploads/"), "", b""));
        self.receive_location(202)
    }

    /// Sends a blob's bytes to a session as docker does; returns where the session is now.
    pub fn patch(&mut self, location: &str, blob: &Blob<'_>) -> String {
        let line = format!("PATCH {location} HTTP/1.1\r\nHost: bench\r\nTransfer-Encoding: chunked\r\n\r\n");
        self.send(line.as_bytes());
        for chunk in blob.pieces(DOCKER_CHUNK_BYTES) {
            let length = format!("{:x}\r\n", chunk.len());
            let (first, rest) = chunk.split_at(chunk.len().min(GO_BUFFER_BYTES - length.len()));
            self.send_two(length.as_bytes(), first);
            self.send(rest);
            self.send(b"\r\n");
        }
        self.send(b"0\r\n\r\n");
        self.receive_location(202)
    }

    /// Closes a session that has all its bytes.
    pub fn finish(&mut self, location: &str, blob: &Blob<'_>) {
        self.request(&format!("PUT {}", with_digest(location, &blob.digest)), b"", 201);
    }

    /// Pushes an image as containerd does: asks for each blob, sends it, and at last the manifest.
    pub fn push_image(&mut self, name: &str, tag: &str, image: &Image) {
        for (bytes, digest) in &image.blobs {
            self.send(&message(&format!("HEAD /v2/{name}/blobs/{digest}"), "", b""));
            self.head(404);
            let location = self.start_upload(name);
            self.request(&format!("PUT {}", with_digest(&location, digest)), bytes, 201);
        }
        self.put_manifest(name, tag, &image.manifest);
    }

    pub fn put_manifest(&mut self, name: &str, reference: &str, manifest: &[u8]) {
        let kind = format!("Content-Type: {OCI_MANIFEST}\r\n");
        self.send(&message(&format!("PUT /v2/{name}/manifests/{reference}"), &kind, manifest));
        self.receive(201);
    }

    // ---- bytes

    fn receive_location(&mut self, status: u16) -> String {
        let head = self.head(status);
        self.pass_over(head.length);
        path_of(&head.location.expect("a Location")).to_owned()
    }

    /// Receives the head of an answer, which must have this status.
    fn head(&mut self, status: u16) -> Head {
        let mut searched = 0;
        loop {
            let bytes = &self.buffer[self.taken..self.filled];
            if let Some(at) = bytes[searched..].windows(4).position(|window| window == b"\r\n\r\n") {
                let end = searched + at + 4;
                let head = Head::parse(&bytes[..end]);
                self.taken += end;
                if head.status != status {
                    let body = self.body(head.length);
                    let (server, body) = (self.server, String::from_utf8_lossy(&body));
                    panic!("{server}: {} instead of {status}: {body}", head.status);
                }
                return head;
            }
            searched = bytes.len().saturating_sub(3);
            if self.taken > 0 {
                self.buffer.copy_within(self.taken..self.filled, 0);
                (self.taken, self.filled) = (0, self.filled - self.taken);
            }
            self.filled += self.receive_some(self.filled..BUFFER_BYTES);
        }
    }

    fn pass_over(&mut self, length: usize) {
        let here = length.min(self.filled - self.taken);
        self.taken += here;
        let mut left = length - here;
        while left > 0 {
            left -= self.receive_some(0..left.min(BUFFER_BYTES));
        }
    }

    fn body(&mut self, length: usize) -> Vec<u8> {
        let here = length.min(self.filled - self.taken);
        let mut body = self.buffer[self.taken..self.taken + here].to_vec();
        self.taken += here;
        body.resize(length, 0);
        self.stream.read_exact(&mut body[here..]).expect("the whole body");
        body
    }

    /// Receives what has come, or waits for it, into a part of the buffer.
    fn receive_some(&mut self, room: Range<usize>) -> usize {
        match self.stream.read(&mut self.buffer[room]) {
            Ok(0) => panic!("{} has hung up", self.server),
            Ok(count) => count,
            Err(error) => panic!("{} does not answer: {error}", self.server),
        }
    }

    /// Sends two pieces as one, without putting them together first.
    fn send_two(&mut self, first: &[u8], second: &[u8]) {
        let mut pieces = [IoSlice::new(first), IoSlice::new(second)];
        let mut left = &mut pieces[..];
        while !left.is_empty() {
            match self.stream.write_vectored(left) {
                Ok(count) => IoSlice::advance_slices(&mut left, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{} does not take the request: {error}", self.server),
            }
        }
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let first = lines.next().expect("a status line");
        let status = std::str::from_utf8(&first[9..12]).ok().and_then(|text| text.parse().ok());
        let mut head = Self { status: status.expect("a status"), length: 0, location: None };
        for line in lines {
            if let Some(value) = value_of(line, b"content-length:") {
                head.length = value.parse().expect("a length");
            } else if let Some(value) = value_of(line, b"location:") {
                head.location = Some(value.to_owned());
            } else if value_of(line, b"transfer-encoding:").is_some() {
                panic!("an answer without a length");
            }
        }
        head
    }
}

/// The value of a header line, if it is this header's.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let value = line.get(name.len()..).filter(|_| line[..name.len()].eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok().map(str::trim)
}

/// The bytes of a GET. distribution gives a manifest only to those who say that they can read it.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: {OCI_MANIFEST}\r\n\r\n").into_bytes()
}

fn message(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// distribution gives absolute URLs.
fn path_of(location: &str) -> &str {
    let after_scheme = location.split_once("://").map(|(_, rest)| rest);
    after_scheme.map_or(location, |rest| &rest[rest.find('/').unwrap_or(rest.len())..])
}

/// distribution keeps a session's state in the query.
fn with_digest(location: &str, digest: &str) -> String {
    format!("{location}{}digest={digest}", if location.contains('?') { '&' } else { '?' })
}
