//! `registry export`: what belongs to an image, written as a layout.
//!
//! First all of it is found and looked up, then it is written, and what names it comes last. What is copied is hashed
//! on its way; of what is linked, no byte is read. Servers may be at work meanwhile: what somebody deletes while it is
//! exported is missing, and the export fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use super::docker::{self, Saved};
use super::index::Entry;
use super::target::{Target, Written};
use super::{Failure, go_on, stopped};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{Held, Manifest, media_type_of};
use crate::name::RepositoryName;
use crate::reference::{Reference, Tag};
use crate::store::Store;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Where from.
    pub name: RepositoryName,
    /// Which manifest; `None`: every tag.
    pub reference: Option<Reference>,
    /// Also what refers to it.
    pub referrers: bool,
    /// Copy, do not link.
    pub copy: bool,
    /// The most bytes that the `index.json` of a layout that is there may have.
    pub manifest_bytes_max: u64,
}

/// What was done.
#[derive(Debug)]
pub struct Report {
    name: RepositoryName,
    exported: Vec<(Digest, Option<Tag>)>,
    manifests: usize,
    blobs: usize,
    written: Written,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, exported, manifests, blobs, written } = self;
        for (digest, tag) in exported {
            match tag {
                Some(tag) => writeln!(f, "{name}:{tag} is {digest}")?,
                None => writeln!(f, "{name}@{digest}")?,
            }
        }
        let Written { linked, copied, bytes } = written;
        let there = (manifests + blobs).saturating_sub(linked + copied);
        writeln!(
            f,
            "exported {manifests} manifests, {blobs} blobs: {linked} linked, {copied} copied with {bytes} bytes, \
             {there} there already"
        )
    }
}

/// What is to be written.
#[derive(Default)]
struct Closure {
    /// Those that are listed, with their tags.
    listed: Vec<(Digest, Option<Tag>)>,
    /// Manifests, with type and length.
    manifests: BTreeMap<Digest, (&'static str, u64)>,
    /// Those of them that docker can load.
    images: BTreeMap<Digest, Saved>,
    /// With their lengths, by what refers to them.
    blobs: BTreeMap<Digest, u64>,
}

/// Exports into the layout at `path`.
///
/// # Errors
/// There is no such thing in the store, or something of it is missing, or `path` cannot be written to. What was
/// written has been removed then.
pub fn export(store: &Store, path: &Path, asked: &Export) -> Result<Report, Failure> {
    let closure = find(store, asked)?;
    let mut target = Target::open(path, asked.copy, asked.manifest_bytes_max)?;
    match write(store, asked, &closure, &mut target) {
        Ok(()) => Ok(Report {
            name: asked.name.clone(),
            exported: closure.listed,
            manifests: closure.manifests.len(),
            blobs: closure.blobs.len(),
            written: target.close()?,
        }),
        Err(failure) => {
            target.abandon();
            Err(failure)
        }
    }
}

fn write(store: &Store, asked: &Export, closure: &Closure, target: &mut Target) -> Result<(), Failure> {
    let entries: Vec<Entry> = closure
        .listed
        .iter()
        .filter_map(|(digest, tag)| {
            let (media_type, size) = *closure.manifests.get(digest)?;
            Some(Entry { media_type, digest: digest.clone(), size, tag: tag.clone() })
        })
        .collect();
    let digests = closure.manifests.keys().chain(closure.blobs.keys());
    target.begin(&entries, closure.saved(&asked.name), &digests.map(Digest::algorithm).collect())?;
    for (digest, size) in &closure.blobs {
        go_on().map_err(stopped)?;
        target.blob(store, &asked.name, digest, *size)?;
    }
    for digest in closure.manifests.keys() {
        go_on().map_err(stopped)?;
        let stored = store.read_manifest(&asked.name, &Reference::Digest(digest.clone()))?;
        check(digest, &Digest::of(digest.algorithm(), &stored.bytes))?;
        target.manifest(digest, &stored.bytes)?;
    }
    target.finish(&entries)
}

/// Has the store given what it was asked for?
pub(super) fn check(wanted: &Digest, actual: &Digest) -> Result<(), Failure> {
    if actual == wanted {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "{wanted} is damaged in the registry, its bytes have the digest {actual}; `registry verify` says more"
    )))
}

/// Finds all that belongs to what was asked for.
fn find(store: &Store, asked: &Export) -> Result<Closure, Failure> {
    let name = &asked.name;
    let mut closure = Closure { listed: listed(store, asked)?, ..Closure::default() };
    let mut open: Vec<Digest> = closure.listed.iter().map(|(digest, _)| digest.clone()).collect();
    while let Some(digest) = open.pop() {
        if closure.manifests.contains_key(&digest) {
            continue;
        }
        let stored = store.read_manifest(name, &Reference::Digest(digest.clone()))?;
        let manifest = Manifest::parse_stored(&stored.bytes)
            .map_err(|error| Failure::Refused(format!("{name}@{digest}: {error}")))?;
        closure
            .manifests
            .insert(digest.clone(), (media_type_of(&stored.bytes).as_str(), stored.bytes.len() as u64));
        if let Some(image) = Saved::of(&manifest) {
            closure.images.insert(digest.clone(), image);
        }
        for (held, descriptor) in manifest.refers_to() {
            let wanted = &descriptor.digest;
            if held == Held::ManifestOrBlob && store.has_manifest(name, wanted)? {
                open.push(wanted.clone());
            } else if store.has_blob(name, wanted)? {
                closure.blobs.insert(wanted.clone(), descriptor.size);
            } else if !descriptor.is_non_distributable() {
                return Err(Failure::Refused(format!(
                    "{name}@{digest} refers to {wanted}, which the repository does not hold; push the image again"
                )));
            }
        }
        if asked.referrers {
            for referrer in store.list_referrers(name, &digest, None, usize::MAX)?.0 {
                // An entry may be left of what is gone.
                if store.has_manifest(name, &referrer)? && !closure.manifests.contains_key(&referrer) {
                    closure.listed.push((referrer.clone(), None));
                    open.push(referrer);
                }
            }
        }
    }
    closure.tidy();
    Ok(closure)
}

impl Closure {
    /// What is listed for docker: by tags, since it can show nothing else.
    fn saved(&self, name: &RepositoryName) -> Option<String> {
        let mut saved: Vec<(&Saved, Vec<String>)> = Vec::new();
        for (digest, image) in &self.images {
            let tags =
                self.listed.iter().filter(|(listed, _)| listed == digest).filter_map(|(_, tag)| tag.as_ref());
            let names: Vec<String> = tags.map(|tag| format!("{name}:{tag}")).collect();
            if !names.is_empty() {
                saved.push((image, names));
            }
        }
        docker::list(&saved)
    }

    /// What is listed by a tag need not be listed without.
    fn tidy(&mut self) {
        let tagged: BTreeSet<Digest> =
            self.listed.iter().filter(|(_, tag)| tag.is_some()).map(|(digest, _)| digest.clone()).collect();
        let mut seen = BTreeSet::new();
        self.listed
            .retain(|(digest, tag)| tag.is_some() || !tagged.contains(digest) && seen.insert(digest.clone()));
    }
}

/// The manifests that were asked for, with their tags.
fn listed(store: &Store, asked: &Export) -> Result<Vec<(Digest, Option<Tag>)>, Failure> {
    let name = &asked.name;
    if let Some(reference) = &asked.reference {
        let digest = store.read_manifest(name, reference)?.digest;
        return Ok(vec![match reference {
            Reference::Tag(tag) => (digest, Some(tag.clone())),
            Reference::Digest(_) => (digest, None),
        }]);
    }
    let mut listed = Vec::new();
    for text in store.list_tags(name, None, usize::MAX)?.0 {
        let tag = Tag::parse(&text)?;
        match store.read_manifest(name, &Reference::Tag(tag.clone())) {
            Ok(stored) => listed.push((stored.digest, Some(tag))),
            Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => {} // deleted meanwhile
            Err(error) => return Err(error.into()),
        }
    }
    match listed.is_empty() {
        true => Err(Failure::Refused(format!(
            "{name} has no tags; name a manifest by its digest: {name}@sha256:…"
        ))),
        false => Ok(listed),
    }
}
