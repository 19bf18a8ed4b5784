//! Tags that are set once: they neither move nor go, whoever tries, and however many at once.

use std::process::Command;
use std::thread;

use serde_json::json;

use crate::harness::users::{Users, login};
use crate::harness::{Answer, Image, OCI_INDEX, OCI_MANIFEST, Registry, sha256};
use crate::history::images;

fn put(registry: &Registry, reference: &str, image: &Image) -> Answer {
    registry.put_manifest("a", reference, OCI_MANIFEST, &image.manifest)
}

fn delete(registry: &Registry, reference: &str) -> Answer {
    registry.send("DELETE", &format!("/v2/a/manifests/{reference}"), &[], b"")
}

#[track_caller]
fn assert_refused(answer: &Answer, tag: &str, current: &str) {
    answer.assert_error(403, "DENIED");
    let error = &answer.json()["errors"][0];
    assert_eq!(error["detail"], json!({ "name": "a", "tag": tag, "current": current }));
    let message =
        format!("the tag {tag} of a is immutable: it can be neither moved nor deleted; it is {current}");
    assert_eq!(error["message"], message);
}

#[track_caller]
fn assert_needed(answer: &Answer, tag: &str, digest: &str) {
    answer.assert_error(403, "DENIED");
    let error = &answer.json()["errors"][0];
    assert_eq!(error["detail"], json!({ "tag": tag, "digest": digest }));
    let message = format!("{digest} belongs to the tag {tag}, which is immutable: it cannot be deleted");
    assert_eq!(error["message"], message);
}

#[test]
fn an_immutable_tag_is_set_once_and_the_others_move() {
    let registry = Registry::start_with(&["--immutable", "a:v*", "--immutable=b:**,**:release-*"]);
    let images = images(&registry, 2);
    for tag in ["v1", "release-1"] {
        put(&registry, tag, &images[0]).assert(201, &[]);
        let before = registry.snapshot();
        assert_refused(&put(&registry, tag, &images[1]), tag, &images[0].digest);
        assert_eq!(registry.snapshot(), before, "not even the manifest was stored");
        put(&registry, tag, &images[0]).assert(201, &[("Docker-Content-Digest", &images[0].digest)]);
        registry.assert_tagged("a", tag, &images[0].digest, &images[0].manifest);
    }
    for image in &images {
        for tag in ["latest", "V1"] {
            put(&registry, tag, image).assert(201, &[]);
            registry.assert_tagged("a", tag, &image.digest, &image.manifest);
        }
    }
}

#[test]
fn the_configuration_file_has_them_as_a_list() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.json");
    std::fs::write(&file, r#"{"tags": {"immutable": ["library/*:v*", "**:release-*"]}}"#).unwrap();
    let registry = Registry::start_with(&["--config", file.to_str().unwrap()]);
    let images = images(&registry, 2);
    put(&registry, "release-1", &images[0]).assert(201, &[]);
    assert_refused(&put(&registry, "release-1", &images[1]), "release-1", &images[0].digest);
    images.iter().for_each(|image| put(&registry, "v1", image).assert(201, &[]));
}

#[test]
fn of_many_tags_none_is_set_when_one_may_not_be() {
    let registry = Registry::start_with(&["--immutable", "a:v*"]);
    let images = images(&registry, 2);
    put(&registry, "v2", &images[0]).assert(201, &[]);
    let before = registry.snapshot();
    for path in [
        "/v2/a/manifests/latest?tag=v1&tag=v2".to_owned(),
        format!("/v2/a/manifests/{}?tag=v1&tag=v2&tag=v3", images[1].digest),
    ] {
        let answer = registry.send("PUT", &path, &[("Content-Type", OCI_MANIFEST)], &images[1].manifest);
        assert_refused(&answer, "v2", &images[0].digest);
    }
    assert_eq!(registry.snapshot(), before);
    let path = "/v2/a/manifests/latest?tag=v1&tag=v2";
    let answer = registry.send("PUT", path, &[("Content-Type", OCI_MANIFEST)], &images[0].manifest);
    answer.assert(201, &[("OCI-Tag", "latest, v1, v2")]);
}

/// Else one would delete it, and push another.
#[test]
fn an_immutable_tag_goes_neither_by_its_name_nor_with_its_manifest() {
    let registry = Registry::start_with(&["--immutable", "a:v*"]);
    let images = images(&registry, 2);
    for tag in ["latest", "v1"] {
        put(&registry, tag, &images[0]).assert(201, &[]);
    }
    put(&registry, "other", &images[1]).assert(201, &[]);
    let before = registry.snapshot();
    assert_refused(&delete(&registry, "v1"), "v1", &images[0].digest);
    assert_needed(&delete(&registry, &images[0].digest), "v1", &images[0].digest);
    assert_eq!(registry.snapshot(), before, "the other tag of the manifest is there too");
    delete(&registry, "v2").assert_error(404, "MANIFEST_UNKNOWN");
    for reference in ["latest", &images[1].digest] {
        delete(&registry, reference).assert(202, &[]);
    }

    let set_back = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
        command.args(["set-back", "a:v1", &images[0].digest, "--root"]).arg(registry.path(""));
        command.args(flags).env("REGISTRY_TAGS_IMMUTABLE", "a:v*").output().unwrap()
    };
    assert!(set_back(&[]).status.success(), "it is that already");
    put(&registry, "w1", &images[1]).assert(201, &[]);
    let tags = registry.path("repositories/a/_tags");
    std::fs::rename(tags.join("w1"), tags.join("v1")).unwrap(); // whoever has the files can do what they like
    let refused = set_back(&[]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("is immutable"));
}

/// Without one of its layers it would be another image, or none.
#[test]
fn what_an_immutable_tag_stands_for_stays_to_the_last_layer() {
    let registry = Registry::start_with(&["--immutable", "a:v*"]);
    let images = images(&registry, 3);
    let index = |image: &Image| {
        let (digest, size) = (&image.digest, image.manifest.len());
        let child = json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": size });
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child] }).to_string()
    };
    let bound = index(&images[0]);
    put(&registry, "dev", &images[0]).assert(201, &[]); // the index's child, under a tag that can go
    registry.put_manifest("a", "v1", OCI_INDEX, bound.as_bytes()).assert(201, &[]);
    std::fs::write(registry.path("repositories/a/_tags/v2"), &images[1].manifest).unwrap(); // by hand
    put(&registry, "other", &images[2]).assert(201, &[]);
    let before = registry.snapshot();
    assert_needed(&delete(&registry, &sha256(bound.as_bytes())), "v1", &sha256(bound.as_bytes()));
    for (tag, image) in [("v1", &images[0]), ("v2", &images[1])] {
        assert_needed(&delete(&registry, &image.digest), tag, &image.digest);
        let layer = registry.send("DELETE", &format!("/v2/a/blobs/{}", image.layer), &[], b"");
        assert_needed(&layer, tag, &image.layer);
    }
    assert_eq!(registry.snapshot(), before);
    delete(&registry, "dev").assert(202, &[]);
    delete(&registry, &images[2].digest).assert(202, &[]);
    registry.send("DELETE", &format!("/v2/a/blobs/{}", images[2].layer), &[], b"").assert(202, &[]);
}

#[test]
fn of_two_who_set_an_immutable_tag_first_exactly_one_wins() {
    let registry = Registry::start_with(&["--immutable", "a:v*"]);
    let beside = registry.start_beside(); // the lock holds between processes, too
    let images = images(&registry, 4);
    for round in 0..25 {
        let tag = format!("v{round}");
        let statuses: Vec<u16> = thread::scope(|scope| {
            let servers = [&registry, &beside, &registry, &beside];
            let tag = &tag;
            let threads: Vec<_> = (servers.into_iter().zip(&images))
                .map(|(server, image)| scope.spawn(move || put(server, tag, image).status))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..4).filter(|at| statuses[*at] == 201).collect();
        assert!(
            winners.len() == 1 && statuses.iter().all(|status| [201, 403].contains(status)),
            "{statuses:?}"
        );
        let winner = &images[winners[0]];
        registry.assert_tagged("a", &tag, &winner.digest, &winner.manifest);
    }
}

/// As with a condition that fails.
#[test]
fn what_an_immutable_tag_is_learn_only_those_who_may_pull() {
    let users = Users::new(&["reader", "writer"]);
    let config = users.config(json!([
        { "user": "*", "repository": "a", "push": true, "delete": true },
        { "user": "reader", "repository": "a", "pull": true },
    ]));
    let registry = Registry::start_with(&["--config", &config, "--immutable", "a:v*"]);
    let open = registry.start_beside_with(&[]);
    let images = images(&open, 2);
    put(&open, "v1", &images[0]).assert(201, &[]);
    let ask = |user: &str, method: &str| {
        let headers = [("Authorization", &*login(user)), ("Content-Type", OCI_MANIFEST)];
        let body = if method == "PUT" { &images[1].manifest[..] } else { b"" };
        registry.send(method, "/v2/a/manifests/v1", &headers, body)
    };
    for method in ["PUT", "DELETE"] {
        assert_refused(&ask("reader", method), "v1", &images[0].digest);
        let answer = ask("writer", method);
        answer.assert_error(403, "DENIED");
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("the tag v1 of a is immutable") && !text.contains("sha256:"), "{text}");
    }
}
