//! What is done to a store in these tests, and what each thing done may show if it is broken off.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use container_registry::digest::Algorithm;
use container_registry::error::Error;
use container_registry::layout::import::{Import, import};
use container_registry::layout::{self, Failure};
use container_registry::manifest::MANIFEST_BYTES_MAX;
use container_registry::name::RepositoryName;
use container_registry::percent::Percent;
use container_registry::reference::Tag;
use container_registry::store::Store;
use container_registry::store::manifests::{Condition, NewManifest};
use container_registry::verify::repair;

use serde_json::json;

use crate::content::{OCI_MANIFEST, Pieces, name_of, thing};
use crate::shown::{Session, Shown, sessions};
use crate::swept::{age, states_of_sweep, swept};

/// One thing that a client asks for. `a` and `b` are repositories; the others are names of content or tags.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// A store is made, or opened.
    Open,
    /// POST, PATCH with a half, PUT with the rest.
    Push(&'static str, &'static str),
    /// POST with everything.
    PushAtOnce(&'static str, &'static str),
    /// POST, PATCH with a half, and no more.
    Begin(&'static str, &'static str),
    /// PATCH with the rest for a session that is there, then PUT.
    Finish(&'static str, &'static str),
    /// PATCH with something else for a session that is there.
    Disturb(&'static str, &'static str),
    /// DELETE of a session that is there.
    Cancel(&'static str, &'static str),
    /// POST that mounts, into the first from the second.
    Mount(&'static str, &'static str, &'static str),
    /// PUT of a manifest with tags.
    Manifest(&'static str, &'static str, &'static [&'static str]),
    /// `registry import` of a layout that holds a manifest with these tags.
    Import(&'static str, &'static str, &'static [&'static str]),
    DeleteTag(&'static str, &'static str),
    DeleteManifest(&'static str, &'static str),
    DeleteBlob(&'static str, &'static str),
    /// Nobody asks for this: a bit of a thing changes on the disk. It only comes before something.
    Rot(&'static str),
    /// `registry verify --repair`. It only comes before something; how it is broken off is [`crate::repair`]'s affair.
    Repair,
    /// GET of a blob.
    Ask(&'static str, &'static str),
    /// Two hours pass for a blob or manifest.
    Age(&'static str),
    /// A sweep without a grace, of sessions too.
    Sweep,
    /// The same, and of manifests.
    SweepUntagged,
}

impl Act {
    /// Does it, by the calls that the API makes.
    pub fn run(self, store: &Store) -> Result<(), Error> {
        match self {
            Self::Open => Ok(()), // whoever runs this has a store
            Self::Push(name, blob) => push(store, &repository(name), blob),
            Self::PushAtOnce(name, blob) => push_at_once(store, &repository(name), blob),
            Self::Begin(name, blob) => begin(store, &repository(name), blob),
            Self::Finish(name, blob) => finish(store, &repository(name), blob),
            Self::Disturb(name, blob) => {
                let session = session_for(store, blob)?;
                let mut upload = store.open_upload(&repository(name), &session.id)?;
                upload.append(&mut Pieces(b"no part of any blob"))?;
                upload.save()
            }
            Self::Cancel(name, blob) => match session_for(store, blob) {
                Ok(session) => store.open_upload(&repository(name), &session.id)?.cancel(),
                Err(_) => Ok(()), // done before
            },
            Self::Mount(to, blob, from) => {
                let digest = &thing(blob).digest;
                match store.mount_blob(&repository(to), digest, Some(&repository(from)))? {
                    true => Ok(()),
                    false => Err(Error::BlobUnknown(digest.clone())),
                }
            }
            Self::Manifest(name, manifest, tags) => put_manifest(store, &repository(name), manifest, tags),
            Self::Import(name, manifest, tags) => import_layout(store, &repository(name), manifest, tags),
            Self::DeleteTag(name, tag) => store.delete_tag(&repository(name), &Tag::parse(tag)?),
            Self::DeleteManifest(name, manifest) => {
                store.delete_manifest(&repository(name), &thing(manifest).digest)
            }
            Self::DeleteBlob(name, blob) => store.delete_blob(&repository(name), &thing(blob).digest),
            Self::Rot(thing) => {
                rot(store, thing);
                Ok(())
            }
            Self::Repair => repair(store, MANIFEST_BYTES_MAX, &mut |_| {}),
            Self::Ask(name, blob) => store.open_blob(&repository(name), &thing(blob).digest).map(drop),
            Self::Age(content) => {
                age(store, content);
                Ok(())
            }
            Self::Sweep => swept(store, false),
            Self::SweepUntagged => swept(store, true),
        }
    }

    /// Does it once more after it was broken off. What is to be deleted may be gone by then, and so may the
    /// session: then its client starts again.
    pub fn retry(self, store: &Store) -> Result<(), Error> {
        match (self, self.run(store)) {
            (Self::DeleteTag(..) | Self::DeleteManifest(..), Err(Error::ManifestUnknown { .. })) => Ok(()),
            (Self::DeleteBlob(..), Err(Error::BlobUnknown(_))) => Ok(()),
            (Self::Finish(name, blob), Err(Error::UploadUnknown(_))) => push(store, &repository(name), blob),
            (_, result) => result,
        }
    }

    /// Does it where another process was at work. It may be refused, because what it needs is not there: then
    /// nothing is promised. Says whether it was done.
    pub fn attempt(self, store: &Store) -> Result<bool, Error> {
        match self.run(store) {
            Err(Error::BlobUnknown(_) | Error::ManifestBlobUnknown(_)) => Ok(false),
            Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => Ok(false),
            Err(Error::UploadUnknown(_)) => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// The states that it leads through, the present one first: what is shown after it was broken off is one
    /// of these. Each step of them changes one name; a manifest is listed as a referrer as soon as it is there.
    pub fn states(self, from: &Shown) -> Vec<Shown> {
        let mut states = vec![from.clone()];
        let mut then = |change: &dyn Fn(&mut Shown)| {
            let mut next = states.last().expect("the present state").clone();
            change(&mut next);
            states.push(next);
        };
        match self {
            Self::Open | Self::Begin(..) | Self::Disturb(..) | Self::Cancel(..) | Self::Rot(..) => {}
            Self::Repair | Self::Ask(..) | Self::Age(_) => {}
            Self::Sweep => return states_of_sweep(false, from),
            Self::SweepUntagged => return states_of_sweep(true, from),
            Self::Push(name, blob)
            | Self::PushAtOnce(name, blob)
            | Self::Finish(name, blob)
            | Self::Mount(name, blob, _) => then(&|shown| set(shown, format!("{name} blob {blob}"), "held")),
            Self::Manifest(name, manifest, tags) => {
                then(&|shown| {
                    set(shown, format!("{name} manifest {manifest}"), "held");
                    shown.remove(&format!("{name} entry {manifest}"));
                    if let Some(subject) = subject_of(manifest) {
                        set(shown, format!("{name} referrer {subject} {manifest}"), "listed");
                    }
                });
                for tag in tags {
                    then(&|shown| set(shown, format!("{name} tag {tag}"), manifest));
                }
            }
            Self::Import(name, manifest, tags) => {
                for blob in blobs_of(manifest) {
                    then(&|shown| set(shown, format!("{name} blob {blob}"), "held"));
                }
                let put = Self::Manifest(name, manifest, tags).states(states.last().expect("a state"));
                states.extend(put.into_iter().skip(1));
            }
            Self::DeleteTag(name, tag) => then(&|shown| {
                shown.remove(&format!("{name} tag {tag}"));
            }),
            Self::DeleteBlob(name, blob) => then(&|shown| {
                shown.remove(&format!("{name} blob {blob}"));
            }),
            Self::DeleteManifest(name, manifest) => return states_of_delete(name, manifest, from),
        }
        states
    }
}

/// The tags go first, in any order, then the manifest.
fn states_of_delete(name: &str, manifest: &str, from: &Shown) -> Vec<Shown> {
    let is_tag =
        |(key, value): &(&String, &String)| key.starts_with(&format!("{name} tag ")) && *value == manifest;
    let tags: Vec<String> = from.iter().filter(is_tag).map(|(key, _)| key.clone()).collect();
    let mut states = Vec::new();
    for subset in 0..1_u32 << tags.len() {
        let goes =
            |key: &String| tags.iter().position(|tag| tag == key).is_some_and(|at| subset & (1 << at) != 0);
        states.push(from.iter().filter(|(key, _)| !goes(key)).map(|(k, v)| (k.clone(), v.clone())).collect());
    }
    let mut last: Shown = states.last().cloned().unwrap_or_default();
    last.remove(&format!("{name} manifest {manifest}"));
    last.retain(|key, _| !(key.starts_with(&format!("{name} referrer ")) && key.ends_with(manifest)));
    states.push(last);
    states
}

fn set(shown: &mut Shown, key: String, value: &str) {
    shown.insert(key, value.to_owned());
}

fn subject_of(manifest: &str) -> Option<&'static str> {
    thing(manifest).manifest().subject.map(|subject| name_of(&subject.digest))
}

/// What a manifest consists of, in the order in which an import brings it: that of the digests.
fn blobs_of(manifest: &str) -> Vec<&'static str> {
    let digests: BTreeSet<_> =
        thing(manifest).manifest().required().map(|(_, descriptor)| descriptor.digest.clone()).collect();
    digests.iter().map(name_of).collect()
}

fn repository(name: &str) -> RepositoryName {
    RepositoryName::parse(name).expect("a repository's name")
}

fn push(store: &Store, name: &RepositoryName, blob: &str) -> Result<(), Error> {
    let blob = thing(blob);
    let (half, rest) = blob.bytes.split_at(blob.bytes.len() / 2);
    let id = store.start_upload(name, Algorithm::Sha256)?;
    let mut upload = store.open_upload(name, &id)?;
    upload.append(&mut Pieces(half))?;
    upload.save()?;
    drop(upload);
    let mut upload = store.open_upload(name, &id)?;
    upload.append(&mut Pieces(rest))?;
    upload.finish(&blob.digest)
}

fn push_at_once(store: &Store, name: &RepositoryName, blob: &str) -> Result<(), Error> {
    let blob = thing(blob);
    store.push_blob(name, &blob.digest, &mut Pieces(&blob.bytes))
}

fn begin(store: &Store, name: &RepositoryName, blob: &str) -> Result<(), Error> {
    let blob = thing(blob);
    let id = store.start_upload(name, Algorithm::Sha256)?;
    let mut upload = store.open_upload(name, &id)?;
    upload.append(&mut Pieces(&blob.bytes[..blob.bytes.len() / 2]))?;
    upload.save()
}

fn finish(store: &Store, name: &RepositoryName, blob: &str) -> Result<(), Error> {
    let session = session_for(store, blob)?;
    let blob = thing(blob);
    let mut upload = store.open_upload(name, &session.id)?;
    upload.append(&mut Pieces(&blob.bytes[session.offset as usize..]))?;
    upload.finish(&blob.digest)
}

fn session_for(store: &Store, blob: &str) -> Result<Session, Error> {
    let found = sessions(store, store.root(), blob)?.into_iter().next();
    found.ok_or_else(|| Error::UploadUnknown("none".to_owned()))
}

/// All its names are one file, so it has rotten under each of them.
fn rot(store: &Store, name: &str) {
    let thing = thing(name);
    let path = store.root().join("blobs/sha256").join(thing.digest.hex());
    let mut bytes = thing.bytes.clone();
    bytes[0] ^= 1;
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a mode");
    fs::write(&path, bytes).expect("other bytes");
    fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("a mode");
}

fn put_manifest(
    store: &Store,
    name: &RepositoryName,
    manifest: &str,
    tags: &[&'static str],
) -> Result<(), Error> {
    let manifest = thing(manifest);
    let tags: Vec<Tag> = tags.iter().map(|tag| Tag::parse(tag)).collect::<Result<_, _>>()?;
    let new = NewManifest {
        digest: &manifest.digest,
        bytes: &manifest.bytes,
        content: &manifest.manifest(),
        tags: &tags,
        condition: Condition::default(),
    };
    store.put_manifest(name, &new)
}

fn import_layout(
    store: &Store,
    name: &RepositoryName,
    manifest: &str,
    tags: &[&'static str],
) -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs = folder.path().join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a folder");
    for part in blobs_of(manifest).into_iter().chain([manifest]).map(thing) {
        fs::write(blobs.join(part.digest.hex()), &part.bytes).expect("a file");
    }
    let entry = |tag: &&str| {
        let manifest = thing(manifest);
        json!({
            "mediaType": OCI_MANIFEST, "digest": manifest.digest.to_string(), "size": manifest.bytes.len(),
            "annotations": { layout::REF_NAME: tag },
        })
    };
    let index = json!({ "schemaVersion": 2, "manifests": tags.iter().map(entry).collect::<Vec<_>>() });
    fs::write(folder.path().join(layout::INDEX_FILE), index.to_string()).expect("a file");
    fs::write(folder.path().join(layout::MARK_FILE), layout::MARK).expect("a file");
    let asked = Import {
        name: name.clone(),
        tag: None,
        named: None,
        platform: None,
        referrers: false,
        manifest_bytes_max: MANIFEST_BYTES_MAX,
        refuse_free: Percent::ZERO,
    };
    match import(|| Ok(store.clone()), folder.path(), &asked) {
        Ok(_) => Ok(()),
        Err(Failure::Store(error)) => Err(error),
        Err(Failure::Refused(why)) => panic!("a good layout is refused: {why}"),
    }
}
