//! A client that pushes until its server is gone, and remembers what it was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::content::OCI_MANIFEST;
use crate::it::harness::{Answer, Connection, Image, sha256};
use crate::parts::random::Random;

const REPOSITORIES: [&str; 3] = ["one", "two", "team/three"];
const TAGS: [&str; 3] = ["latest", "v1", "v2"];

/// What the registry has acknowledged, and what it was asked for.
#[derive(Default)]
pub struct Promises {
    told: Mutex<Told>,
}

#[derive(Default)]
pub struct Told {
    /// Repository and digest.
    pub blobs: BTreeSet<(&'static str, String)>,
    /// Repository, digest, and the bytes.
    pub manifests: BTreeMap<(&'static str, String), Vec<u8>>,
    /// For each repository and tag, everything it was set to.
    tags: BTreeMap<(&'static str, &'static str), Vec<Move>>,
    /// For each session's location that is not done with, the bytes that it is for.
    pub sessions: BTreeMap<String, (&'static str, Vec<u8>)>,
    /// Counts what happens, so that it can be told what came first.
    clock: usize,
}

/// A tag was set.
struct Move {
    digest: String,
    asked: usize,
    /// When that was acknowledged.
    done: Option<usize>,
}

impl Told {
    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    /// What each tag may show: whatever it was set to, but for what was over before something else, that was
    /// acknowledged, began. `None` where it need not be there.
    pub fn tags(&self) -> BTreeMap<(&'static str, &'static str), (BTreeSet<String>, bool)> {
        let possible = |moves: &[Move]| {
            let is_over = |one: &Move| {
                let end = one.done;
                moves.iter().any(|other| other.done.is_some() && end.is_some_and(|end| other.asked > end))
            };
            let digests = moves.iter().filter(|one| !is_over(one)).map(|one| one.digest.clone()).collect();
            (digests, moves.iter().any(|one| one.done.is_some()))
        };
        self.tags.iter().map(|(tag, moves)| (*tag, possible(moves))).collect()
    }
}

impl Promises {
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("no pusher panicked")
    }
}

/// Sends a request on a connection of its own; `None` if the server goes meanwhile.
pub fn ask(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let stream = TcpStream::connect(server).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    Connection { stream: BufReader::new(stream) }.try_send(method, path, headers, body)
}

/// A client. Its methods return `None` when the server is gone.
pub struct Pusher<'p> {
    pub server: SocketAddr,
    pub promises: &'p Promises,
    pub random: Random,
}

impl Pusher<'_> {
    /// Pushes one thing after the other until the server is gone.
    pub fn run(mut self) {
        while self.act().is_some() {}
    }

    fn act(&mut self) -> Option<()> {
        let name = *self.random.one_of(&REPOSITORIES);
        match self.random.below(10) {
            0..6 => self.push_image(name),
            6..8 => self.move_tag(name),
            _ => self.mount(name),
        }
    }

    fn push_image(&mut self, name: &'static str) -> Option<()> {
        let large = self.random.one_in(10);
        let length = 1 + self.random.below(if large { 400_000 } else { 20_000 });
        let layer = self.random.bytes(length);
        let config = self.random.bytes(100);
        self.push_blob(name, &layer)?;
        self.push_blob(name, &config)?;
        let image = Image::new(&sha256(&config), config.len(), &sha256(&layer), layer.len());
        let tag = *self.random.one_of(&TAGS);
        self.put_manifest(name, tag, &image.manifest)
    }

    /// Sets a tag to something that was pushed before.
    fn move_tag(&mut self, name: &'static str) -> Option<()> {
        let known: Vec<Vec<u8>> = {
            let told = self.promises.told();
            let here = told.manifests.iter().filter(|((repository, _), _)| *repository == name);
            here.map(|(_, bytes)| bytes.clone()).collect()
        };
        if known.is_empty() {
            return Some(());
        }
        let manifest = self.random.one_of(&known).clone();
        let tag = *self.random.one_of(&TAGS);
        self.put_manifest(name, tag, &manifest)
    }

    fn mount(&mut self, name: &'static str) -> Option<()> {
        let known: Vec<(&'static str, String)> = self.promises.told().blobs.iter().cloned().collect();
        if known.is_empty() {
            return Some(());
        }
        let (from, digest) = self.random.one_of(&known).clone();
        let path = format!("/v2/{name}/blobs/uploads/?mount={digest}&from={from}");
        let answer = ask(self.server, "POST", &path, &[], b"")?;
        assert_eq!(answer.status, 201, "{from} has it: {answer:?}");
        self.promises.told().blobs.insert((name, digest));
        Some(())
    }

    /// In one of the ways that clients have.
    fn push_blob(&mut self, name: &'static str, bytes: &[u8]) -> Option<()> {
        let digest = sha256(bytes);
        let start = format!("/v2/{name}/blobs/uploads/");
        if self.random.one_in(3) {
            let answer = ask(self.server, "POST", &format!("{start}?digest={digest}"), &[], bytes)?;
            assert_eq!(answer.status, 201, "{answer:?}");
        } else {
            let answer = ask(self.server, "POST", &start, &[], b"")?;
            assert_eq!(answer.status, 202, "{answer:?}");
            let location = answer.header("Location").expect("a location").to_owned();
            self.promises.told().sessions.insert(location.clone(), (name, bytes.to_vec()));
            let (patched, last) = bytes.split_at(self.random.below(bytes.len() + 1));
            for chunk in patched.chunks(patched.len() / 2 + 1) {
                let answer = ask(self.server, "PATCH", &location, &[], chunk)?;
                assert_eq!(answer.status, 202, "{answer:?}");
            }
            let answer = ask(self.server, "PUT", &format!("{location}?digest={digest}"), &[], last)?;
            assert_eq!(answer.status, 201, "{answer:?}");
            self.promises.told().sessions.remove(&location);
        }
        self.promises.told().blobs.insert((name, digest));
        Some(())
    }

    fn put_manifest(&mut self, name: &'static str, tag: &'static str, manifest: &[u8]) -> Option<()> {
        let digest = sha256(manifest);
        let at = {
            let mut told = self.promises.told();
            let asked = told.tick();
            let moves = told.tags.entry((name, tag)).or_default();
            moves.push(Move { digest: digest.clone(), asked, done: None });
            moves.len() - 1
        };
        let path = format!("/v2/{name}/manifests/{tag}");
        let answer = ask(self.server, "PUT", &path, &[("Content-Type", OCI_MANIFEST)], manifest)?;
        assert_eq!(answer.status, 201, "{answer:?}");
        let mut told = self.promises.told();
        let done = told.tick();
        told.tags.get_mut(&(name, tag)).expect("what was asked")[at].done = Some(done);
        told.manifests.insert((name, digest), manifest.to_vec());
        Some(())
    }
}
