//! What the API would show of a store, name by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use container_registry::digest::{Algorithm, Digest};
use container_registry::error::Error;
use container_registry::name::RepositoryName;
use container_registry::reference::{Reference, Tag, UploadId};
use container_registry::store::Store;
use container_registry::store::walk::Kind;
use container_registry::verify::{Report, verify};

use crate::content::{name_of, thing, things};

/// `a tag v1` → `image`, `a blob layer` → `held`, `a manifest image` → `held`, `a referrer image signature` →
/// `listed`, and what no client sees: `a entry image` → `lost`. Whose content is not what its digest says shows as such.
pub type Shown = BTreeMap<String, String>;

/// What has other bytes than its digest says.
pub const ROTTEN: &str = "other bytes";

/// What a repair found to have other bytes everywhere.
const LOST: &str = "lost";

/// Asks a store for everything it has.
pub fn shown(store: &Store) -> Result<Shown, Error> {
    let mut shown = Shown::new();
    let mut catalog = Vec::new();
    for name in store.all_repositories()? {
        for blob in store.held(&name, Kind::Blobs)?.into_iter().filter_map(|named| named.digest) {
            let bytes = io_read(store, &name, &blob)?;
            shown.insert(format!("{name} blob {}", name_of(&blob)), state(&blob, &bytes, "held"));
        }
        let manifests = store.held(&name, Kind::Manifests)?;
        if !manifests.is_empty() {
            catalog.push(name.to_string());
        }
        for manifest in manifests.into_iter().filter_map(|named| named.digest) {
            let bytes = store.read_manifest(&name, &Reference::Digest(manifest.clone()))?.bytes;
            shown.insert(format!("{name} manifest {}", name_of(&manifest)), state(&manifest, &bytes, "held"));
        }
        for (_, manifest) in store.lost(&name)? {
            shown.insert(format!("{name} entry {}", name_of(&manifest)), LOST.to_owned());
        }
        for tag in store.list_tags(&name, None, usize::MAX)?.0 {
            let stored = store.read_manifest(&name, &Reference::Tag(Tag::parse(&tag)?));
            let value =
                stored.map_or("nothing".to_owned(), |it| state(&it.digest, &it.bytes, name_of(&it.digest)));
            shown.insert(format!("{name} tag {tag}"), value);
        }
        show_referrers(store, &name, &mut shown)?;
    }
    catalog.sort();
    assert_eq!(store.list_repositories(None, usize::MAX, &|_| true)?.0, catalog, "the catalog");
    Ok(shown)
}

/// A list of referrers shows those whose manifests are there.
fn show_referrers(store: &Store, name: &RepositoryName, shown: &mut Shown) -> Result<(), Error> {
    for subject in things() {
        for referrer in store.list_referrers(name, &subject.digest, None, usize::MAX)?.0 {
            if store.has_manifest(name, &referrer)? {
                let key = format!("{name} referrer {} {}", subject.name, name_of(&referrer));
                shown.insert(key, "listed".to_owned());
            }
        }
    }
    Ok(())
}

fn io_read(store: &Store, name: &RepositoryName, digest: &Digest) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut blob = store.open_blob(name, digest)?;
    std::io::Read::read_to_end(&mut blob.file, &mut bytes).map_err(Error::BodyUnreadable)?;
    Ok(bytes)
}

fn state(digest: &Digest, bytes: &[u8], sound: &str) -> String {
    if Digest::of(Algorithm::Sha256, bytes) == *digest { sound } else { ROTTEN }.to_owned()
}

/// An upload session that a client can ask for.
pub struct Session {
    pub name: RepositoryName,
    pub id: UploadId,
    /// How many bytes it has, as the API would say.
    pub offset: u64,
    /// Are they the first of the thing that was sent?
    pub sound: bool,
}

/// The sessions below a root, all of which are for `expected`.
pub fn sessions(store: &Store, root: &Path, expected: &str) -> Result<Vec<Session>, Error> {
    let mut found = Vec::new();
    for (path, whole) in store.all_uploads()? {
        if !whole {
            continue;
        }
        let text = fs::read(path.join("session.json")).expect("a session");
        let json: serde_json::Value = serde_json::from_slice(&text).expect("a session in JSON");
        let name = RepositoryName::parse(json["repository"].as_str().unwrap_or_default())?;
        let id = UploadId::parse(path.file_name().and_then(|name| name.to_str()).unwrap_or_default())?;
        let offset = store.upload_offset(&name, &id)?;
        let data = fs::read(root.join("uploads").join(id.as_str()).join("data")).expect("its bytes");
        found.push(Session { name, id, offset, sound: thing(expected).bytes.starts_with(&data) });
    }
    Ok(found)
}

/// The same where something may have rotten and is to be mended: `states` are those that the store may be in. While
/// one shows something rotten, or lost, `registry verify` may find what is about bytes.
#[track_caller]
pub fn assert_sound_or_rotten(store: &Store, states: &[Shown], when: &str) -> Report {
    if !states.iter().any(|state| state.values().any(|value| value == ROTTEN || value == LOST)) {
        return assert_sound(store, when);
    }
    let report = verify(store).unwrap_or_else(|error| panic!("{when}: {}", error.log_text()));
    let is_known =
        |fault: &String| fault.contains("its bytes have another digest") || fault.contains("is lost;");
    assert!(report.faults.iter().all(is_known), "{when}: verify finds\n{report}");
    report
}

/// Holds a store against `registry verify`, which must find nothing wrong; returns its report.
#[track_caller]
pub fn assert_sound(store: &Store, when: &str) -> Report {
    let report = verify(store).unwrap_or_else(|error| panic!("{when}: {}", error.log_text()));
    assert!(report.faults.is_empty(), "{when}: verify finds\n{report}");
    report
}
