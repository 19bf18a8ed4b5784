//! `registry du`: which bytes come back when a repository goes, and which do not because others hold them too.
//!
//! Nothing is counted that is not on disk: a file's link count says how many names it has, and a repository that
//! has all of them but the one under `blobs/` holds it alone. It only looks, one repository at a time.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;

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
    /// Of these, the bytes that no repository holds.
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
    let mut total = Total::default();
    let mut names = store.all_repositories()?;
    names.sort();
    for name in &names {
        show(name, usage(store, name)?);
        total.repositories += 1;
    }
    let (blobs, bytes, unheld) = (Cell::new(0), Cell::new(0), Cell::new(0));
    store.all_blobs_if(&|file| {
        blobs.set(blobs.get() + 1);
        bytes.set(bytes.get() + file.len());
        unheld.set(unheld.get() + if file.nlink() == 1 { file.len() } else { 0 });
        false // they are counted, and there may be too many for a list
    })?;
    (total.blobs, total.bytes, total.unheld) = (blobs.get(), bytes.get(), unheld.get());
    total.uploads = store.leavings()?.iter().map(|leaving| leaving.bytes).sum();
    Ok(total)
}

/// What one repository holds. Content that is a blob and a manifest there counts once.
fn usage(store: &Store, name: &RepositoryName) -> Result<Usage, Error> {
    let mut held: HashMap<FileId, (u64, Named)> = HashMap::new();
    for named in [Kind::Blobs, Kind::Manifests].map(|kind| store.held(name, kind)) {
        for named in named? {
            let Some(file) = named.file else { continue };
            held.entry(file).or_insert((0, named)).0 += 1;
        }
    }
    let mut usage = Usage::default();
    for (names, named) in held.values() {
        let is_tied = match &named.digest {
            Some(digest) => store.is_tied(&named.path, digest)?,
            None => false,
        };
        let alone = names + u64::from(is_tied) >= named.links;
        *(if alone { &mut usage.alone } else { &mut usage.shared }) += named.size;
    }
    Ok(usage)
}
