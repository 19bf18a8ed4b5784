//! Archives: a layout in one file, tar, perhaps compressed with gzip.
//!
//! An archive is never unpacked. One pass over its headers notes where each file begins and how long it is, and
//! then files are read where they lie, in any order; what is compressed is inflated once, into a file without a
//! name. So there is no path on the disk that an entry could choose.
//!
//! What an entry says is believed as far as it does no harm: its content is held against a digest later. Refused is
//! what different programs would read differently: two files of one name, a name that leads outside.
//!
//! Without the feature `archives` this file is a refusal.

#[cfg(feature = "archives")]
mod read;
#[cfg(feature = "archives")]
mod write;

#[cfg(feature = "archives")]
pub use self::{
    read::{Archive, inflate},
    write::Writer,
};

#[cfg(not(feature = "archives"))]
mod without;

#[cfg(not(feature = "archives"))]
pub use self::without::{Archive, Writer, inflate};

/// What gzip begins with.
pub const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How an archive is to be written, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `.tar`
    Plain,
    /// `.tar.gz`, `.tgz`
    Gzip,
}

impl Form {
    /// The form that a file's name asks for; `None`: it is none of an archive.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if name.ends_with(".tar") {
            Some(Self::Plain)
        } else {
            (name.ends_with(".tar.gz") || name.ends_with(".tgz")).then_some(Self::Gzip)
        }
    }
}
