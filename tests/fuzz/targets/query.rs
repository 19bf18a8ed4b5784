//! The query of a request target, and percent-encoding ([`container_registry::route`]).
//!
//! Input: `n=5&last=a%2Fb`.
#![no_main]

use container_registry::route::{Query, decode, encode};
use container_registry_fuzz::large;
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;

fuzz_target!(|input: &str| {
    assert_eq!(decode(input), percent_decode_str(input).decode_utf8_lossy());
    assert_eq!(decode(&encode(input)), input);
    assert!(encode(input).bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));

    // As it came: the pairs are those that stand there.
    let query = Query::parse(input);
    let parts = input.split('&').filter(|part| !part.is_empty());
    let pairs: Vec<(String, String)> = parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    check(&query, &pairs);

    // Written by us: whatever names and values are, they come back.
    let pairs: Vec<(String, String)> = input
        .split('&')
        .map(|part| part.split_once('=').unwrap_or((part, part)))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let written: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    check(&Query::parse(&written.join("&")), &pairs);

    if let Some(large) = large(input.as_bytes(), |_| input.as_bytes().to_vec()) {
        drop(Query::parse(str::from_utf8(&large).unwrap()));
    }
});

fn check(query: &Query, pairs: &[(String, String)]) {
    for name in
        ["n", "last", "tag", "digest"].into_iter().chain(pairs.iter().map(|(name, _)| name.as_str()).take(3))
    {
        let expect: Vec<&str> =
            pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(query.all(name).collect::<Vec<_>>(), expect, "{name}");
    }
    let expect: Vec<&String> = pairs.iter().filter(|(key, _)| key == "n").map(|(_, value)| value).collect();
    match (query.one("n"), query.number("n"), expect[..].split_first()) {
        (Ok(None), Ok(None), None) => {}
        (Ok(Some(text)), Ok(Some(number)), Some((first, []))) => {
            assert_eq!(text, *first);
            assert!(text.bytes().all(|b| b.is_ascii_digit()));
            assert_eq!(text.trim_start_matches('0'), number.to_string().trim_start_matches('0'));
        }
        (Ok(Some(text)), Err(error), Some((first, []))) => {
            assert_eq!((text, error.status()), (first.as_str(), 400));
            assert!(
                text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) || text.len() >= 20,
                "{text}"
            );
        }
        (Err(_), Err(error), Some((_, [_, ..]))) => assert_eq!(error.status(), 400),
        other => panic!("{other:?}"),
    }
}
