//! Which of a layout is meant: by a tag, a full name, a digest, or because there is no other.

use super::export::export;
use super::made::{Made, digest};
use super::{assert_tags, import, refused};
use crate::harness::{Registry, bytes, sha256};

#[test]
fn one_manifest_comes_by_its_tag_or_by_its_full_name() {
    let (mut made, one) = Made::with_image();
    let [two, other] = [2, 3].map(|seed| made.image(&bytes(seed, 100)));
    made.list(&two, Some("docker.io/library/app:v2"));
    made.list(&other, Some("docker.io/library/other:v2"));
    let registry = Registry::start();
    let layout = made.path("");
    import(&registry, &layout, "a:v1", &[]);
    assert_tags(&registry, "a", &[("v1", &one)]);
    assert_eq!(
        registry.get(&format!("/v2/a/manifests/{}", digest(&two))).status,
        404,
        "nothing else has come"
    );
    import(&registry, &layout, "b:mine", &["--ref", "other:v2"]);
    assert_tags(&registry, "b", &[("mine", &other)]);
    import(&registry, &layout, "c", &["--ref", "docker.io/library/app:v2"]);
    assert_tags(&registry, "c", &[("v2", &two)]);

    let names = "\"docker.io/library/app:v2\", \"docker.io/library/other:v2\"";
    refused(
        &registry,
        &layout,
        "d:v2",
        &[],
        &format!(
            "2 manifests with the tag v2; choose one by its full name or its digest, with --ref; it holds \"v1\", {names}"
        ),
    );
    refused(
        &registry,
        &layout,
        "d:v3",
        &[],
        &format!("holds nothing with the tag v3; it holds \"v1\", {names}"),
    );
    refused(&registry, &layout, "d", &["--ref", "app:v3"], "holds nothing of the name \"app:v3\"");
    refused(&registry, &layout, "d", &[], "holds two manifests that would both be v2 here");
}

#[test]
fn the_only_manifest_needs_no_name() {
    let mut made = Made::new();
    let image = made.image(b"layer");
    made.list(&image, None);
    let registry = Registry::start();
    import(&registry, &made.path(""), "app:v7", &[]);
    assert_tags(&registry, "app", &[("v7", &image)]);
    import(&registry, &made.path(""), "untagged", &[]);
    assert_tags(&registry, "untagged", &[]);
    assert_eq!(registry.get(&format!("/v2/untagged/manifests/{}", digest(&image))).status, 200);
}

#[test]
fn one_without_a_name_comes_by_its_digest() {
    let (mut made, one) = Made::with_image();
    let two = made.image(b"two");
    made.list(&two, None);
    let registry = Registry::start();
    import(&registry, &made.path(""), "app:v2", &["--ref", digest(&two)]);
    assert_tags(&registry, "app", &[("v2", &two)]);
    import(&registry, &made.path(""), "other", &["--ref", digest(&one)]);
    assert_tags(&registry, "other", &[("v1", &one)]);
    let none = sha256(b"none");
    refused(
        &registry,
        &made.path(""),
        "app",
        &["--ref", &none],
        &format!("holds nothing of the name \"{none}\""),
    );
}

/// `export x:v1 layout --referrers`, then `import layout y:v2`.
#[test]
fn the_only_image_needs_no_name_beside_what_refers_to_it() {
    let (mut made, image) = Made::with_image();
    let signature = made.signature_of(&image);
    made.list(&signature, None);
    let registry = Registry::start();
    import(&registry, &made.path(""), "x", &[]);
    let layout = made.beside("exported");
    export(&registry, "x:v1", &layout, &["--referrers"]);
    import(&registry, &layout, "y:v2", &["--referrers"]);
    assert_tags(&registry, "y", &[("v2", &image)]);
    assert_eq!(registry.get(&format!("/v2/y/manifests/{}", digest(&signature))).status, 200);
    // Of what it is about nothing is there: then it is the only one.
    let mut alone = Made::new();
    let image = alone.image(b"elsewhere");
    let signature = alone.signature_of(&image);
    alone.list(&signature, None);
    import(&registry, &alone.path(""), "z:v1", &[]);
    assert_tags(&registry, "z", &[("v1", &signature)]);
}
