//! What costs more when there is more: tags, repositories, referrers.
//!
//! All over one store (see [`crate::harness::fixture`]), one connection, one request after the other.

use std::time::Instant;

use crate::harness::Bench;
use crate::harness::client::{Client, get};
use crate::harness::content::{fresh_number, sha256};
use crate::harness::fixture::{
    Fixture, LARGE, REFERRERS, REPOSITORIES, SMALL, SMALL_TAGS, TAGS, numbered_manifest, repository, tag,
};
use crate::harness::measure::{Sample, in_turn, median, median_of, ratio, sample};
use crate::harness::servers::{Kind, Server, verify};
use crate::harness::table::{Bar, Line, time};

const OF_SMALL: Bar = Bar::at_most(1.2, "× with 10 tags");
const TAG_PAGE: Bar = Bar::at_most(100.0, "ms");
const CATALOG_PAGE: Bar = Bar::at_most(150.0, "ms");
const REFERRERS_LIST: Bar = Bar::at_most(100.0, "ms");

/// How many requests make a sample: enough for some tens of milliseconds.
const GETS: usize = 4000;
const PUTS: usize = 400;

pub fn all(bench: &Bench) -> Vec<Line> {
    let fixture = bench.fixture();
    let server = Server::start(Kind::Ours, &fixture.root);
    let mut lines = beside_small(bench, fixture, &server);
    lines.extend(lists(bench, fixture, &server));
    lines.push(delete(bench, fixture, &server));
    drop(server);
    verify(&fixture.root);
    lines
}

/// The same requests to the large repository and to the small one.
fn beside_small(bench: &Bench, fixture: &Fixture, server: &Server) -> Vec<Line> {
    let line = |work: &str, run: &dyn Fn(&str, usize) -> Sample| {
        let [large, small] = in_turn(bench.pairs, [&mut || run(LARGE, TAGS), &mut || run(SMALL, SMALL_TAGS)]);
        let each = Sample::wall_each;
        let figure = time(median_of(&large, each));
        Line::new(format!("{work}, repository of 100,000 tags"), figure)
            .ratio_held_to(OF_SMALL, ratio(&large, &small, each))
    };
    // As many different manifests from both, so that the size of the repository is what is seen. With another of
    // 100,000 each time, the size of the processor's cache is, too: that is a line without a bar.
    let [large, small] = in_turn(
        bench.pairs,
        [&mut || get_manifests(server, LARGE, TAGS, TAGS), &mut || {
            get_manifests(server, SMALL, SMALL_TAGS, SMALL_TAGS)
        }],
    );
    let each = Sample::wall_each;
    let another = Line::new("manifest GET, each time another of 100,000", time(median_of(&large, each)))
        .ratio(ratio(&large, &small, each));
    vec![
        another,
        line("manifest GET", &|name, tags| get_manifests(server, name, tags, SMALL_TAGS)),
        line("tag push", &|name, _| push_tags(server, fixture, name)),
        line("manifest push", &|name, _| push_manifests(server, fixture, name)),
    ]
}

/// Gets manifests by tag: so many different ones, in turn, from everywhere in the repository.
fn get_manifests(server: &Server, name: &str, tags: usize, different: usize) -> Sample {
    const STRIDE: usize = 7919; // a prime number: in no order that helps
    let path = |at: usize| format!("/v2/{name}/manifests/{}", tag(at % different * STRIDE % tags));
    let requests: Vec<Vec<u8>> = (0..GETS).map(|at| get(&path(at))).collect();
    let mut client = server.client();
    sample(server, || {
        for request in &requests {
            client.send(request);
            client.receive(200);
        }
        GETS
    })
}

/// Gives a manifest that is there new tags.
fn push_tags(server: &Server, fixture: &Fixture, name: &str) -> Sample {
    let (manifest, mut client) = (numbered_manifest(&fixture.blobs, 0), server.client());
    let tags: Vec<String> = (0..PUTS).map(|_| format!("new-{}", fresh_number())).collect();
    let sample = sample(server, || {
        tags.iter().for_each(|tag| client.put_manifest(name, tag, &manifest));
        PUTS
    });
    tags.iter().for_each(|tag| fixture.remove(name, tag, None));
    sample
}

/// Pushes new manifests, each with a new tag.
fn push_manifests(server: &Server, fixture: &Fixture, name: &str) -> Sample {
    let (new, mut client) = (new_manifests(fixture, PUTS), server.client());
    let sample = sample(server, || {
        new.iter().for_each(|(tag, manifest)| client.put_manifest(name, tag, manifest));
        PUTS
    });
    new.iter().for_each(|(tag, manifest)| fixture.remove(name, tag, Some(&sha256(manifest))));
    sample
}

/// Manifests that there have not been, and tags for them.
fn new_manifests(fixture: &Fixture, count: usize) -> Vec<(String, Vec<u8>)> {
    let new = |number| (format!("new-{number}"), numbered_manifest(&fixture.blobs, TAGS + number));
    (0..count).map(|_| new(usize::try_from(fresh_number()).expect("a small number"))).collect()
}

/// Pages of lists: the first, and one from the middle.
fn lists(bench: &Bench, fixture: &Fixture, server: &Server) -> Vec<Line> {
    let mut client = server.client();
    let mut line = |work: &str, bar, path: &str, list: &str, count: usize| {
        let seconds = median((0..=bench.pairs).map(|_| list_once(&mut client, path, list, count)).collect());
        Line::new(work, time(seconds)).held_to(bar, seconds * 1e3)
    };
    let tags = format!("/v2/{LARGE}/tags/list?n=100");
    let tags_behind = format!("{tags}&last={}", tag(TAGS / 2));
    let names_behind = format!("/v2/_catalog?n=100&last={}", repository(REPOSITORIES / 2 + 1));
    let referrers = format!("/v2/{LARGE}/referrers/{}", fixture.subject);
    vec![
        line("tags/list?n=100 of 100,000 tags", TAG_PAGE, &tags, "tags", 100),
        line("tags/list?n=100 of 100,000 tags, from the middle", TAG_PAGE, &tags_behind, "tags", 100),
        line("_catalog?n=100 of 10,000", CATALOG_PAGE, "/v2/_catalog?n=100", "repositories", 100),
        line("_catalog?n=100 of 10,000, from the middle", CATALOG_PAGE, &names_behind, "repositories", 100),
        line("referrers of a subject with 1,000", REFERRERS_LIST, &referrers, "manifests", REFERRERS),
    ]
}

/// Gets a list once, which must have so many entries. Returns the seconds it took.
fn list_once(client: &mut Client, path: &str, list: &str, count: usize) -> f64 {
    let begin = Instant::now();
    let body = client.get(path);
    let seconds = begin.elapsed().as_secs_f64();
    let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer[list].as_array().map(Vec::len), Some(count), "{path}");
    seconds
}

/// Deletes manifests by digest, one at a time: all tags are looked at for those that point at it.
fn delete(bench: &Bench, fixture: &Fixture, server: &Server) -> Line {
    let mut client = server.client();
    let mut delete = |(tag, manifest): &(String, Vec<u8>)| {
        client.put_manifest(LARGE, tag, manifest);
        let begin = Instant::now();
        client.request(&format!("DELETE /v2/{LARGE}/manifests/{}", sha256(manifest)), b"", 202);
        begin.elapsed().as_secs_f64()
    };
    let seconds = median(new_manifests(fixture, bench.pairs + 1).iter().map(&mut delete).collect());
    Line::new("delete by digest, repository of 100,000 tags", time(seconds))
}
