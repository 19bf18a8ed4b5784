//! Layouts made by hand, so that each can be wrong in one point.

use std::fs::{self, File};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{OCI_INDEX, OCI_MANIFEST, bytes, sha256};

pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layout in a folder that goes with it.
pub struct Made {
    folder: tempfile::TempDir,
    entries: Vec<Value>,
}

impl Made {
    /// An empty one.
    pub fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap(), entries: Vec::new() };
        fs::create_dir_all(made.path("blobs/sha256")).unwrap();
        made.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        made.write_index();
        made
    }

    /// One with an image, `v1`.
    pub fn with_image() -> (Self, Value) {
        let mut made = Self::new();
        let image = made.image(&bytes(1, 3000));
        made.list(&image, Some("v1"));
        (made, image)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("layout").join(name)
    }

    /// A path beside the layout.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The file of a blob.
    pub fn file_of(&self, descriptor: &Value) -> PathBuf {
        self.path(&format!("blobs/{}", digest(descriptor).replace(':', "/")))
    }

    /// Adds content; returns its descriptor.
    pub fn part(&self, media_type: &str, content: &[u8]) -> Value {
        let descriptor = json!({"mediaType": media_type, "digest": sha256(content), "size": content.len()});
        fs::write(self.file_of(&descriptor), content).unwrap();
        descriptor
    }

    pub fn image(&self, layer: &[u8]) -> Value {
        self.image_of(&[self.part(LAYER, layer)], json!({}))
    }

    /// An image of these layers, its manifest with further members.
    pub fn image_of(&self, layers: &[Value], more: Value) -> Value {
        let config = self.part(CONFIG, br#"{"architecture":"amd64","os":"linux"}"#);
        let mut manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.part(OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    /// An image that is about another manifest.
    pub fn signature_of(&self, subject: &Value) -> Value {
        self.image_of(&[], json!({"subject": subject, "artifactType": "application/vnd.example.signature"}))
    }

    pub fn index_of(&self, children: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
        self.part(OCI_INDEX, index.to_string().as_bytes())
    }

    /// Lists something in `index.json`.
    pub fn list(&mut self, descriptor: &Value, name: Option<&str>) {
        self.list_with(
            descriptor,
            name.map_or(json!({}), |name| json!({"org.opencontainers.image.ref.name": name})),
        );
    }

    pub fn list_with(&mut self, descriptor: &Value, annotations: Value) {
        let mut entry = descriptor.clone();
        entry["annotations"] = annotations;
        self.entries.push(entry);
        self.write_index();
    }

    fn write_index(&self) {
        self.write(
            "index.json",
            json!({"schemaVersion": 2, "manifests": self.entries}).to_string().as_bytes(),
        );
    }

    /// Packs the layout as `tar -C layout -cf layout.tar .` does.
    pub fn tar(&self) -> PathBuf {
        let path = self.beside("layout.tar");
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        tar.append_dir_all(".", self.path("")).unwrap();
        tar.finish().unwrap();
        path
    }
}

pub fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap()
}
