//! `registry verify`: every name against its bytes, every tag to its last layer.
//!
//! It reads everything and changes nothing. Beside a running server it may report what is just being pushed or
//! deleted; a store at rest that it finds sound is sound.

mod content;
mod hashing;
mod repair;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::Path;

pub use self::repair::repair;
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{Held, Manifest};
use crate::name::RepositoryName;
use crate::reference::Reference;
use crate::store::Store;
use crate::store::tags::TagTarget;
use crate::store::walk::{Entry, Kind, Named, TagEntry};

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
    let mut check = Check::of(store);
    let repositories = store.all_repositories()?;
    check.report.repositories = repositories.len();
    let found = check.content(&repositories)?;
    check.judge(&found);
    for name in &repositories {
        for part in [Check::manifests, Check::lost, Check::tags, Check::referrers] {
            if let Err(error) = part(&mut check, name) {
                let folder = store.root().join("repositories").join(name.as_str());
                check.fault(&folder, error.log_text());
            }
        }
    }
    check.uploads()?;
    Ok(check.report)
}

fn readable(store: &Store, path: &Path) -> String {
    let path = path.strip_prefix(store.root()).unwrap_or(path).display().to_string();
    path.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

struct Check<'s> {
    store: &'s Store,
    report: Report,
    /// What repositories hold whose bytes are not what its name says.
    wrong: HashSet<(RepositoryName, Digest)>,
}

impl<'s> Check<'s> {
    fn of(store: &'s Store) -> Self {
        Self { store, report: Report::default(), wrong: HashSet::new() }
    }
}

impl Check<'_> {
    fn fault(&mut self, path: &Path, what: impl fmt::Display) {
        let line = format!("{}: {what}", self.readable(path));
        self.report.faults.insert(line);
    }

    fn leftover(&mut self, path: &Path, what: &str) {
        let line = format!("{}: {what}", self.readable(path));
        self.report.leftovers.insert(line);
    }

    /// As seen from the root, on one line whatever somebody has named it.
    fn readable(&self, path: &Path) -> String {
        readable(self.store, path)
    }

    /// Every manifest, and that what it refers to is there.
    fn manifests(&mut self, name: &RepositoryName) -> Result<(), Error> {
        for Named { path, digest, .. } in self.store.held(name, Kind::Manifests)? {
            let Some(digest) = digest else { continue };
            self.report.manifests += 1;
            let is_wrong = self.wrong.contains(&(name.clone(), digest.clone())); // which has been said
            let Some(manifest) = self.read(name, &path, &digest)?.filter(|_| !is_wrong) else { continue };
            match Manifest::parse_stored(&manifest) {
                Ok(manifest) => {
                    self.required(name, &path, &manifest)?;
                    self.subject(name, &path, &digest, &manifest)?;
                }
                Err(error) => self.fault(&path, format!("{error}; delete it and push the image again")),
            }
        }
        Ok(())
    }

    /// The manifests that are lost; while one is, nobody knows what it refers to.
    fn lost(&mut self, name: &RepositoryName) -> Result<(), Error> {
        for (path, digest) in self.store.lost(name)? {
            let what = format!(
                "{digest} is lost; push the image again, or remove this file: what it refers to goes then, if nothing \
                 else does"
            );
            self.fault(&path, what);
        }
        Ok(())
    }

    /// The bytes of a manifest; `None` when it was deleted meanwhile, or cannot be read.
    fn read(
        &mut self,
        name: &RepositoryName,
        path: &Path,
        digest: &Digest,
    ) -> Result<Option<Vec<u8>>, Error> {
        match self.store.look_at_manifest(name, &Reference::Digest(digest.clone())) {
            Ok(stored) => Ok(Some(stored.bytes)),
            Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => Ok(None),
            Err(error) => {
                self.fault(path, error.log_text());
                Ok(None)
            }
        }
    }

    fn required(&mut self, name: &RepositoryName, path: &Path, manifest: &Manifest) -> Result<(), Error> {
        for (held, descriptor) in manifest.required() {
            let wanted = &descriptor.digest;
            let there = self.store.has_blob(name, wanted)?
                || held == Held::ManifestOrBlob && self.store.has_manifest(name, wanted)?;
            if !there {
                let what = format!("refers to {wanted}, which {name} does not hold; push the image again");
                self.fault(path, what);
            }
        }
        Ok(())
    }

    fn subject(
        &mut self,
        name: &RepositoryName,
        path: &Path,
        digest: &Digest,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        if let Some(subject) = &manifest.subject
            && !self.store.list_referrers(name, &subject.digest, None, usize::MAX)?.0.contains(digest)
        {
            self.fault(path, format!("is not listed as a referrer of {}; push it again", subject.digest));
        }
        Ok(())
    }

    /// Every tag to its manifest. From there on, `manifests` has looked; a file of its own is one itself.
    fn tags(&mut self, name: &RepositoryName) -> Result<(), Error> {
        for TagEntry { path, tag, can_be_tag } in self.store.all_tags(name)? {
            let Some(tag) = tag else {
                self.leftover(&path, "is no tag; a push that broke off left it, it may be removed");
                continue;
            };
            if !can_be_tag {
                self.fault(&path, "is no tag, which is a link or a file; remove it");
                continue;
            }
            self.report.tags += 1;
            match self.store.read_tag(name, &tag) {
                Ok(Some(TagTarget::Manifest(digest))) if self.store.has_manifest(name, &digest)? => {}
                Ok(Some(TagTarget::File(bytes))) => match Manifest::parse_stored(&bytes) {
                    Ok(manifest) => self.required(name, &path, &manifest)?,
                    Err(error) => self.fault(&path, format!("{error}; push the tag again")),
                },
                Ok(Some(TagTarget::Manifest(_)) | None) => self.fault(
                    &path,
                    "points to no manifest of this repository; push the tag again or remove it",
                ),
                Err(error) => self.fault(&path, error.log_text()),
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
            if !self.store.has_manifest(name, &referrer)? {
                self.leftover(&path, "its manifest never came, or went; it may be removed");
                continue;
            }
            let is_wrong = self.wrong.contains(&(name.clone(), referrer.clone()));
            let Some(manifest) = self.read(name, &path, &referrer)?.filter(|_| !is_wrong) else { continue };
            let said = Manifest::parse_stored(&manifest).ok().and_then(|manifest| manifest.subject);
            if said.is_none_or(|said| said.digest != subject) {
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
