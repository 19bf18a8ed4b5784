//! Pushes, mounts and deletes while sweeps with no grace at all run without a pause: in two servers, and as a
//! command. A push may be told that a layer is unknown, and begin again. An accepted manifest never loses one.
//!
//! It takes three seconds; `SECONDS=60` in the environment makes it a minute.

use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Image, OCI_MANIFEST, Registry, bytes, eventually, sha256};

const CLIENTS: usize = 4;
/// Some are everybody's, and come and go with all that is in them; the last is a client's own.
const SHARED: [&str; 3] = ["shared", "shared/below", "team/two"];
/// So few layers that everybody pushes the same ones.
const LAYERS: usize = 6;

#[derive(Default)]
struct Counts {
    pushed: AtomicUsize,
    begun_again: AtomicUsize,
    mounted: AtomicUsize,
    deleted: AtomicUsize,
    sweeps: AtomicUsize,
    /// Blobs that sweeps of the command took.
    taken: AtomicUsize,
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn an_accepted_manifest_never_loses_a_layer_to_a_sweep() {
    let flags = ["--gc-interval", "30ms", "--gc-grace", "0s", "--gc-untagged", "--log-level", "error"];
    let registry = Registry::start_with(&flags);
    let beside = registry.start_beside();
    let seconds = env::var("SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let (end, over) = (Instant::now() + Duration::from_secs(seconds), AtomicBool::new(false));
    let counts = Counts::default();
    let accepted: Vec<Accepted> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let server = if number % 2 == 0 { &registry } else { &beside };
                let client = Client {
                    server,
                    counts: &counts,
                    number,
                    random: number as u64 + 1,
                    accepted: Accepted::new(),
                };
                scope.spawn(move || client.run(end))
            })
            .collect();
        scope.spawn(|| sweep_until(&registry, &over, &counts));
        let results: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        over.store(true, Ordering::Relaxed); // also when a client failed
        results.into_iter().map(|result| result.unwrap()).collect()
    });
    for log in [registry.log(), beside.log()] {
        let failed: Vec<&str> = log.lines().filter(|line| line.starts_with("20")).collect(); // the year
        assert_eq!(failed, Vec::<&str>::new());
    }
    // The servers go on sweeping; `verify` would see some of that half done.
    let nothing =
        "freed 0 bytes: 0 blobs, 0 manifests, 0 files that nobody held, 0 upload sessions, 0 leftovers";
    let sweep = || registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done().starts_with(nothing);
    eventually("nothing is left to sweep", || (0..3).all(|_| sweep()));
    let images = check_pulls(&registry, &accepted);
    registry.assert_sound();
    println!("{images} images at the end; {counts:?}");
    let Counts { pushed, mounted, deleted, sweeps, taken, .. } = &counts;
    for (what, counter) in
        [("pushed", pushed), ("mounted", mounted), ("deleted", deleted), ("sweeps", sweeps), ("taken", taken)]
    {
        assert!(counter.load(Ordering::Relaxed) > 0, "nothing was {what}: {counts:?}");
    }
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let get = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} pushed, {} begun again, {} mounted, {} deleted, {} sweeps by the command took {} blobs",
            get(&self.pushed),
            get(&self.begun_again),
            get(&self.mounted),
            get(&self.deleted),
            get(&self.sweeps),
            get(&self.taken)
        )
    }
}

fn sweep_until(registry: &Registry, over: &AtomicBool, counts: &Counts) {
    while !over.load(Ordering::Relaxed) {
        let flags = &["--grace", "0s", "--untagged"][..2 + counts.sweeps.load(Ordering::Relaxed) % 2];
        let said = registry.run("gc", flags);
        let blobs = said.assert_done().split(": ").nth(1).and_then(|rest| rest.split(' ').next());
        counts.taken.fetch_add(blobs.unwrap().parse().unwrap(), Ordering::Relaxed);
        count(&counts.sweeps);
    }
}

/// The image that each tag of each repository shows, as far as its client was told.
type Accepted = BTreeMap<(String, String), (Image, Vec<String>)>;

/// Pulls every image that was accepted and not deleted; says how many.
fn check_pulls(registry: &Registry, accepted: &[Accepted]) -> usize {
    let mut images = 0;
    for ((name, tag), (image, layers)) in accepted.iter().flatten() {
        registry.assert_tagged(name, tag, &image.digest, &image.manifest);
        for digest in layers {
            let answer = registry.get(&format!("/v2/{name}/blobs/{digest}"));
            answer.assert(200, &[]);
            assert_eq!(sha256(&answer.body), *digest, "{name}");
        }
        images += 1;
    }
    images
}

struct Client<'t> {
    server: &'t Registry,
    counts: &'t Counts,
    number: usize,
    random: u64,
    accepted: Accepted,
}

impl Client<'_> {
    fn run(mut self, end: Instant) -> Accepted {
        while Instant::now() < end {
            match self.below(4) {
                0 => self.delete(),
                _ => self.push(),
            }
        }
        self.accepted
    }

    fn below(&mut self, end: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % end
    }

    fn repository(&mut self) -> String {
        match self.below(SHARED.len() + 1) {
            number if number < SHARED.len() => SHARED[number].to_owned(),
            _ => format!("own/{}", self.number),
        }
    }

    /// As clients do: ask for each blob, mount or send what is not there, then the manifest. The tags are this
    /// client's own, a few, so that they move.
    fn push(&mut self) {
        let (name, slot, unique) = (self.repository(), self.below(3), self.below(1 << 30));
        let tag = format!("client{}-{slot}", self.number);
        let layer = bytes(self.below(LAYERS) as u64, 3000);
        let config = format!(r#"{{"client":{},"push":{}}}"#, self.number, unique).into_bytes();
        let digests = [sha256(&config), sha256(&layer)];
        let image = Image::new(&digests[0], config.len(), &digests[1], layer.len());
        // What it showed before may go from now on, and is this client's to forget.
        self.accepted.remove(&(name.clone(), tag.clone()));
        loop {
            for (digest, content) in digests.iter().zip([&config, &layer]) {
                self.bring(&name, digest, content);
            }
            let answer = self.server.put_manifest(&name, &tag, OCI_MANIFEST, &image.manifest);
            if answer.status == 201 {
                break;
            }
            answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
            count(&self.counts.begun_again);
        }
        count(&self.counts.pushed);
        self.accepted.insert((name, tag), (image, digests.into()));
    }

    fn bring(&mut self, name: &str, digest: &str, content: &[u8]) {
        let head = self.server.send("HEAD", &format!("/v2/{name}/blobs/{digest}"), &[], b"");
        if head.status == 200 {
            return;
        }
        assert_eq!(head.status, 404, "{head:?}");
        if self.below(2) == 0 {
            let path = format!("/v2/{name}/blobs/uploads/?mount={digest}");
            let answer = self.server.send("POST", &path, &[], b"");
            if answer.status == 201 {
                return count(&self.counts.mounted);
            }
            answer.assert(202, &[]);
            let location = answer.header("Location").unwrap();
            self.server.finish(location, digest, content).assert(201, &[]);
        } else {
            let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
            self.server.send("POST", &path, &[], content).assert(201, &[]);
        }
    }

    /// An image of one's own, by its tag or by its digest, and sometimes the config that nobody else has.
    fn delete(&mut self) {
        let number = self.below(6);
        let Some(key) = self.accepted.keys().nth(number).cloned() else { return };
        let Some((image, _)) = self.accepted.remove(&key) else { return };
        let (name, tag) = key;
        let reference = if self.below(2) == 0 { tag } else { image.digest.clone() };
        let path = format!("/v2/{name}/manifests/{reference}");
        self.server.send("DELETE", &path, &[], b"").assert(202, &[]);
        if reference == image.digest && self.below(2) == 0 {
            let answer = self.server.send("DELETE", &format!("/v2/{name}/blobs/{}", image.config), &[], b"");
            assert!(matches!(answer.status, 202 | 404), "{answer:?}");
        }
        count(&self.counts.deleted);
    }
}
