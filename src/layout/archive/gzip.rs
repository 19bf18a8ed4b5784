//! gzip, as gzip(1) reads it: members one after the other, and zeros behind the last, with which tapes and disks are
//! filled up.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::GzDecoder;

/// What is in a compressed file.
pub struct Inflated<R> {
    /// `None`: it has ended.
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> Inflated<R> {
    /// Inflates what is read.
    pub fn new(content: R) -> Self {
        let buffered = BufReader::with_capacity(crate::layout::BUFFER_BYTES, content);
        Self { member: Some(GzDecoder::new(buffered)) }
    }
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let rest = self.member.take().map(GzDecoder::into_inner);
            self.member = rest.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// What follows a member: another one, or the end.
fn next_member<R: Read>(mut rest: BufReader<R>) -> io::Result<Option<GzDecoder<BufReader<R>>>> {
    let mut is_padded = false;
    loop {
        let bytes = match rest.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        match bytes.iter().position(|&byte| byte != 0) {
            Some(0) if !is_padded => return Ok(Some(GzDecoder::new(rest))),
            Some(_) => return Err(io::Error::new(ErrorKind::InvalidData, "something follows its end")),
            None if bytes.is_empty() => return Ok(None),
            None => {
                let count = bytes.len();
                rest.consume(count);
                is_padded = true;
            }
        }
    }
}
