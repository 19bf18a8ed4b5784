//! A manifest of which nobody has the right bytes: a repair takes it out of sight, and no sweep takes what it referred
//! to.

use std::fs;
use std::os::unix::fs::symlink;

use super::repair::{blob, check, other, quarantined, repair};
use super::{flip_bit, held, hex};
use crate::harness::{Image, OCI_MANIFEST, Registry};

fn lost(name: &str, digest: &str) -> String {
    format!("repositories/{name}/_lost/sha256-{}", hex(digest))
}

fn is_lost(name: &str, digest: &str) -> String {
    let then = "push the image again, or remove this file: what it refers to goes then, if nothing else does";
    format!("{}: {digest} is lost; {then}", lost(name, digest))
}

/// `hello:v1` and `other:v1` are one manifest, which has rotten everywhere; a repair has been there.
fn with_lost_manifest() -> (Registry, Image, String) {
    check(|registry, image, _| {
        flip_bit(&registry.blob_path(&image.digest));
        let (digest, had) = (&image.digest, format!("had other bytes, now {}", quarantined(&image.digest)));
        let none = "there are none that are right";
        let mut steps = vec![format!("{}: {had}; removed, for {none}", blob(digest))];
        for (name, held) in [("hello", held("_manifests", digest)), ("other", other("_manifests", digest))] {
            let target = format!("../_manifests/sha256/{}", hex(digest));
            steps.push(format!("{held}: {had}; {none}, so it is {} now", lost(name, digest)));
            steps.push(format!(
                "repositories/{name}/_tags/v1: pointed to {target}, which is no manifest of this repository; dropped"
            ));
        }
        (steps, ["hello", "other"].map(|name| is_lost(name, digest)).into())
    })
}

#[test]
fn a_manifest_that_is_lost_keeps_its_layers_from_sweeps_until_somebody_pushes_it() {
    let (registry, image, _) = with_lost_manifest();
    let history = || fs::read_to_string(registry.path("repositories/hello/_history/v1")).unwrap();
    assert!(history().ends_with(&format!(" {} deleted\n", image.digest)), "{}", history());
    let flags = &["--grace", "0s", "--untagged"];
    let swept = registry.run("gc", flags);
    assert_eq!(swept.status, Some(1));
    for name in ["hello", "other"] {
        let why = format!(
            "repositories/{name}: the manifest {} cannot be read, so nothing is swept in this repository: it is lost; \
             push the image again, or remove _lost/sha256-{} to give up what it refers to",
            image.digest,
            hex(&image.digest)
        );
        assert!(swept.errors.contains(&why), "{swept:?}");
        registry.assert_holds(name, &image.layer, b"layer");
    }
    assert!(history().ends_with(" deleted\n"));
    for name in ["hello", "other"] {
        registry.get(&format!("/v2/{name}/manifests/{}", image.digest)).assert(404, &[]);
        registry.put_manifest(name, "v1", OCI_MANIFEST, &image.manifest).assert(201, &[]);
        registry.assert_tagged(name, "v1", &image.digest, &image.manifest);
    }
    registry.assert_sound();
    registry.run("gc", flags).assert_done();
    assert!(!registry.path(&lost("hello", &image.digest)).exists());
    registry.assert_holds("hello", &image.layer, b"layer");
}

#[test]
fn a_manifest_that_is_lost_is_given_up_by_hand() {
    let (registry, image, _) = with_lost_manifest();
    ["hello", "other"]
        .iter()
        .for_each(|name| fs::remove_file(registry.path(&lost(name, &image.digest))).unwrap());
    registry.assert_sound();
    registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done();
    assert_eq!(registry.files("repositories"), Vec::<String>::new());
    assert_eq!(registry.files("quarantine").len(), 1);
}

#[test]
fn a_manifest_that_was_lost_comes_back_where_another_repository_got_it() {
    let (registry, image, _) = with_lost_manifest();
    registry.put_manifest("other", "v1", OCI_MANIFEST, &image.manifest).assert(201, &[]);
    let (said, status) = repair(&registry);
    let step = format!(
        "repaired: {}: has the right bytes in {} again; held again",
        lost("hello", &image.digest),
        blob(&image.digest)
    );
    assert_eq!((said[0].as_str(), status), (step.as_str(), Some(0)), "{said:#?}");
    registry.get(&format!("/v2/hello/manifests/{}", image.digest)).assert(200, &[]);
    registry.assert_sound();
}

/// A link to what is not mounted, say: as long as nobody can read it, its layers stay.
#[test]
fn a_manifest_that_is_no_file_is_lost_and_comes_back_if_its_bytes_are_there() {
    for is_right_elsewhere in [true, false] {
        let registry = Registry::start();
        let image = registry.push_image("hello", "v1", b"layer");
        if is_right_elsewhere {
            registry.push_image("other", "v1", b"layer");
        } else {
            fs::remove_file(registry.blob_path(&image.digest)).unwrap();
        }
        let path = held("_manifests", &image.digest);
        fs::remove_file(registry.path(&path)).unwrap();
        symlink("/not/mounted", registry.path(&path)).unwrap();
        let (said, status) = repair(&registry);
        let step = format!("repaired: {path}: is no file; moved to {}", lost("hello", &image.digest));
        assert_eq!(
            (said[0].as_str(), status),
            (step.as_str(), Some(i32::from(!is_right_elsewhere))),
            "{said:#?}"
        );
        let swept = registry.run("gc", &["--grace", "0s"]);
        assert_eq!(swept.status, status, "{swept:?}");
        registry.assert_holds("hello", &image.layer, b"layer");
    }
}
