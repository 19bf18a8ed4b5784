//! `registry verify --repair`: what can be made right without a client is made right, and each step is said.
//!
//! In this order, so that each part builds on those before: the bytes; the links of repositories to them; the lists
//! of referrers; tags. It may run beside servers, may be broken off anywhere, and may be run again. It deletes no
//! content: what has wrong bytes goes to `quarantine/`, and what is lost for good is left for `verify` to name. A
//! manifest of which nobody has the bytes any more is remembered ([`store::lost`](crate::store::lost)), or the next sweep
//! would take what it referred to.

use std::path::{Path, PathBuf};

use super::content::{Content, Found, Suspect};
use super::{Check, readable};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{Held, Manifest};
use crate::name::RepositoryName;
use crate::reference::{Reference, Tag};
use crate::store::Store;
use crate::store::tags::TagTarget;
use crate::store::walk::{Entry, Kind, Named, TagEntry};

/// Mends what it can. What is larger than `manifest_bytes_max` is taken for a blob. `say` is told of each step: what was
/// done, or what could not be and why.
///
/// # Errors
/// A folder that cannot be read.
pub fn repair(store: &Store, manifest_bytes_max: u64, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let mut check = Check::of(store);
    let repositories = store.all_repositories()?;
    let Found { suspects, nameless } = check.content(&repositories)?;
    let mut repair = Repair { store, manifest_bytes_max, say };
    for path in nameless.iter().filter(|path| !is_hidden(path)) {
        let moved = store.move_to_quarantine(path);
        repair.tell(path, moved.map(|to| Some(format!("is no content; moved to {}", readable(store, &to)))));
    }
    for suspect in &suspects {
        repair.bytes(suspect);
    }
    for name in &repositories {
        for part in [Repair::links, Repair::referrers, Repair::tags] {
            if let Err(error) = part(&mut repair, name) {
                let folder = store.root().join("repositories").join(name.as_str());
                repair.tell(&folder, Err(error));
            }
        }
    }
    Ok(())
}

/// NFS keeps a file that is open and was removed under such a name.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

struct Repair<'a> {
    store: &'a Store,
    manifest_bytes_max: u64,
    say: &'a mut dyn FnMut(&str),
}

impl Repair<'_> {
    /// `Ok(None)`: there was nothing to do any more.
    fn tell(&mut self, path: &Path, done: Result<Option<String>, Error>) {
        let path = readable(self.store, path);
        match done {
            Ok(Some(what)) => (self.say)(&format!("repaired: {path}: {what}")),
            Ok(None) => {}
            Err(error) => (self.say)(&format!("not repaired: {path}: {}", error.log_text())),
        }
    }

    // ---- bytes

    /// What is under `blobs/` comes first, so that the others can be linked to it. Where that fails, nothing is.
    fn bytes(&mut self, suspect: &Suspect) {
        let sound = suspect.sound().map(|named| named.path.clone());
        let home = self.store.root().join(home_of(&suspect.digest));
        if let Some(sound) = sound.as_deref().filter(|_| suspect.home.is_none()) {
            let mended = self.store.mend_home(&suspect.digest, None, sound);
            let (is_there, what) =
                (mended.is_ok(), format!("was not there; linked to {}", readable(self.store, sound)));
            self.tell(&home, mended.map(|done| done.then_some(what)));
            if !is_there {
                return;
            }
        }
        let is_home = |content: &&Content| content.places.iter().any(|place| place.holder.is_none());
        let (mut wrong, right): (Vec<_>, Vec<_>) =
            suspect.contents.iter().partition(|content| content.wrong.is_some());
        wrong.sort_by_key(|content| !is_home(content));
        for content in wrong {
            if let Err(error) = self.wrong_bytes(suspect, content, sound.as_deref()) {
                return self.tell(&content.places[0].named.path, Err(error));
            }
        }
        for content in right {
            let first = &content.places[0].named;
            if first.links == 1 && sound.as_deref() != Some(&*first.path) {
                self.copy(suspect, content);
            }
        }
    }

    /// Its bytes to quarantine, and then each of its names to the right bytes, or away.
    fn wrong_bytes(
        &mut self,
        suspect: &Suspect,
        content: &Content,
        sound: Option<&Path>,
    ) -> Result<(), Error> {
        let (store, digest) = (self.store, &suspect.digest);
        let first = &content.places[0].named;
        let Some(file) = first.file else {
            let what = match &content.places[0].holder {
                Some((name, Kind::Manifests)) => {
                    let done = store.drop_manifest(name, digest, None)?;
                    done.then(|| format!("is no file; moved to {}", lost_name(name, digest)))
                }
                _ => {
                    let moved = store.move_to_quarantine(&first.path)?;
                    Some(format!("is no file; moved to {}", readable(store, &moved)))
                }
            };
            self.tell(&first.path, Ok(what));
            return Ok(());
        };
        let Some(wrong) = store.open_wrong(&first.path, digest)? else { return Ok(()) };
        let Some(kept) = store.quarantine(&wrong, &first.path, digest)? else { return Ok(()) };
        let kept = readable(store, &kept);
        // The one under blobs/ comes first where it can be mended, and else last, after all that are links to it.
        let mut places: Vec<_> = content.places.iter().collect();
        places.sort_by_key(|place| place.holder.is_some() == sound.is_some());
        for place in places {
            let path = &place.named.path;
            let right = || "has the right bytes again".to_owned();
            let (done, then) = match (&place.holder, sound) {
                (None, Some(sound)) => (store.mend_home(digest, Some(&wrong), sound), right()),
                (Some((name, _)), Some(_)) => (store.link_again(name, path, file, digest), right()),
                (Some((name, Kind::Manifests)), None) => {
                    let lost =
                        format!("there are none that are right, so it is {} now", lost_name(name, digest));
                    (store.drop_manifest(name, digest, Some(&wrong)), lost)
                }
                (holder, None) => {
                    let done = match holder {
                        Some((name, _)) => store.drop_blob(name, digest, &wrong),
                        None => store.drop_home(digest, &wrong),
                    };
                    (done, "removed, for there are none that are right".to_owned())
                }
            };
            self.tell(path, Ok(done?.then(|| format!("had other bytes, now {kept}; {then}"))));
        }
        Ok(())
    }

    /// A copy becomes a link.
    fn copy(&mut self, suspect: &Suspect, content: &Content) {
        for place in &content.places {
            let (Some((name, _)), Some(file)) = (&place.holder, place.named.file) else { continue };
            let linked = self.store.link_again(name, &place.named.path, file, &suspect.digest);
            let what = format!("was a copy; linked to {}", home_of(&suspect.digest));
            self.tell(&place.named.path, linked.map(|done| done.then_some(what)));
        }
    }

    // ---- what repositories hold

    /// The manifests that are lost here and not elsewhere, those that tags point at, and then what manifests refer
    /// to, until nothing more comes back.
    fn links(&mut self, name: &RepositoryName) -> Result<(), Error> {
        for (path, digest) in self.store.lost(name)? {
            let done = self.store.put_name_back(name, Kind::Manifests, &digest, || Ok(true));
            let what = || format!("has the right bytes in {} again; held again", home_of(&digest));
            self.tell(&path, done.map(|done| done.then(what)));
        }
        for (path, tag) in self.tags_of(name)? {
            if let Ok(Some(TagTarget::Manifest(digest))) = self.store.read_tag(name, &tag)
                && !self.store.has_manifest(name, &digest)?
            {
                let points = || {
                    let target = self.store.read_tag(name, &tag)?;
                    Ok(target == Some(TagTarget::Manifest(digest.clone())))
                };
                let kind = self.kind_of(&digest)?.filter(|kind| *kind == Kind::Manifests);
                let done =
                    kind.map_or(Ok(false), |kind| self.store.put_name_back(name, kind, &digest, points));
                self.tell(
                    &path,
                    done.map(|done| done.then(|| format!("{digest} is held again, which it points at"))),
                );
            }
        }
        while self.required(name)? {}
        Ok(())
    }

    /// Says whether something came back.
    fn required(&mut self, name: &RepositoryName) -> Result<bool, Error> {
        let mut any = false;
        for Named { path, digest, .. } in self.store.held(name, Kind::Manifests)? {
            let Some(digest) = digest else { continue };
            let still = || self.store.has_manifest(name, &digest);
            let manifest = self.manifest(name, &digest)?;
            any |= self.required_by(name, &path, manifest.as_ref(), &still)?;
        }
        for (path, tag) in self.tags_of(name)? {
            if let Ok(Some(TagTarget::File(bytes))) = self.store.read_tag(name, &tag) {
                let still = || {
                    Ok(matches!(self.store.read_tag(name, &tag)?, Some(TagTarget::File(now)) if now == bytes))
                };
                any |= self.required_by(name, &path, Manifest::parse_stored(&bytes).ok().as_ref(), &still)?;
            }
        }
        Ok(any)
    }

    fn required_by(
        &mut self,
        name: &RepositoryName,
        path: &Path,
        manifest: Option<&Manifest>,
        still: &dyn Fn() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let mut any = false;
        for (held, descriptor) in manifest.iter().flat_map(|manifest| manifest.required()) {
            let wanted = &descriptor.digest;
            let may_be_manifest = held == Held::ManifestOrBlob;
            if self.store.has_blob(name, wanted)?
                || may_be_manifest && self.store.has_manifest(name, wanted)?
            {
                continue;
            }
            let Some(kind) = (if may_be_manifest { self.kind_of(wanted)? } else { Some(Kind::Blobs) }) else {
                continue;
            };
            let done = self.store.put_name_back(name, kind, wanted, still);
            any |= matches!(done, Ok(true));
            self.tell(
                path,
                done.map(|done| done.then(|| format!("{wanted} is held again, which it refers to"))),
            );
        }
        Ok(any)
    }

    /// As what a repository would hold these bytes; `None` if there are none. No more is read than a manifest may have.
    fn kind_of(&self, digest: &Digest) -> Result<Option<Kind>, Error> {
        if self.store.blob_size(digest)?.is_some_and(|size| size > self.manifest_bytes_max) {
            return Ok(Some(Kind::Blobs));
        }
        let bytes = self.store.read_blob(digest)?;
        Ok(bytes.map(|bytes| match Manifest::parse_stored(&bytes) {
            Ok(_) => Kind::Manifests,
            Err(_) => Kind::Blobs,
        }))
    }

    fn manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Manifest>, Error> {
        match self.store.read_manifest(name, &Reference::Digest(digest.clone())) {
            Ok(stored) => Ok(Manifest::parse_stored(&stored.bytes).ok()),
            Err(Error::ManifestUnknown { .. } | Error::NameUnknown(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    // ---- names

    fn referrers(&mut self, name: &RepositoryName) -> Result<(), Error> {
        for Named { path, digest, .. } in self.store.held(name, Kind::Manifests)? {
            let Some(digest) = digest else { continue };
            let Some(subject) = self.manifest(name, &digest)?.and_then(|manifest| manifest.subject) else {
                continue;
            };
            if !self.store.list_referrers(name, &subject.digest, None, usize::MAX)?.0.contains(&digest) {
                let done = self.store.list_again(name, &subject.digest, &digest);
                let what = format!("is listed again as a referrer of {}", subject.digest);
                self.tell(&path, done.map(|done| done.then_some(what)));
            }
        }
        for Entry { path, pair } in self.store.all_referrers(name)? {
            let Some((subject, referrer)) = pair else { continue };
            let Some(manifest) = self.manifest(name, &referrer)? else { continue };
            if manifest.subject.is_none_or(|said| said.digest != subject) {
                let what = || format!("pointed to a manifest whose subject is not {subject}; dropped");
                let done = self.store.drop_entry(name, &path);
                self.tell(&path, done.map(|()| Some(what())));
            }
        }
        Ok(())
    }

    fn tags(&mut self, name: &RepositoryName) -> Result<(), Error> {
        for (path, tag) in self.tags_of(name)? {
            match self.store.read_tag(name, &tag) {
                // It could not be put back, for a reason that was told; but it is somewhere.
                Ok(Some(TagTarget::Manifest(digest))) if self.kind_of(&digest)? == Some(Kind::Manifests) => {
                    continue;
                }
                Ok(_) => {}
                Err(error) => {
                    self.tell(&path, Err(error));
                    continue;
                }
            }
            let dropped = self.store.drop_tag_to_nowhere(name, &tag);
            let what = |target: PathBuf| {
                format!("pointed to {}, which is no manifest of this repository; dropped", target.display())
            };
            self.tell(&path, dropped.map(|target| target.map(what)));
        }
        Ok(())
    }

    fn tags_of(&self, name: &RepositoryName) -> Result<Vec<(PathBuf, Tag)>, Error> {
        let entries = self.store.all_tags(name)?.into_iter().filter(|entry| entry.can_be_tag);
        Ok(entries.filter_map(|TagEntry { path, tag, .. }| Some((path, tag?))).collect())
    }
}

fn lost_name(name: &RepositoryName, digest: &Digest) -> String {
    format!("repositories/{name}/_lost/{}-{}", digest.algorithm(), digest.hex())
}

fn home_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
