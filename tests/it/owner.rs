//! Commands that write are for the user whose the files are. Root may do everything, and leave files with which the
//! server, another user, can do nothing.

use std::fs;
use std::os::unix::fs::chown;

use crate::harness::{OCI_MANIFEST, Registry};

const NOBODY: u32 = 65534;

/// These run as root, as tests in a container do; where they do not, files cannot be another's.
#[test]
fn a_command_that_writes_is_refused_to_another_user_than_the_servers() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let next = registry.push_image("a", "v1", b"next layer");
    registry.put_manifest("a", "v2", OCI_MANIFEST, &next.manifest).assert(201, &[]);
    registry.push_blob("a", b"stray");
    fs::remove_file(registry.path("repositories/a/_lock")).unwrap();
    fs::remove_dir_all(registry.path("repositories/a/_history")).unwrap();
    let folder = registry.path("repositories");
    if chown(&folder, Some(NOBODY), Some(NOBODY)).is_err() {
        return;
    }
    let before = registry.snapshot();
    let back = ["a:v1", &image.digest];
    for (command, flags) in [("gc", &["--grace", "0s"][..]), ("verify", &["--repair"]), ("set-back", &back)] {
        let said = registry.run(command, flags);
        assert_eq!(said.status, Some(1), "{said:?}");
        let why = format!("belong to the user with the number {NOBODY}, and what `registry {command}");
        assert!(said.errors.contains(&why), "{said:?}");
        assert!(said.errors.contains(&format!("sudo -u '#{NOBODY}' registry {command}")), "{said:?}");
        assert_eq!(registry.snapshot(), before);
    }
    for (command, flags) in [("gc", &["--grace", "0s", "--dry-run"][..]), ("verify", &[]), ("du", &[])] {
        registry.run(command, flags).assert_done();
        assert_eq!(registry.snapshot(), before, "who only looks may be anybody");
    }
    chown(&folder, Some(0), Some(0)).unwrap();
    for (command, flags) in [("set-back", &back[..]), ("verify", &["--repair"]), ("gc", &["--grace", "0s"])] {
        registry.run(command, flags).assert_done();
    }
    registry.assert_tagged("a", "v1", &image.digest, &image.manifest);
}
