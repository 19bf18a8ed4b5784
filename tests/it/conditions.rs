//! Only if it changed, only if it did not: ETag, If-None-Match, If-Match.

use std::thread;

use serde_json::json;

use crate::harness::users::{Users, login};
use crate::harness::{Answer, Connection, Image, OCI_MANIFEST, Registry, sha256};

fn etag(digest: &str) -> String {
    format!("\"{digest}\"")
}

#[test]
fn what_the_client_has_already_is_304_without_a_body() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let mut client = Connection::open(registry.address); // a body after 304 would derail the next answer
    for (path, digest) in [
        ("/v2/a/manifests/v1".to_owned(), &image.digest),
        (format!("/v2/a/manifests/{}", image.digest), &image.digest),
        (format!("/v2/a/blobs/{}", image.layer), &image.layer),
    ] {
        let tag = client.send("GET", &path, &[], b"").header("ETag").unwrap().to_owned();
        assert_eq!(tag, etag(digest));
        let other = etag(&sha256(b"other"));
        for known in [&tag, "*", &format!("W/{tag}"), &format!("{other}, {tag}"), &format!("{other},{tag}")] {
            for method in ["GET", "HEAD"] {
                let answer = client.send(method, &path, &[("If-None-Match", known)], b"");
                answer.assert(304, &[("ETag", &tag), ("Docker-Content-Digest", digest)]);
                assert!(answer.body.is_empty() && answer.header("Content-Type").is_none());
            }
        }
        let lines = [("If-None-Match", other.as_str()), ("If-None-Match", &tag)];
        client.send("GET", &path, &lines, b"").assert(304, &[]);
        for unknown in [other.as_str(), "", "\"\"", "nonsense"] {
            let answer = client.send("GET", &path, &[("If-None-Match", unknown)], b"");
            answer.assert(200, &[("ETag", &tag)]);
            assert!(!answer.body.is_empty());
        }
    }
}

#[test]
fn a_tag_that_moved_is_sent_again() {
    let registry = Registry::start();
    let old = registry.push_image("a", "v1", b"old");
    let new = registry.push_image("a", "v1", b"new");
    let answer = registry.send("GET", "/v2/a/manifests/v1", &[("If-None-Match", &etag(&old.digest))], b"");
    answer.assert(200, &[("ETag", &etag(&new.digest))]);
    assert_eq!(answer.body, new.manifest);
}

#[test]
fn what_is_not_there_is_404_whatever_the_condition() {
    let registry = Registry::start();
    registry.push_image("a", "v1", b"layer");
    for path in ["/v2/a/manifests/v2", &format!("/v2/a/blobs/{}", sha256(b"nothing"))] {
        registry.send("GET", path, &[("If-None-Match", "*")], b"").assert(404, &[]);
    }
}

// ---- writing on a condition

/// Images whose blobs are in `a`, none of them tagged.
fn images(registry: &Registry) -> [Image; 3] {
    let config = registry.push_blob("a", b"{}");
    [&b"one"[..], b"two", b"three"]
        .map(|layer| Image::new(&config, 2, &registry.push_blob("a", layer), layer.len()))
}

fn put_if(registry: &Registry, image: &Image, reference: &str, conditions: &[(&str, &str)]) -> Answer {
    let headers = [&[("Content-Type", OCI_MANIFEST)], conditions].concat();
    registry.send("PUT", &format!("/v2/a/manifests/{reference}"), &headers, &image.manifest)
}

#[track_caller]
fn assert_refused(answer: &Answer, current: Option<&str>) {
    answer.assert_error(412, "DENIED");
    assert_eq!(answer.json()["errors"][0]["detail"]["current"].as_str(), current);
}

#[test]
fn a_tag_is_created_only_if_there_is_none() {
    let registry = Registry::start();
    let [one, two, _] = images(&registry);
    put_if(&registry, &one, "v1", &[("If-None-Match", "*")]).assert(201, &[("ETag", &etag(&one.digest))]);
    registry.assert_tagged("a", "v1", &one.digest, &one.manifest);

    let before = registry.snapshot();
    assert_refused(&put_if(&registry, &two, "v1", &[("If-None-Match", "*")]), Some(&one.digest));
    assert_refused(&put_if(&registry, &one, "v1", &[("If-None-Match", "*")]), Some(&one.digest));
    assert_eq!(registry.snapshot(), before, "nothing was written, the manifest neither");
    put_if(&registry, &two, "v2", &[("If-None-Match", "*")]).assert(201, &[]);
    registry.assert_tagged("a", "v2", &two.digest, &two.manifest);
}

/// Who may push and not pull learns no digest, though they may learn that there is a tag.
#[test]
fn a_condition_that_fails_tells_what_is_there_only_to_those_who_may_pull() {
    let users = Users::new(&["reader", "writer"]);
    let registry = users.start_with_rules(json!([
        { "user": "*", "repository": "a", "push": true },
        { "user": "reader", "repository": "a", "pull": true },
    ]));
    let image = registry.start_beside_with(&[]).push_image("a", "v1", b"layer");
    let path = "/v2/a/manifests/v1";
    let put = |user: &str, header: &str, value: &str| {
        let headers = [("Authorization", &*login(user)), ("Content-Type", OCI_MANIFEST), (header, value)];
        registry.send("PUT", path, &headers, &image.manifest)
    };
    assert_refused(&put("reader", "If-None-Match", "*"), Some(&image.digest));
    for (header, value) in [("If-None-Match", "*"), ("If-Match", "\"sha256:0\"")] {
        let answer = put("writer", header, value);
        assert_refused(&answer, None);
        let text = String::from_utf8(answer.body).unwrap();
        assert!(!text.contains("sha256:"), "{text}");
    }
}

#[test]
fn a_tag_moves_only_if_it_is_what_the_client_saw() {
    let registry = Registry::start();
    let [one, two, _] = images(&registry);
    let (seen_one, seen_two) = (etag(&one.digest), etag(&two.digest));
    let before = registry.snapshot();
    for condition in [&seen_one, "*", &format!("{seen_one}, {seen_two}")] {
        assert_refused(&put_if(&registry, &one, "v1", &[("If-Match", condition)]), None);
    }
    assert_eq!(registry.snapshot(), before);

    put_if(&registry, &one, "v1", &[]).assert(201, &[]);
    let before = registry.snapshot();
    // A weak tag never matches here (RFC 9110, 13.1.1).
    for condition in [&seen_two, "nonsense", "\"\"", "", &format!("W/{seen_one}")] {
        assert_refused(&put_if(&registry, &two, "v1", &[("If-Match", condition)]), Some(&one.digest));
    }
    assert_eq!(registry.snapshot(), before);
    put_if(&registry, &two, "v1", &[("If-Match", &seen_one)]).assert(201, &[("ETag", &seen_two)]);
    registry.assert_tagged("a", "v1", &two.digest, &two.manifest);
    put_if(&registry, &one, "v1", &[("If-Match", &format!("{seen_one}, {seen_two}"))]).assert(201, &[]);
    put_if(&registry, &two, "v1", &[("If-Match", "*")]).assert(201, &[]);
    registry.assert_tagged("a", "v1", &two.digest, &two.manifest);
}

#[test]
fn both_conditions_must_hold() {
    let registry = Registry::start();
    let [one, two, _] = images(&registry);
    put_if(&registry, &one, "v1", &[]).assert(201, &[]);
    let (seen_one, seen_two) = (etag(&one.digest), etag(&two.digest));
    let both = [("If-Match", seen_one.as_str()), ("If-None-Match", "*")];
    assert_refused(&put_if(&registry, &two, "v1", &both), Some(&one.digest));
    let both = [("If-Match", seen_one.as_str()), ("If-None-Match", &seen_two)];
    put_if(&registry, &two, "v1", &both).assert(201, &[]);
    registry.assert_tagged("a", "v1", &two.digest, &two.manifest);
}

#[test]
fn a_condition_holds_for_a_tag_in_the_query_and_for_one_made_by_hand() {
    let registry = Registry::start();
    let [one, two, _] = images(&registry);
    put_if(&registry, &one, "v1", &[]).assert(201, &[]);
    let reference = format!("{}?tag=v1", two.digest);
    let answer = put_if(&registry, &two, &reference, &[("If-None-Match", "*")]);
    assert_refused(&answer, Some(&one.digest));
    let answer = put_if(&registry, &two, &reference, &[("If-Match", &etag(&one.digest))]);
    answer.assert(201, &[("OCI-Tag", "v1")]);
    registry.assert_tagged("a", "v1", &two.digest, &two.manifest);

    std::fs::write(registry.path("repositories/a/_tags/mine"), &one.manifest).unwrap();
    assert_refused(&put_if(&registry, &two, "mine", &[("If-None-Match", "*")]), Some(&one.digest));
    put_if(&registry, &two, "mine", &[("If-Match", &etag(&one.digest))]).assert(201, &[]);
    registry.assert_tagged("a", "mine", &two.digest, &two.manifest);
}

#[test]
fn a_refusal_in_a_new_repository_makes_no_folder() {
    let registry = Registry::start();
    let before = registry.snapshot();
    let index =
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let answer = registry.send("PUT", "/v2/new/manifests/v1", &[("If-Match", "*")], index);
    assert_refused(&answer, None);
    assert_eq!(registry.snapshot(), before);
    registry.send("PUT", "/v2/new/manifests/v1", &[("If-None-Match", "*")], index).assert(201, &[]);
}

#[test]
fn of_two_who_write_on_one_condition_exactly_one_wins() {
    let registry = Registry::start();
    let beside = registry.start_beside(); // the lock holds between processes, too
    let images = images(&registry);
    // In the first round both create the tag, then both move it away from what it is.
    let mut current: Option<&Image> = None;
    for _ in 0..20 {
        let condition = match current {
            None => ("If-None-Match", "*".to_owned()),
            Some(image) => ("If-Match", etag(&image.digest)),
        };
        let headers = [(condition.0, condition.1.as_str())];
        let mut rivals = images.iter().filter(|image| current.is_none_or(|now| now.digest != image.digest));
        let rivals = [rivals.next().unwrap(), rivals.next().unwrap()];
        let statuses = thread::scope(|scope| {
            let rivals = [(&registry, rivals[0]), (&beside, rivals[1])];
            let threads = rivals.map(|(server, image)| {
                let headers = &headers;
                scope.spawn(move || put_if(server, image, "v1", headers).status)
            });
            threads.map(|thread| thread.join().unwrap())
        });
        let winner = match statuses {
            [201, 412] => rivals[0],
            [412, 201] => rivals[1],
            other => panic!("{other:?}"),
        };
        registry.assert_tagged("a", "v1", &winner.digest, &winner.manifest);
        current = Some(winner);
    }
}
