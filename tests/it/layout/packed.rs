//! Archives made by hand, so that each can be wrong in one point.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::made::Made;

/// Compresses a file; returns the other's path.
pub fn gzip(path: &Path) -> PathBuf {
    let compressed = path.with_extension("tar.gz");
    let mut out =
        flate2::write::GzEncoder::new(File::create(&compressed).unwrap(), flate2::Compression::fast());
    out.write_all(&fs::read(path).unwrap()).unwrap();
    out.finish().unwrap();
    compressed
}

/// An archive made entry by entry.
pub struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds a file under a name that need not be a good one.
    pub fn file(&mut self, name: &str, content: &[u8]) -> &mut Self {
        self.entry(tar::EntryType::Regular, name, "", content.len() as u64, content)
    }

    pub fn symlink(&mut self, name: &str, target: &str) -> &mut Self {
        self.entry(tar::EntryType::Symlink, name, target, 0, b"")
    }

    /// Adds an entry whose size is what it says, whatever its content.
    pub fn entry(
        &mut self,
        kind: tar::EntryType,
        name: &str,
        target: &str,
        size: u64,
        content: &[u8],
    ) -> &mut Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(size);
        // The crate refuses names like `../x`: so they are written by hand.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    /// The files of a layout, but for those that are left out.
    pub fn layout(&mut self, made: &Made, without: &[&str]) -> &mut Self {
        for name in ["oci-layout", "index.json"].into_iter().filter(|name| !without.contains(name)) {
            self.file(name, &fs::read(made.path(name)).unwrap());
        }
        for entry in fs::read_dir(made.path("blobs/sha256")).unwrap() {
            let entry = entry.unwrap();
            let name = format!("blobs/sha256/{}", entry.file_name().to_str().unwrap());
            if !without.contains(&name.as_str()) {
                self.file(&name, &fs::read(entry.path()).unwrap());
            }
        }
        self
    }

    pub fn bytes(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.0, tar::Builder::new(Vec::new())).into_inner().unwrap()
    }
}
