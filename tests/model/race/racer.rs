//! One of those who run: does this and that to what all share, and notes what came of it.

mod sessions;

use std::time::Instant;

use super::course::{Course, KEPT_TAG, NAMES, SWAPPED_TAG, TAGS};
use super::registers::{Change, Span, Value};
use crate::content::{Blob, Document};
use crate::history::History;
use crate::it::harness::{Answer, OCI_MANIFEST};
use crate::operation::shorten;
use crate::parts::random::Random;
use crate::request::{Client, Request, blob, manifest, quoted, uploads, with_query};
use crate::tally::Tally;

/// How much one does in a sprint who brings things, takes them, or passes them on.
const BRINGS: usize = 2;
const TAKES: usize = 12;
const PASSES: usize = 6;

/// One client.
pub struct Racer<'c> {
    course: &'c Course,
    random: Random,
    client: Client,
    tally: Tally,
    history: History,
    /// Which blob and which manifest a sprint is about: the same for all who run.
    about: usize,
}

impl<'c> Racer<'c> {
    pub fn new(who: String, client: Client, random: Random, course: &'c Course, about: usize) -> Self {
        Self { course, random, client, tally: Tally::default(), history: History::of(who), about }
    }

    /// Does this and that with everything. Returns what came of it.
    pub fn run_until(mut self, deadline: Instant) -> (Tally, History) {
        while Instant::now() < deadline {
            self.act();
        }
        (self.tally, self.history)
    }

    /// Does a few things with one blob and one manifest. Some bring them; others wait for them, to take them away
    /// while they still arrive; others take them from each other, so that one comes while the last goes.
    pub fn sprint(mut self) -> (Tally, History) {
        let course = self.course;
        let blob = &course.loose[self.about % course.loose.len()];
        let document = &course.fleeting[self.about % course.fleeting.len()];
        let name = *self.random.one_of(&NAMES);
        match self.random.below(4) {
            0 => (0..BRINGS).for_each(|_| self.bring(name, blob, document)),
            1 => (0..TAKES).for_each(|_| self.take(name, blob, document)),
            _ => (0..PASSES).for_each(|_| {
                self.mount(name, blob);
                self.delete_blob(name, blob);
            }),
        }
        (self.tally, self.history)
    }

    fn bring(&mut self, name: &str, blob: &Blob, document: &Document) {
        match self.random.below(4) {
            0 | 1 => self.push_blob(name, blob),
            2 => self.push_image(name, document, Some(TAGS[0])),
            _ => self.push_image(name, document, None),
        }
    }

    fn take(&mut self, name: &str, blob: &Blob, document: &Document) {
        match self.random.below(8) {
            0 => self.delete_manifest(name, document),
            _ => self.delete_blob(name, blob),
        }
    }

    fn act(&mut self) {
        let course = self.course;
        let name = *self.random.one_of(&NAMES);
        let loose = self.random.one_of(&course.loose);
        let manifests: Vec<&Document> = course.kept.iter().chain(&course.fleeting).collect();
        let any = *self.random.one_of(&manifests);
        let kept = self.random.one_of(&course.kept);
        let fleeting = self.random.one_of(&course.fleeting);
        let tag = *self.random.one_of(&TAGS);
        match self.random.below(100) {
            0..8 => self.push_blob(name, loose),
            8..24 => self.mount(name, loose),
            24..38 => self.delete_blob(name, loose),
            38..46 => self.read_blob(name, loose),
            46..54 => self.push_image(name, any, Some(tag)),
            54..60 => self.push_image(name, kept, Some(KEPT_TAG)),
            60..64 => self.push_image(name, fleeting, None),
            64..68 => self.swap(name, kept),
            68..76 => self.delete_manifest(name, fleeting),
            76..79 => self.delete_tag(name, tag),
            79..83 => self.read_manifest(name, &any.blob.sha256),
            83..89 => self.read_any_tag(name, tag),
            89..91 => self.list_tags(name),
            91..93 => self.list_referrers(name),
            93 => self.list_catalog(),
            _ => self.use_session(name),
        }
    }

    // ---- asking

    /// Asks one of the servers; only these statuses may be the answer, and an error must say which it is.
    fn ask(&mut self, request: &Request, allowed: &[u16]) -> (Answer, Span) {
        let server = self.random.below(self.client.servers());
        let began = self.course.registers.now();
        let answer = self.client.send(server, request);
        let span = Span { began, ended: self.course.registers.now() };
        self.tally.note(answer.status);
        let (method, path, status) = (request.method, &request.path, answer.status);
        let line = format!("{began}-{} server {server} {status} {method} {path}", span.ended);
        self.history.remember(shorten(&line));
        let says_why = status < 400 || method == "HEAD" || !answer.code().is_empty();
        if !allowed.contains(&status) || !says_why {
            panic!("{}\nthe last should have been one of {allowed:?}\n{answer:?}", self.history.told());
        }
        (answer, span)
    }

    fn change(&self, path: &str, span: Span, change: Change) {
        self.course.registers.change(path, span, change, self.history.who());
    }

    fn saw(&self, path: &str, span: Span, value: Value) {
        self.course.registers.read(path, span, value, self.history.who());
    }

    // ---- blobs

    fn push_blob(&mut self, name: &str, pushed: &Blob) {
        let digest = &pushed.sha256;
        let span = if self.random.one_in(2) {
            let path = with_query(uploads(name), &[("digest", digest.clone())]);
            self.ask(&Request::new("POST", path).body(&pushed.bytes), &[201]).1
        } else {
            let (begun, _) = self.ask(&Request::new("POST", uploads(name)), &[202]);
            self.send(begun.header("Location").expect("a location"), pushed)
        };
        self.change(&blob(name, digest), span, Change::To(Some(digest.clone())));
    }

    /// Sends a blob to a session that nobody else knows of. Returns when it was finished.
    fn send(&mut self, location: &str, pushed: &Blob) -> Span {
        let (first, last) = pushed.bytes.split_at(self.random.below(pushed.bytes.len()));
        self.ask(&Request::new("PATCH", location.to_owned()).body(first), &[202]);
        self.ask(&finish(location, &pushed.sha256).body(last), &[201]).1
    }

    /// From a certain repository or wherever it is; if it is not there, cancels or sends it.
    fn mount(&mut self, name: &str, wanted: &Blob) {
        let (digest, path) = (&wanted.sha256, blob(name, &wanted.sha256));
        let from = (!self.random.one_in(3)).then(|| *self.random.one_of(&NAMES));
        let mut query = vec![("mount", digest.clone())];
        query.extend(from.map(|from| ("from", from.to_owned())));
        let (answer, mut span) =
            self.ask(&Request::new("POST", with_query(uploads(name), &query)), &[201, 202]);
        if answer.status == 202 {
            self.saw(&path, span, None);
            if let Some(from) = from {
                self.saw(&blob(from, digest), span, None);
            }
            let location = answer.header("Location").expect("a location");
            if self.random.one_in(2) {
                self.ask(&Request::new("DELETE", location.to_owned()), &[204]);
                return;
            }
            span = self.send(location, wanted);
        }
        self.change(&path, span, Change::To(Some(digest.clone())));
    }

    fn delete_blob(&mut self, name: &str, deleted: &Blob) {
        let path = blob(name, &deleted.sha256);
        let (answer, span) = self.ask(&Request::new("DELETE", path.clone()), &[202, 404]);
        let was_there = (answer.status == 202).then(|| deleted.sha256.clone());
        if was_there.is_some() {
            self.change(&path, span, Change::To(None));
        }
        self.saw(&path, span, was_there);
    }

    fn read_blob(&mut self, name: &str, read: &Blob) {
        self.read(&blob(name, &read.sha256));
    }

    /// What is there must have the bytes that its digest says.
    fn read(&mut self, path: &str) -> Value {
        let method = *self.random.one_of(&["GET", "HEAD"]);
        let (answer, span) = self.ask(&Request::new(method, path.to_owned()), &[200, 404]);
        let value = answer.header("Docker-Content-Digest").map(str::to_owned);
        assert_eq!(value.is_some(), answer.status == 200, "{}\n{answer:?}", self.history.told());
        if let Some(digest) = value.as_ref().filter(|_| method == "GET") {
            let same = answer.body == self.course.bytes(digest);
            assert!(same, "{}\nthe last had other bytes than {digest}", self.history.told());
        }
        self.saw(path, span, value.clone());
        value
    }

    // ---- manifests and tags

    /// As clients do: where blobs are missing, they are sent, and then it must go.
    fn push_image(&mut self, name: &str, pushed: &Document, tag: Option<&str>) {
        let path = manifest(name, tag.unwrap_or(&pushed.blob.sha256));
        let put = put(&path, pushed);
        let (mut answer, mut span) = self.ask(&put, &[201, 404]);
        if answer.status == 404 {
            self.send_missing(name, &answer, span);
            (answer, span) = self.ask(&put, &[201]);
        }
        let digest = answer.header("Docker-Content-Digest").expect("a digest");
        self.pushed(name, digest, &path, span);
    }

    fn pushed(&self, name: &str, digest: &str, path: &str, span: Span) {
        for path in [path, &manifest(name, digest)] {
            self.change(path, span, Change::To(Some(digest.to_owned())));
        }
    }

    fn send_missing(&mut self, name: &str, answer: &Answer, span: Span) {
        let missing: Vec<String> =
            answer.json()["errors"].as_array().into_iter().flatten().map(digest_of).collect();
        for digest in missing {
            self.saw(&blob(name, &digest), span, None);
            let part = self.course.parts.iter().find(|part| part.sha256 == digest).expect("a part");
            self.push_blob(name, part);
        }
    }

    /// Moves a tag if it is what it was a moment ago.
    fn swap(&mut self, name: &str, to: &Document) {
        let path = manifest(name, SWAPPED_TAG);
        let seen = self.read(&path);
        let put = match &seen {
            Some(digest) => put(&path, to).header("If-Match", quoted(digest)),
            None => put(&path, to).header("If-None-Match", "*"),
        };
        let (answer, span) = self.ask(&put, &[201, 404, 412]);
        match answer.status {
            201 => {
                self.saw(&path, span, seen.clone());
                self.pushed(name, &to.blob.sha256, &path, span);
                self.course.swaps.note(&path, seen, Some(to.blob.sha256.clone()));
            }
            412 => {
                let current = &answer.json()["errors"][0]["detail"]["current"];
                self.saw(&path, span, current.as_str().map(str::to_owned));
            }
            _ => self.send_missing(name, &answer, span),
        }
    }

    fn delete_manifest(&mut self, name: &str, deleted: &Document) {
        let digest = &deleted.blob.sha256;
        let path = manifest(name, digest);
        let (answer, span) = self.ask(&Request::new("DELETE", path.clone()), &[202, 404]);
        if answer.status == 404 {
            return self.saw(&path, span, None);
        }
        self.saw(&path, span, Some(digest.clone()));
        self.change(&path, span, Change::To(None));
        for tag in TAGS {
            self.change(&manifest(name, tag), span, Change::From(digest.clone()));
        }
    }

    fn delete_tag(&mut self, name: &str, tag: &str) {
        let path = manifest(name, tag);
        let (answer, span) = self.ask(&Request::new("DELETE", path.clone()), &[202, 404]);
        match answer.status {
            202 => self.change(&path, span, Change::To(None)),
            _ => self.saw(&path, span, None),
        }
    }

    fn read_manifest(&mut self, name: &str, reference: &str) {
        self.read(&manifest(name, reference));
    }

    fn read_any_tag(&mut self, name: &str, tag: &str) {
        let tag = *self.random.one_of(&[tag, KEPT_TAG, SWAPPED_TAG]);
        self.read(&manifest(name, tag));
    }

    // ---- lists

    fn list_tags(&mut self, name: &str) {
        let (answer, span) = self.ask(&Request::new("GET", format!("/v2/{name}/tags/list")), &[200, 404]);
        let listed = self.strings(&answer, "tags");
        for tag in [KEPT_TAG, SWAPPED_TAG].iter().chain(&TAGS) {
            if !listed.iter().any(|one| one == tag) {
                self.saw(&manifest(name, tag), span, None);
            }
        }
    }

    fn list_catalog(&mut self) {
        let (answer, _) = self.ask(&Request::new("GET", "/v2/_catalog".to_owned()), &[200]);
        let listed = self.strings(&answer, "repositories");
        let known = listed.iter().all(|name| NAMES.contains(&name.as_str()));
        assert!(known, "{}\n{listed:?}", self.history.told());
    }

    /// A list of names, which is in order.
    fn strings(&self, answer: &Answer, list: &str) -> Vec<String> {
        let json = answer.json();
        let names = json[list].as_array().into_iter().flatten().filter_map(|name| name.as_str());
        let names: Vec<String> = names.map(str::to_owned).collect();
        assert!(names.is_sorted_by(|one, next| one < next), "{}\n{names:?}", self.history.told());
        names
    }

    fn list_referrers(&mut self, name: &str) {
        let course = self.course;
        let path = format!("/v2/{name}/referrers/{}", course.kept[0].blob.sha256);
        let (answer, span) = self.ask(&Request::new("GET", path), &[200]);
        let json = answer.json();
        let entries = json["manifests"].as_array().expect("a list");
        for document in &course.fleeting {
            let digest = &document.blob.sha256;
            let entry = entries.iter().find(|entry| entry["digest"] == **digest);
            let is_whole = entry.is_none_or(|entry| *entry == document.entry(digest));
            assert!(is_whole, "{}\n{entry:?}", self.history.told());
            self.saw(&manifest(name, digest), span, entry.map(|_| digest.clone()));
        }
    }
}

fn put(path: &str, pushed: &Document) -> Request {
    let put = Request::new("PUT", path.to_owned()).header("Content-Type", OCI_MANIFEST);
    put.body(&pushed.blob.bytes)
}

fn finish(location: &str, digest: &str) -> Request {
    Request::new("PUT", format!("{location}?digest={digest}"))
}

/// The digest that an error is about.
fn digest_of(error: &serde_json::Value) -> String {
    error["detail"]["digest"].as_str().expect("a digest").to_owned()
}
