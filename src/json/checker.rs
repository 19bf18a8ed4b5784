//! The check that [`Json::parse`](super::Json::parse) makes, in one pass from end to end.

use std::borrow::Cow;

use super::scanner::Scanner;
use super::{invalid, member_path};
use crate::error::Error;

/// How many objects and arrays may lie inside one another. A manifest needs five. We could go on, but those
/// who read it after us recurse; serde_json stops at much the same depth.
pub const DEPTH_MAX: usize = 128;

/// Reads a document without recursion: the depth of the input is the length of a `Vec`.
pub(super) struct Checker<'a> {
    scanner: Scanner<'a>,
    open: Vec<Open>,
    /// The keys of all open objects, those of the innermost last.
    keys: Vec<Cow<'a, str>>,
}

/// An object or an array whose end has not come yet.
enum Open {
    /// Its keys so far are `Checker::keys` from here on.
    Object { first_key: usize },
    /// The index of the element being read.
    Array { index: usize },
}

impl<'a> Checker<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { scanner: Scanner::new(bytes), open: Vec::new(), keys: Vec::new() }
    }

    /// Checks the grammar of RFC 8259, depth, and that no member is given twice. It takes no memory but
    /// for the keys of the objects that are open.
    pub(super) fn run(mut self) -> Result<(), Error> {
        loop {
            self.scanner.space();
            let has_ended = self.value()?;
            if has_ended && self.close_and_go_on()? {
                return Ok(());
            }
        }
    }

    /// Reads a value that is no container, or the start of one. True when the value is complete.
    fn value(&mut self) -> Result<bool, Error> {
        let opened = match self.scanner.peek() {
            Some(b'{') => Open::Object { first_key: self.keys.len() },
            Some(b'[') => Open::Array { index: 0 },
            Some(b'"') => return self.scanner.string().map(|_| true).map_err(|what| self.fault(what)),
            Some(_) => return self.scanner.scalar().map(|()| true).map_err(|what| self.fault(what)),
            None => return Err(self.fault("it ends where a value should stand")),
        };
        if self.open.len() == DEPTH_MAX {
            return Err(invalid("", format!("is nested too deeply: more than {DEPTH_MAX} levels")));
        }
        self.scanner.at += 1;
        self.scanner.space();
        let (end, is_object) = match opened {
            Open::Object { .. } => (b'}', true),
            Open::Array { .. } => (b']', false),
        };
        if self.scanner.eat(end) {
            return Ok(true); // it is empty
        }
        self.open.push(opened);
        if is_object {
            self.key()?;
        }
        Ok(false)
    }

    /// After a value: closes the containers that end here, then steps to the next value. True at the end of
    /// the document.
    fn close_and_go_on(&mut self) -> Result<bool, Error> {
        loop {
            self.scanner.space();
            match (self.open.last_mut(), self.scanner.peek()) {
                (None, None) => return Ok(true),
                (None, Some(_)) => return Err(self.fault("something follows its end")),
                (Some(Open::Array { index }), Some(b',')) => {
                    *index += 1;
                    self.scanner.at += 1;
                    return Ok(false);
                }
                (Some(Open::Object { .. }), Some(b',')) => {
                    self.scanner.at += 1;
                    self.scanner.space();
                    self.key()?;
                    return Ok(false);
                }
                (Some(Open::Array { .. }), Some(b']')) => {}
                (Some(&mut Open::Object { first_key }), Some(b'}')) => self.no_key_twice(first_key)?,
                (Some(_), Some(_)) => return Err(self.fault("a comma or a bracket is missing")),
                (Some(_), None) => return Err(self.fault("it ends too early")),
            }
            self.scanner.at += 1;
            self.open.pop();
        }
    }

    fn key(&mut self) -> Result<(), Error> {
        let key = self.scanner.string().map_err(|what| self.fault(what))?;
        self.keys.push(key);
        self.scanner.space();
        if self.scanner.eat(b':') { Ok(()) } else { Err(self.fault("a colon is missing")) }
    }

    /// At the end of an object: compares its keys, escapes resolved, and forgets them.
    fn no_key_twice(&mut self, first_key: usize) -> Result<(), Error> {
        let keys = self.keys.get_mut(first_key..).unwrap_or_default();
        keys.sort_unstable();
        let twice = keys.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(one.clone()),
            _ => None,
        });
        self.keys.truncate(first_key);
        match twice {
            None => Ok(()),
            Some(key) => {
                self.open.pop();
                Err(invalid(member_path(&self.path(), &key), "is given twice"))
            }
        }
    }

    /// Where the checker stands: in each open object at its newest key, which is the one before the first
    /// key of the next object inside.
    fn path(&self) -> String {
        let mut path = String::new();
        for (depth, open) in self.open.iter().enumerate() {
            match open {
                Open::Array { index } => path.push_str(&format!("[{index}]")),
                Open::Object { .. } => {
                    let inner = self.open.iter().skip(depth + 1).find_map(|open| match open {
                        Open::Object { first_key } => Some(*first_key),
                        Open::Array { .. } => None,
                    });
                    let newest = inner.unwrap_or(self.keys.len()).checked_sub(1);
                    let key = newest.and_then(|at| self.keys.get(at)).map_or("", |key| key);
                    path = member_path(&path, key);
                }
            }
        }
        path
    }

    fn fault(&self, what: &str) -> Error {
        invalid("", format!("is not JSON: {what} (byte {})", self.scanner.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    #[track_caller]
    fn check_refused(bytes: &[u8], expect: &str) {
        let message = Json::parse(bytes).unwrap_err().to_string();
        assert!(message.contains(expect), "{:?}: {message}", String::from_utf8_lossy(bytes));
    }

    /// Our check and serde_json's must agree on everything but what ours is stricter about.
    #[track_caller]
    fn check_like_serde(text: &str) {
        let serde = serde_json::from_str::<serde_json::Value>(text);
        assert_eq!(Json::parse(text.as_bytes()).is_ok(), serde.is_ok(), "{text:?}: {serde:?}");
    }

    #[test]
    fn what_is_not_json_is_refused_with_the_place() {
        check_refused(b"", "the manifest is empty");
        check_refused(b" \n", "is not JSON: it ends where a value should stand (byte 2)");
        check_refused(b"\xef\xbb\xbf{}", "byte order mark");
        check_refused(b"{\"a\":\"\xff\"}", "is not UTF-8: see byte 6");
        check_refused(b"{\"a\" 1}", "a colon is missing (byte 5)");
        check_refused(b"{} {}", "something follows its end (byte 3)");
        check_refused(b"[1", "it ends too early (byte 2)");
    }

    #[test]
    fn the_check_agrees_with_serde_json() {
        let document = r#" {"a" : [1, -2.5e3, true, null, {"b":{}, "c":[[]]}], "\u0064":"\ud83d\ude00\"" } "#;
        check_like_serde(document);
        for (end, _) in document.char_indices() {
            check_like_serde(&document[..end]);
        }
        // Every character in turn replaced by every other that means something.
        for (at, old) in document.char_indices() {
            for new in ["", "{", "}", "[", "]", ",", ":", "\"", "\\", "0", "-", ".", "e", "t", " ", "\n"] {
                check_like_serde(&format!("{}{new}{}", &document[..at], &document[at + old.len_utf8()..]));
            }
        }
    }

    #[test]
    fn nesting_costs_an_error_not_a_stack() {
        let nested = |levels: usize| ["[".repeat(levels), "]".repeat(levels)].concat();
        assert!(Json::parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        check_refused(nested(DEPTH_MAX + 1).as_bytes(), "is nested too deeply: more than 128 levels");
        check_refused("[".repeat(1_000_000).as_bytes(), "is nested too deeply");
        check_refused("{\"a\":".repeat(1_000_000).as_bytes(), "is nested too deeply");
    }

    #[test]
    fn no_member_is_given_twice_at_any_depth() {
        check_refused(br#"{"a":1,"b":2,"a":1}"#, "the manifest's a is given twice");
        check_refused(br#"{"a":1,"\u0061":2}"#, "the manifest's a is given twice");
        check_refused(
            br#"{"x":{"y":1},"layers":[{},{"size":1,"z":[0,{"k":1,"k":2}]}]}"#,
            "layers[1].z[1].k is given",
        );
        check_refused(br#"[{"a":{"\n.":0,"\n.":0}}]"#, r#"[0].a["\n."] is given twice"#);
        assert!(Json::parse(br#"{"a":{"a":1},"b":[{"a":1},{"a":2}],"A":3}"#).is_ok());
    }
}
