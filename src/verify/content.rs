//! Every name against its bytes: those under `blobs/`, and those by which repositories hold them.
//!
//! Names of one file are judged together, and a fault is told once, with all the names that it has: what mends
//! it must be done to each of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Check;
use super::hashing::hash_all;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::name::RepositoryName;
use crate::store::walk::{FileId, Kind, Named};

/// A name, and whose it is; nobody's under `blobs/`.
struct Place {
    named: Named,
    repository: Option<RepositoryName>,
}

/// A file under all its names that are one digest.
struct Content {
    places: Vec<Place>,
    /// Why it is not what it should be.
    wrong: Option<String>,
}

/// What is wrong with files that were hashed, if anything.
type Hashed = HashMap<(Algorithm, FileId), Option<String>>;

impl Check<'_> {
    /// Everything that is named by a digest.
    pub(super) fn content(&mut self, repositories: &[RepositoryName]) -> Result<(), Error> {
        let mut blobs = self.store.all_blobs()?;
        self.report.bytes = blobs.iter().map(|blob| blob.size).sum();
        blobs.retain(|blob| self.has_digest(blob));
        self.report.blobs = blobs.len();
        let mut hashed = Hashed::new();
        self.hash(&blobs, &mut hashed);

        let homes: HashMap<Digest, Named> =
            blobs.into_iter().filter_map(|blob| Some((blob.digest.clone()?, blob))).collect();
        let rotten = |digest: &Digest| homes.get(digest).is_some_and(|home| wrong(home, &hashed).is_some());
        let mut suspects: BTreeMap<Digest, Vec<Place>> = BTreeMap::new();
        for (digest, home) in homes.iter().filter(|(digest, _)| rotten(digest)) {
            suspects.insert(digest.clone(), vec![Place { named: home.clone(), repository: None }]);
        }
        let mut held = HashSet::new();
        for name in repositories {
            for kind in [Kind::Blobs, Kind::Manifests] {
                for named in self.store.held(name, kind)? {
                    if !self.has_digest(&named) {
                        continue;
                    }
                    let Some(digest) = named.digest.clone() else { continue };
                    let is_linked = homes.get(&digest).is_some_and(|home| is_one_file(home, &named));
                    if !is_linked || rotten(&digest) {
                        let place = Place { named, repository: Some(name.clone()) };
                        suspects.entry(digest.clone()).or_default().push(place);
                    }
                    held.insert(digest);
                }
            }
        }
        let strays: Vec<Named> = suspects.values().flatten().map(|place| place.named.clone()).collect();
        self.hash(&strays, &mut hashed);
        for (digest, home) in &homes {
            if !held.contains(digest) && !suspects.contains_key(digest) {
                let what = "no repository holds it; it may be removed, while nothing is pushed";
                self.leftover(&home.path, what);
            }
        }
        for (digest, places) in suspects {
            self.judge(&digest, homes.get(&digest), contents(places, &hashed));
        }
        Ok(())
    }

    fn has_digest(&mut self, named: &Named) -> bool {
        if named.digest.is_none() {
            self.fault(&named.path, "is not named by a digest, so nobody can ask for it; remove it");
        }
        named.digest.is_some()
    }

    /// Hashes those files that were not yet.
    fn hash(&self, named: &[Named], hashed: &mut Hashed) {
        let mut seen = HashSet::new();
        let is_new =
            |named: &&Named| key(named).is_some_and(|key| !hashed.contains_key(&key) && seen.insert(key));
        let files: Vec<Named> = named.iter().filter(is_new).cloned().collect();
        for (named, found) in hash_all(self.store, &files) {
            let why = match found {
                Ok(found) if found.is_none() || found == named.digest => None, // none: deleted meanwhile
                Ok(_) => Some("its bytes have another digest".to_owned()),
                Err(error) => Some(error.log_text()),
            };
            hashed.extend(key(named).map(|key| (key, why)));
        }
    }

    /// The files that lie under names of one digest, and the one under `blobs/` also if it is sound.
    fn judge(&mut self, digest: &Digest, home: Option<&Named>, contents: Vec<Content>) {
        let home_path = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
        let is_home = |content: &Content| content.places.iter().any(|place| place.repository.is_none());
        let sound_home = home.filter(|_| !contents.iter().any(is_home));
        let sound_stray = contents.iter().find(|content| content.wrong.is_none());
        let sound = sound_home.or(sound_stray.map(|content| &content.places[0].named)).cloned();
        for Content { places, wrong } in &contents {
            let first = &places[0].named;
            let is_sound_one = sound.as_ref().is_some_and(|sound| sound.path == first.path);
            match wrong {
                Some(why) => self.tell(digest, places, why, sound.as_ref()),
                None if is_sound_one && home.is_none() => {
                    self.fault(&first.path, format!("there is no {home_path}; link this file there"));
                }
                // Others are links to it: it had all the links it can have, and another took its place.
                None if is_sound_one || first.links > 1 => {}
                None => {
                    let sound = sound.as_ref().map_or(home_path.clone(), |sound| self.readable(&sound.path));
                    let what = format!("is a copy of {sound}, not a link to it; link it again");
                    self.fault(&first.path, what);
                }
            }
        }
    }

    /// A file is not what its names say: what to do with each of them.
    fn tell(&mut self, digest: &Digest, places: &[Place], why: &str, sound: Option<&Named>) {
        let others: Vec<String> = places[1..].iter().map(|place| self.readable(&place.named.path)).collect();
        let holders: BTreeSet<&RepositoryName> =
            places.iter().filter_map(|place| place.repository.as_ref()).collect();
        self.wrong.extend(holders.iter().map(|name| ((*name).clone(), digest.clone())));
        let mut what = format!("{why}; remove it");
        if !others.is_empty() {
            what += &format!(" and each of: {}", others.join(", "));
        }
        if let Some(sound) = sound {
            what += &format!("; then link {} there", self.readable(&sound.path));
        } else if !holders.is_empty() {
            let holders: Vec<&str> = holders.iter().map(|name| name.as_str()).collect();
            what += &format!("; then push the image again to {}", holders.join(", "));
        }
        self.fault(&places[0].named.path, what);
    }
}

/// Why these bytes are not what their name says, if they are not.
fn wrong(named: &Named, hashed: &Hashed) -> Option<String> {
    match key(named) {
        Some(key) => hashed.get(&key).cloned().flatten(),
        None => Some("is no file".to_owned()),
    }
}

fn key(named: &Named) -> Option<(Algorithm, FileId)> {
    Some((named.digest.as_ref()?.algorithm(), named.file?))
}

fn is_one_file(one: &Named, other: &Named) -> bool {
    one.file.is_some() && one.file == other.file
}

/// Puts the names of one file together; each for itself where there is no file.
fn contents(mut places: Vec<Place>, hashed: &Hashed) -> Vec<Content> {
    places.sort_by(|one, other| one.named.path.cmp(&other.named.path));
    let mut contents: Vec<Content> = Vec::new();
    let mut known = HashMap::new();
    for place in places {
        let wrong = wrong(&place.named, hashed);
        let next = contents.len();
        let at = place.named.file.map_or(next, |file| *known.entry(file).or_insert(next));
        match contents.get_mut(at) {
            Some(content) => content.places.push(place),
            None => contents.push(Content { places: vec![place], wrong }),
        }
    }
    contents
}
