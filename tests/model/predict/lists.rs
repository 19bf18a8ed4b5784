//! Lists: what there is, whole or in pages.

use serde_json::{Value, json};

use crate::content::Content;
use crate::expected::{Body, Expected};
use crate::it::harness::OCI_INDEX;
use crate::model::Model;
use crate::operation::Page;
use crate::request::with_query;

impl Model {
    pub(super) fn list_tags(&self, name: &str, page: &Page) -> Expected {
        let Some(repository) = self.repository(name) else {
            return Expected::error(404, "NAME_UNKNOWN", json!({ "name": name }));
        };
        let (tags, more) = cut(repository.tags.keys().cloned(), page);
        let next = link(&format!("/v2/{name}/tags/list"), page, tags.last(), more);
        Expected::new(200).maybe("Link", next).body(Body::Json(json!({ "name": name, "tags": tags })))
    }

    pub(super) fn list_catalog(&self, page: &Page) -> Expected {
        let (names, more) = cut(self.catalog().into_iter(), page);
        let next = link("/v2/_catalog", page, names.last(), more);
        if self.prefix.is_none() {
            return Expected::new(200).maybe("Link", next).body(Body::Json(json!({ "repositories": names })));
        }
        // Behind ours come those of others.
        let expected = if more { Expected::new(200).maybe("Link", next) } else { Expected::new(200) };
        expected.body(Body::Begins("repositories", names))
    }

    pub(super) fn list_referrers(
        &self,
        name: &str,
        subject: &str,
        kind: Option<&str>,
        page: &Page,
        content: &Content,
    ) -> Expected {
        let is_wanted = |number: usize| {
            kind.is_none_or(|kind| content.documents[number].listed_as.as_deref() == Some(kind))
        };
        let referrers = self.referrers(name, subject, content);
        let wanted = referrers.iter().filter(|(_, number)| is_wanted(*number));
        let (digests, more) = cut(wanted.map(|(digest, _)| digest.clone()), page);
        let entry = |digest: &String| -> Value {
            let (_, number) = referrers.iter().find(|(one, _)| one == digest).expect("it is of these");
            content.documents[*number].entry(digest)
        };
        let entries: Vec<Value> = digests.iter().map(entry).collect();
        let last = digests.last().filter(|_| more).map(|last| ("last", last.clone()));
        let n = page.n.map(|n| ("n", n.to_string()));
        let kind = kind.map(|kind| ("artifactType", kind.to_owned()));
        let next = last.map(|last| {
            let query = Vec::from_iter([Some(last), n, kind.clone()].into_iter().flatten());
            format!("<{}>; rel=\"next\"", with_query(format!("/v2/{name}/referrers/{subject}"), &query))
        });
        Expected::new(200)
            .header("Content-Type", OCI_INDEX)
            .maybe("OCI-Filters-Applied", kind.map(|(name, _)| name.to_owned()))
            .maybe("Link", next)
            .body(Body::Json(json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries })))
    }
}

/// Those of a page, of names in order; and whether there are more.
fn cut(names: impl Iterator<Item = String>, page: &Page) -> (Vec<String>, bool) {
    let limit = page.n.map_or(usize::MAX, |n| n as usize);
    let mut behind = names.filter(|name| page.last.as_ref().is_none_or(|last| name > last));
    let names: Vec<String> = behind.by_ref().take(limit).collect();
    let more = behind.next().is_some();
    (names, more)
}

/// The header that leads to the next page, if there is one. None follows a page of none.
fn link(path: &str, page: &Page, last: Option<&String>, more: bool) -> Option<String> {
    let (n, last) = (page.n?, last.filter(|_| more)?);
    let query = [("n", n.to_string()), ("last", last.clone())];
    Some(format!("<{}>; rel=\"next\"", with_query(path.to_owned(), &query)))
}
