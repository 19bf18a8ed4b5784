//! Where an export may write, what it leaves there, and what becomes of it when something is in the way.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::export::{export, listed, names, refused, repository};
use super::import;
use crate::harness::{Registry, bytes};

/// `for i in …; do registry export app:t$i layout & done`; some of them break off.
#[test]
fn exports_into_one_layout_at_the_same_time_are_all_listed() {
    let registry = Registry::start();
    registry.push_image("app", "large", &bytes(1, 300_000));
    for i in 0..6 {
        registry.push_image("app", &format!("t{i}"), format!("layer {i}").as_bytes());
    }
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("layout");
        std::thread::scope(|scope| {
            for i in 0..6 {
                let (registry, layout) = (&registry, &layout);
                scope.spawn(move || export(registry, &format!("app:t{i}"), layout, &[]));
                scope.spawn(|| export_limited(registry, "app:large", layout));
            }
        });
        let mut tags: Vec<_> = listed(&layout).into_iter().filter_map(|(_, tag)| tag).collect();
        tags.sort();
        assert_eq!(tags, ["t0", "t1", "t2", "t3", "t4", "t5"]);
        let other = Registry::start();
        import(&other, &layout, "app", &[]);
    }
}

/// As if the disk were full: `ulimit -f` stops a file at half a layer.
#[track_caller]
fn export_limited(registry: &Registry, source: &str, layout: &Path) {
    let limited = format!(
        "trap '' XFSZ; ulimit -f 200; exec {} export {source} {} --copy --root {}",
        env!("CARGO_BIN_EXE_registry"),
        layout.display(),
        registry.path("").display()
    );
    let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("File too large"), "{said}");
}

#[test]
fn what_cannot_go_out_is_refused_and_leaves_nothing() {
    let (registry, one, _, folder) = repository();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/notes.txt"), b"mine").unwrap();
    fs::write(at("file"), b"mine").unwrap();
    for name in ["nowhere", "nowhere.tar"] {
        symlink("gone", at(name)).unwrap();
    }
    assert!(Command::new("mkfifo").arg(at("pipe.tar")).status().unwrap().success());
    fs::create_dir(at("newer")).unwrap();
    fs::write(at("newer/oci-layout"), br#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    for (source, layout, expect) in [
        ("team/app:v1", "full", "is a folder with other things in it, and no layout (no oci-layout)"),
        (
            "team/app:v1",
            "file",
            "is a file; export to a folder, or to a name that ends with .tar, .tar.gz or .tgz",
        ),
        ("team/app:v1", "pipe.tar", "is neither a plain file nor a folder"),
        (
            "team/app:v1",
            "out.zip",
            "would be an archive of a kind that is not written; .tar, .tar.gz and .tgz are",
        ),
        ("team/app:v1", "out.tar.zst", "would be an archive of a kind that is not written"),
        ("team/app:v1", "out.tar.XZ", "would be an archive of a kind that is not written"),
        ("team/app:v1", "file/", "Not a directory"),
        ("team/app:v1", "nowhere.tar", "is a symbolic link to nothing"),
        ("team/app:v1", "nowhere", "is a symbolic link to nothing"),
        ("team/app:v1", "newer", "oci-layout: imageLayoutVersion is \"2.0.0\""),
        ("team/app:v1", "no/such/folder", "No such file or directory"),
        ("team/app:v1", "no/such/app.tar", "No such file or directory"),
        ("team/app:v9", "layout", "v9"),
        ("team/none", "layout", "team/none"),
    ] {
        refused(&registry, source, &at(layout), expect);
    }
    // An image that is not whole, found before anything is written.
    assert_eq!(registry.send("DELETE", &format!("/v2/team/app/blobs/{}", one.layer), &[], b"").status, 202);
    for layout in ["layout", "app.tar"] {
        refused(
            &registry,
            "team/app",
            &at(layout),
            &format!("refers to {}, which the repository does not hold", one.layer),
        );
    }
    assert_eq!(names(folder.path()), ["file", "full", "newer", "nowhere", "nowhere.tar", "pipe.tar"]);
    assert_eq!(
        (names(&at("full")), names(&at("newer"))),
        (vec!["notes.txt".into()], vec!["oci-layout".into()])
    );
}

/// A disk that is full amid an export.
#[test]
fn an_export_that_breaks_off_leaves_what_was_there() {
    let registry = Registry::start();
    registry.push_image("app", "small", b"small");
    registry.push_image("app", "large", &bytes(1, 300_000));
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    export(&registry, "app:small", &layout, &["--copy"]);
    let before = [names(&layout), names(&layout.join("blobs/sha256"))];
    let index = fs::read(layout.join("index.json")).unwrap();
    for target in ["layout", "new", "app.tar"] {
        if target == "app.tar" && cfg!(not(feature = "archives")) {
            continue;
        }
        export_limited(&registry, "app:large", &folder.path().join(target));
    }
    assert_eq!(names(folder.path()), ["layout"]);
    assert_eq!([names(&layout), names(&layout.join("blobs/sha256"))], before);
    assert_eq!(fs::read(layout.join("index.json")).unwrap(), index);
}

#[cfg(feature = "archives")]
#[test]
fn an_archive_takes_the_place_of_a_file_as_that_was() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (registry, _, _, folder) = repository();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/app.tar"), b"old").unwrap();
    fs::set_permissions(at("elsewhere/app.tar"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("elsewhere/app.tar", at("link.tar")).unwrap();
    export(&registry, "team/app", &at("link.tar"), &[]);
    assert!(fs::symlink_metadata(at("link.tar")).unwrap().is_symlink());
    let written = fs::metadata(at("elsewhere/app.tar")).unwrap();
    assert!(written.len() > 5000 && written.mode() & 0o7777 == 0o600, "{written:?}");
    // With a slash behind it is a folder, whatever its name.
    export(&registry, "team/app", &at("dd.tar/"), &[]);
    assert_eq!(listed(&at("dd.tar")).len(), 3);
    assert_eq!(names(folder.path()), ["dd.tar", "elsewhere", "link.tar"]);
    assert_eq!(names(&at("elsewhere")), ["app.tar"]);
}
