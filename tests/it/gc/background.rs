//! A server sweeps by itself; and the command, as it is typed and configured.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{HOUR, push};
use crate::harness::{Registry, eventually, run};

#[test]
fn a_server_sweeps_by_itself_and_says_what_it_freed() {
    let registry = Registry::start_with(&["--gc-interval", "0s"]);
    let image = push(&registry, "a", "v1", "layer");
    let stray = registry.push_blob("b", b"stray");
    registry.age(registry.blob_path(&stray), 2 * HOUR);
    let sweeper = registry.start_beside_with(&["--gc-interval", "100ms", "--gc-grace", "1h"]);
    eventually("the stray goes", || registry.link_count(&stray) == 0);
    eventually("its repository goes", || !registry.path("repositories/b").exists());
    registry.assert_holds("a", &image.layer, b"layer");
    eventually("it says so", || sweeper.log().contains("swept"));
    let log = sweeper.log();
    let line = log.lines().find(|line| line.contains("swept")).unwrap();
    assert!(
        line.contains("bytes=5 blobs=1 manifests=0 unheld=0 sessions=0 leftovers=0 repositories=1"),
        "{line}"
    );
    assert_eq!(log.matches("swept").count(), 1, "of nothing it says nothing: {log}");
}

/// Or it never would, if it is restarted before the interval is over.
#[test]
fn the_first_sweep_comes_soon_after_the_start() {
    let registry = Registry::start_with(&["--gc-interval", "5m", "--log-level", "debug"]);
    let first = registry.start_beside_with(&["--gc-interval", "10s", "--log-level", "debug"]);
    let start = Instant::now();
    eventually("a sweep", || first.log().contains("swept"));
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    assert!(!registry.log().contains("swept"), "nor does it at once");
}

#[test]
fn a_server_that_cannot_sweep_says_so_and_serves() {
    let registry = Registry::start_with(&["--gc-interval", "50ms"]);
    push(&registry, "a", "v1", "layer");
    fs::write(registry.path("repositories/a/_tags/mine"), "no manifest").unwrap();
    eventually("it says so", || registry.log().matches("the manifest _tags/mine cannot be read").count() > 2);
    fs::remove_file(registry.path("repositories/a/_tags/mine")).unwrap();
    registry.assert_alive();
}

#[test]
fn a_server_that_is_read_only_or_told_not_to_does_not_sweep() {
    let registry = Registry::start_with(&["--gc-interval", "0s", "--log-level", "debug"]);
    let stray = registry.push_blob("a", b"stray");
    let reader =
        registry.start_beside_with(&["--read-only", "--gc-interval", "20ms", "--log-level", "debug"]);
    let other = registry.start_beside_with(&["--gc-interval", "20ms", "--log-level", "debug"]);
    eventually("another one has swept", || other.log().matches("swept").count() > 5);
    assert!(!registry.log().contains("swept") && !reader.log().contains("swept"));
    assert_eq!(registry.link_count(&stray), 2);
}

#[test]
fn the_configuration_holds_for_the_command_too() {
    let registry = Registry::start();
    let stray = registry.push_blob("a", b"stray");
    registry.age(registry.blob_path(&stray), 2 * HOUR);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), r#"{"gc": {"grace": "3h"}}"#).unwrap();
    let config = file.path().to_str().unwrap();
    assert!(registry.run("gc", &["--config", config]).assert_done().starts_with("freed 0 bytes"));
    let mut gc = Command::new(env!("CARGO_BIN_EXE_registry"));
    gc.arg("gc").env("REGISTRY_GC_GRACE", "4h").env("REGISTRY_STORAGE_PATH", registry.path(""));
    assert!(String::from_utf8(gc.output().unwrap().stdout).unwrap().starts_with("freed 0 bytes"));
    let said = registry.run("gc", &["--config", config, "--grace=90m"]);
    assert!(said.assert_done().starts_with("freed 5 bytes"), "{said:?}");
}

#[test]
fn what_is_not_understood_is_refused_before_anything_goes() {
    let registry = Registry::start();
    let stray = registry.push_blob("a", b"stray");
    for (flags, message) in [
        (&["--grace", "soon"][..], "--grace: \"soon\" is not a time: 500ms, 60s, 2m or 1h, at most a year"),
        (&["--dry-run=maybe"], "--dry-run: \"maybe\" is not true or false"),
        (&["--gc-grace", "1h"], "--gc-grace is not a flag"),
        (&["--grace", "0s", "now"], "gc takes one folder, so what is \"now\"?"),
    ] {
        let said = registry.run("gc", flags);
        assert_eq!(said.status, Some(2), "{said:?}");
        assert_eq!(said.errors, format!("registry: {message}\nSee registry gc --help\n"));
    }
    assert_eq!(registry.link_count(&stray), 2);
    let said = run(&registry.path("no/such/folder"), "gc", &[]);
    assert_eq!(said.status, Some(1));
    assert!(said.errors.contains("there is no registry in"), "{said:?}");
}

#[test]
fn sweeps_at_the_same_time_are_harmless() {
    let registry = Registry::start();
    let image = push(&registry, "kept", "v1", "layer");
    let before = registry.snapshot();
    for number in 0..200 {
        registry.push_blob("a", format!("stray {number}").as_bytes());
    }
    let mut sweeps: Vec<_> = (0..4)
        .map(|_| {
            let mut gc = Command::new(env!("CARGO_BIN_EXE_registry"));
            gc.args(["gc", "--grace", "0s", "--root"])
                .arg(registry.path(""))
                .stdout(std::process::Stdio::piped());
            gc.spawn().unwrap()
        })
        .collect();
    let mut counted = 0;
    for sweep in sweeps.drain(..) {
        let output = sweep.wait_with_output().unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).unwrap();
        let blobs = said.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        counted += blobs.parse::<usize>().unwrap();
    }
    assert_eq!(counted, 200, "each is counted by the one that took it");
    assert_eq!(registry.snapshot(), before);
    registry.assert_holds("kept", &image.layer, b"layer");
}
