//! The moment in which bytes go because nobody holds them any more: from the look at their link count until they
//! are removed. Who wants them just then waits, and finds them gone; or sends them, and has them.
//!
//! It is too short for the race to hit it by chance. So here the store is used in this process, which stops in
//! that moment ([`container_registry::store::disk::observe`]) while another thread tries.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use container_registry::digest::{Algorithm, Digest};
use container_registry::name::RepositoryName;
use container_registry::store::Store;
use container_registry::store::disk::{self, Step};
use container_registry::verify::verify;

use crate::Plan;

const BYTES: &[u8] = b"wanted until the end";
/// For so long the bytes are kept from going. Whoever does not wait for that is done by then.
const MOMENT: Duration = Duration::from_millis(100);

/// For so long they may take until they begin to go.
const DEADLINE: Duration = Duration::from_secs(10);

/// Somebody who wants the bytes for a repository. Says whether they are there now.
type Attempt = fn(&Store, &RepositoryName, &Digest) -> bool;

/// Where to say that the bytes are about to go, and where it is said that the attempt was made.
type Call = (Sender<()>, Receiver<()>);

const ATTEMPTS: &[(&str, Attempt)] = &[
    ("mount", |store, name, digest| store.mount_blob(name, digest, None).expect("an answer")),
    ("push", |store, name, digest| store.push_blob(name, digest, &mut &*BYTES).is_ok()),
];

pub fn run(_: Plan) -> String {
    let root = tempfile::tempdir().expect("a temporary folder");
    let store = &Store::open(root.path()).expect("a store");
    let digest = &Digest::of(Algorithm::Sha256, BYTES);
    let path = root.path().join("blobs/sha256").join(digest.hex());
    let next: Arc<Mutex<Option<Call>>> = Arc::default();
    let planned = Arc::clone(&next);
    disk::observe(Box::new(move |step| {
        if matches!(step, Step::Rename { from, .. } if from == path)
            && let Some((begin, done)) = planned.lock().expect("nobody panicked here").take()
        {
            begin.send(()).expect("it waits for this");
            let _ = done.recv_timeout(MOMENT); // too early, or waiting as it should
        }
        Ok(())
    }));
    for (what, attempt) in ATTEMPTS {
        let (holder, taker) = (&name("holder"), &name(what));
        store.push_blob(holder, digest, &mut &*BYTES).expect("it is taken");
        let ((begin, begun), (done, is_done)) = (channel(), channel());
        *next.lock().expect("nobody panicked here") = Some((begin, is_done));
        let has_it = thread::scope(|scope| {
            let trying = scope.spawn(move || {
                begun.recv_timeout(DEADLINE).expect("the bytes go");
                let has_it = attempt(store, taker, digest);
                let _ = done.send(());
                has_it
            });
            store.delete_blob(holder, digest).expect("it goes");
            trying.join().expect("an answer")
        });
        assert_eq!(store.has_blob(taker, digest).ok(), Some(has_it), "{what}");
        let report = verify(store).expect("it can be read");
        assert!(report.faults.is_empty() && report.leftovers.is_empty(), "{what}: {report}");
        if has_it {
            store.delete_blob(taker, digest).expect("it goes");
        }
    }
    format!("{} attempts while the bytes go", ATTEMPTS.len())
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).expect("a name")
}
