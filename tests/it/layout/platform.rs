//! Images for several platforms, of which a layout may hold one.

use std::fs;

use serde_json::{Value, json};

use super::made::Made;
use super::{assert_sound, assert_tags, import, refused};
use crate::harness::{Registry, bytes};

fn for_platform(mut image: Value, architecture: &str, variant: Option<&str>) -> Value {
    image["platform"] = json!({"os": "linux", "architecture": architecture});
    if let Some(variant) = variant {
        image["platform"]["variant"] = variant.into();
    }
    image
}

/// A layout with an index of three platforms, as `v1`; its images.
fn several() -> (Made, Value, [Value; 3]) {
    let mut made = Made::new();
    let [amd64, v6, v7] = [1, 2, 3].map(|seed| made.image(&bytes(seed, 500)));
    let unknown = made.image(b"attestation"); // as buildkit adds it
    let index = made.index_of(&[
        for_platform(amd64.clone(), "amd64", None),
        for_platform(v6.clone(), "arm", Some("v6")),
        for_platform(v7.clone(), "arm", Some("v7")),
        unknown,
    ]);
    made.list(&index, Some("v1"));
    (made, index, [amd64, v6, v7])
}

#[test]
fn of_an_index_the_image_for_one_platform_comes_when_it_is_asked_for() {
    let (made, index, [amd64, _, v7]) = several();
    let registry = Registry::start();
    let layout = made.path("");
    let said = import(&registry, &layout, "one", &["--platform", "linux/amd64"]);
    assert!(said.contains("imported 1 manifests, 1 tags, 2 blobs"), "{said}");
    assert_tags(&registry, "one", &[("v1", &amd64)]);
    import(&registry, &layout, "two:mine", &["--ref", "v1", "--platform", "linux/arm/v7"]);
    assert_tags(&registry, "two", &[("mine", &v7)]);
    import(&registry, &layout, "all", &[]);
    assert_tags(&registry, "all", &[("v1", &index)]);
    let check = |platform: &str, expect: &str| {
        refused(&registry, &layout, "app", &["--platform", platform], expect);
    };
    check("linux/arm", "lists several for linux/arm: linux/arm/v6, linux/arm/v7; say which");
    check("linux/s390x", "lists no image for linux/s390x, but for linux/amd64, linux/arm/v6, linux/arm/v7");
    assert_sound(&registry);
}

/// `ctr images pull` of an index fetches one platform, and `ctr images export` writes the index as it is.
#[test]
fn what_containerd_exports_comes_in_with_the_platform_that_it_has() {
    let (made, _, [amd64, v6, v7]) = several();
    // Of one even the manifest is missing, of the other a layer.
    fs::remove_file(made.file_of(&v6)).unwrap();
    let manifest: Value = serde_json::from_slice(&fs::read(made.file_of(&v7)).unwrap()).unwrap();
    fs::remove_file(made.file_of(&manifest["layers"][0])).unwrap();
    let registry = Registry::start();
    refused(
        &registry,
        &made.path(""),
        "app",
        &[],
        "an image is imported whole: make the layout anew with all platforms, or import one that is whole here, \
         linux/amd64: --platform linux/amd64",
    );
    import(&registry, &made.path(""), "app", &["--platform", "linux/amd64"]);
    assert_tags(&registry, "app", &[("v1", &amd64)]);
    refused(&registry, &made.path(""), "app", &["--platform", "linux/arm/v7"], "is missing");
    assert_sound(&registry);
}
