//! What a tag has been is remembered, in a file that people can read, and a tag can be set back.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use crate::harness::{Image, OCI_MANIFEST, Registry};

/// Images of one layer each, in `a`, none of them tagged.
pub fn images(registry: &Registry, count: u8) -> Vec<Image> {
    let config = registry.push_blob("a", b"{}");
    let layers = (0..count).map(|number| vec![b'x', number]);
    layers.map(|layer| Image::new(&config, 2, &registry.push_blob("a", &layer), layer.len())).collect()
}

fn set(registry: &Registry, tag: &str, image: &Image) {
    registry.put_manifest("a", tag, OCI_MANIFEST, &image.manifest).assert(201, &[]);
}

fn delete(registry: &Registry, reference: &str) {
    registry.send("DELETE", &format!("/v2/a/manifests/{reference}"), &[], b"").assert(202, &[]);
}

/// The lines of a tag's file, without their times, which must be in order.
#[track_caller]
fn remembered(registry: &Registry, tag: &str) -> Vec<String> {
    let text =
        fs::read_to_string(registry.path(&format!("repositories/a/_history/{tag}"))).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let lines = text.lines().map(|line| line.split_once(' ').unwrap());
    let (times, rest): (Vec<&str>, Vec<&str>) = lines.unzip();
    assert!(times.is_sorted(), "{text}");
    rest.into_iter().map(str::to_owned).collect()
}

/// Runs a command on the files of a registry that may be running.
fn run(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
    command.args(arguments).arg("--root").arg(root).output().expect("registry")
}

/// What a command says that succeeds, or fails.
#[track_caller]
fn said(registry: &Registry, arguments: &[&str], code: i32) -> String {
    let output = run(&registry.path(""), arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    if code == 0 { out } else { err }
}

/// The lines of `registry history`, without the times.
#[track_caller]
fn shown(registry: &Registry, image: &str) -> Vec<String> {
    let lines = said(registry, &["history", image], 0);
    let without_time = |line: &str| {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.starts_with("20")).collect();
        words.join(" ")
    };
    lines.lines().map(without_time).collect()
}

// ---- the file

#[test]
fn each_move_of_a_tag_leaves_a_line_beside_it() {
    let registry = Registry::start();
    let images = images(&registry, 2);
    let [one, two] = [&images[0], &images[1]];
    for image in [one, one, two, one] {
        set(&registry, "v1", image); // set to the same again, it does not move
    }
    set(&registry, "other", two);
    assert_eq!(remembered(&registry, "v1"), [&*one.digest, &two.digest, &one.digest]);
    assert_eq!(remembered(&registry, "other"), [&*two.digest]);
    let text = fs::read_to_string(registry.path("repositories/a/_history/other")).unwrap();
    let time = text.split(' ').next().unwrap();
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{text}");

    assert_eq!(registry.files("repositories/a/_tags"), ["other", "v1"], "nothing else lies there");
    assert_eq!(registry.get("/v2/a/tags/list").json()["tags"], serde_json::json!(["other", "v1"]));
    let verified = run(&registry.path(""), &["verify"]);
    assert!(String::from_utf8_lossy(&verified.stdout).ends_with(": sound\n"), "{verified:?}");
}

#[test]
fn a_push_with_many_tags_leaves_a_line_for_each_and_one_by_digest_none() {
    let registry = Registry::start();
    let image = &images(&registry, 1)[0];
    let path = format!("/v2/a/manifests/{}?tag=v1&tag=v2", image.digest);
    registry.send("PUT", &path, &[("Content-Type", OCI_MANIFEST)], &image.manifest).assert(201, &[]);
    assert_eq!(registry.files("repositories/a/_history"), ["v1", "v2"]);
    for tag in ["v1", "v2"] {
        assert_eq!(remembered(&registry, tag), [&*image.digest]);
    }
}

#[test]
fn deleting_is_remembered_and_what_was_never_there_is_not() {
    let registry = Registry::start();
    let images = images(&registry, 2);
    set(&registry, "v1", &images[0]);
    set(&registry, "v2", &images[1]);
    set(&registry, "v3", &images[1]);
    delete(&registry, "v1");
    delete(&registry, &images[1].digest);
    assert_eq!(
        remembered(&registry, "v1"),
        [images[0].digest.clone(), format!("{} deleted", images[0].digest)]
    );
    for tag in ["v2", "v3"] {
        assert_eq!(remembered(&registry, tag)[1..], [format!("{} deleted", images[1].digest)]);
    }
    let before = registry.snapshot();
    for reference in ["v1", "never", &images[1].digest] {
        let gone = registry.send("DELETE", &format!("/v2/a/manifests/{reference}"), &[], b"");
        gone.assert_error(404, "MANIFEST_UNKNOWN");
    }
    assert_eq!(registry.snapshot(), before);
}

/// A hundred thousand of them, say: that would be as many files, while nobody else gets in.
#[test]
fn where_there_is_no_history_deleting_a_manifest_begins_none() {
    let registry = Registry::start();
    let image = &images(&registry, 1)[0];
    set(&registry, "v1", image);
    let tags = registry.path("repositories/a/_tags");
    let target = fs::read_link(tags.join("v1")).unwrap();
    std::os::unix::fs::symlink(target, tags.join("by-hand")).unwrap();
    delete(&registry, &image.digest);
    assert_eq!(registry.files("repositories/a/_tags"), Vec::<String>::new());
    assert_eq!(registry.files("repositories/a/_history"), ["v1"]);
}

/// What was done by hand, or before there was a history, is made up for.
#[test]
fn a_move_that_left_no_line_is_found_with_the_next() {
    let registry = Registry::start();
    let images = images(&registry, 3);
    set(&registry, "v1", &images[0]);
    set(&registry, "v2", &images[1]);
    let tags = registry.path("repositories/a/_tags");
    fs::rename(tags.join("v2"), tags.join("v1")).unwrap();
    assert_eq!(shown(&registry, "a:v1").last().unwrap(), &format!("{} found now", images[1].digest));
    set(&registry, "v1", &images[2]);
    let lines = [images[0].digest.clone(), format!("{} found", images[1].digest), images[2].digest.clone()];
    let text = fs::read_to_string(registry.path("repositories/a/_history/v1")).unwrap();
    let rest: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(rest, lines);

    fs::remove_dir_all(registry.path("repositories/a/_history")).unwrap();
    set(&registry, "v1", &images[0]);
    assert_eq!(
        remembered(&registry, "v1"),
        [format!("{} found", images[2].digest), images[0].digest.clone()]
    );
}

/// Several processes, each of which serves many at once: the last line is what the tag is, and no line is torn.
#[test]
fn the_lines_stand_in_the_order_of_the_moves_whoever_makes_them() {
    let registry = Registry::start();
    let beside = registry.start_beside();
    let images = images(&registry, 4);
    for _ in 0..10 {
        thread::scope(|scope| {
            for (number, image) in images.iter().enumerate() {
                let server = if number % 2 == 0 { &registry } else { &beside };
                scope.spawn(move || (0..5).for_each(|_| set(server, "v1", image)));
            }
        });
        let target = fs::read_link(registry.path("repositories/a/_tags/v1")).unwrap();
        let hex = target.file_name().unwrap().to_str().unwrap();
        let lines = remembered(&registry, "v1");
        assert_eq!(lines.last().unwrap(), &format!("sha256:{hex}"));
        assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "a line for each move, and only for moves");
        assert!(lines.iter().all(|line| images.iter().any(|image| image.digest == *line)), "{lines:?}");
    }
}

#[test]
fn half_a_line_is_passed_over_and_ends_where_the_next_begins() {
    let registry = Registry::start();
    let images = images(&registry, 2);
    set(&registry, "v1", &images[0]);
    let path = registry.path("repositories/a/_history/v1");
    for torn in [&b"2026-11-21T00:2"[..], b"2026-11-21T00:21:13.717Z sha256:12", b"\0\0\0\0"] {
        let before = fs::read(&path).unwrap();
        fs::write(&path, [&before[..], torn].concat()).unwrap();
        set(&registry, "v1", &images[1]);
        let expected = [&before[..], torn, b"\n"].concat();
        let text = fs::read(&path).unwrap();
        assert!(text.starts_with(&expected), "{}", String::from_utf8_lossy(&text));
        set(&registry, "v1", &images[0]);
    }
    let digests: Vec<String> = shown(&registry, "a:v1");
    assert_eq!(digests.len(), 7, "{digests:?}");
    assert!(
        digests.iter().all(|line| line.ends_with("set there") || line.ends_with("set now")),
        "{digests:?}"
    );
}

#[test]
fn of_a_long_history_the_older_half_goes() {
    let registry = Registry::start();
    let images = images(&registry, 2);
    set(&registry, "v1", &images[0]);
    let path = registry.path("repositories/a/_history/v1");
    let line = format!("2026-01-01T00:00:00.000Z {}\n", images[0].digest);
    let full = line.repeat((256 << 10) / line.len());
    fs::write(&path, &full).unwrap();
    set(&registry, "v1", &images[1]);
    let lines = remembered(&registry, "v1");
    assert!(lines.len() * line.len() <= 128 << 10 && lines.len() > 1000, "{}", lines.len());
    assert_eq!(lines[lines.len() - 2..], [&*images[0].digest, &images[1].digest]);
    set(&registry, "v1", &images[0]);
    assert_eq!(remembered(&registry, "v1").len(), lines.len() + 1);
    assert_eq!(registry.files("uploads"), Vec::<String>::new());
}

/// It is a memory: the tag moves without it.
#[test]
fn a_history_that_cannot_be_written_stops_nobody_and_the_log_says_so() {
    let registry = Registry::start();
    let images = images(&registry, 2);
    fs::create_dir_all(registry.path("repositories/a/_history/v1")).unwrap();
    set(&registry, "v1", &images[0]);
    fs::remove_dir_all(registry.path("repositories/a/_history")).unwrap();
    fs::write(registry.path("repositories/a/_history"), b"").unwrap();
    set(&registry, "v1", &images[1]);
    registry.assert_tagged("a", "v1", &images[1].digest, &images[1].manifest);
    delete(&registry, "v1");
    let log = registry.log();
    let warnings = log.lines().filter(|line| line.contains("its history does not say so")).count();
    assert_eq!(warnings, 3, "{log}");
}

// ---- the commands

#[test]
fn history_shows_what_a_tag_has_been_and_what_is_still_there() {
    let registry = Registry::start();
    let images = images(&registry, 3);
    images.iter().for_each(|image| set(&registry, "v1", image));
    set(&registry, "v2", &images[2]);
    delete(&registry, &images[1].digest);
    let line = |at: usize, rest: &str| format!("{} {rest}", images[at].digest);
    let v1 = [line(0, "set there"), line(1, "set gone"), line(2, "set now")];
    assert_eq!(shown(&registry, "a:v1"), v1);
    let mut all: Vec<String> = v1.iter().map(|line| format!("v1 {line}")).collect();
    all.push(format!("v2 {}", line(2, "set now")));
    assert_eq!(shown(&registry, "a"), all);
    delete(&registry, "v2");
    assert_eq!(shown(&registry, "a:v2"), [line(2, "set there"), line(2, "deleted there")]);

    assert!(said(&registry, &["history", "a:none"], 1).contains("nothing is known of a tag none of a"));
    assert!(said(&registry, &["history", "b"], 1).contains("there is no repository b"));
    for wrong in [
        &["history"][..],
        &["history", "A:v1"],
        &["history", "a:"],
        &["history", "a", "b"],
        &["set-back", "a"],
    ] {
        let message = said(&registry, wrong, 2);
        assert!(message.contains(&format!("See registry {} --help", wrong[0])), "{message}");
    }
}

#[test]
fn a_tag_is_set_back_beside_running_servers() {
    let registry = Registry::start();
    let images = images(&registry, 3);
    images.iter().for_each(|image| set(&registry, "v1", image));
    let is = |image: &Image| registry.assert_tagged("a", "v1", &image.digest, &image.manifest);

    let sentence = said(&registry, &["set-back", "a:v1"], 0);
    let done = format!("a:v1 is {} again; it was {}\n", images[1].digest, images[2].digest);
    let hint = "`registry set-back a:v1` now undoes this; to go further back, give a digest of `registry history a:v1`\n";
    assert_eq!(sentence, done + hint);
    is(&images[1]);
    assert!(said(&registry, &["set-back", "a:v1"], 0).ends_with(hint));
    is(&images[2]);
    said(&registry, &["set-back", "a:v1"], 0);
    is(&images[1]);
    said(&registry, &["set-back", "a:v1", &images[0].digest], 0);
    is(&images[0]);
    assert!(said(&registry, &["set-back", "a:v1", &images[0].digest], 0).contains("already"));
    delete(&registry, "v1");
    assert!(said(&registry, &["set-back", "a:v1"], 0).ends_with("it was nothing\n"));
    is(&images[0]);
    let order = [0, 1, 2, 1, 2, 1, 0, 0, 0];
    let mut lines: Vec<String> = order.iter().map(|at| images[*at].digest.clone()).collect();
    lines[7] += " deleted";
    assert_eq!(remembered(&registry, "v1"), lines, "setting back is a move too");
}

#[test]
fn a_tag_is_not_set_back_to_what_is_gone() {
    let registry = Registry::start();
    let images = images(&registry, 3);
    images.iter().for_each(|image| set(&registry, "v1", image));
    registry.send("DELETE", &format!("/v2/a/blobs/{}", images[0].layer), &[], b"").assert(202, &[]);
    delete(&registry, &images[1].digest);
    let before = registry.snapshot();
    let gone = said(&registry, &["set-back", "a:v1"], 1);
    assert!(gone.contains(&format!("a does not have the manifest {} any more", images[1].digest)), "{gone}");
    let missing = said(&registry, &["set-back", "a:v1", &images[0].digest], 1);
    assert!(missing.contains(&images[0].layer), "{missing}");
    let unknown = said(&registry, &["set-back", "a:v2"], 1);
    assert!(unknown.contains("nothing is known of what a:v2 was before"), "{unknown}");
    let path = registry.blob_path(&images[2].digest);
    set(&registry, "v3", &images[2]);
    delete(&registry, "v1");
    let rotten = [b" ", &images[2].manifest[1..]].concat();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&path, rotten).unwrap();
    assert!(said(&registry, &["set-back", "a:v1"], 1).contains("have changed"));
    fs::write(&path, &images[2].manifest).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    set(&registry, "v1", &images[2]);
    let kept = |snapshot: std::collections::BTreeMap<String, String>| -> Vec<_> {
        snapshot
            .into_iter()
            .filter(|(path, _)| !path.contains("_history") && !path.ends_with("/v3"))
            .collect()
    };
    assert_eq!(kept(registry.snapshot()), kept(before), "nothing else has changed");
}
