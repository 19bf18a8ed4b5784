//! `registry`: what was typed, and with which exit status it ends.
//!
//! 0: done, or stopped as asked. 1: could not do it. 2: could not understand what was typed or configured.

use std::fmt::Display;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use container_registry::cli::{self, Command};
use container_registry::layout::export::export;
use container_registry::layout::import::import;
use container_registry::store::Store;
use container_registry::system::process;
use container_registry::verify::{repair, verify};
use container_registry::{du, gc, history, log, serve};

fn main() -> ExitCode {
    let read_file = |path: &Path| std::fs::read_to_string(path);
    let command = match cli::parse(std::env::args_os().skip(1), std::env::vars_os(), read_file) {
        Ok(command) => command,
        Err(error) => {
            complain(error);
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Help(text) => {
            say(text);
            Ok(())
        }
        Command::Version => {
            say(format_args!("registry {}\n", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Command::Serve(config) => {
            log::init(config.logging.level, config.logging.format);
            log::install_panic_hook();
            serve::run(&config)
        }
        Command::Verify { root, repair, manifest_bytes_max } => {
            return verify_root(&root, repair, manifest_bytes_max);
        }
        Command::Gc { root, options, dry_run } => return sweep_root(&root, &options, dry_run),
        Command::Du(root) => measure_root(&root),
        Command::History { root, name, tag } => {
            let shown = Store::existing(&root).and_then(|store| history::show(&store, &name, tag.as_ref()));
            shown.map(say)
        }
        Command::SetBack { root, immutable, name, tag, digest } => {
            let store = Store::existing(&root).map(|store| store.with_immutable(immutable));
            let done = store.and_then(|store| {
                Store::require_owner(&root, "set-back")?;
                history::set_back(&store, &name, &tag, digest.as_ref())
            });
            done.map(|sentence| say(format_args!("{sentence}\n")))
        }
        Command::Import { root, immutable, layout, import: asked } => {
            process::note_stop_signals();
            let open = || {
                Store::require_owner(&root, "import")?;
                Ok(Store::open(&root)?.with_immutable(immutable.clone()))
            };
            import(open, &layout, &asked)
                .map(|report| {
                    say(&report);
                    report.notes().for_each(complain);
                })
                .map_err(|why| format!("nothing was imported: {}: {why}", layout.display()))
        }
        Command::Export { root, layout, export: asked } => {
            process::note_stop_signals();
            Store::existing(&root).and_then(|store| {
                export(&store, &layout, &asked)
                    .map(say)
                    .map_err(|why| format!("nothing was exported to {}: {why}", layout.display()))
            })
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(message);
            ExitCode::FAILURE
        }
    }
}

/// Prints what came of it. It is done by then: that nobody can read of it is no failure, as when whoever reads a part
/// of a long list (`| head`) has closed the pipe.
fn say(text: impl Display) {
    let _ = write!(std::io::stdout().lock(), "{text}");
}

fn complain(why: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "registry: {why}");
}

/// Mends what is wrong below a root, if that is wished, and prints what is wrong then.
fn verify_root(root: &Path, is_to_repair: bool, manifest_bytes_max: u64) -> ExitCode {
    let check = |store: &Store| {
        if is_to_repair {
            repair(store, manifest_bytes_max, &mut |step| say(format_args!("{step}\n")))?;
        }
        verify(store)
    };
    let store = Store::existing(root).and_then(|store| {
        if !is_to_repair {
            return Ok(store);
        }
        Store::require_owner(root, "verify --repair")?;
        Store::open(root)
    });
    let report = store.and_then(|store| check(&store).map_err(|error| error.log_text()));
    match report {
        Ok(report) => {
            say(&report);
            if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            complain(message);
            ExitCode::FAILURE
        }
    }
}

/// Sweeps a root, or says what would go.
fn sweep_root(root: &Path, options: &gc::Options, dry_run: bool) -> ExitCode {
    let found = Store::existing(root).and_then(|store| {
        if !dry_run {
            Store::require_owner(root, "gc")?;
        }
        Ok(store)
    });
    let store = match found {
        Ok(store) => store,
        Err(message) => {
            complain(message);
            return ExitCode::FAILURE;
        }
    };
    let mut output = BufWriter::new(std::io::stdout().lock());
    let report = match dry_run {
        true => gc::forecast(&store, options, &mut |item| drop(writeln!(output, "{item}"))),
        false => gc::sweep(&store, options),
    };
    let _ = writeln!(output, "{} {report}", if dry_run { "would free" } else { "freed" });
    drop(output);
    for fault in &report.faults {
        complain(fault);
    }
    if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints who uses how much below a root.
fn measure_root(root: &Path) -> Result<(), String> {
    let store = Store::existing(root)?;
    let mut output = BufWriter::new(std::io::stdout().lock());
    let _ = write!(output, "{}", du::HEAD);
    let total = du::measure(&store, &mut |name, usage| drop(write!(output, "{}", du::line(name, usage))));
    let _ = write!(output, "{}", total.map_err(|error| error.log_text())?);
    Ok(())
}
