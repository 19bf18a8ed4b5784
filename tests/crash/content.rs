//! What is pushed in these tests, each thing under a name that tables and messages use.

use std::io::{self, Read};
use std::sync::LazyLock;

use container_registry::digest::{Algorithm, Digest};
use container_registry::manifest::Manifest;

use crate::parts::random::Random;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A blob or a manifest.
pub struct Thing {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub digest: Digest,
}

impl Thing {
    fn new(name: &'static str, bytes: Vec<u8>) -> Self {
        Self { name, digest: Digest::of(Algorithm::Sha256, &bytes), bytes }
    }

    /// What is in it, if it is a manifest.
    pub fn manifest(&self) -> Manifest {
        Manifest::parse_stored(&self.bytes).expect("a manifest")
    }
}

static THINGS: LazyLock<Vec<Thing>> = LazyLock::new(|| {
    let config = Thing::new("config", br#"{"os":"linux"}"#.to_vec());
    let layer = Thing::new("layer", noise(1, 500));
    let patch = Thing::new("patch", noise(2, 450));
    let image = Thing::new("image", image_of(&config, &layer, None));
    let next = Thing::new("next", image_of(&config, &patch, None));
    let signature = Thing::new("signature", image_of(&config, &config, Some(&image)));
    let index = Thing::new("index", index_of(&image));
    vec![config, layer, patch, image, next, signature, index]
});

/// All things.
pub fn things() -> &'static [Thing] {
    &THINGS
}

/// The thing of this name.
pub fn thing(name: &str) -> &'static Thing {
    THINGS.iter().find(|thing| thing.name == name).expect("a thing of this name")
}

/// The name of the thing with this digest.
pub fn name_of(digest: &Digest) -> &'static str {
    THINGS.iter().find(|thing| thing.digest == *digest).map_or("something else", |thing| thing.name)
}

fn image_of(config: &Thing, layer: &Thing, subject: Option<&Thing>) -> Vec<u8> {
    let descriptor = |media_type: &str, thing: &Thing| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{media_type}","digest":"{}","size":{}}}"#,
            thing.digest,
            thing.bytes.len()
        )
    };
    let subject = subject.map_or_else(String::new, |subject| {
        format!(r#","subject":{}"#, descriptor("manifest.v1+json", subject))
    });
    let (config, layer) = (descriptor("config.v1+json", config), descriptor("layer.v1.tar", layer));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{layer}]{subject}}}"#
    )
    .into_bytes()
}

fn index_of(child: &Thing) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{}}}]}}"#,
        child.digest,
        child.bytes.len()
    )
    .into_bytes()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    Random::new(seed, &[]).bytes(length)
}

/// A body that comes in small pieces, so that it takes several writes.
pub struct Pieces<'a>(pub &'a [u8]);

const PIECE_BYTES: usize = 200;

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = PIECE_BYTES.min(self.0.len()).min(buffer.len());
        let (piece, rest) = self.0.split_at(count);
        buffer[..count].copy_from_slice(piece);
        self.0 = rest;
        Ok(count)
    }
}
