//! What is wrong with a layout is named, and nothing of it comes in.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::made::{LAYER, Made, digest};
use super::{assert_tags, import, refused, run, text};
use crate::harness::{OCI_INDEX, OCI_MANIFEST, Registry, bytes, sha256};

/// A layout with two images, the second of which is damaged; in a registry that has content of its own.
#[track_caller]
fn check(expect: &str, damage: impl FnOnce(&mut Made)) {
    let registry = Registry::start();
    registry.push_image("app", "v1", b"what was there");
    let (mut made, _) = Made::with_image();
    damage(&mut made);
    refused(&registry, &made.path(""), "app", &[], expect);
    #[cfg(feature = "archives")]
    refused(&registry, &made.tar(), "app", &[], expect);
}

fn blob_name(descriptor: &Value) -> String {
    format!("blobs/{}", digest(descriptor).replace(':', "/"))
}

#[test]
fn a_layout_without_its_marks_is_refused() {
    check("is no layout: at its top is neither oci-layout (OCI) nor manifest.json (docker save)", |made| {
        fs::remove_file(made.path("oci-layout")).unwrap();
        fs::remove_file(made.path("index.json")).unwrap();
    });
    check("has index.json but no file oci-layout", |made| fs::remove_file(made.path("oci-layout")).unwrap());
    check("index.json: is missing: the layout was not written to its end", |made| {
        fs::remove_file(made.path("index.json")).unwrap();
    });
    check("holds no manifest, so there is nothing to import", |made| {
        made.write("index.json", br#"{"schemaVersion":2,"manifests":[]}"#);
    });
}

#[test]
fn a_layout_of_another_version_is_refused() {
    for (content, expect) in [
        (
            &br#"{"imageLayoutVersion":"2.0.0"}"#[..],
            "oci-layout: imageLayoutVersion is \"2.0.0\", known is 1.0.0",
        ),
        (br#"{"imageLayoutVersion":1}"#, "oci-layout: has no imageLayoutVersion"),
        (b"{}", "oci-layout: has no imageLayoutVersion"),
        (b"", "oci-layout: the document is empty"),
        (b"1.0.0", "oci-layout: the document"),
    ] {
        check(expect, |made| made.write("oci-layout", content));
    }
}

#[test]
fn an_index_that_is_none_is_refused() {
    let entry = |digest: &str, size: i64| json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size});
    let index = |entry: Value| json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let zeros = format!("sha256:{}", "0".repeat(64));
    for (content, expect) in [
        (String::new(), "index.json: the document is empty"),
        ("nonsense".into(), "index.json: the document"),
        ("[]".into(), "index.json: the document must be an object, not an array"),
        (r#"{"schemaVersion":2}"#.into(), "index.json: the document's mediaType is missing"),
        (
            r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#.into(),
            "index.json: the document's manifests is given twice",
        ),
        (
            r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.into(),
            "index.json: the document has manifests beside",
        ),
        (index(json!({})), "index.json: the document's manifests[0].mediaType is missing"),
        (index(entry("sha256:../../etc/passwd", 1)), "index.json: the document's manifests[0].digest is"),
        (index(entry(&zeros, -1)), "index.json: the document's manifests[0].size must be"),
        (index(entry(&zeros, 1)), "is missing, but what the layout lists refers to it"),
        ("[".repeat(1000), "index.json: the document"),
    ] {
        check(expect, |made| made.write("index.json", content.as_bytes()));
    }
}

#[test]
fn content_that_is_missing_is_refused() {
    let (sketch, image) = Made::with_image();
    let manifest: Value = serde_json::from_slice(&fs::read(sketch.file_of(&image)).unwrap()).unwrap();
    let by = blob_name(&image);
    for part in [&manifest["config"], &manifest["layers"][0]] {
        check(&format!("{}: is missing, but {by} refers to it", blob_name(part)), |made| {
            fs::remove_file(made.file_of(part)).unwrap();
        });
    }
    check(&format!("{by}: is missing, but what the layout lists refers to it"), |made| {
        fs::remove_file(made.file_of(&image)).unwrap();
    });
    check(
        "refers to it; an image is imported whole: make the layout anew with all that belongs to it",
        |made| {
            let absent = made.image(b"of another platform");
            let index = made.index_of(&[image.clone(), absent.clone()]);
            made.list(&index, Some("v2"));
            fs::remove_file(made.file_of(&absent)).unwrap();
        },
    );
}

#[test]
fn content_that_was_damaged_is_refused() {
    let (sketch, image) = Made::with_image();
    let manifest: Value = serde_json::from_slice(&fs::read(sketch.file_of(&image)).unwrap()).unwrap();
    for part in [&manifest["config"], &manifest["layers"][0], &image] {
        check(&format!("{}: is damaged: its bytes have the digest sha256:", blob_name(part)), |made| {
            let mut content = fs::read(made.file_of(part)).unwrap();
            content[0] ^= 1;
            fs::write(made.file_of(part), content).unwrap();
        });
        check(
            &format!("{}: has {} bytes, but", blob_name(part), part["size"].as_u64().unwrap() - 1),
            |made| {
                let mut content = fs::read(made.file_of(part)).unwrap();
                content.pop();
                fs::write(made.file_of(part), content).unwrap();
            },
        );
    }
}

/// The second descriptor of the same content must be right too.
#[test]
fn a_size_that_is_wrong_is_refused_wherever_it_stands() {
    check("bytes, but", |made| {
        let layer = made.part(LAYER, b"layer");
        let mut lies = layer.clone();
        lies["size"] = 6.into();
        let image = made.image_of(&[layer, lies], json!({}));
        made.list(&image, Some("v2"));
    });
    check("bytes, but", |made| {
        let mut image = made.image(b"layer");
        made.list(&image, Some("v2"));
        image["size"] = 7.into();
        made.list(&image, Some("v3"));
    });
}

#[test]
fn a_manifest_keeps_the_rules_of_a_push() {
    check("the manifest's layers is missing", |made| {
        let part = made.part(OCI_MANIFEST, br#"{"schemaVersion":2,"config":null}"#);
        made.list(&part, Some("v2"));
    });
    check("but the Content-Type is", |made| {
        let mut image = made.image(b"layer");
        image["mediaType"] = OCI_INDEX.into();
        made.list(&image, Some("v2"));
    });
    check("the manifest must be an object, not null", |made| {
        let part = made.part(OCI_MANIFEST, b"null");
        made.list(&part, None);
    });
    // Below an index too.
    check("the manifest's schemaVersion is missing", |made| {
        let index = made.index_of(&[made.part(OCI_MANIFEST, b"{}")]);
        made.list(&index, None);
    });
}

#[test]
fn what_is_too_large_for_a_manifest_is_refused_and_not_read() {
    let registry = Registry::start();
    let (made, _) = Made::with_image();
    fs::File::create(made.path("index.json")).unwrap().set_len(64 << 30).unwrap(); // of holes
    refused(
        &registry,
        &made.path(""),
        "app",
        &[],
        "index.json: is larger than a manifest may be, 8388608 bytes",
    );

    // The limit can be set.
    let (made, _) = Made::with_image();
    let config = made.beside("config.json");
    fs::write(&config, r#"{"limits":{"manifest_bytes":100}}"#).unwrap();
    let output = run(
        &registry,
        "import",
        &[made.path("").to_str().unwrap(), "app", "--config", config.to_str().unwrap()],
    );
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("100 bytes (limits.manifest_bytes)"),
        "{output:?}"
    );
}

#[test]
fn what_is_no_plain_file_is_refused_and_not_waited_for() {
    let registry = Registry::start();
    let (made, image) = Made::with_image();
    let file = made.file_of(&image);
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    refused(&registry, &made.path(""), "app", &[], "is no plain file");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused(&registry, &made.path(""), "app", &[], "is no plain file");
}

/// Names from a layout are shown, and give a terminal no orders.
#[test]
fn a_message_repeats_a_name_without_its_orders() {
    let registry = Registry::start();
    let (mut made, image) = Made::with_image();
    made.list(&image, Some("\u{1b}[2J\u{7}evil"));
    let output = run(&registry, "import", &[made.path("").to_str().unwrap(), "app:v9", "--ref", "x"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(r#""\u{1b}[2J\u{7}evil""#), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{7}']), "{said:?}");
}

/// `skopeo copy … dir:…`, `podman save --format docker-dir`
#[test]
fn a_directory_of_skopeos_own_kind_is_told_what_it_is() {
    let (made, image) = Made::with_image();
    let registry = Registry::start();
    fs::rename(made.file_of(&image), made.path("manifest.json")).unwrap();
    fs::remove_file(made.path("oci-layout")).unwrap();
    fs::write(made.path("version"), "Directory Transport Version: 1.1\n").unwrap();
    refused(&registry, &made.path(""), "app", &[], "write an OCI layout: skopeo copy dir:… oci:LAYOUT:TAG");
}

/// As a push that a server answers with 507; `storage.refuse_free` comes from the same configuration.
#[test]
fn an_import_for_which_there_is_no_room_is_refused() {
    let (made, image) = Made::with_image();
    let registry = Registry::start();
    let file = made.beside("registry.json");
    let config = ["--config", text(&file)];
    let set = |share: &str| {
        let storage = json!({"storage": {"refuse_free": share, "warn_free": share}});
        fs::write(&file, storage.to_string()).unwrap();
    };
    set("100%");
    let why = "3037 bytes are to be copied, and less than 100% of the registry's disk would stay free then";
    refused(&registry, &made.path(""), "app", &config, why);
    if cfg!(feature = "archives") {
        fs::write(made.beside("layout.tar"), [0; 1024]).unwrap();
        let gzip = Command::new("gzip").arg(made.beside("layout.tar")).status();
        assert!(gzip.unwrap().success());
        let why = "cannot be copied into uploads/ below the root, to be read there: the registry's disk is nearly full";
        refused(&registry, &made.beside("layout.tar.gz"), "app", &config, why);
    }
    set("0%");
    import(&registry, &made.path(""), "app", &config);
    assert_tags(&registry, "app", &[("v1", &image)]);
}

/// Bad ones leave nothing in the way of good ones.
#[test]
fn after_a_bad_layout_the_good_one_comes_in() {
    let registry = Registry::start();
    let (made, image) = Made::with_image();
    let content = fs::read(made.file_of(&image)).unwrap();
    fs::write(made.file_of(&image), b"damaged").unwrap();
    refused(&registry, &made.path(""), "app", &[], "has 7 bytes, but");
    fs::write(made.file_of(&image), &content).unwrap();
    import(&registry, &made.path(""), "app", &[]);
    assert_tags(&registry, "app", &[("v1", &image)]);
    assert_eq!(sha256(&content), digest(&image));
}

/// As a push: the tags stay what they are, also those that may move; nothing of the import stays, and no line in
/// a history.
#[test]
fn an_import_does_not_move_an_immutable_tag() {
    let mut made = Made::new();
    let image = made.image(&bytes(1, 3000));
    made.list(&image, Some("latest"));
    made.list(&image, Some("v1"));
    let registry = Registry::start();
    let there = registry.push_image("team/app", "v1", &bytes(2, 300));
    assert_eq!(registry.put_manifest("team/app", "latest", OCI_MANIFEST, &there.manifest).status, 201);
    let history = || fs::read_to_string(registry.path("repositories/team/app/_history/latest")).unwrap();
    let before = history();
    let immutable = made.beside("registry.json");
    fs::write(&immutable, r#"{"tags": {"immutable": ["team/*:v*"]}}"#).unwrap();
    let config = ["--config", text(&immutable)];
    refused(
        &registry,
        &made.path(""),
        "team/app",
        &config,
        &format!("is immutable: it can be neither moved nor deleted; it is {}", there.digest),
    );
    assert_eq!(history(), before, "latest was never another image");
    for _ in 0..2 {
        import(&registry, &made.path(""), "team/other", &config); // set once; again it is that already
    }
    assert_tags(&registry, "team/other", &[("latest", &image), ("v1", &image)]);
}
