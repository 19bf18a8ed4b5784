//! What is deleted goes, and nothing else: a blob's bytes with the last repository that holds them.

use std::fs;
use std::thread;

use serde_json::json;

use crate::harness::{OCI_INDEX, OCI_MANIFEST, Registry, sha256};

#[track_caller]
fn delete(registry: &Registry, path: &str) {
    registry.send("DELETE", path, &[], b"").assert(202, &[("Content-Length", "0")]);
}

#[test]
fn deleting_a_tag_leaves_the_manifest_and_its_other_tags() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    registry.put_manifest("a", "v2", OCI_MANIFEST, &image.manifest).assert(201, &[]);
    let before = registry.snapshot();
    delete(&registry, "/v2/a/manifests/v1");

    let mut after = before.clone();
    after.remove("repositories/a/_tags/v1").expect("it was there");
    let mut now = registry.snapshot();
    for snapshot in [&mut after, &mut now] {
        snapshot.remove("repositories/a/_history/v1").expect("it is remembered that it went");
    }
    assert_eq!(now, after, "one name is gone, and nothing else changed");
    registry.get("/v2/a/manifests/v1").assert_error(404, "MANIFEST_UNKNOWN");
    registry.assert_tagged("a", "v2", &image.digest, &image.manifest);
    registry.get(&format!("/v2/a/manifests/{}", image.digest)).assert(200, &[]);
    assert_eq!(registry.get("/v2/a/tags/list").json()["tags"], json!(["v2"]));
}

#[test]
fn deleting_a_manifest_takes_its_tags_and_its_bytes_along_and_leaves_its_blobs() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    registry.put_manifest("a", "v2", OCI_MANIFEST, &image.manifest).assert(201, &[]);
    let other = registry.push_image("a", "other", b"other layer");
    delete(&registry, &format!("/v2/a/manifests/{}", image.digest));

    for reference in ["v1", "v2", &image.digest] {
        registry.get(&format!("/v2/a/manifests/{reference}")).assert_error(404, "MANIFEST_UNKNOWN");
    }
    assert_eq!(registry.files("repositories/a/_tags"), ["other"]);
    assert_eq!(registry.files("repositories/a/_manifests"), [other.digest.replace(':', "/")]);
    assert_eq!(registry.link_count(&image.digest), 0, "the space comes back at once");
    registry.assert_holds("a", &image.layer, b"layer");
    registry.assert_tagged("a", "other", &other.digest, &other.manifest);
}

#[test]
fn a_manifest_of_two_repositories_goes_from_one_at_a_time() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    registry.push_image("b", "v1", b"layer");
    assert_eq!(registry.link_count(&image.digest), 3);
    delete(&registry, &format!("/v2/a/manifests/{}", image.digest));
    assert_eq!(registry.link_count(&image.digest), 2);
    registry.assert_tagged("b", "v1", &image.digest, &image.manifest);
    delete(&registry, &format!("/v2/b/manifests/{}", image.digest));
    assert_eq!(registry.link_count(&image.digest), 0);
}

#[test]
fn a_blob_goes_from_one_repository_at_a_time_and_its_bytes_with_the_last() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"layer");
    for name in ["b", "c"] {
        let path = format!("/v2/{name}/blobs/uploads/?mount={digest}&from=a");
        registry.send("POST", &path, &[], b"").assert(201, &[]);
    }
    for (name, left) in [("b", 3), ("a", 2)] {
        delete(&registry, &format!("/v2/{name}/blobs/{digest}"));
        assert_eq!(registry.link_count(&digest), left);
        registry.get(&format!("/v2/{name}/blobs/{digest}")).assert_error(404, "BLOB_UNKNOWN");
        registry.assert_holds("c", &digest, b"layer");
    }
    delete(&registry, &format!("/v2/c/blobs/{digest}"));
    assert_eq!(registry.link_count(&digest), 0);
    assert_eq!(registry.files("blobs"), Vec::<String>::new());
    let answer = registry.send("POST", &format!("/v2/d/blobs/uploads/?mount={digest}"), &[], b"");
    answer.assert(202, &[]);
}

#[test]
fn a_blob_is_served_only_through_a_repository_that_holds_it() {
    let registry = Registry::start();
    let image = registry.push_image("private", "v1", b"secret layer");
    registry.push_blob("public", b"something");
    for digest in [&image.layer, &image.config, &image.digest] {
        for kind in ["blobs", "manifests"] {
            for method in ["GET", "HEAD", "DELETE"] {
                let answer = registry.send(method, &format!("/v2/public/{kind}/{digest}"), &[], b"");
                answer.assert(404, &[]);
            }
        }
    }
    let answer = registry.put_manifest("public", "v1", OCI_MANIFEST, &image.manifest);
    answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(registry.files("repositories/public/_blobs"), [sha256(b"something").replace(':', "/")]);
    registry.assert_tagged("private", "v1", &image.digest, &image.manifest);
}

#[test]
fn what_is_not_there_cannot_be_deleted_and_nothing_is_touched() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let nothing = sha256(b"nothing");
    let before = registry.snapshot();
    for (path, status, code) in [
        ("/v2/a/manifests/v2".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/..".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/a/manifests/{nothing}"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/a/manifests/{}", image.layer), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/a/blobs/{nothing}"), 404, "BLOB_UNKNOWN"),
        (format!("/v2/a/blobs/{}", image.digest), 404, "BLOB_UNKNOWN"),
        ("/v2/a/blobs/sha256:abc".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/none/manifests/v1".to_owned(), 404, "NAME_UNKNOWN"),
        (format!("/v2/none/manifests/{}", image.digest), 404, "NAME_UNKNOWN"),
        (format!("/v2/none/blobs/{}", image.layer), 404, "NAME_UNKNOWN"),
        ("/v2/a".to_owned(), 404, "UNSUPPORTED"),
        ("/v2/a/tags/list".to_owned(), 405, "UNSUPPORTED"),
    ] {
        registry.send("DELETE", &path, &[], b"").assert_error(status, code);
    }
    assert_eq!(registry.snapshot(), before);
}

#[test]
fn what_was_deleted_is_gone_the_second_time_and_can_be_pushed_again() {
    let registry = Registry::start();
    for _ in 0..2 {
        let image = registry.push_image("a", "v1", b"layer");
        for path in
            ["manifests/v1", &format!("manifests/{}", image.digest), &format!("blobs/{}", image.layer)]
        {
            delete(&registry, &format!("/v2/a/{path}"));
            registry.send("DELETE", &format!("/v2/a/{path}"), &[], b"").assert(404, &[]);
        }
        assert_eq!((registry.link_count(&image.layer), registry.link_count(&image.digest)), (0, 0));
        let again = registry.put_manifest("a", "v1", OCI_MANIFEST, &image.manifest);
        again.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
    }
}

#[test]
fn of_many_who_delete_one_thing_one_succeeds() {
    let registry = Registry::start();
    for round in 0..10 {
        let image = registry.push_image("a", "v1", format!("layer {round}").as_bytes());
        for path in
            ["manifests/v1", &format!("manifests/{}", image.digest), &format!("blobs/{}", image.layer)]
        {
            let path = format!("/v2/a/{path}");
            let statuses: Vec<u16> = thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| registry.send("DELETE", &path, &[], b"").status)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let count = |status: u16| statuses.iter().filter(|got| **got == status).count();
            assert_eq!((count(202), count(404)), (1, 3), "{path}: {statuses:?}");
        }
        assert_eq!(registry.link_count(&image.layer), 0);
    }
}

#[test]
fn a_child_that_is_deleted_leaves_its_index() {
    let registry = Registry::start();
    let image = registry.push_image("a", "amd64", b"layer");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{}}}]}}"#,
        image.digest,
        image.manifest.len()
    );
    registry.put_manifest("a", "multi", OCI_INDEX, index.as_bytes()).assert(201, &[]);
    delete(&registry, &format!("/v2/a/manifests/{}", image.digest));
    registry.assert_tagged("a", "multi", &sha256(index.as_bytes()), index.as_bytes());
    let answer = registry.put_manifest("a", "again", OCI_INDEX, index.as_bytes());
    answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"][0]["detail"]["digest"], *image.digest);
}

#[test]
fn what_is_in_use_in_a_manifest_that_arrives_cannot_be_deleted_in_between() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    for round in 0..20 {
        let tag = format!("round{round}");
        delete(&registry, &format!("/v2/a/manifests/{}", image.digest));
        registry.push_blob("a", b"layer");
        let (put, _) = thread::scope(|scope| {
            let put = scope.spawn(|| registry.put_manifest("a", &tag, OCI_MANIFEST, &image.manifest).status);
            let gone = scope.spawn(|| delete(&registry, &format!("/v2/a/blobs/{}", image.layer)));
            (put.join().unwrap(), gone.join().unwrap())
        });
        // Either the manifest came first, or the blob went first and the manifest was refused.
        let tagged = fs::read(registry.path(&format!("repositories/a/_tags/{tag}"))).is_ok();
        assert!(put == 201 && tagged || put == 404 && !tagged, "{put} {tagged}");
        registry.push_blob("a", b"layer");
        registry.put_manifest("a", "v1", OCI_MANIFEST, &image.manifest).assert(201, &[]);
    }
}

#[test]
fn a_delete_survives_the_end_of_the_process() {
    let mut registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    delete(&registry, &format!("/v2/a/manifests/{}", image.digest));
    registry.kill_and_restart();
    registry.get("/v2/a/manifests/v1").assert_error(404, "MANIFEST_UNKNOWN");
    assert_eq!(registry.get("/v2/a/tags/list").json()["tags"], json!([]));
    registry.assert_holds("a", &image.layer, b"layer");
}
