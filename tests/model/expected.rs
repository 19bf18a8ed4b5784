//! What an answer should be, and whether it is.

use serde_json::{Value, json};

use crate::it::harness::Answer;

/// An answer as the model foresees it.
#[derive(Debug)]
pub struct Expected {
    pub status: u16,
    /// What these headers are; `None`: they are not there.
    pub headers: Vec<(&'static str, Option<String>)>,
    pub body: Body,
}

/// A body as the model foresees it.
pub enum Body {
    /// There is none, and if the answer has a length, this is it.
    Nothing(usize),
    Bytes(Vec<u8>),
    Json(Value),
    /// A list that begins with these; others, of which the model knows nothing, may follow.
    Begins(&'static str, Vec<String>),
    /// Parts of a blob: their `Content-Range` and their bytes.
    Parts(Vec<(String, Vec<u8>)>),
    /// An error of the spec's format: its code, and the detail of each entry.
    Error(&'static str, Vec<Value>),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing(length) => write!(f, "nothing, of length {length}"),
            Self::Bytes(bytes) if bytes.len() < 2000 => write!(f, "{}", String::from_utf8_lossy(bytes)),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Json(value) => write!(f, "{value}"),
            Self::Begins(list, names) => write!(f, "{list} that begin with {names:?}"),
            Self::Parts(parts) => {
                let ranges: Vec<&String> = parts.iter().map(|(range, _)| range).collect();
                write!(f, "parts {ranges:?}")
            }
            Self::Error(code, details) => write!(f, "{code} {}", json!(details)),
        }
    }
}

impl Expected {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Nothing(0) }
    }

    pub fn error(status: u16, code: &'static str, detail: Value) -> Self {
        Self::new(status).body(Body::Error(code, vec![detail]))
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, Some(value.into())));
        self
    }

    /// A header that is there or not.
    pub fn maybe(mut self, name: &'static str, value: Option<String>) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Is this the answer? Otherwise, what is different.
    pub fn check(&self, head: bool, answer: &Answer) -> Result<(), String> {
        if answer.status != self.status {
            return Err(format!("status {}", answer.status));
        }
        for (name, value) in &self.headers {
            if answer.header(name) != value.as_deref() {
                return Err(format!("{name} is {:?}", answer.header(name)));
            }
        }
        if !head {
            return self.check_body(answer);
        }
        let length = match &self.body {
            Body::Nothing(length) => *length,
            Body::Bytes(bytes) => bytes.len(),
            _ => return Ok(()), // an error's length depends on its message
        };
        check_length(answer, length)
    }

    fn check_body(&self, answer: &Answer) -> Result<(), String> {
        match &self.body {
            Body::Nothing(length) if answer.body.is_empty() => check_length(answer, *length),
            Body::Bytes(bytes) if answer.body == *bytes => check_length(answer, bytes.len()),
            Body::Nothing(_) | Body::Bytes(_) => Err(format!("a body of {} bytes", answer.body.len())),
            Body::Json(value) if parse(answer)? == *value => Ok(()),
            Body::Json(_) => Err("another body".to_owned()),
            Body::Begins(list, names) => {
                let found = parse(answer)?;
                let found: Vec<&str> =
                    found[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                if found.iter().take(names.len()).eq(names) { Ok(()) } else { Err(format!("{found:?}")) }
            }
            Body::Parts(parts) => check_parts(answer, parts),
            Body::Error(code, details) => check_error(answer, code, details),
        }
    }
}

/// 204 and 304 have none; with any other status it is exact.
fn check_length(answer: &Answer, length: usize) -> Result<(), String> {
    let wanted = (!matches!(answer.status, 204 | 304)).then(|| length.to_string());
    if answer.header("Content-Length") == wanted.as_deref() {
        Ok(())
    } else {
        Err(format!("Content-Length is {:?}, not {wanted:?}", answer.header("Content-Length")))
    }
}

fn parse(answer: &Answer) -> Result<Value, String> {
    serde_json::from_slice(&answer.body).map_err(|error| format!("a body that is no JSON: {error}"))
}

fn check_parts(answer: &Answer, parts: &[(String, Vec<u8>)]) -> Result<(), String> {
    let kind = answer.header("Content-Type").unwrap_or_default();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").ok_or(format!("a {kind}"))?;
    let mut wanted = Vec::new();
    for (range, bytes) in parts {
        let head = format!("Content-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n");
        wanted.extend_from_slice(format!("\r\n--{boundary}\r\n{head}").as_bytes());
        wanted.extend_from_slice(bytes);
    }
    wanted.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    if answer.body == wanted { check_length(answer, wanted.len()) } else { Err("other parts".to_owned()) }
}

fn check_error(answer: &Answer, code: &str, details: &[Value]) -> Result<(), String> {
    let body = parse(answer)?;
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    let found: Vec<&Value> = errors.iter().map(|error| &error["detail"]).collect();
    let is_whole =
        |error: &Value| error["code"] == code && error["message"].as_str().is_some_and(|m| !m.is_empty());
    if errors.iter().all(is_whole) && found.into_iter().eq(details) && !errors.is_empty() {
        Ok(())
    } else {
        Err("another error".to_owned())
    }
}
