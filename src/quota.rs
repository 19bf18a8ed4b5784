//! A quota: of something that costs much there are only so many at a time.

use std::sync::{Condvar, Mutex, PoisonError};

/// How many are taken. For a `static`: whoever has a share may be in any thread.
#[derive(Default)]
pub struct Quota {
    taken: Mutex<usize>,
    returned: Condvar,
}

/// One of them, until it is dropped.
pub struct Share(&'static Quota);

impl Quota {
    /// One of which nothing is taken.
    pub const fn new() -> Self {
        Self { taken: Mutex::new(0), returned: Condvar::new() }
    }

    /// One more, if that makes no more than `most`.
    pub fn take(&'static self, most: usize) -> Option<Share> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (*taken < most).then(|| {
            *taken += 1;
            Share(self)
        })
    }

    /// One more, as soon as that makes no more than `most`.
    pub fn wait(&'static self, most: usize) -> Share {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has_none_left = |taken: &mut usize| *taken >= most;
        let mut taken =
            self.returned.wait_while(taken, has_none_left).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Share(self)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_few_and_come_back() {
        static QUOTA: Quota = Quota::new();
        let (first, second) = (QUOTA.take(2), QUOTA.take(2));
        assert!(first.is_some() && second.is_some() && QUOTA.take(2).is_none());
        let waits = std::thread::spawn(|| QUOTA.wait(2));
        drop(first);
        let third = waits.join().unwrap();
        assert!(QUOTA.take(2).is_none());
        drop((second, third));
        assert!(QUOTA.take(1).is_some());
    }
}
