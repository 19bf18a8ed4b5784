//! What each endpoint needs and changes: one table, and the only one.
//!
//! A new [`Route`] does not compile before it has its line here, so no endpoint can be forgotten by a switch
//! or by a rule (as deleting by tag was elsewhere: CVE-2026-41888).

use super::rules::Right;
use crate::name::RepositoryName;
use crate::route::Route;

/// What a request must be allowed, and what it would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access<'a> {
    /// What its sender must be allowed.
    pub needs: Needs<'a>,
    /// What it does to the store.
    pub change: Change,
}

/// What the sender of a request must be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs<'a> {
    /// Nothing. (A wrong password is refused even here.)
    Nothing,
    /// To be logged in, if the configuration says so for `/metrics`.
    Metrics,
    /// To be logged in, where there are logins. Clients knock here to learn whether there are, so that even
    /// who may pull without is asked: docker and podman look for the challenge nowhere else.
    Login,
    /// To be logged in, or to be allowed to pull anything at all.
    AnyPull,
    /// A right in a repository.
    Right(Right, &'a RepositoryName),
}

/// What a request does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Something is added or replaced. Not with `--read-only`, and not while the disk is nearly full.
    Write,
    /// Something is taken back before it was finished. Not with `--read-only`.
    TakeBack,
    /// Something that was there goes. Not with `--read-only` and not with `--no-delete`.
    Delete,
}

/// The table.
pub fn access(route: &Route) -> Access<'_> {
    let right = |right, name, change| Access { needs: Needs::Right(right, name), change };
    match route {
        // Probes have no passwords, and learn nothing of what is stored.
        Route::Livez | Route::Readyz => Access { needs: Needs::Nothing, change: Change::Nothing },
        Route::Metrics => Access { needs: Needs::Metrics, change: Change::Nothing },
        Route::Token => Access { needs: Needs::Nothing, change: Change::Nothing },
        Route::Version => Access { needs: Needs::Login, change: Change::Nothing },
        Route::Catalog | Route::Discover => Access { needs: Needs::AnyPull, change: Change::Nothing },

        Route::GetBlob { name, .. }
        | Route::GetManifest { name, .. }
        | Route::ListTags { name }
        | Route::ListReferrers { name, .. } => right(Right::Pull, name, Change::Nothing),

        // Where a session stands is of interest to those who push alone.
        Route::GetUpload { name, .. } => right(Right::Push, name, Change::Nothing),
        Route::StartUpload { name }
        | Route::PatchUpload { name, .. }
        | Route::PutUpload { name, .. }
        | Route::PutManifest { name, .. } => right(Right::Push, name, Change::Write),
        // To cancel a session takes away nothing that anybody could pull: it is a part of pushing.
        Route::DeleteUpload { name, .. } => right(Right::Push, name, Change::TakeBack),

        // By tag or by digest: after either, something that could be pulled cannot be.
        Route::DeleteManifest { name, .. } | Route::DeleteBlob { name, .. } => {
            right(Right::Delete, name, Change::Delete)
        }
    }
}
