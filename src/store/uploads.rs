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
//! and can go on through another. It is not synced: after a loss of power the session may be shorter or gone,
//! which the client learns when it asks. What is promised to last is the blob, once [`Upload::finish`] returns.
//!
//! Whoever writes holds a lock on `data`; there is one writer at a time.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Store;
use super::disk::{self, failed};
use crate::clock::Utc;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Error;
use crate::name::RepositoryName;
use crate::reference::UploadId;

/// The buffer that bodies are read through.
const BUFFER_BYTES: usize = 256 << 10;

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
        disk::create_with(&folder.join("session.json"), format!("{session}\n").as_bytes())?;
        disk::create(&folder.join("data"))?;
        Ok(id)
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
        let data = disk::open_to_write(&path)?.ok_or_else(|| unknown(id))?;
        match data.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::UploadBusy(id.clone())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error).into()),
        }
        if !disk::is_at(&data, &path)? {
            return Err(unknown(id)); // it was finished or cancelled before we had the lock
        }
        let offset = data.metadata().map_err(failed("look up", &path))?.len();
        let (hasher, hashed) = saved_hash(&folder, algorithm, offset);
        Ok(Upload { store: self, id: id.clone(), name: name.clone(), folder, data, offset, hasher, hashed })
    }

    /// Which algorithm a session's blob is hashed with, if the session is this repository's.
    fn session(&self, name: &RepositoryName, id: &UploadId) -> Result<Algorithm, Error> {
        let text = disk::read(&self.upload(id).join("session.json"))?.ok_or_else(|| unknown(id))?;
        let session: Value = serde_json::from_slice(&text).map_err(|_| unknown(id))?;
        match (session["repository"].as_str(), session["algorithm"].as_str()) {
            (Some(repository), Some(algorithm)) if repository == name.as_str() => Algorithm::parse(algorithm),
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
    /// [`Error::BodyUnreadable`] from the client's side, [`Error::Disk`] from ours.
    pub fn append(&mut self, body: &mut dyn Read) -> Result<(), Error> {
        self.catch_up()?;
        let path = self.folder.join("data");
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::BodyUnreadable(error)),
            };
            if let Err(error) = disk::write(&self.data, &path, self.offset, &buffer[..count]) {
                self.truncate(self.offset)?; // a part of it may have been written, and is not hashed
                return Err(error.into());
            }
            self.hasher.update(&buffer[..count]);
            self.offset += count as u64;
            self.hashed = self.offset;
        }
    }

    /// Keeps the state of the hash for the next request. Without it that one reads what is there again.
    pub fn save(&self) -> Result<(), Error> {
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
            disk::remove_folder(&self.folder)?;
            return Err(Error::DigestMismatch { expected: expected.clone(), actual });
        }
        let path = self.folder.join("data");
        disk::seal(&self.data, &path)?;
        self.store.admit(&path, expected, &self.store.held_blob(&self.name, expected))?;
        Ok(disk::remove_folder(&self.folder)?)
    }

    /// Ends the session and drops its bytes.
    pub fn cancel(self) -> Result<(), Error> {
        Ok(disk::remove_folder(&self.folder)?)
    }

    /// The session's id.
    pub fn id(&self) -> &UploadId {
        &self.id
    }

    /// Hashes the bytes that the hash has not seen.
    fn catch_up(&mut self) -> Result<(), Error> {
        let path = self.folder.join("data");
        if self.hashed == self.offset {
            return Ok(());
        }
        let mut buffer = vec![0; BUFFER_BYTES];
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
        Ok(disk::truncate(&self.data, &self.folder.join("data"), length)?)
    }
}

/// The hash as an earlier request left it, if that is of use for a session of `offset` bytes, or a new one.
fn saved_hash(folder: &std::path::Path, algorithm: Algorithm, offset: u64) -> (Hasher, u64) {
    let saved = || {
        let text = disk::read(&folder.join("hash.json")).ok()??;
        let saved: Value = serde_json::from_slice(&text).ok()?;
        let hashed = saved["offset"].as_u64().filter(|&hashed| hashed <= offset)?;
        let hasher = Hasher::resume(algorithm, saved["state"].as_str()?)?;
        (saved["format"] == HASH_FORMAT).then_some((hasher, hashed))
    };
    saved().unwrap_or_else(|| (Hasher::new(algorithm), 0))
}

fn unknown(id: &UploadId) -> Error {
    Error::UploadUnknown(id.to_string())
}
