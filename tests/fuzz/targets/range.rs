//! `Range` and `Content-Range` ([`container_registry::range`]).
//!
//! Input: the size of the blob, a line end, and the header: `100`, `bytes=0-9,-5`.
#![no_main]

use std::sync::LazyLock;

use container_registry::error::Error;
use container_registry::range::{self, Part, RANGES_MAX, parse_content_range};
use libfuzzer_sys::fuzz_target;
use regex::Regex;

fuzz_target!(|input: &str| {
    let (size, header) = input.split_once('\n').unwrap_or(("100", input));
    check_range(header, size.parse().unwrap_or(u64::MAX));
    for size in 0..20 {
        assert_eq!(range::parse(header, size).ok(), by_definition(header, size), "of {size}");
    }
    check_content_range(header);
});

/// What is sent lies in the blob, and is not more than it.
fn check_range(header: &str, size: u64) {
    match range::parse(header, size) {
        Ok(None) => {}
        Ok(Some(parts)) => {
            assert!(!parts.is_empty() && parts.len() <= RANGES_MAX);
            let mut sum: u64 = 0;
            for part in parts {
                let end = part.start.checked_add(part.length).unwrap();
                assert!(part.length > 0 && end <= size, "{part:?}");
                sum = sum.checked_add(part.length).unwrap();
                assert_eq!(parse_content_range(&part.content_range(size)).unwrap(), part);
            }
            assert!(sum <= size, "{sum}");
        }
        Err(error) => assert!(matches!(error, Error::RangeNotSatisfiable { size: told } if told == size)),
    }
}

/// What `Range` asks for of a small blob, found by asking of each byte whether it is meant (RFC 9110, 14.1.2).
/// The outer `None` is an error.
fn by_definition(header: &str, size: u64) -> Option<Option<Vec<Part>>> {
    let Some(set) = header.trim().strip_prefix("bytes=") else { return Some(None) };
    let ranges: Vec<&str> = set.split(',').map(str::trim).filter(|range| !range.is_empty()).collect();
    let well_formed = |range: &&str| RANGE.is_match(range);
    if ranges.is_empty() || ranges.len() > RANGES_MAX || !ranges.iter().all(well_formed) {
        return Some(None);
    }
    let is_meant = |range: &str, byte: u64| {
        let byte = u128::from(byte);
        let number = |text: &str| text.parse::<u128>().unwrap_or(u128::MAX);
        match range.split_once('-').unwrap() {
            ("", length) => number(length) >= u128::from(size) - byte,
            (first, "") => number(first) <= byte,
            (first, last) => number(first) <= byte && byte <= number(last),
        }
    };
    let part = |range: &&str| {
        let bytes: Vec<u64> = (0..size).filter(|byte| is_meant(range, *byte)).collect();
        bytes.first().map(|start| Part { start: *start, length: bytes.len() as u64 })
    };
    let parts: Vec<Part> = ranges.iter().filter_map(part).collect();
    let sum: u64 = parts.iter().map(|part| part.length).sum();
    match parts.is_empty() {
        true => None,
        false => Some((ranges.len() == 1 || sum <= size).then_some(parts)),
    }
}

static RANGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\A([0-9]+-[0-9]*|-[0-9]+)\z").unwrap());

static CONTENT_RANGE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)\A\s*(?:bytes[ =]*)?([0-9]+)-([0-9]+)(?:\s*|/.*)\z").unwrap());

fn check_content_range(header: &str) {
    match (parse_content_range(header), CONTENT_RANGE.captures(header)) {
        (Ok(part), Some(found)) => {
            let (first, last): (u64, u64) = (found[1].parse().unwrap(), found[2].parse().unwrap());
            assert_eq!((part.start, part.length - 1), (first, last - first));
            // Whoever has taken the chunk can add up.
            assert_eq!(part.content_range(0), format!("bytes {first}-{last}/0"));
        }
        (Err(error), None) => assert_eq!(error.status(), 400),
        (Err(error), Some(found)) => {
            assert_eq!(error.status(), 400);
            let bounds = (found[1].parse::<u64>(), found[2].parse::<u64>());
            let fits = matches!(bounds, (Ok(first), Ok(last)) if first <= last && last - first < u64::MAX);
            assert!(!fits, "{header:?}");
        }
        (Ok(part), None) => panic!("{part:?}"),
    }
}
