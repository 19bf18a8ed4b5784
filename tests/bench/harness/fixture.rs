//! A large store, written as files: what a registry leaves behind after years, in seconds.
//!
//! It follows the tree in `src/store.rs`, and shows that the tree is all there is: hard links, symbolic links, and
//! no index to fill. `registry verify` must find it sound.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::content::{OCI_MANIFEST, manifest, sha256};
use super::servers::verify;

/// A repository with so many tags, each with a manifest of its own,
pub const TAGS: usize = 100_000;
/// in this repository,
pub const LARGE: &str = "bench/large";
/// and beside it one with ten.
pub const SMALL: &str = "bench/small";
pub const SMALL_TAGS: usize = 10;

/// So many further repositories, each with the same image: one half side by side, the other in groups.
pub const REPOSITORIES: usize = 10_000;
const GROUP: usize = 100;

/// So many manifests in the large repository have the same subject.
pub const REFERRERS: usize = 1000;

/// The store, and what there is to ask it for.
pub struct Fixture {
    pub root: PathBuf,
    /// The blobs that every manifest refers to, a configuration and a layer.
    pub blobs: Vec<(Vec<u8>, String)>,
    /// What the referrers are about.
    pub subject: String,
    /// Folders that are there.
    made: HashSet<PathBuf>,
}

impl Fixture {
    /// Writes the store below `root`, and has it verified.
    pub fn make(root: &Path) -> Self {
        let blobs = [&b"{}"[..], b"a layer"].map(|bytes| (bytes.to_vec(), sha256(bytes))).to_vec();
        let (root, made, subject) = (root.to_owned(), HashSet::new(), String::new());
        let mut store = Self { root, blobs, subject, made };
        for (bytes, digest) in store.blobs.clone() {
            store.blob(&digest, &bytes);
        }
        for (name, tags) in [(LARGE, TAGS), (SMALL, SMALL_TAGS)] {
            for number in 0..tags {
                let bytes = numbered_manifest(&store.blobs, number);
                store.manifest(name, &tag(number), &bytes);
                store.subject = sha256(&bytes);
            }
        }
        store.subject = sha256(&numbered_manifest(&store.blobs, 0));
        let image = manifest(&store.blobs, "");
        for number in 0..REPOSITORIES {
            store.manifest(&repository(number), "latest", &image);
        }
        for number in 0..REFERRERS {
            store.referrer(number);
        }
        verify(&store.root);
        store
    }

    /// Writes a manifest and a tag for it; and gives its repository the blobs, if it has nothing yet.
    fn manifest(&mut self, name: &str, tag: &str, bytes: &[u8]) {
        let repository = self.root.join("repositories").join(name);
        if !self.made.contains(&repository.join("_tags")) {
            for (_, digest) in self.blobs.clone() {
                self.hold(&repository, "_blobs", &digest);
            }
            self.folder(&repository.join("_tags"));
        }
        let digest = sha256(bytes);
        self.blob(&digest, bytes);
        self.hold(&repository, "_manifests", &digest);
        let target = Path::new("../_manifests").join(path_of(&digest));
        symlink(target, repository.join("_tags").join(tag)).expect("a symbolic link");
    }

    /// Writes a manifest about the subject, without a tag.
    fn referrer(&mut self, number: usize) {
        let (subject, size) = (self.subject.clone(), numbered_manifest(&self.blobs, 0).len());
        let further = format!(
            r#","artifactType":"application/vnd.example.signature","subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":{size}}},"annotations":{{"number":"{number}"}}"#
        );
        let bytes = manifest(&self.blobs, &further);
        let digest = sha256(&bytes);
        self.blob(&digest, &bytes);
        let repository = self.root.join("repositories").join(LARGE);
        self.hold(&repository, "_manifests", &digest);
        let folder = repository.join("_referrers").join(path_of(&subject));
        self.folder(&folder);
        let target = Path::new("../../../_manifests").join(path_of(&digest));
        symlink(target, folder.join(digest.replace(':', "-"))).expect("a symbolic link");
    }

    /// Writes bytes under `blobs/`, if they are not there.
    fn blob(&mut self, digest: &str, bytes: &[u8]) {
        let path = self.root.join("blobs").join(path_of(digest));
        self.folder(path.parent().expect("a folder"));
        if let Ok(mut file) = OpenOptions::new().write(true).create_new(true).mode(0o444).open(path) {
            file.write_all(bytes).expect("room for the blob");
        }
    }

    /// Gives a repository content that is under `blobs/`.
    fn hold(&mut self, repository: &Path, kind: &str, digest: &str) {
        let held = repository.join(kind).join(path_of(digest));
        self.folder(held.parent().expect("a folder"));
        fs::hard_link(self.root.join("blobs").join(path_of(digest)), held).expect("a hard link");
    }

    fn folder(&mut self, path: &Path) {
        if !self.made.contains(path) {
            fs::create_dir_all(path).expect("a folder");
            self.made.insert(path.to_owned());
        }
    }

    /// Takes a manifest and its tag away again, faster than by a request, so that what was pushed to a small
    /// repository does not make it a large one.
    pub fn remove(&self, name: &str, tag: &str, digest: Option<&str>) {
        let repository = self.root.join("repositories").join(name);
        fs::remove_file(repository.join("_tags").join(tag)).expect("the tag is there");
        if let Some(digest) = digest {
            fs::remove_file(repository.join("_manifests").join(path_of(digest)))
                .expect("the manifest is there");
            fs::remove_file(self.root.join("blobs").join(path_of(digest))).expect("its bytes are there");
        }
    }
}

/// The manifest of a tag in the large and the small repository.
pub fn numbered_manifest(blobs: &[(Vec<u8>, String)], number: usize) -> Vec<u8> {
    manifest(blobs, &format!(r#","annotations":{{"number":"{number}"}}"#))
}

/// A tag there.
pub fn tag(number: usize) -> String {
    format!("build-{number:06}")
}

/// The name of one of many repositories.
pub fn repository(number: usize) -> String {
    if number.is_multiple_of(2) {
        format!("app-{number:05}")
    } else {
        format!("team-{:03}/app-{:03}", number / GROUP, number % GROUP)
    }
}

fn path_of(digest: &str) -> String {
    digest.replace(':', "/")
}
