//! Byte ranges: which part of a blob a client wants (RFC 9110, 14), and which part a chunk is.

use crate::error::Error;

/// How many ranges one request may ask for. More than a few is nobody's need, and each costs.
pub const RANGES_MAX: usize = 16;

/// A part of a blob: `start` to `start + length - 1`, not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first byte.
    pub start: u64,
    /// How many.
    pub length: u64,
}

impl Part {
    /// `bytes 0-9/100`, for `Content-Range`.
    pub fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.start + (self.length - 1))
    }
}

/// Reads a `Range` header for a blob of `size` bytes. `None`: the header is to be ignored and the whole blob
/// sent, which is what RFC 9110 (14.2) says of ranges that make no sense, and what suits too many of them.
///
/// # Errors
/// [`Error::RangeNotSatisfiable`] when every range lies behind the end.
pub fn parse(header: &str, size: u64) -> Result<Option<Vec<Part>>, Error> {
    let Some(set) = header.trim().strip_prefix("bytes=") else { return Ok(None) };
    let mut parts = Vec::new();
    let mut count = 0;
    for text in set.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        count += 1;
        match parse_one(text, size) {
            Some(part) if count <= RANGES_MAX => parts.extend(part),
            _ => return Ok(None),
        }
    }
    // Parts that add up to more than the blob are an attack or a mistake; the blob itself answers both.
    let sum = parts.iter().try_fold(0u64, |sum, part: &Part| sum.checked_add(part.length));
    match count {
        0 => Ok(None),
        _ if parts.is_empty() => Err(Error::RangeNotSatisfiable { size }),
        1 => Ok(Some(parts)),
        _ => Ok(sum.is_some_and(|sum| sum <= size).then_some(parts)),
    }
}

/// One of `5-9`, `5-`, `-5`. The outer `None`: malformed; the inner: behind the end.
#[allow(clippy::option_option)] // three outcomes, named above
fn parse_one(text: &str, size: u64) -> Option<Option<Part>> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX)) // so many bytes nothing has; it means "to the end"
    };
    let (first, last) = text.split_once('-')?;
    let (start, end) = match (first, last) {
        ("", last) => (size.saturating_sub(number(last)?), size), // the last so many; of 0 there are none
        (first, "") => (number(first)?, size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Some(None); // RFC 9110 (14.2) lets a server ignore or reject it; a refusal says more
            }
            (first, last.saturating_add(1).min(size))
        }
    };
    Some((start < end).then(|| Part { start, length: end - start }))
}

/// Reads the `Content-Range` of a chunk: `<first>-<last>`, as the spec has it. `bytes 0-9/100` and `bytes=0-9`,
/// which some clients send, mean the same.
///
/// # Errors
/// [`Error::HeaderInvalid`] for anything else, for a last byte before the first, and for numbers from 2^64 on.
pub fn parse_content_range(text: &str) -> Result<Part, Error> {
    let invalid = || Error::HeaderInvalid {
        name: "Content-Range",
        given: text.to_owned(),
        want: "<first byte>-<last byte>, like 0-1023",
    };
    let trimmed = text.trim();
    let range = trimmed.strip_prefix("bytes").map_or(trimmed, |rest| rest.trim_start_matches([' ', '=']));
    let range = range.split('/').next().unwrap_or(range);
    let number = |text: &str| {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            text.parse::<u64>().map_err(|_| invalid())
        } else {
            Err(invalid())
        }
    };
    let (first, last) = range.split_once('-').ok_or_else(invalid)?;
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_sub(first).and_then(|length| length.checked_add(1)).ok_or_else(invalid)?;
    Ok(Part { start: first, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `want`: the parts as `start+length`, or `whole`, or `none`.
    #[track_caller]
    fn check(header: &str, size: u64, want: &str) {
        let got = match parse(header, size) {
            Ok(None) => "whole".to_owned(),
            Ok(Some(parts)) => {
                let texts: Vec<String> =
                    parts.iter().map(|part| format!("{}+{}", part.start, part.length)).collect();
                texts.join(" ")
            }
            Err(_) => "none".to_owned(),
        };
        assert_eq!(got, want, "{header:?} of {size}");
    }

    #[test]
    fn ranges_of_every_form() {
        check("bytes=0-0", 10, "0+1");
        check("bytes=2-5", 10, "2+4");
        check("bytes=5-", 10, "5+5");
        check("bytes=-3", 10, "7+3");
        check("bytes=-30", 10, "0+10");
        check("bytes=5-99999999999999999999999999", 10, "5+5");
        check("bytes=0-1, 4-5 ,8-", 10, "0+2 4+2 8+2");
        check("bytes=0-1,90-", 10, "0+2");
    }

    #[test]
    fn what_cannot_be_satisfied_is_an_error() {
        check("bytes=10-", 10, "none");
        check("bytes=-0", 10, "none");
        check("bytes=0-", 0, "none");
        check("bytes=-5", 0, "none");
        check("bytes=5-2", 10, "none");
        check("bytes=18446744073709551615-18446744073709551615", 10, "none");
    }

    #[test]
    fn what_makes_no_sense_is_ignored() {
        for header in ["", "bytes", "bytes=", "bytes=a-b", "bytes=-", "bytes=1", "items=0-1", "bytes=+1-2"] {
            check(header, 10, "whole");
        }
        check(&format!("bytes={}", "0-0,".repeat(RANGES_MAX)), 1000, "0+1 ".repeat(RANGES_MAX).trim_end());
        check(&format!("bytes={}", "0-0,".repeat(RANGES_MAX + 1)), 1000, "whole");
        check("bytes=0-9,0-9", 10, "whole");
        check("bytes=0-0,0-", u64::MAX, "whole");
    }

    #[test]
    fn chunks_say_where_they_belong() {
        let part = |text| parse_content_range(text).map(|part| (part.start, part.length)).ok();
        assert_eq!(part("0-9"), Some((0, 10)));
        assert_eq!(part("bytes 10-10/*"), Some((10, 1)));
        assert_eq!(part("bytes=5-9"), Some((5, 5)));
        assert_eq!(part("0-18446744073709551614"), Some((0, u64::MAX)));
        assert_eq!(part("18446744073709551615-18446744073709551615"), Some((u64::MAX, 1)));
        for text in
            ["", "-", "5", "9-5", "a-b", "-5", "5-", "0-18446744073709551615", "0-99999999999999999999"]
        {
            assert_eq!(part(text), None, "{text:?}");
        }
        let last = Part { start: u64::MAX, length: 1 };
        assert_eq!(last.content_range(0), "bytes 18446744073709551615-18446744073709551615/0");
    }
}
