//! "Did you mean …?"

use std::fmt::Display;

/// What to add to the message about an unknown name.
pub(crate) fn did_you_mean(near: Option<impl Display>) -> String {
    near.map_or(String::new(), |near| format!(" (did you mean {near}?)"))
}

/// The name that was probably meant: at most a third of its letters are wrong.
pub(crate) fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let ranked = names.map(|name| (edits(given, name), name));
    ranked.filter(|&(edits, name)| edits <= (name.len() / 3).max(1)).min().map(|(_, name)| name)
}

/// How many letters must be added, removed, changed or swapped with the next to make `b` of `a`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect(); // from nothing to the first j letters of b
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        for (given, expect) in [
            ("prot", Some("port")),
            ("ports", Some("port")),
            ("Port", Some("port")),
            ("adress", Some("address")),
            ("read_timout", Some("read_timeout")),
            ("path", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, ["port", "address", "read_timeout"].into_iter()), expect, "{given}");
        }
    }
}
