//! Patterns: which repositories, and which tags, a setting is for.
//!
//! `*` stands for any run of characters but `/`, and `**` for any run at all. A run may be empty. So `team/*` is
//! `team/app` but not `team/app/cache`, `team/**` is both, neither is `team`, and `**` is every repository.

use crate::name::{NAME_BYTES_MAX, RepositoryName};
use crate::reference::{TAG_BYTES_MAX, Tag};

/// Repositories: a name with stars. The longest is as long as the longest name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// This character of a name.
    Character(u8),
    /// `*`
    WithinComponent,
    /// `**`
    Across,
}

impl Pattern {
    /// Reads a pattern. `None`: it has a character that no repository name has, or three stars in a row, is
    /// empty or longer than a name.
    pub fn parse(text: &str) -> Option<Self> {
        let is_of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b);
        Self::parse_with(text, NAME_BYTES_MAX, is_of_name)
    }

    fn parse_with(text: &str, bytes_max: usize, is_character: impl Fn(u8) -> bool) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text.as_bytes();
        loop {
            rest = match rest {
                [] => break,
                [b'*', b'*', b'*', ..] => return None,
                [b'*', b'*', rest @ ..] => {
                    parts.push(Part::Across);
                    rest
                }
                [b'*', rest @ ..] => {
                    parts.push(Part::WithinComponent);
                    rest
                }
                [character, rest @ ..] if is_character(*character) => {
                    parts.push(Part::Character(*character));
                    rest
                }
                _ => return None,
            }
        }
        (!text.is_empty() && text.len() <= bytes_max).then_some(Self(parts))
    }

    /// The pattern `**`.
    pub fn everything() -> Self {
        Self(vec![Part::Across])
    }

    /// Is the name one of them?
    pub fn matches(&self, name: &RepositoryName) -> bool {
        self.match_text(name.as_str())
    }

    /// Takes time in proportion to pattern and text, whatever the stars: all places of the pattern that the text
    /// read so far can have led to are kept side by side.
    fn match_text(&self, text: &str) -> bool {
        let mut places = vec![false; self.0.len() + 1];
        let mut next = places.clone();
        places[0] = true;
        self.step_over_stars(&mut places);
        for character in text.bytes() {
            next.fill(false);
            for (at, part) in self.0.iter().enumerate().filter(|(at, _)| places[*at]) {
                match part {
                    Part::Character(wanted) => next[at + 1] |= *wanted == character,
                    Part::WithinComponent => next[at] |= character != b'/',
                    Part::Across => next[at] = true,
                }
            }
            std::mem::swap(&mut places, &mut next);
            self.step_over_stars(&mut places);
        }
        places.last() == Some(&true)
    }

    /// A star may stand for nothing.
    fn step_over_stars(&self, places: &mut [bool]) {
        for (at, part) in self.0.iter().enumerate() {
            if matches!(part, Part::WithinComponent | Part::Across) {
                places[at + 1] |= places[at];
            }
        }
    }
}

/// Tags: several `name:tag`, both with stars, and commas between. In a tag, which has no `/`, one star is as good
/// as two. `library/*:v*` is `v1` of `library/hello`, and `**:**` is every tag there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagPatterns(Vec<(Pattern, Pattern)>);

impl TagPatterns {
    /// Reads a list, which may be empty. `None`: one of them is no such pattern.
    pub fn parse(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        let is_of_tag = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let one = |text: &str| {
            let (name, tag) = text.trim().split_once(':')?;
            Some((Pattern::parse(name)?, Pattern::parse_with(tag, TAG_BYTES_MAX, is_of_tag)?))
        };
        text.split(',').map(one).collect::<Option<_>>().map(Self)
    }

    /// Can a tag of this repository be one of them?
    pub fn match_a_tag_of(&self, name: &RepositoryName) -> bool {
        self.0.iter().any(|(names, _)| names.matches(name))
    }

    /// Is this tag one of them?
    pub fn match_tag(&self, name: &RepositoryName, tag: &Tag) -> bool {
        self.0.iter().any(|(names, tags)| tags.match_text(tag.as_str()) && names.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap();
        for text in matching {
            assert!(parsed.matches(&name(text)), "{pattern} should match {text}");
        }
        for text in others {
            assert!(!parsed.matches(&name(text)), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn stars_stand_for_runs_of_characters() {
        check("team/app", &["team/app"], &["team", "team/ap", "team/app2", "team/app/x", "x/team/app"]);
        check("team/*", &["team/a", "team/app-1.x"], &["team", "teams/a", "team/a/b", "x/team/a"]);
        check("team/**", &["team/a", "team/a/b", "team/a/b/c"], &["team", "teams/a"]);
        check("**", &["a", "a/b", "a/b/c"], &[]);
        check("*", &["a", "a-b.c"], &["a/b"]);
        check("*/app", &["a/app", "b/app"], &["app", "a/b/app", "a/apps"]);
        check("**/app", &["a/app", "a/b/app"], &["app", "a/xapp2"]);
        check("a*c", &["ac", "abc", "abbc", "acc"], &["a/c", "ab", "bac"]);
        check("a**c", &["ac", "a/c", "abc/abc"], &["ab", "a/cd"]);
        check("*-*/x**", &["a-b/x", "a-b/xy/z"], &["ab/x", "a-b/y"]);
        check("team/**/x", &["team/a/x", "team/a/b/x"], &["team/x"]);
    }

    #[test]
    fn a_pattern_that_could_match_nothing_is_refused() {
        for text in ["", "Team/*", "team/***", "a b", "a?", "[ab]", "a:b", "ä*", &"a".repeat(256)] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_one() {
        let pattern = Pattern::parse(&"**a".repeat(85)).unwrap();
        assert!(pattern.matches(&name(&"a".repeat(255))));
        assert!(!pattern.matches(&name(&"b".repeat(255))));
    }

    #[track_caller]
    fn check_tags(patterns: &str, matching: &[&str], others: &[&str]) {
        let parsed = TagPatterns::parse(patterns).unwrap();
        let is_one = |text: &str| {
            let (repository, tag) = text.split_once(':').unwrap();
            let is_one = parsed.match_tag(&name(repository), &Tag::parse(tag).unwrap());
            assert!(parsed.match_a_tag_of(&name(repository)) || !is_one);
            is_one
        };
        matching.iter().for_each(|text| assert!(is_one(text), "{patterns} should match {text}"));
        others.iter().for_each(|text| assert!(!is_one(text), "{patterns} should not match {text}"));
    }

    #[test]
    fn tags_are_matched_with_their_repositories() {
        check_tags(
            "library/*:v*",
            &["library/a:v1", "library/a:v"],
            &["library/a:V1", "a:v1", "library/a/b:v1"],
        );
        check_tags("**:release-*", &["a:release-1", "a/b:release-"], &["a:Release-1", "a:release"]);
        check_tags("a:v1, b:v2", &["a:v1", "b:v2"], &["a:v2", "b:v1"]);
        check_tags("a:*", &["a:v1.0_X-y"], &["b:v1"]);
        check_tags("**:**", &["a/b/c:latest"], &[]);
        check_tags("", &[], &["a:v1"]);
        let patterns = TagPatterns::parse("library/*:v*").unwrap();
        assert!(patterns.match_a_tag_of(&name("library/a")) && !patterns.match_a_tag_of(&name("a")));
    }

    #[test]
    fn what_is_no_pattern_of_tags_is_refused() {
        for text in
            ["a", "a:", ":v1", "a:b:c", "A:v1", "a:v/1", "a:***", "a:v1,", "a:v1,,b:v1", "a:v 1", "a:\0"]
        {
            assert_eq!(TagPatterns::parse(text), None, "{text}");
        }
        assert_eq!(TagPatterns::parse(&format!("a:{}", "v".repeat(129))), None);
    }
}
