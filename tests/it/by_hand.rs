//! What people do to the files with an editor, `ln` and `cp`, and that it works.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{OCI_INDEX, OCI_MANIFEST, Registry, sha256};

/// A manifest that was written with an editor: nobody pushed these bytes.
fn by_hand(manifest: &[u8]) -> Vec<u8> {
    [manifest, b"\n"].concat()
}

#[test]
fn a_tag_made_by_hand_as_a_file_works() {
    let registry = Registry::start();
    let image = registry.push_image("a", "pushed", b"layer");
    let manifest = by_hand(&image.manifest);
    let (digest, length) = (sha256(&manifest), manifest.len().to_string());
    let tag = registry.path("repositories/a/_tags/mine");
    fs::write(&tag, &manifest).unwrap();

    // Many clients ask for the tag first and for what it is then.
    for reference in ["mine", &digest] {
        let path = format!("/v2/a/manifests/{reference}");
        for method in ["GET", "HEAD"] {
            let answer = registry.send(method, &path, &[], b"");
            let headers = [
                ("Content-Type", OCI_MANIFEST),
                ("Content-Length", &length),
                ("Docker-Content-Digest", &digest),
            ];
            answer.assert(200, &headers);
            assert_eq!(answer.body, if method == "GET" { &manifest[..] } else { b"" });
        }
    }
    assert_eq!(registry.get("/v2/a/tags/list").json()["tags"], serde_json::json!(["mine", "pushed"]));

    registry.put_manifest("a", "mine", OCI_MANIFEST, &image.manifest).assert(201, &[]);
    registry.assert_tagged("a", "mine", &image.digest, &image.manifest);
    registry.get(&format!("/v2/a/manifests/{digest}")).assert_error(404, "MANIFEST_UNKNOWN");
}

#[test]
fn a_tag_made_by_hand_is_deleted_by_its_name_and_by_its_digest() {
    let registry = Registry::start();
    let image = registry.push_image("a", "pushed", b"layer");
    let manifest = by_hand(&image.manifest);
    let tag = registry.path("repositories/a/_tags/mine");
    let snapshot = || {
        let mut all = registry.snapshot();
        all.remove("repositories/a/_history/mine"); // that it was deleted is remembered
        all
    };
    let before = snapshot();
    for reference in ["mine", &sha256(&manifest)] {
        fs::write(&tag, &manifest).unwrap();
        registry.send("DELETE", &format!("/v2/a/manifests/{reference}"), &[], b"").assert(202, &[]);
        registry.get("/v2/a/manifests/mine").assert_error(404, "MANIFEST_UNKNOWN");
        assert_eq!(snapshot(), before);
    }
}

#[test]
fn a_tag_in_a_repository_made_by_hand_works_too() {
    let registry = Registry::start();
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
    fs::create_dir_all(registry.path("repositories/by/hand/_tags")).unwrap();
    fs::write(registry.path("repositories/by/hand/_tags/v1"), &index).unwrap();
    for reference in ["v1", &sha256(index.as_bytes())] {
        let answer = registry.get(&format!("/v2/by/hand/manifests/{reference}"));
        answer.assert(200, &[("Content-Type", OCI_INDEX)]);
        assert_eq!(answer.body, index.as_bytes());
    }
    assert_eq!(registry.get("/v2/by/hand/tags/list").json()["tags"], serde_json::json!(["v1"]));
    registry.send("DELETE", "/v2/by/hand/manifests/v1", &[], b"").assert(202, &[]);
    assert_eq!(registry.files("repositories/by/hand/_tags"), Vec::<String>::new());
}

#[test]
fn a_tag_that_leads_to_a_manifest_in_another_way_works() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let path = format!("_manifests/{}", image.digest.replace(':', "/"));
    registry.send("DELETE", "/v2/a/manifests/v1", &[], b"").assert(202, &[]);
    let link = |tag: &str, target: &Path| {
        std::os::unix::fs::symlink(target, registry.path(&format!("repositories/a/_tags/{tag}"))).unwrap();
    };
    for (tag, target) in [
        ("absolute", registry.path("repositories/a").join(&path)),
        ("round", Path::new("./../_tags/..").join(&path)),
        ("about", Path::new("../../a").join(&path)),
    ] {
        link(tag, &target);
        link("follows", Path::new(tag));
        let before = registry.snapshot();
        for tag in [tag, "follows"] {
            let answer = registry.get(&format!("/v2/a/manifests/{tag}"));
            answer.assert(200, &[("Docker-Content-Digest", &image.digest)]);
            assert_eq!(answer.body, image.manifest);
        }
        registry.assert_sound();
        assert_eq!(
            registry.run("verify", &["--repair"]).assert_done(),
            registry.run("verify", &[]).summary()
        );
        registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done();
        assert_eq!(registry.snapshot(), before, "{tag} holds the manifest");
        for tag in ["follows", tag] {
            registry.send("DELETE", &format!("/v2/a/manifests/{tag}"), &[], b"").assert(202, &[]);
        }
    }
    link("v1", &Path::new("..").join(&path));
    link("follows", Path::new("v1"));
    registry.send("DELETE", &format!("/v2/a/manifests/{}", image.digest), &[], b"").assert(202, &[]);
    assert_eq!(registry.files("repositories/a/_tags"), Vec::<String>::new(), "they go with it");
}

#[test]
fn a_tag_that_points_elsewhere_is_no_tag() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), &image.manifest).unwrap();
    let stranger = registry.push_image("b", "v1", b"another layer");
    let hex = |digest: &str| digest.replace(':', "/");
    for (tag, target) in [
        ("absolute", secret.path().to_owned()),
        ("upwards", Path::new("../../../../../../../../etc/passwd").to_owned()),
        ("neighbour", Path::new("../../b/_manifests").join(hex(&stranger.digest))),
        ("detour", Path::new("../../b/_manifests").join(hex(&image.digest))),
        ("not-here", Path::new("../_manifests").join(hex(&stranger.digest))),
        ("itself", Path::new("itself").to_owned()),
        ("layer", Path::new("../_blobs").join(hex(&image.layer))),
        ("root", Path::new("/").to_owned()),
    ] {
        std::os::unix::fs::symlink(target, registry.path(&format!("repositories/a/_tags/{tag}"))).unwrap();
        let path = format!("/v2/a/manifests/{tag}");
        registry.get(&path).assert_error(404, "MANIFEST_UNKNOWN");
        registry.send("HEAD", &path, &[], b"").assert(404, &[]);
        // It can be replaced, and what it pointed at stays as it is.
        registry.put_manifest("a", tag, OCI_MANIFEST, &image.manifest).assert(201, &[]);
        registry.assert_tagged("a", tag, &image.digest, &image.manifest);
    }
    assert_eq!(fs::read(secret.path()).unwrap(), image.manifest);
    registry.assert_tagged("b", "v1", &stranger.digest, &stranger.manifest);
}

/// All its folders are others than those that the server has seen.
#[test]
fn a_copy_may_take_the_place_of_the_root_under_a_running_server() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let script = "cp -a $0 $0.copy && mv $0 $0.old && mv $0.copy $0 && rm -r $0.old";
    let root = registry.path("").components().as_path().to_owned(); // without a slash behind
    assert!(Command::new("sh").args(["-c", script]).arg(&root).status().unwrap().success());
    registry.assert_tagged("a", "v1", &image.digest, &image.manifest);
    let image = registry.push_image("b/new", "v1", b"another layer");
    registry.assert_tagged("b/new", "v1", &image.digest, &image.manifest);
}

#[test]
fn a_copy_that_broke_the_links_apart_still_works() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    for file in registry.files("repositories") {
        let path = registry.path("repositories").join(file);
        let bytes = fs::read(&path).unwrap(); // through the tag, as `cp -rL` does
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(registry.link_count(&image.layer), 1);
    for reference in ["v1", &image.digest] {
        let answer = registry.get(&format!("/v2/a/manifests/{reference}"));
        assert_eq!((answer.status, answer.body), (200, image.manifest.clone()));
    }
    assert_eq!(registry.get(&format!("/v2/a/blobs/{}", image.layer)).body, b"layer");
    let again = registry.push_image("b", "v1", b"layer");
    assert_eq!(again.digest, image.digest);
    registry.assert_holds("b", &image.layer, b"layer");
    registry.send("DELETE", &format!("/v2/a/manifests/{}", image.digest), &[], b"").assert(202, &[]);
    registry.get("/v2/a/manifests/v1").assert_error(404, "MANIFEST_UNKNOWN");
    registry.assert_tagged("b", "v1", &image.digest, &image.manifest);
}

/// Such a link is no tag, and in nobody's way.
#[test]
fn a_link_whose_target_is_too_long_keeps_nobody_from_deleting() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    std::os::unix::fs::symlink("x".repeat(300), registry.path("repositories/a/_tags/long")).unwrap();
    registry.get("/v2/a/manifests/long").assert_error(404, "MANIFEST_UNKNOWN");
    registry.send("DELETE", &format!("/v2/a/manifests/{}", image.digest), &[], b"").assert(202, &[]);
    assert_eq!(registry.files("repositories/a/_tags"), ["long"]);
}
