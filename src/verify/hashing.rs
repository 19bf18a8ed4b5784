//! Many files are hashed at once, and somebody who watches sees how far it is.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::digest::Digest;
use crate::error::Error;
use crate::store::Store;
use crate::store::walk::Named;

/// Hashes all files that are named by a digest, on all cores.
pub(super) fn hash_all<'b>(
    store: &Store,
    blobs: &'b [Named],
) -> Vec<(&'b Named, Result<Option<Digest>, Error>)> {
    let total: u64 = blobs.iter().map(|blob| blob.size).sum();
    let (next, passed, running) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicUsize::new(0));
    let results = Mutex::new(Vec::with_capacity(blobs.len()));
    let worker = || {
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = |bytes| {
                passed.fetch_add(bytes, Ordering::Relaxed);
            };
            let found = match &blob.digest {
                Some(digest) => store.digest_of(&blob.path, digest.algorithm(), &count),
                None => Ok(None),
            };
            results.lock().unwrap_or_else(PoisonError::into_inner).push((blob, found));
        }
        running.fetch_sub(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            running.fetch_add(1, Ordering::Relaxed);
            scope.spawn(worker);
        }
        if std::io::stderr().is_terminal() {
            while running.load(Ordering::Relaxed) > 0 {
                show_progress(passed.load(Ordering::Relaxed), total);
                thread::sleep(Duration::from_millis(100));
            }
            eprint!("\r\x1b[K");
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn show_progress(passed: u64, total: u64) {
    const WIDTH: u64 = 40;
    let filled = passed.saturating_mul(WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
    eprint!("\r[{bar}] {} of {} MiB", passed >> 20, total >> 20);
    let _ = std::io::stderr().flush();
}
