//! The log for people: words first, then `name=value`.

use super::value::{push, push_escaped, push_text};
use super::{Fields, LINE_BYTES_USUAL, Level, Logger, RequestLine};
use crate::clock::Utc;
use crate::route::without_userinfo;

impl Logger {
    pub(super) fn request_text(&self, time: Utc, line: &RequestLine<'_>) -> String {
        let mut out = self.begin_text(time);
        out.push_str(self.style(BOLD));
        push_text(&mut out, line.method);
        out.push_str(self.style(RESET));
        out.push(' ');
        push_text(&mut out, &without_userinfo(line.url));
        let (colour, reset) = (self.style(status_style(line.status)), self.style(RESET));
        let milliseconds = line.duration.as_secs_f64() * 1e3;
        push(
            &mut out,
            format_args!(
                " {colour}{}{reset} in={} out={} {milliseconds:.1}ms",
                line.status, line.bytes_in, line.bytes_out
            ),
        );
        match (line.client, line.peer) {
            (Some(client), Some(proxy)) => push(&mut out, format_args!(" peer={client} proxy={proxy}")),
            (None, Some(peer)) => push(&mut out, format_args!(" peer={peer}")),
            (_, None) => {}
        }
        // The longest last: docker's Accept lists six types.
        let fields = [
            ("user", line.user),
            ("error", line.error),
            ("type", line.content_type),
            ("accept", line.accept),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                push_text_field(&mut out, name, value);
            }
        }
        for (name, value) in self.shown_headers(line) {
            push_text_field(&mut out, "header", &format!("{name}: {value}"));
        }
        out
    }

    pub(super) fn event_text(&self, time: Utc, level: Level, message: &str, fields: &Fields<'_>) -> String {
        let (style, reset) = (self.style(level_style(level)), self.style(RESET));
        let mut out = self.begin_text(time);
        push(&mut out, format_args!("{style}{}{reset} ", level.name()));
        push_escaped(&mut out, message);
        for (name, value) in fields {
            push_text_field(&mut out, name, &value.to_string());
        }
        out
    }

    fn begin_text(&self, time: Utc) -> String {
        let mut out = String::with_capacity(LINE_BYTES_USUAL);
        out.push_str(self.style(DIM));
        out.push_str(&time.rfc3339());
        out.push_str(self.style(RESET));
        out.push(' ');
        out
    }

    /// The style as the terminal wants it, or nothing where there are no colours.
    fn style(&self, style: &'static str) -> &'static str {
        if self.colour { style } else { "" }
    }
}

/// ` name=value`, the value in quotes where it would else not be clear where it ends.
fn push_text_field(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push('=');
    push_text(out, value);
}

// ---- colours: "Select Graphic Rendition" of ECMA-48, which every terminal knows

const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";

fn status_style(status: u16) -> &'static str {
    match status {
        ..300 => GREEN,
        300..400 => CYAN,
        400..500 => YELLOW,
        500.. => RED,
    }
}

fn level_style(level: Level) -> &'static str {
    match level {
        Level::Error => RED,
        Level::Warn => YELLOW,
        Level::Info => GREEN,
        Level::Debug => DIM,
    }
}
