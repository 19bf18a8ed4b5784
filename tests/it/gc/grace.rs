//! Whoever was told that something is there finds it, for an hour.

use super::{HOUR, delete, freed, push, push_index};
use crate::harness::{OCI_MANIFEST, Registry};

/// A registry with a blob to which nothing refers, and which nobody has asked for since two hours.
fn with_old_blob() -> (Registry, String, String) {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"an old layer");
    let path = format!("repositories/a/_blobs/{}", digest.replace(':', "/"));
    registry.age(&path, 2 * HOUR);
    (registry, digest, path)
}

/// Does something with an old blob, after which a sweep must leave it alone.
#[track_caller]
fn check_renewed(how: impl FnOnce(&Registry, &str)) {
    let (registry, digest, path) = with_old_blob();
    how(&registry, &digest);
    assert!(registry.age_of(&path) < HOUR, "the time is on disk");
    registry.run("gc", &[]).assert_done();
    registry.assert_holds("a", &digest, b"an old layer");
    registry.age(&path, 2 * HOUR);
    assert!(registry.run("gc", &[]).assert_done().starts_with("freed 12 bytes"), "and then it goes");
}

#[test]
fn what_nobody_has_asked_for_in_an_hour_goes() {
    let (registry, digest, _) = with_old_blob();
    assert!(registry.run("gc", &[]).assert_done().starts_with("freed 12 bytes: 1 blobs"));
    assert_eq!(registry.link_count(&digest), 0);
}

#[test]
fn what_was_just_pushed_stays() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"layer");
    assert_eq!(registry.run("gc", &[]).assert_done(), freed(0, 0, 0));
    registry.assert_holds("a", &digest, b"layer");
}

#[test]
fn head_and_get_renew_the_time() {
    check_renewed(|registry, digest| {
        registry.send("HEAD", &format!("/v2/a/blobs/{digest}"), &[], b"").assert(200, &[]);
    });
    check_renewed(|registry, digest| registry.get(&format!("/v2/a/blobs/{digest}")).assert(200, &[]));
}

#[test]
fn pushing_it_again_renews_the_time() {
    check_renewed(|registry, _| drop(registry.push_blob("a", b"an old layer")));
    check_renewed(|registry, digest| {
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        registry.send("POST", &path, &[], b"an old layer").assert(201, &[]);
    });
}

#[test]
fn mounting_it_renews_the_time() {
    check_renewed(|registry, digest| {
        let path = format!("/v2/a/blobs/uploads/?mount={digest}&from=a");
        registry.send("POST", &path, &[], b"").assert(201, &[]);
    });
    // The names of a blob are one file: what is used in one repository is taken for used in all.
    check_renewed(|registry, digest| {
        let path = format!("/v2/b/blobs/uploads/?mount={digest}");
        registry.send("POST", &path, &[], b"").assert(201, &[]);
        delete(registry, &format!("/v2/b/blobs/{digest}"));
    });
}

#[test]
fn another_process_sees_the_time() {
    let (registry, digest, _) = with_old_blob();
    let other = registry.start_beside();
    other.send("HEAD", &format!("/v2/a/blobs/{digest}"), &[], b"").assert(200, &[]);
    assert_eq!(registry.run("gc", &[]).assert_done(), freed(0, 0, 0));
}

/// Ten seconds are exact enough, and many requests for one layer are one write.
#[test]
fn a_time_that_is_young_is_not_written_again() {
    let (registry, digest, path) = with_old_blob();
    for (seconds, renewed) in [(2, false), (60, true)] {
        let age = HOUR / 3600 * seconds;
        registry.age(&path, age);
        registry.get(&format!("/v2/a/blobs/{digest}")).assert(200, &[]);
        assert_eq!(registry.age_of(&path) < age, renewed, "{seconds} s");
    }
}

/// The time is left as it is for ten seconds, so it may be behind by as much; also when the grace is shorter.
#[test]
fn a_short_grace_holds_for_what_was_asked_for_too() {
    let (registry, digest, path) = with_old_blob();
    registry.age(&path, HOUR / 3600 * 9);
    registry.send("HEAD", &format!("/v2/a/blobs/{digest}"), &[], b"").assert(200, &[]);
    assert_eq!(registry.run("gc", &["--grace", "7s"]).assert_done(), freed(0, 0, 0));
    registry.age(&path, HOUR / 3600 * 18);
    assert!(registry.run("gc", &["--grace", "7s"]).assert_done().starts_with("freed 12 bytes"));
}

#[test]
fn a_manifest_that_was_asked_for_stays_with_its_layers() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let held = |digest: &str| registry.blob_path(digest);
    let make_old = || [&image.digest, &image.layer, &image.config].map(|it| registry.age(held(it), 2 * HOUR));
    make_old();
    registry.send("HEAD", "/v2/a/manifests/v1", &[], b"").assert(200, &[]);
    delete(&registry, "/v2/a/manifests/v1");
    assert_eq!(registry.run("gc", &["--untagged"]).assert_done(), freed(0, 0, 0), "asked for by tag");
    make_old();
    registry.get(&format!("/v2/a/manifests/{}", image.digest)).assert(200, &[]);
    assert_eq!(registry.run("gc", &["--untagged"]).assert_done(), freed(0, 0, 0), "asked for by digest");
    make_old();
    registry.put_manifest("a", &image.digest, OCI_MANIFEST, &image.manifest).assert(201, &[]);
    assert_eq!(registry.run("gc", &["--untagged"]).assert_done(), freed(0, 0, 0), "pushed again");
    make_old();
    registry.run("verify", &[]).assert_done();
    let said = registry.run("gc", &["--untagged"]);
    assert!(said.assert_done().contains(": 2 blobs, 1 manifests,"), "verify does not count: {said:?}");
}

#[test]
fn an_index_that_was_just_pushed_holds_its_old_children() {
    let registry = Registry::start();
    let image = push(&registry, "a", "", "layer");
    let index = push_index(&registry, "a", "", &[(&image.digest, image.manifest.len())]);
    for digest in [&image.digest, &image.layer, &image.config] {
        registry.age(registry.blob_path(digest), 2 * HOUR);
    }
    assert_eq!(registry.run("gc", &["--untagged"]).assert_done(), freed(0, 0, 0));
    registry.age(registry.blob_path(&index), 2 * HOUR);
    registry.run("gc", &["--untagged"]).assert_done();
    assert_eq!(registry.files("blobs"), Vec::<String>::new());
}
