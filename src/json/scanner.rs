//! The words of JSON: strings, numbers, brackets. What they mean together is the business of
//! [`super::Json`].

use std::borrow::Cow;
use std::str::Chars;

/// A place in a text, and the steps that can be made from there. It never goes past the end, whatever the
/// bytes are.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn eat_while(&mut self, is_wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().take_while(|byte| is_wanted(**byte)).count();
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    pub(super) fn space(&mut self) {
        self.eat_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Reads a string with its quotes, strictly.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, &'static str> {
        if !self.eat(b'"') {
            return Err("a string should stand here");
        }
        let start = self.at;
        let mut has_escapes = false;
        loop {
            self.eat_while(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 2; // what is escaped may be a quote
                }
                Some(_) => return Err("a control character stands in a string"),
                None => return Err("a string does not end"),
            }
        }
        let text = self.bytes.get(start..self.at).and_then(|text| std::str::from_utf8(text).ok());
        let text = text.ok_or("a string is not UTF-8")?;
        let value = if has_escapes { unescape(text).map(Cow::Owned) } else { Some(Cow::Borrowed(text)) };
        let value = value.ok_or("a string has an escape that JSON does not know")?;
        self.at += 1;
        Ok(value)
    }

    /// Reads a number, `true`, `false` or `null`, strictly.
    pub(super) fn scalar(&mut self) -> Result<(), &'static str> {
        if matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return self.number();
        }
        let word = self.eat_while(|byte| byte.is_ascii_alphanumeric());
        if matches!(word, b"true" | b"false" | b"null") { Ok(()) } else { Err("a value should stand here") }
    }

    fn number(&mut self) -> Result<(), &'static str> {
        let digits = |scanner: &mut Self| match scanner.eat_while(|byte| byte.is_ascii_digit()) {
            [] => Err("a number lacks a digit"),
            digits => Ok(digits),
        };
        self.eat(b'-');
        if let [b'0', _, ..] = digits(self)? {
            return Err("a number begins with 0");
        }
        if self.eat(b'.') {
            digits(self)?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _sign = self.eat(b'+') || self.eat(b'-');
            digits(self)?;
        }
        Ok(())
    }

    /// Steps into the container that the text begins with (`open` is its bracket), or over the comma to its
    /// next entry. `None` at its end.
    pub(super) fn next_entry(&mut self, open: u8) -> Option<()> {
        self.space();
        let is_inside = if self.at == 0 { self.eat(open) } else { self.eat(b',') };
        self.space();
        (is_inside && !matches!(self.peek(), Some(b']' | b'}') | None)).then_some(())
    }

    /// Steps over one value and returns it. It only counts brackets, which is right for checked text and
    /// harmless for any other.
    pub(super) fn skip(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => {
                    let is_word =
                        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
                    if self.eat_while(is_word).is_empty() {
                        return None;
                    }
                }
            }
            if depth == 0 {
                return self.bytes.get(start..self.at);
            }
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.eat_while(|byte| byte != b'"' && byte != b'\\');
            match self.peek()? {
                b'"' => break,
                _ => self.at += 2,
            }
        }
        self.at += 1;
        Some(())
    }
}

/// Resolves the escapes of a string. `None` when one is malformed, or is half of a surrogate pair, which
/// stands for no character.
fn unescape(text: &str) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        value.push_str(plain);
        let mut chars = escape.chars();
        value.push(match chars.next()? {
            plain @ ('"' | '\\' | '/') => plain,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => utf16_escape(&mut chars)?,
            _ => return None,
        });
        rest = chars.as_str();
    }
    value.push_str(rest);
    Some(value)
}

/// What follows `\u`: a character, or the first half of a pair and then the second.
fn utf16_escape(chars: &mut Chars<'_>) -> Option<char> {
    let first = hex4(chars)?;
    if let Some(character) = char::from_u32(u32::from(first)) {
        return Some(character);
    }
    if chars.next()? != '\\' || chars.next()? != 'u' {
        return None;
    }
    char::decode_utf16([first, hex4(chars)?]).next()?.ok()
}

fn hex4(chars: &mut Chars<'_>) -> Option<u16> {
    let mut unit = 0_u32;
    for _ in 0..4 {
        unit = unit << 4 | chars.next()?.to_digit(16)?;
    }
    u16::try_from(unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_string(text: &str, expect: Option<&str>) {
        assert_eq!(Scanner::new(text.as_bytes()).string().ok().as_deref(), expect, "{text}");
    }

    #[test]
    fn strings_are_read_with_their_escapes() {
        check_string(r#""""#, Some(""));
        check_string(r#""plain ä""#, Some("plain ä"));
        check_string(r#""\"\\\/\b\f\n\r\t""#, Some("\"\\/\u{8}\u{c}\n\r\t"));
        check_string(r#""\u0041\u00e4\ud83d\ude00z""#, Some("Aä😀z"));
        for text in [
            "",
            "x",
            r#"""#,
            r#""\"#,
            r#""\""#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            r#""\u+123""#,
            "\"a\nb\"",
            "\"\u{0}\"",
        ] {
            check_string(text, None);
        }
        assert!(Scanner::new(b"\"\xff\"").string().is_err());
    }

    #[track_caller]
    fn check_scalar(text: &str, valid: bool) {
        let mut scanner = Scanner::new(text.as_bytes());
        assert_eq!(scanner.scalar().is_ok() && scanner.peek().is_none(), valid, "{text}");
    }

    #[test]
    fn numbers_and_words_follow_the_grammar() {
        for text in ["0", "-0", "10", "1.5", "-1.50e+07", "2E-3", "1e999", "true", "false", "null"] {
            check_scalar(text, true);
        }
        for text in
            ["", "-", "01", "+1", ".5", "1.", "1e", "1e+", "0x1", "NaN", "True", "nul", "nulls", "--1"]
        {
            check_scalar(text, false);
        }
    }

    #[test]
    fn skipping_ends_inside_any_bytes() {
        for (text, expect) in [
            (r#"{"a":[1,"]}"]},2"#, Some(r#"{"a":[1,"]}"]}"#)),
            (r#""a\"b",2"#, Some(r#""a\"b""#)),
            ("-1.5e3]", Some("-1.5e3")),
            ("", None),
            ("]", None),
            ("[[", None),
            ("\"\\", None),
            ("{\u{7f}}", None),
        ] {
            let skipped = Scanner::new(text.as_bytes()).skip();
            assert_eq!(skipped, expect.map(str::as_bytes), "{text}");
        }
    }
}
