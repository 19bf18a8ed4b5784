//! SIGKILL at random times, under load.
//!
//! Three clients push small images, move tags and mount blobs, over the real program; it is killed in the midst
//! of that and started again over the same files, `ROUNDS` times. After each time `registry verify` must exit
//! with 0, everything that was acknowledged must be there, byte for byte, a tag must show what it was set to last
//! or something that was asked for later, and each session that was left must go on or let itself be cancelled.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::Plan;
use crate::it::harness::{Registry, sha256};
use crate::parts::random::Random;
use crate::pusher::{Promises, Pusher, ask};

const PUSHERS: u64 = 3;
/// How long a server lives at most, in milliseconds after its clients began.
const LIFE_MS: usize = 150;

#[derive(Default)]
struct Count {
    went_on: usize,
    cancelled: usize,
    gone: usize,
}

pub fn run(plan: Plan) -> String {
    let mut registry = Registry::start();
    let (promises, mut count) = (Promises::default(), Count::default());
    let mut random = Random::new(plan.seed, &[]);
    let mut seen = BTreeSet::new();
    for round in 0..plan.rounds as u64 {
        let life = Duration::from_millis(random.below(LIFE_MS) as u64);
        let server = registry.address;
        thread::scope(|scope| {
            for number in 0..PUSHERS {
                let random = Random::new(plan.seed, &[round, number]);
                let pusher = Pusher { server, promises: &promises, random };
                scope.spawn(|| pusher.run());
            }
            thread::sleep(life);
            registry.child().kill().expect("kill");
        });
        assert_verified(registry.path("").as_path());
        registry.kill_and_restart();
        check_sessions(&registry, &promises, &mut random, &mut count);
        check_content(&registry, &promises, &mut seen);
        check_tags(&registry, &promises);
    }
    check_content(&registry, &promises, &mut BTreeSet::new());
    assert_verified(registry.path("").as_path());
    assert_eq!(fs::read_dir(registry.path("uploads")).expect("uploads").count(), 0, "sessions are left");
    let told = promises.told();
    let Count { went_on, cancelled, gone } = count;
    format!(
        "{} kills, {} blobs and {} manifests acknowledged; sessions left: {went_on} went on, {cancelled} \
         cancelled, {gone} were finished",
        plan.rounds,
        told.blobs.len(),
        told.manifests.len()
    )
}

fn assert_verified(root: &Path) {
    let verify = Command::new(env!("CARGO_BIN_EXE_registry")).arg("verify").arg("--root").arg(root).output();
    let verify = verify.expect("registry verify");
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

/// What was acknowledged and is not `seen` yet is there, byte for byte.
fn check_content(registry: &Registry, promises: &Promises, seen: &mut BTreeSet<String>) {
    let told = promises.told();
    let blobs = told.blobs.iter().map(|(name, digest)| (format!("/v2/{name}/blobs/{digest}"), digest));
    let manifests = told.manifests.keys();
    let manifests = manifests.map(|(name, digest)| (format!("/v2/{name}/manifests/{digest}"), digest));
    for (path, digest) in blobs.chain(manifests) {
        if seen.insert(path.clone()) {
            let answer = registry.get(&path);
            assert_eq!(answer.status, 200, "{path} was acknowledged: {answer:?}");
            assert_eq!(sha256(&answer.body), *digest, "{path}");
        }
    }
}

fn check_tags(registry: &Registry, promises: &Promises) {
    for ((name, tag), (possible, must)) in promises.told().tags() {
        let answer = registry.get(&format!("/v2/{name}/manifests/{tag}"));
        match answer.status {
            404 => assert!(!must, "{name}:{tag} was acknowledged"),
            _ => {
                answer.assert(200, &[]);
                let found = sha256(&answer.body);
                assert!(possible.contains(&found), "{name}:{tag} shows {found}, not one of {possible:?}");
            }
        }
    }
}

/// Each session that was left goes on or is cancelled. None is left then.
fn check_sessions(registry: &Registry, promises: &Promises, random: &mut Random, count: &mut Count) {
    let sessions = std::mem::take(&mut promises.told().sessions);
    for (location, (name, bytes)) in sessions {
        let Some(offset) = offset_of(registry, &location) else {
            count.gone += 1; // finished, and its answer lost
            continue;
        };
        if offset == 0 || random.one_in(2) {
            registry.send("DELETE", &location, &[], b"").assert(204, &[]);
            count.cancelled += 1;
            continue;
        }
        let (rest, digest) = (&bytes[offset..], sha256(&bytes));
        if !rest.is_empty() {
            let range = format!("{offset}-{}", bytes.len() - 1);
            registry.send("PATCH", &location, &[("Content-Range", &range)], rest).assert(202, &[]);
        }
        registry.send("PUT", &format!("{location}?digest={digest}"), &[], b"").assert(201, &[]);
        promises.told().blobs.insert((name, digest));
        count.went_on += 1;
    }
    cancel_unknown(registry, count);
}

/// How many bytes a session has, if it is there. Of one byte or none the answer is the same; then it is none.
fn offset_of(registry: &Registry, location: &str) -> Option<usize> {
    let answer = registry.get(location);
    if answer.status == 404 {
        return None;
    }
    answer.assert(204, &[]);
    let last = answer.header("Range").and_then(|range| range.strip_prefix("0-")).expect("a range");
    Some(match last.parse().expect("a number") {
        0 => 0,
        last => last + 1,
    })
}

/// Sessions whose ids no client was told can be cancelled; what is less than a session is only in the way.
fn cancel_unknown(registry: &Registry, count: &mut Count) {
    for entry in fs::read_dir(registry.path("uploads")).expect("uploads") {
        let path = entry.expect("an entry").path();
        let id = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let session = fs::read(path.join("session.json")).unwrap_or_default();
        let session: serde_json::Value = serde_json::from_slice(&session).unwrap_or_default();
        let location = format!("/v2/{}/blobs/uploads/{id}", session["repository"].as_str().unwrap_or("one"));
        let answer = ask(registry.address, "DELETE", &location, &[], b"").expect("an answer");
        match answer.status {
            204 => count.cancelled += 1,
            404 if path.is_dir() => fs::remove_dir_all(&path).expect("it goes"),
            404 => fs::remove_file(&path).expect("it goes"),
            _ => panic!("{location}: {answer:?}"),
        }
    }
}
