//! What people leave where only files should be: folders, pipes, odd names. It keeps nothing from working.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::{check, entry, held, hex, signed, verify};
use crate::harness::{OCI_MANIFEST, sha256};

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success(), "mkfifo");
}

/// What nobody made but somebody left does not keep the others from being looked at.
#[test]
fn what_is_no_file_is_found() {
    check(|registry, image, signature| {
        let (one, other) = (sha256(b"one"), sha256(b"other"));
        let odd = [
            format!("blobs/sha256/{}", hex(&one)),
            held("_manifests", &one),
            held("_blobs", &other),
            "repositories/hello/_tags/dir".to_owned(),
        ];
        odd.iter().for_each(|path| fs::create_dir(registry.path(path)).unwrap());
        let link = held("_blobs", &sha256(b"itself"));
        symlink(hex(&sha256(b"itself")), registry.path(&link)).unwrap();
        fs::create_dir(registry.path(&entry(image, signature)).with_file_name("dir")).unwrap();
        fs::write(registry.path("repositories/hello/_referrers/sha256/file"), b"").unwrap();
        fs::write(registry.path("repositories/hello/_tags").join(OsStr::from_bytes(b"a\nb\xff")), b"")
            .unwrap();
        fs::create_dir_all(registry.path("uploads/dir/session.json")).unwrap();

        let push = "then push the image again to hello";
        let subject = format!("repositories/hello/_referrers/sha256/{}", hex(&image.digest));
        let left = "a push that broke off left it, it may be removed";
        vec![
            format!("fault: {}: is no file; remove it", odd[0]),
            format!("fault: {}: is no file; remove it; {push}", odd[1]),
            format!("fault: {}: is no file; remove it; {push}", odd[2]),
            format!("fault: {link}: is no file; remove it; {push}"),
            format!("fault: {}: is no tag, which is a link or a file; remove it", odd[3]),
            format!("leftover: {subject}/dir: is no referrer; {left}"),
            format!("leftover: repositories/hello/_referrers/sha256/file: is no referrer; {left}"),
            format!("leftover: repositories/hello/_tags/a?b\u{fffd}: is no tag; {left}"),
            format!("leftover: uploads/dir: is no session; {left}"),
        ]
    });
}

#[test]
fn what_is_no_tag_is_not_there_and_in_nobodys_way() {
    let (registry, image, _) = signed();
    let tags = registry.path("repositories/hello/_tags");
    fs::create_dir(tags.join("dir")).unwrap();
    make_pipe(&tags.join("pipe")); // whoever opened it would wait for ever
    let listed = registry.get("/v2/hello/tags/list").json()["tags"].clone();
    assert_eq!(listed, serde_json::json!(["v1"]));
    for tag in ["dir", "pipe"] {
        registry.get(&format!("/v2/hello/manifests/{tag}")).assert_error(404, "MANIFEST_UNKNOWN");
    }
    registry.send("DELETE", "/v2/hello/manifests/dir", &[], b"").assert_error(404, "MANIFEST_UNKNOWN");
    registry.send("DELETE", &format!("/v2/hello/manifests/{}", image.digest), &[], b"").assert(202, &[]);
    registry.get("/v2/hello/manifests/v1").assert_error(404, "MANIFEST_UNKNOWN");
    assert!(tags.join("dir").is_dir());
    let said = String::from_utf8(verify(&registry.path("")).stdout).unwrap();
    assert!(said.contains("/_tags/dir: is no tag") && said.contains("/_tags/pipe: is no tag"), "{said}");
}

#[test]
fn what_is_no_blob_and_no_manifest_is_not_there() {
    let (registry, image, _) = signed();
    let digest = sha256(b"a folder");
    for kind in ["_blobs", "_manifests"] {
        fs::create_dir(registry.path(&held(kind, &digest))).unwrap();
    }
    for method in ["GET", "HEAD", "DELETE"] {
        for kind in ["blobs", "manifests"] {
            registry.send(method, &format!("/v2/hello/{kind}/{digest}"), &[], b"").assert(404, &[]);
        }
    }
    let manifest = String::from_utf8(image.manifest).unwrap().replace(&image.layer, &digest);
    let refused = registry.put_manifest("hello", "v2", OCI_MANIFEST, manifest.as_bytes());
    refused.assert_error(404, "MANIFEST_BLOB_UNKNOWN");
}
