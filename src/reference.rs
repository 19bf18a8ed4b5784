//! What can stand at the end of a URL: a tag, a tag or digest, an upload session's id.
//!
//! Like [`RepositoryName`](crate::name::RepositoryName), each type has one constructor that checks, and
//! so each value is safe to use as a file name.

use std::fmt;

use crate::digest::Digest;
use crate::error::Error;

/// The longest tag, in bytes, as the spec has it.
pub const TAG_BYTES_MAX: usize = 128;

/// A valid tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. It cannot begin with a dot, so the store's
/// temporary names (`.new-…`) are out of its reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    /// [`Error::TagInvalid`] (MANIFEST_INVALID).
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let valid = text.len() <= TAG_BYTES_MAX
            && text.bytes().next().is_some_and(is_word)
            && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
        if valid { Ok(Self(text.to_owned())) } else { Err(Error::TagInvalid(text.to_owned())) }
    }

    /// The tag as it stands in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `<tag-or-digest>`: how a manifest is named in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By a name that can move.
    Tag(Tag),
    /// By its content.
    Digest(Digest),
}

impl Reference {
    /// Parses a reference. What has a colon can only be meant as a digest.
    ///
    /// # Errors
    /// [`Error::DigestInvalid`] or [`Error::TagInvalid`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.contains(':') {
            Digest::parse(text).map(Self::Digest)
        } else {
            Tag::parse(text).map(Self::Tag)
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// The id of an upload session: a version 4 UUID, as the spec asks, from the system's random numbers.
/// Whoever knows it may continue the upload, so it must not be guessable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// Makes a new id.
    ///
    /// # Errors
    /// [`Error::Random`] when the system gives no random numbers.
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|e| Error::Random(e.to_string()))?;
        bytes[6] = bytes[6] & 0x0f | 0x40; // version 4: random
        bytes[8] = bytes[8] & 0x3f | 0x80; // the variant of RFC 9562
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])))
    }

    /// Parses an id: 8-4-4-4-12 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`] (BLOB_UPLOAD_UNKNOWN): what is not an id of ours names no session.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let valid = text.len() == 36
            && text.bytes().enumerate().all(|(at, b)| match at {
                8 | 13 | 18 | 23 => b == b'-',
                _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
            });
        if valid { Ok(Self(text.to_owned())) } else { Err(Error::UploadUnknown(text.to_owned())) }
    }

    /// The id as it stands in a URL and as a folder under `uploads/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_grammar_of_the_spec() {
        for tag in ["latest", "v1.0_rc-1", "_", "A", "0", &"x".repeat(TAG_BYTES_MAX)] {
            assert!(Tag::parse(tag).is_ok(), "{tag:?}");
        }
        for tag in ["", ".a", "-a", "a/b", "a b", "a\r\nb", "ä", "a:b", "..", &"x".repeat(TAG_BYTES_MAX + 1)]
        {
            assert!(Tag::parse(tag).is_err(), "{tag:?}");
        }
    }

    #[test]
    fn a_colon_makes_a_reference_a_digest() {
        assert!(matches!(Reference::parse("latest"), Ok(Reference::Tag(_))));
        let digest = format!("sha256:{}", "0".repeat(64));
        assert!(matches!(Reference::parse(&digest), Ok(Reference::Digest(_))));
        assert!(matches!(Reference::parse("sha256:abc"), Err(Error::DigestInvalid { .. })));
    }

    #[test]
    fn upload_ids_are_random_and_parse_back() {
        let (one, two) = (UploadId::random().unwrap(), UploadId::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(UploadId::parse(one.as_str()).unwrap(), one);
        for id in ["", "..", "00000000-0000-4000-8000-00000000000G", "00000000000040008000000000000000"] {
            assert!(UploadId::parse(id).is_err(), "{id:?}");
        }
    }
}
