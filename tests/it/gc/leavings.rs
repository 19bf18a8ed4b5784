//! Upload sessions that nobody goes on with, and what a crash has left.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use super::{HOUR, delete, freed, push};
use crate::harness::{OCI_MANIFEST, Registry, eventually, run, sha256};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Makes all files of a session look so old, and its folder.
fn age_session(registry: &Registry, location: &str, by: Duration) {
    let folder = registry.session_path(location);
    for entry in fs::read_dir(&folder).unwrap() {
        registry.age(entry.unwrap().path(), by);
    }
    registry.age(&folder, by);
}

#[test]
fn a_session_ends_a_day_after_its_last_byte() {
    let registry = Registry::start();
    let [old, young, empty] = [(); 3].map(|()| registry.start_upload("a"));
    for location in [&old, &young] {
        registry.send("PATCH", location, &[], b"half a layer").assert(202, &[]);
    }
    for location in [&old, &young, &empty] {
        age_session(&registry, location, DAY + HOUR);
    }
    registry.age(registry.session_path(&young).join("data"), DAY - HOUR);
    let said = registry.run("gc", &[]);
    assert!(said.assert_done().contains("freed ") && said.output.contains(" 2 upload sessions,"), "{said:?}");
    registry.get(&old).assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry.get(&empty).assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry.finish(&young, &sha256(b"half a layer and more"), b" and more").assert(201, &[]);
    registry.assert_no_uploads();
}

#[test]
fn a_session_that_is_being_written_to_does_not_end() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    let mut client = registry.begin("PATCH", &location, 10, b"12345");
    age_session(&registry, &location, 2 * DAY);
    registry.run("gc", &["--upload-max-age", "1s"]).assert_done();
    client.write(b"67890");
    client.read_answer("PATCH").expect("an answer").assert(202, &[("Range", "0-9")]);
}

#[test]
fn what_a_crash_has_left_goes_after_a_day() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let id = |digit: char| {
        format!("uploads/{}", "00000000-0000-4000-8000-000000000000".replacen('0', &digit.to_string(), 1))
    };
    let [arriving, aside, folder, young] = ['1', '2', '3', '4'].map(id);
    for (path, age) in [(&arriving, DAY + HOUR), (&young, HOUR)] {
        fs::write(registry.path(path), b"a manifest on its way").unwrap();
        registry.age(path, age);
    }
    fs::hard_link(registry.blob_path(&image.layer), registry.path(&aside)).unwrap();
    registry.age(&aside, 2 * DAY);
    fs::create_dir(registry.path(&folder)).unwrap();
    registry.age(&folder, 2 * DAY);
    fs::write(registry.path("uploads/README"), b"somebody's own").unwrap();
    registry.age("uploads/README", 2 * DAY);

    registry.run("gc", &[]).assert_done();
    let here = |path: &String| registry.path(path).exists();
    // The time of the layer's last use says nothing of when it was moved aside, which was just now.
    assert_eq!([&arriving, &aside, &folder, &young].map(here), [false, true, false, true]);
    assert!(here(&"uploads/README".to_owned()), "nobody knows whose it is");
    registry.run("gc", &["--upload-max-age", "0s"]).assert_done();
    assert_eq!(registry.files("uploads"), ["README"]);
    registry.assert_holds("a", &image.layer, b"layer");
}

#[test]
fn names_that_a_push_could_not_give_go() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    fs::create_dir_all(registry.path("repositories/a/_referrers/sha256")).unwrap();
    fs::write(registry.path("repositories/a/_referrers/sha256/notes"), "somebody's own").unwrap();
    let before = registry.snapshot();
    let new = ".new-00000000-0000-4000-8000-000000000000";
    let subject = format!("repositories/a/_referrers/{}", image.digest.replace(':', "/"));
    fs::create_dir_all(registry.path(&subject)).unwrap();
    let gone = sha256(b"gone").replace(':', "-");
    let target = format!("../../../_manifests/{}", gone.replacen('-', "/", 1));
    symlink(&target, registry.path(&format!("{subject}/{gone}"))).unwrap();
    symlink(&target, registry.path(&format!("{subject}/{new}"))).unwrap();
    symlink("../_manifests/sha256/0", registry.path(&format!("repositories/a/_tags/{new}"))).unwrap();
    let said = registry.run("gc", &[]);
    assert!(said.assert_done().contains(" 4 leftovers,"), "{said:?}");
    assert_eq!(registry.snapshot(), before);
}

/// A build that pushes a tag of its own and deletes it, again and again.
#[test]
fn the_history_of_a_tag_goes_when_nothing_could_be_set_back_by_it() {
    let registry = Registry::start();
    let [kept, gone] = ["kept", "gone"].map(|layer| push(&registry, "a", "v1", layer));
    for tag in ["moved", "deleted"] {
        registry.put_manifest("a", tag, OCI_MANIFEST, &gone.manifest).assert(201, &[]);
    }
    registry.put_manifest("a", "moved", OCI_MANIFEST, &kept.manifest).assert(201, &[]);
    let path = |tag: &str| registry.path(&format!("repositories/a/_history/{tag}"));
    fs::write(path("notes"), "somebody's own").unwrap();
    delete(&registry, &format!("/v2/a/manifests/{}", gone.digest));
    for tag in ["moved", "v1"] {
        registry.put_manifest("a", tag, OCI_MANIFEST, &kept.manifest).assert(201, &[]);
        delete(&registry, &format!("/v2/a/manifests/{tag}"));
    }
    assert_eq!(registry.run("gc", &[]).assert_done(), freed(0, 0, 0), "within the grace");
    ["moved", "deleted", "v1", "notes"].iter().for_each(|tag| registry.age(path(tag), 2 * HOUR));
    let said = registry.run("gc", &["--dry-run"]);
    let line = "goes  repository a: history of deleted: the tag is gone, and all that it was\n";
    assert!(said.output.contains(line) && said.summary().contains(" 1 leftovers,"), "{}", said.output);
    assert!(registry.run("gc", &[]).assert_done().contains(" 1 leftovers,"));
    assert_eq!(
        registry.files("repositories/a/_history"),
        ["moved", "notes", "v1"],
        "these could be set back"
    );
    registry.age(registry.blob_path(&kept.digest), 2 * HOUR);
    let untagged = ["--untagged"];
    let would = registry.run("gc", &["--untagged", "--dry-run"]);
    assert!(
        would.summary().contains(" 1 manifests,") && would.summary().contains(" 2 leftovers,"),
        "{would:?}"
    );
    assert!(registry.run("gc", &untagged).assert_done().contains(" 2 leftovers,"));
    assert_eq!(registry.files("repositories/a/_history"), ["notes"]);
}

#[test]
fn bytes_that_nobody_holds_go_after_the_grace() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"layer");
    fs::remove_file(registry.path(&format!("repositories/a/_blobs/{}", digest.replace(':', "/")))).unwrap();
    assert!(registry.run("gc", &[]).assert_done().starts_with("freed 0 bytes"));
    assert_eq!(registry.link_count(&digest), 1);
    let said = registry.run("gc", &["--dry-run"]);
    let why = "no repository holds it, used 0 s ago, within the grace of 1 h";
    assert!(said.output.contains(&format!("stays blobs: {digest}, 5 bytes: {why}\n")), "{}", said.output);
    assert!(said.summary().starts_with("would free 0 bytes"), "{}", said.summary());
    registry.age(registry.blob_path(&digest), 2 * HOUR);
    let said = registry.run("gc", &["--dry-run"]);
    let line = format!("goes  blobs: {digest}, 5 bytes: no repository holds it\n");
    assert!(said.output.contains(&line), "{}", said.output);
    assert!(registry.run("gc", &[]).assert_done().contains(" 1 files that nobody held"));
    assert_eq!(registry.files("blobs"), Vec::<String>::new());
}

/// `cp -r` makes two files of two names, so that every link count is 1, and yet nothing is nobody's.
#[test]
fn a_copy_that_broke_the_links_apart_loses_nothing() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let stray = registry.push_blob("a", b"stray");
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .args(["-r", "--no-preserve=links"])
        .arg(registry.path("."))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    let before = fs::read_dir(copy.path().join("blobs/sha256")).unwrap().count();
    assert_eq!(before, 4);
    let said = run(copy.path(), "gc", &["--grace", "0s"]);
    // The stray goes from its repository, and is nobody's then.
    assert!(said.assert_done().starts_with("freed 5 bytes: 1 blobs, 0 manifests, 0 files"), "{said:?}");
    for digest in [&image.digest, &image.layer, &image.config] {
        assert!(copy.path().join("blobs").join(digest.replace(':', "/")).exists(), "{digest}");
    }
    assert!(!copy.path().join("blobs").join(stray.replace(':', "/")).exists());
    assert_eq!(run(copy.path(), "gc", &["--grace", "0s"]).assert_done(), freed(0, 0, 0));
}

/// A client that breaks off leaves a session; a server that is killed amid a push leaves it, too.
#[test]
fn what_a_killed_server_leaves_comes_back() {
    let mut registry = Registry::start();
    push(&registry, "a", "v1", "layer");
    let before = registry.snapshot();
    let location = registry.start_upload("a");
    let _client = registry.begin("PATCH", &location, 1 << 20, &[7; 4096]);
    registry.kill_and_restart();
    eventually("the session can be ended", || {
        registry.run("gc", &["--upload-max-age", "0s"]).assert_done();
        registry.files("uploads").is_empty()
    });
    assert_eq!(registry.snapshot(), before);
}

/// Bytes lie in two files after `cp -r`, or where there are more repositories than a file can have names. When nobody
/// holds the one under `blobs/` any more its name goes: the link count tells nothing of the other file.
#[test]
fn a_name_that_is_gone_comes_back_while_a_repository_holds_the_bytes() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    push(&registry, "b", "v1", "layer");
    let held = registry.path(&format!("repositories/b/_blobs/{}", image.layer.replace(':', "/")));
    fs::copy(&held, registry.path("copy")).and_then(|_| fs::rename(registry.path("copy"), &held)).unwrap();
    let rotten = push(&registry, "c", "v1", "another layer");
    fs::remove_file(registry.blob_path(&rotten.layer)).unwrap();
    fs::write(registry.path("wrong"), b"other bytes").unwrap();
    let rotten_held = registry.path(&format!("repositories/c/_blobs/{}", rotten.layer.replace(':', "/")));
    fs::rename(registry.path("wrong"), rotten_held).unwrap();

    for path in [format!("manifests/{}", image.digest), format!("blobs/{}", image.layer)] {
        registry.send("DELETE", &format!("/v2/a/{path}"), &[], b"").assert(202, &[]);
    }
    assert!(!registry.blob_path(&image.layer).exists());
    let said = registry.run("gc", &[]);
    assert!(
        said.status == Some(0) && said.errors.contains(&format!("is back digest={}", image.layer)),
        "{said:?}"
    );
    assert_eq!(registry.link_count(&image.layer), 2);
    assert!(!registry.blob_path(&rotten.layer).exists(), "these are not the bytes of that name");
    registry.assert_holds("b", &image.layer, b"layer");
    let mount = format!("/v2/d/blobs/uploads/?mount={}&from=b", image.layer);
    registry.send("POST", &mount, &[], b"").assert(201, &[]);
}
