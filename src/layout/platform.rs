//! Of an image that there is for several platforms, the one for a single platform.
//!
//! An index lists them, each with its platform (image-spec, image-index.md). What containerd exports is often such an
//! index with one platform of it: it pulls the one that it runs, and exports the index as it is.

use std::collections::BTreeSet;
use std::fmt;

use super::Failure;
use super::choose::Chosen;
use super::contents::Listed;
use super::plan::Plan;
use crate::descriptor::ManifestType;
use crate::digest::Digest;
use crate::json::Json;
use crate::manifest::Content;

/// What an image runs on: `linux/amd64`, `linux/arm/v7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// Reads `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
        let (os, architecture, variant) = match <[String; 2]>::try_from(parts) {
            Ok([os, architecture]) => (os, architecture, None),
            Err(parts) => {
                let [os, architecture, variant] = <[String; 3]>::try_from(parts).ok()?;
                (os, architecture, Some(variant))
            }
        };
        let is_empty = os.is_empty() || architecture.is_empty() || variant.as_deref() == Some("");
        (!is_empty).then_some(Self { os, architecture, variant })
    }

    /// By what an index says of an image.
    fn of(entry: Json<'_>) -> Option<Self> {
        let [platform] = entry.pick("", ["platform"]).ok()?;
        let parts = platform?.pick("", ["os", "architecture", "variant"]).ok()?;
        let [os, architecture, variant] =
            parts.map(|part| part.and_then(Json::string).filter(|text| !text.is_empty()));
        Some(Self {
            os: os?.into_owned(),
            architecture: architecture?.into_owned(),
            variant: variant.map(std::borrow::Cow::into_owned),
        })
    }

    /// Is an image for this platform what was asked for? Any variant will do if none was; and arm64 is its v8.
    fn is_for(&self, asked: &Self) -> bool {
        let implied = (self.architecture == "arm64").then_some("v8");
        (&self.os, &self.architecture) == (&asked.os, &asked.architecture)
            && (asked.variant.is_none() || asked.variant.as_deref() == self.variant.as_deref().or(implied))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// An image that an index lists.
struct Image {
    platform: Platform,
    listed: Listed,
}

/// Puts in the place of each index that is chosen its image for a platform.
///
/// # Errors
/// There is none, or there are several.
pub fn select(plan: &Plan<'_>, chosen: &mut [Chosen], asked: &Platform) -> Result<(), Failure> {
    for chosen in chosen {
        if !is_index(&chosen.listed) {
            continue;
        }
        let images = images_of(plan, &chosen.listed)?;
        let (for_it, others): (Vec<_>, Vec<_>) =
            images.into_iter().partition(|image| image.platform.is_for(asked));
        let index = &chosen.listed.digest;
        match <[Image; 1]>::try_from(for_it) {
            Ok([image]) => chosen.listed = image.listed,
            Err(none) if none.is_empty() => {
                let why = format!("{index} lists no image for {asked}, but for {}", platforms(&others));
                return Err(Failure::Refused(why));
            }
            Err(several) => {
                let why = format!("{index} lists several for {asked}: {}; say which", platforms(&several));
                return Err(Failure::Refused(why));
            }
        }
    }
    Ok(())
}

/// The way out when something of `listed` is missing: what of it is whole, if it is an index.
pub(super) fn way_out(plan: &Plan<'_>, listed: &Listed) -> String {
    let images = if is_index(listed) { images_of(plan, listed).unwrap_or_default() } else { Vec::new() };
    let whole: Vec<Image> = images.into_iter().filter(|image| is_whole(plan, &image.listed)).collect();
    match &whole[..] {
        [] => "make the layout anew with all that belongs to it (of all platforms)".to_owned(),
        [first, ..] => {
            let (all, first) = (platforms(&whole), &first.platform);
            format!(
                "make the layout anew with all platforms, or import one that is whole here, {all}: --platform {first}"
            )
        }
    }
}

fn is_index(listed: &Listed) -> bool {
    ManifestType::parse(&listed.media_type).is_some_and(ManifestType::is_index)
}

/// The images below an index that say what they are for. An index below it that is missing lists none.
fn images_of(plan: &Plan<'_>, index: &Listed) -> Result<Vec<Image>, Failure> {
    let (mut images, mut open, mut seen) = (Vec::new(), vec![index.clone()], BTreeSet::<Digest>::new());
    while let Some(index) = open.pop() {
        if !seen.insert(index.digest.clone()) || !plan.is_there(&index.digest)? {
            continue;
        }
        let (bytes, manifest) = plan.read(&index.digest, &index.media_type)?;
        let Content::Index { manifests } = manifest.content else { continue };
        let [entries] = Json::parse(&bytes)?.pick("", ["manifests"])?;
        for (entry, descriptor) in entries.and_then(Json::elements).into_iter().flatten().zip(manifests) {
            let listed = Listed::from(descriptor);
            match Platform::of(entry) {
                _ if is_index(&listed) => open.push(listed),
                Some(platform) => images.push(Image { platform, listed }),
                None => {}
            }
        }
    }
    images.sort_by(|one, other| one.platform.cmp(&other.platform));
    Ok(images)
}

/// Is all there that belongs to an image? Its bytes are not looked at.
fn is_whole(plan: &Plan<'_>, image: &Listed) -> bool {
    let read = plan.read(&image.digest, &image.media_type);
    read.is_ok_and(|(_, manifest)| {
        manifest.required().all(|(_, part)| plan.is_there(&part.digest).unwrap_or(false))
    })
}

fn platforms(images: &[Image]) -> String {
    let shown: BTreeSet<String> = images.iter().map(|image| image.platform.to_string()).collect();
    match shown.is_empty() {
        true => "none".to_owned(),
        false => shown.into_iter().collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_read_and_written() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(Platform::parse(text).map(|platform| platform.to_string()).as_deref(), Some(text));
        }
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/", "linux/arm/v7/x"] {
            assert_eq!(Platform::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_variant_that_is_not_asked_for_does_not_matter() {
        let check = |there: &str, asked: &str, expect: bool| {
            let (there, asked) = (Platform::parse(there).unwrap(), Platform::parse(asked).unwrap());
            assert_eq!(there.is_for(&asked), expect, "{there} {asked}");
        };
        check("linux/amd64", "linux/amd64", true);
        check("linux/amd64", "windows/amd64", false);
        check("linux/arm/v7", "linux/arm", true);
        check("linux/arm/v7", "linux/arm/v6", false);
        check("linux/arm", "linux/arm/v7", false);
        check("linux/arm64", "linux/arm64/v8", true);
        check("linux/arm64/v8", "linux/arm64", true);
    }
}
