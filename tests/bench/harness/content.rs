//! Blobs and images to push, each with a digest of its own, so that no server has them already.
//!
//! All of it is made and hashed before the clock runs.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Large blobs repeat a block of this size: enough that it comes from memory, not from the processor's caches.
const BLOCK_BYTES: usize = 64 << 20;

/// How many bytes at the end of a blob tell it from all others.
const TAIL_BYTES: usize = 16;

/// What large blobs are made of. Each has the same beginning and an end of its own: so the hash of the beginning
/// is computed once.
pub struct Body {
    block: Vec<u8>,
    times: usize,
    hash: Sha256,
}

/// A large blob: a block, so many times, and an end.
pub struct Blob<'a> {
    pub block: &'a [u8],
    pub times: usize,
    pub tail: [u8; TAIL_BYTES],
    pub digest: String,
}

impl Body {
    /// For blobs of `length` bytes, and the few at their end.
    pub fn new(length: usize) -> Self {
        let times = length.div_ceil(BLOCK_BYTES);
        let block = random_bytes(length / times);
        let mut hash = Sha256::new();
        (0..times).for_each(|_| hash.update(&block));
        Self { block, times, hash }
    }

    /// A blob that there has not been.
    pub fn fresh(&self) -> Blob<'_> {
        let mut tail = [0; TAIL_BYTES];
        tail[..8].copy_from_slice(&fresh_number().to_le_bytes());
        let digest = hex(&self.hash.clone().chain_update(tail).finalize());
        Blob { block: &self.block, times: self.times, tail, digest: format!("sha256:{digest}") }
    }
}

impl Blob<'_> {
    pub fn length(&self) -> usize {
        self.block.len() * self.times + TAIL_BYTES
    }

    /// Its bytes in order, in pieces of at most `limit`.
    pub fn pieces(&self, limit: usize) -> impl Iterator<Item = &[u8]> {
        (0..self.times).flat_map(move |_| self.block.chunks(limit)).chain([&self.tail[..]])
    }
}

/// An image of small blobs.
pub struct Image {
    /// Layers and configuration: bytes and digest.
    pub blobs: Vec<(Vec<u8>, String)>,
    pub manifest: Vec<u8>,
    pub digest: String,
}

impl Image {
    /// An image that there has not been, with `layers` layers of `layer_bytes` each.
    pub fn fresh(layers: usize, layer_bytes: usize) -> Self {
        let number = fresh_number();
        let config =
            format!(r#"{{"architecture":"amd64","os":"linux","config":{{"Hostname":"{number:016}"}}}}"#);
        let mut blobs = vec![config.into_bytes()];
        for _ in 0..layers {
            let mut layer = random_bytes(layer_bytes);
            layer[..8].copy_from_slice(&fresh_number().to_le_bytes());
            blobs.push(layer);
        }
        let blobs: Vec<(Vec<u8>, String)> = blobs
            .into_iter()
            .map(|blob| (sha256(&blob), blob))
            .map(|(digest, blob)| (blob, digest))
            .collect();
        let manifest = manifest(&blobs, "");
        Self { digest: sha256(&manifest), manifest, blobs }
    }
}

/// A manifest of a configuration and layers, with `further` members in front of its end.
pub fn manifest(blobs: &[(Vec<u8>, String)], further: &str) -> Vec<u8> {
    let descriptor = |kind: &str, (bytes, digest): &(Vec<u8>, String)| {
        let size = bytes.len();
        format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}}}"#)
    };
    let config = descriptor("config.v1+json", &blobs[0]);
    let layers: Vec<String> = blobs[1..].iter().map(|layer| descriptor("layer.v1.tar", layer)).collect();
    let layers = layers.join(",");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{layers}]{further}}}"#
    )
    .into_bytes()
}

/// A number that nobody has had.
pub fn fresh_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Bytes that do not compress; the same in every run.
fn random_bytes(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
