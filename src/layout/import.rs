//! `registry import`: a layout becomes content of a repository.
//!
//! Who sees what, when: nothing is written before all of it has been checked. Then come the blobs, then the
//! manifests, those that others refer to first, at last the tags, each by the functions that a push goes through.
//! What fails on the way (a full disk) is taken back, but for what somebody else has used meanwhile: who was told 201,
//! or that something is there, finds it. After a crash there may be blobs and manifests without a tag.
//!
//! Servers may be at work meanwhile. When somebody deletes what has just come, it comes once more.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::choose::{self, Chosen, Wish};
use super::contents::{Contents, Listed, Name};
use super::plan::Plan;
use super::platform::{self, Platform};
use super::{Failure, go_on, harmless, stopped};
use crate::digest::Digest;
use crate::error::Error;
use crate::json::quote;
use crate::name::RepositoryName;
use crate::percent::Percent;
use crate::reference::Tag;
use crate::room;
use crate::store::Store;
use crate::store::manifests::{Condition, NewManifest};
use crate::store::take_back::Brought;

/// How often it is tried when somebody deletes meanwhile.
const ATTEMPTS: usize = 5;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Where to.
    pub name: RepositoryName,
    /// The tag to give it; `None`: all of the layout, with its tags.
    pub tag: Option<Tag>,
    /// What it is called in the layout, if otherwise.
    pub named: Option<String>,
    /// Of each index, the image for this platform; `None`: all of it.
    pub platform: Option<Platform>,
    /// Also what refers to it.
    pub referrers: bool,
    /// The most bytes that a manifest may have.
    pub manifest_bytes_max: u64,
    /// The share of the disk that must stay free.
    pub refuse_free: Percent,
}

/// What was done.
#[derive(Debug)]
pub struct Report {
    name: RepositoryName,
    /// What the layout listed, and its tags here.
    imported: Vec<(Digest, Vec<Tag>)>,
    /// What it listed and was left out: media type and digest.
    skipped: Vec<(String, Digest)>,
    manifests: usize,
    blobs: usize,
    /// Blobs that no repository had, and their lengths together.
    copied: usize,
    bytes: u64,
    /// Blobs that another repository had.
    linked: usize,
    /// Names in the layout that hold no tag, and whose they are.
    tagless: Vec<(String, Digest)>,
}

impl Report {
    /// What was done otherwise than one might think.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let note = |(name, digest): &(String, Digest)| {
            harmless(&format!(
                "{digest} gets no tag by its name {} in the layout: there is none in it",
                quote(name)
            ))
        };
        self.tagless.iter().map(note)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, imported, skipped, manifests, blobs, copied, bytes, linked, tagless: _ } = self;
        for (digest, tags) in imported {
            match &tags[..] {
                [] => writeln!(f, "{name}@{digest}")?,
                tags => tags.iter().try_for_each(|tag| writeln!(f, "{name}:{tag} is {digest}"))?,
            }
        }
        for (media_type, digest) in skipped {
            writeln!(f, "left out: {digest}, which is no manifest but {media_type}")?;
        }
        let tags: usize = imported.iter().map(|(_, tags)| tags.len()).sum();
        let there = blobs.saturating_sub(copied + linked);
        writeln!(
            f,
            "imported {manifests} manifests, {tags} tags, {blobs} blobs: {copied} copied with {bytes} bytes, \
             {linked} linked from other repositories, {there} there already"
        )
    }
}

/// Imports the layout at `path`. The store is opened, and made if need be, when the layout is there and is one; one
/// that is compressed needs it to be read.
///
/// # Errors
/// It is wrong somewhere, or what is asked for is not in it: then nothing was written. Or the store cannot take it:
/// then what was written was taken back.
pub fn import(
    open: impl Fn() -> Result<Store, String>,
    path: &Path,
    asked: &Import,
) -> Result<Report, Failure> {
    let store = OnceCell::new();
    let opened = || match store.get() {
        Some(store) => Ok(store),
        None => open().map_err(Failure::Refused).map(|opened| store.get_or_init(|| opened.to_take_back())),
    };
    let limit = asked.manifest_bytes_max;
    let contents = Contents::open(path, limit, &|from| {
        let store = opened()?;
        room::require(store, asked.refuse_free, 0, 0)?;
        Ok(store.spool(&mut room::watched(store, asked.refuse_free, from))?)
    })?;
    let wish = Wish { tag: asked.tag.as_ref(), named: asked.named.as_deref() };
    let mut plan = Plan::new(&contents, limit);
    let mut chosen = choose::choose(&contents, &plan, wish)?;
    if let Some(platform) = &asked.platform {
        platform::select(&plan, &mut chosen, platform)?;
    }
    let store = opened()?;
    require_mutable(store, asked, &chosen)?;
    chosen.iter().try_for_each(|chosen| plan.add(&chosen.listed))?;
    let wanted: BTreeSet<&Digest> = chosen.iter().map(|chosen| &chosen.listed.digest).collect();
    // One manifest may be listed under several names; each entry must be right.
    let is_wanted = |listed: &&Listed| wanted.contains(&listed.digest) && choose::is_manifest(listed);
    for listed in contents.listed.iter().filter(is_wanted) {
        plan.add(listed)?;
    }
    if asked.referrers {
        chosen.extend(choose::add_referrers(&contents, &mut plan)?);
    }
    require_room(store, asked, &plan)?;
    let mut writing = Writing {
        store,
        asked,
        contents: &contents,
        plan: &plan,
        brought: Brought::default(),
        copied: BTreeSet::new(),
        linked: BTreeSet::new(),
    };
    if let Err(failure) = writing.write(&chosen) {
        let _ = store.take_back(&asked.name, &writing.brought); // what made it fail may be in the way of this too
        return Err(failure);
    }
    let tagless = tagless(&contents, &chosen, asked);
    let left_out = contents.listed.iter().filter(|listed| !choose::is_manifest(listed));
    Ok(Report {
        name: asked.name.clone(),
        imported: chosen.into_iter().map(|chosen| (chosen.listed.digest.clone(), chosen.tags)).collect(),
        skipped: left_out.map(|listed| (listed.media_type.clone(), listed.digest.clone())).collect(),
        manifests: plan.manifests.len(),
        blobs: plan.blobs.len(),
        copied: writing.copied.len(),
        bytes: writing.copied.iter().filter_map(|digest| plan.blobs.get(digest)).sum(),
        linked: writing.linked.len(),
        tagless,
    })
}

/// Of several tags none is set when one may not be, as in a push; what others set meanwhile is seen when it comes to
/// the tag.
fn require_mutable(store: &Store, asked: &Import, chosen: &[Chosen]) -> Result<(), Failure> {
    for Chosen { listed, tags } in chosen {
        for tag in tags {
            store.require_mutable(&asked.name, tag, Some(&listed.digest))?;
        }
    }
    Ok(())
}

/// The names that were to give tags and hold none, with whose they are.
fn tagless(contents: &Contents, chosen: &[Chosen], asked: &Import) -> Vec<(String, Digest)> {
    let is_meant = |name: &Name| asked.named.as_deref().is_none_or(|named| name.is(named));
    let gives_tags = |listed: &&Listed| {
        asked.tag.is_none() && chosen.iter().any(|chosen| chosen.listed.digest == listed.digest)
    };
    let listed = contents.listed.iter().filter(gives_tags);
    let named = listed.flat_map(|listed| listed.names.iter().map(|name| (name, listed.digest.clone())));
    named
        .filter(|(name, _)| name.tag.is_none() && is_meant(name))
        .filter_map(|(name, digest)| Some((name.spelled.first()?.clone(), digest)))
        .collect()
}

/// A server that goes on after it needs room as well.
fn require_room(store: &Store, asked: &Import, plan: &Plan<'_>) -> Result<(), Failure> {
    let (mut bytes, mut files) = (0_u64, plan.manifests.len() as u64);
    for (digest, size) in &plan.blobs {
        if !store.has_bytes(digest)? {
            (bytes, files) = (bytes.saturating_add(*size), files + 1);
        }
    }
    room::require(store, asked.refuse_free, bytes, files).map_err(|_| {
        let share = asked.refuse_free;
        Failure::Refused(format!(
            "{bytes} bytes are to be copied, and less than {share} of the registry's disk would stay free then \
             (storage.refuse_free)"
        ))
    })
}

/// An import on its way.
struct Writing<'a> {
    store: &'a Store,
    asked: &'a Import,
    contents: &'a Contents,
    plan: &'a Plan<'a>,
    /// What was not there before.
    brought: Brought,
    /// Of the blobs, those that came with their bytes, and those that other repositories had.
    copied: BTreeSet<Digest>,
    linked: BTreeSet<Digest>,
}

impl Writing<'_> {
    fn write(&mut self, chosen: &[Chosen]) -> Result<(), Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.write_in_order(chosen) {
                // It was there a moment ago: somebody deletes. What is there already costs little.
                Err(Failure::Store(error @ Error::ManifestBlobUnknown(_))) => {
                    if attempts == ATTEMPTS {
                        let why = "somebody deletes it as fast as it comes; try again";
                        return Err(Failure::Refused(format!("{error}: {why}")));
                    }
                }
                result => return result,
            }
        }
    }

    /// Bytes first, names last.
    fn write_in_order(&mut self, chosen: &[Chosen]) -> Result<(), Failure> {
        for digest in self.plan.blobs.keys() {
            self.write_blob(digest)?;
        }
        // What was lost is not taken back: without it and its entry nobody would know what it needs.
        let lost: BTreeSet<Digest> =
            self.store.lost(&self.asked.name)?.into_iter().map(|(_, it)| it).collect();
        for planned in &self.plan.manifests {
            go_on().map_err(stopped)?;
            let is_new = !self.store.has_manifest(&self.asked.name, &planned.digest)?;
            if is_new && !lost.contains(&planned.digest) {
                self.brought.manifests.push(planned.digest.clone());
            }
            self.write_manifest(&planned.digest, &planned.media_type, &[])?;
        }
        for Chosen { listed, tags } in chosen.iter().filter(|chosen| !chosen.tags.is_empty()) {
            for tag in tags {
                let before = self.store.read_tag(&self.asked.name, tag)?;
                self.brought.tags.push((tag.clone(), listed.digest.clone(), before));
            }
            self.write_manifest(&listed.digest, &listed.media_type, tags)?;
        }
        Ok(())
    }

    fn write_blob(&mut self, digest: &Digest) -> Result<(), Failure> {
        go_on().map_err(stopped)?;
        let (store, name) = (self.store, &self.asked.name);
        if store.has_blob(name, digest)? {
            store.mount_blob(name, digest, None)?; // it may have come a moment ago, by somebody who has not synced yet
            return Ok(());
        }
        self.brought.blobs.insert(digest.clone());
        // Another repository may have it, and then no byte moves.
        if store.mount_blob(name, digest, None)? {
            self.linked.insert(digest.clone());
            return Ok(());
        }
        let place = self.contents.place(digest);
        let Some(mut content) = self.contents.content(digest)? else {
            return Err(Failure::at(&place, "was there a moment ago, and is gone"));
        };
        store.push_blob(name, digest, &mut content).map_err(|error| match error {
            Error::BodyUnreadable(error) => Failure::at(&place, error),
            Error::DigestMismatch { .. } => Failure::at(&place, "was changed while it was imported"),
            error => error.into(),
        })?;
        self.linked.remove(digest);
        self.copied.insert(digest.clone());
        Ok(())
    }

    fn write_manifest(&self, digest: &Digest, media_type: &str, tags: &[Tag]) -> Result<(), Failure> {
        let (bytes, content) = self.plan.read(digest, media_type)?;
        let new =
            NewManifest { digest, bytes: &bytes, content: &content, tags, condition: Condition::default() };
        Ok(self.store.put_manifest(&self.asked.name, &new)?)
    }
}
