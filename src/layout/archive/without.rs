//! What there is of archives in a program that was built without them: a refusal that says so.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::Form;
use crate::layout::Failure;
use crate::layout::source::{Content, Links, Spool};

/// There is none.
pub struct Archive(Infallible);

/// There is none.
pub struct Writer(Infallible);

fn refusal(instead: &str) -> Failure {
    Failure::Refused(format!(
        "is no folder, and this program was built without archives (cargo's feature \"archives\"); {instead}"
    ))
}

impl Archive {
    pub(in crate::layout) fn open(_: &Path, _: bool, _: &Spool<'_>) -> Result<Self, Failure> {
        Err(refusal("unpack it with tar, and import the folder"))
    }

    pub(in crate::layout) fn file(&self, _: &str, _: Links) -> Result<Option<Content<'_>>, Failure> {
        match self.0 {}
    }

    pub(in crate::layout) fn has(&self, _: &str) -> bool {
        match self.0 {}
    }
}

/// Nothing is inflated.
pub fn inflate<'r>(_: impl Read + 'r) -> Result<Box<dyn Read + 'r>, Failure> {
    Err(refusal("uncompress its layers"))
}

impl Writer {
    pub(in crate::layout) fn new(_: File, _: Form) -> Result<Self, Failure> {
        Err(refusal("export to a folder, and pack that with tar"))
    }

    pub(in crate::layout) fn folder(&mut self, _: &str) -> io::Result<()> {
        match self.0 {}
    }

    pub(in crate::layout) fn file(&mut self, _: &str, _: u64, _: impl Read) -> io::Result<()> {
        match self.0 {}
    }

    pub(in crate::layout) fn finish(self) -> io::Result<File> {
        match self.0 {}
    }
}
