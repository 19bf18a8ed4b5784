//! Repositories in which nothing is left go from the catalog and from the disk.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::thread;

use serde_json::json;

use super::{delete, push, push_about};
use crate::harness::{OCI_MANIFEST, Registry, eventually, sha256};

fn empty(registry: &Registry, name: &str) {
    let image = push(registry, name, "v1", "layer");
    delete(registry, &format!("/v2/{name}/manifests/{}", image.digest));
    for digest in [image.layer, image.config] {
        delete(registry, &format!("/v2/{name}/blobs/{digest}"));
    }
}

#[test]
fn a_repository_without_content_goes_with_the_folders_above_it() {
    let registry = Registry::start();
    push(&registry, "kept/here", "v1", "kept");
    let before = registry.snapshot();
    for name in ["library/hello", "kept/here/below", "kept"] {
        empty(&registry, name);
    }
    registry.get("/v2/library/hello/tags/list").assert(200, &[]);
    assert!(registry.run("gc", &[]).assert_done().ends_with(" 3 empty repositories"));
    assert_eq!(registry.snapshot(), before);
    registry.get("/v2/library/hello/tags/list").assert_error(404, "NAME_UNKNOWN");
    assert_eq!(registry.get("/v2/_catalog").json()["repositories"], json!(["kept/here"]));
}

#[test]
fn a_repository_that_holds_anything_stays() {
    let registry = Registry::start();
    registry.push_blob("blob", b"layer");
    let image = push(&registry, "manifest", "", "layer");
    for digest in [&image.layer, &image.config] {
        delete(&registry, &format!("/v2/manifest/blobs/{digest}"));
    }
    fs::create_dir_all(registry.path("repositories/by/hand/_tags")).unwrap();
    fs::write(registry.path("repositories/by/hand/_tags/v1"), &image.manifest).unwrap();
    fs::create_dir_all(registry.path("repositories/notes/_blobs/sha256")).unwrap();
    fs::write(registry.path("repositories/notes/_blobs/notes.txt"), "mine").unwrap();
    let before = registry.snapshot();
    registry.run("gc", &[]).assert_done();
    assert_eq!(registry.snapshot(), before);
}

/// Whatever somebody put there, it keeps the repository, and with it its lock and what its tags have been; and no sweep
/// says that it went.
#[test]
fn a_repository_with_something_of_somebodys_own_in_it_stays() {
    for own in ["NOTES", "_notes", ".notes", "_blobs/sha256/notes.txt", "_tags/notes/"] {
        let registry = Registry::start();
        let image = push(&registry, "a", "v1", "layer");
        push(&registry, "a/below", "v1", "layer");
        push_about(&registry, "a", "", "signature", Some(&image));
        delete(&registry, "/v2/a/manifests/v1");
        match own.strip_suffix('/') {
            Some(folder) => fs::create_dir(registry.path("repositories/a").join(folder)).unwrap(),
            None => fs::write(registry.path("repositories/a").join(own), "mine").unwrap(),
        }
        let is_to_stay = !own.ends_with('/'); // a folder with nothing in it is nothing
        let flags = ["--grace", "0s", "--untagged"];
        let would = registry.run("gc", &[&flags[..], &["--dry-run"]].concat());
        assert_ne!(
            would.output.contains("goes  repository a: itself"),
            is_to_stay,
            "{own}: {}",
            would.output
        );
        let said = registry.run("gc", &flags);
        let ends = |said: &str, count: u8| said.ends_with(&format!(" {count} empty repositories"));
        assert!(ends(said.assert_done(), u8::from(!is_to_stay)), "{own}: {said:?}");
        assert!(ends(would.summary(), u8::from(!is_to_stay)), "{own}: {}", would.summary());
        for kept in ["_lock", "_history"] {
            assert_eq!(registry.path("repositories/a").join(kept).exists(), is_to_stay, "{own}: {kept}");
        }
        assert!(ends(registry.run("gc", &flags).assert_done(), 0), "{own}");
        assert!(!is_to_stay || registry.path("repositories/a").join(own).exists());
    }
}

#[test]
fn what_is_no_repository_is_left_alone() {
    let registry = Registry::start();
    for folder in ["Upper", ".hidden", "with/notes"] {
        fs::create_dir_all(registry.path("repositories").join(folder)).unwrap();
    }
    fs::write(registry.path("repositories/with/notes/README"), "mine").unwrap();
    let before = registry.snapshot();
    registry.run("gc", &["--grace", "0s"]).assert_done();
    assert_eq!(registry.snapshot(), before);
}

/// Its name leads to itself, which even root cannot read. What a file system keeps for itself is nobody's repository.
#[test]
fn a_folder_that_cannot_be_read_is_named_and_the_others_are_swept() {
    let registry = Registry::start();
    registry.push_blob("a", b"stray");
    registry.push_blob("z", b"another stray");
    let unheld = registry.push_blob("a", b"unheld");
    fs::remove_file(registry.path(&format!("repositories/a/_blobs/{}", unheld.replace(':', "/")))).unwrap();
    for (folder, faults) in [("lost+found", 0), ("loop", 2)] {
        std::os::unix::fs::symlink(folder, registry.path("repositories").join(folder)).unwrap();
        let said = registry.run("gc", &["--grace", "0s", "--dry-run"]);
        assert_eq!(said.errors.lines().count(), faults, "{said:?}");
    }
    let said = registry.run("gc", &["--grace", "0s"]);
    assert_eq!(said.status, Some(1));
    assert!(said.summary().contains("freed 18 bytes: 2 blobs,"), "{said:?}");
    assert!(said.errors.contains("registry: repositories/loop: cannot list "), "{said:?}");
    assert!(
        said.errors.contains("registry: blobs: cannot list "),
        "nobody knows what is held there: {said:?}"
    );
    assert_eq!(registry.link_count(&unheld), 1);
    assert!(!registry.path("repositories/a").exists() && !registry.path("repositories/z").exists());
}

/// The server has seen the folders and knows them for durable; they are others now.
#[test]
fn a_repository_that_went_can_come_again() {
    let registry = Registry::start();
    let location = registry.start_upload("a/b");
    for _ in 0..3 {
        empty(&registry, "a/b");
        registry.run("gc", &[]).assert_done();
        assert!(!registry.path("repositories/a").exists());
        let image = push(&registry, "a/b", "v1", "layer");
        registry.assert_tagged("a/b", "v1", &image.digest, &image.manifest);
        delete(&registry, &format!("/v2/a/b/manifests/{}", image.digest));
        registry.run("gc", &["--grace", "0s"]).assert_done();
        assert!(!registry.path("repositories/a").exists());
    }
    let digest = sha256(b"a session outlives its repository");
    registry.finish(&location, &digest, b"a session outlives its repository").assert(201, &[]);
    registry.assert_holds("a/b", &digest, b"a session outlives its repository");
}

#[test]
fn a_refused_manifest_makes_no_repository() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let before = registry.snapshot();
    for name in ["new", "a/new"] {
        let answer = registry.put_manifest(name, "v1", OCI_MANIFEST, &image.manifest);
        answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
        let mount = format!("/v2/{name}/blobs/uploads/?mount={}", sha256(b"nothing"));
        let answer = registry.send("POST", &mount, &[], b"");
        answer.assert(202, &[]);
        registry.send("DELETE", answer.header("Location").unwrap(), &[], b"").assert(204, &[]);
    }
    assert_eq!(registry.snapshot(), before);
}

/// Does somebody wait for a lock on this file?
fn is_waited_for(file: &File) -> bool {
    let inode = format!(":{} ", file.metadata().unwrap().ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&inode))
}

/// A sweep takes an empty repository away while somebody waits for its lock, and somebody else makes it anew and
/// locks that. Who waited must wait on.
#[test]
fn a_lock_whose_name_is_gone_lets_nobody_in() {
    let registry = Registry::start();
    push(&registry, "a", "v1", "layer");
    let path = registry.path("repositories/a/_lock");
    let old = File::open(&path).unwrap();
    old.lock().unwrap();
    thread::scope(|scope| {
        let pushed = scope.spawn(|| registry.push_blob("a", b"another layer"));
        eventually("the push waits", || is_waited_for(&old));
        fs::rename(&path, registry.path("uploads/moved")).unwrap();
        let new = File::create(&path).unwrap();
        new.lock().unwrap();
        drop(old);
        eventually("it waits for the new lock", || is_waited_for(&new));
        assert_eq!(registry.link_count(&sha256(b"another layer")), 0);
        drop(new);
        assert_eq!(pushed.join().unwrap(), sha256(b"another layer"));
    });
    fs::remove_file(registry.path("uploads/moved")).unwrap();
    registry.assert_holds("a", &sha256(b"another layer"), b"another layer");
}

/// What seemed to go is looked at again when nobody else can write.
#[test]
fn what_is_referred_to_while_a_sweep_waits_stays() {
    let registry = Registry::start();
    let untagged = push(&registry, "a", "", "layer");
    let pushed = push(&registry, "a", "", "pushed layer");
    delete(&registry, &format!("/v2/a/manifests/{}", pushed.digest));
    for (image, flag) in [(&untagged, "--untagged"), (&pushed, "--untagged=false")] {
        let lock = File::open(registry.path("repositories/a/_lock")).unwrap();
        lock.lock_shared().unwrap();
        thread::scope(|scope| {
            let sweep = scope.spawn(|| registry.run("gc", &["--grace", "0s", flag]));
            eventually("the sweep waits", || is_waited_for(&lock));
            let tags = registry.path("repositories/a/_tags"); // by hand: a push would wait
            fs::create_dir_all(&tags).and_then(|()| fs::write(tags.join("v1"), &image.manifest)).unwrap();
            if flag == "--untagged" {
                // What nothing refers to still is another's, and goes.
                drop(lock);
                assert!(sweep.join().unwrap().assert_done().contains(": 2 blobs, 0 manifests,"));
                push(&registry, "a", "v2", "pushed layer");
                delete(&registry, &format!("/v2/a/manifests/{}", pushed.digest));
            } else {
                drop(lock);
                let said = sweep.join().unwrap();
                assert!(said.assert_done().starts_with("freed 0 bytes: 0 blobs, 0 manifests,"), "{said:?}");
            }
        });
        assert_eq!(registry.get("/v2/a/manifests/v1").body, image.manifest);
        registry.get(&format!("/v2/a/blobs/{}", image.layer)).assert(200, &[]);
    }
    registry.assert_sound();
}

/// flock lets those in who share a lock, past one who waits to have it alone: without a turnstile a delete would wait
/// for as long as there is always one more push.
#[test]
fn who_wants_a_repository_alone_comes_before_those_who_come_later() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let pushing = File::open(registry.path("repositories/a/_lock")).unwrap();
    pushing.lock_shared().unwrap();
    thread::scope(|scope| {
        let deleted = scope.spawn(|| delete(&registry, "/v2/a/manifests/v1"));
        eventually("the delete waits", || is_waited_for(&pushing));
        let pushed =
            scope.spawn(|| registry.put_manifest("a", "v2", OCI_MANIFEST, &image.manifest).assert(201, &[]));
        let turn = File::open(registry.path("repositories/a/_turn")).unwrap();
        eventually("the push waits behind it", || is_waited_for(&turn));
        assert!(!registry.path("repositories/a/_tags/v2").exists());
        drop(pushing);
        deleted.join().unwrap();
        pushed.join().unwrap();
    });
    assert_eq!(registry.files("repositories/a/_tags"), ["v2"]);
}
