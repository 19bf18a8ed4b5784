//! The registry and its peers: started on loopback over a folder of their own, and ended.
//!
//! Each is set up for speed as far as its makers allow: no logs, connections that stay open. Nothing of the
//! caller's environment reaches them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::process::{self, Memory};

/// Where programs are.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// How often a server that is starting is asked whether it is there. Each time costs it little.
const POLL: Duration = Duration::from_micros(200);

/// A server that is not there by then will not come.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// Our surplus workers end when they have had nothing to do for 10 s.
const CALM_AFTER: Duration = Duration::from_secs(12);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This registry, as `cargo build --release` makes it.
    Ours,
    /// CNCF distribution.
    Distribution,
    /// nginx, which serves the folder `files` and nothing else.
    Nginx,
}

/// A server that runs until this is dropped.
pub struct Server {
    kind: Kind,
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

/// Are the peers installed?
///
/// # Errors
/// A sentence that says which is missing and where it comes from.
pub fn peers_are_here() -> Result<(), String> {
    for kind in [Kind::Distribution, Kind::Nginx] {
        let name = kind.program();
        if !PATH.split(':').any(|folder| Path::new(folder).join(name).exists()) {
            return Err(format!("{name} is missing, a peer to compare with: apt install {name}"));
        }
    }
    Ok(())
}

impl Kind {
    /// The program, and Debian's package of it.
    pub fn program(self) -> &'static str {
        match self {
            Self::Ours => env!("CARGO_BIN_EXE_registry"),
            Self::Distribution => "docker-registry",
            Self::Nginx => "nginx",
        }
    }

    /// What the program says of itself.
    pub fn version(self) -> String {
        let flag = if self == Self::Nginx { "-v" } else { "--version" };
        let output = command(self).arg(flag).output().expect("the program starts");
        let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    fn command(self, folder: &Path, address: SocketAddr) -> Command {
        let mut command = command(self);
        match self {
            Self::Ours => {
                command.args(["serve", "--log-level", "error", "--listen", &address.to_string(), "--root"]);
                command.arg(folder);
            }
            Self::Distribution => {
                let config = folder.join("config.yml");
                fs::write(&config, distribution_config(folder, address)).expect("a file");
                command.arg("serve").arg(config);
            }
            Self::Nginx => {
                let config = folder.join("nginx.conf");
                fs::write(&config, nginx_config(folder, address)).expect("a file");
                fs::create_dir_all(folder.join("files")).expect("a folder");
                command.args(["-e", "stderr", "-c"]).arg(config).arg("-p").arg(folder);
            }
        }
        command
    }
}

fn command(kind: Kind) -> Command {
    let mut command = Command::new(kind.program());
    command.env_clear().env("PATH", PATH);
    command
}

/// As Debian's package has it (with descriptors cached in memory), without its log.
fn distribution_config(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "version: 0.1\n\
         log: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage:\n  \
           cache: {{blobdescriptor: inmemory}}\n  \
           filesystem: {{rootdirectory: {folder}}}\n  \
           delete: {{enabled: true}}\n  \
           maintenance: {{uploadpurging: {{enabled: false}}}}\n\
         http: {{addr: '{address}'}}\n"
    )
}

fn nginx_config(folder: &Path, address: SocketAddr) -> String {
    // As root it would read the files as somebody else, who may not.
    let root = fs::metadata("/proc/self").is_ok_and(|itself| itself.uid() == 0);
    let user = if root { "user root;" } else { "" };
    let folder = folder.display();
    let unused = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let unused: String = unused.map(|name| format!("{name}_temp_path {folder}/{name};\n")).concat();
    format!(
        "{user}\n\
         daemon off;\n\
         worker_processes 2;\n\
         pid {folder}/nginx.pid;\n\
         events {{ worker_connections 2048; }}\n\
         http {{\n\
         access_log off;\n\
         sendfile on;\n\
         tcp_nopush on;\n\
         keepalive_timeout 600;\n\
         keepalive_requests 1000000000;\n\
         default_type application/octet-stream;\n\
         {unused}\
         server {{ listen {address}; root {folder}/files; }}\n\
         }}\n"
    )
}

impl Server {
    /// Starts a server over a folder, which is made if it is not there, and waits for its first answer.
    pub fn start(kind: Kind, folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let log = File::create(folder.with_extension("log")).expect("a file");
        let mut command = kind.command(folder, address);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("{} does not start: {error}", kind.program()));
        let mut server = Self { kind, child, address, folder: folder.to_owned() };
        server.wait_for_first_answer();
        server
    }

    fn wait_for_first_answer(&mut self) {
        let deadline = Instant::now() + START_PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if Instant::now() > deadline || self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                let log = fs::read_to_string(self.folder.with_extension("log")).unwrap_or_default();
                panic!("{} did not start:\n{log}", self.kind.program());
            }
            thread::sleep(POLL);
        }
        if self.kind != Kind::Nginx {
            self.client().request("GET /v2/", b"", 200);
        }
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::open(self.kind.program(), self.address)
    }

    /// The folder that holds what it serves.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// CPU seconds used so far, also by the processes that it has started.
    pub fn cpu_seconds(&self) -> f64 {
        let first = self.child.id();
        process::children(first).into_iter().chain([first]).map(process::cpu_seconds).sum()
    }

    /// The memory of the process.
    pub fn memory(&self) -> Memory {
        process::memory(self.child.id())
    }

    /// The same when the server has had nothing to do for a while: threads wait for more work before they end.
    pub fn memory_when_calm(&self) -> Memory {
        thread::sleep(CALM_AFTER);
        self.memory()
    }

    /// Frees the memory that a pushed blob takes up on tmpfs. distribution would wait for its garbage
    /// collection.
    pub fn forget(&self, name: &str, digest: &str) {
        match self.kind {
            Kind::Ours => self.client().request(&format!("DELETE /v2/{name}/blobs/{digest}"), b"", 202),
            Kind::Distribution => {
                let (algorithm, hex) = digest.split_once(':').expect("a digest");
                let blobs = self.folder.join("docker/registry/v2/blobs").join(algorithm);
                fs::remove_dir_all(blobs.join(&hex[..2]).join(hex)).expect("the blob is there");
            }
            Kind::Nginx => {}
        }
    }

    /// Ends the registry, and checks with `registry verify` that everything it has stored is sound.
    pub fn end_and_verify(self) {
        let folder = self.folder.clone();
        drop(self);
        verify(&folder);
    }
}

/// Checks a store with `registry verify`.
pub fn verify(root: &Path) {
    let output =
        command(Kind::Ours).args(["verify", "--root"]).arg(root).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let end = said.lines().last().unwrap_or_default();
    assert!(output.status.success() && end.ends_with(": sound"), "registry verify: {said}");
}

impl Drop for Server {
    /// nginx must end its workers itself; the others are simply ended.
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        if self.kind != Kind::Nginx
            || !Command::new("kill").arg(pid).status().is_ok_and(|done| done.success())
        {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
