//! What a manifest must be, and that one refused leaves nothing.

use crate::harness::{Answer, OCI_INDEX, OCI_MANIFEST, Registry, sha256, sha512};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A registry to be refused by. Everything that `image` and `index` name is in `a`; `new` does not exist.
struct Strict {
    registry: Registry,
    /// An image manifest that is good.
    image: String,
    /// An index that is good.
    index: String,
}

impl Strict {
    fn start() -> Self {
        let registry = Registry::start();
        let image = registry.push_image("a", "v1", b"layer");
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{}}}]}}"#,
            image.digest,
            image.manifest.len()
        );
        Self { registry, image: String::from_utf8(image.manifest).unwrap(), index }
    }

    /// Pushes by tag and by digest, where there is a repository and where there is none. Every time the answer
    /// is MANIFEST_INVALID, names the field and says why, and nothing is left.
    #[track_caller]
    fn refuses(&self, document: impl AsRef<[u8]>, content_type: &str, field: &str, why: &str) {
        let document = document.as_ref();
        let before = self.registry.snapshot();
        for name in ["a", "new"] {
            for reference in ["v2", &sha256(document), &format!("{}?tag=v2", sha512(document))] {
                let answer = self.registry.put_manifest(name, reference, content_type, document);
                answer.assert_error(400, "MANIFEST_INVALID");
                let error = &answer.json()["errors"][0];
                assert_eq!(error["detail"]["field"], field, "{error}");
                assert!(error["message"].as_str().unwrap().contains(why), "{error}");
            }
        }
        assert_eq!(self.registry.snapshot(), before);
    }

    /// Refuses the image with `from` replaced by `to`.
    #[track_caller]
    fn refuses_image(&self, from: &str, to: &str, field: &str, why: &str) {
        self.refuses(replaced(&self.image, from, to), OCI_MANIFEST, field, why);
    }

    /// Refuses the index with `from` replaced by `to`.
    #[track_caller]
    fn refuses_index(&self, from: &str, to: &str, field: &str, why: &str) {
        self.refuses(replaced(&self.index, from, to), OCI_INDEX, field, why);
    }

    #[track_caller]
    fn takes(&self, document: &str, content_type: &str) -> Answer {
        let answer = self.registry.put_manifest("a", "taken", content_type, document.as_bytes());
        answer.assert(201, &[("Docker-Content-Digest", &sha256(document.as_bytes()))]);
        self.registry.assert_tagged("a", "taken", &sha256(document.as_bytes()), document.as_bytes());
        answer
    }
}

/// Replaces the first; that there is one is part of the test.
#[track_caller]
fn replaced(document: &str, from: &str, to: &str) -> String {
    assert!(document.contains(from), "no {from} in {document}");
    document.replacen(from, to, 1)
}

#[test]
fn a_manifest_is_a_json_object_of_schema_2() {
    let strict = Strict::start();
    for (document, field, why) in [
        (&b""[..], "", "is empty"),
        (b"null", "", "must be an object, not null"),
        (b"[]", "", "must be an object, not an array"),
        (b"\"x\"", "", "must be an object, not a string"),
        (b"{", "", "is not JSON"),
        (b"{} {}", "", "is not JSON"),
        (b"{\"schemaVersion\":2,}", "", "is not JSON"),
        (b"\xef\xbb\xbf{}", "", "byte order mark"),
        (b"{\"a\":\"\xff\"}", "", "is not UTF-8"),
        (b"{}", "schemaVersion", "is missing"),
        (b"{\"schemaVersion\":\"2\"}", "schemaVersion", "must be the integer 2"),
        (b"{\"schemaVersion\":3}", "schemaVersion", "must be the integer 2"),
        (b"{\"schemaVersion\":1,\"fsLayers\":[]}", "", "schema 1"),
        (b"{\"schemaVersion\":2,\"schemaVersion\":2}", "schemaVersion", "given twice"),
    ] {
        strict.refuses(document, OCI_MANIFEST, field, why);
    }
}

#[test]
fn a_million_levels_cost_an_error_and_not_a_stack() {
    let strict = Strict::start();
    let before = strict.registry.snapshot();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(1_000_000), close.repeat(1_000_000));
        for document in [&deep, &replaced(&strict.image, "{", &format!("{{\"x\":{deep},"))] {
            let answer = strict.registry.put_manifest("a", "v2", OCI_MANIFEST, document.as_bytes());
            answer.assert_error(400, "MANIFEST_INVALID");
            let message = answer.json()["errors"][0]["message"].to_string();
            assert!(message.contains("nested too deeply"), "{message}");
        }
    }
    assert_eq!(strict.registry.snapshot(), before);
}

#[test]
fn the_media_type_is_known_and_the_same_as_content_type() {
    let strict = Strict::start();
    let (image, index) = (&strict.image, &strict.index);
    for (document, content_type) in [
        (image, OCI_INDEX),
        (image, DOCKER_MANIFEST),
        (image, "application/json"),
        (image, "text/plain; charset=utf-8"),
        (index, OCI_MANIFEST),
        (index, DOCKER_LIST),
    ] {
        strict.refuses(document, content_type, "mediaType", "but the Content-Type is");
    }
    let stated = format!("\"mediaType\":\"{OCI_MANIFEST}\",\"config\"");
    for unknown in ["\"application/vnd.oci.image.manifest.v2+json\"", "\"\"", "\"application/json\""] {
        let to = format!("\"mediaType\":{unknown},\"config\"");
        strict.refuses_image(&stated, &to, "mediaType", "what is taken is");
    }
    strict.refuses_image(&stated, "\"mediaType\":2,\"config\"", "mediaType", "must be a string");
    strict.refuses_image(&stated, "\"MediaType\":\"x\",\"config\"", "MediaType", "must be spelt");

    for content_type in
        [OCI_MANIFEST, &format!("{OCI_MANIFEST}; charset=utf-8"), &OCI_MANIFEST.to_uppercase()]
    {
        strict.takes(image, content_type);
    }
}

#[test]
fn without_a_media_type_the_content_type_must_fit_the_shape() {
    let strict = Strict::start();
    let stated = |media_type: &str| format!("\"mediaType\":\"{media_type}\",");
    let image = replaced(&strict.image, &stated(OCI_MANIFEST), "");
    let index = replaced(&strict.index, &stated(OCI_INDEX), "");
    strict.takes(&image, OCI_MANIFEST);
    strict.takes(&index, OCI_INDEX);
    for (document, content_type) in
        [(&image, OCI_INDEX), (&image, DOCKER_MANIFEST), (&index, OCI_MANIFEST), (&index, DOCKER_LIST)]
    {
        strict.refuses(document, content_type, "mediaType", "but the Content-Type is");
    }
    strict.refuses(&image, "", "mediaType", "one must say what this is");
    let answer = strict.registry.send("PUT", "/v2/new/manifests/v1", &[], image.as_bytes());
    answer.assert_error(400, "MANIFEST_INVALID");
    assert!(!strict.registry.path("repositories/new").exists());
}

#[test]
fn a_document_is_never_both_manifest_and_index() {
    let strict = Strict::start();
    let both = "must be an image index or an image manifest";
    strict.refuses_image("\"config\":", "\"manifests\":[],\"config\":", "", both);
    strict.refuses_index("\"manifests\":", "\"layers\":[],\"manifests\":", "", both);
    strict.refuses_index("\"manifests\":", "\"config\":{},\"manifests\":", "", both);
    strict.refuses_index("\"manifests\":", "\"Layers\":[],\"manifests\":", "Layers", "must be spelt");
    strict.refuses_image("\"layers\":", "\"x\":", "layers", "is missing");
    strict.refuses_image("\"config\":", "\"x\":", "config", "is missing");
    strict.refuses_index("\"manifests\":", "\"x\":", "manifests", "is missing");
}

#[test]
fn a_descriptor_has_a_media_type_a_digest_and_a_size() {
    let strict = Strict::start();
    let layer = sha256(b"layer");
    let size = "\"size\":5";
    for (to, why) in [
        ("\"size\":-1", "an integer from 0"),
        ("\"size\":9223372036854775808", "an integer from 0"),
        ("\"size\":18446744073709551621", "an integer from 0"),
        ("\"size\":5.0", "an integer from 0"),
        ("\"size\":\"5\"", "an integer from 0"),
        ("\"size\":null", "an integer from 0"),
        ("\"s\":5", "is missing"),
    ] {
        strict.refuses_image(size, to, "layers[0].size", why);
    }
    for (to, why) in [
        ("sha256:abc", "64"),
        (&layer.to_uppercase(), "sha256 and sha512 only"),
        (&layer.replace("sha256:", "sha256:A"), "64"),
        (&layer.replace("sha256", "md5"), "sha256 and sha512 only"),
        (&layer.replace("sha256", "sha512"), "128"),
        ("sha256:../../../../etc/passwd", "64"),
        ("", "is \"\""),
    ] {
        strict.refuses_image(&layer, to, "layers[0].digest", why);
    }
    strict.refuses_image(&format!("\"digest\":\"{layer}\","), "", "layers[0].digest", "is missing");
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    for to in ["", "tar", "a/b/c", "a/b; c", "*/*"] {
        strict.refuses_image(media_type, to, "layers[0].mediaType", "must be a media type");
    }
    strict.refuses_image(
        &format!("\"mediaType\":\"{media_type}\","),
        "",
        "layers[0].mediaType",
        "is missing",
    );
    strict.refuses_image("\"layers\":[{", "\"layers\":[null,{", "layers[0]", "must be an object");
    strict.refuses_image("\"layers\":[{", "\"layers\":[[],{", "layers[0]", "must be an object");
    strict.refuses_image("\"layers\":[", "\"layers\":{\"x\":[", "", "is not JSON");
    strict.refuses_image("\"config\":{", "\"config\":{\"size\":1,", "config.size", "given twice");
    strict.refuses_index("\"size\":", "\"size\":-", "manifests[0].size", "an integer from 0");
    strict.refuses_index(OCI_MANIFEST, "x", "manifests[0].mediaType", "must be a media type");
}

#[test]
fn annotations_are_strings_and_a_subject_is_a_descriptor() {
    let strict = Strict::start();
    let with = |members: &str| replaced(&strict.image, "{", &format!("{{{members},"));
    for (members, field, why) in [
        (r#""annotations":{"a":1}"#, "annotations.a", "must be a string"),
        (r#""annotations":{"a.b":{}}"#, r#"annotations["a.b"]"#, "must be a string"),
        (r#""annotations":["a"]"#, "annotations", "must be an object"),
        (r#""annotations":{"a":"","a":""}"#, "annotations.a", "given twice"),
        (r#""artifactType":"sbom""#, "artifactType", "must be a media type"),
        (r#""subject":"x""#, "subject", "must be an object"),
        (r#""subject":{"mediaType":"a/b","size":1}"#, "subject.digest", "is missing"),
    ] {
        strict.refuses(with(members), OCI_MANIFEST, field, why);
    }
    strict.takes(
        &with(r#""annotations":{"org.x":"\u0000ä"},"artifactType":"a/b","x":[null,1.50]"#),
        OCI_MANIFEST,
    );
}

#[test]
fn every_blob_that_is_missing_is_named_in_an_error_of_its_own() {
    let strict = Strict::start();
    let (config, layer) = (sha256(br#"{"architecture":"amd64","os":"linux"}"#), sha256(b"layer"));
    let before = strict.registry.snapshot();
    let answer = strict.registry.put_manifest("new", "v1", OCI_MANIFEST, strict.image.as_bytes());
    answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    let mut missing = [config, layer];
    missing.sort();
    assert_eq!(errors.len(), 2);
    for (error, digest) in errors.iter().zip(&missing) {
        assert_eq!(
            (error["code"].as_str(), &error["detail"]["digest"]),
            (Some("MANIFEST_BLOB_UNKNOWN"), &(**digest).into())
        );
        assert!(error["message"].as_str().unwrap().contains(digest.as_str()));
    }
    let twice = replaced(
        &strict.index,
        "\"manifests\":[",
        &format!(
            "\"manifests\":[{{\"mediaType\":\"a/b\",\"digest\":\"{0}\",\"size\":1}},{{\"mediaType\":\"a/b\",\"digest\":\"{0}\",\"size\":1}},",
            sha512(b"nowhere")
        ),
    );
    let answer = strict.registry.put_manifest("a", "v2", OCI_INDEX, twice.as_bytes());
    answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(
        answer.json()["errors"].as_array().unwrap().len(),
        1,
        "named once, however often it is wanted"
    );
    assert_eq!(strict.registry.snapshot(), before);
}

#[test]
fn what_need_not_be_there_may_be_missing() {
    let strict = Strict::start();
    let nowhere = sha256(b"nowhere");
    let descriptor = |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"{nowhere}","size":7}}"#);
    let subject = format!("{{\"subject\":{},", descriptor(OCI_MANIFEST));
    strict
        .takes(&replaced(&strict.image, "{", &subject), OCI_MANIFEST)
        .assert(201, &[("OCI-Subject", &nowhere)]);
    for kind in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        let foreign = format!("\"layers\":[{},", descriptor(kind));
        strict.takes(&replaced(&strict.image, "\"layers\":[", &foreign), OCI_MANIFEST);
    }
    for empty in ["[]", "null"] {
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":{empty}}}"#);
        strict.takes(&index, OCI_INDEX);
    }
    let start = strict.index.find("[").unwrap();
    let children = format!("{}[{}]}}", &strict.index[..start], descriptor(OCI_MANIFEST));
    let answer = strict.registry.put_manifest("a", "v2", OCI_INDEX, children.as_bytes());
    answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn a_manifest_is_no_blob_of_an_image() {
    let strict = Strict::start();
    let manifest = sha256(strict.image.as_bytes());
    let document = replaced(&strict.image, &sha256(b"layer"), &manifest);
    let answer = strict.registry.put_manifest("a", "v2", OCI_MANIFEST, document.as_bytes());
    answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"][0]["detail"]["digest"], *manifest);
}

#[test]
fn what_is_embedded_must_be_what_the_descriptor_says() {
    let strict = Strict::start();
    let with = |data: &str| replaced(&strict.image, "\"size\":5", &format!("\"size\":5,\"data\":\"{data}\""));
    strict.takes(&with("bGF5ZXI="), OCI_MANIFEST);
    for (data, why) in [("bGF5ZXI", "is not base64"), ("bGF5ZQ==", "4 bytes"), ("bGF5ZXM=", "has the digest")]
    {
        strict.refuses(with(data), OCI_MANIFEST, "layers[0].data", why);
    }
}
