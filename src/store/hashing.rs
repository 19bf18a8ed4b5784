//! Hashing beside the writing.
//!
//! A large body costs about as much to hash as to receive and to write. Where there is a second core, another
//! thread hashes one buffer while this one fills the next: four buffers go round, so neither waits for the other
//! as long as both are about as fast. Pushing 512 MiB over loopback into memory takes a quarter less time so.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::buffer::LARGE_BYTES;
use crate::digest::Hasher;
use crate::quota::Quota;

/// How many go round.
const BUFFERS: usize = 4;

/// A thread that hashes what it is given, in order.
pub(super) struct Hashing {
    full: SyncSender<Filled>,
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Hasher>,
}

/// These threads, of which there are no more than cores: more would gain nothing.
static RUNNING: Quota = Quota::new();

/// A buffer, the first so many bytes of which are to be hashed.
struct Filled(Vec<u8>, usize);

impl Hashing {
    /// Goes on with `hasher` in a thread. `None` where that would gain nothing, or no thread is to be had.
    pub(super) fn start(mut hasher: Hasher) -> Option<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let running = if cores > 1 { RUNNING.take(cores)? } else { return None };
        let (full, filled) = sync_channel::<Filled>(BUFFERS);
        let (emptied, empty) = sync_channel(BUFFERS);
        for _ in 0..BUFFERS {
            emptied.send(vec![0; LARGE_BYTES]).ok()?;
        }
        let hash = move || {
            for Filled(buffer, count) in filled {
                hasher.update(&buffer[..count]);
                let _ = emptied.send(buffer); // nobody wants it back at the end
            }
            drop(running);
            hasher
        };
        let thread = thread::Builder::new().name("hash".to_owned()).spawn(hash).ok()?;
        Some(Self { full, empty, thread })
    }

    /// A buffer to fill; waits until one is free.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.empty.recv().unwrap_or_else(|_| vec![0; LARGE_BYTES]) // the thread has ended: see `finish`
    }

    /// Has the first `count` bytes of a buffer hashed.
    pub(super) fn hash(&self, buffer: Vec<u8>, count: usize) {
        let _ = self.full.send(Filled(buffer, count));
    }

    /// Waits until all is hashed, and returns the hash so far. `None` if the thread has not lived to do so, which
    /// only a bug can bring about: then the file is there to be hashed again.
    pub(super) fn finish(self) -> Option<Hasher> {
        drop(self.full);
        self.thread.join().ok()
    }
}
