//! Upload sessions, step by step.

use std::fs;
use std::path::PathBuf;

use super::{Answer, Connection, Registry, eventually, sha256};

impl Registry {
    /// Begins an upload session; returns its location.
    pub fn start_upload(&self, name: &str) -> String {
        let answer = self.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"");
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("Location").expect("a Location").to_owned()
    }

    /// Sends a chunk that says where it belongs.
    pub fn patch(&self, location: &str, range: &str, bytes: &[u8]) -> Answer {
        self.send("PATCH", location, &[("Content-Range", range)], bytes)
    }

    /// Closes a session with these last bytes.
    pub fn finish(&self, location: &str, digest: &str, bytes: &[u8]) -> Answer {
        self.send("PUT", &format!("{location}?digest={digest}"), &[], bytes)
    }

    /// Pushes a blob; returns its digest.
    pub fn push_blob(&self, name: &str, bytes: &[u8]) -> String {
        let (location, digest) = (self.start_upload(name), sha256(bytes));
        let answer = self.finish(&location, &digest, bytes);
        assert_eq!(answer.status, 201, "{answer:?}");
        digest
    }

    /// Sends the head of a request to a session, with a body of `length` bytes but only `part` of it, and waits
    /// until that is on disk, behind what was there.
    pub fn begin(&self, method: &str, target: &str, length: usize, part: &[u8]) -> Connection {
        let data = self.session_path(target).join("data");
        let before = fs::metadata(&data).expect("a session").len();
        let mut client = Connection::open(self.address);
        let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
        client.write(head.as_bytes());
        client.write(part);
        let wanted = before + part.len() as u64;
        eventually("the part is on disk", || fs::metadata(&data).is_ok_and(|data| data.len() == wanted));
        client
    }

    /// The folder of the session at a location.
    pub fn session_path(&self, location: &str) -> PathBuf {
        let path = location.split('?').next().unwrap_or(location);
        self.path("uploads").join(path.rsplit('/').next().unwrap_or(path))
    }

    /// Asserts that a session was closed: the blob is in repository `a`, and the session is gone.
    #[track_caller]
    pub fn assert_finished(&self, answer: &Answer, digest: &str, blob: &[u8]) {
        let location = format!("/v2/a/blobs/{digest}");
        answer.assert(201, &[("Docker-Content-Digest", digest), ("Location", &location)]);
        self.assert_holds("a", digest, blob);
        self.assert_no_uploads();
    }

    /// Asserts that no upload session is left.
    #[track_caller]
    pub fn assert_no_uploads(&self) {
        assert_eq!(fs::read_dir(self.path("uploads")).unwrap().count(), 0, "{:?}", self.files("uploads"));
    }
}
