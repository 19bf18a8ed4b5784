//! `registry import` and `registry export`: what was typed, and their help.

use super::tags::{name_and_tag, parse_name};
use super::{Command, Parsed, ROOT_FLAGS, Typed};
use crate::config::Config;
use crate::digest::Digest;
use crate::layout::export::Export;
use crate::layout::import::Import;
use crate::layout::platform::Platform;
use crate::reference::{Reference, Tag};

const IMPORT_FLAGS: &[&str] = &["--ref REF", "--platform PLATFORM", "--referrers"];
const EXPORT_FLAGS: &[&str] = &["--referrers", "--copy"];

/// What `registry import LAYOUT NAME[:TAG]` means.
pub(super) fn import(arguments: &[String], load: impl FnOnce(&Typed) -> Result<Config, String>) -> Parsed {
    let mut typed = Typed::parse(arguments, &[ROOT_FLAGS, IMPORT_FLAGS].concat())?;
    let (named, referrers) = (typed.take("--ref"), typed.take_switch("--referrers")?);
    let platform = typed.take("--platform").map(|text| {
        let why = || format!("--platform: {text:?} is not OS/ARCH or OS/ARCH/VARIANT, as linux/amd64");
        Platform::parse(&text).ok_or_else(why)
    });
    let [layout, target] = two(&typed.operands, "LAYOUT NAME[:TAG]")?;
    let (name, tag) = name_and_tag(target)?;
    let config = load(&typed)?;
    let platform = platform.transpose()?;
    let manifest_bytes_max = config.limits.manifest_bytes;
    let refuse_free = config.storage.refuse_free;
    let import = Import { name, tag, named, platform, referrers, manifest_bytes_max, refuse_free };
    let (root, immutable) = (config.storage.path, config.tags.immutable);
    Ok(Command::Import { root, immutable, layout: layout.into(), import })
}

/// What `registry export NAME[:TAG|@DIGEST] LAYOUT` means.
pub(super) fn export(arguments: &[String], load: impl FnOnce(&Typed) -> Result<Config, String>) -> Parsed {
    let mut typed = Typed::parse(arguments, &[ROOT_FLAGS, EXPORT_FLAGS].concat())?;
    let (referrers, copy) = (typed.take_switch("--referrers")?, typed.take_switch("--copy")?);
    let [source, layout] = two(&typed.operands, "NAME[:TAG|@DIGEST] LAYOUT")?;
    let (name, reference) = match source.find([':', '@']) {
        None => (source.as_str(), None),
        Some(at) => (&source[..at], Some(&source[at..])),
    };
    let name = parse_name(name)?;
    let reference = match reference.map(|text| (text.starts_with('@'), &text[1..])) {
        None => Ok(None),
        Some((true, digest)) => Digest::parse(digest).map(|digest| Some(Reference::Digest(digest))),
        Some((false, tag)) => Tag::parse(tag).map(|tag| Some(Reference::Tag(tag))),
    };
    let reference = reference.map_err(|error| error.to_string())?;
    let config = load(&typed)?;
    let export =
        Export { name, reference, referrers, copy, manifest_bytes_max: config.limits.manifest_bytes };
    Ok(Command::Export { root: config.storage.path, layout: layout.into(), export })
}

fn two<'a>(operands: &'a [String], what: &str) -> Result<&'a [String; 2], String> {
    operands.try_into().map_err(|_| format!("it takes two things, {what}, and {} were given", operands.len()))
}

pub(super) fn import_help() -> String {
    String::from(
        "\
Usage: registry import [FLAGS] LAYOUT NAME[:TAG]

Takes images from files into the repository NAME. LAYOUT is an OCI image layout (a directory, or
a .tar of it, also compressed with gzip) or what `docker save` wrote. Works beside running servers;
run it as the user they run as, whose the files are.

  registry import layout team/app       all that the layout lists, with the tags it has there
  registry import layout team/app:v1    what has the tag v1 in the layout; or, when that holds one
                                        image only (beside what refers to it), this one, whatever
                                        it is called there
  registry import all.tar team/app:v1 --ref docker.io/library/app:v1.2

The tag of an image in a layout is its org.opencontainers.image.ref.name, or what follows the colon
of a full reference there or in io.containerd.image.name; of `docker save`, its RepoTags.

  --ref REF              What the image is called in the layout, as a tag or in full; or its digest.
  --platform PLATFORM    Of an image for several platforms, the one for this: OS/ARCH[/VARIANT], as
                         linux/amd64. So also what containerd exports of an index comes in.
  --referrers            Also what refers to it: signatures, bills of materials. Without a tag
                         they are among all that is imported anyway.
  --root DIR             The registry's directory. [testdata]  storage.path  REGISTRY_STORAGE_PATH
  --config FILE          The configuration file to take it, limits.manifest_bytes, tags.immutable
                         and storage.refuse_free from.

All of it is read and checked before anything is written. Of a layout that is wrong, nothing is
imported, and a line says which file of it is wrong. An archive is never unpacked; one that is
compressed is inflated into uploads/ below DIR meanwhile. Nothing is begun that would leave less of
the disk free than storage.refuse_free. What an old docker saved holds no manifest: one is made
(OCI's), always the same from the same archive. SIGINT and SIGTERM end an import like anything else
that fails: what it has brought is taken back, but for what somebody used meanwhile or another
repository had already; that goes with `registry gc`, manifests with `registry gc --untagged`.
Exit status: 0 imported, 1 not.
",
    )
}

pub(super) fn export_help() -> String {
    String::from(
        "\
Usage: registry export [FLAGS] NAME[:TAG|@DIGEST] LAYOUT

Writes images of the repository NAME as an OCI image layout, which skopeo, podman, oras and
`registry import` read, and as an archive docker too: every tag, or one manifest, with all that
belongs to it. Works beside running servers.

  registry export team/app layout               into a directory, which is made if it is not there
  registry export team/app:v1 layout            a layout that is there keeps what it lists
  registry export team/app:v1 app.tar           into an archive: .tar, .tar.gz, .tgz
  docker load -i app.tar                        makes it team/app:v1 there
  skopeo copy oci:layout:v1 docker://...        pushes the same digest
  skopeo copy oci-archive:app.tar:v1 ...

  --referrers            Also what refers to it: signatures, bills of materials.
  --copy                 Copy blobs into the directory. Without it they are hard links to the files
                         below DIR wherever that can be, and take no room: then leave them as they
                         are. Whoever writes into one, or gives it another owner, does so to the
                         registry's.
  --root DIR             The registry's directory. [testdata]  storage.path  REGISTRY_STORAGE_PATH
  --config FILE          The configuration file to take it from.

Files appear complete or not at all, index.json or the archive last. What fails, or is ended by
SIGINT or SIGTERM, leaves nothing.
Exit status: 0 exported, 1 not.
",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(command: &str, line: &str) -> Parsed {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let load = |typed: &Typed| {
            Config::load(&typed.flags, [], |_| panic!("no file was named")).map_err(|why| why.to_string())
        };
        if command == "import" { import(&arguments, load) } else { export(&arguments, load) }
    }

    fn parse_import(line: &str) -> (String, String, Import) {
        match parse("import", line) {
            Ok(Command::Import { root, layout, import, .. }) => {
                (root.display().to_string(), layout.display().to_string(), import)
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    fn parse_export(line: &str) -> (String, String, Export) {
        match parse("export", line) {
            Ok(Command::Export { root, layout, export }) => {
                (root.display().to_string(), layout.display().to_string(), export)
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn two_operands_and_flags_anywhere() {
        let (root, layout, asked) = parse_import(
            "--root /r layout team/app:v1 --ref docker.io/x:v2 --platform linux/arm64 --referrers",
        );
        assert_eq!((root.as_str(), layout.as_str(), asked.name.as_str()), ("/r", "layout", "team/app"));
        assert_eq!(asked.tag.as_ref().map(Tag::as_str), Some("v1"));
        assert_eq!((asked.named.as_deref(), asked.referrers), (Some("docker.io/x:v2"), true));
        assert_eq!(asked.platform, Platform::parse("linux/arm64"));
        let (root, _, asked) = parse_import("layout team/app");
        assert_eq!((root.as_str(), asked.tag, asked.named, asked.referrers), ("testdata", None, None, false));

        let digest = format!("sha256:{}", "0".repeat(64));
        let (_, layout, asked) = parse_export(&format!("team/app@{digest} out.tar --copy"));
        assert_eq!((layout.as_str(), asked.copy, asked.referrers), ("out.tar", true, false));
        assert_eq!(asked.reference.map(|reference| reference.to_string()), Some(digest));
        assert_eq!(
            parse_export("team/app:v1 out").2.reference.map(|tag| tag.to_string()).as_deref(),
            Some("v1")
        );
        assert_eq!(parse_export("team/app out --referrers=false").2.reference, None);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (command, line, expect) in [
            ("import", "layout", "it takes two things, LAYOUT NAME[:TAG], and 1 were given"),
            ("import", "a b c", "and 3 were given"),
            ("import", "layout localhost:5080/team/app:v1", "5080/team/app"),
            ("import", "layout Team/app", "no address of a registry belongs to it"),
            ("import", "layout app:.v1", ".v1"),
            ("import", "layout app --copy", "--copy is not a flag"),
            ("import", "layout app --ref", "--ref needs a value"),
            ("import", "- app", "standard input is /dev/stdin"),
            ("import", "layout app --platform amd64", "\"amd64\" is not OS/ARCH or OS/ARCH/VARIANT"),
            ("export", "app", "it takes two things, NAME[:TAG|@DIGEST] LAYOUT, and 1 were given"),
            ("export", "app@v1 out", "v1"),
            ("export", "app:v1@sha256:00 out", "v1@sha256:00"),
            ("export", "app out --ref x", "--ref is not a flag"),
        ] {
            let message = parse(command, line).unwrap_err();
            assert!(message.contains(expect), "{command} {line}: {message}");
        }
    }

    #[test]
    fn the_help_fits_a_terminal() {
        for text in [import_help(), export_help()] {
            for line in text.lines() {
                assert!(line.len() <= 100 && line.is_ascii() && line == line.trim_end(), "{line:?}");
            }
        }
    }
}
