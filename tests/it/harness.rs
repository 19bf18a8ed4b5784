//! What every test needs: a registry of its own, a client that shows everything, and content to push.
//!
//! The registry is the real program, in a process of its own, over a temporary root that goes with it. The
//! client speaks HTTP/1.1 over a plain socket, so that a test sees what is on the wire and nothing is mended
//! on the way.

mod care;
mod client;
mod process;
mod uploads;
pub mod users;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256, Sha512};

pub use care::run;
pub use client::{Answer, Connection};
pub use process::Usage;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The most memory a registry may have in use when a test is over, whatever was done to it: MiB, debug build.
pub const RESIDENT_MAX: usize = 64;

/// A running registry. Dropping it asserts that it is well, ends the process and removes its root.
pub struct Registry {
    child: Child,
    pub address: SocketAddr,
    root: Arc<tempfile::TempDir>,
    flags: Vec<String>,
    log: Arc<Mutex<String>>,
}

impl Registry {
    /// Starts one with the defaults.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further flags.
    pub fn start_with(flags: &[&str]) -> Self {
        let root = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Self::over(root, flags.iter().map(|flag| (*flag).to_owned()).collect())
    }

    /// Starts another process over the same root.
    pub fn start_beside(&self) -> Self {
        Self::over(Arc::clone(&self.root), self.flags.clone())
    }

    /// Starts another process over the same root, with other flags.
    pub fn start_beside_with(&self, flags: &[&str]) -> Self {
        Self::over(Arc::clone(&self.root), flags.iter().map(|flag| (*flag).to_owned()).collect())
    }

    fn over(root: Arc<tempfile::TempDir>, flags: Vec<String>) -> Self {
        let log = Arc::default();
        let (child, address) = spawn(root.path(), &flags, &log);
        Self { child, address, root, flags, log }
    }

    /// Kills the process (SIGKILL) and starts another over the same root.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
        (self.child, self.address) = spawn(self.root.path(), &self.flags, &self.log);
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process, to wait for its end.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What the registry has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A path below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// The path of a blob below `blobs/`.
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        self.path("blobs").join(digest.replace(':', "/"))
    }

    /// All files below a folder of the root, as paths relative to it, sorted.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let top = self.path(folder);
        let mut files = Vec::new();
        collect(&top, &top, &mut files);
        files.sort();
        files
    }

    /// All there is below the root, path by path: that it is a folder, where a link points, or of a file the
    /// mode, the link count and the digest. Two of them compared say what a request changed.
    pub fn snapshot(&self) -> BTreeMap<String, String> {
        let mut entries = BTreeMap::new();
        describe(self.root.path(), self.root.path(), &mut entries);
        entries
    }

    /// How many names a blob has: 1 under `blobs/`, and one for each repository that holds it. 0: it is gone.
    pub fn link_count(&self, digest: &str) -> u64 {
        fs::metadata(self.blob_path(digest)).map_or(0, |blob| blob.nlink())
    }

    /// Sends the process a signal, by its name: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(sent.expect("sh").success(), "kill -{name}");
    }

    /// Sends a request on a connection of its own, and reads the answer.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Connection::open(self.address).send(method, path, headers, body)
    }

    /// A GET without headers.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// Follows `Link` from page to page of a list. No page but the last is shorter than asked for.
    #[track_caller]
    pub fn all_pages(&self, first: &str, list: &str, limit: usize) -> Vec<serde_json::Value> {
        let (mut entries, mut path) = (Vec::new(), first.to_owned());
        loop {
            let answer = self.get(&path);
            answer.assert(200, &[]);
            let page = answer.json()[list].as_array().expect("a list").clone();
            let next = answer.next_page();
            assert!(page.len() == limit || next.is_none() && page.len() < limit, "{path}: {}", page.len());
            entries.extend(page);
            let Some(next) = next else { return entries };
            assert!(next.starts_with("/v2/"), "{next}");
            next.clone_into(&mut path);
        }
    }

    /// Pushes a manifest; returns the answer.
    pub fn put_manifest(&self, name: &str, reference: &str, media_type: &str, bytes: &[u8]) -> Answer {
        let headers = [("Content-Type", media_type)];
        self.send("PUT", &format!("/v2/{name}/manifests/{reference}"), &headers, bytes)
    }

    /// Pushes an image of one layer with these bytes, and tags it; returns it.
    pub fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> Image {
        let config = br#"{"architecture":"amd64","os":"linux"}"#;
        let image = Image::new(
            &self.push_blob(name, config),
            config.len(),
            &self.push_blob(name, layer),
            layer.len(),
        );
        let answer = self.put_manifest(name, tag, OCI_MANIFEST, &image.manifest);
        assert_eq!(answer.status, 201, "{answer:?}");
        image
    }

    /// Asserts that a repository holds a blob: it is on disk under its name, once for all and once for the
    /// repository, read-only, and served from there.
    #[track_caller]
    pub fn assert_holds(&self, name: &str, digest: &str, bytes: &[u8]) {
        assert!(fs::read(self.blob_path(digest)).unwrap() == bytes, "{digest} has other bytes");
        let held = self.path(&format!("repositories/{name}/_blobs/{}", digest.replace(':', "/")));
        let (blob, held) = (fs::metadata(self.blob_path(digest)).unwrap(), fs::metadata(held).unwrap());
        assert_eq!((blob.ino(), blob.mode() & 0o777), (held.ino(), 0o444));
        let answer = self.get(&format!("/v2/{name}/blobs/{digest}"));
        answer.assert(200, &[("Docker-Content-Digest", digest)]);
        assert!(answer.body == bytes, "{digest} is served with other bytes");
    }

    /// Asserts that a repository has a manifest under a tag: on disk the tag reads as the manifest and points at
    /// its digest, and that is what is served.
    #[track_caller]
    pub fn assert_tagged(&self, name: &str, tag: &str, digest: &str, bytes: &[u8]) {
        let path = self.path(&format!("repositories/{name}/_tags/{tag}"));
        assert!(fs::read(&path).unwrap() == bytes, "{tag} reads otherwise");
        let target = fs::read_link(&path).unwrap();
        assert_eq!(target.to_str().unwrap(), format!("../_manifests/{}", digest.replace(':', "/")));
        let answer = self.get(&format!("/v2/{name}/manifests/{tag}"));
        answer.assert(200, &[("Docker-Content-Digest", digest)]);
        assert!(answer.body == bytes, "{tag} is served with other bytes");
    }

    /// Says that the server is alive.
    pub fn assert_alive(&self) {
        assert_eq!(self.get("/v2/").status, 200);
    }

    fn has_usual_settings(&self) -> bool {
        // With a grace of 0s, pushes are interrupted.
        let other = [
            "--htpasswd",
            "--read-only",
            "--config",
            "--manifest-bytes",
            "--public-url",
            "--gc-grace",
            "--refuse-free",
        ];
        !self.flags.iter().any(|flag| other.contains(&flag.as_str()))
    }

    /// Asserts what every test ends with: the server is alive, small, and takes and serves an image byte for byte.
    fn assert_well(&self) {
        let name = format!("after/all/{}", self.pid());
        let image = self.push_image(&name, "v1", b"still served");
        self.assert_holds(&name, &image.layer, b"still served");
        self.assert_tagged(&name, "v1", &image.digest, &image.manifest);
        // Threads that have nothing to do any more stay for ten seconds at most.
        eventually("memory comes back", || self.usage().resident < RESIDENT_MAX);
        if std::env::var_os("MEMORY").is_some() {
            let Usage { resident, peak, .. } = self.usage();
            println!("resident: {resident} MiB at the end, {peak} MiB at the most");
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let is_running = matches!(self.child.try_wait(), Ok(None));
        let is_to_be_well = is_running && !std::thread::panicking() && self.has_usual_settings();
        let well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if is_to_be_well {
                self.assert_well();
            }
        }));
        let _ = self.child.kill(); // also if it is not well, or it would outlive us
        let _ = self.child.wait();
        if let Err(panic) = well {
            std::panic::resume_unwind(panic);
        }
    }
}

/// An image of one layer.
pub struct Image {
    pub config: String,
    pub layer: String,
    pub manifest: Vec<u8>,
    pub digest: String,
}

impl Image {
    pub fn new(config: &str, config_size: usize, layer: &str, layer_size: usize) -> Self {
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{config_size}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{layer_size}}}]}}"#
        )
        .into_bytes();
        Self { config: config.to_owned(), layer: layer.to_owned(), digest: sha256(&manifest), manifest }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

pub fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

/// Bytes that look random and are the same in every run.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Waits for something to become true, and fails when it does not in time.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to pass: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn collect(top: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            collect(top, &path, files);
        } else {
            files.push(path.strip_prefix(top).unwrap().to_string_lossy().into_owned());
        }
    }
}

fn describe(top: &Path, path: &Path, entries: &mut BTreeMap<String, String>) {
    let metadata = fs::symlink_metadata(path).expect("metadata");
    let what = if metadata.is_symlink() {
        format!("-> {}", fs::read_link(path).expect("a target").display())
    } else if metadata.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            describe(top, &entry.expect("an entry").path(), entries);
        }
        "folder".to_owned()
    } else {
        let bytes = fs::read(path).expect("a file");
        format!("{:o} {} {}", metadata.mode() & 0o777, metadata.nlink(), sha256(&bytes))
    };
    entries.insert(path.strip_prefix(top).expect("below the root").display().to_string(), what);
}

/// Starts the program and waits until it says where it listens.
fn spawn(root: &Path, flags: &[String], log: &Arc<Mutex<String>>) -> (Child, SocketAddr) {
    listen(&mut Command::new(env!("CARGO_BIN_EXE_registry")), root, flags, log)
}

fn listen(
    program: &mut Command,
    root: &Path,
    flags: &[String],
    log: &Arc<Mutex<String>>,
) -> (Child, SocketAddr) {
    let mut child = program
        .args(["serve", "--listen", "127.0.0.1:0", "--root"])
        .arg(root)
        .args(flags)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the registry starts");
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    let address = loop {
        let start = said.len();
        assert!(lines.read_line(&mut said).unwrap() > 0, "the registry ended: {said}");
        if let Some((_, address)) = said[start..].split_once("listens on http://") {
            break address.trim().parse().expect("an address");
        }
    };
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            log.lock().unwrap().push_str(&line);
            line.clear();
        }
    });
    (child, address)
}
