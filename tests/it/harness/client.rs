//! HTTP/1.1 over a plain socket: what a test sends, and what came back, header by header.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection that stays open for several requests, or for bytes of any kind.
pub struct Connection {
    pub stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes exactly as they are. Says whether they could be sent.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Sends a request with a body of known length, and reads the answer.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).expect("an answer")
    }

    /// The same; `None` if the connection ends first.
    pub fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let mut message = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            message.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        message.push_str("\r\n");
        let mut message = message.into_bytes();
        message.extend_from_slice(body);
        self.write(&message); // an early refusal may close our side; the answer tells
        self.read_answer(method)
    }

    /// Sends a request with a chunked body, and reads the answer.
    pub fn send_chunked(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        chunks: &[&[u8]],
    ) -> Answer {
        let mut message = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n");
        for (name, value) in headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut message = format!("{message}\r\n").into_bytes();
        for chunk in chunks {
            message.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            message.extend_from_slice(chunk);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"0\r\n\r\n");
        self.write(&message);
        self.read_answer(method).expect("an answer")
    }

    /// Reads one answer; `None` if the connection ends first.
    pub fn read_answer(&mut self, method: &str) -> Option<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).ok()?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").or_else(|| line.split_once(':'))?;
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("Content-Length").map_or(0, |length| length.parse().expect("a length"));
        if method != "HEAD" && !matches!(status, 100..=199 | 204 | 304) {
            answer.body = vec![0; length];
            self.stream.read_exact(&mut answer.body).ok()?;
        }
        Some(answer)
    }

    /// Reads until the other side closes.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.stream.read_to_end(&mut bytes);
        bytes
    }
}

/// An answer as it came.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(1000)]);
        write!(f, "{} {:?} {body}", self.status, self.headers)
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path in `Link`, if there is one.
    pub fn next_page(&self) -> Option<&str> {
        let link = self.header("Link")?;
        Some(link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect(link))
    }

    /// Asserts a status and some headers.
    #[track_caller]
    pub fn assert(&self, status: u16, headers: &[(&str, &str)]) {
        assert_eq!(self.status, status, "{self:?}");
        for (name, value) in headers {
            assert_eq!(self.header(name), Some(*value), "{name}: {self:?}");
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the first error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Asserts an error: its status and its code, and that it has a message and the right type.
    #[track_caller]
    pub fn assert_error(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self:?}");
        assert_eq!(self.header("Content-Type"), Some("application/json"));
        assert!(!self.json()["errors"][0]["message"].as_str().unwrap_or_default().is_empty());
    }
}
