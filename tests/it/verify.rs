//! `registry verify`: what is wrong with the files is found, named, and told what to do about.

mod lost;
mod mend;
mod odd;
mod repair;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Image, OCI_MANIFEST, Registry, bytes, sha256};

fn verify(root: &Path) -> Output {
    let verify = Command::new(env!("CARGO_BIN_EXE_registry")).args(["verify", "--root"]).arg(root).output();
    verify.expect("registry verify")
}

/// A registry with an image, `hello:v1`, and a signature of it.
fn signed() -> (Registry, Image, String) {
    let registry = Registry::start();
    let image = registry.push_image("hello", "v1", b"layer");
    let signature = sign(&registry, &image);
    (registry, image, signature)
}

/// Pushes a manifest whose subject is an image; returns its digest.
fn sign(registry: &Registry, image: &Image) -> String {
    let subject = format!(
        r#","subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{}}}}}"#,
        image.digest,
        image.manifest.len()
    );
    let manifest = String::from_utf8(image.manifest.clone()).unwrap();
    let manifest = format!("{}{subject}", manifest.strip_suffix('}').unwrap());
    let digest = sha256(manifest.as_bytes());
    assert_eq!(registry.put_manifest("hello", &digest, OCI_MANIFEST, manifest.as_bytes()).status, 201);
    digest
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}

fn held(kind: &str, digest: &str) -> String {
    format!("repositories/hello/{kind}/sha256/{}", hex(digest))
}

fn entry(image: &Image, signature: &str) -> String {
    format!("repositories/hello/_referrers/sha256/{}/sha256-{}", hex(&image.digest), hex(signature))
}

/// Damages a sound store, and expects these lines before the summary, in any order, and the exit status that
/// belongs to them.
#[track_caller]
fn check(damage: impl FnOnce(&Registry, &Image, &str) -> Vec<String>) {
    let (registry, image, signature) = signed();
    let mut expected = damage(&registry, &image, &signature);
    let before = registry.snapshot();
    let output = verify(&registry.path(""));
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = said.lines().collect();
    let summary = lines.pop().unwrap();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    let faults = lines.iter().filter(|line| line.starts_with("fault: ")).count();
    let (status, verdict) = match faults {
        0 => (0, format!(": sound, {} leftovers", lines.len())),
        _ => (1, format!(": {faults} faults")),
    };
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(summary.ends_with(&verdict), "{summary}");
    assert_eq!(registry.snapshot(), before, "verify only looks");
}

/// Changes a byte of a file in place, whatever other names it has.
fn flip_bit(path: &Path) {
    let mut content = fs::read(path).unwrap();
    content[0] ^= 1;
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, content).unwrap();
}

// ---- nothing wrong

#[test]
fn a_sound_store_passes() {
    let (registry, image, _) = signed();
    registry.push_image("other/hello", "v1", b"layer");
    let location = registry.start_upload("hello");
    assert_eq!(registry.send("PATCH", &location, &[], b"half").status, 202);
    let output = verify(&registry.path(""));
    assert_eq!(output.status.code(), Some(0));
    let sizes: usize = ["blobs/sha256"].iter().map(|folder| size_of(&registry.path(folder))).sum();
    let summary =
        format!("4 blobs of {sizes} bytes, 2 repositories, 3 manifests, 2 tags, 1 upload sessions: sound\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), summary);
    assert_eq!(registry.link_count(&image.layer), 3);
}

fn size_of(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len() as usize).sum()
}

#[test]
fn an_empty_store_passes_and_no_store_does_not() {
    let registry = Registry::start();
    let output = verify(&registry.path(""));
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("0 blobs of 0 bytes, 0 repositories"));
    let output = verify(&registry.path("no/such/folder"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("nothing was pushed here yet"));
}

#[test]
fn what_people_do_by_hand_passes() {
    let (registry, image, _) = signed();
    fs::write(registry.path("repositories/hello/_tags/by-hand"), &image.manifest).unwrap();
    assert_eq!(verify(&registry.path("")).status.code(), Some(0));
}

/// A file has as many links as the file system allows, and another took its place under `blobs/`.
#[test]
fn a_blob_in_several_files_of_several_links_passes() {
    let (registry, image, _) = signed();
    registry.push_image("two", "v1", b"layer");
    let (blob, copy) = (registry.blob_path(&image.layer), registry.path("copy"));
    fs::copy(&blob, &copy).unwrap();
    fs::rename(&copy, &blob).unwrap();
    registry.push_image("three", "v1", b"layer");
    assert_eq!(registry.link_count(&image.layer), 2);
    assert_eq!(verify(&registry.path("")).status.code(), Some(0));
}

// ---- faults

#[test]
fn one_flipped_bit_of_a_blob_is_one_fault() {
    check(|registry, image, _| {
        flip_bit(&registry.blob_path(&image.layer));
        vec![wrong_bytes(&image.layer, "_blobs")]
    });
}

#[test]
fn a_blob_that_was_cut_off_is_found() {
    check(|registry, image, _| {
        let path = registry.blob_path(&image.config);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, b"").unwrap();
        vec![wrong_bytes(&image.config, "_blobs")]
    });
}

/// Its tag and its referrers do not say it again.
#[test]
fn one_flipped_bit_of_a_manifest_is_one_fault() {
    check(|registry, image, signature| {
        flip_bit(&registry.blob_path(&image.digest)); // its opening brace
        flip_bit(&registry.blob_path(signature));
        vec![wrong_bytes(&image.digest, "_manifests"), wrong_bytes(signature, "_manifests")]
    });
}

fn wrong_bytes(digest: &str, kind: &str) -> String {
    format!(
        "fault: blobs/sha256/{}: its bytes have another digest; remove it and each of: {}; then push the image \
         again to hello",
        hex(digest),
        held(kind, digest)
    )
}

/// Nobody can tell which bytes are right but by hashing them.
#[test]
fn a_file_with_other_bytes_is_never_to_be_linked() {
    check(|registry, image, _| {
        flip_bit(&registry.blob_path(&image.layer));
        fs::remove_file(registry.blob_path(&image.layer)).unwrap();
        let path = held("_blobs", &image.layer);
        vec![format!(
            "fault: {path}: its bytes have another digest; remove it; then push the image again to hello"
        )]
    });
}

#[test]
fn a_manifest_that_is_none_is_found() {
    check(|registry, _, _| {
        let path = held("_manifests", &sha256(b"[]"));
        fs::write(registry.blob_path(&sha256(b"[]")), b"[]").unwrap();
        fs::hard_link(registry.blob_path(&sha256(b"[]")), registry.path(&path)).unwrap();
        let output = String::from_utf8(verify(&registry.path("")).stdout).unwrap();
        let line = output.lines().next().unwrap().to_owned();
        assert!(
            line.starts_with(&format!("fault: {path}: ")) && line.ends_with("push the image again"),
            "{line}"
        );
        vec![line]
    });
}

#[test]
fn a_removed_blob_is_found() {
    check(|registry, image, _| {
        fs::remove_file(registry.blob_path(&image.layer)).unwrap();
        vec![format!(
            "fault: {}: there is no blobs/sha256/{}; link this file there",
            held("_blobs", &image.layer),
            hex(&image.layer)
        )]
    });
}

#[test]
fn a_removed_manifest_is_found() {
    check(|registry, image, _| {
        fs::remove_file(registry.blob_path(&image.digest)).unwrap();
        vec![format!(
            "fault: {}: there is no blobs/sha256/{}; link this file there",
            held("_manifests", &image.digest),
            hex(&image.digest)
        )]
    });
}

#[test]
fn a_torn_link_is_found() {
    check(|registry, image, signature| {
        fs::remove_file(registry.path(&held("_blobs", &image.layer))).unwrap();
        let refers = format!("refers to {}, which hello does not hold; push the image again", image.layer);
        vec![
            format!("fault: {}: {refers}", held("_manifests", &image.digest)),
            format!("fault: {}: {refers}", held("_manifests", signature)),
            format!(
                "leftover: blobs/sha256/{}: no repository holds it; it may be removed, while nothing is pushed",
                hex(&image.layer)
            ),
        ]
    });
}

#[test]
fn a_copy_instead_of_a_link_is_found() {
    check(|registry, image, _| {
        copy_in_place(&registry.path(&held("_blobs", &image.layer)));
        vec![format!(
            "fault: {}: is a copy of blobs/sha256/{}, not a link to it; link it again",
            held("_blobs", &image.layer),
            hex(&image.layer)
        )]
    });
}

#[test]
fn a_copy_with_other_bytes_is_found() {
    check(|registry, image, _| {
        let path = held("_blobs", &image.layer);
        copy_in_place(&registry.path(&path));
        flip_bit(&registry.path(&path));
        let blob = format!("blobs/sha256/{}", hex(&image.layer));
        vec![format!("fault: {path}: its bytes have another digest; remove it; then link {blob} there")]
    });
}

#[test]
fn a_copy_with_the_right_bytes_serves_to_mend_the_others() {
    check(|registry, image, _| {
        let path = held("_blobs", &image.layer);
        copy_in_place(&registry.path(&path));
        flip_bit(&registry.blob_path(&image.layer));
        let blob = format!("blobs/sha256/{}", hex(&image.layer));
        vec![format!("fault: {blob}: its bytes have another digest; remove it; then link {path} there")]
    });
}

fn copy_in_place(path: &Path) {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    fs::rename(&copy, path).unwrap();
}

#[test]
fn a_tag_to_nowhere_is_found() {
    check(|registry, _, _| {
        let tags = registry.path("repositories/hello/_tags");
        symlink(format!("../_manifests/sha256/{}", "0".repeat(64)), tags.join("gone")).unwrap();
        symlink("/etc/hostname", tags.join("strange")).unwrap();
        let fault = |tag: &str| {
            format!(
                "fault: repositories/hello/_tags/{tag}: points to no manifest of this repository; push the tag \
                 again or remove it"
            )
        };
        vec![fault("gone"), fault("strange")]
    });
}

#[test]
fn a_tag_made_by_hand_that_refers_to_nothing_is_found() {
    check(|registry, image, _| {
        let manifest = String::from_utf8(image.manifest.clone()).unwrap();
        let missing = sha256(b"never pushed");
        let manifest = manifest.replace(&image.layer, &missing);
        fs::write(registry.path("repositories/hello/_tags/by-hand"), manifest).unwrap();
        vec![format!(
            "fault: repositories/hello/_tags/by-hand: refers to {missing}, which hello does not hold; push the \
             image again"
        )]
    });
}

#[test]
fn a_referrer_that_is_not_listed_is_found() {
    check(|registry, image, signature| {
        fs::remove_file(registry.path(&entry(image, signature))).unwrap();
        vec![format!(
            "fault: {}: is not listed as a referrer of {}; push it again",
            held("_manifests", signature),
            image.digest
        )]
    });
}

#[test]
fn a_referrer_of_something_else_is_found() {
    check(|registry, image, signature| {
        let strange = entry(image, &image.digest);
        fs::copy(registry.path(&entry(image, signature)), registry.path(&strange)).unwrap();
        vec![format!(
            "fault: {strange}: points to a manifest whose subject is not {}; remove it",
            image.digest
        )]
    });
}

#[test]
fn a_name_that_is_no_digest_is_found() {
    check(|registry, _, _| {
        fs::write(registry.path("blobs/sha256/notes.txt"), b"x").unwrap();
        fs::write(registry.path("repositories/hello/_blobs/sha256/abc"), b"x").unwrap();
        let why = "is not named by a digest, so nobody can ask for it; remove it";
        vec![
            format!("fault: blobs/sha256/notes.txt: {why}"),
            format!("fault: repositories/hello/_blobs/sha256/abc: {why}"),
        ]
    });
}

// ---- leftovers

#[test]
fn what_pushes_that_broke_off_left_is_named_and_no_fault() {
    check(|registry, image, signature| {
        let tags = registry.path("repositories/hello/_tags");
        symlink(format!("../_manifests/sha256/{}", hex(&image.digest)), tags.join(".new-1")).unwrap();
        let entries = registry.path(&entry(image, signature)).parent().unwrap().to_owned();
        symlink("nowhere", entries.join(".new-2")).unwrap();
        symlink("nowhere", registry.path(&entry(image, &sha256(b"never came")))).unwrap();
        fs::write(registry.path("uploads/a-manifest"), b"{}").unwrap();
        fs::create_dir(registry.path("uploads/half-a-session")).unwrap();
        fs::write(registry.path("uploads/half-a-session/data"), b"").unwrap();
        fs::create_dir(registry.path("uploads/no-session")).unwrap();
        fs::write(registry.path("uploads/no-session/data"), b"").unwrap();
        fs::write(registry.path("uploads/no-session/session.json"), [0; 80]).unwrap();
        let unheld = bytes(7, 100);
        fs::write(registry.blob_path(&sha256(&unheld)), &unheld).unwrap();

        let subject = format!("repositories/hello/_referrers/sha256/{}", hex(&image.digest));
        let session = "is no session; a push that broke off left it, it may be removed";
        vec![
            "leftover: repositories/hello/_tags/.new-1: is no tag; a push that broke off left it, it may be removed"
                .to_owned(),
            format!("leftover: {subject}/.new-2: is no referrer; a push that broke off left it, it may be removed"),
            format!(
                "leftover: {}: its manifest never came, or went; it may be removed",
                entry(image, &sha256(b"never came"))
            ),
            format!("leftover: uploads/a-manifest: {session}"),
            format!("leftover: uploads/half-a-session: {session}"),
            format!("leftover: uploads/no-session: {session}"),
            format!(
                "leftover: blobs/sha256/{}: no repository holds it; it may be removed, while nothing is pushed",
                hex(&sha256(&unheld))
            ),
        ]
    });
}
