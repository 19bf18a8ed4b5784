//! Who may do what. Every request passes [`Auth::admit`] before anything else is done with it.
//!
//! Three questions, in this order, each answered from the route, the `Authorization` header and the settings
//! alone:
//!
//! 1. Is the change allowed to anybody? Not with `--read-only` or `--no-delete`: 405.
//! 2. Who is it? A name and password that do not belong together are refused wherever they are sent: 401.
//! 3. May they do it? If not: 403, and 401 where a login could help.
//!
//! The store is not asked. So what a stranger is told is the same whether a repository exists or not, and as
//! quickly.

pub mod access;
pub mod basic;
pub mod htpasswd;
pub mod passwords;
pub mod remembered;
pub mod rules;
pub mod users;

use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use self::access::{Change, Needs, access};
use self::basic::{Credentials, basic_challenge, bearer_challenge};
use self::passwords::Passwords;
use self::rules::{Right, Rule, Rules, Who};
use self::users::UserFile;
use crate::error::Error;
use crate::log::{self, Level};
use crate::name::RepositoryName;
use crate::route::{Method, Route};

/// What is allowed, and to whom.
pub struct Auth {
    /// Nothing may be changed.
    read_only: bool,
    /// Nothing may be deleted.
    no_delete: bool,
    /// `/metrics` is for those who are logged in.
    closed_metrics: bool,
    rules: Rules,
    /// Who can log in; `None` where nobody needs to.
    logins: Option<Logins>,
}

struct Logins {
    file: UserFile,
    passwords: Passwords,
    /// What those are told who are not logged in.
    challenge: String,
}

/// Somebody whose request was admitted.
pub struct Caller<'a> {
    rules: &'a Rules,
    user: Option<String>,
}

impl Auth {
    /// Everybody may do everything.
    pub fn open() -> Self {
        let (read_only, no_delete, closed_metrics) = (false, false, false);
        Self { read_only, no_delete, closed_metrics, rules: Rules::open(), logins: None }
    }

    /// Asks for passwords: those of an htpasswd file. Without rules every user may do everything. `public_url`
    /// is where clients reach the registry, or empty.
    ///
    /// # Errors
    /// A sentence for the one who starts the server: the file cannot be used.
    pub fn with_users(
        self,
        htpasswd: &Path,
        rules: &[Rule],
        anonymous_pull: bool,
        public_url: &str,
    ) -> Result<Self, String> {
        let file = UserFile::open(htpasswd)?;
        let passwords = Passwords::new().map_err(|error| error.log_text())?;
        warn_of_strangers(rules, &file);
        let rules = match rules {
            [] => Rules::every_user(),
            rules => Rules::these(rules.to_vec()),
        };
        let rules = if anonymous_pull { rules.and_anyone_pulls() } else { rules };
        let challenge = match (rules.allow_somewhere(None, Right::Pull), public_url) {
            (false, _) => basic_challenge(),
            (true, "") => {
                log::event(
                    Level::Warn,
                    "without server.public_url, docker pulls nothing without a login",
                    &[],
                );
                basic_challenge()
            }
            (true, public_url) => bearer_challenge(public_url),
        };
        Ok(Self { rules, logins: Some(Logins { file, passwords, challenge }), ..self })
    }

    /// Lets nobody change anything (`read_only`), or delete anything (`no_delete`).
    #[must_use]
    pub fn with_switches(self, read_only: bool, no_delete: bool) -> Self {
        Self { read_only, no_delete, ..self }
    }

    /// Shows `/metrics` to those alone who are logged in.
    #[must_use]
    pub fn with_closed_metrics(self, closed_metrics: bool) -> Self {
        Self { closed_metrics, ..self }
    }

    /// Decides on a request. `authorization` is its header of that name, `peer` where it comes from.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::DeleteDisabled`]; [`Error::LoginNeeded`], [`Error::LoginWrong`],
    /// [`Error::TooManyGuesses`]; [`Error::Denied`].
    pub fn admit(
        &self,
        route: &Route,
        authorization: Option<&str>,
        peer: IpAddr,
    ) -> Result<Caller<'_>, Error> {
        self.gate(route)?;
        let user = self.identify(authorization, peer)?;
        let is_allowed = match access(route).needs {
            Needs::Nothing => true,
            Needs::Metrics => user.is_some() || !self.closed_metrics,
            Needs::Login => user.is_some() || self.logins.is_none(),
            Needs::AnyPull => user.is_some() || self.rules.allow_somewhere(None, Right::Pull),
            Needs::Right(right, name) => self.rules.allow(user.as_deref(), right, name),
        };
        match (is_allowed, user, access(route).needs) {
            (true, user, _) => Ok(Caller { rules: &self.rules, user }),
            (false, Some(user), Needs::Right(right, name)) => {
                Err(Error::Denied { user, right, name: name.clone() })
            }
            (false, _, _) => Err(Error::LoginNeeded { challenge: self.challenge() }),
        }
    }

    /// The gate that every change passes.
    fn gate(&self, route: &Route) -> Result<(), Error> {
        match access(route).change {
            Change::Write | Change::TakeBack | Change::Delete if self.read_only => {
                Err(Error::ReadOnly { allow: self.open_methods(route) })
            }
            Change::Delete if self.no_delete => {
                Err(Error::DeleteDisabled { allow: self.open_methods(route) })
            }
            Change::Nothing | Change::Write | Change::TakeBack | Change::Delete => Ok(()),
        }
    }

    /// The methods that the gate lets pass on a route's path, for the `Allow` header.
    fn open_methods(&self, route: &Route) -> String {
        let path = route.to_string();
        let is_open = |method| match Route::parse(method, &path).map(|route| access(&route).change) {
            Ok(Change::Nothing) => true,
            Ok(Change::Write | Change::TakeBack) => !self.read_only,
            Ok(Change::Delete) | Err(_) => false, // where a method is missing, so is this one
        };
        let open = Method::NAMES.iter().filter(|(_, method)| is_open(*method));
        open.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Who it is; `None` for somebody who does not say.
    fn identify(&self, authorization: Option<&str>, peer: IpAddr) -> Result<Option<String>, Error> {
        let (Some(logins), Some(header)) = (&self.logins, authorization) else { return Ok(None) };
        let wrong = || Error::LoginWrong { challenge: self.challenge() };
        let given = Credentials::parse(header).ok_or_else(wrong)?;
        if given.are_nobodys() {
            return Ok(None);
        }
        let users = logins.file.users(Instant::now());
        match logins.passwords.check(&users, &given, peer)? {
            true => Ok(Some(given.user)),
            false => Err(wrong()),
        }
    }

    fn challenge(&self) -> String {
        self.logins.as_ref().map(|logins| logins.challenge.clone()).unwrap_or_default()
    }
}

impl Caller<'_> {
    /// Who it is, if they are logged in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// May they pull from there?
    pub fn may_pull(&self, name: &RepositoryName) -> bool {
        self.rules.allow(self.user.as_deref(), Right::Pull, name)
    }

    /// May they pull from every repository, whatever its name?
    pub fn may_pull_everything(&self) -> bool {
        self.rules.allow_everywhere(self.user.as_deref(), Right::Pull)
    }
}

/// A rule may come before its user does; more often its user's name is mistyped.
fn warn_of_strangers(rules: &[Rule], file: &UserFile) {
    let users = file.users(Instant::now());
    for rule in rules {
        if let Who::User(name) = &rule.who
            && users.get(name).is_none()
        {
            log::event(
                Level::Warn,
                "a rule is for a user who is not in the htpasswd file",
                &[("user", name)],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// What a registry with these switches says to a change: the status, and which methods it offers instead.
    #[track_caller]
    fn check(read_only: bool, no_delete: bool, method: Method, path: &str, expect: Option<&str>) {
        let route = Route::parse(method, &path.replace("DIGEST", DIGEST)).unwrap();
        let auth = Auth::open().with_switches(read_only, no_delete);
        let refusal = auth.admit(&route, None, Ipv4Addr::LOCALHOST.into()).err();
        let allow = refusal.as_ref().map(|error| {
            assert_eq!((error.status(), error.code()), (405, "UNSUPPORTED"));
            error.header().unwrap()
        });
        assert_eq!(allow, expect.map(|methods| ("Allow", methods.to_owned())), "{method:?} {path}");
    }

    #[test]
    fn a_change_that_is_switched_off_says_what_is_not() {
        use Method::{Delete, Get, Patch, Post, Put};
        let (manifest, blob, upload) = (
            "/v2/a/manifests/v1",
            "/v2/a/blobs/DIGEST",
            "/v2/a/blobs/uploads/0b7a4c2e-9d1f-4a3b-8c5d-6e7f8091a2b3",
        );
        for no_delete in [false, true] {
            check(true, no_delete, Put, manifest, Some("GET, HEAD"));
            check(true, no_delete, Delete, manifest, Some("GET, HEAD"));
            check(true, no_delete, Delete, blob, Some("GET, HEAD"));
            check(true, no_delete, Post, "/v2/a/blobs/uploads/", Some(""));
            check(true, no_delete, Patch, upload, Some("GET, HEAD"));
            check(true, no_delete, Delete, upload, Some("GET, HEAD"));
            check(true, no_delete, Get, manifest, None);
            check(true, no_delete, Get, upload, None);
        }
        check(false, true, Delete, manifest, Some("GET, HEAD, PUT"));
        check(false, true, Delete, blob, Some("GET, HEAD"));
        check(false, true, Delete, upload, None);
        check(false, true, Put, manifest, None);
        check(false, false, Delete, manifest, None);
    }
}
