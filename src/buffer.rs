//! Buffers for bodies: large ones are faster, and of those there are only so many.
//!
//! Thousands of clients may each be amid a body, and take or send as slowly as they are let. With a large buffer for
//! each, a gigabyte would be theirs to fill.

use std::ops::{Deref, DerefMut};

use crate::quota::{Quota, Share};

/// The size of a large buffer: a part of the processor's second cache. Smaller and larger ones measured slower.
pub const LARGE_BYTES: usize = 512 << 10;

/// The size of the others.
const SMALL_BYTES: usize = 32 << 10;

/// How many large ones there are at a time.
const LARGE_MAX: usize = 64;

static LARGE: Quota = Quota::new();

/// Documents and lists of up to so many bytes stay in memory while a client takes or sends them in its own time.
pub const MEMORY_BYTES_MAX: usize = 64 << 10;

/// A buffer.
pub struct Buffer {
    bytes: Vec<u8>,
    large: Option<Share>,
}

impl Buffer {
    /// One for up to `length` bytes in all: as large as is left, but not larger than needed.
    pub fn new(length: u64) -> Self {
        let large = if length > SMALL_BYTES as u64 { LARGE.take(LARGE_MAX) } else { None };
        let most = if large.is_some() { LARGE_BYTES } else { SMALL_BYTES };
        let bytes = vec![0; usize::try_from(length).unwrap_or(most).min(most)];
        Self { bytes, large }
    }

    /// Is it one of the large ones?
    pub fn is_large(&self) -> bool {
        self.large.is_some()
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
