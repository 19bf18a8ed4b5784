//! `registry import` and `registry export`: images come from files and go into files.
//!
//! - here: good layouts come in as if they had been pushed
//! - [`archives`]: the same in one file; [`saved`]: what `docker save` writes
//! - [`choice`]: which of a layout is meant
//! - [`platform`]: images for several platforms
//! - [`bad`]: what is wrong is named, and nothing of it comes in
//! - [`taken_back`]: an import that fails leaves what others have begun to use
//! - [`export`]: images go out, and come in again as they were
//! - [`target`]: where they may go
//! - [`interrupted`]: signals on the way
//! - [`made`], [`packed`]: layouts and archives made by hand

#[cfg(feature = "archives")]
mod archives;
mod bad;
mod choice;
mod export;
mod interrupted;
mod made;
#[cfg(feature = "archives")]
mod packed;
mod platform;
#[cfg(feature = "archives")]
mod saved;
mod taken_back;
mod target;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{OCI_MANIFEST, Registry, bytes, sha256};
use made::{CONFIG, LAYER, Made, digest};

/// Runs the program over a registry's root.
fn run(registry: &Registry, command: &str, arguments: &[&str]) -> Output {
    run_over(&registry.path(""), command, arguments)
}

fn run_over(root: &Path, command: &str, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry"));
    program.arg(command).args(arguments).arg("--root").arg(root).output().expect("the program")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Imports, and returns what was said.
#[track_caller]
fn import(registry: &Registry, layout: &Path, target: &str, flags: &[&str]) -> String {
    succeeded(run(registry, "import", &[&[text(layout), target], flags].concat()))
}

#[track_caller]
fn succeeded(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// It is refused in one line that contains this, and the registry is as it was.
#[track_caller]
fn refused(registry: &Registry, layout: &Path, target: &str, flags: &[&str], expect: &str) {
    let before = registry.snapshot();
    let output = run(registry, "import", &[&[text(layout), target], flags].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
    assert!(said.starts_with("registry: nothing was imported: ") && said.contains(expect), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(text(layout)), "the layout is named: {said}");
    assert_eq!(registry.snapshot(), before, "{said}");
}

/// The tags of a repository with the digests of what they are, as the server says.
fn tags(registry: &Registry, name: &str) -> Vec<(String, String)> {
    let list = registry.get(&format!("/v2/{name}/tags/list")).json();
    let tag = |tag: &Value| {
        let tag = tag.as_str().unwrap();
        let answer = registry.get(&format!("/v2/{name}/manifests/{tag}"));
        (tag.to_owned(), answer.header("Docker-Content-Digest").unwrap().to_owned())
    };
    list["tags"].as_array().into_iter().flatten().map(tag).collect()
}

#[track_caller]
fn assert_tags(registry: &Registry, name: &str, expect: &[(&str, &Value)]) {
    let expect: Vec<_> =
        expect.iter().map(|(tag, image)| ((*tag).to_owned(), digest(image).to_owned())).collect();
    assert_eq!(tags(registry, name), expect);
}

#[track_caller]
fn assert_sound(registry: &Registry) {
    let said = succeeded(run(registry, "verify", &[]));
    assert!(said.ends_with(": sound\n"), "{said}");
}

#[test]
fn an_import_leaves_what_a_push_leaves() {
    let (made, image) = Made::with_image();
    let (imported, pushed) = (Registry::start(), Registry::start());
    let said = import(&imported, &made.path(""), "team/app", &[]);
    assert_eq!(
        said,
        format!(
            "team/app:v1 is {}\nimported 1 manifests, 1 tags, 2 blobs: 2 copied with 3037 bytes, 0 linked from \
             other repositories, 0 there already\n",
            digest(&image)
        )
    );
    let same = pushed.push_image("team/app", "v1", &bytes(1, 3000));
    // The same blobs; the members of the manifest are in another order.
    assert!(imported.get(&format!("/v2/team/app/blobs/{}", same.layer)).body == bytes(1, 3000));
    let manifest = fs::read(made.file_of(&image)).unwrap();
    assert_eq!(pushed.put_manifest("team/app", "v1", OCI_MANIFEST, &manifest).status, 201);
    assert_eq!(
        pushed.send("DELETE", &format!("/v2/team/app/manifests/{}", same.digest), &[], b"").status,
        202
    );
    let history = succeeded(run(&imported, "history", &["team/app:v1"]));
    assert!(history.contains(digest(&image)) && history.lines().count() == 1, "{history}");
    let files = |registry: &Registry| {
        let mut files = registry.snapshot();
        files.retain(|path, _| !path.contains("/_history/")); // there are times in it
        files
    };
    assert_eq!(files(&imported), files(&pushed));
    imported.assert_tagged("team/app", "v1", digest(&image), &manifest);
    assert_sound(&imported);
}

#[test]
fn what_is_there_already_moves_no_byte() {
    let (made, _) = Made::with_image();
    let registry = Registry::start();
    import(&registry, &made.path(""), "one", &[]);
    let before = registry.snapshot();
    let said = import(&registry, &made.path(""), "one", &[]);
    assert!(
        said.contains("2 blobs: 0 copied with 0 bytes, 0 linked from other repositories, 2 there"),
        "{said}"
    );
    assert_eq!(registry.snapshot(), before);
    let said = import(&registry, &made.path(""), "two", &[]);
    assert!(said.contains("0 copied with 0 bytes, 2 linked from other repositories, 0 there"), "{said}");
    assert_sound(&registry);
}

#[test]
fn an_import_makes_a_registry_where_there_is_none() {
    let (made, image) = Made::with_image();
    let root = made.beside("new/root");
    succeeded(run_over(&root, "import", &[text(&made.path("")), "app"]));
    let tag = root.join("repositories/app/_tags/v1");
    assert_eq!(sha256(&fs::read(tag).unwrap()), digest(&image));
}

#[test]
fn an_import_of_nothing_makes_no_registry() {
    let made = Made::new();
    fs::write(made.beside("no.tar"), [7; 4096]).unwrap();
    for layout in ["nosuch", "no.tar", "layout"] {
        let output = run_over(&made.beside("root"), "import", &[text(&made.beside(layout)), "app"]);
        assert_eq!(output.status.code(), Some(1), "{layout}");
        assert!(!made.beside("root").exists(), "{layout}");
    }
}

#[test]
fn all_of_a_layout_comes_with_the_tags_it_has_there() {
    let (mut made, one) = Made::with_image();
    let [two, three, four, five] = [2, 3, 4, 5].map(|seed| made.image(&bytes(seed, 100)));
    made.list(&one, Some("latest"));
    made.list(&two, Some("docker.io/library/app:v2"));
    made.list_with(&three, json!({"io.containerd.image.name": "localhost:5000/app:v3"}));
    let both = json!({"io.containerd.image.name": "x/y:z", "org.opencontainers.image.ref.name": "v4"});
    made.list_with(&four, both);
    made.list(&five, Some("library/app"));
    let registry = Registry::start();
    let output = run(&registry, "import", &[text(&made.path("")), "team/app"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let noted = format!(
        "registry: {} gets no tag by its name \"library/app\" in the layout: there is none in it\n",
        digest(&five)
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), noted);
    assert_tags(
        &registry,
        "team/app",
        &[("latest", &one), ("v1", &one), ("v2", &two), ("v3", &three), ("v4", &four)],
    );
    assert!(said.contains(&format!("team/app@{}\n", digest(&five))), "{said}");
    assert_eq!(registry.get(&format!("/v2/team/app/manifests/{}", digest(&five))).status, 200);
    assert_sound(&registry);
}

#[test]
fn an_index_comes_with_all_below_it() {
    let mut made = Made::new();
    let (one, two) = (made.image(b"one"), made.image(b"two"));
    let inner = made.index_of(&[one.clone(), two.clone()]);
    // buildkit's cache: an index of layers.
    let cache = made.index_of(&[made.part(LAYER, b"cached")]);
    let outer = made.index_of(&[inner.clone(), cache, one.clone()]);
    made.list(&outer, Some("v1"));
    let registry = Registry::start();
    let said = import(&registry, &made.path(""), "app", &[]);
    assert!(said.contains("imported 5 manifests, 1 tags, 4 blobs"), "{said}");
    for manifest in [&one, &two, &inner, &outer] {
        assert_eq!(registry.get(&format!("/v2/app/manifests/{}", digest(manifest))).status, 200);
    }
    assert_tags(&registry, "app", &[("v1", &outer)]);
    assert_sound(&registry);
}

#[test]
fn a_thousand_levels_of_indexes_come_in() {
    let mut made = Made::new();
    let mut top = made.image(b"layer");
    for _ in 0..1000 {
        top = made.index_of(&[top]);
    }
    made.list(&top, Some("v1"));
    let registry = Registry::start();
    import(&registry, &made.path(""), "app", &[]);
    assert_tags(&registry, "app", &[("v1", &top)]);
}

#[test]
fn what_refers_to_an_image_is_listed_as_its_referrer() {
    let (mut made, image) = Made::with_image();
    let signature = made.signature_of(&image);
    let of_signature = made.signature_of(&signature);
    let other = made.image(b"other");
    let of_other = made.signature_of(&other);
    for listed in [&of_signature, &signature, &other, &of_other] {
        made.list(listed, None);
    }
    let registry = Registry::start();
    let referrers = |name: &str, of: &Value| {
        let list = registry.get(&format!("/v2/{name}/referrers/{}", digest(of))).json();
        let digests = list["manifests"].as_array().unwrap().iter().map(|entry| digest(entry).to_owned());
        digests.collect::<Vec<_>>()
    };
    import(&registry, &made.path(""), "all", &[]);
    import(&registry, &made.path(""), "one:v1", &[]);
    import(&registry, &made.path(""), "signed:v1", &["--referrers"]);
    for (name, expect) in [("all", true), ("one", false), ("signed", true)] {
        assert_eq!(referrers(name, &image), if expect { vec![digest(&signature)] } else { vec![] }, "{name}");
        assert_eq!(referrers(name, &signature), if expect { vec![digest(&of_signature)] } else { vec![] });
    }
    assert_eq!(referrers("all", &other), [digest(&of_other)]);
    assert_eq!(registry.get(&format!("/v2/signed/manifests/{}", digest(&of_other))).status, 404);
    assert_sound(&registry);
}

#[test]
fn layers_that_clients_fetch_elsewhere_may_be_absent_and_may_be_there() {
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let mut made = Made::new();
    let (there, absent) = (made.part(foreign, b"there"), made.part(foreign, b"absent"));
    fs::remove_file(made.file_of(&absent)).unwrap();
    let image = made.image_of(&[there.clone(), absent], json!({}));
    made.list(&image, Some("v1"));
    let registry = Registry::start();
    import(&registry, &made.path(""), "app", &[]);
    registry.assert_holds("app", digest(&there), b"there");
}

/// image-layout.md: "application/xml" in `index.json` must be no error.
#[test]
fn what_is_listed_and_no_manifest_is_left_out_and_said() {
    let (mut made, image) = Made::with_image();
    let xml = made.part("application/xml", b"<xml/>");
    made.list(&xml, Some("v2"));
    let registry = Registry::start();
    let said = import(&registry, &made.path(""), "app", &[]);
    assert!(
        said.contains(&format!("left out: {}, which is no manifest but application/xml\n", digest(&xml))),
        "{said}"
    );
    assert_tags(&registry, "app", &[("v1", &image)]);
    // It is of no use here either.
    assert_eq!(registry.link_count(digest(&xml)), 0);
}

#[test]
fn build_tools_make_layouts_of_symbolic_links() {
    let (made, image) = Made::with_image();
    let file = made.file_of(&image);
    fs::rename(&file, made.beside("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../../../elsewhere", &file).unwrap();
    let registry = Registry::start();
    import(&registry, &made.path(""), "app", &[]);
    assert_tags(&registry, "app", &[("v1", &image)]);
    let blob = fs::symlink_metadata(registry.blob_path(digest(&image))).unwrap();
    assert!(blob.is_file(), "it was copied");
}

#[cfg(not(feature = "archives"))]
#[test]
fn a_program_without_archives_says_so() {
    let (made, image) = Made::with_image();
    let registry = Registry::start();
    import(&registry, &made.path(""), "app", &[]);
    assert_tags(&registry, "app", &[("v1", &image)]);
    let why =
        "is no folder, and this program was built without archives (cargo's feature \"archives\"); unpack it";
    refused(&registry, &made.tar(), "app", &[], why);
    let out = made.beside("out.tar");
    let output = run(&registry, "export", &["app", text(&out)]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && said.contains("export to a folder, and pack that with tar"),
        "{said}"
    );
    assert!(!out.exists());
}

/// Root may do everything, and leave files with which the server, another user, can do nothing.
#[test]
fn an_import_as_another_user_than_the_servers_is_refused() {
    let (made, _) = Made::with_image();
    let registry = Registry::start();
    let (nobody, folder) = (Some(65534), registry.path("repositories"));
    if std::os::unix::fs::chown(&folder, nobody, nobody).is_ok() {
        let why =
            "belong to the user with the number 65534, and what `registry import` makes would belong to 0";
        refused(&registry, &made.path(""), "app", &[], why);
        std::os::unix::fs::chown(&folder, Some(0), Some(0)).unwrap();
        // Where nothing was pushed yet, it goes by whose the folder is; and nothing is made in it.
        let root = made.beside("root");
        fs::create_dir(&root).unwrap();
        std::os::unix::fs::chown(&root, nobody, nobody).unwrap();
        let output = run_over(&root, "import", &[text(&made.path("")), "app"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(why), "{said}");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }
    import(&registry, &made.path(""), "app", &[]);
}

/// Somebody deletes as fast as it comes, through a server. Either all came, or it was refused; never half.
#[test]
fn an_import_beside_a_server_that_deletes_ends_well() {
    let (made, image) = Made::with_image();
    let registry = Registry::start();
    let config = made.part(CONFIG, br#"{"architecture":"amd64","os":"linux"}"#);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                registry.send("DELETE", &format!("/v2/app/blobs/{}", digest(&config)), &[], b"");
                registry.send("DELETE", &format!("/v2/app/manifests/{}", digest(&image)), &[], b"");
            }
        });
        let mut came = 0;
        for _ in 0..20 {
            let output = run(&registry, "import", &[text(&made.path("")), "app"]);
            came += usize::from(output.status.success());
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(
                output.status.success() || said.contains("somebody deletes it as fast as it comes"),
                "{said}"
            );
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        println!("{came} of 20 came in");
    });
    import(&registry, &made.path(""), "app", &[]);
    assert_tags(&registry, "app", &[("v1", &image)]);
    assert_sound(&registry);
}
