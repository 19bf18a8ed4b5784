//! What `registry verify` advises is done to the letter, and then all is well.

use std::fs;

use super::{copy_in_place, flip_bit, held, verify};
use crate::harness::{Image, Registry};

const LAYER: &[u8] = b"layer";

/// An image in two repositories.
fn pushed_twice() -> (Registry, Image) {
    let registry = Registry::start();
    let image = registry.push_image("hello", "v1", LAYER);
    registry.push_image("other/hello", "v1", LAYER);
    (registry, image)
}

/// Does what a fault says: `<path>: <why>; remove it[ and each of: <paths>][; then push the image again to
/// <names>]`, or `[; then link <path> there]`, or `...; link this file there`, or `...; link it again`.
fn obey(registry: &Registry, fault: &str) {
    let (path, advice) = fault.split_once(": ").unwrap();
    let (what, then) = advice.split_once("; then ").unwrap_or((advice, ""));
    let link = |from: &str, to: &str| {
        let _ = fs::remove_file(registry.path(to)); // as `ln -f` does
        fs::hard_link(registry.path(from), registry.path(to)).unwrap();
    };
    if let Some((_, blob)) = what.split_once("there is no ") {
        return link(path, blob.strip_suffix("; link this file there").unwrap());
    }
    if let Some((_, blob)) = what.split_once("is a copy of ") {
        return link(blob.strip_suffix(", not a link to it; link it again").unwrap(), path);
    }
    let (_, removal) = what.split_once("; remove it").unwrap();
    let others = removal.strip_prefix(" and each of: ").unwrap_or_default();
    let places: Vec<&str> =
        [path].into_iter().chain(others.split(", ").filter(|path| !path.is_empty())).collect();
    places.iter().for_each(|path| fs::remove_file(registry.path(path)).unwrap());
    if let Some(names) = then.strip_prefix("push the image again to ") {
        for name in names.split(", ") {
            push_as_clients_do(registry, name);
        }
    } else if let Some(sound) = then.strip_suffix(" there").and_then(|then| then.strip_prefix("link ")) {
        places.iter().for_each(|path| link(sound, path));
    } else {
        assert_eq!(then, "");
    }
}

/// A client asks first what is there, and sends what is not.
fn push_as_clients_do(registry: &Registry, name: &str) {
    let config = br#"{"architecture":"amd64","os":"linux"}"#;
    let parts = [&config[..], LAYER].map(|blob| (crate::harness::sha256(blob), blob));
    for (digest, blob) in &parts {
        if registry.send("HEAD", &format!("/v2/{name}/blobs/{digest}"), &[], b"").status == 404 {
            registry.push_blob(name, blob);
        }
    }
    let image = Image::new(&parts[0].0, config.len(), &parts[1].0, LAYER.len());
    registry.put_manifest(name, "v1", crate::harness::OCI_MANIFEST, &image.manifest).assert(201, &[]);
}

/// So many faults are found, their advice is taken in this order, and then the store is sound and both repositories
/// serve the right bytes.
#[track_caller]
fn check_advice(faults: usize, damage: impl FnOnce(&Registry, &Image)) {
    let (registry, image) = pushed_twice();
    damage(&registry, &image);
    let said = String::from_utf8(verify(&registry.path("")).stdout).unwrap();
    let found: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("fault: ")).collect();
    assert_eq!(found.len(), faults, "{said}");
    found.iter().for_each(|fault| obey(&registry, fault));
    let after = verify(&registry.path(""));
    assert_eq!(after.status.code(), Some(0), "{said}\nthen {}", String::from_utf8_lossy(&after.stdout));
    for name in ["hello", "other/hello"] {
        registry.assert_holds(name, &image.layer, LAYER);
        registry.assert_tagged(name, "v1", &image.digest, &image.manifest);
    }
    assert_eq!(registry.link_count(&image.layer), 3);
    assert_eq!(registry.link_count(&image.digest), 3);
}

#[test]
fn the_advice_for_a_rotten_blob_of_two_repositories_mends_it() {
    check_advice(1, |registry, image| flip_bit(&registry.blob_path(&image.layer)));
}

#[test]
fn the_advice_for_a_rotten_manifest_mends_it() {
    check_advice(1, |registry, image| flip_bit(&registry.blob_path(&image.digest)));
}

#[test]
fn the_advice_mends_what_was_moved_away_before() {
    check_advice(2, |registry, image| {
        for digest in [&image.layer, &image.digest] {
            flip_bit(&registry.blob_path(digest));
            fs::rename(registry.blob_path(digest), registry.path("aside")).unwrap();
        }
    });
}

#[test]
fn the_advice_for_copies_and_what_has_rotten_beside_them_mends_both() {
    check_advice(1, |registry, image| {
        copy_in_place(&registry.path(&held("_blobs", &image.layer)));
        flip_bit(&registry.blob_path(&image.layer));
    });
    check_advice(2, |registry, image| {
        for name in ["hello", "other/hello"] {
            copy_in_place(
                &registry.path(&held("_blobs", &image.layer).replace("/hello/", &format!("/{name}/"))),
            );
        }
        flip_bit(&registry.blob_path(&image.layer));
    });
    check_advice(1, |registry, image| {
        copy_in_place(&registry.path(&held("_blobs", &image.layer)));
        flip_bit(&registry.path(&held("_blobs", &image.layer)));
    });
    check_advice(2, |registry, image| {
        fs::remove_file(registry.blob_path(&image.layer)).unwrap();
        fs::remove_file(registry.blob_path(&image.digest)).unwrap();
    });
}
