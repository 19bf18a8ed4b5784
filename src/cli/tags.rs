//! `registry history` and `registry set-back`: the image that is meant.

use super::{Command, Parsed, ROOT_FLAGS, Typed};
use crate::config::Config;
use crate::digest::Digest;
use crate::name::RepositoryName;
use crate::reference::Tag;

/// What `registry history NAME[:TAG]` means.
pub(super) fn history(arguments: &[String], load: impl FnOnce(&Typed) -> Result<Config, String>) -> Parsed {
    let typed = Typed::parse(arguments, ROOT_FLAGS)?;
    let [image] = typed.operands.as_slice() else {
        return Err("history needs one image: registry history NAME[:TAG]".to_owned());
    };
    let (name, tag) = name_and_tag(image)?;
    Ok(Command::History { root: load(&typed)?.storage.path, name, tag })
}

/// What `registry set-back NAME:TAG [DIGEST]` means.
pub(super) fn set_back(arguments: &[String], load: impl FnOnce(&Typed) -> Result<Config, String>) -> Parsed {
    let typed = Typed::parse(arguments, ROOT_FLAGS)?;
    let (image, digest) = match typed.operands.as_slice() {
        [image] => (image, None),
        [image, digest] => (image, Some(digest)),
        _ => return Err("set-back needs a tag: registry set-back NAME:TAG [DIGEST]".to_owned()),
    };
    let (name, Some(tag)) = name_and_tag(image)? else {
        return Err(format!("{image:?} names no tag: registry set-back NAME:TAG [DIGEST]"));
    };
    let digest = digest.map(|text| Digest::parse(text)).transpose().map_err(|error| error.to_string())?;
    let config = load(&typed)?;
    let (root, immutable) = (config.storage.path, config.tags.immutable);
    Ok(Command::SetBack { root, immutable, name, tag, digest })
}

/// Takes `NAME[:TAG]` apart.
pub(super) fn name_and_tag(image: &str) -> Result<(RepositoryName, Option<Tag>), String> {
    let (name, tag) = match image.split_once(':') {
        None => (image, None),
        Some((name, tag)) => (name, Some(tag)),
    };
    let tag = tag.map(Tag::parse).transpose().map_err(|error| error.to_string());
    Ok((parse_name(name)?, tag?))
}

/// Here names come without the registry's address, which people are used to type in front.
pub(super) fn parse_name(text: &str) -> Result<RepositoryName, String> {
    RepositoryName::parse(text).map_err(|error| format!("{error}; no address of a registry belongs to it"))
}

pub(super) fn history_help() -> String {
    String::from(
        "\
Usage: registry history NAME[:TAG] [--root DIR] [--config FILE]

Shows what a tag has been, the oldest first; or all tags of a repository, with the tag in front.
A line:

  2026-11-21T00:21:13.717Z sha256:<digest> set there

the time; the manifest; what happened: set, deleted (it was this until then), found (it was this,
though nobody had noted it: somebody changed a file by hand, or the power failed); and how things
stand: now (the tag is this), there (the repository still has the manifest, so the tag can be set
back), gone.

  --root DIR             The directory that holds everything. [testdata]  storage.path
  --config FILE          The configuration file to take it from.

It is read from repositories/NAME/_history/TAG, a text file. Of a long one the older half goes by
itself; all of it in a sweep when the tag is gone, and with it all that it was.
",
    )
}

pub(super) fn set_back_help() -> String {
    String::from(
        "\
Usage: registry set-back NAME:TAG [DIGEST] [--root DIR] [--config FILE]

Sets a tag to a manifest that the repository still has: to DIGEST, or to what the tag was before,
as `registry history` shows it; a tag that was deleted, to what it was. Done twice, it is what it
was at first: to go further back, give a DIGEST of that list. It is as if the manifest
were pushed again: under the same locks, beside running servers, refused if anything that the
manifest refers to is missing, or if the configuration says that the tag is immutable. Run it as
the user of the servers; another is refused.

  --root DIR             The directory that holds everything. [testdata]  storage.path
  --config FILE          The configuration file to take it, and tags.immutable, from.
",
    )
}
