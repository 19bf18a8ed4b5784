//! Every name against its bytes: those under `blobs/`, and those by which repositories hold them.
//!
//! Names of one file are judged together, and a fault is told once, with all the names that it has: what mends
//! it must be done to each of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use std::path::PathBuf;

use super::Check;
use super::hashing::hash_all;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::name::RepositoryName;
use crate::store::walk::{FileId, Kind, Named};

/// A name, and who holds it as what; nobody under `blobs/`.
pub(super) struct Place {
    pub(super) named: Named,
    pub(super) holder: Option<(RepositoryName, Kind)>,
}

/// A file under all its names that are one digest.
pub(super) struct Content {
    pub(super) places: Vec<Place>,
    /// Why it is not what it should be.
    pub(super) wrong: Option<String>,
}

/// A digest of which not all is as it should be.
pub(super) struct Suspect {
    pub(super) digest: Digest,
    /// The name under `blobs/`.
    pub(super) home: Option<Named>,
    /// The files that lie under names of it, but for a sound one under `blobs/` and what is linked to that.
    pub(super) contents: Vec<Content>,
}

/// What was found where only names of content should be.
#[derive(Default)]
pub(super) struct Found {
    pub(super) suspects: Vec<Suspect>,
    /// What is not named by a digest.
    pub(super) nameless: Vec<PathBuf>,
}

/// What is wrong with files that were hashed, if anything.
type Hashed = HashMap<(Algorithm, FileId), Option<String>>;

impl Check<'_> {
    /// Looks at everything that is named by a digest, and reports what nobody holds.
    pub(super) fn content(&mut self, repositories: &[RepositoryName]) -> Result<Found, Error> {
        let mut found = Found::default();
        let mut blobs = self.store.all_blobs()?;
        self.report.bytes = blobs.iter().map(|blob| blob.size).sum();
        blobs.retain(|blob| found.has_digest(blob));
        self.report.blobs = blobs.len();
        let mut hashed = Hashed::new();
        self.hash(&blobs, &mut hashed);

        let homes: HashMap<Digest, Named> =
            blobs.into_iter().filter_map(|blob| Some((blob.digest.clone()?, blob))).collect();
        let rotten = |digest: &Digest| homes.get(digest).is_some_and(|home| wrong(home, &hashed).is_some());
        let mut suspects: BTreeMap<Digest, Vec<Place>> = BTreeMap::new();
        for (digest, home) in homes.iter().filter(|(digest, _)| rotten(digest)) {
            suspects.insert(digest.clone(), vec![Place { named: home.clone(), holder: None }]);
        }
        let mut held = HashSet::new();
        for name in repositories {
            for kind in [Kind::Blobs, Kind::Manifests] {
                for named in self.store.held(name, kind)? {
                    if !found.has_digest(&named) {
                        continue;
                    }
                    let Some(digest) = named.digest.clone() else { continue };
                    let is_linked = homes.get(&digest).is_some_and(|home| is_one_file(home, &named));
                    if !is_linked || rotten(&digest) {
                        let place = Place { named, holder: Some((name.clone(), kind)) };
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
        let suspect = |(digest, places): (Digest, Vec<Place>)| Suspect {
            home: homes.get(&digest).cloned(),
            contents: contents(places, &hashed),
            digest,
        };
        found.suspects = suspects.into_iter().map(suspect).collect();
        Ok(found)
    }

    /// Reports what is wrong with it.
    pub(super) fn judge(&mut self, found: &Found) {
        for path in &found.nameless {
            self.fault(path, "is not named by a digest, so nobody can ask for it; remove it");
        }
        for suspect in &found.suspects {
            self.judge_one(suspect);
        }
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

    fn judge_one(&mut self, suspect: &Suspect) {
        let Suspect { digest, home, contents } = suspect;
        let home_path = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
        let sound = suspect.sound().cloned();
        for Content { places, wrong } in contents {
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
            places.iter().filter_map(|place| Some(&place.holder.as_ref()?.0)).collect();
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

impl Found {
    fn has_digest(&mut self, named: &Named) -> bool {
        if named.digest.is_none() {
            self.nameless.push(named.path.clone());
        }
        named.digest.is_some()
    }
}

impl Suspect {
    /// Is the file under `blobs/` what it should be?
    pub(super) fn has_sound_home(&self) -> bool {
        let is_home = |content: &Content| content.places.iter().any(|place| place.holder.is_none());
        self.home.is_some() && !self.contents.iter().any(is_home)
    }

    /// A name of the right bytes.
    pub(super) fn sound(&self) -> Option<&Named> {
        let stray = self.contents.iter().find(|content| content.wrong.is_none());
        let home = self.home.as_ref().filter(|_| self.has_sound_home());
        home.or(stray.map(|content| &content.places[0].named))
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
