//! `registry verify`: every name against its bytes, every tag to its last layer.
//!
//! It reads everything and changes nothing. Beside a running server it may report what is just being pushed or
//! deleted; a store at rest that it finds sound is sound.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{Held, Manifest};
use crate::name::RepositoryName;
use crate::reference::{Reference, Tag};
use crate::store::Store;
use crate::store::walk::{Entry, Kind, Named, Tie};

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong, each with its file and what to do. Sorted.
    pub faults: BTreeSet<String>,
    /// What is in the way but harms nothing: traces of something that broke off.
    pub leftovers: BTreeSet<String>,
    /// Files under `blobs/`.
    pub blobs: usize,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// Repositories.
    pub repositories: usize,
    /// Manifests, each counted in each repository.
    pub manifests: usize,
    /// Tags.
    pub tags: usize,
    /// Upload sessions that can go on.
    pub sessions: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "fault: {fault}")?;
        }
        for leftover in &self.leftovers {
            writeln!(f, "leftover: {leftover}")?;
        }
        let Self { blobs, bytes, repositories, manifests, tags, sessions, .. } = self;
        write!(
            f,
            "{blobs} blobs of {bytes} bytes, {repositories} repositories, {manifests} manifests, {tags} tags, \
             {sessions} upload sessions: "
        )?;
        match (self.faults.len(), self.leftovers.len()) {
            (0, 0) => writeln!(f, "sound"),
            (0, some) => writeln!(f, "sound, {some} leftovers"),
            (some, _) => writeln!(f, "{some} faults"),
        }
    }
}

/// Checks a store, with all cores, showing progress on a terminal.
///
/// # Errors
/// A folder or a manifest that cannot be read, for any other reason than its absence.
pub fn verify(store: &Store) -> Result<Report, Error> {
    let mut check = Check { store, report: Report::default(), wrong: HashMap::new(), held: HashSet::new() };
    let blobs = store.all_blobs()?;
    check.blobs(&blobs);
    let repositories = store.all_repositories()?;
    check.report.repositories = repositories.len();
    for name in &repositories {
        check.held_blobs(name)?;
        check.manifests(name)?;
        check.tags(name)?;
        check.referrers(name)?;
    }
    check.uploads()?;
    check.unheld(&blobs);
    Ok(check.report)
}

struct Check<'s> {
    store: &'s Store,
    report: Report,
    /// Blobs whose bytes are not what their name says.
    wrong: HashMap<Digest, PathBuf>,
    /// What the repositories hold.
    held: HashSet<Digest>,
}

impl Check<'_> {
    fn fault(&mut self, path: &Path, what: impl fmt::Display) {
        let path = path.strip_prefix(self.store.root()).unwrap_or(path);
        self.report.faults.insert(format!("{}: {what}", path.display()));
    }

    fn leftover(&mut self, path: &Path, what: &str) {
        let path = path.strip_prefix(self.store.root()).unwrap_or(path);
        self.report.leftovers.insert(format!("{}: {what}", path.display()));
    }

    /// Every name under `blobs/` against its bytes.
    fn blobs(&mut self, blobs: &[Named]) {
        for (named, found) in hash_all(self.store, blobs) {
            let Some(digest) = &named.digest else {
                self.fault(&named.path, "is not named by a digest, so nobody can ask for it; remove it");
                continue;
            };
            self.report.blobs += 1;
            let why = match found {
                Ok(Some(found)) if found != *digest => "its bytes have another digest".to_owned(),
                Ok(_) => continue,
                Err(error) => error.log_text(),
            };
            self.fault(&named.path, format!("{why}; move it away and push the content again"));
            self.wrong.insert(digest.clone(), named.path.clone());
        }
        self.report.bytes = blobs.iter().map(|blob| blob.size).sum();
    }

    /// Bytes that no repository holds.
    fn unheld(&mut self, blobs: &[Named]) {
        for named in blobs {
            if named.digest.as_ref().is_some_and(|digest| !self.held.contains(digest)) {
                self.leftover(
                    &named.path,
                    "no repository holds it; it may be removed, while nothing is pushed",
                );
            }
        }
    }

    fn held_blobs(&mut self, name: &RepositoryName) -> Result<(), Error> {
        for named in self.store.held(name, Kind::Blobs)? {
            self.tie(&named)?;
        }
        Ok(())
    }

    /// A name in a repository against the one under `blobs/`.
    fn tie(&mut self, named: &Named) -> Result<(), Error> {
        let Some(digest) = &named.digest else {
            self.fault(&named.path, "is not named by a digest, so nobody can ask for it; remove it");
            return Ok(());
        };
        self.held.insert(digest.clone());
        let blob = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
        match self.store.tie(&named.path, digest)? {
            Tie::Linked => return Ok(()),
            Tie::Older => {}
            Tie::Copied => {
                self.fault(&named.path, format!("is a copy of {blob}, not a link to it; link it again"))
            }
            Tie::Torn => self.fault(&named.path, format!("there is no {blob}; link this file there")),
        }
        if self
            .store
            .digest_of(&named.path, digest.algorithm(), &|_| {})?
            .is_some_and(|found| found != *digest)
        {
            self.fault(&named.path, "its bytes have another digest; remove it and push the content again");
        }
        Ok(())
    }

    /// Every manifest, and that what it refers to is there.
    fn manifests(&mut self, name: &RepositoryName) -> Result<(), Error> {
        for named in self.store.held(name, Kind::Manifests)? {
            self.tie(&named)?;
            let Some(digest) = &named.digest else { continue };
            self.report.manifests += 1;
            let stored = match self.store.read_manifest(name, &Reference::Digest(digest.clone())) {
                Ok(stored) => stored,
                Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => continue, // deleted meanwhile
                Err(error) => return Err(error),
            };
            match Manifest::parse_stored(&stored.bytes) {
                Ok(manifest) => self.references(name, &named.path, digest, &manifest)?,
                Err(error) => self.fault(&named.path, format!("{error}; delete it and push the image again")),
            }
        }
        Ok(())
    }

    fn references(
        &mut self,
        name: &RepositoryName,
        path: &Path,
        digest: &Digest,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        for (held, descriptor) in manifest.required() {
            let wanted = &descriptor.digest;
            let there = self.store.has_blob(name, wanted)?
                || held == Held::ManifestOrBlob && self.store.has_manifest(name, wanted)?;
            if !there {
                self.fault(
                    path,
                    format!("refers to {wanted}, which {name} does not hold; push the image again"),
                );
            } else if self.wrong.contains_key(wanted) {
                self.fault(path, format!("refers to {wanted}, whose bytes are wrong; push the image again"));
            }
        }
        if let Some(subject) = &manifest.subject
            && !self.store.list_referrers(name, &subject.digest, None, usize::MAX)?.0.contains(digest)
        {
            self.fault(path, format!("is not listed as a referrer of {}; push it again", subject.digest));
        }
        Ok(())
    }

    /// Every tag to its manifest. From there on, `manifests` has looked.
    fn tags(&mut self, name: &RepositoryName) -> Result<(), Error> {
        let folder = self.store.root().join("repositories").join(name.as_str()).join("_tags");
        for text in self.store.tag_names(name)? {
            let path = folder.join(&text);
            let Ok(tag) = Tag::parse(&text) else {
                self.leftover(&path, "is no tag; a push that broke off left it, it may be removed");
                continue;
            };
            self.report.tags += 1;
            match self.store.read_manifest(name, &Reference::Tag(tag)) {
                Ok(stored) => {
                    if let Err(error) = Manifest::parse_stored(&stored.bytes) {
                        self.fault(&path, format!("{error}; push the tag again"));
                    }
                }
                Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => {
                    self.fault(
                        &path,
                        "points to no manifest of this repository; push the tag again or remove it",
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn referrers(&mut self, name: &RepositoryName) -> Result<(), Error> {
        for Entry { path, pair } in self.store.all_referrers(name)? {
            let Some((subject, referrer)) = pair else {
                self.leftover(&path, "is no referrer; a push that broke off left it, it may be removed");
                continue;
            };
            let stored = match self.store.read_manifest(name, &Reference::Digest(referrer)) {
                Ok(stored) => stored,
                Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => {
                    self.leftover(&path, "its manifest never came, or went; it may be removed");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let manifest = Manifest::parse_stored(&stored.bytes).ok();
            if manifest.and_then(|manifest| manifest.subject).is_none_or(|said| said.digest != subject) {
                self.fault(&path, format!("points to a manifest whose subject is not {subject}; remove it"));
            }
        }
        Ok(())
    }

    fn uploads(&mut self) -> Result<(), Error> {
        for (path, whole) in self.store.all_uploads()? {
            if whole {
                self.report.sessions += 1;
            } else {
                self.leftover(&path, "is no session; a push that broke off left it, it may be removed");
            }
        }
        Ok(())
    }
}

/// Hashes all files that are named by a digest, on all cores.
fn hash_all<'b>(store: &Store, blobs: &'b [Named]) -> Vec<(&'b Named, Result<Option<Digest>, Error>)> {
    let total: u64 = blobs.iter().map(|blob| blob.size).sum();
    let (next, passed, running) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicUsize::new(0));
    let results = Mutex::new(Vec::with_capacity(blobs.len()));
    let worker = || {
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = |bytes| {
                passed.fetch_add(bytes, Ordering::Relaxed);
            };
            let found = match &blob.digest {
                Some(digest) => store.digest_of(&blob.path, digest.algorithm(), &count),
                None => Ok(None),
            };
            results.lock().unwrap_or_else(PoisonError::into_inner).push((blob, found));
        }
        running.fetch_sub(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            running.fetch_add(1, Ordering::Relaxed);
            scope.spawn(worker);
        }
        if std::io::stderr().is_terminal() {
            while running.load(Ordering::Relaxed) > 0 {
                show_progress(passed.load(Ordering::Relaxed), total);
                thread::sleep(Duration::from_millis(100));
            }
            eprint!("\r\x1b[K");
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn show_progress(passed: u64, total: u64) {
    const WIDTH: u64 = 40;
    let filled = passed.saturating_mul(WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
    eprint!("\r[{bar}] {} of {} MiB", passed >> 20, total >> 20);
    let _ = std::io::stderr().flush();
}
