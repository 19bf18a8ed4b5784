//! Requests, and the connections they go out on.

use std::net::SocketAddr;

use crate::content::Content;
use crate::it::harness::{Answer, Connection};
use crate::model::Model;
use crate::operation::{Chunk, Operation, Page, Session};

/// A request as it will be sent.
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub chunked: bool,
}

impl Request {
    pub fn new(method: &'static str, path: String) -> Self {
        Self { method, path, headers: Vec::new(), body: Vec::new(), chunked: false }
    }

    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn maybe(self, name: &'static str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// As it goes over the wire.
    fn message(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: test\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut message = head.into_bytes();
        if self.chunked {
            message.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in self.body.chunks(self.body.len() / 3 + 1) {
                message.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                message.extend_from_slice(piece);
                message.extend_from_slice(b"\r\n");
            }
            message.extend_from_slice(b"0\r\n\r\n");
        } else {
            if !self.body.is_empty() || matches!(self.method, "POST" | "PUT" | "PATCH") {
                message.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
            }
            message.extend_from_slice(b"\r\n");
            message.extend_from_slice(&self.body);
        }
        message
    }

    fn chunk(mut self, chunk: &Chunk) -> Self {
        self.chunked = chunk.chunked;
        let range = chunk.range.map(|(first, last)| format!("{first}-{last}"));
        self.body(&chunk.bytes).maybe("Content-Range", range)
    }
}

/// The request that is this operation; none for the end of a process.
pub fn request(operation: &Operation, model: &Model, content: &Content) -> Option<Request> {
    use Operation::*;
    let read = |head: &bool| if *head { "HEAD" } else { "GET" };
    Some(match operation {
        Restart => return None,
        Start { name, algorithm } => {
            let query = algorithm.map(|algorithm| ("digest-algorithm", algorithm.to_owned()));
            Request::new("POST", with_query(uploads(name), &Vec::from_iter(query)))
        }
        Post { name, blob, digest } => {
            let path = with_query(uploads(name), &[("digest", digest.clone())]);
            Request::new("POST", path).body(&content.blobs[*blob].bytes)
        }
        Mount { name, digest, from } | MountOrSend { name, digest, from } => {
            let mount = Some(("mount", digest.clone()));
            let query = mount.into_iter().chain(from.clone().map(|from| ("from", from)));
            Request::new("POST", with_query(uploads(name), &Vec::from_iter(query)))
        }
        Status { at, head } => Request::new(read(head), location(model, at)),
        Patch { at, chunk } => Request::new("PATCH", location(model, at)).chunk(chunk),
        Finish { at, chunk, digest } => {
            let query = digest.clone().map(|digest| ("digest", digest));
            Request::new("PUT", with_query(location(model, at), &Vec::from_iter(query))).chunk(chunk)
        }
        Cancel { at } => Request::new("DELETE", location(model, at)),
        GetBlob { name, digest, head, known, range } => Request::new(read(head), blob(name, digest))
            .maybe("If-None-Match", known.as_ref().map(|tags| tags.value()))
            .maybe("Range", range.as_ref().map(|range| range.value()))
            .maybe("If-Range", range.as_ref().and_then(|range| range.only_if.as_deref()).map(quoted)),
        DeleteBlob { name, digest } => Request::new("DELETE", blob(name, digest)),
        PutManifest { name, put } => {
            let document = &content.documents[put.document];
            let tags: Vec<_> = put.tags.iter().map(|tag| ("tag", tag.clone())).collect();
            Request::new("PUT", with_query(manifest(name, &put.reference), &tags))
                .body(&document.blob.bytes)
                .header("Content-Type", put.wrong_type.unwrap_or(document.media_type))
                .maybe("If-Match", put.is.as_ref().map(|tags| tags.value()))
                .maybe("If-None-Match", put.is_not.as_ref().map(|tags| tags.value()))
        }
        GetManifest { name, reference, head, known } => Request::new(read(head), manifest(name, reference))
            .maybe("If-None-Match", known.as_ref().map(|tags| tags.value())),
        DeleteManifest { name, reference } => Request::new("DELETE", manifest(name, reference)),
        ListTags { name, page } => list(format!("/v2/{name}/tags/list"), page, None),
        Catalog { page } => list("/v2/_catalog".to_owned(), page, None),
        Referrers { name, subject, kind, page } => {
            list(format!("/v2/{name}/referrers/{subject}"), page, kind.as_ref())
        }
    })
}

/// An entity tag.
pub fn quoted(digest: &str) -> String {
    format!("\"{digest}\"")
}

/// Where upload sessions of a repository begin.
pub fn uploads(name: &str) -> String {
    format!("/v2/{name}/blobs/uploads/")
}

/// Where a blob of a repository is.
pub fn blob(name: &str, digest: &str) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

/// Where a manifest of a repository is, by tag or digest.
pub fn manifest(name: &str, reference: &str) -> String {
    format!("/v2/{name}/manifests/{reference}")
}

fn list(path: String, page: &Page, kind: Option<&String>) -> Request {
    let mut query = page.query();
    query.extend(kind.map(|kind| ("artifactType", kind.clone())));
    Request::new("GET", with_query(path, &query))
}

fn location(model: &Model, at: &Session) -> String {
    let session = &model.sessions[&at.number];
    match &at.elsewhere {
        None => session.location.clone(),
        Some(name) => format!("{}{}", uploads(name), session.id()),
    }
}

/// A path with a query behind it.
pub fn with_query(path: String, parameters: &[(&str, String)]) -> String {
    let query: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

fn encode(value: &str) -> String {
    value.replace('%', "%25").replace('/', "%2F").replace(':', "%3A").replace('+', "%2B").replace(' ', "%20")
}

/// One or several servers of the same files, and a connection to each that stays open as long as they let it.
pub struct Client {
    servers: Vec<(SocketAddr, Option<Connection>)>,
}

impl Client {
    pub fn new(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.iter().map(|server| (*server, None)).collect() }
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    pub fn send(&mut self, server: usize, request: &Request) -> Answer {
        self.send_halves(server, request, || ())
    }

    /// Sends a request with something done when half of it is on its way.
    pub fn send_halves(&mut self, server: usize, request: &Request, between: impl FnOnce()) -> Answer {
        let (address, open) = &mut self.servers[server];
        let mut connection = open.take().unwrap_or_else(|| connect(*address));
        let message = request.message();
        let (first, last) = message.split_at(message.len() / 2);
        connection.write(first); // a refusal may come before the end; the answer tells
        between();
        connection.write(last);
        let answer = connection.read_answer(request.method).expect("an answer");
        if answer.header("Connection") != Some("close") {
            *open = Some(connection);
        }
        answer
    }
}

/// What is written goes out at once, also the second half of a request.
fn connect(server: SocketAddr) -> Connection {
    let connection = Connection::open(server);
    connection.stream.get_ref().set_nodelay(true).expect("an open connection");
    connection
}
