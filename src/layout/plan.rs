//! What is to be imported, all of it read and checked. Nothing is written here: what is wrong with a layout is
//! found before the store is touched.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{Contents, Listed};
use super::{Failure, digest_of, platform, read_limited};
use crate::descriptor::{Descriptor, ManifestType};
use crate::digest::Digest;
use crate::manifest::Manifest;

/// What is to be imported.
pub struct Plan<'c> {
    contents: &'c Contents,
    /// The most bytes that a manifest may have.
    limit: u64,
    /// Those that others refer to come first.
    pub manifests: Vec<Planned>,
    /// Blobs, with their lengths in bytes.
    pub blobs: BTreeMap<Digest, u64>,
    entered: BTreeSet<Digest>,
    /// What is being added.
    adding: Option<Listed>,
}

/// A manifest to be imported.
pub struct Planned {
    /// Its digest.
    pub digest: Digest,
    /// What the descriptor that led to it says it is: the Content-Type of a push.
    pub media_type: String,
    /// What it is about.
    pub subject: Option<Digest>,
}

/// What is still to be done. A list and not the stack of the program: indexes may nest as deep as somebody likes.
enum Step {
    /// Look at this manifest; it stands in that file.
    Enter(Wanted, String),
    /// All that it refers to has been looked at.
    Leave(Planned),
}

/// A descriptor, as far as it matters here.
#[derive(Clone)]
struct Wanted {
    media_type: String,
    digest: Digest,
    size: u64,
}

impl From<&Descriptor> for Wanted {
    fn from(descriptor: &Descriptor) -> Self {
        let Descriptor { media_type, digest, size, .. } = descriptor;
        Self { media_type: media_type.clone(), digest: digest.clone(), size: *size }
    }
}

impl<'c> Plan<'c> {
    /// Nothing yet.
    pub fn new(contents: &'c Contents, limit: u64) -> Self {
        Self {
            contents,
            limit,
            manifests: Vec::new(),
            blobs: BTreeMap::new(),
            entered: BTreeSet::new(),
            adding: None,
        }
    }

    /// Adds what the layout lists, and all that belongs to it.
    ///
    /// # Errors
    /// Something of it is missing, or is not what its descriptor says.
    pub fn add(&mut self, listed: &Listed) -> Result<(), Failure> {
        let Listed { media_type, digest, size, .. } = listed.clone();
        let from = "what the layout lists".to_owned();
        self.adding = Some(listed.clone());
        let mut steps = vec![Step::Enter(Wanted { media_type, digest, size }, from)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(wanted, from) => self.enter(wanted, &from, &mut steps)?,
                Step::Leave(planned) => self.manifests.push(planned),
            }
        }
        Ok(())
    }

    /// Is this manifest among what is to be imported?
    pub fn has(&self, digest: &Digest) -> bool {
        self.entered.contains(digest)
    }

    /// Reads and checks a manifest, by the rules of a push.
    ///
    /// # Errors
    /// It is missing, or not what is said of it.
    pub fn read(&self, digest: &Digest, media_type: &str) -> Result<(Vec<u8>, Manifest), Failure> {
        let place = self.contents.place(digest);
        let Some(content) = self.contents.content(digest)? else {
            return Err(Failure::at(&place, "is missing"));
        };
        let bytes = read_limited(content, self.limit).map_err(|error| Failure::at(&place, error))?;
        let bytes = bytes.ok_or_else(|| {
            Failure::at(
                &place,
                format!("is larger than a manifest may be, {} bytes (limits.manifest_bytes)", self.limit),
            )
        })?;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            return Err(damaged(&place, &actual));
        }
        let manifest =
            Manifest::parse(&bytes, Some(media_type)).map_err(|error| Failure::at(&place, error))?;
        Ok((bytes, manifest))
    }

    fn enter(&mut self, wanted: Wanted, from: &str, steps: &mut Vec<Step>) -> Result<(), Failure> {
        self.check_size(&wanted, from)?;
        if !self.entered.insert(wanted.digest.clone()) {
            return Ok(());
        }
        let (_, manifest) = self.read(&wanted.digest, &wanted.media_type)?;
        let place = self.contents.place(&wanted.digest);
        let subject = manifest.subject.as_ref().map(|subject| subject.digest.clone());
        steps.push(Step::Leave(Planned { digest: wanted.digest, media_type: wanted.media_type, subject }));
        let is_index = manifest.media_type.is_index();
        for (_, descriptor) in manifest.refers_to() {
            // An index may list what is no manifest: buildkit's cache lists layers.
            if is_index && ManifestType::parse(&descriptor.media_type).is_some() {
                steps.push(Step::Enter(descriptor.into(), place.clone()));
            } else if !descriptor.is_non_distributable() || self.is_there(&descriptor.digest)? {
                self.blob(&descriptor.into(), &place)?;
            }
        }
        Ok(())
    }

    /// Hashes a blob, once.
    fn blob(&mut self, wanted: &Wanted, from: &str) -> Result<(), Failure> {
        self.check_size(wanted, from)?;
        if self.blobs.contains_key(&wanted.digest) {
            return Ok(());
        }
        let place = self.contents.place(&wanted.digest);
        if !self.contents.is_hashed(&wanted.digest)
            && let Some(mut content) = self.contents.content(&wanted.digest)?
        {
            let hashed = digest_of(&mut content, wanted.digest.algorithm());
            let (actual, _) = hashed.map_err(|error| Failure::at(&place, error))?;
            if actual != wanted.digest {
                return Err(damaged(&place, &actual));
            }
        }
        self.blobs.insert(wanted.digest.clone(), wanted.size);
        Ok(())
    }

    /// Is it there, and as long as it is said to be?
    fn check_size(&self, wanted: &Wanted, from: &str) -> Result<(), Failure> {
        let place = self.contents.place(&wanted.digest);
        let Some(content) = self.contents.content(&wanted.digest)? else {
            let way_out = self.adding.as_ref().map(|listed| platform::way_out(self, listed));
            let way_out = way_out.unwrap_or_default();
            let why = format!("is missing, but {from} refers to it; an image is imported whole: {way_out}");
            return Err(Failure::at(&place, why));
        };
        match content.size() {
            size if size == wanted.size => Ok(()),
            size => Err(Failure::at(&place, format!("has {size} bytes, but {} by {from}", wanted.size))),
        }
    }

    /// Does the layout have this content?
    ///
    /// # Errors
    /// What is there is no plain file.
    pub fn is_there(&self, digest: &Digest) -> Result<bool, Failure> {
        Ok(self.contents.content(digest)?.is_some())
    }
}

fn damaged(place: &str, actual: &Digest) -> Failure {
    Failure::at(place, format!("is damaged: its bytes have the digest {actual}; make the layout anew"))
}
