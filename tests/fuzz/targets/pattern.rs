//! Rules for repositories ([`container_registry::auth::rules`]), beside regular expressions.
//!
//! Input: a pattern, a line end, and a name: `team/*`, `team/app`.
#![no_main]

use container_registry::auth::rules::{Pattern, Right, Rule, Rules, Who};
use container_registry::name::{NAME_BYTES_MAX, RepositoryName};
use libfuzzer_sys::fuzz_target;
use regex::Regex;

fuzz_target!(|input: &str| {
    let (text, name) = input.split_once('\n').unwrap_or((input, "team/app"));
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/*".contains(&b);
    let valid = !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(is_plain)
        && !text.contains("***");
    let pattern = Pattern::parse(text);
    assert_eq!(pattern.is_some(), valid);
    let (Some(pattern), Ok(name)) = (pattern, RepositoryName::parse(name)) else { return };

    let matches = pattern.matches(&name);
    assert_eq!(matches, expression(text).is_match(name.as_str()));
    assert!(Pattern::everything().matches(&name));
    let itself = Pattern::parse(name.as_str()).unwrap();
    assert!(itself.matches(&name), "a name is a pattern of itself alone");

    let rules = rules_of(pattern);
    assert_eq!(rules.allow(Some("alice"), Right::Pull, &name), matches);
    assert!(matches || !rules.allow_everywhere(Some("alice"), Right::Pull));
    assert!(!rules.allow(Some("alice"), Right::Push, &name) && !rules.allow(None, Right::Pull, &name));
    assert!(rules.and_anyone_pulls().allow(None, Right::Pull, &name));
});

fn expression(pattern: &str) -> Regex {
    let escaped = pattern.replace('.', r"\.").replace("**", "@").replace('*', "[^/]*").replace('@', ".*");
    Regex::new(&format!(r"\A(?:{escaped})\z")).unwrap()
}

fn rules_of(repository: Pattern) -> Rules {
    Rules::these(vec![Rule { who: Who::Users, repository, pull: true, push: false, delete: false }])
}
