//! How values stand in a line: nothing but printable ASCII leaves here, whatever went in.

use std::fmt::{Arguments, Write};

use super::VALUE_BYTES_MAX;

pub(super) fn push_text(out: &mut String, value: &str) {
    if value.is_empty() || value.contains([' ', '"']) {
        out.push('"');
        push_escaped(out, value);
        out.push('"');
    } else {
        push_escaped(out, value);
    }
}

/// `\` and `"` behind a `\`, what is not printable ASCII as `\x1b` or `\u{9b}`.
pub(super) fn push_escaped(out: &mut String, value: &str) {
    push_cut(out, value, |out, c| match c {
        '\\' | '"' => out.extend(['\\', c]),
        ' '..='~' => out.push(c),
        '\0'..='\x7f' => push(out, format_args!("\\x{:02x}", c as u32)),
        _ => push(out, format_args!("\\u{{{:x}}}", c as u32)),
    });
}

/// A JSON string. serde_json would leave DEL and everything above ASCII as it is, and U+009B is as good as
/// ESC [ to a terminal.
pub(super) fn push_json(out: &mut String, value: &str) {
    out.push('"');
    push_cut(out, value, |out, c| match c {
        '\\' | '"' => out.extend(['\\', c]),
        ' '..='~' => out.push(c),
        _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| push(out, format_args!("\\u{unit:04x}"))),
    });
    out.push('"');
}

/// Pushes each character as `escape` does it, up to the limit.
fn push_cut(out: &mut String, value: &str, escape: impl Fn(&mut String, char)) {
    let mut end = value.len().min(VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let is_plain = |b: u8| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\';
    match &value[..end] {
        plain if plain.bytes().all(is_plain) => out.push_str(plain), // nearly always, and fast
        other => other.chars().for_each(|c| escape(out, c)),
    }
    if end < value.len() {
        out.push('…');
    }
}

/// Writing to a string cannot fail.
pub(super) fn push(out: &mut String, args: Arguments<'_>) {
    let _ = out.write_fmt(args);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(push: fn(&mut String, &str), value: &str, expect: &str) {
        let mut out = String::new();
        push(&mut out, value);
        assert_eq!(out, expect, "{value:?}");
    }

    #[test]
    fn what_could_forge_a_line_or_move_the_cursor_is_escaped() {
        check(push_text, "/v2/hello/tags/list?n=5", "/v2/hello/tags/list?n=5");
        check(push_text, "a\r\n2026", r"a\x0d\x0a2026");
        check(push_text, "\x1b[2J\x7f\0", r"\x1b[2J\x7f\x00");
        check(push_text, "\u{9b}2J\u{202e}ä", r"\u{9b}2J\u{202e}\u{e4}");
        check(push_text, r"a\x0ab", r"a\\x0ab");
        check(push_escaped, "port 80\n", r"port 80\x0a");
    }

    #[test]
    fn quotes_show_where_a_value_ends() {
        check(push_text, "", r#""""#);
        check(push_text, "a, b", r#""a, b""#);
        check(push_text, r#"a" status=200"#, r#""a\" status=200""#);
    }

    #[test]
    fn json_strings_are_ascii_and_parse_back() {
        for value in ["", "plain", "\"\\/", "\r\n\t\0\x1b\x7f", "\u{9b}ä€", "🦀\u{10ffff}\u{2028}"] {
            let mut out = String::new();
            push_json(&mut out, value);
            assert!(out.bytes().all(|b| (b' '..=b'~').contains(&b)), "{out}");
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), value, "{out}");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let fits = "x".repeat(VALUE_BYTES_MAX);
        check(push_text, &fits, &fits);
        check(push_text, &format!("{fits}x"), &format!("{fits}…"));
        check(push_json, &format!("{fits}x"), &format!("\"{fits}…\""));
        let umlaut_on_the_edge = format!("{}ä", &fits[1..]);
        check(push_text, &umlaut_on_the_edge, &format!("{}…", &fits[1..]));
    }
}
