//! The catalog: which repositories there are.
//!
//! Nothing is kept of it: the folders are walked, in order, and only as far as a page needs.

use std::path::Path;

use super::Store;
use super::disk;
use crate::digest::Algorithm;
use crate::error::Error;
use crate::name::RepositoryName;

impl Store {
    /// The names of the repositories that hold a manifest and are `wanted`, in ASCII order, those behind `last`,
    /// at most `limit` of them; and whether there are more.
    pub fn list_repositories(
        &self,
        last: Option<&str>,
        limit: usize,
        wanted: &dyn Fn(&RepositoryName) -> bool,
    ) -> Result<(Vec<String>, bool), Error> {
        let mut page = Page { last, limit, wanted, names: Vec::new(), more: false };
        page.walk(&self.root.join("repositories"), "")?;
        Ok((page.names, page.more))
    }
}

struct Page<'a> {
    last: Option<&'a str>,
    limit: usize,
    wanted: &'a dyn Fn(&RepositoryName) -> bool,
    names: Vec<String>,
    more: bool,
}

/// A step of the walk. Sorted as text, with a slash behind folders, so that `a`, `a-b`, `a/b` come in the order
/// of their full names.
enum Step {
    Repository,
    Below,
}

impl Page<'_> {
    fn walk(&mut self, folder: &Path, prefix: &str) -> Result<(), Error> {
        let mut steps = Vec::new();
        for component in disk::names(folder)?.into_iter().filter(|name| !name.starts_with(['_', '.'])) {
            steps.push((format!("{prefix}{component}"), Step::Repository));
            steps.push((format!("{prefix}{component}/"), Step::Below));
        }
        steps.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, step) in steps {
            if self.more {
                return Ok(());
            }
            match step {
                Step::Repository => self.visit(folder, name)?,
                // All names below begin with this one: if they come before `last`, none is of interest.
                Step::Below
                    if self.last.is_some_and(|last| name.as_str() < last && !last.starts_with(&name)) => {}
                Step::Below => self.walk(&folder.join(&name[prefix.len()..name.len() - 1]), &name)?,
            }
        }
        Ok(())
    }

    fn visit(&mut self, folder: &Path, name: String) -> Result<(), Error> {
        let is_wanted = RepositoryName::parse(&name).is_ok_and(|name| (self.wanted)(&name));
        if self.last.is_some_and(|last| name.as_str() <= last) || !is_wanted {
            return Ok(());
        }
        let component = name.rsplit('/').next().unwrap_or(&name);
        if !holds_manifest(&folder.join(component))? {
            return Ok(());
        }
        if self.names.len() == self.limit {
            self.more = true;
        } else {
            self.names.push(name);
        }
        Ok(())
    }
}

pub(super) fn holds_manifest(repository: &Path) -> Result<bool, Error> {
    for algorithm in Algorithm::ALL {
        if disk::has_entries(&repository.join("_manifests").join(algorithm.as_str()))? {
            return Ok(true);
        }
    }
    Ok(false)
}
