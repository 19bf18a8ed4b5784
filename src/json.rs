//! JSON, checked from end to end and then read where it lies.
//!
//! A manifest is written by whoever may push, and a tree of it can be a hundred times its size: 8 MiB of
//! `{"":0},{"":0},…` are 800 MB as `serde_json::Value` (measured), enough to end the process. So there is
//! no tree here. [`Json::parse`] checks the text once, with a stack of its own, and what it returns is a
//! view: a value is the slice of bytes that spells it. A list of known members is picked out in one pass, and
//! what has no meaning to us is stepped over.
//!
//! The check is stricter than JSON in one point, which OCI asks for (image-spec, considerations, "JSON"):
//! no object has a member twice. Of `{"digest":1,"digest":2}` one program takes the first and another the
//! last, and then what was scanned is not what runs.

mod checker;
mod scanner;

use std::borrow::Cow;

use self::checker::Checker;
use self::scanner::Scanner;
use crate::error::Error;

pub use self::checker::DEPTH_MAX;

/// The most of a given text that an error message repeats, in characters: enough for a sha256 digest.
const QUOTE_CHARS_MAX: usize = 80;

/// MANIFEST_INVALID. `field` is a path as in `layers[2].size`, empty for the document; `why` goes on a
/// sentence that begins "the manifest's layers[2].size …".
pub(crate) fn invalid(field: impl Into<String>, why: impl Into<String>) -> Error {
    Error::ManifestInvalid { field: field.into(), why: why.into() }
}

/// The path of a member: `field.key`, or `field["key"]` for a key that is no plain word. Clients choose the
/// keys of annotations, and a key may not break the line of the log.
pub(crate) fn member_path(field: &str, key: &str) -> String {
    if !key.chars().all(|c| c.is_ascii_alphanumeric()) || key.is_empty() || key.len() > QUOTE_CHARS_MAX {
        format!("{field}[{}]", quote(key))
    } else if field.is_empty() {
        key.to_owned()
    } else {
        format!("{field}.{key}")
    }
}

/// A given text as an error message repeats it: in quotes, control characters escaped, cut when long.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

/// One JSON value: a view of the text that spells it.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a [u8]);

impl<'a> Json<'a> {
    /// Checks a whole document: UTF-8, the grammar of RFC 8259, depth ([`DEPTH_MAX`]), no member twice.
    ///
    /// # Errors
    /// [`Error::ManifestInvalid`] says what is wrong and where.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(invalid("", "is empty"));
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(invalid("", "begins with a byte order mark, which JSON does not allow"));
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            return Err(invalid("", format!("is not UTF-8: see byte {}", error.valid_up_to())));
        }
        Checker::new(bytes).run()?;
        Ok(Self(bytes.trim_ascii()))
    }

    /// What kind of value it is, as an error message says it.
    pub fn kind(self) -> &'static str {
        match self.0.first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    /// Is it `null`?
    pub fn is_null(self) -> bool {
        self.0 == b"null"
    }

    /// Is it an object?
    pub fn is_object(self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// The value of a string, escapes resolved.
    pub fn string(self) -> Option<Cow<'a, str>> {
        Scanner::new(self.0).string().ok()
    }

    /// The value of a number that is written as a non-negative integer: no sign, no fraction, no exponent.
    pub fn integer(self) -> Option<u64> {
        let digits = self.0.iter().all(u8::is_ascii_digit);
        if digits { self.source()?.parse().ok() } else { None }
    }

    /// The elements of an array, `None` for another value.
    pub fn elements(self) -> Option<impl Iterator<Item = Json<'a>>> {
        let mut scanner = Scanner::new(self.0);
        (self.0.first() == Some(&b'[')).then(|| {
            std::iter::from_fn(move || {
                scanner.next_entry(b'[')?;
                scanner.skip().map(Json)
            })
        })
    }

    /// The members of an object, `None` for another value.
    pub fn members(self) -> Option<impl Iterator<Item = (Cow<'a, str>, Json<'a>)>> {
        self.is_object().then(|| members_of(self.0))
    }

    /// Those members of the object at `field` that have a meaning to us, in the order of `names`. Others
    /// pass: formats grow. Not so a `Digest` beside or instead of `digest`: Go, in which most clients are
    /// written, takes one for the other, so they would read what we did not check.
    ///
    /// # Errors
    /// [`Error::ManifestInvalid`] when it is no object or a name is written in other letters.
    pub fn pick<const N: usize>(self, field: &str, names: [&str; N]) -> Result<[Option<Self>; N], Error> {
        let members = self.members().ok_or_else(|| invalid(field, self.is_not("an object")))?;
        let mut picked = [None; N];
        for (key, value) in members {
            for (name, place) in names.iter().zip(&mut picked) {
                if key == *name {
                    *place = Some(value);
                } else if goes_for(&key, name) {
                    return Err(invalid(member_path(field, &key), format!("must be spelt {name:?}")));
                }
            }
        }
        Ok(picked)
    }

    /// How a message goes on when another kind of value was wanted.
    pub(crate) fn is_not(self, want: &str) -> String {
        format!("must be {want}, not {}", self.kind())
    }

    /// The text that spells the value.
    pub fn source(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }
}

/// The members of the object at the start of any bytes, checked or not, as far as they can be made out. It
/// reads no further than it is asked.
pub(crate) fn members_of(bytes: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, Json<'_>)> {
    let mut scanner = Scanner::new(bytes.trim_ascii_start());
    std::iter::from_fn(move || {
        scanner.next_entry(b'{')?;
        let key = scanner.string().ok()?;
        scanner.space();
        if !scanner.eat(b':') {
            return None;
        }
        scanner.space();
        Some((key, Json(scanner.skip()?)))
    })
}

/// Does Go's JSON decoder take `key` for `name`? It compares by Unicode's simple case folding, under which
/// two characters beyond ASCII fall on ASCII letters.
fn goes_for(key: &str, name: &str) -> bool {
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',  // ſ
        '\u{212a}' => 'k', // the Kelvin sign
        _ => c.to_ascii_lowercase(),
    });
    folded.eq(name.chars().map(|c| c.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_where_it_lies() {
        let json = Json::parse(br#" {"s":"\u0041","n":12,"l":[ 1 , [2,3] ,"]"],"e":[ ],"o":{ }} "#).unwrap();
        let [s, n, list, empty, object, none] =
            json.pick("", ["s", "n", "l", "e", "o", "x"]).unwrap().map(|v| v.map(|v| v.source().unwrap()));
        assert_eq!((s, n, list), (Some(r#""\u0041""#), Some("12"), Some(r#"[ 1 , [2,3] ,"]"]"#)));
        assert_eq!((empty, object, none), (Some("[ ]"), Some("{ }"), None));
        let elements = |text: &'static str| -> Option<Vec<_>> {
            Some(Json::parse(text.as_bytes()).unwrap().elements()?.map(|v| v.source().unwrap()).collect())
        };
        assert_eq!(elements(r#"[ 1 , [2,3] ,"]"]"#), Some(vec!["1", "[2,3]", r#""]""#]));
        assert_eq!((elements("[ ]"), elements("{}")), (Some(vec![]), None));
    }

    #[test]
    fn integers_are_written_plainly() {
        let integer = |text: &'static str| Json::parse(text.as_bytes()).unwrap().integer();
        assert_eq!((integer("0"), integer("18446744073709551615")), (Some(0), Some(u64::MAX)));
        for text in ["-1", "-0", "1.0", "1e3", "18446744073709551616", "\"1\"", "null", "[]"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_in_other_letters_is_refused() {
        let pick = |text: &str| Json::parse(text.as_bytes())?.pick("", ["digest", "size"]).map(|_| ());
        assert!(pick(r#"{"digest":1,"siz":2,"sizes":3}"#).is_ok());
        for text in [r#"{"Digest":1}"#, r#"{"digest":1,"DIGEST":1}"#, r#"{"\u017fize":1}"#] {
            let message = pick(text).unwrap_err().to_string();
            assert!(message.contains("must be spelt"), "{message}");
        }
    }

    #[test]
    fn messages_repeat_little_of_what_was_given() {
        assert_eq!(quote("a\nb"), r#""a\nb""#);
        assert!(quote(&"ä".repeat(1000)).len() < 200);
        assert!(member_path("annotations", &"a".repeat(1000)).len() < 200);
        assert_eq!(member_path("annotations", "a.b"), r#"annotations["a.b"]"#);
    }
}
