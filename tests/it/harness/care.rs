//! The commands that take care of a root, and files as they look when time has passed.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use super::Registry;

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Said {
    pub status: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Said {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { status: output.status.code(), output: text(output.stdout), errors: text(output.stderr) }
    }

    /// The last line of the output: the summary.
    pub fn summary(&self) -> &str {
        self.output.lines().last().unwrap_or_default()
    }

    /// Asserts that all went well; returns the summary.
    #[track_caller]
    pub fn assert_done(&self) -> &str {
        assert_eq!((self.status, self.errors.as_str()), (Some(0), ""), "{}", self.output);
        self.summary()
    }
}

/// Runs a command of the program over a root.
pub fn run(root: &Path, command: &str, flags: &[&str]) -> Said {
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry"));
    Said::new(program.arg(command).arg("--root").arg(root).args(flags).output().expect("the program runs"))
}

impl Registry {
    /// Runs a command of the program over the root, beside the server.
    pub fn run(&self, command: &str, flags: &[&str]) -> Said {
        run(&self.path(""), command, flags)
    }

    /// Makes a file look as if it was used last so long ago.
    pub fn age(&self, path: impl AsRef<Path>, by: Duration) {
        let file = File::open(self.path("").join(path)).expect("a file");
        file.set_modified(SystemTime::now() - by).expect("a new time");
    }

    /// How long ago a file was used last.
    pub fn age_of(&self, path: impl AsRef<Path>) -> Duration {
        let used = self.path("").join(path).metadata().expect("a file").modified().expect("a time");
        used.elapsed().unwrap_or_default()
    }

    /// Asserts that `registry verify` finds nothing wrong and nothing left over.
    #[track_caller]
    pub fn assert_sound(&self) {
        let said = self.run("verify", &[]);
        assert!(said.status == Some(0) && said.summary().ends_with(": sound"), "{}", said.output);
    }
}
