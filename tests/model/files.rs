//! The files against the model: what should lie there lies there, once, with as many links as it should have, and
//! nothing else. And what `registry verify` says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::Command;

use container_registry::store::Store;

use crate::content::Content;
use crate::it::harness::{Registry, sha256};
use crate::model::Model;
use crate::operation::shorten;

/// Are the files what the model says, and does `registry verify` say of them what it must? Otherwise, what is
/// different. Nobody may be at work.
pub fn check_and_verify(registry: &Registry, model: &Model, content: &Content) -> Result<(), String> {
    check(registry, model, content).and_then(|()| verify(registry, model, content))
}

/// Are the files what the model says? Otherwise, what is different. Nobody may be at work.
pub fn check(registry: &Registry, model: &Model, content: &Content) -> Result<(), String> {
    let (found, wanted) = (found(registry), wanted(model, content));
    let mut difference = String::new();
    for path in found.keys().chain(wanted.keys()).collect::<BTreeSet<_>>() {
        if found.get(path) != wanted.get(path) {
            let show = |what: Option<&String>| what.map_or("nothing", String::as_str).to_owned();
            let (found, wanted) = (show(found.get(path)), show(wanted.get(path)));
            let _ = writeln!(difference, "  {path}\n    is {found}\n    should be {wanted}");
        }
    }
    if difference.is_empty() { Ok(()) } else { Err(shorten(&format!("the files:\n{difference}"))) }
}

/// Files and links, as [`Registry::snapshot`] has them; folders stay when what was in them goes, locks are empty, and
/// what tags have been is not what they are.
fn found(registry: &Registry) -> BTreeMap<String, String> {
    let of_interest = |path: &str, what: &str| {
        let is_lock = ["lock", "turn"].contains(&path)
            || path.starts_with("repositories/") && (path.ends_with("/_lock") || path.ends_with("/_turn"));
        let is_beside =
            path.starts_with("uploads/") && (path.ends_with("/session.json") || path.ends_with("/hash.json"));
        let is_memory = path.starts_with("repositories/") && path.contains("/_history/");
        what != "folder" && !is_lock && !is_memory && !is_beside
    };
    registry.snapshot().into_iter().filter(|(path, what)| of_interest(path, what)).collect()
}

fn wanted(model: &Model, content: &Content) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let below = |digest: &str| digest.replace(':', "/");
    let named = |digest: &str| format!("444 {} {}", model.holders(digest) + 1, sha256(content.bytes(digest)));
    for digest in model.held() {
        files.insert(format!("blobs/{}", below(digest)), named(digest));
    }
    for (name, repository) in &model.repositories {
        let top = format!("repositories/{name}");
        for digest in &repository.blobs {
            files.insert(format!("{top}/_blobs/{}", below(digest)), named(digest));
        }
        for (digest, number) in &repository.manifests {
            files.insert(format!("{top}/_manifests/{}", below(digest)), named(digest));
            if let Some(subject) = &content.documents[*number].subject {
                let entry = format!("{top}/_referrers/{}/{}", below(subject), digest.replace(':', "-"));
                files.insert(entry, format!("-> ../../../_manifests/{}", below(digest)));
            }
        }
        for (tag, digest) in &repository.tags {
            files.insert(format!("{top}/_tags/{tag}"), format!("-> ../_manifests/{}", below(digest)));
        }
    }
    for session in model.sessions.values() {
        if let Some(bytes) = &session.bytes {
            files.insert(format!("uploads/{}/data", session.id()), format!("644 1 {}", sha256(bytes)));
        }
    }
    files
}

/// What `registry verify` must say: a fault for each manifest whose blobs were deleted, no leftovers, and the
/// right numbers.
fn verify(registry: &Registry, model: &Model, content: &Content) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
    let output = command.arg("verify").arg("--root").arg(registry.path("")).output().expect("verify");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let faults: BTreeSet<String> =
        said.lines().filter_map(|line| line.strip_prefix("fault: ")).map(str::to_owned).collect();
    let fault = |(name, digest, missing): (String, String, String)| {
        let path = format!("repositories/{name}/_manifests/{}", digest.replace(':', "/"));
        format!("{path}: refers to {missing}, which {name} does not hold; push the image again")
    };
    let wanted: BTreeSet<String> = model.dangling(content).into_iter().map(fault).collect();
    let sum = |count: fn(&crate::model::Repository) -> usize| -> usize {
        model.repositories.values().map(count).sum()
    };
    let bytes: usize = model.held().into_iter().map(|digest| content.bytes(digest).len()).sum();
    let summary = format!(
        "{} blobs of {bytes} bytes, {} repositories, {} manifests, {} tags, {} upload sessions: {}",
        model.held().len(),
        model.repositories.len(),
        sum(|repository| repository.manifests.len()),
        sum(|repository| repository.tags.len()),
        model.open_sessions().count(),
        if wanted.is_empty() { "sound".to_owned() } else { format!("{} faults", wanted.len()) }
    );
    let code = i32::from(!wanted.is_empty());
    if faults == wanted
        && said.lines().last() == Some(&summary)
        && output.status.code() == Some(code)
        && !said.contains("leftover")
    {
        return Ok(());
    }
    Err(shorten(&format!(
        "registry verify ({}) said\n{said}\nand should have said\n{wanted:#?}\n{summary}",
        output.status
    )))
}

/// Panics unless a store is sound, without leftovers and open sessions. Nobody may be at work.
pub fn assert_sound(registry: &Registry) {
    let store = Store::existing(&registry.path("")).expect("a store");
    let report = container_registry::verify::verify(&store).expect("it can be read");
    let is_sound = report.faults.is_empty() && report.leftovers.is_empty() && report.sessions == 0;
    assert!(is_sound, "{report}");
}
