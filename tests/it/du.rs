//! `registry du`: who holds which bytes alone, and that they come back when nobody does.

use std::fs;
use std::process::Command;

use crate::harness::{Image, OCI_MANIFEST, Registry, bytes};

const HEAD: &str = "          alone          shared  repository\n";

#[track_caller]
fn check(registry: &Registry, rows: &[(usize, usize, &str)], total: &str) {
    let mut expected = HEAD.to_owned();
    for (alone, shared, name) in rows {
        expected += &format!("{alone:>15} {shared:>15}  {name}\n");
    }
    assert_eq!(registry.run("du", &[]).output, format!("{expected}{total}\n"));
}

#[test]
fn du_tells_what_a_repository_holds_alone_and_what_it_shares() {
    let registry = Registry::start();
    check(&registry, &[], "0 blobs of 0 bytes in 0 repositories; 0 bytes that nobody holds, 0 in uploads");
    let image = registry.push_image("a", "v1", &[1; 1000]);
    let (config, manifest) = (37, image.manifest.len());
    let all = config + manifest + 1000;
    let total = format!("3 blobs of {all} bytes in 1 repositories; 0 bytes that nobody holds, 0 in uploads");
    check(&registry, &[(all, 0, "a")], &total);

    registry.push_image("b/c", "v1", &[1; 1000]);
    registry.push_blob("b/c", &[2; 500]);
    registry.push_blob("a", &[3; 10]);
    let bytes = all + 510;
    let total =
        format!("5 blobs of {bytes} bytes in 2 repositories; 0 bytes that nobody holds, 7 in uploads");
    registry.send("PATCH", &registry.start_upload("a"), &[], b"").assert(202, &[]);
    let session: u64 = registry
        .files("uploads")
        .iter()
        .map(|file| registry.path("uploads").join(file).metadata().unwrap().len())
        .sum();
    let total = total.replace("7 in", &format!("{session} in"));
    check(&registry, &[(10, all, "a"), (500, all, "b/c")], &total);
}

/// What is a blob and a manifest in one repository is one file there.
#[test]
fn du_counts_a_file_once() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    registry.push_blob("a", &image.manifest);
    let all = image.manifest.len() + 37 + 5;
    check(
        &registry,
        &[(all, 0, "a")],
        &format!("3 blobs of {all} bytes in 1 repositories; 0 bytes that nobody holds, 0 in uploads"),
    );
}

/// An exported layout has links to the same files.
#[test]
fn du_counts_repositories_and_not_links() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let all = image.manifest.len() + 37 + 5;
    let total = |unheld| {
        format!("3 blobs of {all} bytes in 1 repositories; {unheld} bytes that nobody holds, 0 in uploads")
    };
    check(&registry, &[(all, 0, "a")], &total(0));
    fs::hard_link(registry.blob_path(&image.layer), registry.path("exported")).unwrap();
    check(&registry, &[(all, 0, "a")], &total(0));
    fs::remove_file(registry.path(&format!("repositories/a/_blobs/{}", image.layer.replace(':', "/"))))
        .unwrap();
    check(&registry, &[(all - 5, 0, "a")], &total(5));
}

/// `cp -r` makes as many files of the names of one.
#[test]
fn du_of_a_copy_that_broke_the_links_apart_knows_who_holds_what() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    registry.push_image("b", "v1", b"layer");
    let stray = registry.push_blob("b", b"stray");
    for file in registry.files("repositories").iter().filter(|file| file.contains("/sha256/")) {
        let path = registry.path("repositories").join(file);
        let copy = path.with_extension("copy");
        fs::copy(&path, &copy).and_then(|_| fs::rename(&copy, &path)).unwrap();
    }
    fs::remove_file(registry.path(&format!("repositories/b/_blobs/{}", stray.replace(':', "/")))).unwrap();
    let all = image.manifest.len() + 37 + 5;
    let total =
        format!("4 blobs of {} bytes in 2 repositories; 5 bytes that nobody holds, 0 in uploads", all + 5);
    check(&registry, &[(all, 0, "a"), (all, 0, "b")], &total);
}

fn size_on_disk(registry: &Registry) -> usize {
    let output = Command::new("du").arg("-sk").arg(registry.path("")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn the_bytes_of_a_deleted_image_are_back_without_any_command() {
    let registry = Registry::start();
    let before = size_on_disk(&registry);
    let image = registry.push_image("a", "v1", &bytes(1, 8 << 20));
    assert!(size_on_disk(&registry) > before + 8000);
    for path in [
        format!("manifests/{}", image.digest),
        format!("blobs/{}", image.layer),
        format!("blobs/{}", image.config),
    ] {
        registry.send("DELETE", &format!("/v2/a/{path}"), &[], b"").assert(202, &[]);
    }
    assert!(size_on_disk(&registry) < before + 100);
    let total = "0 blobs of 0 bytes in 1 repositories; 0 bytes that nobody holds, 0 in uploads";
    check(&registry, &[(0, 0, "a")], total);
    assert!(registry.run("gc", &[]).assert_done().ends_with(" 1 empty repositories"));
    assert_eq!(size_on_disk(&registry), before);
}

#[test]
fn the_layers_of_an_untagged_image_are_back_after_a_sweep() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", &bytes(1, 8 << 20));
    let next = Image::new(&image.config, 37, &registry.push_blob("a", b"next"), 4);
    registry.put_manifest("a", "v1", OCI_MANIFEST, &next.manifest).assert(201, &[]);
    assert_eq!(registry.run("gc", &["--grace", "0s"]).assert_done().split(' ').nth(1), Some("0"));
    registry.run("gc", &["--grace", "0s", "--untagged"]).assert_done();
    let all = next.manifest.len() + 37 + 4;
    let total = format!("3 blobs of {all} bytes in 1 repositories; 0 bytes that nobody holds, 0 in uploads");
    check(&registry, &[(all, 0, "a")], &total);
}
