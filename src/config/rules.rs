//! `auth.rules` of the file: from JSON to rules, with the place of each mistake.

use serde_json::{Map, Value};

use super::file::{kind_of, object};
use super::{did_you_mean, nearest};
use crate::auth::rules::{Pattern, Rule, Who};

const FIELDS: [&str; 5] = ["user", "repository", "pull", "push", "delete"];

/// Reads the list. `name` is what messages call it.
///
/// # Errors
/// What is wrong, beginning with where: `auth.rules[2].push is a number, but must be true or false`.
pub(super) fn parse(name: &str, value: Value) -> Result<Vec<Rule>, String> {
    match value {
        Value::Array(rules) if rules.is_empty() => {
            Err(format!("{name} is empty, so nobody could do anything; leave it out for no rules"))
        }
        Value::Array(rules) => {
            let rules = rules.into_iter().enumerate();
            rules.map(|(at, rule)| parse_rule(&format!("{name}[{at}]"), rule)).collect()
        }
        other => Err(format!("{name} is {}, but must be a list", kind_of(&other))),
    }
}

fn parse_rule(name: &str, value: Value) -> Result<Rule, String> {
    let members = object(name, value)?;
    if let Some(given) = members.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        let near = did_you_mean(nearest(given, FIELDS.into_iter()));
        let (given, fields) = (given.escape_debug(), FIELDS.join(", "));
        return Err(format!("{name}.{given} is not a field{near}; a rule has {fields}"));
    }
    let user = text(name, &members, "user")?;
    if user.is_empty() {
        return Err(format!("{name}.user is empty; it is a name, \"*\" or \"anyone\""));
    }
    let repository = text(name, &members, "repository")?;
    let Some(pattern) = Pattern::parse(repository) else {
        return Err(format!(
            "{name}.repository: {repository:?} is not a pattern: a repository name in which * stands for any \
             run of characters but /, and ** for any run at all"
        ));
    };
    let rule = Rule {
        who: Who::parse(user),
        repository: pattern,
        pull: switch(name, &members, "pull")?,
        push: switch(name, &members, "push")?,
        delete: switch(name, &members, "delete")?,
    };
    match rule {
        Rule { pull: false, push: false, delete: false, .. } => {
            Err(format!("{name} grants nothing: set pull, push or delete to true"))
        }
        rule => Ok(rule),
    }
}

fn text<'a>(name: &str, members: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    match members.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{name}.{key} is {}, but must be a string", kind_of(other))),
        None => Err(format!("{name} has no {key}")),
    }
}

fn switch(name: &str, members: &Map<String, Value>, key: &str) -> Result<bool, String> {
    match members.get(key) {
        Some(Value::Bool(is_set)) => Ok(*is_set),
        Some(other) => Err(format!("{name}.{key} is {}, but must be true or false", kind_of(other))),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_says_who_where_and_what() {
        let rules = json!([
            { "user": "alice", "repository": "team/*", "pull": true, "push": true, "delete": false },
            { "user": "anyone", "repository": "**", "pull": true },
        ]);
        let expect = |who, pattern, push| Rule {
            who,
            repository: Pattern::parse(pattern).unwrap(),
            pull: true,
            push,
            delete: false,
        };
        assert_eq!(
            parse("auth.rules", rules),
            Ok(vec![expect(Who::User("alice".into()), "team/*", true), expect(Who::Anyone, "**", false)])
        );
    }

    #[track_caller]
    fn check_refused(rule: Value, why: &str) {
        let good = json!({ "user": "*", "repository": "**", "pull": true });
        assert_eq!(parse("auth.rules", json!([good, rule])), Err(why.to_owned()));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        check_refused(
            json!({ "user": "a", "repositry": "b", "pull": true }),
            "auth.rules[1].repositry is not a field (did you mean repository?); \
             a rule has user, repository, pull, push, delete",
        );
        check_refused(json!({ "repository": "b", "pull": true }), "auth.rules[1] has no user");
        check_refused(json!({ "user": "a", "pull": true }), "auth.rules[1] has no repository");
        check_refused(
            json!({ "user": "", "repository": "b" }),
            "auth.rules[1].user is empty; it is a name, \"*\" or \"anyone\"",
        );
        check_refused(
            json!({ "user": ["a"], "repository": "b" }),
            "auth.rules[1].user is a list, but must be a string",
        );
        check_refused(
            json!({ "user": "a", "repository": "b", "push": "true" }),
            "auth.rules[1].push is a string, but must be true or false",
        );
        check_refused(
            json!({ "user": "a", "repository": "b", "push": null }),
            "auth.rules[1].push is null, but must be true or false",
        );
        check_refused(
            json!({ "user": "a", "repository": "Team/*", "push": true }),
            "auth.rules[1].repository: \"Team/*\" is not a pattern: a repository name in which * stands for any \
             run of characters but /, and ** for any run at all",
        );
        check_refused(
            json!({ "user": "a", "repository": "b", "push": false }),
            "auth.rules[1] grants nothing: set pull, push or delete to true",
        );
        check_refused(json!("a"), "auth.rules[1] is a string, but must be an object");
        let empty = "auth.rules is empty, so nobody could do anything; leave it out for no rules";
        assert_eq!(parse("auth.rules", json!([])), Err(empty.to_owned()));
        let other = "auth.rules is an object, but must be a list";
        assert_eq!(parse("auth.rules", json!({})), Err(other.to_owned()));
    }
}
