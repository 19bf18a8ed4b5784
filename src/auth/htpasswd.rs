//! The htpasswd file: a user and the bcrypt hash of their password in each line, as `htpasswd -B` writes them.
//!
//! ```text
//! # empty lines and lines like this one mean nothing
//! alice:$2y$10$vtuMu5Xp3o5At5R/YksiQuAM.Hki/eGcAiwdCwhU26Tg2QjZS9Np2
//! ```
//!
//! Nothing is passed over in silence: a line that could not let its user in is an error, not a user who cannot log
//! in.

use std::collections::HashMap;
use std::fmt;

/// The longest user name, in bytes: what `htpasswd` allows.
pub const USER_BYTES_MAX: usize = 255;

/// The highest cost of a hash, the exponent of its number of rounds: the highest that `htpasswd -C` takes. It
/// is seconds for each password already, and the format goes on to months.
pub const COST_MAX: u32 = 17;

/// The lowest cost that there is.
const COST_MIN: u32 = 4;

/// A bcrypt hash, checked: `$2y$`, two digits of cost, `$`, 22 characters of salt and 31 of hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash(String);

/// Not shown: with it, a password can be guessed at home.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(hidden)")
    }
}

impl Hash {
    /// Reads a hash.
    ///
    /// # Errors
    /// What it is instead, to stand after "alice has". The hash itself is not in it: errors are logged.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_bcrypt = ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix));
        if !is_bcrypt {
            let kind = match text {
                "" => "no password",
                text if text.starts_with("$2x$") => "a bcrypt hash of the faulty kind $2x$",
                text if text.starts_with("$apr1$") || text.starts_with("$1$") => "an MD5 hash",
                text if text.starts_with("{SHA}") => "a SHA-1 hash",
                text if text.starts_with("$5$") => "a SHA-256 hash",
                text if text.starts_with("$6$") => "a SHA-512 hash",
                _ => "a password that is no bcrypt hash",
            };
            return Err(kind.to_owned());
        }
        let cost = text.get(4..6).filter(|cost| cost.bytes().all(|b| b.is_ascii_digit()));
        let cost = cost.and_then(|cost| cost.parse::<u32>().ok());
        match (cost, text.parse::<bcrypt::HashParts>()) {
            (Some(COST_MIN..=COST_MAX), Ok(_)) => Ok(Self(text.to_owned())),
            (Some(cost), Ok(_)) => {
                Err(format!("a bcrypt hash of cost {cost}, which must be from {COST_MIN} to {COST_MAX}"))
            }
            _ => Err("a bcrypt hash that is damaged".to_owned()),
        }
    }

    /// Is it the hash of this password? Takes from a millisecond (cost 4) to seconds (cost 17). As everywhere
    /// with bcrypt, what comes behind the 72nd byte does not count.
    pub fn matches(&self, password: &str) -> bool {
        bcrypt::verify(password, &self.0).unwrap_or(false) // it parsed, so there is nothing left to fail
    }

    /// The hash as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The users of a file and their hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users(Vec<(String, Hash)>); // sorted by name

impl Users {
    /// Reads a file that must be good: every line of it, and not without a user.
    ///
    /// # Errors
    /// What is wrong with it, beginning with the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (users, mistakes) = Self::read(text);
        match mistakes.into_iter().next() {
            Some(first) => Err(first),
            None if users.0.is_empty() => Err("there is no user in it".to_owned()),
            None => Ok(users),
        }
    }

    /// Reads each line for itself: the users of those that can be used, and what is wrong with the others. A user
    /// who is there twice has the password that comes first.
    pub fn read(text: &str) -> (Self, Vec<String>) {
        let (mut users, mut mistakes) = (Vec::new(), Vec::new());
        let mut lines = HashMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parsed = parse_line(line).and_then(|(user, hash)| match lines.get(&user) {
                Some(first) => Err(format!("{user:?} is there already, in line {first}")),
                None => Ok((user, hash)),
            });
            match parsed {
                Ok((user, hash)) => {
                    lines.insert(user.clone(), number);
                    users.push((user, hash));
                }
                Err(why) => mistakes.push(format!("line {number}: {why}")),
            }
        }
        users.sort_unstable_by(|(one, _): &(String, Hash), (other, _)| one.cmp(other));
        (Self(users), mistakes)
    }

    /// The hash of a user's password.
    pub fn get(&self, user: &str) -> Option<&Hash> {
        let found = self.0.binary_search_by(|(name, _)| name.as_str().cmp(user));
        found.ok().map(|at| &self.0[at].1)
    }

    /// The hash of some user or other, the same for the same `seed`. Who is unknown is checked against it in
    /// vain, so that it takes as long as with users there are, also where their hashes differ in cost. `None`:
    /// there are no users.
    pub fn any(&self, seed: u64) -> Option<&Hash> {
        let at = seed.checked_rem(self.0.len() as u64)?;
        self.0.get(usize::try_from(at).ok()?).map(|(_, hash)| hash)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Reads `user:hash`.
fn parse_line(line: &str) -> Result<(String, Hash), String> {
    let Some((user, hash)) = line.split_once(':') else {
        return Err("there is no colon; it should read user:hash".to_owned());
    };
    let is_text = !user.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER);
    if user.is_empty() || user.len() > USER_BYTES_MAX || !is_text {
        let why =
            format!("a user's name is UTF-8, of 1 to {USER_BYTES_MAX} bytes, without control characters");
        return Err(why);
    }
    if matches!(user, "anyone" | "*") {
        return Err(format!("no user can have the name {user:?}, which means others in rules"));
    }
    let hash = Hash::parse(hash)
        .map_err(|kind| format!("{user:?} has {kind}; `htpasswd -B FILE USER` writes what works"))?;
    Ok((user.to_owned(), hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the password `secret`, written by `htpasswd -nbB -C 4`.
    const SECRET: &str = "$2y$04$5oFOUZLywjjKU.ypuUYwUeArGV0y71Un.mlVX8q27n/RioSGYb0ri";

    #[track_caller]
    fn check(text: &str, users: &[&str]) {
        let parsed = Users::parse(&text.replace("HASH", SECRET)).unwrap();
        let names: Vec<&str> = parsed.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, users, "{text:?}");
    }

    #[track_caller]
    fn check_refused(text: &str, why: &str) {
        let error = Users::parse(&text.replace("HASH", SECRET)).unwrap_err();
        assert!(error.starts_with(why), "{text:?}: {error:?}");
        assert!(!error.contains(SECRET), "{error}");
    }

    #[test]
    fn lines_are_users_and_comments_are_not() {
        check("bob:HASH\nalice:HASH", &["alice", "bob"]);
        check("# all of us\n\n  \nalice:HASH  \r\n#bob:HASH\r\n", &["alice"]);
        check("álice@example.org:HASH\nal ice:HASH", &["al ice", "álice@example.org"]);
    }

    #[test]
    fn what_could_let_nobody_in_is_refused_with_its_line() {
        for (hash, kind) in [
            ("", "no password"),
            ("secret", "a password that is no bcrypt hash"),
            ("$apr1$6LkIBGWx$vYyXXFdFjiJ4Fsq1Mgg9n0", "an MD5 hash"),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "a SHA-1 hash"),
            ("$5$abc$def", "a SHA-256 hash"),
            ("$6$abc$def", "a SHA-512 hash"),
            ("rqXexS6ZhobKA", "a password that is no bcrypt hash"),
            (&SECRET.replace("$2y$", "$2x$"), "a bcrypt hash of the faulty kind $2x$"),
            ("$2y$04$tooshort", "a bcrypt hash that is damaged"),
            (&SECRET.replace("$04$", "$+4$"), "a bcrypt hash that is damaged"),
            (&SECRET.replace(['.', '/'], "!"), "a bcrypt hash that is damaged"),
            (&format!("{SECRET}:comment"), "a bcrypt hash that is damaged"),
            (&SECRET.replace("$04$", "$03$"), "a bcrypt hash of cost 3, which must be from 4 to 17"),
            (&SECRET.replace("$04$", "$18$"), "a bcrypt hash of cost 18, which must be from 4 to 17"),
        ] {
            let error = Users::parse(&format!("bob:{SECRET}\nalice:{hash}")).unwrap_err();
            assert!(error.starts_with(&format!("line 2: \"alice\" has {kind};")), "{error}");
            assert!(error.ends_with("what works") && (hash.is_empty() || !error.contains(hash)), "{error}");
        }
        check_refused("\n\nalice", "line 3: there is no colon");
        check_refused(":HASH", "line 1: a user's name is UTF-8, of 1 to 255 bytes");
        check_refused("a\u{fffd}:HASH", "line 1: a user's name is UTF-8");
        check_refused("a\u{1}:HASH", "line 1: a user's name");
        check_refused(&format!("{}:HASH", "a".repeat(256)), "line 1: a user's name");
        check_refused("anyone:HASH", "line 1: no user can have the name \"anyone\"");
        check_refused("*:HASH", "line 1: no user can have the name \"*\"");
        check_refused("alice:HASH\nbob:HASH\nalice:HASH", "line 3: \"alice\" is there already, in line 1");
        check_refused("", "there is no user in it");
        check_refused("# nobody\n", "there is no user in it");
    }

    #[test]
    fn a_password_matches_its_hash_and_no_other() {
        let hash = Hash::parse(SECRET).unwrap();
        assert!(hash.matches("secret"));
        for password in ["", "Secret", "secret ", "secre"] {
            assert!(!hash.matches(password), "{password}");
        }
    }

    #[test]
    fn where_there_is_a_user_there_is_a_hash_to_check_against() {
        let users = Users::parse(&format!("a:{SECRET}\nb:{SECRET}")).unwrap();
        assert_eq!(users.get("c"), None);
        for seed in [0, 1, 2, u64::MAX] {
            assert_eq!(users.any(seed).unwrap().as_str(), SECRET);
            assert_eq!(Users::read("").0.any(seed), None);
        }
    }

    #[test]
    fn a_line_that_cannot_be_used_takes_no_other_with_it() {
        let text = format!("alice:{SECRET}\nbob:secret\ncarol\nalice:{}\ndora:{SECRET}", "x".repeat(60));
        let (users, mistakes) = Users::read(&text);
        let names: Vec<&str> = users.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["alice", "dora"]);
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        let (users, mistakes) = Users::read(&format!("a:{SECRET}\na:{}", SECRET.replace("$2y$", "$2b$")));
        assert_eq!(users.get("a").unwrap().as_str(), SECRET, "the first");
        assert_eq!(mistakes, ["line 2: \"a\" is there already, in line 1"]);
    }

    #[test]
    fn hashes_are_not_shown() {
        assert!(!format!("{:?}", Users::parse(&format!("a:{SECRET}"))).contains("$2y$"));
    }
}
