//! Who is told that something is there while it is swept: at each step of a sweep somebody asks, and at the step at
//! which somebody who asks notes that, a whole sweep runs. Whoever was told yes must find it afterwards.
//!
//! The two take no common lock; what must hold is that each does its step before it looks for the other's
//! ([`container_registry::store::usage`]).

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use container_registry::gc::{self, Options};
use container_registry::name::RepositoryName;
use container_registry::reference::Reference;
use container_registry::store::Store;
use container_registry::store::disk::{Observer, Step};

use crate::acts::Act;
use crate::content::thing;
use crate::shown::assert_sound;
use crate::{Plan, observe, temporary_folder};

/// What a client may be told of: a blob to which nothing refers, and manifests without a tag, the last one signed.
const ASKED: [&str; 3] = ["layer", "next", "image"];

pub fn run(_: Plan) -> String {
    let (mut told, mut refused) = (0, 0);
    let mut asks = 0;
    for asked in ASKED {
        for at in 0.. {
            let Some(was_told) = ask_at_step(asked, at) else { break };
            *(if was_told { &mut told } else { &mut refused }) += 1;
            asks += 1;
        }
        sweep_while_asking(asked);
    }
    assert!(told > 0 && refused > 0, "{told} told, {refused} not");
    observe(None);
    format!(
        "{asks} questions during a sweep, {told} answered with yes; {} sweeps during a question",
        ASKED.len()
    )
}

/// A store in which all is to go, and all is old.
fn prepared(asked: &str) -> (tempfile::TempDir, Store) {
    observe(None);
    let place = temporary_folder();
    let store = Store::open(place.path()).expect("a store");
    let signed = [
        Act::Manifest("a", "image", &[]),
        Act::Manifest("a", "signature", &[]),
        Act::Age("image"),
        Act::Age("signature"),
    ];
    let acts = [
        Act::PushAtOnce("a", "layer"),
        Act::PushAtOnce("a", "config"),
        Act::PushAtOnce("a", "patch"),
        Act::Manifest("a", "next", &[]),
        Act::Age("layer"),
        Act::Age("config"),
        Act::Age("patch"),
        Act::Age("next"),
    ];
    for act in acts.into_iter().chain(signed.into_iter().filter(|_| asked == "image")) {
        act.run(&store).expect("what comes before");
    }
    (place, store)
}

fn sweep(store: &Store) {
    let hour = Duration::from_secs(3600);
    let report = gc::sweep(store, &Options { grace: hour, untagged: true, upload_max_age: hour });
    assert!(report.faults.is_empty(), "{:?}", report.faults);
}

/// Asks as a client does. Says whether the answer is yes.
fn ask(store: &Store, asked: &str) -> bool {
    let (name, digest) = (repository(), thing(asked).digest.clone());
    match asked {
        "layer" => store.open_blob(&name, &digest).is_ok(),
        _ => store.read_manifest(&name, &Reference::Digest(digest)).is_ok(),
    }
}

/// What somebody was told of is there, and with a manifest all that it refers to, and its signature.
fn check(store: &Store, asked: &str, was_told: bool, when: &str) {
    observe(None);
    let here = match asked {
        "layer" => store.has_blob(&repository(), &thing(asked).digest),
        _ => store.has_manifest(&repository(), &thing(asked).digest),
    };
    assert_eq!(here.expect("an answer"), was_told, "{when}: {asked} was there, a client was told");
    let is_signed = store.has_manifest(&repository(), &thing("signature").digest).expect("an answer");
    assert_eq!(is_signed, was_told && asked == "image", "{when}: the signature was there");
    assert_sound(store, when);
}

/// Somebody asks at a step of a sweep. `None`: it has fewer.
fn ask_at_step(asked: &'static str, at: usize) -> Option<bool> {
    let (_place, store) = prepared(asked);
    let answer = Arc::new(Mutex::new(None));
    let (count, asker, given) = (AtomicUsize::new(0), store.clone(), Arc::clone(&answer));
    let is_asking = AtomicBool::new(false);
    let observer: Arc<Observer> = Arc::new(move |_: Step<'_>| {
        let is_own_step = is_asking.load(Ordering::Relaxed);
        if !is_own_step && count.fetch_add(1, Ordering::Relaxed) == at {
            is_asking.store(true, Ordering::Relaxed);
            *given.lock().expect("no panic") = Some(ask(&asker, asked));
            is_asking.store(false, Ordering::Relaxed);
        }
        Ok(())
    });
    observe(Some(observer));
    sweep(&store);
    let was_told = (*answer.lock().expect("no panic"))?;
    check(&store, asked, was_told, &format!("asked for {asked} at step {at} of a sweep"));
    Some(was_told)
}

/// A sweep comes in between opening a file and noting that.
fn sweep_while_asking(asked: &'static str) {
    let (_place, store) = prepared(asked);
    let (sweeper, is_sweeping) = (store.clone(), AtomicBool::new(false));
    let observer: Arc<Observer> = Arc::new(move |step: Step<'_>| {
        if matches!(step, Step::Renew(path) if is_held(path)) && !is_sweeping.swap(true, Ordering::Relaxed) {
            sweep(&sweeper);
        }
        Ok(())
    });
    observe(Some(observer));
    let was_told = ask(&store, asked);
    assert!(!was_told, "it went before this was noted");
    check(&store, asked, was_told, &format!("a sweep while somebody asks for {asked}"));
}

fn is_held(path: &Path) -> bool {
    path.iter().any(|part| part == "repositories")
}

fn repository() -> RepositoryName {
    RepositoryName::parse("a").expect("a name")
}
