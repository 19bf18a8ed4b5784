//! From text to values: one function for each kind of setting.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::StorageType;
use crate::log::{Format, Level};
use crate::pattern::TagPatterns;
use crate::percent::Percent;
use crate::proxies::Proxies;

/// What a value should have been, to stand after "is not": `a port: a number from 0 to 65535`.
pub(super) type Want = &'static str;

/// The longest duration that can be set: a year. Much longer ones overflow when added to a point in time.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(super) fn address(text: &str) -> Result<IpAddr, Want> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text.parse().map_err(|_| "an IP address, such as 127.0.0.1, 0.0.0.0 or ::1"),
    }
}

pub(super) fn port(text: &str) -> Result<u16, Want> {
    number(text).and_then(|n| n.try_into().ok()).ok_or("a port: a number from 0 to 65535")
}

/// Address and port in one. Without an address, the one that is set otherwise stays.
pub(super) fn listen(text: &str) -> Result<(Option<IpAddr>, u16), Want> {
    let want = "an address and port, such as 127.0.0.1:5080, [::1]:5080, :5080 or 5080";
    let (host, port_text) = text.rsplit_once(':').unwrap_or(("", text));
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match in_brackets {
        Some(v6) => Some(v6.parse::<Ipv6Addr>().map_err(|_| want)?.into()),
        None if host.is_empty() => None,
        None if host.contains(':') => return Err(want), // `::1:5080` could be meant in two ways
        None => Some(address(host).map_err(|_| want)?),
    };
    Ok((host, port(port_text).map_err(|_| want)?))
}

/// A number with its unit, or of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, Want> {
    let (amount, unit) = split_unit(text);
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let duration = number(amount)
        .filter(|_| milliseconds > 0)
        .and_then(|amount| amount.checked_mul(milliseconds))
        .map(Duration::from_millis);
    duration.filter(|&d| d <= DURATION_MAX).ok_or("a time: 500ms, 60s, 2m or 1h, at most a year")
}

/// A number of bytes, or with its unit. Not KB or MB: half of the world takes them for powers of ten.
pub(super) fn size(text: &str) -> Result<u64, Want> {
    let (amount, unit) = split_unit(text);
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let size = number(amount).and_then(|amount| amount.checked_mul(bytes));
    size.filter(|&size| size > 0).ok_or("a size above zero: bytes, or 512KiB, 8MiB, 1GiB")
}

/// `http(s)://host[:port][/path]` without a slash at the end, so that a path can follow. Empty: none.
pub(super) fn public_url(text: &str) -> Result<Option<String>, Want> {
    let url = text.trim_end_matches('/');
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return if text.is_empty() { Ok(None) } else { Err(URL_WANT) };
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b);
    if is_authority(authority) && path.bytes().all(is_path) {
        Ok(Some(url.to_owned()))
    } else {
        Err(URL_WANT)
    }
}

const URL_WANT: Want = "a URL of the form http(s)://host[:port][/path]";

/// `host` or `host:port`; an IPv6 address stands in brackets.
fn is_authority(text: &str) -> bool {
    let (host, port_text) = match text.rsplit_once(':') {
        Some((host, port_text)) if !text.ends_with(']') => (host, Some(port_text)),
        _ => (text, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    is_host && port_text.is_none_or(|text| port(text).is_ok_and(|port| port > 0))
}

/// A share of the whole.
pub(super) fn percent(text: &str) -> Result<Percent, Want> {
    Percent::parse(text).ok_or("a share: 10%, 0.5%, at most 100%")
}

pub(super) fn storage_type(text: &str) -> Result<StorageType, Want> {
    match text {
        "filesystem" => Ok(StorageType::Filesystem),
        _ => Err("a way to store: filesystem"),
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, Want> {
    if text.is_empty() || text.contains('\0') {
        Err("a path: at least one character")
    } else {
        Ok(text.into())
    }
}

/// A path, or none.
pub(super) fn optional_path(text: &str) -> Result<Option<PathBuf>, Want> {
    if text.is_empty() { Ok(None) } else { path(text).map(Some) }
}

pub(super) fn proxies(text: &str) -> Result<Proxies, Want> {
    Proxies::parse(text).ok_or("a list of IP addresses and networks, such as 127.0.0.1,10.0.0.0/8,fd00::/8")
}

pub(super) fn tag_patterns(text: &str) -> Result<TagPatterns, Want> {
    TagPatterns::parse(text).ok_or("a list of patterns name:tag, such as library/*:v*,**:release-*")
}

pub(super) fn switch(text: &str) -> Result<bool, Want> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false"),
    }
}

pub(super) fn level(text: &str) -> Result<Level, Want> {
    match text.to_ascii_lowercase().as_str() {
        "error" => Ok(Level::Error),
        "warn" => Ok(Level::Warn),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        _ => Err("a level: error, warn, info or debug"),
    }
}

pub(super) fn format(text: &str) -> Result<Format, Want> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("a log format: text or json"),
    }
}

/// Digits and nothing else; Rust's own parser would take `+5`.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn split_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    #[track_caller]
    fn check<T: PartialEq + Debug>(parse: fn(&str) -> Result<T, Want>, text: &str, expect: Option<T>) {
        assert_eq!(parse(text).ok(), expect, "{text:?}");
    }

    #[test]
    fn a_port_is_a_number_of_sixteen_bits() {
        check(port, "0", Some(0));
        check(port, "65535", Some(65535));
        for text in ["", "65536", "-1", "+1", "1.0", "abc", " 1", "99999999999999999999"] {
            check(port, text, None);
        }
    }

    #[test]
    fn an_address_is_an_ip_address() {
        check(address, "0.0.0.0", Some(Ipv4Addr::UNSPECIFIED.into()));
        check(address, "::1", Some(Ipv6Addr::LOCALHOST.into()));
        check(address, "localhost", Some(Ipv4Addr::LOCALHOST.into()));
        for text in ["", "example.org", "127.0.0.1:80", "[::1]", "1.2.3"] {
            check(address, text, None);
        }
    }

    #[test]
    fn where_to_listen_has_a_port_and_perhaps_an_address() {
        check(listen, "0.0.0.0:80", Some((Some(Ipv4Addr::UNSPECIFIED.into()), 80)));
        check(listen, "[::1]:5080", Some((Some(Ipv6Addr::LOCALHOST.into()), 5080)));
        check(listen, "localhost:0", Some((Some(Ipv4Addr::LOCALHOST.into()), 0)));
        check(listen, ":5080", Some((None, 5080)));
        check(listen, "5080", Some((None, 5080)));
        for text in
            ["", ":", "127.0.0.1", "127.0.0.1:", "::1:5080", "[::1]", "[127.0.0.1]:80", "[]:1", "a:80"]
        {
            check(listen, text, None);
        }
    }

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("60", 60_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("0s", 0),
            ("8760h", 8760 * 3_600_000),
        ] {
            check(duration, text, Some(Duration::from_millis(milliseconds)));
        }
        for text in ["", "s", "-1s", "1.5s", "1 s", "1d", "1S", "8761h", "18446744073709551615h", "1m30s"] {
            check(duration, text, None);
        }
    }

    #[test]
    fn sizes_have_a_unit_or_are_bytes() {
        for (text, bytes) in
            [("1", 1), ("10B", 10), ("512KiB", 512 << 10), ("8MiB", 8 << 20), ("2GiB", 2 << 30)]
        {
            check(size, text, Some(bytes));
        }
        for text in ["", "0", "0MiB", "-1", "8MB", "8M", "8mib", "1.5MiB", "MiB", "18446744073709551615KiB"] {
            check(size, text, None);
        }
    }

    #[test]
    fn a_public_url_is_kept_without_its_last_slash() {
        for (text, kept) in [
            ("https://example.org", "https://example.org"),
            ("http://example.org:5080/", "http://example.org:5080"),
            ("https://[::1]:443/registry/a%20b//", "https://[::1]:443/registry/a%20b"),
        ] {
            check(public_url, text, Some(Some(kept.to_owned())));
        }
        check(public_url, "", Some(None));
        for text in [
            "/",
            "example.org",
            "ftp://a",
            "http://",
            "http:///path",
            "http://a:0",
            "http://a:x",
            "http://a:",
            "http://a b",
            "http://user@a",
            "http://a/?q",
            "http://a/#f",
            "http://a/\r\nX: y",
            "http://ä",
            "http://[::1",
            "http://::1",
        ] {
            check(public_url, text, None);
        }
    }

    #[test]
    fn words_are_taken_in_any_case() {
        check(level, "WARN", Some(Level::Warn));
        check(format, "Json", Some(Format::Json));
        check(level, "warning", None);
        check(format, "xml", None);
        check(storage_type, "s3", None);
        check(path, "", None);
        check(path, "a\0b", None);
        check(optional_path, "", Some(None));
        check(optional_path, "a", Some(Some("a".into())));
        check(switch, "true", Some(true));
        check(switch, "false", Some(false));
        for text in ["", "yes", "1", "True"] {
            check(switch, text, None);
        }
    }
}
