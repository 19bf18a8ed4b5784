//! Somebody presses ^C, or a service manager says that it is time.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::export::names;
use super::made::{LAYER, Made, digest};
use super::{assert_sound, import, text};
use crate::harness::{Registry, eventually, sha256};

/// Long enough to be on its way for a while.
const LARGE_BYTES: u64 = 256 << 20;

/// Its digest is a small number.
const SMALL: &[u8] = b"small";

fn start(registry: &Registry, arguments: &[&str]) -> Child {
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry"));
    program.args(arguments).arg("--root").arg(registry.path(""));
    program.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn interrupt(program: Child, signal: &str) {
    let kill = Command::new("kill").args([signal, &program.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = program.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("interrupted"), "{:?} {said}", output.status);
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// A layout with a small layer and a large one, most of it a hole.
fn large() -> Made {
    let mut made = Made::new();
    let small = made.part(LAYER, SMALL);
    let mut layer = made.part(LAYER, b"");
    let file = made.beside("large");
    fs::File::create(&file).unwrap().set_len(LARGE_BYTES).unwrap();
    let sum = Command::new("sha256sum").arg(&file).output().unwrap().stdout;
    layer["digest"] = format!("sha256:{}", std::str::from_utf8(&sum[..64]).unwrap()).into();
    layer["size"] = LARGE_BYTES.into();
    fs::rename(&file, made.file_of(&layer)).unwrap();
    assert!(digest(&small) < digest(&layer), "it comes first");
    let image = made.image_of(&[small, layer], serde_json::json!({}));
    made.list(&image, Some("v1"));
    made
}

#[test]
fn an_import_that_is_interrupted_leaves_nothing() {
    let made = large();
    let registry = Registry::start();
    for signal in ["-INT", "-TERM"] {
        let program = start(&registry, &["import", text(&made.path("")), "app"]);
        eventually("the layer is on its way", || !registry.files("uploads").is_empty());
        interrupt(program, signal);
        assert_eq!((registry.files("uploads"), registry.files("blobs")), (vec![], vec![]));
    }
    // While it waits for somebody who sends no more.
    let mut program = start(&registry, &["import", "/dev/stdin", "app"]);
    let mut stdin = program.stdin.take().unwrap();
    let fits_a_pipe = [0; 4096];
    stdin.write_all(&fits_a_pipe).unwrap();
    if cfg!(feature = "archives") {
        let process = format!("/proc/{}", program.id());
        let has_scratch = || {
            let mut files = fs::read_dir(format!("{process}/fd")).unwrap();
            files.any(|file| {
                fs::read_link(file.unwrap().path()).is_ok_and(|to| text(&to).ends_with("(deleted)"))
            })
        };
        let sleeps = || fs::read_to_string(format!("{process}/stat")).unwrap().contains(") S ");
        eventually("it waits", || has_scratch() && sleeps());
        interrupt(program, "-INT");
    } else {
        drop(stdin);
        program.wait().unwrap();
    }
    assert_sound(&registry);
}

/// What comes is seen at once, and somebody may push the same and be told 201.
#[test]
fn an_import_that_is_interrupted_leaves_what_a_client_has_pushed_meanwhile() {
    let made = large();
    let registry = Registry::start();
    let small = sha256(SMALL);
    let program = start(&registry, &["import", text(&made.path("")), "app"]);
    eventually("the small layer is there", || registry.link_count(&small) == 2);
    let upload = format!("/v2/app/blobs/uploads/?digest={small}");
    assert_eq!(registry.send("POST", &upload, &[], SMALL).status, 201);
    interrupt(program, "-INT");
    registry.assert_holds("app", &small, SMALL);
    assert_eq!(registry.files("blobs").len(), 1, "and nothing else");
    assert_sound(&registry);
}

#[test]
fn an_export_that_is_interrupted_leaves_nothing() {
    let registry = Registry::start();
    import(&registry, &large().path(""), "app", &[]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let has_begun = |folder: &Path| {
        fs::read_dir(folder).is_ok_and(|mut files| {
            files.any(|file| file.unwrap().file_name().to_str().unwrap().starts_with(".new-"))
        })
    };
    let program = start(&registry, &["export", "app", text(&at("layout")), "--copy"]);
    eventually("the layer is on its way", || has_begun(&at("layout/blobs/sha256")));
    interrupt(program, "-INT");
    if cfg!(feature = "archives") {
        let program = start(&registry, &["export", "app", text(&at("app.tar"))]);
        eventually("the archive is on its way", || has_begun(folder.path()));
        interrupt(program, "-TERM");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}
