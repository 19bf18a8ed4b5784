//! The log for programs: one JSON object a line. Written by hand, so that its members stand in the order
//! they are read in.

use super::value::{push, push_json};
use super::{Fields, LINE_BYTES_USUAL, Level, Logger, RequestLine};
use crate::clock::Utc;
use crate::route::without_userinfo;

impl Logger {
    pub(super) fn request_json(&self, time: Utc, line: &RequestLine<'_>) -> String {
        let mut out = begin_json(time, line.level(), "request");
        match (line.client, line.peer) {
            (Some(client), Some(proxy)) => {
                push(&mut out, format_args!(r#","peer":"{client}","proxy":"{proxy}""#));
            }
            (None, Some(peer)) => push(&mut out, format_args!(r#","peer":"{peer}""#)),
            (_, None) => {}
        }
        if let Some(user) = line.user {
            push_json_field(&mut out, "user", user);
        }
        push_json_field(&mut out, "method", line.method);
        push_json_field(&mut out, "url", &without_userinfo(line.url));
        let milliseconds = line.duration.as_secs_f64() * 1e3;
        push(
            &mut out,
            format_args!(
                r#","status":{},"bytes_in":{},"bytes_out":{},"ms":{milliseconds:.3}"#,
                line.status, line.bytes_in, line.bytes_out
            ),
        );
        for (name, value) in
            [("content_type", line.content_type), ("accept", line.accept), ("error", line.error)]
        {
            if let Some(value) = value {
                push_json_field(&mut out, name, value);
            }
        }
        if self.level >= Level::Debug {
            out.push_str(r#","headers":["#);
            for (at, (name, value)) in self.shown_headers(line).enumerate() {
                out.push_str(if at == 0 { "[" } else { ",[" });
                push_json(&mut out, name);
                out.push(',');
                push_json(&mut out, value);
                out.push(']');
            }
            out.push(']');
        }
        out.push('}');
        out
    }

    pub(super) fn event_json(&self, time: Utc, level: Level, message: &str, fields: &Fields<'_>) -> String {
        let mut out = begin_json(time, level, message);
        for (name, value) in fields {
            push_json_field(&mut out, name, &value.to_string());
        }
        out.push('}');
        out
    }
}

fn begin_json(time: Utc, level: Level, message: &str) -> String {
    let mut out = String::with_capacity(LINE_BYTES_USUAL);
    out.push_str(r#"{"time":""#);
    out.push_str(&time.rfc3339());
    push(&mut out, format_args!(r#"","level":"{}","message":"#, level.name()));
    push_json(&mut out, message);
    out
}

/// `,"name":"value"`.
fn push_json_field(out: &mut String, name: &str, value: &str) {
    out.push(',');
    push_json(out, name);
    out.push(':');
    push_json(out, value);
}
