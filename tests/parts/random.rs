//! Numbers that look random and follow from a seed.

/// The same numbers for the same seed (xorshift64*).
pub struct Random(u64);

impl Random {
    /// For the seed of a run and the number of a part, a round, a thread within it.
    pub fn new(seed: u64, numbers: &[u64]) -> Self {
        let mixed = numbers.iter().fold(seed, |mixed, number| {
            (mixed ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9)
        });
        let mut random = Self(mixed | 1);
        for _ in 0..8 {
            random.next(); // so that seeds that are near have nothing in common
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number from 0, below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// One of these, if there is any.
    pub fn any<T>(&mut self, choices: impl IntoIterator<Item = T>) -> Option<T> {
        let mut choices: Vec<T> = choices.into_iter().collect();
        if choices.is_empty() { None } else { Some(choices.swap_remove(self.below(choices.len()))) }
    }

    /// Bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
