//! `oci-layout` and `index.json`: what a layout says of itself (image-spec, image-layout.md).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::contents::{Listed, Name};
use super::source::{Links, Source};
use super::{CONTAINERD_NAME, Failure, INDEX_FILE, MARK_FILE, REF_NAME, VERSION};
use crate::descriptor::{Descriptor, OCI_INDEX};
use crate::digest::Digest;
use crate::error::Error;
use crate::json::{Json, quote};
use crate::manifest::{Content, Manifest};
use crate::reference::Tag;

/// Reads what is listed.
pub(super) fn read(source: &Source, limit: u64) -> Result<Vec<Listed>, Failure> {
    check_mark(source, limit)?;
    let Some(bytes) = source.read(INDEX_FILE, limit, Links::Refuse)? else {
        return Err(Failure::at(INDEX_FILE, "is missing: the layout was not written to its end"));
    };
    let entries = parse(&bytes)?;
    Ok(entries.into_iter().map(Listed::from).collect())
}

/// Is it a layout of the version we know?
pub(super) fn check_mark(source: &Source, limit: u64) -> Result<(), Failure> {
    let bytes = source.read(MARK_FILE, limit, Links::Refuse)?.unwrap_or_default();
    let version = Json::parse(&bytes)
        .and_then(|json| json.pick("", ["imageLayoutVersion"]).map(|[version]| version?.string()))
        .map_err(|error| Failure::at(MARK_FILE, as_document(&error)))?;
    match version.as_deref() {
        Some(VERSION) => Ok(()),
        Some(other) => {
            Err(Failure::at(MARK_FILE, format!("imageLayoutVersion is {}, known is {VERSION}", quote(other))))
        }
        None => Err(Failure::at(MARK_FILE, "has no imageLayoutVersion")),
    }
}

/// `index.json` keeps the rules of an image index that is pushed.
fn parse(bytes: &[u8]) -> Result<Vec<Descriptor>, Failure> {
    let index = Manifest::parse(bytes, Some(OCI_INDEX));
    match index.map_err(|error| Failure::at(INDEX_FILE, as_document(&error)))?.content {
        Content::Index { manifests } => Ok(manifests),
        Content::Image { .. } => Err(Failure::at(INDEX_FILE, "is no image index")),
    }
}

/// The parser of manifests speaks of "the manifest"; here it is another file.
pub(super) fn as_document(error: &Error) -> String {
    error.to_string().replacen("the manifest", "the document", 1)
}

impl From<Descriptor> for Listed {
    fn from(descriptor: Descriptor) -> Self {
        let spelled: Vec<_> =
            [REF_NAME, CONTAINERD_NAME].iter().filter_map(|key| descriptor.annotations.get(key)).collect();
        Self {
            media_type: descriptor.media_type,
            digest: descriptor.digest,
            size: descriptor.size,
            names: if spelled.is_empty() { Vec::new() } else { vec![Name::new(spelled)] },
        }
    }
}

// ---- writing

/// An entry to be written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub media_type: &'static str,
    pub digest: Digest,
    pub size: u64,
    pub tag: Option<Tag>,
}

impl Entry {
    fn json(&self) -> String {
        let mut entry = json!({
            "mediaType": self.media_type, "digest": self.digest.to_string(), "size": self.size,
        });
        if let Some(tag) = &self.tag {
            entry["annotations"] = json!({ REF_NAME: tag.as_str() });
        }
        entry.to_string()
    }
}

/// A new `index.json` with these entries, or the one that is there with them added. A name means one manifest: what
/// had it stays listed without it, as skopeo does. All else in the old one stays as it is written there.
pub(super) fn merge(old: Option<&[u8]>, entries: &[Entry]) -> Result<String, Failure> {
    let (mut list, mut listed) = (Vec::new(), BTreeSet::new());
    let mut members = vec![r#""schemaVersion":2"#.to_owned(), format!(r#""mediaType":"{OCI_INDEX}""#)];
    if let Some(bytes) = old {
        listed = parse(bytes)?.into_iter().map(|descriptor| descriptor.digest).collect();
        let document = Json::parse(bytes)?;
        members.clear();
        for (key, value) in document.members().into_iter().flatten() {
            if key == "manifests" {
                for entry in value.elements().into_iter().flatten() {
                    list.extend(kept(entry, entries)?);
                }
            } else {
                members.push(format!("{}:{}", json!(key), value.source().unwrap_or("null")));
            }
        }
    }
    // What is listed already need not be listed once more without a name.
    list.extend(
        entries.iter().filter(|it| it.tag.is_some() || !listed.contains(&it.digest)).map(Entry::json),
    );
    members.push(format!("\"manifests\":[{}]", list.join(",")));
    Ok(format!("{{{}}}\n", members.join(",")))
}

/// What becomes of an old entry beside the new ones; `None`: one of them says the same.
fn kept(old: Json<'_>, entries: &[Entry]) -> Result<Option<String>, Failure> {
    let descriptor = Descriptor::parse(old, INDEX_FILE)?;
    let name = descriptor.annotations.get(REF_NAME);
    let source = old.source().unwrap_or_default();
    let is_same = |entry: &&Entry| entry.digest == descriptor.digest;
    let Some(name) = name else {
        let is_named = entries.iter().any(|entry| is_same(&entry) && entry.tag.is_some());
        return Ok((!is_named).then(|| source.to_owned()));
    };
    match entries.iter().find(|entry| entry.tag.as_ref().is_some_and(|tag| tag.as_str() == name)) {
        None => Ok(Some(source.to_owned())),
        Some(entry) if is_same(&entry) => Ok(None),
        Some(_) => {
            let mut nameless: Value = serde_json::from_str(source).unwrap_or_default();
            if let Some(annotations) = nameless["annotations"].as_object_mut() {
                annotations.remove(REF_NAME);
            }
            Ok(Some(nameless.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::OCI_MANIFEST;
    use crate::digest::Algorithm;

    fn entry(content: &str, tag: Option<&str>) -> Entry {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        Entry { media_type: OCI_MANIFEST, digest, size: 1, tag: tag.map(|tag| Tag::parse(tag).unwrap()) }
    }

    /// Which content has which name, in order.
    #[track_caller]
    fn check(old: Option<&str>, entries: &[Entry], expect: &[(&str, Option<&str>)]) -> String {
        let merged = merge(old.map(str::as_bytes), entries).unwrap();
        let found: Vec<_> = parse(merged.as_bytes())
            .unwrap()
            .into_iter()
            .map(|found| (found.digest, found.annotations.get(REF_NAME)))
            .collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(content, tag)| (entry(content, None).digest, tag.map(str::to_owned)))
            .collect();
        assert_eq!(found, expect, "{merged}");
        merged
    }

    #[test]
    fn a_name_means_one_manifest_and_the_rest_stays_as_it_is() {
        let first =
            check(None, &[entry("a", Some("v1")), entry("b", None)], &[("a", Some("v1")), ("b", None)]);
        check(Some(&first), &[entry("a", Some("v1"))], &[("b", None), ("a", Some("v1"))]);
        check(Some(&first), &[entry("b", Some("v2"))], &[("a", Some("v1")), ("b", Some("v2"))]);
        check(Some(&first), &[entry("a", Some("v2"))], &[("a", Some("v1")), ("b", None), ("a", Some("v2"))]);
        check(Some(&first), &[entry("a", None), entry("b", None)], &[("a", Some("v1")), ("b", None)]);
        check(Some(&first), &[entry("c", Some("v1"))], &[("a", None), ("b", None), ("c", Some("v1"))]);
        let more = first.replacen('{', r#"{"annotations":{"a":"ä"}, "unknown" : [1, 2] ,"#, 1);
        let merged = check(Some(&more), &[entry("c", None)], &[("a", Some("v1")), ("b", None), ("c", None)]);
        assert!(merged.contains(r#""annotations":{"a":"ä"},"unknown":[1, 2],"#), "{merged}");
    }
}
