//! `registry du`: which bytes come back when a repository goes, and which do not because others hold them too.
//!
//! Nothing is counted that is not on disk. It is holders that count, not links: an exported layout that is linked to the
//! registry's files is no repository. It only looks.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::digest::Digest;
use crate::error::Error;
use crate::name::RepositoryName;
use crate::store::Store;
use crate::store::walk::{FileId, Kind, Named};

/// The bytes of a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Those that it alone holds.
    pub alone: u64,
    /// Those that others hold, too.
    pub shared: u64,
}

/// All there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Repositories.
    pub repositories: u64,
    /// Files under `blobs/`.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, the bytes that no repository holds. They may have a name in an exported layout.
    pub unheld: u64,
    /// The bytes below `uploads/`.
    pub uploads: u64,
}

/// Two columns of bytes, and a name.
pub const HEAD: &str = "          alone          shared  repository\n";

/// The line of a repository.
pub fn line(name: &RepositoryName, usage: Usage) -> String {
    format!("{:>15} {:>15}  {name}\n", usage.alone, usage.shared)
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repositories, blobs, bytes, unheld, uploads } = self;
        writeln!(
            f,
            "{blobs} blobs of {bytes} bytes in {repositories} repositories; {unheld} bytes that nobody holds, \
             {uploads} in uploads"
        )
    }
}

/// Measures a store. `show` is told of each repository, in the order of their names.
///
/// # Errors
/// A folder that cannot be read, for any other reason than its absence.
pub fn measure(store: &Store, show: &mut dyn FnMut(&RepositoryName, Usage)) -> Result<Total, Error> {
    let mut names = store.all_repositories()?;
    names.sort();
    let holders = Holders::of(store, &names)?;
    names.iter().zip(&holders.usages).for_each(|(name, usage)| show(name, *usage));
    let (blobs, bytes) = (Cell::new(0), Cell::new(0));
    let strays = store.all_blobs_if(&|file| {
        blobs.set(blobs.get() + 1);
        bytes.set(bytes.get() + file.len());
        !holders.by_file.contains_key(&FileId::of(file)) // the others are counted, and may be too many for a list
    })?;
    Ok(Total {
        repositories: names.len() as u64,
        blobs: blobs.get(),
        bytes: bytes.get(),
        unheld: unheld(store, &names, &strays)?,
        uploads: store.leavings()?.iter().map(|leaving| leaving.bytes).sum(),
    })
}

/// Who holds which file.
struct Holders {
    by_file: HashMap<FileId, Holder>,
    /// Of each repository, in their order.
    usages: Vec<Usage>,
}

enum Holder {
    One(usize),
    Many,
}

impl Holders {
    /// Content that is a blob and a manifest of one repository counts once there.
    fn of(store: &Store, names: &[RepositoryName]) -> Result<Self, Error> {
        let mut holders = Self { by_file: HashMap::new(), usages: vec![Usage::default(); names.len()] };
        for (number, name) in names.iter().enumerate() {
            let mut seen = HashSet::new();
            for kind in [Kind::Blobs, Kind::Manifests] {
                for named in store.held(name, kind)? {
                    if let Some(file) = named.file.filter(|file| seen.insert(*file)) {
                        holders.add(number, file, named.size);
                    }
                }
            }
        }
        Ok(holders)
    }

    /// What one holds alone is shared from the moment at which there is another.
    fn add(&mut self, number: usize, file: FileId, size: u64) {
        match self.by_file.insert(file, Holder::Many) {
            None => {
                self.by_file.insert(file, Holder::One(number));
                self.usages[number].alone += size;
                return;
            }
            Some(Holder::One(first)) => {
                self.usages[first].alone -= size;
                self.usages[first].shared += size;
            }
            Some(Holder::Many) => {}
        }
        self.usages[number].shared += size;
    }
}

/// The bytes of those files under `blobs/` whose digest no repository holds. In a copy of a store that broke the links
/// apart, repositories hold the same bytes in files of their own.
fn unheld(store: &Store, names: &[RepositoryName], strays: &[Named]) -> Result<u64, Error> {
    let size = |named: &Named| Some((named.digest.clone()?, named.size));
    let mut sizes: HashMap<Digest, u64> = strays.iter().filter_map(size).collect();
    for name in names.iter().filter(|_| !strays.is_empty()) {
        for kind in [Kind::Blobs, Kind::Manifests] {
            for digest in store.held_digests_of(name, kind)? {
                sizes.remove(&digest);
            }
        }
    }
    Ok(sizes.values().sum())
}
