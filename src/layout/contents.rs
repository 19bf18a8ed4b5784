//! What is in a layout, by digest, and which names it has there; whether it is OCI's or what `docker save` wrote.

use std::collections::BTreeMap;
use std::path::Path;

use super::source::{Content, Links, Source, Spool};
use super::{Failure, INDEX_FILE, MARK_FILE, blob_file, docker, index};
use crate::digest::Digest;
use crate::reference::Tag;

/// What `dir:` of skopeo has beside a `manifest.json`, which is an image's manifest there.
const DIRECTORY_MARK_FILE: &str = "version";

/// A layout, opened.
pub struct Contents {
    source: Source,
    /// What it lists: the entries of `index.json`, or the images of `docker save`.
    pub listed: Vec<Listed>,
    /// Where content is; `None`: under `blobs/`, by its digest.
    places: Option<BTreeMap<Digest, Place>>,
}

/// Something that a layout lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it says it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The names that it has in the layout.
    pub names: Vec<Name>,
}

/// A name in a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// The tag in it, if there is one.
    pub tag: Option<Tag>,
    /// As it is written there, once or in several ways: `v1`, `docker.io/library/hello:v1`.
    pub spelled: Vec<String>,
}

/// Where content is that has no file named by its digest. It has been hashed.
pub(super) enum Place {
    /// In this file.
    File(String),
    /// Nowhere: it was made from what else there is.
    Made(Vec<u8>),
}

impl Contents {
    /// Opens the layout at `path`. What is read into memory has at most `limit` bytes; what is
    /// compressed goes by way of `spool`.
    ///
    /// # Errors
    /// It is none, is damaged, or is of a version that nobody knows yet.
    pub fn open(path: &Path, limit: u64, spool: &Spool<'_>) -> Result<Self, Failure> {
        let source = Source::open(path, spool)?;
        // Docker writes both since version 25. OCI's says more: the manifests themselves.
        if source.has(MARK_FILE) {
            let listed = index::read(&source, limit)?;
            return Ok(Self { source, listed, places: None });
        }
        if source.has(DIRECTORY_MARK_FILE) && source.has(docker::LIST_FILE) {
            return Err(Failure::Refused(
                "is a directory of skopeo's kind dir: (podman's docker-dir), which has neither names nor types; write \
                 an OCI layout: skopeo copy dir:… oci:LAYOUT:TAG"
                    .to_owned(),
            ));
        }
        if source.has(docker::LIST_FILE) {
            let (listed, places) = docker::read(&source, limit)?;
            return Ok(Self { source, listed, places: Some(places) });
        }
        Err(Failure::Refused(match source.has(INDEX_FILE) {
            true => format!(
                "has {INDEX_FILE} but no file {MARK_FILE}, so which version of a layout it is nobody knows"
            ),
            false => format!(
                "is no layout: at its top is neither {MARK_FILE} (OCI) nor {} (docker save)",
                docker::LIST_FILE
            ),
        }))
    }

    /// Opens content; `None` if the layout does not have it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn content(&self, digest: &Digest) -> Result<Option<Content<'_>>, Failure> {
        match &self.places {
            None => self.source.file(&blob_file(digest), Links::Refuse),
            Some(places) => match places.get(digest) {
                None => Ok(None),
                Some(Place::File(name)) => self.source.file(name, Links::Follow),
                Some(Place::Made(bytes)) => Ok(Some(Content::new(bytes.as_slice(), bytes.len() as u64))),
            },
        }
    }

    /// The file that content is in, for messages.
    pub fn place(&self, digest: &Digest) -> String {
        match self.places.as_ref().and_then(|places| places.get(digest)) {
            Some(Place::File(name)) => name.clone(),
            Some(Place::Made(_)) => docker::LIST_FILE.to_owned(),
            None => blob_file(digest),
        }
    }

    /// Has this content been hashed when the layout was opened?
    pub fn is_hashed(&self, digest: &Digest) -> bool {
        self.places.as_ref().is_some_and(|places| places.contains_key(digest))
    }
}

impl Name {
    /// A name that may be spelled in several ways; the first that has a tag in it gives the tag.
    pub(super) fn new(spelled: Vec<String>) -> Self {
        Self { tag: spelled.iter().find_map(|text| tag_in(text)), spelled }
    }

    /// Is this the name that somebody typed? What docker leaves out may be left out.
    pub fn is(&self, typed: &str) -> bool {
        self.spelled.iter().any(|text| familiar(text) == familiar(typed))
    }
}

/// The tag in a name: the whole, if it is one, or what follows the colon of a full reference
/// (`localhost:5000/hello:v1` is `v1`; `localhost:5000/hello` has none).
fn tag_in(text: &str) -> Option<Tag> {
    if let Ok(tag) = Tag::parse(text) {
        return Some(tag);
    }
    let without_digest = text.split('@').next().unwrap_or(text);
    let last = without_digest.rsplit('/').next().unwrap_or(without_digest);
    last.split_once(':').and_then(|(_, tag)| Tag::parse(tag).ok())
}

fn familiar(text: &str) -> &str {
    let text = text.strip_prefix("docker.io/").unwrap_or(text);
    text.strip_prefix("library/").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_a_tag() {
        for (text, expect) in [
            ("v1", Some("v1")),
            ("hello", Some("hello")),
            ("hello:v1", Some("v1")),
            ("docker.io/library/hello:v1", Some("v1")),
            ("localhost:5000/hello:v1", Some("v1")),
            ("localhost:5000/hello", None),
            ("library/hello", None),
            ("hello:v1@sha256:00", Some("v1")),
            ("hello@sha256:00", None),
            ("hello:.v1", None),
            ("", None),
        ] {
            assert_eq!(tag_in(text).as_ref().map(Tag::as_str), expect, "{text}");
        }
    }

    #[test]
    fn docker_may_leave_out_what_is_its_own() {
        let name = Name::new(vec!["docker.io/library/hello:v1".into(), "v1".into()]);
        for typed in ["hello:v1", "library/hello:v1", "docker.io/library/hello:v1", "v1"] {
            assert!(name.is(typed), "{typed}");
        }
        for typed in ["hello", "hello:v2", "other/hello:v1", ""] {
            assert!(!name.is(typed), "{typed}");
        }
    }
}
