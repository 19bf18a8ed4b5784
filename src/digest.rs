//! Digests: `sha256:9f86d0…`, the name that content gives itself.
//!
//! [`Digest`] is a parsed name, [`Hasher`] computes one while bytes pass by. The state of a running hash
//! can be saved and taken up again, so an upload that pauses between requests is never read twice.

use std::fmt;

use sha2::Digest as _;
use sha2::digest::common::hazmat::SerializableState;

use crate::error::Error;

/// The hash functions of the OCI image spec ("registered algorithms") that a registry must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256: what everybody uses.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// All of them, in the order their folders are listed.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Parses `sha256` or `sha512`.
    ///
    /// # Errors
    /// [`Error::AlgorithmUnknown`] (DIGEST_INVALID).
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| Error::AlgorithmUnknown(text.to_owned()))
    }

    /// The name in front of the colon, and of the folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits follow the colon.
    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A digest: algorithm, colon, lower-case hexadecimal digits of the right number. One constructor that
/// checks, so [`Digest::hex`] is always safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// Parses `algorithm:hex`.
    ///
    /// # Errors
    /// [`Error::DigestInvalid`] or [`Error::AlgorithmUnknown`] (both DIGEST_INVALID).
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (algorithm, hex) =
            text.split_once(':').ok_or_else(|| Error::DigestInvalid { given: text.to_owned() })?;
        Self::from_parts(Algorithm::parse(algorithm)?, hex)
    }

    /// Puts a digest together from the names of its folder and its file.
    ///
    /// # Errors
    /// [`Error::DigestInvalid`] when `hex` is not as many lower-case digits as the algorithm has.
    pub fn from_parts(algorithm: Algorithm, hex: &str) -> Result<Self, Error> {
        let valid =
            hex.len() == algorithm.hex_len() && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self { algorithm, hex: hex.to_owned() })
        } else {
            Err(Error::DigestInvalid { given: format!("{algorithm}:{hex}") })
        }
    }

    /// The digest of `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The part before the colon.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part after the colon.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

/// A hash in the making.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Starts a hash over nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Which algorithm it computes.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of all that was taken in.
    pub fn finish(self) -> Digest {
        let algorithm = self.algorithm();
        let hex = match self.0 {
            State::Sha256(hash) => to_hex(&hash.finalize()),
            State::Sha512(hash) => to_hex(&hash.finalize()),
        };
        Digest { algorithm, hex }
    }

    /// The state as text, for [`Hasher::resume`]. It is about 100 bytes (SHA-256) or 210 (SHA-512), in
    /// hexadecimal, whatever has been hashed.
    pub fn save(&self) -> String {
        match &self.0 {
            State::Sha256(hash) => to_hex(&hash.serialize()),
            State::Sha512(hash) => to_hex(&hash.serialize()),
        }
    }

    /// Takes up a saved state, or tells with `None` that the text is not one: then the bytes must be
    /// hashed from the start.
    pub fn resume(algorithm: Algorithm, saved: &str) -> Option<Self> {
        let bytes = from_hex(saved)?;
        Some(Self(match algorithm {
            Algorithm::Sha256 => {
                State::Sha256(sha2::Sha256::deserialize(&bytes.as_slice().try_into().ok()?).ok()?)
            }
            Algorithm::Sha512 => {
                State::Sha512(sha2::Sha512::deserialize(&bytes.as_slice().try_into().ok()?).ok()?)
            }
        }))
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_parse_and_print_back() {
        assert_eq!(Digest::parse(EMPTY).unwrap().to_string(), EMPTY);
        assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY);
        let long = Digest::of(Algorithm::Sha512, b"abc");
        assert!(long.hex().starts_with("ddaf35a193617aba"), "{long}");
        assert_eq!(Digest::parse(&long.to_string()).unwrap(), long);
    }

    #[test]
    fn what_is_not_a_digest_is_refused() {
        for text in
            ["", "sha256", "sha256:", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "../x:y", ":"]
        {
            assert!(Digest::parse(text).is_err(), "{text:?}");
        }
        assert!(Digest::parse(&EMPTY.to_uppercase()).is_err());
        assert!(Digest::parse(&EMPTY.replace('e', "E")).is_err(), "digits are lower case");
        assert!(Digest::parse(&format!("{EMPTY}0")).is_err());
        assert!(Digest::parse(&EMPTY.replace("sha256", "sha512")).is_err());
    }

    #[test]
    fn a_saved_hash_goes_on_where_it_stopped() {
        for algorithm in Algorithm::ALL {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(&[b'x'; 1000]);
            let mut resumed = Hasher::resume(algorithm, &hasher.save()).unwrap();
            resumed.update(&[b'x'; 77]);
            assert_eq!(resumed.finish(), Digest::of(algorithm, &[b'x'; 1077]));
        }
        assert!(Hasher::resume(Algorithm::Sha256, "zz").is_none());
        assert!(Hasher::resume(Algorithm::Sha256, "00").is_none());
    }
}
