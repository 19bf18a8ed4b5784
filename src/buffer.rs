//! Buffers for bodies: large ones are faster, and of those there are only so many.
//!
//! Thousands of clients may each be amid a body, and take or send as slowly as they are let. With a large buffer for
//! each, a gigabyte would be theirs to fill.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The size of a large buffer: a part of the processor's second cache. Smaller and larger ones measured slower.
pub const LARGE_BYTES: usize = 512 << 10;

/// The size of the others.
const SMALL_BYTES: usize = 32 << 10;

/// How many large ones there are at a time.
const LARGE_MAX: usize = 64;

static LARGE: AtomicUsize = AtomicUsize::new(0);

/// A buffer.
pub struct Buffer {
    bytes: Vec<u8>,
    is_large: bool,
}

impl Buffer {
    /// One for up to `length` bytes in all: as large as is left, but not larger than needed.
    pub fn new(length: u64) -> Self {
        let is_large = length > SMALL_BYTES as u64 && LARGE.fetch_add(1, Ordering::Relaxed) < LARGE_MAX;
        if !is_large && length > SMALL_BYTES as u64 {
            LARGE.fetch_sub(1, Ordering::Relaxed);
        }
        let most = if is_large { LARGE_BYTES } else { SMALL_BYTES };
        let bytes = vec![0; usize::try_from(length).unwrap_or(most).min(most)];
        Self { bytes, is_large }
    }

    /// Is it one of the large ones?
    pub fn is_large(&self) -> bool {
        self.is_large
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.is_large {
            LARGE.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_few_and_come_back() {
        assert_eq!(Buffer::new(10).len(), 10);
        let mut all: Vec<Buffer> = (0..LARGE_MAX).map(|_| Buffer::new(u64::MAX)).collect();
        assert!(all.iter().all(|buffer| buffer.len() == LARGE_BYTES));
        for _ in 0..3 {
            assert_eq!(Buffer::new(u64::MAX).len(), SMALL_BYTES);
        }
        all.pop();
        assert_eq!(Buffer::new(100_000).len(), 100_000);
        assert_eq!(Buffer::new(u64::MAX).len(), LARGE_BYTES);
    }
}
