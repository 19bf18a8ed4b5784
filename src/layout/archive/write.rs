//! Writing an archive. Two exports of the same images are the same bytes: no times, no owners.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use flate2::write::GzEncoder;

use super::Form;
use crate::layout::Failure;

/// An archive that grows.
pub struct Writer {
    builder: tar::Builder<Out>,
}

enum Out {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
        }
    }
}

impl Writer {
    /// Begins an archive in an empty file.
    pub(in crate::layout) fn new(file: File, form: Form) -> Result<Self, Failure> {
        let buffered = BufWriter::with_capacity(crate::layout::BUFFER_BYTES, file);
        let out = match form {
            Form::Plain => Out::Plain(buffered),
            // Layers are compressed already, as a rule: more effort would be for nothing.
            Form::Gzip => Out::Gzip(Box::new(GzEncoder::new(buffered, flate2::Compression::fast()))),
        };
        Ok(Self { builder: tar::Builder::new(out) })
    }

    /// Adds a folder.
    pub(in crate::layout) fn folder(&mut self, name: &str) -> io::Result<()> {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        self.builder.append_data(&mut header, format!("{name}/"), io::empty())
    }

    /// Adds a file of `size` bytes.
    pub(in crate::layout) fn file(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        let mut content = content.take(size);
        self.builder.append_data(&mut header(tar::EntryType::Regular, 0o644, size), name, &mut content)?;
        if content.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into()); // the header has promised more
        }
        Ok(())
    }

    /// Writes what ends an archive, and gives the file back.
    pub(in crate::layout) fn finish(self) -> io::Result<File> {
        let buffered = match self.builder.into_inner()? {
            Out::Plain(out) => out,
            Out::Gzip(out) => out.finish()?,
        };
        buffered.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
