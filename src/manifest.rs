//! Manifests: what a pushed document must look like, and what it needs.
//!
//! [`Manifest::parse`] holds a document against the rules of the image-spec (manifest.md, image-index.md)
//! before it is stored. The bytes are stored as they came; what is parsed here is only looked at. Two things
//! are read off it: [`Manifest::required`], the content that must be there first, and `subject`, under which
//! it is listed as a referrer.
//!
//! The registry keeps no record of a Content-Type. What it serves a manifest as is read from the manifest,
//! by [`media_type_of`], each time; so `parse` takes only documents that say the same as the header they
//! came with.

use crate::descriptor::{Annotations, Descriptor, ManifestType, optional, parse_artifact_type, required};
use crate::error::Error;
use crate::json::{Json, invalid, members_of, quote};

/// The largest manifest that is taken unless configured otherwise, in bytes: 8 MiB. The distribution-spec
/// asks for 4 MB at least; whoever has more to say can say it in a blob, and a manifest is held in memory
/// while it is checked.
pub const MANIFEST_BYTES_MAX: u64 = 8 << 20;

/// A document that keeps the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What it says it is.
    pub media_type: ManifestType,
    /// What it consists of.
    pub content: Content,
    /// The manifest that this one is about: a signature's image. It need not be here.
    pub subject: Option<Descriptor>,
    /// Of an artifact, what kind it is.
    pub artifact_type: Option<String>,
    /// What its author says about it.
    pub annotations: Annotations,
}

/// A manifest is one of two things, and a document that could be taken for both is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An image, or an artifact in the form of one.
    Image {
        /// The config: how to run it.
        config: Descriptor,
        /// The layers, the base first.
        layers: Vec<Descriptor>,
    },
    /// An image index: the same image for several platforms, for instance.
    Index {
        /// Its children. Most are manifests; buildkit's cache lists layers.
        manifests: Vec<Descriptor>,
    },
}

/// As what a repository must hold something that a manifest refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// As a blob.
    Blob,
    /// As a manifest or as a blob.
    ManifestOrBlob,
}

/// That a document could be read as both, by two programs or by one under two Content-Types, was
/// CVE-2021-41190.
const BOTH: &str = "has manifests beside config or layers: it must be an image index or an image manifest";

impl Manifest {
    /// Checks `bytes`, which came with the header `content_type`, against the rules of the image-spec.
    ///
    /// Two rules are not enforced, because clients in use break them and no harm comes of it. `artifactType`
    /// "MUST be set" beside an empty config: for years go-containerregistry could not set it, other registries
    /// do not ask for it, and referrers fall back to the config's type. And lists and optional members may be
    /// `null`, which Go and .NET write for "none": an empty list of podman's is `"manifests":null`.
    ///
    /// # Errors
    /// [`Error::ManifestInvalid`] (MANIFEST_INVALID) names the field and the rule.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, Error> {
        let document = Json::parse(bytes)?;
        let [schema_version, fs_layers, history, media_type, config, layers, manifests] = document.pick(
            "",
            ["schemaVersion", "fsLayers", "history", "mediaType", "config", "layers", "manifests"],
        )?;
        let [subject, artifact_type, annotations] =
            document.pick("", ["subject", "artifactType", "annotations"])?;
        check_schema(schema_version, fs_layers.or(history).is_some())?;
        if manifests.is_some() && config.or(layers).is_some() {
            return Err(invalid("", BOTH));
        }
        let media_type = check_media_type(media_type, content_type, manifests.is_some())?;
        Ok(Self {
            media_type,
            content: Content::parse(media_type, config, layers, manifests)?,
            subject: optional(subject).map(|json| Descriptor::parse(json, "subject")).transpose()?,
            artifact_type: parse_artifact_type(artifact_type, "artifactType".into())?,
            annotations: Annotations::parse(annotations, "annotations")?,
        })
    }

    /// Reads a manifest that was taken before: its Content-Type is long gone, but was [`media_type_of`].
    ///
    /// # Errors
    /// As [`Manifest::parse`], for bytes that were never taken, as in a tag file made by hand.
    pub fn parse_stored(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse(bytes, Some(media_type_of(bytes).as_str()))
    }

    /// What the repository must hold before it takes this manifest, in the order of the document; a digest
    /// may come twice. Not `subject`, which may come later or never, and no non-distributable layers, which
    /// clients fetch from elsewhere.
    pub fn required(&self) -> impl Iterator<Item = (Held, &Descriptor)> {
        let (config, list, held) = self.pieces();
        let list = list.iter().filter(|descriptor| !descriptor.is_non_distributable());
        config.into_iter().map(|config| (Held::Blob, config)).chain(list.map(move |child| (held, child)))
    }

    /// Everything it refers to, in the order of the document, but its subject; also what a repository need not
    /// hold.
    pub fn parts(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, list) = match &self.content {
            Content::Image { config, layers } => (Some(config), layers),
            Content::Index { manifests } => (None, manifests),
        };
        config.into_iter().chain(list)
    }

    /// All that it refers to, non-distributable layers too: they need not be there, but may.
    pub fn refers_to(&self) -> impl Iterator<Item = (Held, &Descriptor)> {
        let (config, list, held) = self.pieces();
        config
            .into_iter()
            .map(|config| (Held::Blob, config))
            .chain(list.iter().map(move |child| (held, child)))
    }

    fn pieces(&self) -> (Option<&Descriptor>, &[Descriptor], Held) {
        match &self.content {
            Content::Image { config, layers } => (Some(config), layers, Held::Blob),
            Content::Index { manifests } => (None, manifests, Held::ManifestOrBlob),
        }
    }

    /// The `artifactType` under which a list of referrers shows this manifest (end-12): its own, or an
    /// image's config type. An index without one has none.
    pub fn referrer_artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref().or(match &self.content {
            Content::Image { config, .. } => Some(&config.media_type),
            Content::Index { .. } => None,
        })
    }
}

/// The media type to serve stored bytes as. For every manifest that [`Manifest::parse`] has taken it is the
/// type of that; for anything else, as in a tag file made by hand, it is a guess.
///
/// It is asked at every pull, so it reads only as far as the `mediaType`, the second member as a rule.
pub fn media_type_of(bytes: &[u8]) -> ManifestType {
    let mut has_manifests = false;
    for (key, value) in members_of(bytes) {
        if key == "mediaType"
            && let Some(stated) = value.string().and_then(|text| ManifestType::parse(&text))
        {
            return stated;
        }
        has_manifests |= key == "manifests";
    }
    oci_type(has_manifests)
}

/// The type of a document that states none. Only OCI's types may be left out: docker requires its own.
fn oci_type(has_manifests: bool) -> ManifestType {
    if has_manifests { ManifestType::OciIndex } else { ManifestType::OciManifest }
}

/// `schemaVersion` "MUST be 2". The first schema named an image's layers by `fsLayers`; a document that has
/// them beside today's members means one image to an old client and another to a new one.
fn check_schema(version: Option<Json<'_>>, has_schema_1: bool) -> Result<(), Error> {
    let version = required(version, "schemaVersion".into())?.integer();
    if has_schema_1 || version == Some(1) {
        return Err(invalid("", "is of docker's schema 1, which is not supported: push with a newer client"));
    }
    if version == Some(2) { Ok(()) } else { Err(invalid("schemaVersion", "must be the integer 2")) }
}

/// Finds the type: `mediaType` and Content-Type must be the same; where there is no `mediaType`, the
/// Content-Type must be what the shape of the document says.
fn check_media_type(
    stated: Option<Json<'_>>,
    content_type: Option<&str>,
    has_manifests: bool,
) -> Result<ManifestType, Error> {
    // What follows a semicolon are parameters, and media types have no case (RFC 9110, section 8.3.1).
    let header = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let Some(stated) = optional(stated) else {
        let shape = oci_type(has_manifests);
        return match header {
            _ if header.eq_ignore_ascii_case(shape.as_str()) => Ok(shape),
            "" => {
                Err(invalid("mediaType", "is missing, and so is the Content-Type: one must say what this is"))
            }
            _ => {
                let why =
                    format!("is missing; it is {shape} then, but the Content-Type is {}", quote(header));
                Err(invalid("mediaType", why))
            }
        };
    };
    let text = stated.string().ok_or_else(|| invalid("mediaType", stated.is_not("a string")))?;
    let Some(stated) = ManifestType::parse(&text) else {
        let known = ManifestType::ALL.map(ManifestType::as_str).join(", ");
        return Err(invalid("mediaType", format!("is {}; what is taken is {known}", quote(&text))));
    };
    if header.is_empty() || header.eq_ignore_ascii_case(stated.as_str()) {
        Ok(stated)
    } else {
        Err(invalid("mediaType", format!("is {stated}, but the Content-Type is {}", quote(header))))
    }
}

impl Content {
    fn parse(
        media_type: ManifestType,
        config: Option<Json<'_>>,
        layers: Option<Json<'_>>,
        manifests: Option<Json<'_>>,
    ) -> Result<Self, Error> {
        let lacks = |name: &str| invalid(name, format!("is missing, which {media_type} must have"));
        if media_type.is_index() {
            let manifests = manifests.ok_or_else(|| lacks("manifests"))?;
            return Ok(Self::Index { manifests: parse_list(manifests, "manifests")? });
        }
        let config = config.ok_or_else(|| lacks("config"))?;
        let layers = layers.ok_or_else(|| lacks("layers"))?;
        Ok(Self::Image {
            config: Descriptor::parse(config, "config")?,
            layers: parse_list(layers, "layers")?,
        })
    }
}

/// A list of descriptors. It may be empty: an image without files and an index without children are valid.
fn parse_list(json: Json<'_>, field: &str) -> Result<Vec<Descriptor>, Error> {
    if json.is_null() {
        return Ok(Vec::new());
    }
    let elements = json.elements().ok_or_else(|| invalid(field, json.is_not("an array")))?;
    elements.enumerate().map(|(index, json)| Descriptor::parse(json, &format!("{field}[{index}]"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::{DOCKER_LIST, DOCKER_MANIFEST, NON_DISTRIBUTABLE, OCI_INDEX, OCI_MANIFEST};
    use crate::digest::{Algorithm, Digest};

    fn descriptor(media_type: &str, content: &str) -> String {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, content.len())
    }

    /// An image manifest with two layers, its members followed by `more`.
    fn image(media_type: &str, more: &str) -> String {
        let (config, layer) = (descriptor("a/config", "c"), descriptor("a/layer", "l"));
        let foreign = descriptor(NON_DISTRIBUTABLE[1], "f");
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{config},"layers":[{layer},{foreign}]{more}}}"#
        )
    }

    /// An image index with one child, its members followed by `more`.
    fn index(media_type: &str, more: &str) -> String {
        let child = descriptor(OCI_MANIFEST, "m");
        format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{child}]{more}}}"#)
    }

    fn without_media_type(document: &str) -> String {
        let (start, rest) = document.split_once(r#""mediaType":"#).unwrap();
        format!("{start}{}", rest.split_once(',').unwrap().1)
    }

    /// Accepted, as `expect`, and served as that, too.
    #[track_caller]
    fn check(document: &str, content_type: Option<&str>, expect: ManifestType) -> Manifest {
        let manifest = Manifest::parse(document.as_bytes(), content_type).unwrap();
        assert_eq!((manifest.media_type, media_type_of(document.as_bytes())), (expect, expect), "{document}");
        assert_eq!(Manifest::parse_stored(document.as_bytes()).unwrap().media_type, expect, "{document}");
        manifest
    }

    #[track_caller]
    fn check_refused(document: &str, content_type: Option<&str>, expect: &str) {
        let message = Manifest::parse(document.as_bytes(), content_type).unwrap_err().to_string();
        assert!(message.contains(expect), "{document}: {message}");
    }

    #[test]
    fn the_four_types_are_taken_with_a_content_type_that_says_the_same() {
        for kind in ManifestType::ALL {
            let text = kind.as_str();
            let document = if kind.is_index() { index(text, "") } else { image(text, "") };
            let parameters = format!(" {} ; charset=utf-8", text.to_uppercase());
            for content_type in [None, Some(""), Some(text), Some(parameters.as_str())] {
                check(&document, content_type, kind);
            }
            for content_type in
                ["text/plain", "application/json", &format!("{text}x"), &format!("{text}, {text}")]
            {
                check_refused(&document, Some(content_type), "mediaType is application/vnd.");
            }
        }
        check_refused(&image(OCI_MANIFEST, ""), Some(OCI_INDEX), "but the Content-Type is");
    }

    #[test]
    fn a_document_without_media_type_is_what_its_shape_says() {
        let (image, index) = (without_media_type(&image("", "")), without_media_type(&index("", "")));
        check(&image, Some(OCI_MANIFEST), ManifestType::OciManifest);
        check(&index, Some(OCI_INDEX), ManifestType::OciIndex);
        check(&index.replacen('{', r#"{"mediaType":null,"#, 1), Some(OCI_INDEX), ManifestType::OciIndex);
        check_refused(&image, None, "mediaType is missing, and so is the Content-Type");
        for (document, content_type) in
            [(&image, OCI_INDEX), (&image, DOCKER_MANIFEST), (&index, OCI_MANIFEST), (&index, DOCKER_LIST)]
        {
            check_refused(
                document,
                Some(content_type),
                "the manifest's mediaType is missing; it is application/vnd.oci",
            );
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for (text, expect) in [
            ("", "the manifest is empty"),
            ("null", "the manifest must be an object, not null"),
            ("[]", "the manifest must be an object, not an array"),
            ("{}", "schemaVersion is missing"),
            ("{\"a\":1,\"a\":1}", "the manifest's a is given twice"),
            ("\u{feff}{}", "byte order mark"),
        ] {
            check_refused(text, Some(OCI_MANIFEST), expect);
        }
    }

    #[test]
    fn only_schema_2_is_taken() {
        let version = |text: &str| image(OCI_MANIFEST, "").replacen("n\":2", &format!("n\":{text}"), 1);
        for text in ["3", "2.0", "2e0", "\"2\"", "null", "-2", "true"] {
            check_refused(&version(text), None, "schemaVersion must be the integer 2");
        }
        check_refused(&version("1"), None, "the manifest is of docker's schema 1");
        check_refused(&image(OCI_MANIFEST, r#","fsLayers":[]"#), None, "schema 1");
        check_refused(&index(OCI_INDEX, r#","history":null"#), None, "schema 1");
    }

    #[test]
    fn a_document_is_an_image_or_an_index_never_both() {
        let both = "the manifest has manifests beside";
        check_refused(&image(OCI_MANIFEST, r#","manifests":[]"#), None, both);
        check_refused(&image(OCI_MANIFEST, r#","manifests":null"#), None, both);
        check_refused(&index(OCI_INDEX, r#","layers":[]"#), None, both);
        check_refused(&index(OCI_INDEX, r#","config":null"#), None, both);
        check_refused(&index(OCI_INDEX, r#","Layers":[]"#), None, r#"Layers must be spelt "layers""#);
        check_refused(
            &image(OCI_INDEX, ""),
            None,
            "manifests is missing, which application/vnd.oci.image.index",
        );
        check_refused(&index(DOCKER_MANIFEST, ""), None, "config is missing, which application/vnd.docker");
        check_refused(&image("application/vnd.oci.artifact.manifest.v1+json", ""), None, "what is taken is");
        check_refused(&image("", ""), None, r#"mediaType is "";"#);
    }

    #[test]
    fn lists_are_lists_of_descriptors_and_may_be_empty() {
        let config = descriptor("a/b", "");
        let image = |layers: &str| {
            format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config}{layers}}}"#)
        };
        for layers in [r#","layers":[]"#, r#","layers":null"#] {
            check(&image(layers), None, ManifestType::OciManifest);
        }
        check_refused(&image(""), None, "layers is missing");
        check_refused(&image(r#","layers":{}"#), None, "layers must be an array, not an object");
        check_refused(&image(r#","layers":[null]"#), None, "layers[0] must be an object, not null");
        check_refused(
            &image(&format!(r#","layers":[{config},{{}}]"#)),
            None,
            "layers[1].mediaType is missing",
        );
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_LIST}","manifests":null}}"#);
        assert_eq!(check(&index, None, ManifestType::DockerList).required().count(), 0);
    }

    #[test]
    fn optional_members_are_checked_and_unknown_ones_pass() {
        check(
            &image(OCI_MANIFEST, r#","annotations":{"a":""},"x":[{"y":null}]"#),
            None,
            ManifestType::OciManifest,
        );
        check_refused(
            &image(OCI_MANIFEST, r#","annotations":{"a":1}"#),
            None,
            "annotations.a must be a string",
        );
        check_refused(&image(OCI_MANIFEST, r#","annotations":["a"]"#), None, "annotations must be an object");
        check_refused(
            &image(OCI_MANIFEST, r#","artifactType":"sbom""#),
            None,
            "artifactType must be a media type",
        );
        check_refused(&image(OCI_MANIFEST, r#","subject":{}"#), None, "subject.mediaType is missing");
    }

    #[test]
    fn what_is_required_is_config_layers_and_children_not_the_subject() {
        let subject = format!(r#","subject":{}"#, descriptor(OCI_MANIFEST, "s"));
        let required = |document: &str| -> Vec<(Held, Digest)> {
            let manifest = Manifest::parse(document.as_bytes(), None).unwrap();
            assert!(manifest.subject.is_some());
            manifest.required().map(|(held, descriptor)| (held, descriptor.digest.clone())).collect()
        };
        let digest = |content: &str| Digest::of(Algorithm::Sha256, content.as_bytes());
        let blobs = vec![(Held::Blob, digest("c")), (Held::Blob, digest("l"))];
        assert_eq!(required(&image(DOCKER_MANIFEST, &subject)), blobs);
        assert_eq!(required(&index(OCI_INDEX, &subject)), vec![(Held::ManifestOrBlob, digest("m"))]);
    }

    #[test]
    fn a_referrer_is_listed_by_its_artifact_type_or_its_config() {
        let listed_as = |document: String| {
            let manifest = Manifest::parse(document.as_bytes(), None).unwrap();
            manifest.referrer_artifact_type().map(str::to_owned)
        };
        let (given, empty) = (r#","artifactType":"a/sbom""#, r#","artifactType":"""#);
        assert_eq!(listed_as(image(OCI_MANIFEST, given)).as_deref(), Some("a/sbom"));
        assert_eq!(listed_as(image(OCI_MANIFEST, empty)).as_deref(), Some("a/config"));
        assert_eq!(listed_as(image(OCI_MANIFEST, "")).as_deref(), Some("a/config"));
        assert_eq!(listed_as(index(OCI_INDEX, given)).as_deref(), Some("a/sbom"));
        assert_eq!(listed_as(index(OCI_INDEX, "")), None);
    }

    #[test]
    fn any_bytes_are_served_as_something() {
        let bytes =
            image(DOCKER_MANIFEST, "").replacen('{', r#" { "x":[{"mediaType":"a"}], "#, 1).into_bytes();
        assert_eq!(media_type_of(&bytes), ManifestType::DockerManifest);
        assert_eq!(media_type_of(br#"{"mediaType":"a/b","manifests":["#), ManifestType::OciManifest);
        assert_eq!(media_type_of(br#"{"mediaType":7,"manifests":[],"#), ManifestType::OciIndex);
        for end in 0..bytes.len() {
            media_type_of(&bytes[..end]);
            for new in *b"{}[]\",:\\\xff\0" {
                let mut broken = bytes.clone();
                broken[end] = new;
                media_type_of(&broken);
            }
        }
        assert_eq!(media_type_of("[".repeat(1_000_000).as_bytes()), ManifestType::OciManifest);
    }
}
