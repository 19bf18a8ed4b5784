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
mod gzip;
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

use super::Failure;

/// What gzip begins with.
pub const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What the names of other archives end with. A folder of such a name would be a surprise.
const FOREIGN_ENDINGS: &[&str] = &[
    ".tar.zst", ".tzst", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz", ".tar.lz4", ".zip", ".7z", ".rar",
    ".xz", ".bz2", ".zst",
];

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
    ///
    /// # Errors
    /// It is that of an archive which nobody here can write.
    pub fn of(name: &str) -> Result<Option<Self>, Failure> {
        let name = name.to_ascii_lowercase();
        let ends_with = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if ends_with(FOREIGN_ENDINGS) {
            let why = "would be an archive of a kind that is not written; .tar, .tar.gz and .tgz are";
            return Err(Failure::Refused(why.to_owned()));
        }
        let is_gzip = ends_with(&[".tar.gz", ".tgz"]);
        Ok(if ends_with(&[".tar"]) { Some(Self::Plain) } else { is_gzip.then_some(Self::Gzip) })
    }
}
