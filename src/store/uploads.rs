//! Upload sessions: a blob while it arrives.
//!
//! ```text
//! uploads/<id>/
//! ├── data            the bytes so far; its length is the session's offset
//! ├── session.json    which repository it is for, and which algorithm hashes it
//! └── hash.json       the state of the hash at some offset, so that it need not start again
//! ```
//!
//! Who sees what, when: every byte that was taken is in `data`, so a session survives the end of the process
//! and can go on through another. After a loss of power the session may be shorter or gone, which the client
//! learns when it asks. What is promised to last is the blob, once [`Upload::finish`] returns.
//!
//! Whoever writes holds a lock on `data`; there is one writer at a time.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Store;
use super::compare;
use super::disk::{self, failed};
use super::hashing::Hashing;
use crate::buffer::Buffer;
use crate::clock::Utc;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, PathError};
use crate::name::RepositoryName;
use crate::reference::UploadId;

/// So much of a body is hashed by the thread that writes it. Another one is worth its while for a larger one only.
const ALONE_BYTES: u64 = 1 << 20;

/// Names the format of the hash state in `hash.json`: it is the `sha2` crate's own and may change with its
/// minor version. A state of another format is not used, and the bytes are hashed again.
const HASH_FORMAT: &str = "sha2 0.11";

/// A session, opened for writing. Nobody else can write to it meanwhile.
pub struct Upload<'s> {
    store: &'s Store,
    id: UploadId,
    name: RepositoryName,
    folder: PathBuf,
    data: File,
    /// Did somebody begin to finish it, and not get to the end? Then the bytes may be a blob's by now.
    sealed: bool,
    offset: u64,
    /// The hash over the first `hashed` bytes.
    hasher: Hasher,
    hashed: u64,
}

impl Store {
    /// Begins a session for a blob of `name`, to be hashed with `algorithm`.
    pub fn start_upload(&self, name: &RepositoryName, algorithm: Algorithm) -> Result<UploadId, Error> {
        let id = UploadId::random()?;
        let folder = self.upload(&id);
        disk::create_plain_folder(&folder)?;
        let session = json!({
            "repository": name.as_str(),
            "algorithm": algorithm.as_str(),
            "started": Utc::now().rfc3339(),
        });
        let made = disk::create_with(&folder.join("session.json"), format!("{session}\n").as_bytes())
            .and_then(|_| disk::create(&folder.join("data")));
        if made.is_err() {
            let _ = disk::remove_folder(&folder);
        }
        made?;
        Ok(id)
    }

    /// Takes a blob that comes in one piece, without a session that anybody knows of: when this fails, nothing is
    /// left.
    ///
    /// # Errors
    /// As [`Upload::append`] and [`Upload::finish`].
    pub fn push_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        body: &mut dyn Read,
    ) -> Result<(), Error> {
        let id = self.start_upload(name, digest.algorithm())?;
        let pushed = self.open_upload(name, &id).and_then(|mut upload| {
            upload.append(body)?;
            upload.finish(digest)
        });
        if pushed.is_err() {
            let _ = disk::remove_folder(&self.upload(&id));
        }
        pushed
    }

    /// How many bytes a session has.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`] when this repository has no such session.
    pub fn upload_offset(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, Error> {
        self.session(name, id)?;
        let data = disk::metadata(&self.upload(id).join("data"))?;
        data.map(|data| data.len()).ok_or_else(|| unknown(id))
    }

    /// Opens a session for writing.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`]; [`Error::UploadBusy`] while somebody else has it open.
    pub fn open_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<Upload<'_>, Error> {
        let algorithm = self.session(name, id)?;
        let folder = self.upload(id);
        let path = folder.join("data");
        let mut data = lock_data(&path, id)?;
        if !compare::is_at(&data, &path)? {
            // It was finished or cancelled before we had the lock; or somebody has put a copy in its place, to write
            // to it (`unseal`), and has that locked.
            data = lock_data(&path, id)?;
            if !compare::is_at(&data, &path)? {
                return Err(unknown(id));
            }
        }
        let sealed = disk::is_sealed(&data, &path)?;
        let offset = data.metadata().map_err(failed("look up", &path))?.len();
        let (hasher, hashed) = saved_hash(&folder, algorithm, offset);
        let (id, name) = (id.clone(), name.clone());
        Ok(Upload { store: self, id, name, folder, data, sealed, offset, hasher, hashed })
    }

    /// Removes a session's folder, whose `data`, if it has one, is open and locked; see [`Upload::end`].
    pub(super) fn end_session(&self, folder: &Path, data: Option<File>) -> Result<(), Error> {
        let aside = self.upload(&UploadId::random()?);
        // A blob with too many links may have taken it, or a full disk has no room for one more name.
        let moved = data.is_some() && disk::rename(&folder.join("data"), &aside).is_ok();
        disk::remove_folder(folder)?;
        drop(data);
        if moved {
            disk::remove(&aside)?;
        }
        Ok(())
    }

    /// Which algorithm a session's blob is hashed with, if the session is this repository's.
    fn session(&self, name: &RepositoryName, id: &UploadId) -> Result<Algorithm, Error> {
        match read_session(&self.upload(id))? {
            Some((repository, algorithm)) if repository == *name => Ok(algorithm),
            _ => Err(unknown(id)),
        }
    }
}

impl Upload<'_> {
    /// How many bytes the session has.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds a body to the session, byte by byte as it comes. What has come stays, also when the body breaks
    /// off.
    ///
    /// # Errors
    /// [`Error::BodyUnreadable`] from the client's side, [`Error::Disk`] from ours; what reading from `body` says,
    /// if it is one of ours, too.
    pub fn append(&mut self, body: &mut dyn Read) -> Result<(), Error> {
        self.catch_up()?;
        let (mut buffer, mut beside) = (Buffer::new(u64::MAX), None);
        let alone_until = self.offset + ALONE_BYTES;
        loop {
            if self.offset >= alone_until && beside.is_none() {
                beside = Some(Hashing::start(self.hasher.clone()));
            }
            if let Some(Some(hashing)) = beside {
                return self.append_beside(body, hashing);
            }
            let count = self.take(body, &mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..count]);
            self.hashed = self.offset;
        }
    }

    /// The same, while another thread hashes.
    fn append_beside(&mut self, body: &mut dyn Read, hashing: Hashing) -> Result<(), Error> {
        let taken = loop {
            let mut buffer = hashing.buffer();
            match self.take(body, &mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => hashing.hash(buffer, count),
                Err(error) => break Err(error),
            }
        };
        if let Some(hasher) = hashing.finish() {
            (self.hasher, self.hashed) = (hasher, self.offset);
        }
        taken
    }

    /// Reads some of a body and writes it to the session. 0 is the end.
    fn take(&mut self, body: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Error> {
        let count = loop {
            match body.read(buffer) {
                Ok(0) => return Ok(0),
                Ok(count) => break count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.downcast().unwrap_or_else(Error::BodyUnreadable)),
            }
        };
        self.unseal()?;
        if let Err(error) = disk::write(&self.data, &self.folder.join("data"), self.offset, &buffer[..count])
        {
            self.truncate(self.offset)?; // a part of it may have been written, and will not be hashed
            return Err(error.into());
        }
        self.offset += count as u64;
        Ok(count)
    }

    /// Keeps the state of the hash for the next request. Without it that one reads what is there again. It vouches
    /// for the bytes, so they are synced first: after a loss of power they must be what was hashed.
    pub fn save(&self) -> Result<(), Error> {
        self.sync(disk::sync_file)?;
        let state = json!({ "format": HASH_FORMAT, "offset": self.hashed, "state": self.hasher.save() });
        disk::replace_file(&self.folder.join("hash.json"), format!("{state}\n").as_bytes())
    }

    /// Forgets what came after `offset`.
    pub fn roll_back(&mut self, offset: u64) -> Result<(), Error> {
        self.truncate(offset)?;
        self.offset = offset;
        (self.hasher, self.hashed) = saved_hash(&self.folder, self.hasher.algorithm(), offset);
        Ok(())
    }

    /// Ends the session: its bytes become a blob of the repository, durably.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] when the bytes have another digest; then the session is gone with them.
    pub fn finish(mut self, expected: &Digest) -> Result<(), Error> {
        if self.hasher.algorithm() != expected.algorithm() {
            // Only now do we learn what to compute: nobody said so at the start.
            (self.hasher, self.hashed) = (Hasher::new(expected.algorithm()), 0);
        }
        self.catch_up()?;
        let actual = self.hasher.clone().finish();
        if actual != *expected {
            self.end()?;
            return Err(Error::DigestMismatch { expected: expected.clone(), actual });
        }
        let path = self.folder.join("data");
        self.sync(disk::seal)?;
        self.store.admit(&path, expected, &self.store.held_blob(&self.name, expected), Some(&self.name))?;
        let store = self.store;
        self.end()?;
        // Whoever deleted the blob meanwhile took `data` for one more holder.
        if store.is_unheld(expected)? {
            store.release(expected).map(drop)?;
        }
        Ok(())
    }

    /// Ends the session and drops its bytes.
    pub fn cancel(self) -> Result<(), Error> {
        self.end()
    }

    /// Ends the session. `data` is moved out while its lock is held, so that whoever has opened it and waits
    /// finds it gone; and it is removed when it is closed, because NFS keeps an open file in its folder under
    /// another name, and the folder with it.
    fn end(self) -> Result<(), Error> {
        self.store.end_session(&self.folder, Some(self.data))
    }

    /// The session's id.
    pub fn id(&self) -> &UploadId {
        &self.id
    }

    /// Makes the bytes durable. When that fails the session is gone: what the system could not write it may have
    /// dropped from memory, and would not say so a second time (fsync(2), "Errors").
    fn sync(&self, how: impl Fn(&File, &Path) -> Result<(), PathError>) -> Result<(), Error> {
        how(&self.data, &self.folder.join("data")).map_err(|error| {
            let _ = disk::remove_folder(&self.folder);
            error.into()
        })
    }

    /// The session goes on, and its bytes change: if they are a blob's, it gets its own.
    fn unseal(&mut self) -> Result<(), Error> {
        if self.sealed {
            self.data = disk::unseal(&self.folder.join("data"))?;
            self.sealed = false;
        }
        Ok(())
    }

    /// Hashes the bytes that the hash has not seen.
    fn catch_up(&mut self) -> Result<(), Error> {
        let path = self.folder.join("data");
        if self.hashed == self.offset {
            return Ok(());
        }
        let mut buffer = Buffer::new(self.offset - self.hashed);
        while self.hashed < self.offset {
            let count = self.data.read_at(&mut buffer, self.hashed).map_err(failed("read", &path))?;
            if count == 0 {
                return Err(failed("read", &path)(std::io::ErrorKind::UnexpectedEof.into()).into());
            }
            self.hasher.update(&buffer[..count]);
            self.hashed += count as u64;
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> Result<(), Error> {
        if self.sealed && length == self.offset {
            return Ok(()); // nothing was written
        }
        self.unseal()?;
        Ok(disk::truncate(&self.data, &self.folder.join("data"), length)?)
    }
}

/// Whose a session is, and which algorithm hashes it; `None` if there is none, or one of which a loss of power
/// left too little.
pub(super) fn read_session(folder: &Path) -> Result<Option<(RepositoryName, Algorithm)>, Error> {
    let Some(text) = disk::read(&folder.join("session.json"))? else { return Ok(None) };
    let session: Value = serde_json::from_slice(&text).unwrap_or_default();
    let name = session["repository"].as_str().and_then(|text| RepositoryName::parse(text).ok());
    let algorithm = session["algorithm"].as_str().and_then(|text| Algorithm::parse(text).ok());
    Ok(name.zip(algorithm))
}

/// The hash as an earlier request left it, if that is of use for a session of `offset` bytes, or a new one.
fn saved_hash(folder: &Path, algorithm: Algorithm, offset: u64) -> (Hasher, u64) {
    let saved = || {
        let text = disk::read(&folder.join("hash.json")).ok()??;
        let saved: Value = serde_json::from_slice(&text).ok()?;
        let hashed = saved["offset"].as_u64().filter(|&hashed| hashed <= offset)?;
        let hasher = Hasher::resume(algorithm, saved["state"].as_str()?)?;
        (saved["format"] == HASH_FORMAT).then_some((hasher, hashed))
    };
    saved().unwrap_or_else(|| (Hasher::new(algorithm), 0))
}

/// Opens a session's bytes, for nobody else.
fn lock_data(path: &Path, id: &UploadId) -> Result<File, Error> {
    let data = disk::open_to_write(path)?.ok_or_else(|| unknown(id))?;
    match data.try_lock() {
        Ok(()) => Ok(data),
        Err(TryLockError::WouldBlock) => Err(Error::UploadBusy(id.clone())),
        Err(TryLockError::Error(error)) => Err(failed("lock", path)(error).into()),
    }
}

fn unknown(id: &UploadId) -> Error {
    Error::UploadUnknown(id.to_string())
}
