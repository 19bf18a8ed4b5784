//! Tags: names that move.
//!
//! Who sees what, when: a tag is a symbolic link to a manifest of its repository, and is moved by renaming a
//! new link over it, so a reader sees the old manifest or the new one. What somebody made by hand works too: a regular
//! file, whose content is the manifest, and a link that leads to a manifest of the repository in another way.

use std::collections::BinaryHeap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Store;
use super::disk;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::name::RepositoryName;
use crate::reference::Tag;
use crate::system::process::LINKS_IN_A_CIRCLE;

/// What a tag is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagTarget {
    /// A link to a manifest of the repository.
    Manifest(Digest),
    /// A file of its own, with these bytes.
    File(Vec<u8>),
}

impl TagTarget {
    /// The digest of the manifest.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Manifest(digest) => digest.clone(),
            Self::File(bytes) => Digest::of(Algorithm::Sha256, bytes),
        }
    }
}

impl Store {
    /// What a tag points at; `None` if there is no such tag, or one that points to nowhere we know.
    pub fn read_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<TagTarget>, Error> {
        let path = self.tag(name, tag);
        match disk::target(&path) {
            Ok(None) => Ok(None),
            Ok(Some(target)) => {
                let digest =
                    parse_target(&target).map_or_else(|| self.follow(name, &path), |it| Ok(Some(it)))?;
                Ok(digest.map(TagTarget::Manifest))
            }
            // It is no symbolic link.
            Err(error) if error.source.kind() == ErrorKind::InvalidInput => {
                Ok(disk::read(&path)?.map(TagTarget::File))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// To which manifest of its repository a link leads that is written in another way than ours (`latest -> v1`, an
    /// absolute path), if to any. What lies elsewhere is not served, whatever leads there.
    fn follow(&self, name: &RepositoryName, tag: &Path) -> Result<Option<Digest>, Error> {
        let manifests = self.repository(name).join("_manifests");
        let (Some(target), Some(manifests)) = (end_of(tag)?, end_of(&manifests)?) else {
            return Ok(None);
        };
        let within = target.strip_prefix(&manifests).ok();
        Ok(within.and_then(|path| parse_target(&Path::new("_manifests").join(path))))
    }

    /// The content of a tag that is a file of its own, by its digest: a client that was told what the tag is asks
    /// for that next.
    pub(super) fn read_tag_file(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Vec<u8>>, Error> {
        for text in disk::file_names(&self.tags(name))? {
            let Ok(tag) = Tag::parse(&text) else { continue };
            let target = self.read_tag(name, &tag)?.filter(|target| target.digest() == *digest);
            if let Some(TagTarget::File(bytes)) = target {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// May this tag be set? Who goes by it owns the repository's lock, where the tag is one of those that are set once.
    ///
    /// # Errors
    /// [`Error::TagImmutable`]: it is there, is something else, and stays that.
    pub fn require_mutable(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        becomes: Option<&Digest>,
    ) -> Result<(), Error> {
        if !self.is_immutable(name, tag) {
            return Ok(());
        }
        match self.read_tag(name, tag)?.map(|target| target.digest()) {
            Some(current) if Some(&current) != becomes => {
                Err(Error::TagImmutable { name: name.clone(), tag: tag.clone(), current: Some(current) })
            }
            _ => Ok(()),
        }
    }

    /// Is this one of the tags that are set once? Who sets it, or takes it away, owns the repository's lock.
    pub(super) fn is_immutable(&self, name: &RepositoryName, tag: &Tag) -> bool {
        self.immutable.match_tag(name, tag)
    }

    /// Points a tag at a manifest, durably. The repository's lock is the caller's.
    pub(super) fn write_tag(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<(), Error> {
        self.create_folder(&self.tags(name))?;
        let point = || disk::point(&self.tag(name, tag), &target_of("..", digest));
        self.change_tag(name, tag, Some(digest), point)
    }

    /// Makes what was done to the tags of a repository durable.
    pub(super) fn sync_tags(&self, name: &RepositoryName) -> Result<(), Error> {
        Ok(disk::sync_folder(&self.tags(name))?)
    }

    /// Removes a tag, not its manifest.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`] or [`Error::NameUnknown`]; [`Error::TagImmutable`].
    pub fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), Error> {
        if !self.repository_exists(name) {
            return Err(Error::NameUnknown(name.clone()));
        }
        let _repository = self.own_repository(name)?;
        self.require_mutable(name, tag, None)?;
        let path = self.tag(name, tag);
        let can_be_tag = path.symlink_metadata().is_ok_and(|there| there.is_file() || there.is_symlink());
        if !can_be_tag || !self.change_tag(name, tag, None, || Ok(disk::remove(&path)?))? {
            return Err(Error::ManifestUnknown { name: name.clone(), reference: tag.to_string() });
        }
        self.sync_tags(name)
    }

    /// Removes all tags that point at a manifest, of which none is immutable. The repository's lock is the caller's.
    /// Where there is no history of one, none is begun: a line that it was this, which is about to go, is of no use.
    pub(super) fn delete_tags_of(&self, name: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        let mut tags = Vec::new();
        for text in disk::file_and_link_names(&self.tags(name))? {
            let Ok(tag) = Tag::parse(&text) else { continue };
            if self.read_tag(name, &tag)?.is_some_and(|target| target.digest() == *digest) {
                tags.push(tag);
            }
        }
        tags.sort();
        for tag in &tags {
            let remove = || Ok(disk::remove(&self.tag(name, tag))?);
            match self.has_history(name, tag)? {
                true => self.change_tag(name, tag, None, remove)?,
                false => remove()?,
            };
        }
        // Also when there was none: one may have been moved or removed by somebody who never got to sync it.
        disk::if_exists(disk::sync_folder(&self.tags(name)))?;
        Ok(())
    }

    /// The tags of a repository in ASCII order, at most `limit` of them, those behind `last`; and whether there
    /// are more.
    ///
    /// # Errors
    /// [`Error::NameUnknown`].
    pub fn list_tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), Error> {
        if !self.repository_exists(name) {
            return Err(Error::NameUnknown(name.clone()));
        }
        let names = disk::file_and_link_names(&self.tags(name))?;
        let tags = names.into_iter().filter(|text| Tag::parse(text).is_ok());
        Ok(page(tags, last, limit))
    }
}

/// Where a path leads, without any symbolic link in it; `None` when that is nowhere, or where we may not look.
fn end_of(path: &Path) -> Result<Option<PathBuf>, Error> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidFilename => Ok(None), // one that is too long
        Err(error) if error.raw_os_error() == Some(LINKS_IN_A_CIRCLE) => Ok(None),
        found => Ok(disk::if_exists(found.map_err(disk::failed("follow", path)))?),
    }
}

/// The first `limit` of `names` in order, of those behind `last`, without sorting them all; and whether there
/// are more.
pub(super) fn page(
    names: impl Iterator<Item = String>,
    last: Option<&str>,
    limit: usize,
) -> (Vec<String>, bool) {
    let behind = names.filter(|name| last.is_none_or(|last| name.as_str() > last));
    let mut first = BinaryHeap::new(); // its largest is on top, and goes when there are too many
    let mut more = false;
    for name in behind {
        first.push(name);
        if first.len() > limit {
            first.pop();
            more = true;
        }
    }
    (first.into_sorted_vec(), more)
}

/// What a link to a manifest contains; `up` leads from the link's folder to the repository's.
pub(super) fn target_of(up: &str, digest: &Digest) -> PathBuf {
    [up, "_manifests", digest.algorithm().as_str(), digest.hex()].iter().collect()
}

/// Reads the digest out of `…/_manifests/<algorithm>/<hex>`.
pub(super) fn parse_target(target: &Path) -> Option<Digest> {
    let parts: Vec<&str> = target.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
    match parts.as_slice() {
        [up @ .., "_manifests", algorithm, hex] if up.iter().all(|part| *part == "..") => {
            Digest::from_parts(Algorithm::parse(algorithm).ok()?, hex).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_sorted_and_ends_at_its_limit() {
        let names = || ["c", "a", "d", "b"].into_iter().map(str::to_owned);
        assert_eq!(page(names(), None, 9), (vec!["a".into(), "b".into(), "c".into(), "d".into()], false));
        assert_eq!(page(names(), None, 2), (vec!["a".into(), "b".into()], true));
        assert_eq!(page(names(), Some("b"), 2), (vec!["c".into(), "d".into()], false));
        assert_eq!(page(names(), Some("bb"), 1), (vec!["c".into()], true), "`last` need not exist");
        assert_eq!(page(names(), None, 0), (vec![], true));
    }

    #[test]
    fn only_links_to_manifests_are_tags() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        assert_eq!(parse_target(&target_of("..", &digest)), Some(digest.clone()));
        for odd in ["/etc/passwd", "../../other/_manifests/sha256/00", "../_manifests/sha256/..", ""] {
            assert_eq!(parse_target(Path::new(odd)), None, "{odd}");
        }
        let outside = format!("../../x/_manifests/sha256/{}", digest.hex());
        assert_eq!(parse_target(Path::new(&outside)), None);
    }
}
