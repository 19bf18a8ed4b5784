//! A disk that is full, read-only or forbidden, for real: the program over a small tmpfs of its own.
//!
//! Uploads and manifests are refused with 507 while there is no room, with 500 while nothing may be written. What
//! is there is served all the while, room can be made by deleting, nothing that was refused leaves anything, and
//! as soon as the cause is gone pushes work again, in the same process.
//!
//! A child in a mount namespace of its own does this, so that nothing stays mounted. It needs root, or a system
//! on which anybody may have a user namespace.

use std::env;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use crate::Plan;
use crate::child::{NOBODY, is_root};
use crate::it::harness::{Connection, Image, OCI_MANIFEST, Registry, eventually, sha256};
use crate::pusher::ask;

/// Makes a process the child: where to mount.
const MOUNT: &str = "CRASH_TEST_MOUNT";

pub fn run(_: Plan) -> String {
    let place = tempfile::tempdir().expect("a temporary folder");
    let mut unshare = Command::new("unshare");
    unshare.args(if is_root() { &["-m"][..] } else { &["-U", "-r", "-m"] });
    unshare.arg(env::current_exe().expect("this program"));
    let output = unshare.env(MOUNT, place.path()).env("TMPDIR", place.path()).output();
    let output = output.expect("unshare, of the package util-linux");
    assert!(
        output.status.success(),
        "this test mounts a small file system, for which it must be root or be allowed user namespaces:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    permission_is_lost_and_comes_back();
    "a disk that fills up, also by an import, a full one, one without room for names, a read-only one, a forbidden one"
        .to_owned()
}

/// Is this process the child? Then it does the tests that mount, and this is its exit code.
pub fn main() -> Option<ExitCode> {
    let place = PathBuf::from(env::var_os(MOUNT)?);
    let mount = |options: &str| {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(&place).status();
        assert!(mount.expect("mount").success(), "mount -o {options}");
    };
    mount("size=4m,mode=700");
    a_disk_that_fills_up_refuses_pushes_before_it_is_full(&place);
    an_archive_that_inflates_without_end_leaves_room(&place);
    a_full_disk_refuses_pushes_and_recovers(&place);
    a_read_only_disk_refuses_pushes_and_recovers(&place);
    mount("nr_inodes=200,mode=700");
    no_room_for_names_refuses_pushes_and_recovers(&place);
    Some(ExitCode::SUCCESS)
}

const LAYER_BYTES: usize = 200_000;

/// What is served while nothing can be pushed.
fn assert_serves(registry: &Registry, image: &Image) {
    registry.get("/v2/hello/manifests/v1").assert(200, &[("Docker-Content-Digest", &image.digest)]);
    let layer = registry.get(&format!("/v2/hello/blobs/{}", image.layer));
    assert_eq!(sha256(&layer.body), image.layer);
    registry.get("/v2/hello/tags/list").assert(200, &[]);
    registry.get("/v2/_catalog").assert(200, &[]);
    registry.get(&format!("/v2/hello/referrers/{}", image.digest)).assert(200, &[]);
}

/// Every way to push is refused, and nothing is left of it.
fn assert_refuses(registry: &Registry, image: &Image, status: u16) {
    let uploads = registry.files("uploads");
    let (blob, manifest) = (vec![1; LAYER_BYTES], other_manifest(image));
    let at_once = format!("/v2/hello/blobs/uploads/?digest={}", sha256(&blob));
    registry.send("POST", &at_once, &[], &blob).assert_error(status, "UNKNOWN");
    registry.send("POST", "/v2/hello/blobs/uploads/", &[], b"").assert_error(status, "UNKNOWN");
    registry.put_manifest("hello", "v2", OCI_MANIFEST, &manifest).assert_error(status, "UNKNOWN");
    assert_eq!(registry.get("/v2/hello/manifests/v2").status, 404);
    assert_eq!(registry.files("uploads"), uploads, "what was refused is left");
    assert!(registry.files("repositories").iter().all(|name| !name.contains(".new")), "a name is left");
}

/// Pushes work, without a restart, and all is well.
fn assert_recovers(registry: &Registry, image: &Image) {
    let second = registry.push_image("hello", "v2", &vec![2; LAYER_BYTES]);
    registry.assert_tagged("hello", "v2", &second.digest, &second.manifest);
    assert_serves(registry, image);
    registry.assert_no_uploads();
    let verify = Command::new(env!("CARGO_BIN_EXE_registry"))
        .args(["verify", "--root"])
        .arg(registry.path(""))
        .output()
        .expect("registry verify");
    let said = String::from_utf8_lossy(&verify.stdout);
    assert!(verify.status.success() && !said.contains("leftover"), "{said}");
}

/// The image once more, as other bytes.
fn other_manifest(image: &Image) -> Vec<u8> {
    [image.manifest.as_slice(), b"\n"].concat()
}

fn a_disk_that_fills_up_refuses_pushes_before_it_is_full(place: &Path) {
    let registry = Registry::start_with(&["--warn-free", "50%", "--refuse-free", "25%"]);
    let image = registry.push_image("hello", "v1", &vec![0; LAYER_BYTES]);
    // Asks, and leaves nothing.
    let begin = || {
        let answer = registry.send("POST", "/v2/hello/blobs/uploads/", &[], b"");
        if let Some(session) = answer.header("Location") {
            registry.send("DELETE", session, &[], b"").assert(204, &[]);
        }
        answer
    };
    let is_warned = || begin().header("Warning").is_some();
    assert!(!is_warned());
    let filler = place.join("filler");
    let fill_to = |percent: usize| fs::write(&filler, vec![0; (4 << 20) * percent / 100]).expect("room");

    a_body_that_would_fill_the_disk_is_refused_and_leaves_nothing(&registry);
    fill_to(60);
    eventually("who pushes is warned", is_warned);
    registry.push_image("hello", "v1", &vec![0; LAYER_BYTES]); // which is no refusal
    assert_eq!(registry.get("/readyz").status, 200);
    fill_to(80);
    eventually("pushes are refused", || begin().status == 507);
    assert!(begin().json()["errors"][0]["message"].as_str().is_some_and(|text| text.contains("nearly full")));
    eventually("and it is not ready", || registry.get("/readyz").status == 503);
    assert_refuses(&registry, &image, 507);
    assert_serves(&registry, &image);
    fs::write(place.join("other"), vec![0; 200_000]).expect("room is left, for deletes and the like");

    fs::remove_file(&filler).and_then(|()| fs::remove_file(place.join("other"))).expect("room");
    assert_eq!(begin().status, 202, "at once");
    eventually("and it is ready", || registry.get("/readyz").status == 200);
    assert_recovers(&registry, &image);
    for event in ["warn the disk is filling up", "warn the disk is nearly full", "info the disk has room"] {
        eventually("the log tells", || registry.log().contains(event));
        assert_eq!(registry.log().matches(event).count(), 1, "{event} in {}", registry.log());
    }
}

/// Of 4 MiB, a quarter is to stay free.
fn a_body_that_would_fill_the_disk_is_refused_and_leaves_nothing(registry: &Registry) {
    let (session, large) = (registry.start_upload("hello"), vec![9; 3_400_000]);
    registry.send("PATCH", &session, &[], &[9; 1000]).assert(202, &[]);
    let before = registry.files("uploads");
    let at_once = format!("/v2/hello/blobs/uploads/?digest={}", sha256(&large));
    let at_the_end = format!("{session}?digest={}", sha256(&[vec![9; 1000], large.clone()].concat()));
    // What is announced is refused before it comes, what is not, when there is no more room.
    for (method, path) in [("POST", &at_once), ("PATCH", &session), ("PUT", &at_the_end)] {
        let mut client = Connection::open(registry.address);
        client.write(
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", large.len())
                .as_bytes(),
        );
        client.read_answer(method).expect("an answer").assert_error(507, "UNKNOWN");
        let chunked = Connection::open(registry.address).send_chunked(method, path, &[], &[&large]);
        chunked.assert_error(507, "UNKNOWN");
        assert_eq!(registry.files("uploads"), before, "{method}: something is left");
        registry.get(&session).assert(204, &[("Range", "0-999")]);
    }
    registry.send("DELETE", &session, &[], b"").assert(204, &[]);
}

/// 64 MiB of zeros as gzip, beside a server that needs room too.
fn an_archive_that_inflates_without_end_leaves_room(place: &Path) {
    let registry = Registry::start();
    let image = registry.push_image("hello", "v1", &vec![0; LAYER_BYTES]);
    let bomb = place.join("bomb.tar.gz");
    let made = Command::new("sh")
        .args(["-c", "head -c 67108864 /dev/zero | gzip --fast > \"$0\""])
        .arg(&bomb)
        .status();
    assert!(made.expect("gzip").success());
    let output = Command::new(env!("CARGO_BIN_EXE_registry"))
        .arg("import")
        .args([&bomb, Path::new("hello")])
        .arg("--root")
        .arg(registry.path(""))
        .envs([("REGISTRY_STORAGE_REFUSE_FREE", "30%"), ("REGISTRY_STORAGE_WARN_FREE", "50%")])
        .output()
        .expect("registry import");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("nearly full: less than 30%"), "{said}");
    fs::remove_file(&bomb).expect("room");
    assert_serves(&registry, &image);
    assert_recovers(&registry, &image);
}

fn a_full_disk_refuses_pushes_and_recovers(place: &Path) {
    let mut registry = Registry::start_with(&["--refuse-free", "0%"]); // really full
    let image = registry.push_image("hello", "v1", &vec![0; LAYER_BYTES]);
    let old = registry.push_image("hello", "old", &vec![3; LAYER_BYTES]);
    let (location, blob) = (registry.start_upload("hello"), vec![4; LAYER_BYTES]);
    fill(place);

    registry.send("PATCH", &location, &[], &blob).assert_error(507, "UNKNOWN");
    registry.get(&location).assert(204, &[("Range", "0-0")]); // it waits for better times, and takes no room
    assert_refuses(&registry, &image, 507);
    assert_serves(&registry, &image);
    assert!(registry.log().contains("No space left"), "{}", registry.log());
    registry.kill_and_restart(); // also a server that starts on a full disk serves
    assert_serves(&registry, &image);

    for path in [format!("manifests/{}", old.digest), format!("blobs/{}", old.layer)] {
        registry.send("DELETE", &format!("/v2/hello/{path}"), &[], b"").assert(202, &[]);
    }
    assert_eq!(registry.link_count(&old.layer), 0);
    assert_recovers_session(&registry, &location, &blob);
    registry.send("DELETE", &format!("/v2/hello/blobs/{}", sha256(&blob)), &[], b"").assert(202, &[]);
    fs::remove_file(place.join("filler")).expect("room");
    assert_recovers(&registry, &image);
}

/// The session is as it was, and goes on.
fn assert_recovers_session(registry: &Registry, location: &str, blob: &[u8]) {
    registry.send("PATCH", location, &[], blob).assert(202, &[]);
    let digest = sha256(blob);
    registry.send("PUT", &format!("{location}?digest={digest}"), &[], b"").assert(201, &[]);
    registry.assert_holds("hello", &digest, blob);
}

fn a_read_only_disk_refuses_pushes_and_recovers(place: &Path) {
    let registry = Registry::start();
    let image = registry.push_image("hello", "v1", &vec![0; LAYER_BYTES]);
    let remount = |how: &str| {
        let mount = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(place).status();
        assert!(mount.expect("mount").success(), "mount -o remount,{how}");
    };
    remount("ro");
    assert_refuses(&registry, &image, 500);
    registry.send("DELETE", "/v2/hello/manifests/v1", &[], b"").assert_error(500, "UNKNOWN");
    assert_serves(&registry, &image);
    assert!(registry.log().contains("Read-only file system"), "{}", registry.log());
    let copy = registry.start_beside_with(&["--read-only"]); // which can start there too
    assert_serves(&copy, &image);
    drop(copy);
    remount("rw");
    assert_recovers(&registry, &image);
}

fn no_room_for_names_refuses_pushes_and_recovers(place: &Path) {
    let registry = Registry::start_with(&["--refuse-free", "0%"]);
    let image = registry.push_image("hello", "v1", &vec![0; LAYER_BYTES]);
    let filler = place.join("names");
    fs::create_dir(&filler).expect("a folder");
    while File::create(filler.join(fs::read_dir(&filler).expect("a folder").count().to_string())).is_ok() {}
    assert_refuses(&registry, &image, 507);
    assert_serves(&registry, &image);
    fs::remove_dir_all(&filler).expect("room");
    assert_recovers(&registry, &image);
}

/// Takes all the room there is.
fn fill(place: &Path) {
    let mut filler = OpenOptions::new().create(true).append(true).open(place.join("filler")).expect("a file");
    let mut size = 1 << 20;
    while size > 0 {
        if filler.write_all(&vec![0; size]).is_err() {
            size /= 2;
        }
    }
}

/// For which the server must not be root's.
fn permission_is_lost_and_comes_back() {
    let place = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).expect("a mode");
    let (program, root) = (place.path().join("registry"), place.path().join("root"));
    fs::copy(env!("CARGO_BIN_EXE_registry"), &program).expect("a program that everybody can run");
    fs::create_dir(&root).expect("a root");
    let mut command = Command::new(&program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--root"]).arg(&root).stderr(Stdio::piped());
    if is_root() {
        chown(&root, Some(NOBODY), Some(NOBODY)).expect("chown");
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut server = Killed(command.spawn().expect("the registry"));
    let mut lines = BufReader::new(server.0.stderr.take().expect("its log")).lines();
    let address = lines.find_map(|line| {
        let line = line.expect("a line");
        line.split_once("listens on http://").map(|(_, address)| address.parse().expect("an address"))
    });
    let address = address.expect("it listens");
    std::thread::spawn(move || lines.count());

    let push = |bytes: &[u8]| {
        let path = format!("/v2/hello/blobs/uploads/?digest={}", sha256(bytes));
        ask(address, "POST", &path, &[], bytes).expect("an answer")
    };
    push(b"before").assert(201, &[]);
    for folder in ["blobs/sha256", "repositories/hello/_blobs/sha256", "uploads"] {
        let folder = root.join(folder);
        fs::set_permissions(&folder, Permissions::from_mode(0o555)).expect("a mode");
        push(b"while").assert_error(500, "UNKNOWN");
        let path = format!("/v2/hello/blobs/{}", sha256(b"before"));
        assert_eq!(ask(address, "GET", &path, &[], b"").expect("an answer").body, b"before");
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("a mode");
        assert_eq!(fs::read_dir(root.join("uploads")).expect("uploads").count(), 0, "{folder:?}");
        assert_eq!(fs::read_dir(root.join("blobs/sha256")).expect("blobs").count(), 1, "{folder:?}");
    }
    push(b"while").assert(201, &[]);
}

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
