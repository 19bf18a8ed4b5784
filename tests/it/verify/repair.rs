//! `registry verify --repair`: each kind of fault is mended, or named if it cannot be, and no content is lost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;

use super::{copy_in_place, entry, flip_bit, held, hex, signed, verify};
use crate::harness::{Image, OCI_INDEX, OCI_MANIFEST, Registry, sha256};

/// What the program says of a repair, and its exit status.
pub fn repair(registry: &Registry) -> (Vec<String>, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
    let output = command.args(["verify", "--repair", "--root"]).arg(registry.path("")).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    (said.lines().map(str::to_owned).collect(), output.status.code())
}

/// The digests of all files, whatever their names; but of locks and of what tags have been.
fn contents(registry: &Registry) -> BTreeSet<String> {
    let snapshot = registry.snapshot().into_iter();
    let files = snapshot.filter(|(path, what)| what.contains("sha256:") && !path.contains("_history"));
    files.map(|(_, what)| what.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// Damages a store with `hello:v1`, its signature and `other:v1`, and repairs it. These steps are said, in any order,
/// and these faults remain. Nothing that any file contained is lost, and a second repair finds nothing to do.
#[track_caller]
pub fn check(
    damage: impl FnOnce(&Registry, &Image, &str) -> (Vec<String>, Vec<String>),
) -> (Registry, Image, String) {
    let (registry, image, signature) = signed();
    registry.push_image("other", "v1", b"layer");
    let (mut steps, mut faults) = damage(&registry, &image, &signature);
    let before = contents(&registry);
    let (said, status) = repair(&registry);
    let lines = |start: &str| -> Vec<String> {
        let mut lines: Vec<String> =
            said.iter().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    steps.sort();
    faults.sort();
    assert_eq!(lines("repaired: "), steps, "{said:#?}");
    assert_eq!(lines("fault: "), faults, "{said:#?}");
    assert_eq!(lines("not repaired: "), Vec::<String>::new());
    assert_eq!(status, Some(i32::from(!faults.is_empty())));
    let lost: Vec<String> = before.difference(&contents(&registry)).cloned().collect();
    assert_eq!(lost, Vec::<String>::new(), "content is gone");

    let repaired = registry.snapshot();
    let (again, _) = repair(&registry);
    assert!(!again.iter().any(|line| line.contains("repaired: ")), "{again:#?}");
    assert_eq!(registry.snapshot(), repaired);
    assert_eq!(verify(&registry.path("")).status.code(), status);
    (registry, image, signature)
}

fn is_whole((registry, image, signature): &(Registry, Image, String)) {
    for name in ["hello", "other"] {
        registry.assert_holds(name, &image.layer, b"layer");
        registry.assert_tagged(name, "v1", &image.digest, &image.manifest);
    }
    assert_eq!((registry.link_count(&image.layer), registry.link_count(&image.digest)), (3, 3));
    let referrers = registry.get(&format!("/v2/hello/referrers/{}", image.digest)).json();
    assert_eq!(referrers["manifests"][0]["digest"], **signature);
}

pub fn blob(digest: &str) -> String {
    format!("blobs/sha256/{}", hex(digest))
}

pub fn other(kind: &str, digest: &str) -> String {
    held(kind, digest).replace("/hello/", "/other/")
}

pub fn quarantined(digest: &str) -> String {
    format!("quarantine/sha256-{}", hex(digest))
}

#[test]
fn a_sound_store_needs_no_repair() {
    let store = check(|_, _, _| (vec![], vec![]));
    is_whole(&store);
    assert!(!store.0.path("quarantine").exists());
}

#[test]
fn a_name_that_other_links_still_hold_comes_back() {
    is_whole(&check(|registry, image, _| {
        for digest in [&image.layer, &image.digest] {
            fs::remove_file(registry.blob_path(digest)).unwrap();
        }
        let step = |kind: &str, digest: &str| {
            format!("{}: was not there; linked to {}", blob(digest), held(kind, digest))
        };
        (vec![step("_blobs", &image.layer), step("_manifests", &image.digest)], vec![])
    }));
}

#[test]
fn a_link_that_a_manifest_or_a_tag_needs_comes_back() {
    is_whole(&check(|registry, image, signature| {
        fs::remove_file(registry.path(&held("_blobs", &image.layer))).unwrap();
        fs::remove_file(registry.path(&other("_manifests", &image.digest))).unwrap();
        fs::remove_file(registry.path(&other("_blobs", &image.layer))).unwrap();
        let again =
            |path: &str, digest: &str, why: &str| format!("{path}: {digest} is held again, which it {why}");
        let manifests = [held("_manifests", &image.digest), held("_manifests", signature)];
        let first = fs::read_dir(registry.path("repositories/hello/_manifests/sha256")).unwrap().next();
        let first = first.unwrap().unwrap().file_name().into_string().unwrap();
        let manifest = manifests.into_iter().find(|path| path.ends_with(&first)).unwrap();
        let steps = vec![
            again(&manifest, &image.layer, "refers to"),
            again("repositories/other/_tags/v1", &image.digest, "points at"),
            again(&other("_manifests", &image.digest), &image.layer, "refers to"),
        ];
        (steps, vec![])
    }));
}

/// What comes back may itself refer to what is missing.
#[test]
fn an_index_gets_back_its_images_and_they_their_layers() {
    let registry = Registry::start();
    let image = registry.push_image("hello", "v1", b"layer");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{}}}]}}"#,
        image.digest,
        image.manifest.len()
    );
    registry.put_manifest("hello", "all", OCI_INDEX, index.as_bytes()).assert(201, &[]);
    registry.push_image("other", "v1", b"layer");
    fs::remove_file(registry.path("repositories/hello/_tags/v1")).unwrap();
    for (kind, digest) in [("_manifests", &image.digest), ("_blobs", &image.config), ("_blobs", &image.layer)]
    {
        fs::remove_file(registry.path(&held(kind, digest))).unwrap();
    }
    let (said, status) = repair(&registry);
    assert_eq!((said.len(), status), (4, Some(0)), "{said:#?}");
    registry.get(&format!("/v2/hello/manifests/{}", image.digest)).assert(200, &[]);
    registry.assert_holds("hello", &image.layer, b"layer");
}

/// A layer of a gigabyte that an index lists, too, must not be read into memory to see whether it is a manifest.
#[test]
fn what_is_larger_than_a_manifest_may_be_comes_back_as_a_blob() {
    let registry = Registry::start();
    let image = registry.push_image("hello", "v1", b"layer");
    let child = format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":9}}"#, image.digest);
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{child}]}}"#);
    registry.put_manifest("hello", "all", OCI_INDEX, index.as_bytes()).assert(201, &[]);
    registry.push_image("other", "v1", b"layer");
    let config = tempfile::NamedTempFile::new().unwrap();
    for (limit, held_as, other_kind) in
        [(image.manifest.len() - 1, "_blobs", "_manifests"), (image.manifest.len(), "_manifests", "_blobs")]
    {
        let _ = fs::remove_file(registry.path("repositories/hello/_tags/v1"));
        for kind in ["_blobs", "_manifests"] {
            let _ = fs::remove_file(registry.path(&held(kind, &image.digest)));
        }
        fs::write(config.path(), format!(r#"{{"limits":{{"manifest_bytes":"{limit}"}}}}"#)).unwrap();
        registry.run("verify", &["--repair", "--config", config.path().to_str().unwrap()]).assert_done();
        assert!(registry.path(&held(held_as, &image.digest)).exists(), "{limit}: {held_as}");
        assert!(!registry.path(&held(other_kind, &image.digest)).exists(), "{limit}: {other_kind}");
    }
}

#[test]
fn a_copy_becomes_a_link_again() {
    is_whole(&check(|registry, image, _| {
        let steps = [held("_blobs", &image.layer), other("_manifests", &image.digest)].map(|path| {
            copy_in_place(&registry.path(&path));
            format!("{path}: was a copy; linked to blobs/sha256/{}", path.rsplit('/').next().unwrap())
        });
        (steps.into(), vec![])
    }));
}

#[test]
fn rotten_bytes_go_to_quarantine_and_right_ones_take_their_place() {
    // Everywhere but in one copy; in a copy alone; and in two copies, of which one is under blobs/.
    let now = |path: &str, at: &str| format!("{path}: had other bytes, now {at}; has the right bytes again");
    let store = check(|registry, image, _| {
        copy_in_place(&registry.path(&held("_blobs", &image.layer)));
        flip_bit(&registry.blob_path(&image.layer));
        let at = quarantined(&image.layer);
        (vec![now(&blob(&image.layer), &at), now(&other("_blobs", &image.layer), &at)], vec![])
    });
    is_whole(&store);
    let (registry, image, _) = &store;
    assert_eq!(fs::read(registry.path(&quarantined(&image.layer))).unwrap(), b"mayer");

    is_whole(&check(|registry, image, _| {
        copy_in_place(&registry.path(&held("_manifests", &image.digest)));
        flip_bit(&registry.path(&held("_manifests", &image.digest)));
        (vec![now(&held("_manifests", &image.digest), &quarantined(&image.digest))], vec![])
    }));

    let repositories = ["hello", "other", "third"];
    let registry = Registry::start();
    let images = repositories.map(|name| registry.push_image(name, "v1", b"layer"));
    let path = |name: &str| {
        registry.path(&held("_blobs", &images[0].layer).replace("/hello/", &format!("/{name}/")))
    };
    copy_in_place(&path("hello"));
    copy_in_place(&path("third"));
    flip_bit(&path("hello"));
    let rotten = [b"k", &b"ayer"[..]].concat();
    fs::set_permissions(path("other"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(path("other"), &rotten).unwrap();
    let (said, status) = repair(&registry);
    assert_eq!((said.len(), status), (4, Some(0)), "{said:#?}");
    repositories.iter().for_each(|name| registry.assert_holds(name, &images[0].layer, b"layer"));
    let mut kept: Vec<Vec<u8>> = ["", "-2"]
        .iter()
        .map(|end| fs::read(registry.path(&(quarantined(&images[0].layer) + end))).unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, [rotten, b"mayer".to_vec()], "neither has overwritten the other");
}

#[test]
fn what_is_lost_everywhere_is_named_until_somebody_pushes_it() {
    let store = check(|registry, image, signature| {
        flip_bit(&registry.blob_path(&image.layer));
        let gone = |path: &str| {
            let at = quarantined(&image.layer);
            format!("{path}: had other bytes, now {at}; removed, for there are none that are right")
        };
        let paths = [blob(&image.layer), held("_blobs", &image.layer), other("_blobs", &image.layer)];
        let refers = |path: String, name: &str| {
            format!("{path}: refers to {}, which {name} does not hold; push the image again", image.layer)
        };
        let faults = vec![
            refers(held("_manifests", &image.digest), "hello"),
            refers(held("_manifests", signature), "hello"),
            refers(other("_manifests", &image.digest), "other"),
        ];
        (paths.iter().map(|path| gone(path)).collect(), faults)
    });
    let (registry, image, _) = &store;
    registry.get("/v2/hello/manifests/v1").assert(200, &[]);
    registry.get(&format!("/v2/hello/blobs/{}", image.layer)).assert_error(404, "BLOB_UNKNOWN");
    ["hello", "other"].iter().for_each(|name| drop(registry.push_blob(name, b"layer")));
    assert_eq!(repair(registry).1, Some(0));
    is_whole(&store);
}

#[test]
fn tags_to_nowhere_are_dropped() {
    check(|registry, _, _| {
        let nowhere = format!("../_manifests/sha256/{}", "0".repeat(64));
        let targets = [("gone", nowhere.as_str()), ("strange", "/etc/hostname")];
        let steps = targets.map(|(tag, target)| {
            let path = format!("repositories/hello/_tags/{tag}");
            symlink(target, registry.path(&path)).unwrap();
            format!("{path}: pointed to {target}, which is no manifest of this repository; dropped")
        });
        (steps.into(), vec![])
    });
}

#[test]
fn lists_of_referrers_are_put_right() {
    is_whole(&check(|registry, image, signature| {
        let strange = entry(image, &image.digest);
        fs::copy(registry.path(&entry(image, signature)), registry.path(&strange)).unwrap();
        let elsewhere = format!("repositories/hello/_referrers/sha256/{}", hex(&image.layer));
        fs::create_dir(registry.path(&elsewhere)).unwrap();
        let link = format!("{elsewhere}/sha256-{}", hex(signature));
        fs::rename(registry.path(&entry(image, signature)), registry.path(&link)).unwrap();
        let dropped = |path: &str, subject: &str| {
            format!("{path}: pointed to a manifest whose subject is not {subject}; dropped")
        };
        let listed =
            format!("{}: is listed again as a referrer of {}", held("_manifests", signature), image.digest);
        (vec![listed, dropped(&strange, &image.digest), dropped(&link, &image.layer)], vec![])
    }));
}

#[test]
fn what_is_no_content_goes_to_quarantine_and_overwrites_nothing_there() {
    let store = check(|registry, image, _| {
        let paths = ["blobs/sha256/notes.txt", "repositories/hello/_blobs/sha256/notes.txt"];
        for path in paths {
            fs::write(registry.path(path), path).unwrap();
        }
        let folder = blob(&sha256(b"a folder"));
        fs::create_dir(registry.path(&folder)).unwrap();
        fs::create_dir(registry.path("repositories/hello/_tags/dir")).unwrap();
        let link = held("_blobs", &image.config);
        fs::remove_file(registry.path(&link)).unwrap();
        symlink("itself", registry.path(&link)).unwrap();
        let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let again = fs::read_dir(registry.path("repositories/hello/_manifests/sha256")).unwrap().next();
        let again = again.unwrap().unwrap().file_name().into_string().unwrap();
        let steps = vec![
            format!("{}: is no content; moved to quarantine/notes.txt", paths[0]),
            format!("{}: is no content; moved to quarantine/notes.txt-2", paths[1]),
            format!("{folder}: is no file; moved to quarantine/{}", name(&folder)),
            format!("{link}: is no file; moved to quarantine/{}", name(&link)),
            format!(
                "repositories/hello/_manifests/sha256/{again}: {} is held again, which it refers to",
                image.config
            ),
        ];
        let dir = "repositories/hello/_tags/dir: is no tag, which is a link or a file; remove it";
        (steps, vec![dir.to_owned()])
    });
    is_whole(&store);
}

/// It deletes nothing, so what cannot be used and is what its name says stays.
#[test]
fn what_cannot_be_mended_is_left_and_named() {
    check(|registry, image, _| {
        let path = held("_manifests", &sha256(b"[]"));
        fs::write(registry.blob_path(&sha256(b"[]")), b"[]").unwrap();
        fs::hard_link(registry.blob_path(&sha256(b"[]")), registry.path(&path)).unwrap();
        let manifest = String::from_utf8(image.manifest.clone()).unwrap();
        let missing = sha256(b"never pushed");
        let by_hand = "repositories/hello/_tags/by-hand";
        fs::write(registry.path(by_hand), manifest.replace(&image.layer, &missing)).unwrap();
        let said = String::from_utf8(verify(&registry.path("")).stdout).unwrap();
        let faults: Vec<String> =
            said.lines().filter_map(|line| line.strip_prefix("fault: ")).map(str::to_owned).collect();
        assert_eq!(faults.len(), 2, "{said}");
        (vec![], faults)
    });
}

/// Pushes, deletes and repairs at once: no push is lost, and nothing that was deleted comes back.
#[test]
fn a_repair_may_run_beside_servers() {
    let registry = Registry::start();
    let image = registry.push_image("kept", "v1", b"layer");
    for round in 0..5 {
        let copy = registry.path(&held("_blobs", &image.layer).replace("/hello/", "/kept/"));
        copy_in_place(&copy);
        flip_bit(&registry.blob_path(&image.layer));
        let name = format!("busy{round}");
        thread::scope(|scope| {
            let repairs = scope.spawn(|| (0..3).map(|_| repair(&registry).0).collect::<Vec<_>>());
            for tag in 0..10 {
                let pushed = registry.push_image(&name, &format!("t{tag}"), b"layer");
                assert_eq!(pushed.digest, image.digest);
                let path = format!("/v2/{name}/manifests/t{tag}");
                registry.send("DELETE", &path, &[], b"").assert(202, &[]);
            }
            let said = repairs.join().unwrap();
            assert!(!said.iter().flatten().any(|line| line.starts_with("not repaired")), "{said:#?}");
        });
        let (said, status) = repair(&registry);
        assert_eq!(status, Some(0), "{said:#?}");
        registry.assert_holds("kept", &image.layer, b"layer");
        registry.assert_holds(&name, &image.layer, b"layer");
        assert_eq!(registry.get(&format!("/v2/{name}/tags/list")).json()["tags"], serde_json::json!([]));
        registry.assert_tagged("kept", "v1", &image.digest, &image.manifest);
    }
}
