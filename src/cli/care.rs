//! The commands that take care of a root: `registry verify`, `gc` and `du`.

use super::{Command, Parsed, ROOT_FLAGS, Typed};
use crate::config::Config;

/// What `registry verify` wants to know beside where the files are.
const VERIFY_FLAGS: &[&str] = &["--repair"];

/// What `registry gc` wants to know. All but the last are settings.
const GC_FLAGS: &[&str] = &["--grace TIME", "--untagged", "--upload-max-age TIME", "--dry-run"];

/// What `registry verify [DIR]` means.
pub(super) fn verify(arguments: &[String], load: impl FnOnce(&Typed) -> Result<Config, String>) -> Parsed {
    let mut typed = with_folder("verify", arguments, VERIFY_FLAGS)?;
    let repair = typed.take_switch("--repair")?;
    let config = load(&typed)?;
    let (root, manifest_bytes_max) = (config.storage.path, config.limits.manifest_bytes);
    Ok(Command::Verify { root, repair, manifest_bytes_max })
}

/// What `registry gc [DIR]` means.
pub(super) fn gc(arguments: &[String], load: impl FnOnce(&Typed) -> Result<Config, String>) -> Parsed {
    let mut typed = with_folder("gc", arguments, GC_FLAGS)?;
    let dry_run = typed.take_switch("--dry-run")?;
    let config = load(&typed)?;
    Ok(Command::Gc { root: config.storage.path, options: config.gc.options(), dry_run })
}

/// What `registry du [DIR]` means.
pub(super) fn du(arguments: &[String], load: impl FnOnce(&Typed) -> Result<Config, String>) -> Parsed {
    let typed = with_folder("du", arguments, &[])?;
    Ok(Command::Du(load(&typed)?.storage.path))
}

/// A folder that is no flag's is the root.
fn with_folder(command: &str, arguments: &[String], own: &[&str]) -> Result<Typed, String> {
    let mut typed = Typed::parse(arguments, &[ROOT_FLAGS, own].concat())?;
    typed.flags.extend(typed.operands.drain(..).map(|folder| ("--root".to_owned(), folder)));
    let mut roots = typed.flags.iter().filter(|(flag, _)| flag == "--root").map(|(_, folder)| folder).skip(1);
    match roots.next() {
        None => Ok(typed),
        Some(more) => Err(format!("{command} takes one folder, so what is {more:?}?")),
    }
}

pub(super) fn verify_help() -> String {
    String::from(
        "\
Usage: registry verify [DIR] [--repair] [--config FILE]

Reads everything below the root and, without --repair, changes nothing: every file under blobs/ is
hashed, on all cores, every name in a repository is held against it, every tag is followed to its
last layer. Prints a line for each fault, with the file and what to do, and a summary. Exit status:
0 sound, 1 not.

  [--root] DIR           The directory to check. [testdata]  storage.path  REGISTRY_STORAGE_PATH
  --repair               First mend what can be mended, and say each step: names get right bytes
                         again that another name still holds; repositories, what their manifests
                         and tags refer to and blobs/ still has; lists of referrers, their entries.
                         Bytes that are not what their name says go to quarantine/, tags to nowhere
                         go. No content is deleted, and nothing is swept where a manifest is lost
                         until it is pushed again or its entry in _lost/ is removed. What is left is
                         named as without --repair. It takes the locks that servers take, and so may
                         run beside them, as their user; another is refused.
  --config FILE          The configuration file to take the directory from, and for --repair
                         limits.manifest_bytes: what is larger is held as a blob.

Leftovers (temporary names of a push that broke off) are listed and are no fault.
",
    )
}

pub(super) fn gc_help() -> String {
    String::from(
        "\
Usage: registry gc [DIR] [--config FILE] [--grace TIME] [--untagged] [--dry-run]
                   [--upload-max-age TIME]

Frees what nothing needs any more, beside running servers of the same root; they do the same by
themselves once an hour (--gc-interval). It takes
  - blobs to which no manifest of their repository refers,
  - with --untagged, manifests that no tag, index or subject holds: an index keeps its children, and
    a referrer (a signature) stays as long as its subject,
  - upload sessions to which nobody has sent anything for long, and what a crash has left,
  - histories of tags that are gone, with all the manifests that they were,
  - repositories in which nothing is left.
Nothing goes that was pushed, mounted or asked for within the grace: a client may be about to push
the manifest for it. When a manifest cannot be read, or is lost, nothing in its repository goes. Run
it as the user that the server runs as; another is refused. Exit status: 0 done, 1 something could
not be swept; it is named.

  [--root] DIR           The directory to sweep. [testdata]  storage.path  REGISTRY_STORAGE_PATH
  --config FILE          The configuration file; its sections storage and gc are used.
  --grace TIME           How long things stay after their last use, and up to 10s more. 0s: all that
                         is there already may go; a push at the same time may have to begin again.
                         [1h]  gc.grace  REGISTRY_GC_GRACE
  --untagged             Take manifests, too. [false]  gc.untagged  REGISTRY_GC_UNTAGGED
  --upload-max-age TIME  How long an upload session stays after its last byte came.
                         [24h]  gc.upload_max_age  REGISTRY_GC_UPLOAD_MAX_AGE
  --dry-run              Change nothing; say of each thing whether it stays or goes, and why.
",
    )
}

pub(super) fn du_help() -> String {
    String::from(
        "\
Usage: registry du [DIR] [--config FILE]

Prints a line for each repository: the bytes that it alone holds, which come back when it lets go of
them, and those that it shares with others; then what there is in all. An exported layout that is
linked to the registry's files does not count: bytes come back when its links are gone, too.

  [--root] DIR           The directory to measure. [testdata]  storage.path  REGISTRY_STORAGE_PATH
  --config FILE          The configuration file to take it from.
",
    )
}
