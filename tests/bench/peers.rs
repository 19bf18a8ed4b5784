//! `make bench`: this registry and its peers, the same work on each in turn.
//!
//! The peers are Debian's `docker-registry` (CNCF distribution), which is what people have now, and nginx with
//! a static file and sendfile, the practical limit of a plain HTTP server. All of them listen on loopback and
//! keep their data in memory (tmpfs), so that neither a network nor a disk evens out what differs. Absolute
//! figures do not hold from one run to the next; ratios do, taken pair by pair: A B A B …, after a warm-up.
//!
//! A Markdown table comes out, a line for each bar. Exit status: 0 every bar is reached; 1 one is not, or
//! nothing could be measured; 2 the environment variables were not understood.
//!
//! The work, a file for each kind; the bars stand at the top of each:
//! - [`push`]: a large blob comes in: in one PUT, chunked as docker sends it, and how it is finished
//! - [`pull`]: a large blob goes out
//! - [`manifests`]: a manifest goes out, as often as it can; also beside a thousand idle connections
//! - [`images`]: a thousand small images come in, everything synced
//! - [`memory`]: how much of it is used
//! - [`start`]: how soon it answers over a large store, and how large the program is
//! - [`growth`]: what costs more when there is more: tags, repositories, referrers
//!
//! How it is measured:
//! - [`harness`]: what all rows need, and how the machine is described
//! - [`harness::servers`]: the registry and its peers, started and ended
//! - [`harness::process`]: what the system says of a process: CPU seconds, memory
//! - [`harness::client`]: the load generator
//! - [`harness::content`]: blobs and images to push, each with a digest of its own
//! - [`harness::fixture`]: a large store, written as files
//! - [`harness::measure`]: pairs, medians, ratios
//! - [`harness::table`]: bars, lines, verdicts

#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that cannot go on has failed

mod growth;
mod harness;
mod images;
mod manifests;
mod memory;
mod pull;
mod push;
mod start;

use std::process::ExitCode;

use harness::table::{self, Line};
use harness::{Bench, servers};

/// A row: its name for `ROWS`, and what measures it. Most give several lines.
type Row = (&'static str, fn(&Bench) -> Vec<Line>);

const ROWS: &[Row] = &[
    ("push", push::in_one_put),
    ("chunked", push::chunked),
    ("finish", push::finish),
    ("pull", pull::whole),
    ("manifests", manifests::by_tag),
    ("idle", manifests::beside_idle_connections),
    ("images", images::in_memory),
    ("disk", images::on_disk),
    ("memory", memory::many_pushes),
    ("start", start::first_answer),
    ("size", start::program),
    ("growth", growth::all),
];

fn main() -> ExitCode {
    let (rows, pairs) = match wanted() {
        Ok(wanted) => wanted,
        Err(message) => {
            eprintln!("bench: {message}");
            return ExitCode::from(2);
        }
    };
    if let Err(message) = servers::peers_are_here() {
        eprintln!("bench: {message}");
        return ExitCode::FAILURE;
    }
    let bench = Bench::new(pairs);
    let mut bad = 0;
    println!("{}", table::head());
    for (name, measure) in rows {
        eprintln!("bench: {name} …");
        for line in measure(&bench) {
            println!("{line}");
            bad += usize::from(line.is_bad());
        }
    }
    println!("\n{}", bench.circumstances());
    if bad == 0 {
        println!("Every bar is reached.");
        return ExitCode::SUCCESS;
    }
    println!("**{bad} BAD.**");
    ExitCode::FAILURE
}

/// Which rows, and how many pairs of each: from the environment, `ROWS=push,pull` and `PAIRS=9`.
fn wanted() -> Result<(Vec<Row>, usize), String> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let pairs = match variable("PAIRS") {
        None => harness::PAIRS,
        Some(text) => match text.parse() {
            Ok(pairs) if pairs > 0 => pairs,
            _ => return Err(format!("PAIRS={text}: it is a number, 1 or more")),
        },
    };
    let Some(names) = variable("ROWS") else { return Ok((ROWS.to_vec(), pairs)) };
    let mut rows = Vec::new();
    for wanted in names.split([',', ' ']).filter(|name| !name.is_empty()) {
        let Some(row) = ROWS.iter().find(|(name, _)| *name == wanted) else {
            let known: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
            return Err(format!("ROWS={names}: there is no {wanted}, but: {}", known.join(",")));
        };
        rows.push(*row);
    }
    Ok((rows, pairs))
}
