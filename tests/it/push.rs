//! Blobs and manifests come in.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::harness::{Registry, sha256};

#[test]
fn a_pushed_image_lies_on_disk_as_the_readme_says() {
    let registry = Registry::start();
    let image = registry.push_image("library/hello", "v1", b"layer");

    let tag = registry.path("repositories/library/hello/_tags/v1");
    assert_eq!(fs::read(&tag).unwrap(), image.manifest);
    let target = fs::read_link(&tag).unwrap();
    assert_eq!(target.to_str().unwrap(), format!("../_manifests/{}", image.digest.replace(':', "/")));
    for digest in [&image.config, &image.layer, &image.digest] {
        let blob = fs::metadata(registry.blob_path(digest)).unwrap();
        assert_eq!((blob.nlink(), blob.mode() & 0o777), (2, 0o444));
        assert_eq!(sha256(&fs::read(registry.blob_path(digest)).unwrap()), **digest);
    }
    assert_eq!(registry.files("uploads"), Vec::<String>::new());
}
