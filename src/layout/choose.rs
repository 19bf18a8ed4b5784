//! Which manifests of a layout are wanted, and which tags they get.
//!
//! A name in a layout is what another program made of it: a tag (`v1`), or a full reference
//! (`docker.io/library/hello:v1`). The repository is always the one that was typed; of the name in the layout,
//! only the tag counts.

use std::collections::{BTreeMap, BTreeSet};

use super::Failure;
use super::contents::{Contents, Listed};
use super::plan::Plan;
use crate::descriptor::ManifestType;
use crate::digest::Digest;
use crate::json::quote;
use crate::reference::Tag;

/// How many names a message repeats.
const NAMES_SHOWN_MAX: usize = 10;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// The tag that it is to get, which is also its name in the layout unless another is given.
    pub tag: Option<&'a Tag>,
    /// Its name in the layout, or its digest.
    pub named: Option<&'a str>,
}

/// Something that is to be imported.
#[derive(Debug)]
pub struct Chosen {
    /// The entry of the layout.
    pub listed: Listed,
    /// The tags it gets.
    pub tags: Vec<Tag>,
}

/// Finds what is wanted. Each manifest comes once, with all its tags.
///
/// # Errors
/// There is no such thing, or more than one.
pub fn choose(contents: &Contents, plan: &Plan<'_>, wish: Wish<'_>) -> Result<Vec<Chosen>, Failure> {
    let manifests: Vec<&Listed> = contents.listed.iter().filter(|listed| is_manifest(listed)).collect();
    if manifests.is_empty() {
        return Err(Failure::Refused("holds no manifest, so there is nothing to import".to_owned()));
    }
    let chosen = match wish {
        Wish { tag: None, named: None } => with_their_tags(manifests.iter().copied(), |_| true),
        Wish { tag, named: Some(typed) } => {
            let digest = Digest::parse(typed).ok();
            let has_it = |listed: &Listed| match &digest {
                Some(digest) => listed.digest == *digest,
                None => listed.names.iter().any(|name| name.is(typed)),
            };
            let found = manifests.iter().copied().filter(|listed| has_it(listed));
            let found = with_their_tags(found, |name| digest.is_some() || name.is(typed));
            one_of(found, &manifests, &format!("of the name {}", quote(typed)), tag)?
        }
        Wish { tag: Some(tag), named: None } => {
            let has = |listed: &&Listed| listed.names.iter().any(|name| name.tag.as_ref() == Some(tag));
            let found =
                with_their_tags(manifests.iter().copied().filter(has), |name| name.tag.as_ref() == Some(tag));
            // What holds one thing needs no name for it, and what is about that is nothing of its own.
            let mut all = with_their_tags(manifests.iter().copied(), |_| true);
            all.retain(|chosen| found.is_empty() && !is_referrer(plan, &chosen.listed, &manifests));
            let found = if found.is_empty() && all.len() == 1 { all } else { found };
            one_of(found, &manifests, &format!("with the tag {tag}"), Some(tag))?
        }
    };
    check_tags(&chosen)?;
    Ok(chosen)
}

/// Adds to the plan those of the layout's manifests that are about something in it: signatures, bills of materials.
///
/// # Errors
/// A manifest of the layout cannot be read.
pub fn add_referrers<'c>(contents: &'c Contents, plan: &mut Plan<'c>) -> Result<Vec<Chosen>, Failure> {
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for listed in contents.listed.iter().filter(|listed| is_manifest(listed)) {
            if plan.has(&listed.digest) {
                continue;
            }
            let (_, manifest) = plan.read(&listed.digest, &listed.media_type)?;
            if manifest.subject.is_some_and(|subject| plan.has(&subject.digest)) {
                plan.add(listed)?;
                found.push(Chosen { listed: listed.clone(), tags: Vec::new() });
            }
        }
        if found.len() == before {
            return Ok(found); // a signature may have been signed, too; now nothing more has come
        }
    }
}

/// An index may list what is none (image-layout.md shows such a one); a registry cannot serve that.
pub fn is_manifest(listed: &Listed) -> bool {
    ManifestType::parse(&listed.media_type).is_some()
}

/// Is it about something else that is listed? What cannot be read is not; it is refused later.
fn is_referrer(plan: &Plan<'_>, listed: &Listed, all: &[&Listed]) -> bool {
    let manifest = plan.read(&listed.digest, &listed.media_type);
    let subject = manifest.ok().and_then(|(_, manifest)| manifest.subject);
    subject.is_some_and(|subject| all.iter().any(|other| other.digest == subject.digest))
}

/// Puts together the entries of one manifest, with the tags in those names that are `wanted`.
fn with_their_tags<'c>(
    listed: impl Iterator<Item = &'c Listed>,
    wanted: impl Fn(&super::contents::Name) -> bool,
) -> Vec<Chosen> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut places = BTreeMap::new();
    for listed in listed {
        let at = *places.entry(&listed.digest).or_insert_with(|| {
            chosen.push(Chosen { listed: listed.clone(), tags: Vec::new() });
            chosen.len() - 1
        });
        for tag in listed.names.iter().filter(|name| wanted(name)).filter_map(|name| name.tag.as_ref()) {
            if !chosen[at].tags.contains(tag) {
                chosen[at].tags.push(tag.clone());
            }
        }
    }
    chosen
}

/// Exactly one is wanted, under `tag` if there is one.
fn one_of(
    mut found: Vec<Chosen>,
    all: &[&Listed],
    what: &str,
    tag: Option<&Tag>,
) -> Result<Vec<Chosen>, Failure> {
    match &mut found[..] {
        [one] => {
            if let Some(tag) = tag {
                one.tags = vec![tag.clone()];
            }
            Ok(found)
        }
        [] => Err(Failure::Refused(format!("holds nothing {what}; it holds {}", names(all)))),
        several => Err(Failure::Refused(format!(
            "holds {} manifests {what}; choose one by its full name or its digest, with --ref; it holds {}",
            several.len(),
            names(all)
        ))),
    }
}

/// A tag is one manifest.
fn check_tags(chosen: &[Chosen]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for tag in chosen.iter().flat_map(|chosen| &chosen.tags) {
        if !seen.insert(tag) {
            let listed: Vec<&Listed> = chosen.iter().map(|chosen| &chosen.listed).collect();
            return Err(Failure::Refused(format!(
                "holds two manifests that would both be {tag} here; import one at a time, by its full name or its digest, \
                 with --ref; it holds {}",
                names(&listed)
            )));
        }
    }
    Ok(())
}

/// What there is, for the one who asked for something else.
fn names(all: &[&Listed]) -> String {
    let mut names: Vec<String> = Vec::new();
    for listed in all {
        // The longest spelling says most.
        let spelled =
            listed.names.iter().filter_map(|name| name.spelled.iter().max_by_key(|text| text.len()));
        let before = names.len();
        names.extend(spelled.map(|text| quote(text)));
        if names.len() == before {
            names.push(listed.digest.to_string());
        }
    }
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    names.truncate(NAMES_SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &more
}
