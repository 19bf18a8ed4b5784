//! What is typed, set and signalled, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Connection, Registry, bytes, eventually, sha256};

/// The program in a folder of its own, with nothing in its environment but what the test sets.
struct Program {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

/// How it ended and what it said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Dropping it kills it.
struct Process(Child);

/// It serves.
struct Serving {
    process: Process,
    address: SocketAddr,
    stderr: BufReader<ChildStderr>,
}

impl Program {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.environment.push((variable, value.to_owned()));
        self
    }

    fn write(self, file: &str, content: &str) -> Self {
        fs::write(self.folder.path().join(file), content).unwrap();
        self
    }

    fn has(&self, path: &str) -> bool {
        self.folder.path().join(path).exists()
    }

    fn spawn(&self, line: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_registry"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// Runs it to its end.
    fn run(&self, line: &str) -> Ended {
        let mut process = Process(self.spawn(line));
        eventually(&format!("`registry {line}` ends"), || process.0.try_wait().unwrap().is_some());
        let (mut stdout, mut stderr) = (String::new(), String::new());
        process.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        process.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Ended { code: process.0.wait().unwrap().code(), stdout, stderr }
    }

    /// Runs it until it says where it listens.
    fn serve(&self, line: &str) -> Serving {
        let mut process = Process(self.spawn(line));
        let mut stderr = BufReader::new(process.0.stderr.take().unwrap());
        let mut said = String::new();
        loop {
            let start = said.len();
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended: {said}");
            if let Some((_, address)) = said[start..].split_once("listens on http://") {
                return Serving { process, address: address.trim().parse().unwrap(), stderr };
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ended {
    /// It did nothing, said why in a line that contains `message`, and where help is.
    #[track_caller]
    fn assert_not_understood(&self, message: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert!(
            matches!(lines[..], [why, help] if why.contains(message) && help.starts_with("See registry ")),
            "{self:?}"
        );
        assert!(lines[0].starts_with("registry: "), "{self:?}");
    }

    /// It could not do it, and said why in one line.
    #[track_caller]
    fn assert_failed(&self, message: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert!(self.stderr.starts_with("registry: ") && self.stderr.contains(message), "{self:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output_and_do_nothing() {
    let program = Program::new();
    for line in ["--help", "-h", "help", "help serve", "serve --help", "serve --root x -h"] {
        let ended = program.run(line);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line}");
        for part in
            ["Usage: registry", "--listen ADDR:PORT", "--root DIR", "REGISTRY_STORAGE_PATH", "[testdata]"]
        {
            assert!(ended.stdout.contains(part), "{line}: no {part} in {}", ended.stdout);
        }
    }
    for line in ["--version", "-V"] {
        let ended = program.run(line);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert_eq!(ended.stdout, concat!("registry ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    assert_eq!(fs::read_dir(program.folder.path()).unwrap().count(), 0);
}

#[test]
fn what_is_not_understood_is_named_and_nothing_is_done() {
    let program = Program::new();
    for (line, message) in [
        ("frobnicate", "\"frobnicate\" is not a command"),
        ("serv", "did you mean serve?"),
        ("--prot 80", "--prot is not a flag (did you mean --port?)"),
        ("serve --frobnicate", "--frobnicate is not a flag"),
        ("serve testdata", "what is \"testdata\"?"),
        ("--root", "--root needs a value"),
        ("--port 65536", "--port: \"65536\" is not a port"),
        ("--listen nowhere:80", "--listen: \"nowhere:80\" is not an address"),
        ("--log-level loud", "--log-level: \"loud\" is not a level"),
        ("--idle-timeout 5x", "--idle-timeout: \"5x\" is not a time"),
        ("--config missing.json", "missing.json"),
    ] {
        program.run(line).assert_not_understood(message);
    }
    assert_eq!(fs::read_dir(program.folder.path()).unwrap().count(), 0);
}

#[test]
fn a_setting_that_is_none_is_named_with_its_place() {
    let variable = |name, value: &str| Program::new().with(name, value).run("");
    variable("REGISTRY_SERVER_PROT", "80")
        .assert_not_understood("REGISTRY_SERVER_PROT is not a setting (did you mean REGISTRY_SERVER_PORT?)");
    variable("REGISTRY_SERVER_PORT", "http")
        .assert_not_understood("REGISTRY_SERVER_PORT: \"http\" is not a port");
    variable("REGISTRY_CONFIG", "nowhere.json")
        .assert_not_understood("named by REGISTRY_CONFIG cannot be read");

    let file = |content: &str| Program::new().write("registry.json", content).run("--config registry.json");
    file(r#"{"server": {"prot": 80}}"#).assert_not_understood("registry.json: server.prot is not a setting");
    file(r#"{"sever": {}}"#).assert_not_understood("registry.json: sever is not a section");
    file(r#"{"server": {"port": "x"}}"#)
        .assert_not_understood("registry.json: server.port: \"x\" is not a port");
    file("port = 80").assert_not_understood("registry.json: not JSON");
}

#[test]
fn without_arguments_it_serves_testdata_where_it_stands() {
    let program = Program::new().with("REGISTRY_SERVER_PORT", "0").with("REGISTRY_PORT", "tcp://10.0.0.1:80");
    let mut serving = program.serve("");
    assert!(serving.address.ip().is_loopback());
    Connection::open(serving.address).send("GET", "/v2/", &[], b"").assert(200, &[]);
    for folder in ["blobs/sha256", "blobs/sha512", "repositories", "uploads"] {
        assert!(program.has(&format!("testdata/{folder}")), "{folder}");
    }
    // What it says is for a person who has just started it.
    serving.process.0.kill().unwrap();
    let mut said = String::new();
    serving.stderr.read_to_string(&mut said).unwrap();
    let root = program.folder.path().canonicalize().unwrap().join("testdata");
    assert!(said.contains(&format!("its files lie in {}\n", root.display())), "{said}");
    assert!(said.contains("docker push "), "{said}");
    assert!(said.contains(&format!(":{}/", serving.address.port())), "{said}");
    let hosts = "127.0.0.1 container-registry\n";
    assert!(
        said.contains("docker push container-registry:")
            || said.contains(hosts) && said.contains("docker push localhost:"),
        "{said}"
    );
}

#[test]
fn flags_override_the_environment_which_overrides_the_file_which_overrides_the_defaults() {
    let root_of = |program: &Program, line: &str| {
        let serving = program.serve(line);
        Connection::open(serving.address).send("GET", "/v2/", &[], b"").assert(200, &[]);
        drop(serving);
        let roots = ["testdata", "by-file", "by-variable", "by-flag"];
        let made: Vec<&str> = roots.into_iter().filter(|root| program.has(root)).collect();
        assert_eq!(made.len(), 1, "{made:?}");
        made[0]
    };
    let file = |root: &str| format!(r#"{{"server": {{"port": 0}}, "storage": {{"path": "{root}"}}}}"#);
    let program = || Program::new().write("registry.json", &file("by-file"));

    assert_eq!(root_of(&Program::new(), "serve --port 0"), "testdata");
    assert_eq!(root_of(&program(), "--config registry.json"), "by-file");
    assert_eq!(root_of(&program().with("REGISTRY_CONFIG", "registry.json"), ""), "by-file");
    let variable = program().with("REGISTRY_STORAGE_PATH", "by-variable");
    assert_eq!(root_of(&variable, "--config registry.json"), "by-variable");
    let variable = program().with("REGISTRY_STORAGE_PATH", "by-variable");
    assert_eq!(root_of(&variable, "serve --config registry.json --root by-flag"), "by-flag");
    let other = program().write("other.json", &file("testdata")).with("REGISTRY_CONFIG", "other.json");
    assert_eq!(root_of(&other, "--config=registry.json"), "by-file");
}

// ---- what cannot be done

#[test]
fn a_port_in_use_is_one_line_and_exit_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = Program::new().run(&format!("--listen {address}"));
    ended.assert_failed(&format!("cannot listen on {address}: another program does already"));
}

#[test]
fn an_address_that_is_not_ours_is_one_line_and_exit_1() {
    let ended = Program::new().run("--listen 240.0.0.1:0"); // of the reserved class E, nobody's
    ended.assert_failed("cannot listen on 240.0.0.1:0: ");
}

#[test]
fn a_root_that_cannot_be_used_is_one_line_and_exit_1() {
    let program = Program::new().write("file", "not a folder");
    program.run("--port 0 --root file").assert_failed("cannot use file as root: ");
    program.run("--port 0 --root file/below").assert_failed("cannot use file/below as root: ");
    program.run("--port 0 --root /proc/registry").assert_failed("cannot use /proc/registry as root: ");
    assert_eq!(fs::read(program.folder.path().join("file")).unwrap(), b"not a folder");

    // The folder is there, but something that is needed in it is in the way.
    for needed in ["blobs", "repositories", "uploads"] {
        let program = Program::new();
        fs::create_dir(program.folder.path().join("root")).unwrap();
        let program = program.write(&format!("root/{needed}"), "");
        program.run("--port 0 --root root").assert_failed("cannot use root as root: ");
    }
}

#[test]
fn a_root_that_is_there_is_taken_as_it_is() {
    let mut registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    registry.signal("TERM");
    assert!(registry.child().wait().unwrap().success());
    let before = registry.snapshot();
    let beside = registry.start_beside();
    assert_eq!(registry.snapshot(), before, "starting changes nothing");
    beside.assert_tagged("a", "v1", &image.digest, &image.manifest);
}

#[test]
fn a_restart_finds_its_port_free() {
    let program = Program::new();
    let serving = program.serve("--listen 127.0.0.2:0"); // where no other test takes the port meanwhile
    let mut client = Connection::open(serving.address);
    client.send("GET", "/v2/", &[], b"").assert(200, &[]);
    let address = serving.address;
    drop(serving); // with a connection open, which lingers
    let again = program.serve(&format!("--listen {address}"));
    assert_eq!(again.address, address);
    Connection::open(address).send("GET", "/v2/", &[], b"").assert(200, &[]);
}

// ---- signals

/// A closing PUT, half of which has arrived.
fn begin_upload(registry: &Registry, blob: &[u8]) -> Connection {
    let target = format!("{}?digest={}", registry.start_upload("a"), sha256(blob));
    registry.begin("PUT", &target, blob.len(), &blob[..blob.len() / 2])
}

#[test]
fn a_signal_ends_an_idle_server_with_exit_0() {
    for signal in ["TERM", "INT"] {
        // An address of its own: on 127.0.0.1 another test might take the port meanwhile.
        let mut registry = Registry::start_with(&["--address", "127.0.0.3"]);
        registry.assert_alive();
        let _idle = Connection::open(registry.address);
        registry.signal(signal);
        let status = registry.child().wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{signal}");
        eventually("it says so", || registry.log().contains("stopped"));
        assert!(std::net::TcpStream::connect(registry.address).is_err());
    }
}

#[test]
fn a_request_in_flight_is_finished_before_the_end() {
    for signal in ["TERM", "INT"] {
        let mut registry = Registry::start();
        let blob = bytes(1, 300_000);
        let mut client = begin_upload(&registry, &blob);
        registry.signal(signal);
        eventually("it heard the signal", || registry.log().contains("stopping"));
        assert!(registry.child().try_wait().unwrap().is_none());
        client.write(&blob[150_000..]);
        client.read_answer("PUT").expect("an answer").assert(201, &[("Connection", "close")]);
        assert_eq!(registry.child().wait().unwrap().code(), Some(0), "{signal}");
        registry.start_beside().assert_holds("a", &sha256(&blob), &blob);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut registry = Registry::start();
    let blob = bytes(2, 300_000);
    let client = begin_upload(&registry, &blob);
    registry.signal("TERM");
    eventually("it heard the signal", || registry.log().contains("stopping"));
    let second = Instant::now();
    registry.signal("TERM");
    let status = registry.child().wait().unwrap();
    assert!(second.elapsed() < Duration::from_secs(8), "{:?}", second.elapsed());
    assert_eq!((status.code(), status.signal()), (Some(1), None), "ended, but not all was done");
    drop(client);

    // What had arrived is there, and the session can be taken up again.
    let beside = registry.start_beside();
    let id = beside.files("uploads")[0].split('/').next().unwrap().to_owned();
    let location = format!("/v2/a/blobs/uploads/{id}");
    beside.get(&location).assert(204, &[("Range", "0-149999")]);
    let close = format!("{location}?digest={}", sha256(&blob));
    beside.send("PUT", &close, &[], &blob[150_000..]).assert(201, &[]);
    beside.assert_holds("a", &sha256(&blob), &blob);
}

/// `registry … >/dev/full`, `registry … | true`: it is done, whether somebody can read of it or not.
#[test]
fn what_is_done_is_done_though_nobody_can_read_of_it() {
    let registry = Registry::start();
    registry.push_image("app", "v1", b"one");
    registry.push_image("app", "v1", b"two");
    let folder = tempfile::tempdir().unwrap();
    let root = registry.path("").display().to_string();
    let layout = folder.path().join("layout").display().to_string();
    for line in [
        "--help",
        "import --help",
        "--version",
        &format!("export app {layout} --root {root}"),
        &format!("import {layout} copy --root {root}"),
        &format!("history app --root {root}"),
        &format!("set-back app:v1 --root {root}"),
        &format!("verify --root {root}"),
        &format!("verify --repair --root {root}"),
        &format!("gc --dry-run --root {root}"),
        &format!("gc --root {root}"),
        &format!("du --root {root}"),
    ] {
        let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let closed = std::io::pipe().unwrap().1; // nobody reads from its other end
        for stdout in [Stdio::from(full()), Stdio::from(closed)] {
            let mut program = Command::new(env!("CARGO_BIN_EXE_registry"));
            let output = program.args(line.split_whitespace()).stdout(stdout).stderr(Stdio::piped()).output();
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), &*said), (Some(0), ""), "{line}");
        }
        // Nor why not.
        let status = Command::new(env!("CARGO_BIN_EXE_registry")).arg("no-command").stderr(full()).status();
        assert_eq!(status.unwrap().code(), Some(2));
    }
}
