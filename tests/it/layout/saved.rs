//! What `docker save` writes: before version 25 without a manifest, since then as an OCI layout too.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::export::export;
use super::made::{CONFIG, LAYER, Made, digest};
use super::packed::{Tar, gzip};
use super::{assert_sound, assert_tags, import, refused};
use crate::harness::{OCI_MANIFEST, Registry, bytes, sha256};

/// An archive as docker 20.10 saves it: two images over one base; the second one's base is a link, and its own layer
/// compressed, as crane has it.
struct Saved {
    folder: tempfile::TempDir,
    layers: [Vec<u8>; 3],
    configs: [String; 2],
    list: Value,
    tar: Tar,
}

fn hex(content: &[u8]) -> String {
    sha256(content).trim_start_matches("sha256:").to_owned()
}

impl Saved {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [base, own, packed] = [1, 2, 3].map(|seed| bytes(seed, 1000));
        fs::write(folder.path().join("layer.tar"), &packed).unwrap();
        let compressed = fs::read(gzip(&folder.path().join("layer.tar"))).unwrap();
        let config = |layers: [&[u8]; 2]| {
            let diff_ids = layers.map(sha256);
            json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).to_string()
        };
        let configs = [config([&base, &own]), config([&base, &packed])];
        let list = json!([
            {"Config": format!("{}.json", hex(configs[0].as_bytes())), "RepoTags": ["app:v1", "app:latest"],
             "Layers": ["aa/layer.tar", "bb/layer.tar"]},
            {"Config": format!("sha256:{}", hex(configs[1].as_bytes())), "RepoTags": null,
             "Layers": ["cc/layer.tar", "dd.tar.gz"]},
        ]);
        let mut tar = Tar::new();
        tar.file("aa/layer.tar", &base).file("bb/layer.tar", &own);
        tar.symlink("cc/layer.tar", "../aa/layer.tar").file("dd.tar.gz", &compressed);
        Self { folder, layers: [base, own, compressed], configs, list, tar }
    }

    /// Writes the archive, with the configs and the list as they are now.
    fn write(&mut self) -> PathBuf {
        let names = [
            format!("{}.json", hex(self.configs[0].as_bytes())),
            format!("sha256:{}", hex(self.configs[1].as_bytes())),
        ];
        for (name, config) in names.iter().zip(&self.configs) {
            self.tar.file(name, config.as_bytes());
        }
        self.tar.file("manifest.json", self.list.to_string().as_bytes());
        self.tar.file("repositories", b"{}");
        let path = self.folder.path().join("saved.tar");
        fs::write(&path, self.tar.bytes()).unwrap();
        path
    }

    /// The manifest that is made of an image: documented, so nothing about it may change.
    fn manifest(&self, config: usize, layers: [(usize, &str); 2]) -> Vec<u8> {
        let part = |media_type: &str, content: &[u8]| {
            format!(
                r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#,
                sha256(content),
                content.len()
            )
        };
        let layers = layers.map(|(at, suffix)| part(&format!("{LAYER}{suffix}"), &self.layers[at])).join(",");
        let config = part(CONFIG, self.configs[config].as_bytes());
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{layers}]}}"#)
            .into_bytes()
    }
}

#[test]
fn an_old_dockers_images_get_a_manifest_that_is_always_the_same() {
    let mut saved = Saved::new();
    let path = saved.write();
    let registry = Registry::start();
    let said = import(&registry, &path, "app", &[]);
    assert!(said.contains("imported 2 manifests, 2 tags, 5 blobs: 5 copied"), "{said}");
    let (first, second) = (saved.manifest(0, [(0, ""), (1, "")]), saved.manifest(1, [(0, ""), (2, "+gzip")]));
    for tag in ["v1", "latest"] {
        registry.assert_tagged("app", tag, &sha256(&first), &first);
    }
    assert!(registry.get(&format!("/v2/app/manifests/{}", sha256(&second))).body == second);
    for layer in &saved.layers {
        registry.assert_holds("app", &sha256(layer), layer);
    }
    assert_sound(&registry);
    import(&registry, &gzip(&path), "again:latest", &[]);
    registry.assert_tagged("again", "latest", &sha256(&first), &first);
    import(&registry, &path, "named:x", &["--ref", "docker.io/library/app:v1"]);
    registry.assert_tagged("named", "x", &sha256(&first), &first);
    refused(
        &registry,
        &path,
        "app:v9",
        &[],
        "holds nothing with the tag v9; it holds \"app:v1\", \"app:latest\", sha256:",
    );
}

#[test]
fn an_archive_that_was_unpacked_is_one_too() {
    let mut saved = Saved::new();
    let path = saved.write();
    let folder = saved.folder.path().join("unpacked");
    let mut archive = tar::Archive::new(fs::File::open(path).unwrap());
    archive.unpack(&folder).unwrap();
    let registry = Registry::start();
    import(&registry, &folder, "app:v1", &[]);
    let manifest = saved.manifest(0, [(0, ""), (1, "")]);
    registry.assert_tagged("app", "v1", &sha256(&manifest), &manifest);
}

/// Since version 25 docker writes both. Then the manifests are there, and are taken.
#[test]
fn a_new_dockers_archive_is_taken_as_the_layout_it_is() {
    let mut made = Made::new();
    let image = made.image(b"layer");
    let names = json!({
        "io.containerd.image.name": "docker.io/library/app:v1", "org.opencontainers.image.ref.name": "v1",
    });
    made.list_with(&image, names);
    made.write("manifest.json", br#"[{"Config":"blobs/sha256/nothing","RepoTags":["app:v1"],"Layers":[]}]"#);
    let registry = Registry::start();
    import(&registry, &made.tar(), "team/app", &[]);
    assert_tags(&registry, "team/app", &[("v1", &image)]);
    import(&registry, &made.tar(), "other:v2", &["--ref", "app:v1"]);
    assert_tags(&registry, "other", &[("v2", &image)]);
    assert_eq!(digest(&image).len(), 71);
}

#[test]
fn a_saved_archive_that_does_not_hold_together_is_refused() {
    let registry = Registry::start();
    let check = |expect: &str, damage: &dyn Fn(&mut Saved)| {
        let mut saved = Saved::new();
        damage(&mut saved);
        let path = saved.write();
        refused(&registry, &path, "app", &[], expect);
    };
    check("dd.tar.gz: its content is sha256:", &|saved| {
        saved.configs[1] = saved.configs[0].clone();
        saved.list[1]["Config"] = format!("sha256:{}", hex(saved.configs[1].as_bytes())).into();
    });
    check("has 2 diff_ids in its rootfs, but the image has 1 layers in manifest.json", &|saved| {
        saved.list[0]["Layers"].as_array_mut().unwrap().pop();
    });
    check("none/layer.tar: is missing: it is a layer of an image", &|saved| {
        saved.list[0]["Layers"][1] = "none/layer.tar".into();
    });
    check("none.json: is missing: it is the config of an image", &|saved| {
        saved.list[0]["Config"] = "none.json".into();
    });
    check("manifest.json: names \"../../etc/passwd\", which is no file of the archive", &|saved| {
        saved.list[0]["Layers"][1] = "../../etc/passwd".into();
    });
    check("ee.tar: is a link that leads out of the archive", &|saved| {
        saved.tar.symlink("ee.tar", "../../etc/passwd");
        saved.list[0]["Layers"][1] = "ee.tar".into();
    });
    check("ee.tar: is a link to a link, without end", &|saved| {
        saved.tar.symlink("ee.tar", "ff.tar").symlink("ff.tar", "ee.tar");
        saved.list[0]["Layers"][1] = "ee.tar".into();
    });
    check("manifest.json: the document must be an array, not an object", &|saved| saved.list = json!({}));
    check("manifest.json: the document's [0].Layers must be an array", &|saved| {
        saved.list[0]["Layers"] = 1.into()
    });
    check("manifest.json: the document's [0].Config must be a string", &|saved| {
        saved.list[0]["Config"] = 1.into()
    });
    check("holds no manifest, so there is nothing to import", &|saved| saved.list = json!([]));
    check("its content is sha256:", &|saved| {
        // The config is not what its name says.
        let name = format!("{}.json", "0".repeat(64));
        saved.tar.file(&name, saved.configs[0].clone().as_bytes());
        saved.list[0]["Config"] = name.into();
    });
    check("the document's rootfs is missing", &|saved| {
        saved.configs[0] = "{}".into();
        saved.list[0]["Config"] = format!("{}.json", hex(b"{}")).into();
    });
}

/// docker before version 25 knows nothing of `index.json`.
#[test]
fn an_archive_lists_its_images_for_docker_too() {
    let (mut made, image) = Made::with_image();
    let other = made.image(b"other");
    let index = made.index_of(&[image.clone(), other.clone()]);
    let config = made.part("application/vnd.cncf.helm.config.v1+json", b"{}");
    let chart = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []});
    let chart = made.part(OCI_MANIFEST, chart.to_string().as_bytes());
    for (listed, name) in [(&image, "latest"), (&index, "multi"), (&chart, "chart")] {
        made.list(listed, Some(name));
    }
    made.list(&other, None);
    let registry = Registry::start();
    import(&registry, &made.path(""), "team/app", &[]);
    let read = |name: &str| -> std::collections::BTreeMap<String, Vec<u8>> {
        let out = made.beside(name);
        export(&registry, "team/app", &out, &[]);
        let mut archive = tar::Archive::new(fs::File::open(&out).unwrap());
        let files = archive.entries().unwrap().map(|entry| {
            let (mut entry, mut content) = (entry.unwrap(), Vec::new());
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), content)
        });
        files.collect()
    };
    let files = read("out.tar");
    let list: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let [entry] = &list.as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!(entry["RepoTags"], json!(["team/app:latest", "team/app:v1"]));
    let manifest: Value = serde_json::from_slice(&fs::read(made.file_of(&image)).unwrap()).unwrap();
    let file = |part: &Value| format!("blobs/{}", digest(part).replace(':', "/"));
    assert_eq!(entry["Config"], file(&manifest["config"]));
    assert_eq!(entry["Layers"], json!([file(&manifest["layers"][0])]));
    assert!(files.contains_key(&file(&manifest["layers"][0])));

    // For us it is OCI's still, with all that docker would not see.
    import(&registry, &made.beside("out.tar"), "again", &[]);
    assert_tags(
        &registry,
        "again",
        &[("chart", &chart), ("latest", &image), ("multi", &index), ("v1", &image)],
    );
    // In a folder nobody looks for it.
    export(&registry, "team/app", &made.beside("out"), &[]);
    assert!(!made.beside("out/manifest.json").exists());
}
