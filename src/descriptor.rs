//! Descriptors: how a manifest points at content, by type, digest and size (image-spec, descriptor.md).
//!
//! Here, too, are the media types that mean something to a registry. They are few: a layer or a config may
//! be of any type, and that a registry stores what it does not know is what lets it hold more than images.

use std::fmt;

use serde_json::{Map, Value};

use crate::base64;
use crate::digest::Digest;
use crate::error::Error;
use crate::json::{Json, invalid, member_path, quote};

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest, version 2, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The layers that a registry need not hold: clients fetch them from their `urls`, as licences once asked
/// (image-spec, layer.md, "Non-Distributable Layers", and docker's foreign layers).
pub const NON_DISTRIBUTABLE: [&str; 5] = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

/// The longest type and the longest subtype, in bytes (RFC 6838, section 4.2).
const MEDIA_TYPE_PART_BYTES_MAX: usize = 127;

/// The four media types of what is pushed to `/manifests/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManifestType {
    /// [`OCI_MANIFEST`].
    OciManifest,
    /// [`OCI_INDEX`].
    OciIndex,
    /// [`DOCKER_MANIFEST`].
    DockerManifest,
    /// [`DOCKER_LIST`].
    DockerList,
}

impl ManifestType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OciManifest, Self::OciIndex, Self::DockerManifest, Self::DockerList];

    /// The type that `text` spells, exactly and without parameters.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The media type, for `mediaType` and `Content-Type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OciManifest => OCI_MANIFEST,
            Self::OciIndex => OCI_INDEX,
            Self::DockerManifest => DOCKER_MANIFEST,
            Self::DockerList => DOCKER_LIST,
        }
    }

    /// Does it list other manifests, rather than a config and layers?
    pub fn is_index(self) -> bool {
        match self {
            Self::OciIndex | Self::DockerList => true,
            Self::OciManifest | Self::DockerManifest => false,
        }
    }
}

impl fmt::Display for ManifestType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reference to content, as it stands in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What the content is: `type/subtype`, any.
    pub media_type: String,
    /// The name of the content.
    pub digest: Digest,
    /// The length of the content in bytes, at most `i64::MAX`.
    pub size: u64,
    /// Of an artifact, what kind it is.
    pub artifact_type: Option<String>,
    /// What its author says about it.
    pub annotations: Annotations,
}

impl Descriptor {
    /// Reads the descriptor at `field` (a path for the error message, as in `layers[2]`).
    ///
    /// Content that is embedded as `data` must be what digest and size say. Members that are optional may be
    /// `null`: .NET's SDK has pushed `"urls":null`.
    ///
    /// # Errors
    /// [`Error::ManifestInvalid`] names the member that breaks a rule of descriptor.md, and the rule.
    pub fn parse(json: Json<'_>, field: &str) -> Result<Self, Error> {
        let [media_type, digest, size, urls, annotations, data, artifact_type, platform] = json.pick(
            field,
            ["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"],
        )?;
        let path = |name: &str| member_path(field, name);
        let descriptor = Self {
            media_type: parse_media_type(required(media_type, path("mediaType"))?, path("mediaType"))?,
            digest: parse_digest(required(digest, path("digest"))?, path("digest"))?,
            size: parse_size(required(size, path("size"))?, path("size"))?,
            artifact_type: parse_artifact_type(artifact_type, path("artifactType"))?,
            annotations: Annotations::parse(annotations, &path("annotations"))?,
        };
        if let Some(urls) = optional(urls) {
            let strings = urls.elements().is_some_and(|mut urls| urls.all(|url| url.string().is_some()));
            if !strings {
                return Err(invalid(path("urls"), "must be an array of strings"));
            }
        }
        if let Some(platform) = optional(platform).filter(|platform| !platform.is_object()) {
            return Err(invalid(path("platform"), platform.is_not("an object")));
        }
        if let Some(data) = optional(data) {
            descriptor.require_same(data).map_err(|why| invalid(path("data"), why))?;
        }
        Ok(descriptor)
    }

    /// May the content be missing here, since clients fetch it from elsewhere?
    pub fn is_non_distributable(&self) -> bool {
        NON_DISTRIBUTABLE.contains(&self.media_type.as_str())
    }

    /// "The decoded data MUST be identical to the referenced content": or a client that trusts `data` runs
    /// what nobody else has seen.
    fn require_same(&self, data: Json<'_>) -> Result<(), String> {
        let text = data.string().ok_or_else(|| data.is_not("a string"))?;
        let bytes = base64::decode(text.as_bytes()).ok_or("is not base64 (RFC 4648, section 4, padded)")?;
        if u64::try_from(bytes.len()) != Ok(self.size) {
            return Err(format!("is {} bytes long, but the size is {}", bytes.len(), self.size));
        }
        let actual = Digest::of(self.digest.algorithm(), &bytes);
        if actual == self.digest { Ok(()) } else { Err(format!("has the digest {actual}")) }
    }
}

/// Annotations: names and values, all strings, which mean nothing to the registry (annotations.md). They are
/// kept as the JSON they came in, since most requests never look at them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations(Option<String>);

impl Annotations {
    /// Reads the annotations at `field`, which may be absent.
    ///
    /// # Errors
    /// [`Error::ManifestInvalid`] when it is no object, or a value in it no string.
    pub fn parse(json: Option<Json<'_>>, field: &str) -> Result<Self, Error> {
        let Some(json) = optional(json) else { return Ok(Self(None)) };
        let mut members =
            json.members().ok_or_else(|| invalid(field, json.is_not("an object of strings")))?;
        match members.find(|(_, value)| value.string().is_none()) {
            None => Ok(Self(json.source().map(str::to_owned))),
            Some((key, value)) => Err(invalid(member_path(field, &key), value.is_not("a string"))),
        }
    }

    /// The value of one annotation.
    pub fn get(&self, key: &str) -> Option<String> {
        let Value::String(value) = self.to_map()?.remove(key)? else { return None };
        Some(value)
    }

    /// All of them for an answer (referrers copies them), or `None` when there are none: "the property MUST
    /// either be absent or be an empty map".
    pub fn to_map(&self) -> Option<Map<String, Value>> {
        let map: Map<_, _> = serde_json::from_str(self.0.as_deref()?).ok()?;
        (!map.is_empty()).then_some(map)
    }
}

/// An optional member: `null` counts as absent. Go's decoder has it so, and encoders write it for "none".
pub(crate) fn optional(json: Option<Json<'_>>) -> Option<Json<'_>> {
    json.filter(|json| !json.is_null())
}

/// A member that must be there.
pub(crate) fn required(json: Option<Json<'_>>, field: String) -> Result<Json<'_>, Error> {
    json.ok_or_else(|| invalid(field, "is missing"))
}

/// An `artifactType`. An empty one counts as absent: the spec says "empty or missing" (end-12).
pub(crate) fn parse_artifact_type(json: Option<Json<'_>>, field: String) -> Result<Option<String>, Error> {
    match optional(json) {
        Some(json) if json.string().is_some_and(|text| text.is_empty()) => Ok(None),
        Some(json) => parse_media_type(json, field).map(Some),
        None => Ok(None),
    }
}

fn parse_media_type(json: Json<'_>, field: String) -> Result<String, Error> {
    match json.string() {
        Some(text) if is_media_type(&text) => Ok(text.into_owned()),
        Some(text) => Err(invalid(field, format!("must be a media type (RFC 6838), not {}", quote(&text)))),
        None => Err(invalid(field, json.is_not("a string"))),
    }
}

/// `type/subtype` by the naming rules of RFC 6838, section 4.2. Parameters are no part of it.
fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        name.len() <= MEDIA_TYPE_PART_BYTES_MAX
            && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

/// The image-spec knows more algorithms and lets unknown ones pass. We cannot: content arrives under a
/// digest that we compute, so nothing of another algorithm could ever be here.
fn parse_digest(json: Json<'_>, field: String) -> Result<Digest, Error> {
    let text = json.string().ok_or_else(|| invalid(field.as_str(), json.is_not("a string")))?;
    Digest::parse(&text).map_err(|error| {
        let why = if matches!(error, Error::AlgorithmUnknown(_)) {
            "this registry holds content by sha256 and sha512 only"
        } else {
            "a digest is sha256: and 64 or sha512: and 128 lower-case hexadecimal digits"
        };
        invalid(field, format!("is {}: {why}", quote(&text)))
    })
}

/// "int64 … MUST NOT be negative". No fraction and no exponent: programs disagree about those.
fn parse_size(json: Json<'_>, field: String) -> Result<u64, Error> {
    json.integer().filter(|size| i64::try_from(*size).is_ok()).ok_or_else(|| {
        let given = json.source().unwrap_or_default();
        invalid(
            field,
            format!("must be a number of bytes, an integer from 0 to {}, not {}", i64::MAX, quote(given)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    /// A descriptor of `hello`, with `members` put in or, where they have the same name, put instead.
    fn parse(members: &str) -> Result<Descriptor, Error> {
        let mut json: Value =
            serde_json::from_str(&format!(r#"{{"mediaType":"text/plain","digest":"{HELLO}","size":5}}"#))
                .unwrap();
        let Value::Object(members) = serde_json::from_str(members).unwrap() else { panic!("an object") };
        json.as_object_mut().unwrap().extend(members);
        Descriptor::parse(Json::parse(json.to_string().as_bytes()).unwrap(), "layers[2]")
    }

    #[track_caller]
    fn check_refused(members: &str, expect: &str) {
        let message = parse(members).unwrap_err().to_string();
        assert!(message.contains(expect), "{members}: {message}");
    }

    #[track_caller]
    fn check_accepted(members: &str) {
        parse(members).unwrap();
    }

    #[test]
    fn a_descriptor_is_read_whole() {
        let descriptor = parse(
            r#"{"annotations":{"a.b":"c\n","d":""},"artifactType":"a/b","urls":["x"],"data":"aGVsbG8=","platform":{}}"#,
        )
        .unwrap();
        assert_eq!((descriptor.media_type.as_str(), descriptor.size), ("text/plain", 5));
        assert_eq!(
            (descriptor.digest.to_string().as_str(), descriptor.artifact_type.as_deref()),
            (HELLO, Some("a/b"))
        );
        assert_eq!(descriptor.annotations.get("a.b").as_deref(), Some("c\n"));
        assert_eq!(descriptor.annotations.get("x"), None);
        assert_eq!(descriptor.annotations.to_map().unwrap().len(), 2);
    }

    #[test]
    fn a_descriptor_is_an_object_with_type_digest_and_size() {
        let parse = |text: &str| Descriptor::parse(Json::parse(text.as_bytes())?, "config");
        for (text, expect) in [
            ("null", "the manifest's config must be an object, not null"),
            ("[]", "config must be an object, not an array"),
            ("{}", "config.mediaType is missing"),
            (r#"{"mediaType":"a/b"}"#, "config.digest is missing"),
            (&format!(r#"{{"mediaType":"a/b","digest":"{HELLO}"}}"#), "config.size is missing"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(expect), "{text}: {message}");
        }
        check_refused(r#"{"Size":6}"#, r#"layers[2].Size must be spelt "size""#);
    }

    #[test]
    fn media_types_follow_rfc_6838() {
        for text in ["a/b", "application/vnd.oci.image.layer.v1.tar+gzip", "x/0!#$&-^_.+"] {
            check_accepted(&format!(r#"{{"mediaType":"{text}"}}"#));
        }
        check_accepted(&format!(r#"{{"mediaType":"{0}/{0}"}}"#, "a".repeat(127)));
        for text in ["", "a", "a/", "/a", "a/b/c", "a/b; c=d", "a /b", ".a/b", "ä/b", "a/b\\n", "*/*"] {
            check_refused(
                &format!(r#"{{"mediaType":"{text}"}}"#),
                "layers[2].mediaType must be a media type",
            );
        }
        check_refused(&format!(r#"{{"mediaType":"a/{}"}}"#, "a".repeat(128)), "must be a media type");
        check_refused(r#"{"mediaType":null}"#, "mediaType must be a string, not null");
    }

    #[test]
    fn a_digest_is_one_that_we_can_hold() {
        check_accepted(&format!(r#"{{"digest":"sha512:{}"}}"#, "0".repeat(128)));
        check_refused(r#"{"digest":7}"#, "layers[2].digest must be a string, not a number");
        check_refused(r#"{"digest":"sha256:abc"}"#, r#"digest is "sha256:abc": a digest is sha256: and 64"#);
        check_refused(r#"{"digest":"blake3:00"}"#, "holds content by sha256 and sha512 only");
        check_refused(&format!(r#"{{"digest":"{}"}}"#, HELLO.to_uppercase()), "layers[2].digest");
        check_refused(r#"{"digest":"sha256:../../x"}"#, "layers[2].digest");
    }

    #[test]
    fn a_size_is_a_non_negative_integer_of_64_bits() {
        for size in ["0", "9223372036854775807"] {
            check_accepted(&format!(r#"{{"size":{size}}}"#));
        }
        for size in
            ["-1", "5.5", "9223372036854775808", "18446744073709551616", "\"5\"", "null", "[5]", "true"]
        {
            check_refused(&format!(r#"{{"size":{size}}}"#), "layers[2].size must be a number of bytes");
        }
    }

    #[test]
    fn optional_members_have_their_types_or_are_null() {
        check_accepted(r#"{"urls":null,"annotations":null,"data":null,"artifactType":null,"platform":null}"#);
        check_accepted(r#"{"urls":[],"annotations":{},"artifactType":"","x":[{}]}"#);
        check_refused(r#"{"urls":["a",1]}"#, "layers[2].urls must be an array of strings");
        check_refused(r#"{"urls":"a"}"#, "layers[2].urls must be an array of strings");
        check_refused(r#"{"annotations":[]}"#, "layers[2].annotations must be an object of strings");
        check_refused(
            r#"{"annotations":{"a":"","b":1}}"#,
            "layers[2].annotations.b must be a string, not a number",
        );
        check_refused(r#"{"annotations":{"x.y":null}}"#, r#"annotations["x.y"] must be a string, not null"#);
        check_refused(r#"{"artifactType":"sbom"}"#, "layers[2].artifactType must be a media type");
        check_refused(r#"{"platform":"linux"}"#, "layers[2].platform must be an object, not a string");
    }

    #[test]
    fn embedded_data_is_the_content() {
        check_accepted(r#"{"data":"aGVsbG8="}"#);
        check_refused(r#"{"data":"aGVsbG8"}"#, "layers[2].data is not base64");
        check_refused(r#"{"data":"aGVsbA=="}"#, "data is 4 bytes long, but the size is 5");
        check_refused(r#"{"data":"aGVsbE8="}"#, "data has the digest sha256:");
        check_refused(r#"{"data":5}"#, "data must be a string, not a number");
    }

    #[test]
    fn the_types_of_manifests_parse_and_print_back() {
        for kind in ManifestType::ALL {
            assert_eq!(ManifestType::parse(kind.as_str()), Some(kind));
            assert_eq!(kind.is_index(), kind.as_str().contains("index") || kind.as_str().contains("list"));
        }
        assert_eq!(ManifestType::parse("application/vnd.docker.distribution.manifest.v1+json"), None);
        assert!(
            parse(&format!(r#"{{"mediaType":"{}"}}"#, NON_DISTRIBUTABLE[4])).unwrap().is_non_distributable()
        );
    }
}
