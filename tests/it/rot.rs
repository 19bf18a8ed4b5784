//! Files whose bytes have changed, by whatever hand: what is pushed again takes their place.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::harness::{OCI_MANIFEST, Registry, bytes, sha256};

/// Writes to a file in place, whatever other names it has.
fn damage(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).unwrap();
    how(&mut content);
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o444)).unwrap();
}

type Damage = fn(&mut Vec<u8>);

const FLIP: Damage = |content| *content.last_mut().unwrap() ^= 1;
const DAMAGES: [Damage; 4] = [FLIP, Vec::clear, |content| content.push(0), |content| content.fill(0)];

#[test]
fn a_rotten_blob_gives_way_to_the_one_that_is_pushed() {
    let registry = Registry::start();
    let blob = bytes(1, 600_000); // more than a buffer
    let digest = registry.push_blob("a", &blob);
    let at_once = format!("/v2/a/blobs/uploads/?digest={digest}");
    for how in DAMAGES {
        damage(&registry.blob_path(&digest), how);
        registry.push_blob("a", &blob);
        registry.assert_holds("a", &digest, &blob);

        damage(&registry.blob_path(&digest), how);
        registry.send("POST", &at_once, &[], &blob).assert(201, &[]);
        registry.assert_holds("a", &digest, &blob);
    }
    assert_eq!(registry.link_count(&digest), 2);
    registry.assert_no_uploads();
}

/// A repository gets what it pushes; another that holds the rotten file keeps it until it is pushed there.
#[test]
fn a_rotten_blob_of_two_repositories_is_mended_by_a_push_to_each() {
    let registry = Registry::start();
    let (first, digest) = (registry.push_blob("a", b"layer"), registry.push_blob("b", b"layer"));
    assert_eq!(first, digest);
    damage(&registry.blob_path(&digest), FLIP);
    for name in ["a", "b"] {
        registry.push_blob(name, b"layer");
        registry.assert_holds(name, &digest, b"layer");
    }
    assert_eq!(registry.link_count(&digest), 3);
}

#[test]
fn a_rotten_blob_that_was_moved_away_does_not_stay_in_its_repositories() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"layer");
    registry.push_blob("b", b"layer");
    damage(&registry.blob_path(&digest), FLIP);
    fs::rename(registry.blob_path(&digest), registry.path("aside")).unwrap();
    for name in ["a", "b"] {
        registry.push_blob(name, b"layer");
        registry.assert_holds(name, &digest, b"layer");
    }
    assert_eq!(fs::metadata(registry.path("aside")).unwrap().nlink(), 1);
}

#[test]
fn a_name_under_blobs_that_leads_nowhere_gives_way() {
    let registry = Registry::start();
    let digest = sha256(b"layer");
    symlink("nowhere", registry.blob_path(&digest)).unwrap();
    registry.push_blob("a", b"layer");
    registry.assert_holds("a", &digest, b"layer");
}

/// The bytes are right, so they stay, and only names are added.
#[test]
fn a_sound_blob_that_is_pushed_again_stays_the_file_it_is() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"layer");
    let file = fs::metadata(registry.blob_path(&digest)).unwrap().ino();
    let before = registry.snapshot();
    registry.push_blob("a", b"layer");
    assert_eq!(registry.snapshot(), before);
    registry.push_blob("b", b"layer");
    assert_eq!(fs::metadata(registry.blob_path(&digest)).unwrap().ino(), file);
}

#[test]
fn a_rotten_manifest_gives_way_to_the_one_that_is_pushed() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    registry.push_image("b", "v1", b"layer");
    for how in DAMAGES {
        damage(&registry.blob_path(&image.digest), how);
        for name in ["a", "b"] {
            for reference in ["v1", &image.digest] {
                registry.put_manifest(name, reference, OCI_MANIFEST, &image.manifest).assert(201, &[]);
                registry.assert_tagged(name, "v1", &image.digest, &image.manifest);
            }
        }
        assert_eq!(registry.link_count(&image.digest), 3);
        damage(&registry.blob_path(&image.digest), how);
        fs::remove_file(registry.blob_path(&image.digest)).unwrap();
        for name in ["a", "b"] {
            registry.put_manifest(name, "v1", OCI_MANIFEST, &image.manifest).assert(201, &[]);
            registry.assert_tagged(name, "v1", &image.digest, &image.manifest);
        }
        assert_eq!(registry.link_count(&image.digest), 3);
    }
    assert_eq!(registry.files("uploads"), Vec::<String>::new());
}

/// Whichever comes first mends it; the others find it mended, and all hold one file.
#[test]
fn many_push_over_a_rotten_blob_at_once() {
    let registry = Registry::start();
    let (blob, names) = (bytes(2, 300_000), ["a", "b", "c", "a", "b", "c"]);
    let digest = registry.push_blob("a", &blob);
    for _ in 0..10 {
        damage(&registry.blob_path(&digest), FLIP);
        std::thread::scope(|scope| {
            for name in names {
                scope.spawn(|| registry.push_blob(name, &blob));
            }
        });
        for name in names {
            registry.assert_holds(name, &digest, &blob);
        }
        assert_eq!(registry.link_count(&digest), 4);
    }
    registry.assert_no_uploads();
}
