//! Repository names: `library/hello`.
//!
//! A [`RepositoryName`] can only be made by parsing, so every value of this type is safe to use as a
//! path below `repositories/`: no component is empty, is `..`, or begins with `_`, the letter that
//! marks the store's own folders.

use std::fmt;

use crate::error::Error;

/// The longest repository name, in bytes. The spec tells of clients that limit host and name together
/// to 255; a longer name could never be pulled by them.
pub const NAME_BYTES_MAX: usize = 255;

/// A valid `<name>` of the spec: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, several joined by `/`, at most
/// [`NAME_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`Error::NameInvalid`] (NAME_INVALID) says what the text should have looked like.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() <= NAME_BYTES_MAX && text.split('/').all(is_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::NameInvalid(text.to_owned()))
        }
    }

    /// The name as it stands in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One component: runs of letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let run = rest.iter().take_while(|b| is_alphanumeric(b)).count();
        if run == 0 {
            return false; // empty, or a separator at the start or the end
        }
        rest = &rest[run..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|b| !is_alphanumeric(b)).count();
        match &rest[..separator] {
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|&b| b == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(RepositoryName::parse(text).is_ok(), valid, "{text:?}");
    }

    #[test]
    fn names_follow_the_grammar_of_the_spec() {
        for name in ["a", "hello", "library/hello", "a.b_c__d---e/0", "blobs/uploads", "manifests/tags/list"]
        {
            check(name, true);
        }
        for name in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a._b", "-a", "a-", ".a", "a.", "_a",
            "a/_tags", "..", "../a", "a/../b", "a b", "a\0", "ä", "a%2fb", "a:b", "a\n",
        ] {
            check(name, false);
        }
    }

    #[test]
    fn names_have_a_limit() {
        check(&"a".repeat(NAME_BYTES_MAX), true);
        check(&"a".repeat(NAME_BYTES_MAX + 1), false);
    }
}
