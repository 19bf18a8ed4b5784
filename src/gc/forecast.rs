//! `registry gc --dry-run`: what a sweep would do, and why, item by item. It takes no lock and changes nothing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use super::references::{References, Stays, Why};
use super::{Options, Report, Times, is_recent};
use crate::digest::Digest;
use crate::error::Error;
use crate::name::RepositoryName;
use crate::store::Store;
use crate::store::usage::Cutoff;
use crate::store::walk::{FileId, Kind, Named};

/// Something that stays or goes.
#[derive(Debug)]
pub struct Item {
    /// Where it is: a repository, `uploads` or `blobs`.
    pub place: String,
    /// What it is.
    pub what: String,
    /// Its size in bytes, if it has any.
    pub bytes: Option<u64>,
    /// Does it go?
    pub goes: bool,
    /// Why.
    pub why: String,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", if self.goes { "goes " } else { "stays" }, self.place, self.what)?;
        if let Some(bytes) = self.bytes {
            write!(f, ", {bytes} bytes")?;
        }
        write!(f, ": {}", self.why)
    }
}

/// Says what [`sweep`](super::sweep) would do; `show` is told of each item.
pub fn forecast(store: &Store, options: &Options, show: &mut dyn FnMut(Item)) -> Report {
    let times = Times::now(options);
    let report = Report::default();
    let mut forecast = Forecast { store, options, times, report, show, going: HashMap::new() };
    let uploads = forecast.uploads();
    forecast.report.attempt("uploads", uploads);
    match store.all_folders() {
        Ok(mut folders) => {
            folders.sort();
            for name in &folders {
                let result = forecast.repository(name);
                forecast.report.attempt(&format!("repositories/{name}"), result);
            }
        }
        Err(error) => forecast.report.attempt("repositories", Err(error)),
    }
    let unheld = forecast.unheld();
    forecast.report.attempt("blobs", unheld);
    forecast.report
}

struct Forecast<'s> {
    store: &'s Store,
    options: &'s Options,
    times: Times,
    report: Report,
    show: &'s mut dyn FnMut(Item),
    /// Of files that have other names beside those that go: how many go.
    going: HashMap<FileId, u64>,
}

impl Forecast<'_> {
    fn item(&mut self, place: &str, what: impl Into<String>, bytes: Option<u64>, verdict: (bool, String)) {
        let (goes, why) = verdict;
        (self.show)(Item { place: place.to_owned(), what: what.into(), bytes, goes, why });
    }

    fn uploads(&mut self) -> Result<(), Error> {
        for leaving in self.store.leavings()? {
            let goes = self.times.uploads.is_after(leaving.last);
            let why = format!("nobody has worked on it for {}", self.age(leaving.last));
            let kind = if leaving.is_session { "session" } else { "file" };
            if goes {
                self.report.left(&leaving);
            }
            self.item("uploads", format!("{kind} {}", leaving.name()), Some(leaving.bytes), (goes, why));
        }
        Ok(())
    }

    fn repository(&mut self, name: &RepositoryName) -> Result<(), Error> {
        if self.store.is_bare(name)? {
            return Ok(());
        }
        let references = References::read(self.store, name, true)?;
        let kept = match self.options.untagged {
            true => Some(references.kept(&is_recent(self.store, name, self.times.content))?),
            false => None,
        };
        let place = format!("repository {name}");
        let (mut gone, mut names_gone) = (HashSet::new(), HashSet::new());
        for named in self.held(name, Kind::Manifests)? {
            let Some(digest) = &named.digest else { continue };
            let verdict = self.of_manifest(&references, kept.as_ref(), &named);
            if verdict.0 {
                self.report.manifests += 1;
                let subject = references.subject(digest);
                names_gone.extend(subject.map(|subject| self.store.entry_of(name, subject, digest)));
                names_gone.insert(named.path.clone());
                gone.insert(digest.clone());
            }
            self.count(&named, verdict.0);
            self.item(&place, format!("manifest {digest}"), Some(named.size), verdict);
        }
        let referred = references.referred(kept.as_ref());
        for named in self.held(name, Kind::Blobs)? {
            let Some(digest) = &named.digest else { continue };
            let verdict = self.of_blob(&references, &referred, &named);
            if verdict.0 {
                self.report.blobs += 1;
                names_gone.insert(named.path.clone());
            }
            self.count(&named, verdict.0);
            self.item(&place, format!("blob {digest}"), Some(named.size), verdict);
        }
        for path in self.store.leftovers(name)? {
            let what = path.strip_prefix(self.store.root()).unwrap_or(&path).display().to_string();
            self.report.leftovers += 1;
            self.item(&place, what, None, (true, "something that broke off left it".to_owned()));
            names_gone.insert(path);
        }
        if self.store.is_empty_without(name, &names_gone)? {
            self.report.repositories += 1;
            self.item(&place, "itself", None, (true, "nothing is left in it".to_owned()));
            return Ok(()); // and with it all that is remembered
        }
        let is_there = |digest: &Digest| Ok(!gone.contains(digest) && self.store.has_manifest(name, digest)?);
        for tag in self.store.forgettable_tags(name, self.times.content, &is_there)? {
            self.report.leftovers += 1;
            let what = format!("history of {tag}");
            self.item(&place, what, None, (true, "the tag is gone, and all that it was".to_owned()));
        }
        Ok(())
    }

    /// In the order of their digests.
    fn held(&self, name: &RepositoryName, kind: Kind) -> Result<Vec<Named>, Error> {
        let mut held = self.store.held(name, kind)?;
        held.retain(|named| named.file.is_some()); // anything else is nothing of ours
        held.sort_by(|one, other| one.digest.cmp(&other.digest));
        Ok(held)
    }

    fn of_manifest(&self, references: &References, kept: Option<&Stays>, named: &Named) -> (bool, String) {
        let Some(kept) = kept else { return (false, "manifests go only with --untagged".to_owned()) };
        match named.digest.as_ref().and_then(|digest| references.why(kept, digest)) {
            Some(why) => (false, self.reason(why, named.used)),
            None => {
                (true, format!("no tag, index or subject holds it, last used {} ago", self.age(named.used)))
            }
        }
    }

    fn of_blob(&self, references: &References, referred: &Stays, named: &Named) -> (bool, String) {
        match named.digest.as_ref().and_then(|digest| references.why(referred, digest)) {
            Some(why) => (false, self.reason(why, named.used)),
            None if !self.times.content.is_after(named.used) => {
                (false, self.reason(&Why::Recent, named.used))
            }
            None => (true, format!("no manifest refers to it, last used {} ago", self.age(named.used))),
        }
    }

    fn reason(&self, why: &Why, used: SystemTime) -> String {
        match why {
            Why::Tag(tag) => format!("tag {tag}"),
            Why::Recent => {
                let (age, grace) = (self.age(used), duration(self.options.grace));
                format!("used {age} ago, within the grace of {grace}")
            }
            Why::In(digest) => format!("{digest} refers to it"),
            Why::About(digest) => format!("it is about {digest}"),
        }
    }

    fn unheld(&mut self) -> Result<(), Error> {
        for named in self.store.unheld(Cutoff::of_age(self.times.start, Duration::ZERO))? {
            let Some(digest) = &named.digest else { continue };
            let goes = self.times.content.is_after(named.used);
            let mut why = "no repository holds it".to_owned();
            if goes {
                self.report.unheld += 1;
                self.report.bytes += named.size;
            } else {
                why += &format!(", {}", self.reason(&Why::Recent, named.used));
            }
            self.item("blobs", digest.to_string(), Some(named.size), (goes, why));
        }
        Ok(())
    }

    /// The bytes go with the last name but that under `blobs/`.
    fn count(&mut self, named: &Named, goes: bool) {
        let Some(file) = named.file.filter(|_| goes) else { return };
        let gone = if named.links > 2 {
            let gone = self.going.entry(file).or_default();
            *gone += 1;
            *gone
        } else {
            1
        };
        if gone + 1 == named.links {
            self.report.bytes += named.size;
        }
    }

    fn age(&self, time: SystemTime) -> String {
        duration(self.times.start.duration_since(time).unwrap_or_default())
    }
}

/// In the largest unit of which there is one, for people.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
