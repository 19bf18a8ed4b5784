//! The htpasswd file on disk, read again when it changes.
//!
//! `htpasswd` is for letting somebody in, or out, while the registry runs. So what the file says counts, line by
//! line: who is not in it is out, and a line that cannot be used lets nobody in and keeps nobody else. That could
//! lock people out by a file that is only half written; so a file counts when it was left alone for a while. One
//! that cannot be read says nothing, and the users stay those of before.
//!
//! The log says what is wrong, and says it again while it lasts.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::htpasswd::Users;
use crate::log::{self, Level};

/// How long the file is taken to be as it was, and how long it must be left alone to be taken as it is.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the log is silent about what is still wrong.
pub const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// The largest htpasswd file that is read, in bytes: room for 50,000 users.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

const UNUSABLE: &str = "lines of the htpasswd file cannot be used; they let nobody in";
const UNREADABLE: &str = "the htpasswd file cannot be read; the users are those of before";

/// The users of a file, as it is now.
pub struct UserFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    users: Arc<Users>,
    /// The file that was taken last, well or not. `None`: there was none to be seen.
    seen: Option<Stamp>,
    /// One that was found since, when it may have been half written.
    fresh: Option<Stamp>,
    checked: Instant,
    /// When the log was told what is wrong with it. `None`: nothing is.
    complained: Option<Instant>,
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
    /// A sentence for the one who starts the server: it cannot be read, a line of it cannot be used, or there is
    /// no user in it.
    pub fn open(path: &Path) -> Result<Self, String> {
        let checked = Instant::now();
        let problem = |why: String| format!("cannot use {} as htpasswd file: {why}", path.display());
        let (seen, _) = stamp(path).map_err(|error| problem(error.to_string()))?;
        let users = read(path).and_then(|text| Users::parse(&text)).map_err(problem)?;
        let (users, seen) = (Arc::new(users), Some(seen));
        let state = Mutex::new(State { users, seen, fresh: None, checked, complained: None });
        Ok(Self { path: path.to_owned(), state })
    }

    /// The users there are. Looks at the file if it is a while ago that somebody did.
    pub fn users(&self, now: Instant) -> Arc<Users> {
        let mut state = self.lock();
        if now.saturating_duration_since(state.checked) < CHECK_INTERVAL {
            return Arc::clone(&state.users);
        }
        state.checked = now;
        let (users, seen, fresh) = (Arc::clone(&state.users), state.seen, state.fresh);
        let complained = state.complained.map(|at| now.saturating_duration_since(at));
        drop(state); // a slow disk is for this request to wait for, not for all

        let stamped = stamp(&self.path);
        let found = stamped.as_ref().ok().map(|(stamp, _)| *stamp);
        if found == seen && complained.is_none_or(|since| since < COMPLAINT_INTERVAL) {
            return users;
        }
        if let Ok((stamp, is_left_alone)) = stamped
            && !is_left_alone
            && ![seen, fresh].contains(&Some(stamp))
        {
            self.lock().fresh = Some(stamp);
            return users; // a second from now it may be complete
        }
        let text = stamped.map_err(|error| error.to_string()).and_then(|_| read(&self.path));
        if found.is_some() && stamp(&self.path).ok().map(|(stamp, _)| stamp) != found {
            return users; // it is being written
        }
        self.take(text, found, now)
    }

    /// Takes what was read for the users that are, and tells the log what cannot be.
    fn take(&self, text: Result<String, String>, found: Option<Stamp>, now: Instant) -> Arc<Users> {
        let mut state = self.lock();
        let is_new = state.seen != found;
        (state.seen, state.fresh) = (found, None);
        let path = self.path.display();
        let complain = |fields: &log::Fields<'_>, what| {
            log::event(Level::Error, what, fields);
            Some(now)
        };
        state.complained = match text.map(|text| Users::read(&text)) {
            Ok((users, mistakes)) => {
                if is_new {
                    let fields: &log::Fields<'_> = &[("file", &path), ("users", &users.count())];
                    log::event(Level::Info, "htpasswd file read again", fields);
                }
                state.users = Arc::new(users);
                mistakes.first().and_then(|first| {
                    complain(&[("file", &path), ("lines", &mistakes.len()), ("error", first)], UNUSABLE)
                })
            }
            Err(why) => complain(&[("file", &path), ("error", &why)], UNREADABLE),
        };
        Arc::clone(&state.users)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ---- the only places outside the store, the configuration and the system where a file is touched

/// The file's stamp, and whether it has been left alone for a while. (By a clock that is not ours, if the file lies on
/// another machine; then it is looked at twice.)
fn stamp(path: &Path) -> io::Result<(Stamp, bool)> {
    let file = fs::metadata(path)?;
    let age = file.modified().ok().and_then(|modified| modified.elapsed().ok());
    let stamp = Stamp {
        device: file.dev(),
        inode: file.ino(),
        size: file.size(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    };
    Ok((stamp, age.is_some_and(|age| age >= CHECK_INTERVAL)))
}

/// The file's text. A line that is not UTF-8 concerns nobody but its user.
fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match bytes.len() as u64 <= FILE_BYTES_MAX {
        true => Ok(String::from_utf8_lossy(&bytes).into_owned()),
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

        /// Who there is after a while.
        #[track_caller]
        fn check_after(&mut self, time: Duration, expect: &[&str]) {
            self.now += time;
            let users = self.file.users(self.now);
            let found: Vec<&str> = NAMES.into_iter().filter(|name| users.get(name).is_some()).collect();
            assert_eq!(found, expect);
        }

        /// Who there is when a file is found, and when it is found to be the same still.
        #[track_caller]
        fn check_twice(&mut self, first: &[&str], second: &[&str]) {
            self.check_after(CHECK_INTERVAL, first);
            self.check_after(CHECK_INTERVAL / 2, first);
            self.check_after(CHECK_INTERVAL / 2, second);
        }

        fn complained(&self) -> bool {
            self.file.lock().complained == Some(self.now)
        }
    }

    const NAMES: [&str; 3] = ["alice", "bob", "carol"];

    #[test]
    fn a_file_that_changes_is_read_again_when_it_is_left_alone() {
        let mut watched = Watched::with(&line("alice"));
        watched.check_after(CHECK_INTERVAL, &["alice"]);
        fs::write(watched.path(), line("alice") + &line("bob")).unwrap();
        watched.check_after(CHECK_INTERVAL / 2, &["alice"]);
        watched.check_after(CHECK_INTERVAL / 2, &["alice"]);
        watched.check_after(CHECK_INTERVAL, &["alice", "bob"]);
        // A file that has been there for a while is complete.
        let other = watched.folder.path().join("other");
        fs::write(&other, line("carol")).unwrap();
        let old = std::time::SystemTime::now() - CHECK_INTERVAL;
        File::options().write(true).open(&other).unwrap().set_modified(old).unwrap();
        fs::rename(other, watched.path()).unwrap();
        watched.check_after(CHECK_INTERVAL, &["carol"]);
    }

    #[test]
    fn a_file_that_is_being_written_locks_nobody_out() {
        let mut watched = Watched::with(&(line("alice") + &line("bob")));
        let text = line("alice") + &line("bob") + &line("carol");
        for written in 0..10 {
            fs::write(watched.path(), &text[..written * 7]).unwrap();
            watched.check_after(CHECK_INTERVAL, &["alice", "bob"]);
        }
        fs::write(watched.path(), text).unwrap();
        watched.check_twice(&["alice", "bob"], &NAMES);
    }

    #[test]
    fn who_is_not_in_the_file_is_out_whatever_else_is_in_it() {
        let mut watched = Watched::with(&(line("alice") + &line("bob")));
        fs::write(watched.path(), line("bob") + "carol:secret\n").unwrap();
        watched.check_twice(&["alice", "bob"], &["bob"]);
        let broken: [&[u8]; 5] = [b"bob", b"bob:secret", b"bob:$2y$", b"\0\0", b"bob:\xff"];
        for broken in broken {
            fs::write(watched.path(), [line("alice").as_bytes(), broken].concat()).unwrap();
            watched.check_after(CHECK_INTERVAL, &["bob"]);
            watched.check_after(CHECK_INTERVAL, &["alice"]);
            fs::write(watched.path(), line("bob")).unwrap();
            watched.check_twice(&["alice"], &["bob"]);
        }
        for nobody in ["", "# nobody\n"] {
            fs::write(watched.path(), nobody).unwrap();
            watched.check_twice(&["bob"], &[]);
            fs::write(watched.path(), line("bob")).unwrap();
            watched.check_twice(&[], &["bob"]);
        }
    }

    #[test]
    fn a_file_that_is_gone_or_cannot_be_read_locks_nobody_out() {
        let mut watched = Watched::with(&line("alice"));
        fs::remove_file(watched.path()).unwrap();
        watched.check_twice(&["alice"], &["alice"]);
        fs::create_dir(watched.path()).unwrap();
        watched.check_twice(&["alice"], &["alice"]);
        fs::remove_dir(watched.path()).unwrap();
        fs::write(watched.path(), vec![b'#'; FILE_BYTES_MAX as usize + 1]).unwrap();
        watched.check_twice(&["alice"], &["alice"]);
        fs::write(watched.path(), line("bob")).unwrap();
        watched.check_twice(&["alice"], &["bob"]);
    }

    #[test]
    fn what_is_wrong_is_told_again_while_it_lasts() {
        let mut watched = Watched::with(&line("alice"));
        fs::write(watched.path(), line("alice") + "bob\n").unwrap();
        watched.check_twice(&["alice"], &["alice"]);
        for _ in 0..3 {
            assert!(watched.complained());
            watched.check_after(COMPLAINT_INTERVAL / 2, &["alice"]);
            assert!(!watched.complained());
            watched.check_after(COMPLAINT_INTERVAL / 2, &["alice"]);
        }
        fs::remove_file(watched.path()).unwrap();
        watched.check_after(CHECK_INTERVAL, &["alice"]);
        assert!(watched.complained());
        watched.check_after(COMPLAINT_INTERVAL, &["alice"]);
        assert!(watched.complained());
        fs::write(watched.path(), line("alice")).unwrap();
        watched.check_twice(&["alice"], &["alice"]);
        assert_eq!(watched.file.lock().complained, None);
    }

    #[test]
    fn the_start_needs_a_file_that_can_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        let refusal = || UserFile::open(&path).err().unwrap();
        assert!(refusal().ends_with("htpasswd as htpasswd file: No such file or directory (os error 2)"));
        fs::write(&path, "alice:secret").unwrap();
        assert!(refusal().contains("htpasswd file: line 1: \"alice\" has a password that is no bcrypt hash"));
        fs::write(&path, "").unwrap();
        assert!(refusal().ends_with("htpasswd file: there is no user in it"));
        fs::write(&path, vec![b'#'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(refusal().ends_with("it is larger than 4194304 bytes"));
    }
}
