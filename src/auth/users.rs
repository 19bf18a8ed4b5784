//! The htpasswd file on disk, read again when it changes.
//!
//! `htpasswd` is for adding a user while the registry runs. So a file that cannot be used, because an editor is
//! half through or somebody slipped, locks nobody out: the users stay those of before, and the log says why,
//! once.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::htpasswd::Users;
use crate::log::{self, Level};

/// How long the file is taken to be as it was.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The largest htpasswd file that is read, in bytes: room for 50,000 users.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// The users of a file, as it is now.
pub struct UserFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    users: Arc<Users>,
    /// The file that was read last, well or not. `None`: there was none to be seen.
    seen: Option<Stamp>,
    checked: Instant,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Also moves when the owner or the mode does, and nobody can set it back.
    changed: (i64, i64),
}

impl UserFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// A sentence for the one who starts the server: it cannot be read, or a line of it cannot be used.
    pub fn open(path: &Path) -> Result<Self, String> {
        let checked = Instant::now();
        let problem = |why: String| format!("cannot use {} as htpasswd file: {why}", path.display());
        let seen = stamp(path).map_err(|error| problem(error.to_string()))?;
        let users = read(path).and_then(|text| Users::parse(&text)).map_err(problem)?;
        let state = Mutex::new(State { users: Arc::new(users), seen: Some(seen), checked });
        Ok(Self { path: path.to_owned(), state })
    }

    /// The users there are. Looks at the file if it is a while ago that somebody did.
    pub fn users(&self, now: Instant) -> Arc<Users> {
        let mut state = self.lock();
        if now.saturating_duration_since(state.checked) < CHECK_INTERVAL {
            return Arc::clone(&state.users);
        }
        state.checked = now;
        let (users, seen) = (Arc::clone(&state.users), state.seen);
        drop(state); // a slow disk is for this request to wait for, not for all

        let stamped = stamp(&self.path);
        if stamped.as_ref().ok() == seen.as_ref() {
            return users;
        }
        let text = stamped.as_ref().map_err(io::Error::to_string).and_then(|_| read(&self.path));
        if stamped.is_ok() && stamp(&self.path).ok() != stamped.as_ref().ok().copied() {
            return users; // it is being written; a second from now it may be complete
        }
        self.take(text.and_then(|text| Users::parse(&text)), stamped.ok())
    }

    /// Takes what was read for the users that are, if it is good.
    fn take(&self, read: Result<Users, String>, seen: Option<Stamp>) -> Arc<Users> {
        let mut state = self.lock();
        state.seen = seen;
        let path = self.path.display();
        match read {
            Ok(users) => {
                log::event(
                    Level::Info,
                    "htpasswd file read again",
                    &[("file", &path), ("users", &users.count())],
                );
                state.users = Arc::new(users);
            }
            Err(why) => log::event(
                Level::Error,
                "the htpasswd file cannot be used; the users are those of before",
                &[("file", &path), ("error", &why)],
            ),
        }
        Arc::clone(&state.users)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ---- the only places outside the store, the configuration and the system where a file is touched

fn stamp(path: &Path) -> io::Result<Stamp> {
    let file = fs::metadata(path)?;
    Ok(Stamp {
        device: file.dev(),
        inode: file.ino(),
        size: file.size(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    match text.len() as u64 <= FILE_BYTES_MAX {
        true => Ok(text),
        false => Err(format!("it is larger than {FILE_BYTES_MAX} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str) -> String {
        format!("{user}:{}\n", bcrypt::hash("secret", 4).unwrap())
    }

    /// A file with a clock that a test moves on.
    struct Watched {
        folder: tempfile::TempDir,
        file: UserFile,
        now: Instant,
    }

    impl Watched {
        fn with(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("htpasswd");
            fs::write(&path, text).unwrap();
            Self { folder, file: UserFile::open(&path).unwrap(), now: Instant::now() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("htpasswd")
        }

        #[track_caller]
        fn check_after(&mut self, time: Duration, user: &str, known: bool) {
            self.now += time;
            assert_eq!(self.file.users(self.now).get(user).is_some(), known, "{user}");
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again_but_not_at_once() {
        let mut watched = Watched::with(&line("alice"));
        watched.check_after(CHECK_INTERVAL, "alice", true);
        fs::write(watched.path(), line("alice") + &line("bob")).unwrap();
        watched.check_after(CHECK_INTERVAL / 2, "bob", false);
        watched.check_after(CHECK_INTERVAL, "bob", true);
        let other = watched.folder.path().join("other");
        fs::write(&other, line("carol")).unwrap();
        fs::rename(other, watched.path()).unwrap();
        watched.check_after(CHECK_INTERVAL, "carol", true);
        watched.check_after(CHECK_INTERVAL, "alice", false);
    }

    #[test]
    fn a_file_that_is_broken_or_gone_locks_nobody_out() {
        let mut watched = Watched::with(&line("alice"));
        for broken in ["", "bob", "bob:secret", &format!("{}bob:$2y$", line("alice")), "\u{0}\u{0}"] {
            fs::write(watched.path(), broken).unwrap();
            watched.check_after(CHECK_INTERVAL, "alice", true);
        }
        fs::write(watched.path(), b"bob:\xff").unwrap();
        watched.check_after(CHECK_INTERVAL, "alice", true);
        fs::remove_file(watched.path()).unwrap();
        watched.check_after(CHECK_INTERVAL, "alice", true);
        fs::write(watched.path(), line("bob")).unwrap();
        watched.check_after(CHECK_INTERVAL, "bob", true);
        watched.check_after(Duration::ZERO, "alice", false);
    }

    #[test]
    fn the_start_needs_a_file_that_can_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        let refusal = || UserFile::open(&path).err().unwrap();
        assert!(refusal().ends_with("htpasswd as htpasswd file: No such file or directory (os error 2)"));
        fs::write(&path, "alice:secret").unwrap();
        assert!(refusal().contains("htpasswd file: line 1: \"alice\" has a password that is no bcrypt hash"));
        fs::write(&path, vec![b'#'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(refusal().ends_with("it is larger than 4194304 bytes"));
    }
}
