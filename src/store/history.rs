//! The memory of tags: what each has been, and since when.
//!
//! `_history/<tag>` is a text file with a line for each time that the tag was set to another manifest, or deleted:
//!
//! ```text
//! 2026-11-21T00:21:13.717Z sha256:a5c7ed0e…
//! 2026-11-21T00:25:02.110Z sha256:9892917d…
//! 2026-11-21T00:25:40.023Z sha256:9892917d… deleted
//! ```
//!
//! Who sees what, when: who changes a tag holds the lock of its history (flock) from the look at what the tag is
//! until the line is written, so the lines stand in the order of the changes, also of those by several processes,
//! and the last one is what the tag is now. The lock is taken under the repository's, and only for that moment.
//! Readers take none; a line is written at once.
//!
//! Its limit: it is a memory and no promise. Nothing here is synced, and no push fails because its line cannot be
//! written; the log says so then. A loss of power can take the last lines along, or leave half of one, which
//! readers pass over. A change that left no line, also one by hand, is made up for with the next: what the tag was
//! then is `found`, with the time of its link. Of a file that has become long, the older half goes. All of it goes by a
//! sweep when the tag is gone and the repository holds nothing of what it was: nothing could be set back then.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Store;
use super::blobs::parent;
use super::compare;
use super::disk::{self, failed};
use super::usage::Cutoff;
use crate::clock::Utc;
use crate::digest::Digest;
use crate::error::{Error, PathError};
use crate::log::{self, Level};
use crate::name::RepositoryName;
use crate::reference::{Tag, UploadId};

/// The longest file. A line has about a hundred bytes.
pub const HISTORY_BYTES_MAX: u64 = 256 << 10;

/// What is kept of a file that is longer.
const HISTORY_BYTES_KEPT: usize = 128 << 10;

/// More than the longest line has.
const LINE_BYTES_MAX: u64 = 512;

/// How often somebody looks again who finds the file replaced by a shorter one meanwhile.
const OPEN_ATTEMPTS: usize = 100;

/// A line: that a tag was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, as RFC 3339 writes it, in UTC.
    pub time: String,
    /// What the tag was from then on, or until then.
    pub digest: Digest,
    /// What happened, if the tag was not simply set to this.
    pub note: Option<Note>,
}

/// What else can happen to a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It was deleted; until then it was this.
    Deleted,
    /// It was found to be this, though no line said so; the time is that of the link.
    Found,
}

impl Note {
    const ALL: [Self; 2] = [Self::Deleted, Self::Found];

    fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Found => "found",
        }
    }
}

impl Line {
    fn new(time: Utc, digest: &Digest, note: Option<Note>) -> Self {
        Self { time: time.rfc3339(), digest: digest.clone(), note }
    }

    /// Reads a line; `None` if it is none: half of one, or what somebody wrote by hand.
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (time, digest, note) = match words.as_slice() {
            [time, digest] => (time, digest, None),
            [time, digest, word] => {
                (time, digest, Some(Note::ALL.into_iter().find(|n| n.as_str() == *word)?))
            }
            _ => return None,
        };
        let is_time =
            time.ends_with('Z') && time.bytes().all(|b| b.is_ascii_digit() || b"-:.TZ".contains(&b));
        let digest = Digest::parse(digest).ok().filter(|_| is_time)?;
        Some(Self { time: (*time).to_owned(), digest, note })
    }

    /// What the tag was from then on.
    pub fn leaves(&self) -> Option<&Digest> {
        match self.note {
            None | Some(Note::Found) => Some(&self.digest),
            Some(Note::Deleted) => None,
        }
    }
}

/// The line as it stands in the file, without its end.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.time, self.digest)?;
        self.note.map_or(Ok(()), |note| write!(f, " {}", note.as_str()))
    }
}

/// A tag's file, open and locked.
struct Memory {
    file: File,
    path: PathBuf,
    length: u64,
    /// Does it end with a whole line?
    is_whole: bool,
    last: Option<Line>,
}

impl Store {
    /// What a tag has been, the oldest first, up to what it is.
    pub fn read_history(&self, name: &RepositoryName, tag: &Tag) -> Result<Vec<Line>, Error> {
        let mut lines = lines_of(&disk::read(&self.history(name, tag))?.unwrap_or_default());
        let present = self.read_tag(name, tag)?.map(|target| target.digest());
        lines.extend(self.unnoted(name, tag, present.as_ref(), lines.last()));
        Ok(lines)
    }

    /// What a tag is, where its history does not say so.
    fn unnoted(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        present: Option<&Digest>,
        last: Option<&Line>,
    ) -> Option<Line> {
        let is_new = last.and_then(Line::leaves) != present;
        let present = present.filter(|_| is_new)?;
        Some(Line::new(changed_at(&self.tag(name, tag)), present, Some(Note::Found)))
    }

    /// The tags of which a repository remembers something, in order, also those that are gone.
    pub fn remembered_tags(&self, name: &RepositoryName) -> Result<Vec<Tag>, Error> {
        let names = disk::file_and_link_names(&self.histories(name))?;
        let mut tags: Vec<Tag> = names.iter().filter_map(|text| Tag::parse(text).ok()).collect();
        tags.sort();
        Ok(tags)
    }

    /// Is anything remembered of a tag?
    pub(super) fn has_history(&self, name: &RepositoryName, tag: &Tag) -> Result<bool, Error> {
        Ok(disk::metadata_of_name(&self.history(name, tag))?.is_some())
    }

    /// The tags of which it is of no use to remember anything: they are gone, nothing of what they were is `there`, and
    /// nobody has changed them since `cutoff`.
    pub fn forgettable_tags(
        &self,
        name: &RepositoryName,
        cutoff: Cutoff,
        there: &dyn Fn(&Digest) -> Result<bool, Error>,
    ) -> Result<Vec<Tag>, Error> {
        let mut found = Vec::new();
        for tag in self.remembered_tags(name)? {
            if self.is_forgettable(name, &tag, cutoff, there)? {
                found.push(tag);
            }
        }
        Ok(found)
    }

    pub(super) fn is_forgettable(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        cutoff: Cutoff,
        there: &dyn Fn(&Digest) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let path = self.history(name, tag);
        let file = disk::metadata_of_name(&path)?.filter(Metadata::is_file);
        if !file.is_some_and(|file| cutoff.is_after(disk::last_used(&file)))
            || disk::metadata_of_name(&self.tag(name, tag))?.is_some()
        {
            return Ok(false);
        }
        let bytes = disk::read(&path)?.unwrap_or_default();
        let lines = lines_of(&bytes);
        for line in &lines {
            if there(&line.digest)? {
                return Ok(false);
            }
        }
        Ok(bytes.is_empty() || !lines.is_empty()) // other text is somebody's own
    }

    /// Changes a tag by `act`, and remembers what it is then: this manifest, or nothing any more. The repository's
    /// lock is the caller's.
    pub(super) fn change_tag<T>(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        becomes: Option<&Digest>,
        act: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let memory = self.open_memory(&self.history(name, tag));
        let before = self.read_tag(name, tag).ok().flatten().map(|target| target.digest());
        let last = memory.as_ref().ok().and_then(|memory| memory.last.as_ref());
        let mut lines: Vec<Line> = self.unnoted(name, tag, before.as_ref(), last).into_iter().collect();
        let done = act()?;
        match (becomes, &before) {
            (Some(digest), Some(before)) if before == digest => {}
            (Some(digest), _) => lines.push(Line::new(Utc::now(), digest, None)),
            (None, Some(before)) => lines.push(Line::new(Utc::now(), before, Some(Note::Deleted))),
            (None, None) => {}
        }
        let noted = memory.and_then(|mut memory| {
            memory.append(&lines)?;
            self.shorten(&memory)
        });
        if let Err(error) = noted {
            let why = error.log_text();
            let fields: &log::Fields<'_> =
                &[("name", &name.as_str()), ("tag", &tag.as_str()), ("error", &why)];
            log::event(Level::Warn, "a tag has changed, and its history does not say so", fields);
        }
        Ok(done)
    }

    /// Opens a history, for nobody else; makes it if there is none.
    fn open_memory(&self, path: &Path) -> Result<Memory, Error> {
        for _ in 0..OPEN_ATTEMPTS {
            let file = match disk::open_to_write(path)? {
                Some(file) => file,
                None => match make(path) {
                    Err(error) if error.source.kind() == ErrorKind::AlreadyExists => continue, // somebody was faster
                    made => made?,
                },
            };
            file.lock().map_err(failed("lock", path))?;
            if compare::is_at(&file, path)? {
                return Ok(Memory::of(file, path)?);
            }
        }
        Err(failed("open", path)(ErrorKind::AlreadyExists.into()).into()) // but as something else than a file
    }

    /// Puts the newer half of a long file in its place. Who waits for its lock finds it gone, and opens the new one.
    fn shorten(&self, memory: &Memory) -> Result<(), Error> {
        if memory.length <= HISTORY_BYTES_MAX {
            return Ok(());
        }
        let bytes = disk::read(&memory.path)?.unwrap_or_default();
        let kept = &bytes[bytes.len().saturating_sub(HISTORY_BYTES_KEPT)..];
        let begin = kept.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let new = self.upload(&UploadId::random()?);
        let replaced = disk::create_with(&new, &kept[begin..])
            .and_then(|file| disk::sync_file(&file, &new)) // so that no loss of power takes all of it
            .and_then(|()| disk::rename(&new, &memory.path));
        if replaced.is_err() {
            let _ = disk::remove(&new);
        }
        Ok(replaced?)
    }
}

impl Memory {
    fn of(file: File, path: &Path) -> Result<Self, PathError> {
        let length = file.metadata().map_err(failed("look up", path))?.len();
        let start = length.saturating_sub(LINE_BYTES_MAX);
        let mut tail = vec![0; (length - start) as usize];
        file.read_exact_at(&mut tail, start).map_err(failed("read", path))?;
        let is_whole = tail.last().is_none_or(|&last| last == b'\n');
        let last = String::from_utf8_lossy(&tail).lines().rev().find_map(Line::parse);
        Ok(Self { file, path: path.to_owned(), length, is_whole, last })
    }

    /// Writes lines at the end, at once. Half a line that is there already gets its end first.
    fn append(&mut self, lines: &[Line]) -> Result<(), PathError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = if self.is_whole { String::new() } else { "\n".to_owned() };
        lines.iter().for_each(|line| text += &format!("{line}\n"));
        disk::write(&self.file, &self.path, self.length, text.as_bytes())?;
        self.length += text.len() as u64;
        Ok(())
    }
}

fn lines_of(bytes: &[u8]) -> Vec<Line> {
    String::from_utf8_lossy(bytes).lines().filter_map(Line::parse).collect()
}

/// Makes an empty history. Neither it nor its folder is synced.
fn make(path: &Path) -> Result<File, PathError> {
    let folder = parent(path);
    if !folder.is_dir() {
        disk::create_plain_folder(folder)?;
    }
    disk::create(path)
}

/// When a link was made. Links are never changed, so that is when the tag was set.
fn changed_at(tag: &Path) -> Utc {
    let time = fs::symlink_metadata(tag).and_then(|link| link.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    Utc::from_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for algorithm in Algorithm::ALL {
            for note in [None, Some(Note::Deleted), Some(Note::Found)] {
                let line = Line::new(Utc::now(), &Digest::of(algorithm, b""), note);
                assert_eq!(Line::parse(&line.to_string()), Some(line.clone()));
                assert!((line.to_string().len() as u64) < LINE_BYTES_MAX);
            }
        }
    }

    /// A loss of power can end a line anywhere, or leave zeros.
    #[test]
    fn what_is_no_line_is_passed_over() {
        let line =
            Line::new(Utc::now(), &Digest::of(Algorithm::Sha256, b""), Some(Note::Deleted)).to_string();
        let whole_without_note = line.len() - " deleted".len();
        for end in (0..line.len()).filter(|&end| end != whole_without_note && end != whole_without_note + 1) {
            assert_eq!(Line::parse(&line[..end]), None, "{:?}", &line[..end]);
        }
        for text in [
            "\0\0\0",
            "my notes",
            &line.replace('Z', ""),
            &line.replace("deleted", "moved"),
            &format!("{line} x"),
        ] {
            assert_eq!(Line::parse(text), None, "{text:?}");
        }
    }
}
