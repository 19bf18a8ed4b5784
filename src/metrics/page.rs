//! The page that is scraped: every number, with its name, kind and meaning.

use super::counting::Count;
use super::text::{Family, Kind, Text};
use super::{BUCKETS, CODES, METHODS, Number, ROUTES, Requests, STATUSES, TABLE, counting};
use crate::clock::seconds_since_1970;
use crate::room::Room;

/// What the page is, for `Content-Type`.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// When the process began to serve, in seconds since 1970.
static START: Number = Number::new();

/// Notes that the process begins to serve.
pub fn begin() {
    START.0.store(seconds_since_1970(), super::Relaxed);
}

/// Writes the page. `room` is what is known of the disk.
pub fn write(room: Option<Room>) -> String {
    let mut text = Text::default();
    process(&mut text);
    requests(&mut text);
    errors(&mut text);
    connections(&mut text);
    if let Some(count) = counting::last() {
        store(&mut text, &count);
    }
    if let Some(room) = room {
        disk(&mut text, room);
    }
    gc(&mut text);
    text.finish()
}

fn process(text: &mut Text) {
    let mut info = text.name("registry_build_info", Kind::Gauge, "Always 1; the label says what is running.");
    info.number("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.single(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the process began to serve, in seconds since 1970.",
        START.get(),
    );
}

/// Those that have been used, with their labels.
fn used() -> impl Iterator<Item = ([(&'static str, &'static str); 2], &'static Requests)> {
    let of_route = |(row, route): (&'static [Requests; METHODS.len()], &'static str)| {
        let labels = METHODS.iter().map(move |method| [("route", route), ("method", *method)]);
        labels.zip(row)
    };
    let all = TABLE.requests.iter().zip(ROUTES).flat_map(of_route);
    all.filter(|(_, requests)| requests.count() > 0 || requests.in_progress.get() > 0)
}

fn requests(text: &mut Text) {
    let mut family = text.name("registry_http_requests_total", Kind::Counter, "Requests that were answered.");
    for ([route, method], requests) in used() {
        for (status, number) in STATUSES.iter().zip(&requests.statuses) {
            if number.get() > 0 {
                let status = if *status == 0 { "other".to_owned() } else { status.to_string() };
                family.number("", &[route, method, ("status", &status)], number.get());
            }
        }
    }
    per_route(
        text.name(
            "registry_http_requests_in_progress",
            Kind::Gauge,
            "Requests that are being worked at now.",
        ),
        |requests| &requests.in_progress,
    );
    per_route(
        text.name("registry_http_received_bytes_total", Kind::Counter, "Bytes of requests' bodies."),
        |requests| &requests.received,
    );
    per_route(
        text.name("registry_http_sent_bytes_total", Kind::Counter, "Bytes of answers' bodies."),
        |requests| &requests.sent,
    );
    per_route(
        text.name(
            "registry_http_broken_off_answers_total",
            Kind::Counter,
            "Answers that did not go out to their end: the client went away, or took nothing for too long.",
        ),
        |requests| &requests.broken_off,
    );
    let mut family = text.name(
        "registry_http_request_duration_seconds",
        Kind::Histogram,
        "From a request's head to the end of its answer.",
    );
    for (labels, requests) in used() {
        histogram(&mut family, labels, requests);
    }
}

fn per_route(mut family: Family<'_>, number: fn(&Requests) -> &Number) {
    for (labels, requests) in used() {
        family.number("", &labels, number(requests).get());
    }
}

fn histogram(family: &mut Family<'_>, [route, method]: [(&str, &str); 2], requests: &Requests) {
    let mut count = 0;
    for (place, bucket) in requests.buckets.iter().enumerate() {
        count += bucket.get();
        let bound = BUCKETS.get(place).map_or("+Inf".to_owned(), |bound| seconds(bound * 1000));
        family.number("_bucket", &[route, method, ("le", &bound)], count);
    }
    family.number("_sum", &[route, method], seconds(requests.nanoseconds.get()));
    family.number("_count", &[route, method], count);
}

fn errors(text: &mut Text) {
    let help = "Requests that were refused or failed, by the code of the spec's table.";
    let mut family = text.name("registry_errors_total", Kind::Counter, help);
    for (code, number) in CODES.iter().zip(&TABLE.errors) {
        family.number("", &[("code", code)], number.get());
    }
}

fn connections(text: &mut Text) {
    let opened = TABLE.connections_opened.get();
    let open = opened.saturating_sub(TABLE.connections_closed.get());
    let working: u64 = TABLE.requests.iter().flatten().map(|requests| requests.in_progress.get()).sum();
    let help = "Open connections: waiting for a request, or at work with one.";
    let mut family = text.name("registry_connections", Kind::Gauge, help);
    family.number("", &[("state", "waiting")], open.saturating_sub(working));
    family.number("", &[("state", "working")], working.min(open));
    text.single("registry_connections_opened_total", Kind::Counter, "Connections that were served.", opened);
    let help = "Connections that began with TLS, and were told that this port speaks HTTP.";
    text.single("registry_connections_tls_total", Kind::Counter, help, TABLE.connections_tls.get());
    text.single(
        "registry_connections_held_back_total",
        Kind::Counter,
        "Connections that had to wait for room. None is refused.",
        TABLE.held_back.get(),
    );
    let help = "Connections that were ended to make room for others.";
    let mut family = text.name("registry_connections_asked_to_leave_total", Kind::Counter, help);
    family.number("", &[("state", "waiting")], TABLE.asked_to_leave_waiting.get());
    family.number("", &[("state", "working")], TABLE.asked_to_leave_working.get());
}

fn store(text: &mut Text, count: &Count) {
    let Count { totals, seconds: time, took } = count;
    let mut gauge = |name, help: &str, value: u64| {
        text.single(name, Kind::Gauge, &format!("{help}, at the last count."), value);
    };
    gauge("registry_store_repositories", "Repositories that hold a manifest", totals.repositories);
    gauge("registry_store_tags", "Tags", totals.tags);
    gauge("registry_store_blobs", "Blobs and manifests, each counted once", totals.blobs);
    gauge("registry_store_bytes", "Bytes of these", totals.bytes);
    gauge("registry_store_uploads", "Upload sessions that are begun and not finished", totals.uploads);
    let help = "When the last count ended, in seconds since 1970. Its age: time() minus this.";
    text.single("registry_store_counted_timestamp_seconds", Kind::Gauge, help, time);
    let help = "How long the last count took. It goes slowly on purpose.";
    text.single("registry_store_counting_duration_seconds", Kind::Gauge, help, took.as_secs_f64());
}

fn disk(text: &mut Text, room: Room) {
    let mut gauge = |name, help, value: u64| text.single(name, Kind::Gauge, help, value);
    gauge("registry_disk_free_bytes", "Bytes that can still be written where the root is.", room.free_bytes);
    gauge("registry_disk_size_bytes", "Bytes that are used or can be where the root is.", room.bytes);
    if room.files > 0 {
        gauge("registry_disk_free_files", "Files that can still be made where the root is.", room.free_files);
        gauge("registry_disk_size_files", "Files that there are or can be where the root is.", room.files);
    }
}

fn gc(text: &mut Text) {
    let numbers = &TABLE.gc;
    let mut counter = |name, help, number: &Number| text.single(name, Kind::Counter, help, number.get());
    counter("registry_gc_runs_total", "Sweeps of the store.", &numbers.runs);
    counter("registry_gc_failures_total", "Sweeps that could not do all they should.", &numbers.failures);
    counter("registry_gc_freed_bytes_total", "Bytes that sweeps gave back.", &numbers.bytes);
    counter("registry_gc_freed_blobs_total", "Blobs and manifests that sweeps removed.", &numbers.blobs);
    counter("registry_gc_ended_uploads_total", "Upload sessions that sweeps ended.", &numbers.sessions);
    let (help, time) = ("Time that sweeps took.", seconds(numbers.nanoseconds.get()));
    text.single("registry_gc_duration_seconds_total", Kind::Counter, help, time);
    if numbers.last.get() > 0 {
        let help = "When the last sweep ended, in seconds since 1970.";
        text.single("registry_gc_last_run_timestamp_seconds", Kind::Gauge, help, numbers.last.get());
    }
}

/// Nanoseconds as seconds, exactly: `0.0001`, `60`.
fn seconds(nanoseconds: u64) -> String {
    let text = format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Sweep, Working, gc_run};
    use super::*;
    use crate::route::{Method, Route};

    #[test]
    fn seconds_are_exact() {
        for (nanoseconds, text) in [
            (0, "0"),
            (100_000, "0.0001"),
            (60_000_000_000, "60"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
        ] {
            assert_eq!(seconds(nanoseconds), text);
        }
    }

    #[test]
    fn buckets_count_all_up_to_their_bound() {
        // No other test of this process has requests of this kind.
        let begin = || Working::begin(Some(&Route::Discover), Method::Patch);
        begin().end(200, 0, 0, Duration::from_micros(100));
        begin().end(200, 7, 0, Duration::from_millis(2));
        begin().end(404, 0, 9, Duration::from_secs(700));
        let page = write(None);
        let labels = r#"{route="discover",method="PATCH""#;
        for line in [
            format!(r#"registry_http_requests_total{labels},status="200"}} 2"#),
            format!(r#"registry_http_requests_total{labels},status="404"}} 1"#),
            format!("registry_http_received_bytes_total{labels}}} 7"),
            format!("registry_http_sent_bytes_total{labels}}} 9"),
            format!("registry_http_requests_in_progress{labels}}} 0"),
            format!(r#"registry_http_request_duration_seconds_bucket{labels},le="0.0001"}} 1"#),
            format!(r#"registry_http_request_duration_seconds_bucket{labels},le="0.001"}} 1"#),
            format!(r#"registry_http_request_duration_seconds_bucket{labels},le="0.005"}} 2"#),
            format!(r#"registry_http_request_duration_seconds_bucket{labels},le="600"}} 2"#),
            format!(r#"registry_http_request_duration_seconds_bucket{labels},le="+Inf"}} 3"#),
            format!("registry_http_request_duration_seconds_sum{labels}}} 700.0021"),
            format!("registry_http_request_duration_seconds_count{labels}}} 3"),
        ] {
            assert!(page.contains(&format!("\n{line}\n")), "no {line} in\n{page}");
        }
    }

    #[test]
    fn sweeps_add_up() {
        let sweep =
            Sweep { failed: false, bytes: 10, blobs: 2, sessions: 1, duration: Duration::from_millis(1500) };
        gc_run(sweep);
        gc_run(Sweep { failed: true, ..sweep });
        let page = write(None);
        for line in [
            "registry_gc_runs_total 2",
            "registry_gc_failures_total 1",
            "registry_gc_freed_bytes_total 20",
            "registry_gc_freed_blobs_total 4",
            "registry_gc_ended_uploads_total 2",
            "registry_gc_duration_seconds_total 3",
        ] {
            assert!(page.contains(&format!("\n{line}\n")), "no {line} in\n{page}");
        }
        assert!(page.contains("\nregistry_gc_last_run_timestamp_seconds "));
    }
}
