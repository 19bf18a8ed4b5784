//! Base64 (RFC 4648, section 4), decoding only and strictly: with padding, without line breaks, unused bits
//! zero. So no two texts stand for the same bytes.

/// The bytes that `text` stands for, or `None` when it is no base64.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_chunks::<4>();
    let (last, groups) = match groups.split_last() {
        None => return rest.is_empty().then(Vec::new),
        Some(_) if !rest.is_empty() => return None,
        Some(split) => split,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in groups {
        bytes.extend_from_slice(&bits_of(group)?.to_be_bytes()[1..]);
    }
    match last {
        [a, b, b'=', b'='] => {
            let [_, first, 0, 0] = bits_of(&[*a, *b, b'A', b'A'])?.to_be_bytes() else { return None };
            bytes.push(first);
        }
        [a, b, c, b'='] => {
            let [_, first, second, 0] = bits_of(&[*a, *b, *c, b'A'])?.to_be_bytes() else { return None };
            bytes.extend([first, second]);
        }
        full => bytes.extend_from_slice(&bits_of(full)?.to_be_bytes()[1..]),
    }
    Some(bytes)
}

/// The 24 bits that four characters stand for.
fn bits_of(group: &[u8; 4]) -> Option<u32> {
    group.iter().try_fold(0, |bits, character| {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        Some(bits << 6 | u32::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_and_nothing_else() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg==", b"foob"),
            ("+/+/AAEC", b"\xfb\xff\xbf\x00\x01\x02"),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
        for text in
            ["Z", "Zg", "Zg=", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg==", "Zm9v\n", "Zm-v", "Zg=A", "Zm9vZ"]
        {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
