//! Layouts: images in files that other programs read and write. `registry import` and `registry export`.
//!
//! An OCI image layout (image-spec, image-layout.md) is a folder, or a tar of it:
//!
//! ```text
//! layout/
//! ├── oci-layout                   {"imageLayoutVersion": "1.0.0"}
//! ├── index.json                   an image index: what is in here, and which names it has
//! └── blobs/sha256/<hex>           every blob and every manifest
//! ```
//!
//! `docker save` wrote another thing until version 25, with a `manifest.json` at its top; see [`docker`].
//!
//! The way in, each step with a file of its own:
//!
//! 1. [`source`]: a folder or an archive ([`archive`]), as names and bytes. Nothing is ever unpacked.
//! 2. [`contents`]: what is in it, under which names, by digest. [`index`] reads `index.json`, [`docker`] what
//!    `docker save` wrote.
//! 3. [`choose`]: which of it is wanted, and under which tags; [`platform`]: for which platform.
//! 4. [`plan`]: all of that is read, hashed and checked, down to the last layer. Nothing has been written yet.
//! 5. [`import`]: bytes first, names last, by the functions that a push goes through.
//!
//! The way out: [`export`] finds what belongs to an image, [`target`] writes it.

pub mod archive;
pub mod choose;
pub mod contents;
pub mod docker;
pub mod export;
pub mod import;
pub mod index;
pub mod plan;
pub mod platform;
pub mod source;
pub mod target;

use std::fmt;
use std::io::{self, BufReader, Read};

use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, PathError};
use crate::system::process;

/// The file that says that a folder is a layout.
pub const MARK_FILE: &str = "oci-layout";
/// The file that says what is in it.
pub const INDEX_FILE: &str = "index.json";
/// What [`MARK_FILE`] holds. There is one version.
pub const MARK: &str = "{\"imageLayoutVersion\": \"1.0.0\"}";
const VERSION: &str = "1.0.0";

/// The annotation with a manifest's name in a layout: a tag, or a full reference.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Where containerd and buildkit, and by them docker, write the full reference.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The buffer that content is read through.
const BUFFER_BYTES: usize = 256 << 10;

/// Why a layout cannot be read or written, for the one who typed the command.
#[derive(Debug)]
pub enum Failure {
    /// It is not as it should be, or what was asked for is not there: what and where, and what to do about it.
    Refused(String),
    /// The store, or a disk.
    Store(Error),
}

impl Failure {
    /// `place` is a file of the layout.
    fn at(place: &str, why: impl fmt::Display) -> Self {
        Self::Refused(format!("{place}: {why}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(&harmless(why)),
            Self::Store(error) => f.write_str(&harmless(&error.log_text())),
        }
    }
}

/// What is repeated of a layout may hold anything, but gives no orders to a terminal.
fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        Self::Store(error.into())
    }
}

/// Where a layout keeps content.
pub fn blob_file(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// Asked between two steps: an error if somebody wants the program to stop. Then what was begun is cleaned up as after
/// any other error.
fn go_on() -> io::Result<()> {
    if process::is_interrupted() { Err(io::Error::other("interrupted")) } else { Ok(()) }
}

fn stopped(error: io::Error) -> Failure {
    Failure::Refused(error.to_string())
}

/// What ends, also while it is waited for, when somebody wants the program to stop.
struct Interruptible<R>(R);

impl<R: Read> Read for Interruptible<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        go_on()?;
        self.0.read(buffer).or_else(|error| go_on().and(Err(error)))
    }
}

/// Content that is hashed as it is read.
struct Hashed<R> {
    content: R,
    hasher: Hasher,
}

impl<R> Hashed<R> {
    fn new(content: R, algorithm: Algorithm) -> Self {
        Self { content, hasher: Hasher::new(algorithm) }
    }

    /// The digest of what was read so far.
    fn digest(self) -> Digest {
        self.hasher.finish()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        go_on()?;
        let count = self.content.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Reads to the end; the digest and the number of bytes.
fn digest_of(content: &mut dyn Read, algorithm: Algorithm) -> io::Result<(Digest, u64)> {
    let mut hashed = Hashed::new(content, algorithm);
    let mut buffered = BufReader::with_capacity(BUFFER_BYTES, &mut hashed);
    let length = io::copy(&mut buffered, &mut io::sink())?;
    Ok((hashed.digest(), length))
}

/// Reads into memory, which grows with what is there and not with what is said to be; `None` when it is more than
/// `limit` bytes.
fn read_limited(content: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    content.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}
