//! A repair that ends at each of its steps.
//!
//! For every kind of damage, and every k: from its k-th step on, nothing that a repair does to the disk is done any
//! more, as when it is killed there. No content may be gone then, also none by a sweep that would have left it before
//! the repair, no tag may have lost a manifest that it had, and a second repair must come to the same as one that
//! nobody stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use container_registry::digest::{Algorithm, Digest};
use container_registry::manifest::MANIFEST_BYTES_MAX;
use container_registry::store::Store;
use container_registry::verify::{repair, verify};

use crate::acts::Act::{self, Manifest, PushAtOnce, Rot};
use crate::content::thing;
use crate::faults::{listen, stopped_at};
use crate::shown::{ROTTEN, Shown, shown};
use crate::swept::swept;
use crate::{Plan, temporary_folder};

const BEFORE: &[Act] = &[
    PushAtOnce("a", "config"),
    PushAtOnce("a", "layer"),
    Manifest("a", "image", &["v1", "v2"]),
    Manifest("a", "signature", &["s1"]),
    PushAtOnce("b", "config"),
    PushAtOnce("b", "layer"),
    Manifest("b", "image", &["v1"]),
];

/// What is done to the files: its name, and how.
type Damage = (&'static str, fn(&Store));

const DAMAGES: &[Damage] = &[
    ("names under blobs/ are gone", |store| {
        ["layer", "image"].iter().for_each(|name| fs::remove_file(blob(store, name)).expect("a blob"));
    }),
    ("links of repositories are gone", |store| {
        fs::remove_file(held(store, "a/_blobs", "layer")).expect("a link");
        fs::remove_file(held(store, "b/_manifests", "image")).expect("a link");
    }),
    ("links are copies", |store| {
        copy_in_place(&held(store, "a/_blobs", "layer"));
        copy_in_place(&held(store, "b/_manifests", "image"));
    }),
    ("a blob has rotten, and there is a copy", |store| {
        copy_in_place(&held(store, "a/_blobs", "layer"));
        rot(store, "layer");
    }),
    ("a blob has rotten under all its names", |store| rot(store, "layer")),
    ("a manifest has rotten under all its names", |store| rot(store, "image")),
    ("a rotten blob has lost its name under blobs/", |store| {
        rot(store, "config");
        fs::remove_file(blob(store, "config")).expect("a blob");
    }),
    ("names are none, tags point to nowhere, a list has lost an entry", |store| {
        fs::write(store.root().join("blobs/sha256/notes"), b"notes").expect("a file");
        symlink("nowhere", store.root().join("repositories/a/_tags/gone")).expect("a link");
        let list = store.root().join("repositories/a/_referrers/sha256").join(thing("image").digest.hex());
        fs::remove_dir_all(list).expect("a list");
    }),
];

fn blob(store: &Store, name: &str) -> PathBuf {
    store.root().join("blobs/sha256").join(thing(name).digest.hex())
}

fn held(store: &Store, kind: &str, name: &str) -> PathBuf {
    store.root().join("repositories").join(kind).join("sha256").join(thing(name).digest.hex())
}

fn copy_in_place(path: &Path) {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).and_then(|_| fs::rename(&copy, path)).expect("a copy");
    fs::set_permissions(path, Permissions::from_mode(0o444)).expect("a mode");
}

fn rot(store: &Store, name: &'static str) {
    Rot(name).run(store).expect("rot");
}

pub fn run(_: Plan) -> String {
    listen();
    let stops: usize = DAMAGES.iter().map(stop_at_each_step).sum();
    format!("{} kinds of damage, {stops} stops", DAMAGES.len())
}

fn prepared((_, damage): &Damage) -> (tempfile::TempDir, Store) {
    let place = temporary_folder();
    let store = Store::open(place.path()).expect("a store");
    BEFORE.iter().for_each(|act| act.run(&store).expect("what comes before"));
    damage(&store);
    (place, store)
}

fn stop_at_each_step(damage: &Damage) -> usize {
    let (_place, store) = prepared(damage);
    repair(&store, MANIFEST_BYTES_MAX, &mut |_| {}).expect("a repair");
    let (aim, left) = (shown(&store).expect("the state after"), faults(&store));
    let is_left_by_sweeps = {
        let (_place, store) = prepared(damage);
        let contents_before = contents(store.root());
        let _ = swept(&store, false);
        contents(store.root()) == contents_before
    };
    for step in 0.. {
        let when = format!("{}, the repair stopped at step {step}", damage.0);
        let (_place, store) = prepared(damage);
        let (contents_before, shown_before) =
            (contents(store.root()), shown(&store).expect("the state before"));
        let was_stopped = stopped_at(step, || drop(repair(&store, MANIFEST_BYTES_MAX, &mut |_| {})));
        let lost = || -> Vec<_> { contents_before.difference(&contents(store.root())).cloned().collect() };
        assert_eq!(lost(), Vec::<String>::new(), "{when}: content is gone");
        assert_no_worse(&shown_before, &shown(&store).expect("the state between"), &aim, &when);
        if is_left_by_sweeps {
            let _ = swept(&store, false); // which may refuse
            assert_eq!(lost(), Vec::<String>::new(), "{when}, then swept: content is gone");
        }
        repair(&store, MANIFEST_BYTES_MAX, &mut |line| {
            assert!(line.starts_with("repaired: "), "{when}: {line}")
        })
        .expect("a repair");
        assert_eq!(shown(&store).expect("the state at the end"), aim, "{when}, then repaired");
        assert_eq!(faults(&store), left, "{when}, then repaired");
        if !was_stopped {
            return step;
        }
    }
    unreachable!("a repair has an end")
}

/// What was right before and will be at the end is right in between.
fn assert_no_worse(before: &Shown, between: &Shown, aim: &Shown, when: &str) {
    for (key, value) in before.iter().filter(|(key, value)| *value != ROTTEN && aim.get(*key) == Some(*value))
    {
        assert_eq!(between.get(key), Some(value), "{when}: {key}");
    }
}

fn faults(store: &Store) -> BTreeSet<String> {
    verify(store).expect("it can be read").faults
}

/// The digests of all files but those of what tags have been.
fn contents(root: &Path) -> BTreeSet<String> {
    let (mut folders, mut found) = (vec![root.to_owned()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_symlink() || path.ends_with("_history") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let digest = Digest::of(Algorithm::Sha256, &fs::read(&path).expect("bytes"));
                found.insert(path, digest.to_string());
            }
        }
    }
    found.into_values().collect()
}
