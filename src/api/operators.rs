//! What is for those who run the registry: is it alive, is it ready, what has it done.

use super::Api;
use crate::metrics::page;
use crate::response::{Payload, Response};

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// `GET /livez`: whoever reads this knows that the process answers.
pub(super) fn livez() -> Response {
    text(200, "ok\n".to_owned())
}

/// `GET /readyz`: 200 when the registry can do its work, 503 and why when not
pub(super) fn readyz(api: &Api) -> Response {
    match api.room.ready() {
        Ok(()) => text(200, "ok\n".to_owned()),
        Err(why) => text(503, format!("not ready: {why}\n")),
    }
}

/// `GET /metrics`
pub(super) fn metrics(api: &Api) -> Response {
    let page = page::write(api.room.room()).into_bytes();
    Response::new(200).header("Content-Type", page::MEDIA_TYPE).body(Payload::Bytes(page))
}

fn text(status: u16, text: String) -> Response {
    Response::new(status)
        .header("Content-Type", PLAIN_TEXT)
        .header("Cache-Control", "no-store")
        .body(Payload::Bytes(text.into_bytes()))
}
