//! What `docker save` wrote until version 25, and what skopeo, podman and crane write as `docker-archive`.
//!
//! ```text
//! manifest.json               [{"Config": "<hex>.json", "RepoTags": ["hello:v1"], "Layers": ["<id>/layer.tar", …]}]
//! <hex>.json                  the config, named by its digest
//! <id>/layer.tar              a layer, or a link to another one
//! ```
//!
//! There is no manifest in it, in spite of the name. So one is made, OCI's, and always the same from the same
//! archive: the config as it is, and the layers as they are, which is uncompressed as a rule
//! (`application/vnd.oci.image.layer.v1.tar`). It is not the manifest that docker would push: docker compresses the
//! layers anew each time. What holds it together is the config: its `rootfs.diff_ids` are the digests of the
//! uncompressed layers, and each is checked.
//!
//! The archives that [`export`](super::export) writes have such a list as well, beside OCI's, since docker knows
//! nothing else until version 25.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::{Value, json};

use super::archive::{GZIP, inflate};
use super::contents::{Listed, Name, Place};
use super::index::as_document;
use super::source::{Links, Source, member_name};
use super::{Failure, blob_file, digest_of};
use crate::descriptor::{Descriptor, OCI_MANIFEST};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::json::{Json, invalid, quote};
use crate::manifest::{Content, Manifest};

/// The file that says what is in it.
pub const LIST_FILE: &str = "manifest.json";

const DOCKER_CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image in [`LIST_FILE`].
struct Image {
    config: String,
    names: Vec<String>,
    layers: Vec<String>,
}

/// An image in an archive of ours, so that docker can load it.
pub(super) struct Saved {
    config: Digest,
    layers: Vec<Digest>,
}

impl Saved {
    /// What docker would make of a manifest; `None`: nothing, it is no image of its kind.
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let Content::Image { config, layers } = &manifest.content else { return None };
        let is_image = [CONFIG_TYPE, DOCKER_CONFIG_TYPE].contains(&config.media_type.as_str());
        let is_whole = !layers.iter().any(Descriptor::is_non_distributable); // else a layer may be missing
        let layers = layers.iter().map(|layer| layer.digest.clone()).collect();
        (is_image && is_whole).then(|| Self { config: config.digest.clone(), layers })
    }
}

/// [`LIST_FILE`] for images that lie under `blobs/`, with their names, if there are any. Docker uncompresses the layers
/// itself.
pub(super) fn list(images: &[(&Saved, Vec<String>)]) -> Option<String> {
    let entry = |(image, names): &(&Saved, Vec<String>)| {
        let layers: Vec<String> = image.layers.iter().map(blob_file).collect();
        json!({ "Config": blob_file(&image.config), "RepoTags": names, "Layers": layers })
    };
    (!images.is_empty()).then(|| format!("{}\n", Value::from_iter(images.iter().map(entry))))
}

/// A layer's file, read.
#[derive(Clone)]
struct Layer {
    digest: Digest,
    size: u64,
    /// The digest of what it is uncompressed.
    diff_id: Digest,
    media_type: String,
}

/// Reads what is there, and makes a manifest for each image.
pub(super) fn read(source: &Source, limit: u64) -> Result<(Vec<Listed>, BTreeMap<Digest, Place>), Failure> {
    let bytes = source.read(LIST_FILE, limit, Links::Refuse)?.unwrap_or_default();
    let images = parse_list(&bytes).map_err(|error| Failure::at(LIST_FILE, as_document(&error)))?;
    let (mut listed, mut places, mut layers) = (Vec::<Listed>::new(), BTreeMap::new(), BTreeMap::new());
    for image in images {
        let made = make_manifest(source, &image, limit, &mut layers, &mut places)?;
        let names = image.names.into_iter().map(|name| Name::new(vec![name])).collect();
        if made.len() as u64 > limit {
            let why = format!(
                "the manifest of an image in it would have more than {limit} bytes (limits.manifest_bytes)"
            );
            return Err(Failure::at(LIST_FILE, why));
        }
        let digest = Digest::of(Algorithm::Sha256, &made);
        listed.push(Listed {
            media_type: OCI_MANIFEST.into(),
            digest: digest.clone(),
            size: made.len() as u64,
            names,
        });
        places.insert(digest, Place::Made(made));
    }
    Ok((listed, places))
}

fn parse_list(bytes: &[u8]) -> Result<Vec<Image>, Error> {
    let document = Json::parse(bytes)?;
    let elements = document.elements().ok_or_else(|| invalid("", document.is_not("an array")))?;
    let image = |(at, json): (usize, Json<'_>)| {
        let field = |name: &str| format!("[{at}].{name}");
        let [config, names, layers] = json.pick(&format!("[{at}]"), ["Config", "RepoTags", "Layers"])?;
        let config =
            config.and_then(Json::string).ok_or_else(|| invalid(field("Config"), "must be a string"))?;
        Ok(Image {
            config: config.into_owned(),
            names: strings(names, &field("RepoTags"))?,
            layers: strings(layers, &field("Layers"))?,
        })
    };
    elements.enumerate().map(image).collect()
}

/// A list of strings, or none.
fn strings(json: Option<Json<'_>>, field: &str) -> Result<Vec<String>, Error> {
    let Some(json) = json.filter(|json| !json.is_null()) else { return Ok(Vec::new()) };
    let elements = json.elements().ok_or_else(|| invalid(field, json.is_not("an array")))?;
    let texts = elements.map(|json| json.string().ok_or_else(|| invalid(field, "must hold strings")));
    texts.map(|text| text.map(std::borrow::Cow::into_owned)).collect()
}

fn make_manifest(
    source: &Source,
    image: &Image,
    limit: u64,
    known: &mut BTreeMap<String, Layer>,
    places: &mut BTreeMap<Digest, Place>,
) -> Result<Vec<u8>, Failure> {
    let config_file = file_name(&image.config)?;
    let Some(config) = source.read(&config_file, limit, Links::Follow)? else {
        return Err(Failure::at(&config_file, "is missing: it is the config of an image"));
    };
    let config_digest = Digest::of(Algorithm::Sha256, &config);
    check_config_name(&config_file, &config_digest)?;
    let diff_ids = diff_ids(&config).map_err(|error| Failure::at(&config_file, as_document(&error)))?;
    if diff_ids.len() != image.layers.len() {
        let (ids, layers) = (diff_ids.len(), image.layers.len());
        let why =
            format!("has {ids} diff_ids in its rootfs, but the image has {layers} layers in {LIST_FILE}");
        return Err(Failure::at(&config_file, why));
    }
    let mut layers = Vec::new();
    for (text, diff_id) in image.layers.iter().zip(diff_ids) {
        let name = file_name(text)?;
        if !known.contains_key(&name) {
            known.insert(name.clone(), read_layer(source, &name, diff_id.algorithm())?);
        }
        let layer = &known[&name];
        if layer.diff_id != diff_id {
            let why =
                format!("its content is {}, but the config {config_file} says {diff_id}", layer.diff_id);
            return Err(Failure::at(&name, why));
        }
        layers.push(descriptor(&layer.media_type, &layer.digest, layer.size));
        places.insert(layer.digest.clone(), Place::File(name));
    }
    let config = descriptor(CONFIG_TYPE, &config_digest, config.len() as u64);
    places.insert(config_digest, Place::File(config_file));
    let layers = layers.join(",");
    Ok(format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{layers}]}}"#)
        .into_bytes())
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

fn file_name(text: &str) -> Result<String, Failure> {
    member_name(text).ok_or_else(|| {
        Failure::at(LIST_FILE, format!("names {}, which is no file of the archive", quote(text)))
    })
}

/// `<hex>.json` and `sha256:<hex>` say what is in the file. Some programs write other names, which say nothing.
fn check_config_name(name: &str, digest: &Digest) -> Result<(), Failure> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let hex = last.strip_suffix(".json").unwrap_or(last);
    let hex = hex.strip_prefix("sha256:").unwrap_or(hex);
    match Digest::from_parts(Algorithm::Sha256, hex) {
        Ok(named) if named != *digest => Err(Failure::at(name, format!("its content is {digest}"))),
        _ => Ok(()),
    }
}

/// The digests of the uncompressed layers, by the config.
fn diff_ids(config: &[u8]) -> Result<Vec<Digest>, Error> {
    let [rootfs] = Json::parse(config)?.pick("", ["rootfs"])?;
    let rootfs = rootfs.ok_or_else(|| invalid("rootfs", "is missing"))?;
    let [diff_ids] = rootfs.pick("rootfs", ["diff_ids"])?;
    strings(diff_ids, "rootfs.diff_ids")?.iter().map(|text| Digest::parse(text)).collect()
}

fn read_layer(source: &Source, name: &str, algorithm: Algorithm) -> Result<Layer, Failure> {
    let open = || {
        let content = source.file(name, Links::Follow)?;
        content.ok_or_else(|| Failure::at(name, "is missing: it is a layer of an image"))
    };
    let unreadable = |error| Failure::at(name, error);
    let (digest, size) = digest_of(&mut open()?, Algorithm::Sha256).map_err(unreadable)?;
    let mut head = Vec::new();
    open()?.take(2).read_to_end(&mut head).map_err(unreadable)?;
    let is_gzip = head == GZIP;
    let diff_id = match (is_gzip, algorithm) {
        (true, _) => digest_of(&mut inflate(open()?)?, algorithm).map_err(unreadable)?.0,
        (false, Algorithm::Sha256) => digest.clone(),
        (false, Algorithm::Sha512) => digest_of(&mut open()?, algorithm).map_err(unreadable)?.0,
    };
    let media_type = if is_gzip { format!("{LAYER_TYPE}+gzip") } else { LAYER_TYPE.to_owned() };
    Ok(Layer { digest, size, diff_id, media_type })
}
