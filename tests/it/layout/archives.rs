//! Layouts in one file.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use container_registry::error::Error;
use container_registry::layout::contents::Contents;
use container_registry::layout::plan::Plan;
use container_registry::manifest::MANIFEST_BYTES_MAX;

use super::made::{Made, digest};
use super::packed::{Tar, gzip};
use super::{assert_sound, assert_tags, import, refused, text};
use crate::harness::{OCI_MANIFEST, Registry, bytes, sha512};

#[test]
fn a_layout_comes_out_of_a_tar_also_compressed() {
    let (made, image) = Made::with_image();
    let registry = Registry::start();
    let tar = made.tar();
    import(&registry, &tar, "plain", &[]);
    import(&registry, &gzip(&tar), "gzip", &[]);
    // Two members of gzip one after the other are one file, as `cat a.gz b.gz` is.
    let whole = fs::read(&tar).unwrap();
    let parts = whole.split_at(700);
    let [first, second] = [parts.0, parts.1].map(|part| {
        fs::write(made.beside("part.tar"), part).unwrap();
        fs::read(gzip(&made.beside("part.tar"))).unwrap()
    });
    fs::write(made.beside("two.tgz"), [first, second].concat()).unwrap();
    import(&registry, &made.beside("two.tgz"), "two", &[]);
    // Zeros behind it, as from a tape; gzip(1) takes them.
    let padded = [&fs::read(made.beside("two.tgz")).unwrap()[..], &[0; 700_000]].concat();
    fs::write(made.beside("padded.tgz"), &padded).unwrap();
    import(&registry, &made.beside("padded.tgz"), "padded", &[]);
    fs::write(made.beside("more.tgz"), [&padded[..], b"more"].concat()).unwrap();
    refused(&registry, &made.beside("more.tgz"), "app", &[], "something follows its end");
    for name in ["plain", "gzip", "two", "padded"] {
        assert_tags(&registry, name, &[("v1", &image)]);
    }
    assert_eq!(registry.files("uploads"), [""; 0]);
    assert_sound(&registry);
}

/// `docker save app | registry import /dev/stdin app`
#[test]
fn an_archive_may_come_through_a_pipe() {
    let (made, image) = Made::with_image();
    let registry = Registry::start();
    for (name, archive) in [("plain", made.tar()), ("gzip", gzip(&made.tar()))] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_registry"))
            .args(["import", "/dev/stdin", name, "--root", text(&registry.path(""))])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        program.stdin.take().unwrap().write_all(&fs::read(archive).unwrap()).unwrap();
        assert!(program.wait().unwrap().success());
        assert_tags(&registry, name, &[("v1", &image)]);
    }
    assert_eq!(registry.files("uploads"), [""; 0]);
}

/// `blobs/sha512/…` has 141 letters; a header has room for 100, and each maker another way out.
#[test]
fn long_names_are_read_as_gnu_and_as_posix_write_them() {
    let mut made = Made::new();
    let image = made.image(&bytes(1, 100));
    let manifest = fs::read(made.file_of(&image)).unwrap();
    let mut by_sha512 = image.clone();
    by_sha512["digest"] = sha512(&manifest).into();
    fs::remove_file(made.file_of(&image)).unwrap();
    fs::create_dir(made.path("blobs/sha512")).unwrap();
    fs::write(made.file_of(&by_sha512), &manifest).unwrap();
    made.list(&by_sha512, Some("v1"));
    let registry = Registry::start();
    import(&registry, &made.tar(), "gnu", &[]);

    let name = format!("blobs/sha512/{}", sha512(&manifest).trim_start_matches("sha512:"));
    let record = |key: &str, value: &[u8]| {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let length =
            (1..4).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
        [format!("{} {key}=", length.unwrap()).as_bytes(), value, b"\n"].concat()
    };
    // A value may hold line ends; the size may stand here instead of in the header.
    let records = [
        record("SCHILY.xattr.user.x", b"a\n9 b=c\n\xff"),
        record("path", name.as_bytes()),
        record("size", manifest.len().to_string().as_bytes()),
    ]
    .concat();
    let mut tar = Tar::new();
    tar.layout(&made, &[]);
    tar.entry(tar::EntryType::XGlobalHeader, "pax_global_header", "", 20, b"20 comment=whatever\n");
    tar.entry(tar::EntryType::XHeader, "PaxHeaders/x", "", records.len() as u64, &records);
    tar.entry(tar::EntryType::Regular, "short", "", 0, &manifest);
    fs::write(made.beside("posix.tar"), tar.bytes()).unwrap();
    import(&registry, &made.beside("posix.tar"), "posix", &[]);
    for name in ["gnu", "posix"] {
        let answer = registry.get(&format!("/v2/{name}/manifests/v1"));
        answer.assert(200, &[("Docker-Content-Digest", &sha512(&manifest)), ("Content-Type", OCI_MANIFEST)]);
    }
    assert_sound(&registry);
}

/// No entry is ever written to the disk; what two programs would read in two ways is refused.
#[test]
fn an_archive_that_plays_tricks_is_refused() {
    let (made, image) = Made::with_image();
    let registry = Registry::start();
    let blob = format!("blobs/sha256/{}", digest(&image).trim_start_matches("sha256:"));
    let check = |expect: &str, build: &dyn Fn(&mut Tar)| {
        let mut tar = Tar::new();
        build(&mut tar);
        let path = made.beside("tricks.tar");
        fs::write(&path, tar.bytes()).unwrap();
        refused(&registry, &path, "app", &[], expect);
    };
    check("has a file \"../evil\", which would lie outside of the layout", &|tar| {
        tar.layout(&made, &[]).file("../evil", b"x");
    });
    check("has a file \"/etc/passwd\", which would lie outside", &|tar| {
        tar.layout(&made, &[]).file("/etc/passwd", b"x");
    });
    check("has a file \"blobs/../index.json\"", &|tar| {
        tar.layout(&made, &["index.json"]).file("blobs/../index.json", b"{}");
    });
    check("index.json: is in the archive twice", &|tar| {
        tar.layout(&made, &[]).file("./index.json", br#"{"schemaVersion":2,"manifests":[]}"#);
    });
    check("index.json: is a link, where a layout has a plain file", &|tar| {
        tar.layout(&made, &["index.json"]).symlink("index.json", "/etc/passwd");
    });
    check(&format!("{blob}: is a link, where a layout has a plain file"), &|tar| {
        tar.layout(&made, &[&blob]).symlink(&blob, "../../../../etc/passwd");
    });
    check(&format!("{blob}: is stored with holes (tar --sparse), no plain file"), &|tar| {
        tar.layout(&made, &[&blob]).entry(tar::EntryType::GNUSparse, &blob, "", 0, b"");
    });
    check("oci-layout: is a device or a pipe, no plain file", &|tar| {
        tar.layout(&made, &["oci-layout"]).entry(tar::EntryType::Fifo, "oci-layout", "", 0, b"");
    });
    check("is cut off: it ends after", &|tar| {
        tar.layout(&made, &[]).entry(tar::EntryType::Regular, "large", "", 0o7777_7777, b"");
    });
    check("it has 8388607 bytes of extensions, allowed are 1048576", &|tar| {
        tar.layout(&made, &[]).entry(tar::EntryType::GNULongName, "././@LongLink", "", 8_388_607, b"");
    });
    check("its extensions are malformed", &|tar| {
        tar.layout(&made, &[]).entry(tar::EntryType::XHeader, "x", "", 10, b"99 path=a\n");
    });
    assert!(!made.beside("evil").exists());
}

#[test]
fn an_archive_cut_off_anywhere_is_refused() {
    let (made, _) = Made::with_image();
    let registry = Registry::start();
    let (whole, cut) = (fs::read(made.tar()).unwrap(), made.beside("cut.tar"));
    // In the middle of blocks and between them; at the very end, in the last three blocks, only zeros are missing.
    for length in (0..whole.len() - 1536).step_by(256) {
        fs::write(&cut, &whole[..length]).unwrap();
        refused(&registry, &cut, "app", &[], "cut.tar: ");
    }
    let (whole, cut) = (fs::read(gzip(&made.tar())).unwrap(), made.beside("cut.tar.gz"));
    for length in [3, 20, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        fs::write(&cut, &whole[..length]).unwrap();
        refused(&registry, &cut, "app", &[], "is cut off or damaged, its gzip does not end well");
    }
}

/// Whatever byte of it changes: what is read is what was packed, or it is refused.
#[test]
fn an_archive_with_any_byte_changed_is_read_right_or_refused() {
    let (made, image) = Made::with_image();
    let path = made.tar();
    let whole = fs::read(&path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let expect = digest(&image);
    let (mut right, mut refused) = (0, 0);
    for (at, noise) in bytes(3, whole.len()).iter().enumerate() {
        let begin = at - at % 512;
        let block = &whole[begin..begin + 512];
        let mut changed = block.to_owned();
        changed[at % 512] ^= noise | 1;
        if at % 512 < 148 {
            mend_checksum(&mut changed); // or all of a header would be refused for that
        }
        file.write_all_at(&changed, begin as u64).unwrap();
        let no_spool = |_: &mut dyn Read| Err(Error::Panicked.into());
        let planned = Contents::open(&path, MANIFEST_BYTES_MAX, &no_spool).and_then(|contents| {
            let mut plan = Plan::new(&contents, MANIFEST_BYTES_MAX);
            contents.listed.iter().try_for_each(|listed| plan.add(listed))?;
            Ok(plan.manifests.iter().map(|planned| planned.digest.to_string()).collect::<Vec<_>>())
        });
        match planned {
            Ok(digests) => {
                assert!(digests == [expect] || digests.is_empty(), "byte {at}: {digests:?}");
                right += 1;
            }
            Err(_) => refused += 1,
        }
        file.write_all_at(block, begin as u64).unwrap();
    }
    assert!(right > 100 && refused > 1000, "{right} {refused}");
}

fn mend_checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// 128 MiB of blanks, as a manifest, in an archive of half a megabyte; with 96 MiB of addresses to do it in.
#[test]
fn a_manifest_that_is_inflated_without_end_is_refused_and_fills_no_memory() {
    let registry = Registry::start();
    let (mut made, _) = Made::with_image();
    let blanks = made.part(OCI_MANIFEST, &vec![b' '; 128 << 20]);
    made.list(&blanks, Some("v2"));
    let bomb = gzip(&made.tar());
    assert!(fs::metadata(&bomb).unwrap().len() < 4 << 20);
    let limited = format!(
        "ulimit -v 98304; exec {} import {} app --root {}",
        env!("CARGO_BIN_EXE_registry"),
        bomb.display(),
        registry.path("").display()
    );
    let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is larger than a manifest may be"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(registry.files("blobs"), [""; 0]);
    assert_eq!(registry.files("uploads"), [""; 0]);
}

#[test]
fn what_is_no_archive_is_refused_by_what_it_is() {
    let made = Made::new();
    let registry = Registry::start();
    let file = made.beside("file");
    for (content, expect) in [
        (&b""[..], "is empty"),
        (b"hello", "is cut off"),
        (&[7; 4096], "is neither a folder, nor a tar archive, nor one compressed with gzip"),
        (&[0; 1024], "is no layout: at its top is neither oci-layout (OCI) nor manifest.json"),
        (b"\x28\xb5\x2f\xfd........", "is compressed with zstd"),
        (b"\xfd7zXZ\0......", "is compressed with xz"),
        (b"BZh91AY&SY......", "is compressed with bzip2"),
    ] {
        fs::write(&file, content).unwrap();
        refused(&registry, &file, "app", &[], expect);
    }
    refused(&registry, &made.beside("nothing"), "app", &[], "there is no such file or folder");
}
