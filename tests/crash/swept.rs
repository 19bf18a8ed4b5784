//! Sweeps as they are broken off: how they are started, and what each may show on its way.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::{Duration, SystemTime};

use container_registry::error::Error;
use container_registry::gc::{self, Options};
use container_registry::store::Store;

use crate::content::{name_of, thing};
use crate::shown::Shown;

/// For how long nobody has used what was [aged](age).
const AGE: Duration = Duration::from_secs(2 * 3600);

/// Sweeps what is there, however young. The first thing that could not be done is the error.
pub fn swept(store: &Store, untagged: bool) -> Result<(), Error> {
    let options = Options { grace: Duration::ZERO, untagged, upload_max_age: Duration::ZERO };
    let report = gc::sweep(store, &options);
    report.faults.into_iter().next().map_or(Ok(()), |fault| Err(fault.error))
}

/// Makes content look as if nobody had used it for two hours.
pub fn age(store: &Store, content: &str) {
    let digest = &thing(content).digest;
    let path = store.root().join("blobs").join(digest.algorithm().as_str()).join(digest.hex());
    let file = File::open(path).expect("it was pushed");
    file.set_modified(SystemTime::now() - AGE).expect("a new time");
}

/// The states that a sweep leads through: manifests go one by one, an index before its children, then blobs in any
/// order. One repository, or no manifests.
pub fn states_of_sweep(untagged: bool, from: &Shown) -> Vec<Shown> {
    let manifests = of_kind(from, "manifest");
    let going: Vec<(String, String)> = match untagged {
        true => manifests.iter().filter(|(name, it)| !is_held(from, name, it)).cloned().collect(),
        false => Vec::new(),
    };
    let mut states: Vec<Shown> = subsets(&going)
        .filter(|gone| {
            let is_gone = |it: &str| gone.iter().any(|(_, gone)| gone == it);
            gone.iter().all(|(_, it)| going.iter().all(|(_, index)| !refers(index, it) || is_gone(index)))
        })
        .map(|gone| without(from, "manifest", &gone))
        .collect();
    let after = states.last().cloned().unwrap_or_default();
    let left = of_kind(&after, "manifest");
    let is_stray =
        |(name, blob): &(String, String)| !left.iter().any(|(at, it)| at == name && refers(it, blob));
    let strays: Vec<(String, String)> = of_kind(&after, "blob").into_iter().filter(is_stray).collect();
    states.extend(subsets(&strays).map(|gone| without(&after, "blob", &gone)));
    states
}

/// Repository and content of all entries of a kind.
fn of_kind(shown: &Shown, kind: &str) -> Vec<(String, String)> {
    let parts = shown.keys().filter_map(|key| key.split_once(&format!(" {kind} ")));
    parts.map(|(name, content)| (name.to_owned(), content.to_owned())).collect()
}

/// Is a manifest held by a tag, or by an index or a subject that is?
fn is_held(shown: &Shown, name: &str, manifest: &str) -> bool {
    let mut held: BTreeSet<String> = BTreeSet::new();
    for (key, value) in shown {
        if key.starts_with(&format!("{name} tag ")) {
            held.insert(value.clone());
        }
    }
    loop {
        let more: Vec<String> = of_kind(shown, "manifest").into_iter().map(|(_, it)| it).collect();
        let more = more.into_iter().filter(|it| {
            let subject = thing(it).manifest().subject.map(|subject| name_of(&subject.digest));
            held.iter().any(|holder| refers(holder, it) || subject == Some(holder.as_str()))
        });
        let before = held.len();
        held.extend(more.collect::<Vec<_>>());
        if held.len() == before {
            return held.contains(manifest);
        }
    }
}

/// Does a manifest refer to something, as to a part of it?
fn refers(manifest: &str, content: &str) -> bool {
    thing(manifest).manifest().parts().any(|part| name_of(&part.digest) == content)
}

/// All subsets, the empty one first and the whole last.
fn subsets(all: &[(String, String)]) -> impl Iterator<Item = Vec<(String, String)>> {
    (0..1_u32 << all.len()).map(|subset| {
        let chosen = all.iter().enumerate().filter(|(at, _)| subset & (1 << at) != 0);
        chosen.map(|(_, it)| it.clone()).collect()
    })
}

/// What is shown when these are gone, and with a manifest its entry as a referrer.
fn without(shown: &Shown, kind: &str, gone: &[(String, String)]) -> Shown {
    let mut shown = shown.clone();
    for (name, content) in gone {
        shown.remove(&format!("{name} {kind} {content}"));
        let is_entry = |key: &str| {
            key.starts_with(&format!("{name} referrer ")) && key.ends_with(&format!(" {content}"))
        };
        shown.retain(|key, _| kind != "manifest" || !is_entry(key));
    }
    shown
}
