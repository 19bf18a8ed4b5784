//! Space comes back by itself: what a sweep takes, and what it must not take.

mod background;
mod grace;
mod leavings;
mod races;
mod repositories;

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Image, OCI_INDEX, OCI_MANIFEST, Registry, sha256};

const HOUR: Duration = Duration::from_secs(3600);

/// The summary of a sweep that did so much.
fn freed(bytes: usize, blobs: usize, manifests: usize) -> String {
    format!(
        "freed {bytes} bytes: {blobs} blobs, {manifests} manifests, 0 files that nobody held, 0 upload sessions, \
         0 leftovers, 0 empty repositories"
    )
}

/// Pushes an image that nothing but its tag holds; its config is its own, too.
fn push(registry: &Registry, name: &str, reference: &str, layer: &str) -> Image {
    push_about(registry, name, reference, layer, None)
}

/// The same, with a subject.
fn push_about(
    registry: &Registry,
    name: &str,
    reference: &str,
    layer: &str,
    subject: Option<&Image>,
) -> Image {
    let config = format!(r#"{{"config of":"{layer}"}}"#);
    let (config_digest, layer_digest) =
        (registry.push_blob(name, config.as_bytes()), registry.push_blob(name, layer.as_bytes()));
    let mut image = Image::new(&config_digest, config.len(), &layer_digest, layer.len());
    if let Some(subject) = subject {
        let about = format!(
            r#","subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{}}}}}"#,
            subject.digest,
            subject.manifest.len()
        );
        image.manifest.pop();
        image.manifest.extend_from_slice(about.as_bytes());
        image.digest = sha256(&image.manifest);
    }
    let reference = if reference.is_empty() { &image.digest } else { reference };
    registry.put_manifest(name, reference, OCI_MANIFEST, &image.manifest).assert(201, &[]);
    image
}

fn push_index(registry: &Registry, name: &str, reference: &str, children: &[(&str, usize)]) -> String {
    let child =
        |(digest, size): &(&str, usize)| json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": size });
    let children: Vec<serde_json::Value> = children.iter().map(child).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children }).to_string();
    let digest = sha256(index.as_bytes());
    let reference = if reference.is_empty() { &digest } else { reference };
    registry.put_manifest(name, reference, OCI_INDEX, index.as_bytes()).assert(201, &[]);
    digest
}

#[track_caller]
fn delete(registry: &Registry, path: &str) {
    registry.send("DELETE", path, &[], b"").assert(202, &[]);
}

fn has(registry: &Registry, name: &str, image: &Image) -> bool {
    let status = registry.get(&format!("/v2/{name}/manifests/{}", image.digest)).status;
    let layer = registry.link_count(&image.layer) > 1;
    assert!(layer || status == 404, "an image lost its layer");
    status == 200
}

// ---- blobs

#[test]
fn what_no_manifest_refers_to_goes_and_nothing_else() {
    let registry = Registry::start();
    push(&registry, "a", "v1", "layer");
    push(&registry, "b/c", "v1", "layer");
    let before = registry.snapshot();
    registry.push_blob("a", b"a stray");
    registry.push_blob("b/c", b"another stray");
    assert_eq!(registry.run("gc", &["--grace", "0s"]).assert_done(), freed(20, 2, 0));
    assert_eq!(registry.snapshot(), before);
    assert_eq!(registry.run("gc", &["--grace", "0s"]).assert_done(), freed(0, 0, 0));
    registry.assert_sound();
}

#[test]
fn the_layers_of_a_deleted_image_go() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let other = push(&registry, "a", "v2", "other layer");
    delete(&registry, &format!("/v2/a/manifests/{}", image.digest));
    let said = registry.run("gc", &["--grace", "0s"]);
    assert!(said.assert_done().starts_with("freed 26 bytes: 2 blobs, 0 manifests"), "{said:?}");
    assert_eq!(registry.link_count(&image.layer) + registry.link_count(&image.config), 0);
    assert!(has(&registry, "a", &other));
    registry.assert_sound();
}

#[test]
fn bytes_that_another_repository_needs_stay_there() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    for digest in [&image.config, &image.layer] {
        let path = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
        registry.send("POST", &path, &[], b"").assert(201, &[]);
    }
    delete(&registry, &format!("/v2/a/manifests/{}", image.digest));
    registry.put_manifest("b", "v1", OCI_MANIFEST, &image.manifest).assert(201, &[]);
    let said = registry.run("gc", &["--grace", "0s"]);
    assert!(said.assert_done().starts_with("freed 0 bytes: 2 blobs, 0 manifests"), "{said:?}");
    registry.get(&format!("/v2/a/blobs/{}", image.layer)).assert(404, &[]);
    registry.assert_holds("b", &image.layer, b"layer");
    registry.assert_sound();
}

/// A layer that need not be there ("non-distributable"), a subject that is a blob: they are referred to.
#[test]
fn whatever_a_manifest_mentions_stays() {
    let registry = Registry::start();
    let (config, foreign) = (registry.push_blob("a", b"{}"), registry.push_blob("a", b"foreign"));
    let subject = registry.push_blob("a", b"a subject that is no manifest");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": "a/b", "digest": config, "size": 2 },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "digest": foreign,
            "size": 7
        }],
        "subject": { "mediaType": "a/b", "digest": subject, "size": 29 },
    });
    registry.put_manifest("a", "v1", OCI_MANIFEST, manifest.to_string().as_bytes()).assert(201, &[]);
    assert_eq!(registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done(), freed(0, 0, 0));
    for digest in [config, foreign, subject] {
        assert_eq!(registry.link_count(&digest), 2);
    }
}

#[test]
fn a_tag_made_by_hand_keeps_what_it_mentions() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let by_hand = [&image.manifest[..], b"\n"].concat();
    fs::write(registry.path("repositories/a/_tags/mine"), &by_hand).unwrap();
    let signature = push_about(
        &registry,
        "a",
        "",
        "signature",
        Some(&Image {
            digest: sha256(&by_hand),
            manifest: by_hand,
            config: String::new(),
            layer: String::new(),
        }),
    );
    delete(&registry, &format!("/v2/a/manifests/{}", image.digest));
    let said = registry.run("gc", &["--grace", "0s", "--untagged"]);
    assert!(said.assert_done().starts_with("freed 0 bytes: 0 blobs, 0 manifests,"), "{said:?}");
    registry.assert_holds("a", &image.layer, b"layer");
    assert!(has(&registry, "a", &signature), "it is about the tag made by hand");
    fs::remove_file(registry.path("repositories/a/_tags/mine")).unwrap();
    registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done();
    assert_eq!(registry.files("blobs"), Vec::<String>::new());
}

// ---- manifests

#[test]
fn an_untagged_image_goes_only_when_asked_for() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let next = push(&registry, "a", "v1", "next layer");
    assert_eq!(registry.run("gc", &["--grace", "0s"]).assert_done(), freed(0, 0, 0));
    assert!(has(&registry, "a", &image));
    let bytes = image.manifest.len() + 26;
    assert_eq!(registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done(), freed(bytes, 2, 1));
    assert!(!has(&registry, "a", &image) && has(&registry, "a", &next));
    registry.assert_sound();
}

#[test]
fn an_index_keeps_its_children_as_long_as_it_is_held_itself() {
    let registry = Registry::start();
    let images = ["one", "two", "three"].map(|layer| push(&registry, "a", "", layer));
    let size = images[0].manifest.len();
    let inner = push_index(&registry, "a", "", &[(&images[0].digest, size), (&images[1].digest, size)]);
    push_index(&registry, "a", "multi", &[(&inner, 100), (&images[0].digest, size)]);
    registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done();
    assert_eq!(images.each_ref().map(|image| has(&registry, "a", image)), [true, true, false]);
    registry.assert_sound();
    delete(&registry, "/v2/a/manifests/multi");
    registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done();
    assert_eq!(registry.files("blobs"), Vec::<String>::new());
    assert_eq!(registry.files("repositories"), Vec::<String>::new());
}

#[test]
fn a_referrer_goes_with_its_subject() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let signature = push_about(&registry, "a", "", "signature", Some(&image));
    let comment = push_about(&registry, "a", "", "comment on the signature", Some(&signature));
    let stray = push_about(&registry, "a", "", "about nothing", Some(&Image::new("", 0, "", 0)));
    let tagged = push_about(&registry, "a", "kept", "about nothing, tagged", Some(&stray));
    registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done();
    let here = || [&image, &signature, &comment, &stray, &tagged].map(|image| has(&registry, "a", image));
    assert_eq!(here(), [true, true, true, false, true]);
    delete(&registry, "/v2/a/manifests/v1");
    registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done();
    assert_eq!(here(), [false, false, false, false, true]);
    assert_eq!(registry.files("repositories/a/_referrers").len(), 1);
    registry.assert_sound();
}

/// The one keeps the other and the other the one, and yet nothing holds them.
#[test]
fn an_index_about_its_own_child_goes_with_it() {
    let registry = Registry::start();
    let image = push(&registry, "a", "", "layer");
    let child = json!({ "mediaType": OCI_MANIFEST, "digest": image.digest, "size": image.manifest.len() });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child], "subject": child })
        .to_string();
    registry.put_manifest("a", &sha256(index.as_bytes()), OCI_INDEX, index.as_bytes()).assert(201, &[]);
    push_about(&registry, "a", "", "signature", Some(&image));
    let said = registry.run("gc", &["--grace", "0s", "--untagged"]);
    assert!(said.assert_done().contains(": 4 blobs, 3 manifests,"), "{said:?}");
    assert_eq!(registry.files("repositories"), Vec::<String>::new());
}

/// Nested deeply and many of them: nothing here is done by recursion.
#[test]
fn a_long_chain_of_indexes_goes_from_its_head() {
    let registry = Registry::start();
    let mut last = push(&registry, "a", "", "layer").digest;
    for _ in 0..300 {
        last = push_index(&registry, "a", "", &[(&last, 100)]);
    }
    registry.put_manifest("a", "head", OCI_INDEX, &registry.get(&format!("/v2/a/manifests/{last}")).body);
    assert_eq!(registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done(), freed(0, 0, 0));
    delete(&registry, "/v2/a/manifests/head");
    let said = registry.run("gc", &["--grace", "0s", "--untagged"]);
    assert!(said.assert_done().contains(": 2 blobs, 301 manifests,"), "{said:?}");
    assert_eq!(registry.files("blobs"), Vec::<String>::new());
}

// ---- what cannot be read

#[test]
fn where_a_manifest_cannot_be_read_nothing_is_swept() {
    let registry = Registry::start();
    let image = push(&registry, "broken", "v1", "layer");
    let strays = ["broken", "sound"].map(|name| registry.push_blob(name, name.as_bytes()));
    let path = registry.blob_path(&image.digest);
    let flipped =
        String::from_utf8(image.manifest.clone()).unwrap().replace(&image.layer[7..], &"0".repeat(64));
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(&path, permissions).unwrap();
    for bytes in [flipped.as_bytes(), b"{"] {
        fs::write(&path, bytes).unwrap();
        for flags in
            [&["--grace", "0s"][..], &["--grace", "0s", "--untagged"], &["--grace", "0s", "--dry-run"]]
        {
            let said = registry.run("gc", flags);
            assert_eq!(said.status, Some(1), "{said:?}");
            let fault = format!(
                "registry: repositories/broken: the manifest {} cannot be read, so nothing is swept in this \
                 repository: its bytes have another digest\n",
                image.digest
            );
            assert_eq!(said.errors, fault);
        }
        registry.assert_holds("broken", &image.layer, b"layer");
        assert_eq!(strays.each_ref().map(|digest| registry.link_count(digest)), [2, 0]);
    }
}

#[test]
fn where_a_manifest_is_no_file_nothing_is_swept() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let path = registry.path(&format!("repositories/a/_manifests/{}", image.digest.replace(':', "/")));
    let elsewhere = registry.path("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(registry.path("not/mounted"), &path).unwrap();
    for flag in ["--untagged=false", "--untagged", "--dry-run"] {
        let said = registry.run("gc", &["--grace", "0s", flag]);
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(said.errors.contains("it is no file, or a link to none"), "{said:?}");
        registry.assert_holds("a", &image.layer, b"layer");
    }
    fs::rename(&elsewhere, &path).unwrap();
    registry.run("gc", &["--grace", "0s"]).assert_done();
    registry.assert_sound();
}

#[test]
fn where_a_tag_made_by_hand_is_no_manifest_nothing_is_swept() {
    let registry = Registry::start();
    let stray = registry.push_blob("a", b"stray");
    fs::create_dir(registry.path("repositories/a/_tags")).unwrap();
    fs::write(registry.path("repositories/a/_tags/mine"), "half a mani").unwrap();
    let said = registry.run("gc", &["--grace", "0s"]);
    assert_eq!(said.status, Some(1));
    assert!(said.errors.contains("repositories/a: the manifest _tags/mine cannot be read"), "{said:?}");
    assert_eq!(registry.link_count(&stray), 2);
    fs::remove_file(registry.path("repositories/a/_tags/mine")).unwrap();
    registry.run("gc", &["--grace", "0s"]).assert_done();
    assert_eq!(registry.link_count(&stray), 0);
}

// ---- the forecast

#[test]
fn a_dry_run_says_of_each_thing_why_it_stays_or_goes_and_changes_nothing() {
    let registry = Registry::start();
    let image = push(&registry, "a", "v1", "layer");
    let (one, two) = (registry.push_blob("a", b"one"), registry.push_blob("a", b"two"));
    let shared = registry.push_blob("b", b"one");
    registry.age(format!("repositories/a/_blobs/{}", one.replace(':', "/")), 3 * HOUR);
    let before = registry.snapshot();
    let said = registry.run("gc", &["--dry-run"]);
    let mut lines: Vec<&str> = said.output.lines().collect();
    let summary = lines.pop().unwrap();
    lines.sort_unstable();
    let size = image.manifest.len();
    let (config, layer) = (&image.config, &image.layer);
    let mut expected = vec![
        format!("goes  repository a: blob {one}, 3 bytes: no manifest refers to it, last used 3 h ago"),
        format!("goes  repository b: blob {shared}, 3 bytes: no manifest refers to it, last used 3 h ago"),
        "goes  repository b: itself: nothing is left in it".to_owned(),
        format!("stays repository a: blob {two}, 3 bytes: used 0 s ago, within the grace of 1 h"),
        format!("stays repository a: blob {config}, 21 bytes: {} refers to it", image.digest),
        format!("stays repository a: blob {layer}, 5 bytes: {} refers to it", image.digest),
        format!(
            "stays repository a: manifest {}, {size} bytes: manifests go only with --untagged",
            image.digest
        ),
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    let counts = "2 blobs, 0 manifests, 0 files that nobody held, 0 upload sessions, 0 leftovers, 1 empty repositories";
    assert_eq!(summary, format!("would free 3 bytes: {counts}"));
    assert_eq!(said.status, Some(0));
    assert_eq!(registry.snapshot(), before);
    assert_eq!(registry.run("gc", &[]).assert_done(), format!("freed 3 bytes: {counts}"), "and so it is");
}

#[test]
fn a_dry_run_says_why_manifests_stay() {
    let registry = Registry::start();
    let image = push(&registry, "a", "", "layer");
    let index = push_index(&registry, "a", "multi", &[(&image.digest, image.manifest.len())]);
    let signature = push_about(&registry, "a", "", "signature", Some(&image));
    let stray = push(&registry, "a", "", "stray");
    let said = registry.run("gc", &["--dry-run", "--untagged", "--grace", "0s"]);
    for expected in [
        format!("stays repository a: manifest {index}, 240 bytes: tag multi\n"),
        format!(
            "stays repository a: manifest {}, {} bytes: {index} refers to it\n",
            image.digest,
            image.manifest.len()
        ),
        format!(
            ": manifest {}, {} bytes: it is about {}\n",
            signature.digest,
            signature.manifest.len(),
            image.digest
        ),
        format!("goes  repository a: manifest {}, ", stray.digest),
        format!("goes  repository a: blob {}, 5 bytes: ", stray.layer),
    ] {
        assert!(said.output.contains(&expected), "{expected} in\n{}", said.output);
    }
    let bytes = stray.manifest.len() + 5 + 21;
    assert!(
        said.summary().starts_with(&format!("would free {bytes} bytes: 2 blobs, 1 manifests")),
        "{}",
        said.summary()
    );
    let said = registry.run("gc", &["--dry-run", "--untagged"]);
    assert!(
        said.output
            .contains(&format!("{} bytes: used 0 s ago, within the grace of 1 h\n", stray.manifest.len()))
    );
}
