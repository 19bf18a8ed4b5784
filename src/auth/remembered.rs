//! What is remembered of passwords, for a while: that one was right, that one was wrong, and how often somebody was
//! wrong.
//!
//! Neither a password nor a name is kept: what stands for them is a [`Key`], a hash that begins with random
//! bytes of this process, worth nothing to anyone who might come to read the memory later.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::error::Error;

/// How long a password that was right need not be computed again. A pull is a dozen requests within seconds,
/// and a build comes back within minutes. A user who is removed, or has a new password, is not remembered.
pub const REMEMBERED_TIME: Duration = Duration::from_secs(5 * 60);

/// The most passwords that are remembered, each for about a hundred bytes.
pub const REMEMBERED_MAX: usize = 10_000;

/// How long wrong passwords count, from the first one on.
pub const GUESSING_TIME: Duration = Duration::from_secs(60);

/// How many wrong passwords for one user may come from one address in that time. More than anybody mistypes, and
/// at this rate five digits last a week. The same one again is no other guess: containerd sends a wrong password
/// five times for each pull, and a node that was given an old one would shut out all that have the new one there.
pub const GUESSES_MAX: u32 = 10;

/// How many may come from one address for all users together. A whole office or a proxy may stand behind it,
/// but nobody needs a hundred.
pub const GUESSES_OF_ADDRESS_MAX: u32 = 100;

/// The most guessers that are counted, each for about a hundred bytes.
pub const GUESSERS_MAX: usize = 10_000;

/// Stands for something that should not lie about in memory.
pub type Key = [u8; 32];

/// Makes keys that no other process makes.
pub struct Keys([u8; 32]);

impl Keys {
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// The key of these texts. Each goes in with its length, so that `ab`, `c` is not `a`, `bc`.
    pub fn key<T: AsRef<[u8]>>(&self, texts: &[T]) -> Key {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        for text in texts.iter().map(AsRef::as_ref) {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        hasher.finalize().into()
    }
}

/// The passwords that were right, or those that were wrong.
#[derive(Default)]
pub struct Remembered(HashMap<Key, Instant>); // until when

impl Remembered {
    /// Is it one of them, from a short time ago?
    pub fn holds(&self, key: &Key, now: Instant) -> bool {
        self.0.get(key).is_some_and(|until| now < *until)
    }

    /// It is, from now on, for so long.
    pub fn insert(&mut self, key: Key, now: Instant, time: Duration) {
        make_room(&mut self.0, &key, REMEMBERED_MAX, |until| *until, now);
        self.0.insert(key, now + time);
    }
}

/// Those who were wrong.
#[derive(Default)]
pub struct Guessers(HashMap<Key, Guesses>);

struct Guesses {
    count: u32,
    until: Instant,
}

/// Who guesses: an address, alone and together with the user it guesses at.
#[derive(Clone, Copy)]
pub struct Guesser {
    address: Key,
    user: Key,
}

impl Guesser {
    /// An IPv6 address counts without its second half, which whoever has one can choose at will.
    pub fn new(keys: &Keys, address: IpAddr, user: &str) -> Self {
        let address = match address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).to_string(),
        };
        Self { address: keys.key(&[&address]), user: keys.key(&[address.as_str(), user]) }
    }

    /// This guess of theirs, where `key` is that of the password. What somebody else has guessed is not theirs: how
    /// fast it is refused would tell them of it.
    pub fn guess(&self, keys: &Keys, key: &Key) -> Key {
        keys.key(&[&self.user, key])
    }
}

impl Guessers {
    /// How long they must wait for their next guess, if they must.
    pub fn must_wait(&self, guesser: &Guesser, now: Instant) -> Option<Duration> {
        let limits = [(guesser.address, GUESSES_OF_ADDRESS_MAX), (guesser.user, GUESSES_MAX)];
        let waits = limits.iter().filter_map(|(key, max)| {
            let guesses = self.0.get(key).filter(|guesses| guesses.count >= *max)?;
            guesses.until.checked_duration_since(now).filter(|wait| !wait.is_zero())
        });
        waits.max()
    }

    /// They were wrong.
    pub fn count(&mut self, guesser: &Guesser, now: Instant) {
        for key in [guesser.address, guesser.user] {
            make_room(&mut self.0, &key, GUESSERS_MAX, |guesses| guesses.until, now);
            let fresh = || Guesses { count: 0, until: now + GUESSING_TIME };
            let guesses = self.0.entry(key).or_insert_with(fresh);
            if guesses.until <= now {
                *guesses = fresh();
            }
            guesses.count = guesses.count.saturating_add(1);
        }
    }
}

/// Makes room for a key in a table that is full: what is over goes, and if that is not enough, what is over
/// next.
fn make_room<T>(
    table: &mut HashMap<Key, T>,
    key: &Key,
    max: usize,
    until: impl Fn(&T) -> Instant,
    now: Instant,
) {
    if table.len() < max || table.contains_key(key) {
        return;
    }
    table.retain(|_, entry| now < until(entry));
    if table.len() >= max
        && let Some(first) = table.iter().min_by_key(|(_, entry)| until(entry)).map(|(key, _)| *key)
    {
        table.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn guesser(address: &str, user: &str) -> Guesser {
        Guesser::new(&Keys([7; 32]), address.parse().unwrap(), user)
    }

    #[test]
    fn a_password_is_remembered_for_its_time() {
        let (mut remembered, start) = (Remembered::default(), Instant::now());
        assert!(!remembered.holds(&[1; 32], start));
        remembered.insert([1; 32], start, REMEMBERED_TIME);
        assert!(remembered.holds(&[1; 32], start + REMEMBERED_TIME - SECOND));
        assert!(!remembered.holds(&[2; 32], start));
        assert!(!remembered.holds(&[1; 32], start + REMEMBERED_TIME));
    }

    #[test]
    fn keys_tell_texts_and_processes_apart() {
        let keys = Keys([7; 32]);
        assert_eq!(keys.key(&["a", "b"]), keys.key(&["a", "b"]));
        assert_ne!(keys.key(&["ab", "c"]), keys.key(&["a", "bc"]));
        assert_ne!(keys.key(&["a"]), keys.key(&["a", ""]));
        assert_ne!(keys.key(&["a"]), Keys([8; 32]).key(&["a"]));
    }

    #[test]
    fn guesses_at_one_user_from_one_address_have_a_limit() {
        let (mut guessers, start) = (Guessers::default(), Instant::now());
        for count in 0..GUESSES_MAX {
            assert_eq!(guessers.must_wait(&guesser("10.0.0.1", "alice"), start), None, "{count}");
            guessers.count(&guesser("10.0.0.1", "alice"), start);
        }
        let later = start + 20 * SECOND;
        assert_eq!(guessers.must_wait(&guesser("10.0.0.1", "alice"), later), Some(40 * SECOND));
        assert_eq!(guessers.must_wait(&guesser("::ffff:10.0.0.1", "alice"), later), Some(40 * SECOND));
        assert_eq!(guessers.must_wait(&guesser("10.0.0.1", "bob"), later), None);
        assert_eq!(guessers.must_wait(&guesser("10.0.0.2", "alice"), later), None);

        let over = start + GUESSING_TIME;
        assert_eq!(guessers.must_wait(&guesser("10.0.0.1", "alice"), over), None);
        guessers.count(&guesser("10.0.0.1", "alice"), over);
        assert_eq!(guessers.must_wait(&guesser("10.0.0.1", "alice"), over), None, "it begins anew");
    }

    #[test]
    fn guesses_at_many_users_from_one_address_have_a_limit() {
        let (mut guessers, start) = (Guessers::default(), Instant::now());
        for count in 0..GUESSES_OF_ADDRESS_MAX {
            let guesser = guesser(&format!("2001:db8::{count:x}"), &format!("user{count}"));
            assert_eq!(guessers.must_wait(&guesser, start), None, "{count}");
            guessers.count(&guesser, start);
        }
        assert_eq!(guessers.must_wait(&guesser("2001:db8::ffff", "alice"), start), Some(GUESSING_TIME));
        assert_eq!(guessers.must_wait(&guesser("2001:db8:0:1::1", "alice"), start), None);
    }

    #[test]
    fn the_tables_have_a_limit() {
        let (mut guessers, mut remembered) = (Guessers::default(), Remembered::default());
        let keys = Keys([7; 32]);
        let start = Instant::now();
        for count in 0..REMEMBERED_MAX.max(GUESSERS_MAX) + 10 {
            let now = start + SECOND / 1000 * u32::try_from(count).unwrap();
            remembered.insert(keys.key(&[&count.to_string()]), now, REMEMBERED_TIME);
            guessers.count(&guesser("10.0.0.1", &count.to_string()), now);
        }
        assert!(remembered.0.len() <= REMEMBERED_MAX && guessers.0.len() <= GUESSERS_MAX);
        assert!(!remembered.holds(&keys.key(&["0"]), start), "the oldest goes first");
        assert!(remembered.holds(&keys.key(&["10000"]), start));
    }
}
