//! What is said of the commands that take care of a root: verify, gc, du.

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
                         go. No content is deleted. What is left is named as without --repair. It
                         takes the locks that servers take, and so may run beside them, as their
                         user.
  --config FILE          The configuration file to take the directory from.

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
  - repositories in which nothing is left.
Nothing goes that was pushed, mounted or asked for within the grace: a client may be about to push
the manifest for it. When a manifest cannot be read, nothing in its repository goes. Run it as the
user that the server runs as. Exit status: 0 done, 1 something could not be swept; it is named.

  [--root] DIR           The directory to sweep. [testdata]  storage.path  REGISTRY_STORAGE_PATH
  --config FILE          The configuration file; its sections storage and gc are used.
  --grace TIME           How long things stay after their last use. 0s: all that is there already
                         may go; a push at the same time may have to begin again.
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
them, and those that it shares with others; then what there is in all.

  [--root] DIR           The directory to measure. [testdata]  storage.path  REGISTRY_STORAGE_PATH
  --config FILE          The configuration file to take it from.
",
    )
}
