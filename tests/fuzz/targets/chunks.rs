//! A chunked body ([`container_registry::framing::Chunks`]).
//!
//! Input: the body, and perhaps what comes behind it.
#![no_main]

use container_registry::framing::{BODY_BYTES_MAX, Chunks};
use libfuzzer_sys::fuzz_target;

/// Longer ones could exceed what may stand between two chunks, of which the grammar knows nothing.
const INPUT_BYTES_MAX: usize = 8 << 10;

fuzz_target!(|body: &[u8]| {
    if body.len() > INPUT_BYTES_MAX {
        return;
    }
    let whole = decode(body, &[body.len().max(1)], &[body.len().max(1)]);
    for (steps, rooms) in [
        (&[1][..], &[1][..]),
        (&[1], &[100]),
        (&[100], &[1]),
        (&[2, 1, 5], &[3, 1]),
        (&[3, 7, 1, 64], &[1, 2, 50, 4]),
    ] {
        assert_eq!(decode(body, steps, rooms), whole, "{steps:?} {rooms:?}");
    }
    assert_eq!(decode_past(body), whole, "read past the decoder");

    match (whole, by_the_grammar(body)) {
        (Ok((data, taken, true)), Some(expect)) => assert_eq!((data, taken), expect),
        (Ok((_, taken, false)), None) => assert_eq!(taken, body.len(), "it waits for more"),
        (Err(_), None) => {}
        (got, expect) => panic!("{got:?}, but by the grammar {expect:?}"),
    }
});

/// The data, how much of the body was taken for it, and whether its end has come; or why it is malformed.
type Decoded = Result<(Vec<u8>, usize, bool), String>;

/// The body, handed over in pieces of these lengths in turn, to buffers with so much room.
fn decode(body: &[u8], steps: &[usize], rooms: &[usize]) -> Decoded {
    let (mut chunks, mut data, mut at) = (Chunks::new(), Vec::new(), 0);
    for (step, room) in steps.iter().cycle().zip(rooms.iter().cycle()) {
        if at == body.len() || chunks.is_done() {
            break;
        }
        let mut output = vec![0; *room];
        let piece = &body[at..body.len().min(at + step)];
        let (taken, put) = chunks.decode(piece, &mut output).map_err(|error| error.to_string())?;
        assert!(taken > 0 || put > 0, "it goes on");
        at += taken;
        data.extend_from_slice(&output[..put]);
    }
    Ok((data, at, chunks.is_done()))
}

/// The body, of which the decoder sees only what is no data, as where data goes straight into a large buffer.
fn decode_past(body: &[u8]) -> Decoded {
    let (mut chunks, mut data, mut at) = (Chunks::new(), Vec::new(), 0);
    while at < body.len() && !chunks.is_done() {
        let ahead = usize::try_from(chunks.data_ahead()).unwrap().min(body.len() - at);
        data.extend_from_slice(&body[at..at + ahead]);
        chunks.skip_data(ahead as u64);
        at += ahead;
        if at < body.len() {
            let (taken, put) = chunks.decode(&body[at..=at], &mut []).map_err(|error| error.to_string())?;
            assert_eq!((taken, put), (1, 0));
            at += 1;
        }
    }
    Ok((data, at, chunks.is_done()))
}

/// A whole body by the grammar of RFC 9112, 7.1: its data, and its length. `None` if it is no body or not whole.
fn by_the_grammar(body: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut rest, mut total) = (Vec::new(), body, 0);
    loop {
        let (line, after) = split_line(rest)?;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        if !matches!(extension.first(), None | Some(b';' | b' ' | b'\t')) {
            return None;
        }
        let size = u64::from_str_radix(str::from_utf8(size).ok()?, 16).ok()?;
        rest = after;
        if size == 0 {
            break;
        }
        total = size.checked_add(total).filter(|total| *total <= BODY_BYTES_MAX)?;
        let (chunk, after) = rest.split_at_checked(usize::try_from(size).ok()?)?;
        data.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
    loop {
        let (trailer, after) = split_line(rest)?;
        rest = after;
        if trailer.is_empty() {
            return Some((data, body.len() - rest.len()));
        }
    }
}

/// The first line, and what comes behind its CR LF.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| b"\r\n".contains(b))?;
    Some((&bytes[..end], bytes[end..].strip_prefix(b"\r\n")?))
}
