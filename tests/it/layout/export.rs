//! Images go out, and come in again as they were.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::Value;

use super::made::{Made, digest};
use super::{assert_sound, import, run, succeeded, tags, text};
use crate::harness::{Image, Registry, bytes, sha256};

#[track_caller]
pub fn export(registry: &Registry, source: &str, layout: &Path, flags: &[&str]) -> String {
    succeeded(run(registry, "export", &[&[source, text(layout)], flags].concat()))
}

/// It is refused in one line that contains this.
#[track_caller]
pub fn refused(registry: &Registry, source: &str, layout: &Path, expect: &str) {
    let output = run(registry, "export", &[source, text(layout)]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
    assert!(said.starts_with("registry: nothing was exported to ") && said.contains(expect), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// What `index.json` lists: digest and name.
pub fn listed(layout: &Path) -> Vec<(String, Option<String>)> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let name =
        |entry: &Value| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().map(str::to_owned);
    index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (digest(entry).to_owned(), name(entry)))
        .collect()
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn blob(layout: &Path, digest: &str) -> std::path::PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// A repository with two images that share a blob, one of them under two tags, and a signature.
pub fn repository() -> (Registry, Image, Image, tempfile::TempDir) {
    let registry = Registry::start();
    let one = registry.push_image("team/app", "v1", &bytes(1, 5000));
    let two = registry.push_image("team/app", "v2", &bytes(2, 5000));
    assert_eq!(
        registry.put_manifest("team/app", "latest", crate::harness::OCI_MANIFEST, &two.manifest).status,
        201
    );
    (registry, one, two, tempfile::tempdir().unwrap())
}

#[test]
fn what_goes_out_comes_in_again_with_the_same_digests() {
    let (registry, ..) = repository();
    let folder = tempfile::tempdir().unwrap();
    let other = Registry::start();
    let kinds = [("folder", "layout"), ("tar", "app.tar"), ("gzip", "app.tar.gz"), ("short", "app.tgz")];
    let count = if cfg!(feature = "archives") { kinds.len() } else { 1 };
    for (name, layout) in kinds.into_iter().take(count) {
        let layout = folder.path().join(layout);
        export(&registry, "team/app", &layout, &[]);
        let said = import(&other, &layout, name, &[]);
        assert!(said.contains("imported 2 manifests, 3 tags, 3 blobs"), "{said}");
        assert_eq!(tags(&other, name), tags(&registry, "team/app"));
    }
    assert_eq!(names(folder.path()).len(), count, "and no temporary file");
    assert_sound(&other);
}

#[test]
fn a_layout_is_links_to_the_stores_files() {
    let (registry, one, two, folder) = repository();
    let layout = folder.path().join("layout");
    let said = export(&registry, "team/app:v1", &layout, &[]);
    let size = one.manifest.len();
    assert_eq!(
        said,
        format!(
            "team/app:v1 is {}\nexported 1 manifests, 2 blobs: 2 linked, 1 copied with {size} bytes, 0 there already\n",
            one.digest
        )
    );
    assert_eq!(names(&layout), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(names(&layout.join("blobs")), ["sha256"]);
    let mut expect = [&one.config, &one.layer, &one.digest].map(|digest| digest.replace("sha256:", ""));
    expect.sort();
    assert_eq!(names(&layout.join("blobs/sha256")), expect, "and no temporary file");
    assert_eq!(listed(&layout), [(one.digest.clone(), Some("v1".to_owned()))]);
    for digest in [&one.config, &one.layer] {
        let (here, there) =
            (fs::metadata(blob(&layout, digest)).unwrap(), fs::metadata(registry.blob_path(digest)).unwrap());
        assert_eq!((here.ino(), here.mode() & 0o777), (there.ino(), 0o444));
    }
    assert_eq!(fs::read(layout.join("oci-layout")).unwrap(), br#"{"imageLayoutVersion": "1.0.0"}"#);

    let copy = folder.path().join("copy");
    let said = export(&registry, "team/app:v1", &copy, &["--copy"]);
    assert!(said.contains("0 linked, 3 copied"), "{said}");
    assert_eq!(fs::metadata(blob(&copy, &one.layer)).unwrap().nlink(), 1);
    assert_eq!(registry.link_count(&one.layer), 3);
    assert_eq!(registry.link_count(&two.layer), 2);

    // A layout of links becomes one of copies.
    let said = export(&registry, "team/app:v1", &layout, &["--copy"]);
    assert!(said.contains("0 linked, 2 copied") && said.ends_with("1 there already\n"), "{said}");
    for digest in [&one.config, &one.layer] {
        let (here, there) =
            (fs::metadata(blob(&layout, digest)).unwrap(), fs::metadata(registry.blob_path(digest)).unwrap());
        assert_ne!(here.ino(), there.ino());
        assert_eq!(here.nlink(), 1);
    }
    assert_eq!(registry.link_count(&one.layer), 2);
}

/// Links do not lead from one file system to another.
#[test]
fn where_there_can_be_no_link_there_is_a_copy() {
    let (registry, one, ..) = repository();
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    assert_ne!(device(memory.path()), device(&registry.path("")), "this test wants two file systems");
    let layout = memory.path().join("layout");
    let said = export(&registry, "team/app:v1", &layout, &[]);
    assert!(said.contains("0 linked, 3 copied"), "{said}");
    assert_eq!(fs::read(blob(&layout, &one.layer)).unwrap(), bytes(1, 5000));
    assert_eq!(names(&layout.join("blobs/sha256")).len(), 3);
}

/// The link count does not tell whose names there are; `registry verify` looks.
#[test]
fn what_was_exported_outlives_the_repository() {
    let (registry, one, _, folder) = repository();
    let layout = folder.path().join("layout");
    export(&registry, "team/app:v1", &layout, &[]);
    for path in [format!("manifests/{}", one.digest), format!("blobs/{}", one.layer)] {
        assert_eq!(registry.send("DELETE", &format!("/v2/team/app/{path}"), &[], b"").status, 202);
    }
    assert_eq!(sha256(&fs::read(blob(&layout, &one.layer)).unwrap()), one.layer);
    let said = succeeded(run(&registry, "verify", &[]));
    let leftover = format!("leftover: blobs/{}: no repository holds it", one.layer.replace(':', "/"));
    assert!(said.contains(&leftover) && said.ends_with(": sound, 1 leftovers\n"), "{said}");
    import(&registry, &layout, "team/app", &[]);
    assert_sound(&registry);
}

/// A sweep goes by the link count too, until the layout is gone: so long its bytes are in use anyway.
#[test]
fn a_sweep_takes_what_was_exported_when_the_layout_is_gone() {
    let (registry, one, _, folder) = repository();
    let layout = folder.path().join("layout");
    export(&registry, "team/app:v1", &layout, &[]);
    for path in [format!("manifests/{}", one.digest), format!("blobs/{}", one.layer)] {
        assert_eq!(registry.send("DELETE", &format!("/v2/team/app/{path}"), &[], b"").status, 202);
    }
    succeeded(run(&registry, "gc", &["--grace", "0s"]));
    assert_eq!(registry.link_count(&one.layer), 2);
    fs::remove_dir_all(&layout).unwrap();
    succeeded(run(&registry, "gc", &["--grace", "0s"]));
    assert_eq!(registry.link_count(&one.layer), 0);
    assert_sound(&registry);
}

#[test]
fn an_export_adds_to_the_layout_that_is_there() {
    let (registry, one, two, folder) = repository();
    let layout = folder.path().join("layout");
    fs::create_dir(&layout).unwrap();
    export(&registry, "team/app:v1", &layout, &[]);
    let said = export(&registry, "team/app:v2", &layout, &[]);
    assert!(said.contains("1 linked, 1 copied") && said.ends_with("1 there already\n"), "{said}");
    let name = |image: &Image, name: &str| (image.digest.clone(), Some(name.to_owned()));
    assert_eq!(listed(&layout), [name(&one, "v1"), name(&two, "v2")]);
    export(&registry, "team/app:v2", &layout, &[]);
    export(&registry, &format!("team/app@{}", two.digest), &layout, &[]);
    assert_eq!(listed(&layout), [name(&one, "v1"), name(&two, "v2")]);
    // A tag that has moved.
    let three = registry.push_image("team/app", "v1", b"three");
    export(&registry, "team/app:v1", &layout, &[]);
    assert_eq!(listed(&layout), [(one.digest.clone(), None), name(&two, "v2"), name(&three, "v1")]);
    // What is damaged there is mended.
    fs::remove_file(blob(&layout, &three.layer)).unwrap();
    fs::write(blob(&layout, &three.layer), b"other bytes").unwrap();
    export(&registry, "team/app:v1", &layout, &[]);
    let other = Registry::start();
    import(&other, &layout, "app", &[]);
    assert_eq!(tags(&other, "app").len(), 2);
    // What was there of a layout that was not written to its end is taken up.
    fs::remove_file(layout.join("index.json")).unwrap();
    export(&registry, "team/app:v2", &layout, &[]);
    assert_eq!(listed(&layout), [name(&two, "v2")]);
}

#[cfg(feature = "archives")]
#[test]
fn two_archives_of_the_same_images_are_the_same_bytes() {
    let (registry, _, _, folder) = repository();
    for name in ["app.tar", "app.tar.gz"] {
        let archive = folder.path().join(name);
        export(&registry, "team/app", &archive, &[]);
        let first = fs::read(&archive).unwrap();
        fs::write(&archive, b"something else").unwrap();
        export(&registry, "team/app", &archive, &[]);
        assert!(fs::read(&archive).unwrap() == first, "{name}");
    }
    assert_eq!(names(folder.path()), ["app.tar", "app.tar.gz"]);
}

#[test]
fn signatures_go_out_when_they_are_asked_for() {
    let (mut made, image) = Made::with_image();
    let signature = made.signature_of(&image);
    let of_signature = made.signature_of(&signature);
    let index = made.index_of(std::slice::from_ref(&image));
    made.list(&index, Some("multi"));
    made.list(&signature, None);
    made.list(&of_signature, None);
    let registry = Registry::start();
    import(&registry, &made.path(""), "app", &[]);
    let layout = made.beside("out");
    export(&registry, "app:v1", &layout, &[]);
    assert_eq!(listed(&layout).len(), 1);
    export(&registry, "app:multi", &layout, &["--referrers"]);
    let other = Registry::start();
    import(&other, &layout, "app", &[]);
    for subject in [&image, &signature] {
        let path = format!("/v2/app/referrers/{}", digest(subject));
        assert_eq!(other.get(&path).json(), registry.get(&path).json());
        assert_eq!(other.get(&path).json()["manifests"].as_array().unwrap().len(), 1);
    }
    assert_eq!(tags(&other, "app"), tags(&registry, "app"));
}

/// Bytes that pass through are looked at; a link takes no look but at the length.
#[test]
fn what_is_damaged_in_the_registry_does_not_go_out() {
    let (registry, one, _, folder) = repository();
    let file = registry.blob_path(&one.layer);
    let damage = |content: &[u8]| {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&file, content).unwrap(); // all its names are one file
    };
    let why = format!("{} is damaged in the registry, its bytes have the digest", one.layer);
    let refused = |layout: &str, flags: &[&str]| {
        let output =
            run(&registry, "export", &[&["team/app:v1", text(&folder.path().join(layout))], flags].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&why) && said.contains("`registry verify`"), "{said}");
    };
    let mut flipped = bytes(1, 5000);
    flipped[4000] ^= 1;
    damage(&flipped);
    refused("copy", &["--copy"]);
    if cfg!(feature = "archives") {
        refused("app.tar", &[]);
    }
    damage(&[&bytes(1, 5000)[..], b"abc"].concat());
    refused("link", &[]);
    refused("copy", &["--copy"]);
    assert_eq!(names(folder.path()), [""; 0]);

    // What was linked is damaged with it, and is not mended by a link to itself.
    damage(&bytes(1, 5000));
    export(&registry, "team/app:v1", &folder.path().join("link"), &[]);
    damage(&flipped);
    refused("link", &[]);
}
