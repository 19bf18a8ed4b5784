//! `registry`: what was typed, and with which exit status it ends.
//!
//! 0: done, or stopped as asked. 1: could not do it. 2: could not understand what was typed or configured.

use std::path::Path;
use std::process::ExitCode;

use container_registry::cli::{self, Command};
use container_registry::store::Store;
use container_registry::verify::verify;
use container_registry::{log, serve};

fn main() -> ExitCode {
    let read_file = |path: &Path| std::fs::read_to_string(path);
    let command = match cli::parse(std::env::args_os().skip(1), std::env::vars_os(), read_file) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("registry: {error}");
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Help(text) => {
            print!("{text}");
            Ok(())
        }
        Command::Version => {
            println!("registry {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Command::Serve(config) => {
            log::init(config.logging.level, config.logging.format);
            log::install_panic_hook();
            serve::run(&config)
        }
        Command::Verify(root) => return verify_root(&root),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("registry: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what is wrong below a root.
fn verify_root(root: &Path) -> ExitCode {
    let report = Store::existing(root).and_then(|store| verify(&store).map_err(|error| error.log_text()));
    match report {
        Ok(report) => {
            print!("{report}");
            if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            eprintln!("registry: {message}");
            ExitCode::FAILURE
        }
    }
}
