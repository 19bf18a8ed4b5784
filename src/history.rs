//! `registry history` and `registry set-back`: what a tag has been, and that again.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::name::RepositoryName;
use crate::reference::{Reference, Tag};
use crate::store::Store;
use crate::store::history::Note;
use crate::store::manifests::{Condition, NewManifest};

/// What a tag has been, a line for each change; or all tags, with the tag in front.
///
/// # Errors
/// A sentence: nothing is known of it, or a file cannot be read.
pub fn show(store: &Store, name: &RepositoryName, tag: Option<&Tag>) -> Result<String, String> {
    if !store.repository_exists(name) {
        return Err(Error::NameUnknown(name.clone()).to_string());
    }
    let lines = match tag {
        Some(tag) => lines_of(store, name, tag, ""),
        None => all_tags(store, name).and_then(|tags| {
            let each = tags.iter().map(|tag| lines_of(store, name, tag, &format!("{tag} ")));
            each.collect::<Result<String, _>>()
        }),
    };
    match (lines.map_err(|error| error.log_text())?, tag) {
        (lines, Some(tag)) if lines.is_empty() => Err(format!("nothing is known of a tag {tag} of {name}")),
        (lines, _) => Ok(lines),
    }
}

fn lines_of(store: &Store, name: &RepositoryName, tag: &Tag, before: &str) -> Result<String, Error> {
    let (history, mut text) = (store.read_history(name, tag)?, String::new());
    let now = store.read_tag(name, tag)?.map(|target| target.digest());
    for (at, line) in history.iter().enumerate() {
        let event = match line.note {
            None => "set",
            Some(Note::Deleted) => "deleted",
            Some(Note::Found) => "found",
        };
        let is_last = at + 1 == history.len();
        let state = match store.has_manifest(name, &line.digest)? {
            true if is_last && line.leaves() == now.as_ref() && now.is_some() => "now",
            true => "there",
            false => "gone",
        };
        let _ = writeln!(text, "{before}{} {} {event} {state}", line.time, line.digest);
    }
    Ok(text)
}

/// Those that are there and those that were.
fn all_tags(store: &Store, name: &RepositoryName) -> Result<BTreeSet<Tag>, Error> {
    let mut tags: BTreeSet<Tag> = store.remembered_tags(name)?.into_iter().collect();
    tags.extend(store.list_tags(name, None, usize::MAX)?.0.iter().filter_map(|text| Tag::parse(text).ok()));
    Ok(tags)
}

/// Sets a tag to a manifest that the repository has: to this, or to what the tag was before. Says what was done.
///
/// # Errors
/// A sentence: there is nothing to set it back to, or the manifest or something that it refers to is gone, or the
/// tag is immutable.
pub fn set_back(
    store: &Store,
    name: &RepositoryName,
    tag: &Tag,
    digest: Option<&Digest>,
) -> Result<String, String> {
    let history = store.read_history(name, tag).map_err(|error| error.log_text())?;
    let now = store.read_tag(name, tag).map_err(|error| error.log_text())?.map(|target| target.digest());
    let now = now.as_ref();
    let before = history.iter().rev().map(|line| &line.digest).find(|digest| Some(*digest) != now);
    let Some(digest) = digest.or(before) else {
        return Err(format!(
            "nothing is known of what {name}:{tag} was before; give the digest to set it to"
        ));
    };
    if now == Some(digest) {
        return Ok(format!("{name}:{tag} is {digest} already"));
    }
    let bytes = match store.read_manifest(name, &Reference::Digest(digest.clone())) {
        Ok(stored) => stored.bytes,
        Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => {
            return Err(format!(
                "{name} does not have the manifest {digest} any more: push it again, or choose one that \
                 `registry history {name}:{tag}` calls there"
            ));
        }
        Err(error) => return Err(error.log_text()),
    };
    if Digest::of(digest.algorithm(), &bytes) != *digest {
        return Err(format!("the bytes of {digest} have changed; `registry verify` says what to do"));
    }
    let content = Manifest::parse_stored(&bytes).map_err(|error| error.to_string())?;
    let tags = [tag.clone()];
    let new = NewManifest {
        digest,
        bytes: &bytes,
        content: &content,
        tags: &tags,
        condition: Condition::default(),
    };
    store.put_manifest(name, &new).map_err(|error| error.log_text())?;
    let done = format!("{name}:{tag} is {digest} again; it was ");
    Ok(match now {
        None => done + "nothing",
        Some(was) => format!(
            "{done}{was}\n`registry set-back {name}:{tag}` now undoes this; to go further back, give a digest of \
             `registry history {name}:{tag}`"
        ),
    })
}
