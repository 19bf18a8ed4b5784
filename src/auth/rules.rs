//! Rules: who may do what in which repositories.
//!
//! Whoever asks may do what *any* rule grants them, and nothing else: the order of the rules means nothing, and
//! no rule takes away what another gives. A registry without passwords is one with the single rule that anyone
//! may do everything ([`Rules::open`]), so there is one way to decide and no special case.

use std::fmt;

use crate::name::RepositoryName;
pub use crate::pattern::Pattern;

/// What can be allowed in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To read: manifests, blobs, tags, referrers. The catalog shows what one may pull.
    Pull,
    /// To add and replace: blobs, manifests, tags. A client looks at what is there before it sends, so
    /// pushing with docker takes [`Right::Pull`] too.
    Push,
    /// To delete: tags, manifests, blobs.
    Delete,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        })
    }
}

/// Whom a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, also without a login.
    Anyone,
    /// Everybody who is logged in.
    Users,
    /// This user.
    User(String),
}

impl Who {
    /// Reads the `user` of a rule: `anyone`, `*` for all who are logged in, or a user's name.
    pub fn parse(text: &str) -> Self {
        match text {
            "anyone" => Self::Anyone,
            "*" => Self::Users,
            name => Self::User(name.to_owned()),
        }
    }

    fn includes(&self, user: Option<&str>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Users => user.is_some(),
            Self::User(name) => user == Some(name),
        }
    }
}

/// A rule: these may do this there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who.
    pub who: Who,
    /// Where.
    pub repository: Pattern,
    /// May they pull?
    pub pull: bool,
    /// May they push?
    pub push: bool,
    /// May they delete?
    pub delete: bool,
}

impl Rule {
    fn grants(&self, right: Right) -> bool {
        match right {
            Right::Pull => self.pull,
            Right::Push => self.push,
            Right::Delete => self.delete,
        }
    }
}

/// All the rules of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Anyone may do everything: a registry without passwords.
    pub fn open() -> Self {
        Self::all_of(Who::Anyone)
    }

    /// Whoever is logged in may do everything: a registry with passwords and without rules.
    pub fn every_user() -> Self {
        Self::all_of(Who::Users)
    }

    /// What these rules grant, and no more.
    pub fn these(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Also, anyone may pull everything: `--anonymous-pull`.
    #[must_use]
    pub fn and_anyone_pulls(mut self) -> Self {
        self.0.push(Rule {
            who: Who::Anyone,
            repository: Pattern::everything(),
            pull: true,
            push: false,
            delete: false,
        });
        self
    }

    fn all_of(who: Who) -> Self {
        Self(vec![Rule { who, repository: Pattern::everything(), pull: true, push: true, delete: true }])
    }

    /// May they do it there? `user` is `None` for somebody who is not logged in.
    pub fn allow(&self, user: Option<&str>, right: Right, name: &RepositoryName) -> bool {
        self.granting(user, right).any(|rule| rule.repository.matches(name))
    }

    /// May they do it in some repository?
    pub fn allow_somewhere(&self, user: Option<&str>, right: Right) -> bool {
        self.granting(user, right).next().is_some()
    }

    /// May they do it in every repository, those to come too?
    pub fn allow_everywhere(&self, user: Option<&str>, right: Right) -> bool {
        let everything = Pattern::everything();
        self.granting(user, right).any(|rule| rule.repository == everything)
    }

    fn granting<'a>(&'a self, user: Option<&'a str>, right: Right) -> impl Iterator<Item = &'a Rule> {
        self.0.iter().filter(move |rule| rule.grants(right) && rule.who.includes(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    /// `user pattern rights`, a line each.
    fn rules(text: &str) -> Rules {
        let rule = |line: &str| {
            let [who, pattern, rights] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let has = |right: &str| rights.contains(right);
            Rule {
                who: Who::parse(who),
                repository: Pattern::parse(pattern).unwrap(),
                pull: has("pull"),
                push: has("push"),
                delete: has("delete"),
            }
        };
        Rules::these(text.lines().map(|line| rule(line.trim())).collect())
    }

    #[track_caller]
    fn check_rights(rules: &Rules, user: Option<&str>, repository: &str, expect: &str) {
        let rights = [Right::Pull, Right::Push, Right::Delete];
        let allowed = rights.iter().filter(|right| rules.allow(user, **right, &name(repository)));
        let allowed: Vec<String> = allowed.map(Right::to_string).collect();
        assert_eq!(allowed.join(" "), expect, "{user:?} in {repository}");
    }

    #[test]
    fn one_may_what_any_rule_grants_and_nothing_else() {
        let rules = rules(
            "anyone public/** pull
             * shared/* pull,push
             alice team/** pull
             alice team/app push
             alice shared/* delete",
        );
        check_rights(&rules, None, "public/a/b", "pull");
        check_rights(&rules, None, "shared/a", "");
        check_rights(&rules, None, "team/app", "");
        check_rights(&rules, Some("bob"), "public/a", "pull");
        check_rights(&rules, Some("bob"), "shared/a", "pull push");
        check_rights(&rules, Some("bob"), "team/app", "");
        check_rights(&rules, Some("alice"), "team/app", "pull push");
        check_rights(&rules, Some("alice"), "team/other", "pull");
        check_rights(&rules, Some("alice"), "shared/a", "pull push delete");
        check_rights(&rules, Some("alice"), "nobodys", "");
        check_rights(&rules, Some("alic"), "team/app", "");
        check_rights(&rules, Some("*"), "team/app", "");

        assert!(rules.allow_somewhere(None, Right::Pull) && !rules.allow_somewhere(None, Right::Push));
        assert!(!rules.allow_everywhere(Some("alice"), Right::Pull));
    }

    #[test]
    fn without_rules_all_or_all_users_may_do_everything() {
        check_rights(&Rules::open(), None, "a/b", "pull push delete");
        check_rights(&Rules::every_user(), None, "a/b", "");
        check_rights(&Rules::every_user(), Some("bob"), "a/b", "pull push delete");
        let public = Rules::every_user().and_anyone_pulls();
        check_rights(&public, None, "a/b", "pull");
        check_rights(&public, Some("bob"), "a/b", "pull push delete");
        assert!(public.allow_everywhere(None, Right::Pull));
    }
}
