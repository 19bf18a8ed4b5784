//! The configuration file as JSON: what serde_json lets pass, and a person would want to be told.

use serde_json::{Map, Value};

/// Parses the file.
///
/// # Errors
/// What is wrong, without the file's name: not JSON, not an object, a name that is there twice.
pub(super) fn parse(json: &str) -> Result<Map<String, Value>, String> {
    let value: Value = serde_json::from_str(json).map_err(|e| format!("not JSON: {e}"))?;
    let mut names = written_names(json);
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(format!("{} is there twice", twice[0].escape_debug())),
        None => object("the file", value),
    }
}

/// The value as an object.
pub(super) fn object(name: &str, value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(members) => Ok(members),
        other => Err(format!("{name} is {}, but must be an object", kind_of(&other))),
    }
}

/// The value as one would type it after a flag: a string, a number or a boolean.
pub(super) fn scalar(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null => Err(format!("{name} is null; leave it out to have the default")),
        Value::Array(_) | Value::Object(_) => {
            Err(format!("{name} is {}, but must be a single value", kind_of(value)))
        }
    }
}

/// The same where several are possible: a list of strings counts as those with commas between.
pub(super) fn list(name: &str, value: &Value) -> Result<String, String> {
    let Value::Array(elements) = value else { return scalar(name, value) };
    let texts = elements.iter().enumerate().map(|(at, element)| match element {
        Value::String(text) => Ok(text.as_str()),
        other => Err(format!("{name}[{at}] is {}, but must be a string", kind_of(other))),
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join(","))
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The names of all members as they are written, as paths: `server`, `server.port`, `auth.rules[0].user`.
/// serde_json keeps the last of two equal names and says nothing, so this reads the text again. It is known to
/// parse: what stands before a colon, and that colon in no string, is a name.
fn written_names(json: &str) -> Vec<String> {
    /// An object or a list around the place that has been reached.
    struct Around {
        path: String,
        /// What is inside now: the name of a member, or `None` and the number of an element.
        member: Option<String>,
        element: usize,
        is_list: bool,
    }
    impl Around {
        fn here(&self) -> String {
            match &self.member {
                _ if self.is_list => format!("{}[{}]", self.path, self.element),
                Some(name) if self.path.is_empty() => name.clone(),
                Some(name) => format!("{}.{name}", self.path),
                None => self.path.clone(),
            }
        }
    }
    let (mut names, mut around, mut last_string) = (Vec::new(), Vec::<Around>::new(), "");
    let mut rest = json;
    while let Some(at) = rest.find(['"', ':', ',', '{', '[', '}', ']']) {
        let token = &rest[at..];
        let length = if token.starts_with('"') { string_length(token) } else { 1 };
        rest = &token[length..];
        match (&token[..length], around.last_mut()) {
            (":", Some(object)) => {
                object.member = Some(serde_json::from_str(last_string).unwrap_or_default());
                names.push(object.here());
            }
            (",", Some(list)) => list.element += 1,
            (bracket @ ("{" | "["), outer) => {
                let path = outer.map_or(String::new(), |outer| outer.here());
                around.push(Around { path, member: None, element: 0, is_list: bracket == "[" });
            }
            ("}" | "]", _) => drop(around.pop()),
            (string, _) => last_string = string,
        }
    }
    names
}

/// The length in bytes of the JSON string at the start of `text`, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, names: &[&str]) {
        assert!(serde_json::from_str::<Value>(json).is_ok(), "{json}");
        assert_eq!(written_names(json), names, "{json}");
    }

    #[test]
    fn names_are_found_as_they_are_written() {
        check("{}", &[]);
        check(r#"{"a": {"b": 1, "c": "x:y"}, "d": 2}"#, &["a", "a.b", "a.c", "d"]);
        check(r#"{"a":{"b":1,"b":2},"a":{}}"#, &["a", "a.b", "a.b", "a"]);
        check(r#"{"a": {"\u0062": 1, "b" : 2}}"#, &["a", "a.b", "a.b"]);
        check(r#"{"a": {"b": "{\"c\": 1}", "q\\": "\\"}}"#, &["a", "a.b", r"a.q\"]);
        check(r#"{"ä": ["ö:,", {"b": 1}, {"b": {"c": 2}}]}"#, &["ä", "ä[1].b", "ä[2].b", "ä[2].b.c"]);
        check(r#"[[{"a": [1, 2]}, {"a": []}]]"#, &["[0][0].a", "[0][1].a"]);
    }
}
