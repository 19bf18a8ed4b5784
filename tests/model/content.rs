//! What is pushed: a small stock of blobs and manifests, so that the same things come, go and come again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use container_registry::descriptor::{DOCKER_LIST, DOCKER_MANIFEST, NON_DISTRIBUTABLE};
use serde_json::{Value, json};

use crate::it::harness::{OCI_INDEX, OCI_MANIFEST, sha256, sha512};
use crate::parts::random::Random;

/// On either side of the buffers that bytes go through, and of 1 KiB, up to which a body comes whole.
const BLOB_SIZES: [usize; 12] =
    [0, 1, 17, 100, 1000, 1024, 1025, 5000, 20_000, 70_000, 256 << 10, (256 << 10) + 1];
const IMAGES: usize = 14;
const INDEXES: usize = 8;

pub const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
/// What kind of artifact a manifest may say it is.
pub const ARTIFACT_TYPES: [&str; 2] = ["x/sbom", "x/signature+json"];

/// Bytes, and what they are called.
#[derive(Clone)]
pub struct Blob {
    pub bytes: Arc<[u8]>,
    pub sha256: String,
    pub sha512: String,
}

impl Blob {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { sha256: sha256(&bytes), sha512: sha512(&bytes), bytes: bytes.into() }
    }

    /// Its digest by the algorithm that `like` is of.
    pub fn digest_like(&self, like: &str) -> &str {
        if like.starts_with("sha512:") { &self.sha512 } else { &self.sha256 }
    }
}

/// Something that a manifest refers to and that its repository must hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub digest: String,
    /// Will it do as a manifest, too?
    pub or_manifest: bool,
}

/// A manifest: its bytes, and what the test knows of them without parsing.
#[derive(Clone)]
pub struct Document {
    pub blob: Blob,
    pub media_type: &'static str,
    pub needs: BTreeSet<Need>,
    pub subject: Option<String>,
    /// Under which type referrers are listed.
    pub listed_as: Option<String>,
    pub annotations: Value,
}

impl Document {
    /// An image of these blobs, the first of them its config, made different from others by a note.
    pub fn image(blobs: &[&Blob], note: &str, subject: Option<&str>) -> Self {
        let config = descriptor(CONFIG_TYPE, blobs[0]);
        let layers: Vec<Value> = blobs[1..].iter().map(|blob| descriptor(LAYER_TYPE, blob)).collect();
        let mut document = json!({ "config": config, "layers": layers });
        if let Some(subject) = subject {
            document["subject"] = subject_of(subject);
        }
        let needs = blobs.iter().map(|blob| Need { digest: blob.sha256.clone(), or_manifest: false });
        Self::new(OCI_MANIFEST, document, note, needs.collect())
    }

    fn new(media_type: &'static str, mut document: Value, note: &str, needs: BTreeSet<Need>) -> Self {
        let annotations = json!({ "note": note });
        document["schemaVersion"] = json!(2);
        document["mediaType"] = json!(media_type);
        document["annotations"] = annotations.clone();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            media_type,
            needs,
            subject: text(&document["subject"]["digest"]),
            listed_as: text(&document["artifactType"]).or_else(|| text(&document["config"]["mediaType"])),
            annotations,
            blob: Blob::new(document.to_string().into_bytes()),
        }
    }

    /// Its entry in a list of referrers.
    pub fn entry(&self, digest: &str) -> Value {
        let mut entry = json!({
            "mediaType": self.media_type,
            "digest": digest,
            "size": self.blob.bytes.len(),
            "annotations": self.annotations,
        });
        if let Some(kind) = &self.listed_as {
            entry["artifactType"] = json!(kind);
        }
        entry
    }
}

/// The stock.
#[derive(Clone, Default)]
pub struct Content {
    pub blobs: Vec<Blob>,
    pub documents: Vec<Document>,
    by_digest: BTreeMap<String, Arc<[u8]>>,
}

impl Content {
    pub fn new(mut random: Random) -> Self {
        let mut content = Self::default();
        for size in BLOB_SIZES {
            content.add_blob(Blob::new(random.bytes(size)));
        }
        for number in 0..IMAGES + INDEXES {
            let document = match number {
                0..IMAGES => content.random_image(&mut random, number),
                _ => content.random_index(&mut random, number),
            };
            content.add_document(document);
        }
        content
    }

    pub fn add_blob(&mut self, blob: Blob) {
        self.enter(&blob);
        self.blobs.push(blob);
    }

    /// Adds a manifest; returns its number.
    pub fn add_document(&mut self, document: Document) -> usize {
        self.enter(&document.blob);
        self.documents.push(document);
        self.documents.len() - 1
    }

    fn enter(&mut self, blob: &Blob) {
        for digest in [&blob.sha256, &blob.sha512] {
            self.by_digest.insert(digest.clone(), Arc::clone(&blob.bytes));
        }
    }

    /// The bytes of a blob or a manifest.
    pub fn bytes(&self, digest: &str) -> &Arc<[u8]> {
        self.by_digest.get(digest).unwrap_or_else(|| panic!("{digest} is not of this stock"))
    }

    /// All digests that anything in the stock can have.
    pub fn digests(&self) -> impl Iterator<Item = &String> {
        self.by_digest.keys()
    }

    fn random_image(&self, random: &mut Random, number: usize) -> Document {
        let mut needs = BTreeSet::new();
        let mut refer = |media_type: &str, random: &mut Random| {
            let (blob, long) = (random.one_of(&self.blobs), random.one_in(6));
            let mut descriptor = descriptor(media_type, blob);
            if long {
                descriptor["digest"] = json!(blob.sha512);
            }
            let digest = if long { &blob.sha512 } else { &blob.sha256 };
            needs.insert(Need { digest: digest.clone(), or_manifest: false });
            descriptor
        };
        let config = refer(CONFIG_TYPE, random);
        let mut layers: Vec<Value> = (0..random.below(4)).map(|_| refer(LAYER_TYPE, random)).collect();
        if random.one_in(5) {
            let elsewhere = Blob::new(random.bytes(9));
            layers.push(descriptor(NON_DISTRIBUTABLE[0], &elsewhere)); // needs not be here
        }
        let document = json!({ "config": config, "layers": layers });
        let media_type = if random.one_in(5) { DOCKER_MANIFEST } else { OCI_MANIFEST };
        let document = self.with_relations(document, random);
        Document::new(media_type, document, &number.to_string(), needs)
    }

    /// Its children are images, other indexes, or blobs, as buildkit's cache has them.
    fn random_index(&self, random: &mut Random, number: usize) -> Document {
        let mut needs = BTreeSet::new();
        let mut children = Vec::new();
        for _ in 0..random.below(4) {
            let (media_type, blob) = match random.below(4) {
                0 => (LAYER_TYPE, random.one_of(&self.blobs)),
                _ => {
                    let child = random.one_of(&self.documents);
                    (child.media_type, &child.blob)
                }
            };
            needs.insert(Need { digest: blob.sha256.clone(), or_manifest: true });
            children.push(descriptor(media_type, blob));
        }
        let document = self.with_relations(json!({ "manifests": children }), random);
        let media_type = if random.one_in(5) { DOCKER_LIST } else { OCI_INDEX };
        Document::new(media_type, document, &number.to_string(), needs)
    }

    /// Perhaps about another manifest, perhaps an artifact of a kind.
    fn with_relations(&self, mut document: Value, random: &mut Random) -> Value {
        if let Some(other) = random.any(self.documents.iter().take(3))
            && random.one_in(2)
        {
            let digest = if random.one_in(4) { &other.blob.sha512 } else { &other.blob.sha256 };
            document["subject"] = subject_of(digest);
        }
        if random.one_in(2) {
            document["artifactType"] = json!(random.one_of(&ARTIFACT_TYPES));
        }
        document
    }
}

fn descriptor(media_type: &str, blob: &Blob) -> Value {
    json!({ "mediaType": media_type, "digest": blob.sha256, "size": blob.bytes.len() })
}

fn subject_of(digest: &str) -> Value {
    json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 9 })
}
