//! Fifty referrers of one manifest at once, from many threads over two processes: all are listed, and each is from
//! the moment its push was acknowledged. Then half of them are deleted at once, and the other half is listed all
//! the while. Then each of the deleted is pushed and deleted at the same time, and is listed if it is there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::content::{Blob, Document};
use crate::files;
use crate::it::harness::{Answer, OCI_INDEX, OCI_MANIFEST, Registry};
use crate::parts::random::Random;
use crate::request::{Client, Request, manifest, uploads};
use crate::tally::Tally;
use crate::{Plan, QUIET};

const REFERRERS: usize = 50;
const THREADS: usize = 10;
const PAGE: usize = 7;
const NAME: &str = "library/hello";

pub fn run(plan: Plan) -> String {
    let mut tally = Tally::default();
    for round in 0..plan.rounds {
        tally.add(&play(Stock::new(Random::new(plan.seed, &[3, round]))));
    }
    format!("{} rounds of {REFERRERS}, {THREADS} threads over 2 processes, {tally}", plan.rounds)
}

/// What is pushed.
struct Stock {
    blobs: [Blob; 2],
    subject: Document,
    /// In the order of their digests.
    referrers: Vec<Document>,
}

/// What one thread is to do to one referrer, and how that may be answered.
type Job<'s> = (&'static str, &'s Document, &'static [u16]);

impl Stock {
    fn new(mut random: Random) -> Self {
        let blobs = [Blob::new(random.bytes(100)), Blob::new(random.bytes(5000))];
        let parts = [&blobs[0], &blobs[1]];
        let subject = Document::image(&parts, "subject", None);
        let about = &subject.blob.sha256;
        let referrer = |number: usize| Document::image(&parts, &number.to_string(), Some(about));
        let mut referrers: Vec<Document> = (0..REFERRERS).map(referrer).collect();
        referrers.sort_by(|one, other| one.blob.sha256.cmp(&other.blob.sha256));
        Self { blobs, subject, referrers }
    }

    fn list(&self) -> String {
        format!("/v2/{NAME}/referrers/{}", self.subject.blob.sha256)
    }

    /// The digests in a list, which must be a valid index of some of the referrers, in order.
    fn listed(&self, answer: &Answer) -> BTreeSet<String> {
        answer.assert(200, &[("Content-Type", OCI_INDEX)]);
        let index = answer.json();
        let entries = index["manifests"].as_array().expect("a list");
        let digests: Vec<&str> = entries.iter().filter_map(|entry| entry["digest"].as_str()).collect();
        let is_listed = |document: &&Document| digests.contains(&document.blob.sha256.as_str());
        let listed = self.referrers.iter().filter(is_listed);
        let wanted: Vec<_> = listed.map(|document| document.entry(&document.blob.sha256)).collect();
        assert_eq!(index, json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": wanted }));
        digests.into_iter().map(str::to_owned).collect()
    }
}

fn play(stock: Stock) -> Tally {
    let registry = Registry::start_with(QUIET);
    let other = registry.start_beside();
    let servers = [registry.address, other.address];
    let mut tally = Tally::default();
    for blob in &stock.blobs {
        let path = format!("{}?digest={}", uploads(NAME), blob.sha256);
        registry.send("POST", &path, &[], &blob.bytes).assert(201, &[]);
    }
    let put_subject = request("PUT", &stock.subject);
    Client::new(&servers).send(0, &put_subject).assert(201, &[]);
    let expect_listed = |wanted: &BTreeSet<String>| {
        for registry in [&registry, &other] {
            assert_eq!(stock.listed(&registry.get(&stock.list())), *wanted);
            let pages = registry.all_pages(&format!("{}?n={PAGE}", stock.list()), "manifests", PAGE);
            assert!(pages.iter().filter_map(|entry| entry["digest"].as_str()).eq(wanted), "{pages:?}");
        }
        files::assert_sound(&registry);
    };

    let all: Vec<Job<'_>> = stock.referrers.iter().map(|document| ("PUT", document, &[201][..])).collect();
    let everyone = digests(&all);
    tally.add(&at_once(&servers, &stock, &all, |before, now| before.is_subset(now)));
    expect_listed(&everyone);

    let half: Vec<Job<'_>> =
        stock.referrers.iter().step_by(2).map(|document| ("DELETE", document, &[202][..])).collect();
    let kept: BTreeSet<String> = everyone.difference(&digests(&half)).cloned().collect();
    let shrinks =
        |before: &BTreeSet<String>, now: &BTreeSet<String>| now.is_subset(before) && kept.is_subset(now);
    tally.add(&at_once(&servers, &stock, &half, shrinks));
    expect_listed(&kept);

    // Those that are next to each other are done at once; what is deleted may not be there yet.
    let put_and_delete = |document| [("PUT", document, &[201][..]), ("DELETE", document, &[202, 404][..])];
    let both: Vec<Job<'_>> = half.iter().flat_map(|(_, document, _)| put_and_delete(*document)).collect();
    tally.add(&at_once(&servers, &stock, &both, |_, now| kept.is_subset(now)));
    let is_there = |digest: &&String| registry.get(&manifest(NAME, digest)).status == 200;
    expect_listed(&everyone.iter().filter(is_there).cloned().collect());
    tally
}

fn digests(jobs: &[Job<'_>]) -> BTreeSet<String> {
    jobs.iter().map(|(_, document, _)| document.blob.sha256.clone()).collect()
}

/// Shares the jobs among the threads, while one more reads the list over and over; `may_follow` says whether a list
/// may come after another. At the beginning anything that comes may.
fn at_once(
    servers: &[SocketAddr],
    stock: &Stock,
    jobs: &[Job<'_>],
    may_follow: impl Fn(&BTreeSet<String>, &BTreeSet<String>) -> bool + Sync,
) -> Tally {
    let done = AtomicBool::new(false);
    let read = || {
        let (mut client, mut tally, mut before) = (Client::new(servers), Tally::default(), None);
        while !done.load(Ordering::Relaxed) {
            let answer = client.send(tally.total() % servers.len(), &Request::new("GET", stock.list()));
            let now = stock.listed(&answer);
            tally.note(answer.status);
            if let Some(before) = before {
                assert!(may_follow(&before, &now), "after {before:#?} came {now:#?}");
            }
            before = Some(now);
        }
        tally
    };
    thread::scope(|scope| {
        let reader = scope.spawn(read);
        let workers: Vec<_> =
            (0..THREADS).map(|number| scope.spawn(move || work(servers, jobs, number))).collect();
        let worked: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        let mut tally = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        for counts in worked {
            tally.add(&counts.unwrap_or_else(|panic| resume_unwind(panic)));
        }
        tally
    })
}

/// Every so many-th job, by the one process and the other in turn.
fn work(servers: &[SocketAddr], jobs: &[Job<'_>], number: usize) -> Tally {
    let (mut client, mut tally) = (Client::new(servers), Tally::default());
    for (method, document, allowed) in jobs.iter().skip(number).step_by(THREADS) {
        let server = (number + tally.total()) % servers.len();
        let answer = client.send(server, &request(method, document));
        assert!(allowed.contains(&answer.status), "{method} {answer:?}");
        tally.note(answer.status);
    }
    tally
}

fn request(method: &'static str, document: &Document) -> Request {
    let request = Request::new(method, manifest(NAME, &document.blob.sha256));
    match method {
        "PUT" => request.body(&document.blob.bytes).header("Content-Type", OCI_MANIFEST),
        _ => request,
    }
}
