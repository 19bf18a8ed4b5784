//! Checking passwords: at what price, and how many at a time.
//!
//! bcrypt is slow so that guessing is. That price is paid once for a password that is right, by each who guesses,
//! and by nobody else: guesses are counted and soon refused unpaid, and few passwords are computed at a time, so
//! that pulls go on meanwhile. A user who does not exist costs what one costs who does.

use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::basic::Credentials;
use super::htpasswd::Users;
use super::remembered::{GUESSING_TIME, Guesser, Guessers, Keys, REMEMBERED_TIME, Remembered};
use crate::error::Error;

/// The most passwords that are computed at a time, whatever the number of cores: enough for a fleet that starts
/// all at once, and well below [`GUESSES_MAX`](super::remembered::GUESSES_MAX), which those under way can
/// overshoot.
const COMPUTING_MAX: usize = 4;

/// The most requests that wait for their turn to compute: each keeps its connection's thread. More are told to
/// come back.
const WAITING_MAX: usize = 64;

/// When to come back if too many wait.
const WAITING_PATIENCE: Duration = Duration::from_secs(1);

/// Checks passwords.
pub struct Passwords {
    keys: Keys,
    state: Mutex<State>,
    /// Somebody is done computing.
    done: Condvar,
    computing_max: usize,
}

#[derive(Default)]
struct State {
    right: Remembered,
    wrong: Remembered,
    guessers: Guessers,
    computing: usize,
    waiting: usize,
}

impl Passwords {
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, Error> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let computing_max = cores.min(COMPUTING_MAX);
        Ok(Self { keys: Keys::random()?, state: Mutex::default(), done: Condvar::new(), computing_max })
    }

    /// Is this the password of one of these users?
    ///
    /// # Errors
    /// [`Error::TooManyGuesses`] when it was not looked at: whoever is at `peer` was wrong too often, or too many
    /// are being looked at.
    pub fn check(&self, users: &Users, given: &Credentials, peer: IpAddr) -> Result<bool, Error> {
        let known = users.get(&given.user);
        let Some(hash) = known.or_else(|| users.any(self.seed(&given.user))) else {
            return Ok(false); // there are no users
        };
        let key = self.keys.key(&[&given.user, &given.password, hash.as_str()]);
        let guesser = Guesser::new(&self.keys, peer, &given.user);
        let guess = guesser.guess(&self.keys, &key);

        let mut state = self.lock();
        loop {
            let now = Instant::now();
            // Who is unknown has the hash of another, and so perhaps the key under which they were known.
            if known.is_some() && state.right.holds(&key, now) {
                return Ok(true);
            }
            if state.wrong.holds(&guess, now) {
                return Ok(false);
            }
            if let Some(wait) = state.guessers.must_wait(&guesser, now) {
                return Err(Error::TooManyGuesses { wait });
            }
            if state.computing < self.computing_max {
                break;
            }
            if state.waiting >= WAITING_MAX {
                return Err(Error::TooManyGuesses { wait: WAITING_PATIENCE });
            }
            // Afterwards all is asked again: another request may have brought the same password.
            state.waiting += 1;
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.computing += 1;
        drop(state);

        let is_right = hash.matches(&given.password) && known.is_some();

        let (mut state, now) = (self.lock(), Instant::now());
        state.computing -= 1;
        if is_right {
            state.right.insert(key, now, REMEMBERED_TIME);
        } else if !state.wrong.holds(&guess, now) {
            state.wrong.insert(guess, now, GUESSING_TIME);
            state.guessers.count(&guesser, now);
        }
        self.done.notify_all();
        Ok(is_right)
    }

    /// A number for a name, the same as long as the process lives.
    fn seed(&self, user: &str) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.keys.key(&[user]);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::remembered::GUESSES_MAX;
    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn users(passwords: &[(&str, &str)], cost: u32) -> Users {
        let line = |(user, password)| format!("{user}:{}\n", bcrypt::hash(password, cost).unwrap());
        Users::parse(&passwords.iter().copied().map(line).collect::<String>()).unwrap()
    }

    fn check(passwords: &Passwords, users: &Users, user: &str, password: &str) -> Option<bool> {
        let given = Credentials { user: user.to_owned(), password: password.to_owned() };
        match passwords.check(users, &given, PEER) {
            Ok(is_right) => Some(is_right),
            Err(Error::TooManyGuesses { .. }) => None,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn only_the_password_of_the_user_is_right() {
        let (passwords, users) = (Passwords::new().unwrap(), users(&[("alice", "a"), ("bob", "b")], 4));
        assert_eq!(check(&passwords, &users, "alice", "a"), Some(true));
        assert_eq!(check(&passwords, &users, "bob", "b"), Some(true));
        for _ in 0..2 {
            assert_eq!(check(&passwords, &users, "alice", "b"), Some(false));
            assert_eq!(check(&passwords, &users, "carol", "a"), Some(false), "though it is that of another");
            assert_eq!(check(&passwords, &users, "carol", "b"), Some(false));
        }
    }

    #[test]
    fn a_password_is_forgotten_with_its_hash() {
        let passwords = Passwords::new().unwrap();
        let (before, after) = (users(&[("alice", "a"), ("bob", "b")], 4), users(&[("alice", "new")], 4));
        assert_eq!(check(&passwords, &before, "alice", "a"), Some(true));
        assert_eq!(check(&passwords, &before, "bob", "b"), Some(true));
        assert_eq!(check(&passwords, &after, "alice", "a"), Some(false));
        assert_eq!(check(&passwords, &after, "alice", "new"), Some(true));
        assert_eq!(check(&passwords, &after, "bob", "b"), Some(false));
    }

    /// The hash that an unknown user is checked against may be the very one that they had.
    #[test]
    fn a_password_is_forgotten_with_its_user_though_another_has_their_hash() {
        let passwords = Passwords::new().unwrap();
        let hash = bcrypt::hash("a", 4).unwrap();
        let users = |name: &str| Users::parse(&format!("{name}:{hash}")).unwrap();
        assert_eq!(check(&passwords, &users("alice"), "alice", "a"), Some(true));
        assert_eq!(check(&passwords, &users("alicia"), "alice", "a"), Some(false));
        assert_eq!(check(&passwords, &users("alicia"), "alicia", "a"), Some(true));
    }

    #[test]
    fn a_password_is_forgotten_with_the_last_user() {
        let passwords = Passwords::new().unwrap();
        assert_eq!(check(&passwords, &users(&[("alice", "a")], 4), "alice", "a"), Some(true));
        assert_eq!(check(&passwords, &Users::read("").0, "alice", "a"), Some(false));
    }

    #[test]
    fn who_guesses_too_often_is_not_listened_to() {
        let (passwords, users) = (Passwords::new().unwrap(), users(&[("alice", "a"), ("bob", "b")], 4));
        assert_eq!(check(&passwords, &users, "alice", "a"), Some(true));
        for user in ["alice", "bob", "carol"] {
            for guess in 0..GUESSES_MAX {
                assert_eq!(check(&passwords, &users, user, &guess.to_string()), Some(false), "{user}");
            }
            assert_eq!(check(&passwords, &users, user, "x"), None, "{user}");
            assert_eq!(check(&passwords, &users, user, "3"), Some(false), "it is known to be wrong");
        }
        assert_eq!(check(&passwords, &users, "alice", "a"), Some(true), "a remembered password still counts");
        assert_eq!(check(&passwords, &users, "bob", "b"), None, "another one does not, right or wrong");
    }

    #[test]
    fn many_requests_with_one_password_compute_it_once_or_twice() {
        let (passwords, users) = (Passwords::new().unwrap(), users(&[("alice", "a")], 8));
        thread::scope(|scope| {
            for _ in 0..WAITING_MAX {
                scope.spawn(|| assert_eq!(check(&passwords, &users, "alice", "a"), Some(true)));
            }
        });
        let state = passwords.lock();
        assert_eq!((state.computing, state.waiting), (0, 0));
    }
}
