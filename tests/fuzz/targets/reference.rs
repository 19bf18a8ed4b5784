//! Names, tags, digests, upload ids, and the saved state of a hash ([`container_registry::reference`] and its
//! neighbours), beside the regular expressions of the spec.
//!
//! Input: any of them.
#![no_main]

use std::path::{Component, Path};
use std::sync::LazyLock;

use container_registry::digest::{Algorithm, Digest, Hasher};
use container_registry::name::{NAME_BYTES_MAX, RepositoryName};
use container_registry::reference::{Reference, Tag, UploadId};
use libfuzzer_sys::fuzz_target;
use regex::Regex;

fuzz_target!(|text: &str| {
    let name = RepositoryName::parse(text);
    assert_eq!(name.is_ok(), text.len() <= NAME_BYTES_MAX && NAME.is_match(text));
    if let Ok(name) = name {
        assert_eq!(name.to_string(), text);
        check_path(text, text.split('/').count());
        assert!(text.split('/').all(|part| !part.starts_with('_')), "a folder of the store's own");
    }

    let (tag, digest, id) = (Tag::parse(text), Digest::parse(text), UploadId::parse(text));
    assert_eq!(
        (tag.is_ok(), digest.is_ok(), id.is_ok()),
        (TAG.is_match(text), DIGEST.is_match(text), ID.is_match(text))
    );
    match Reference::parse(text) {
        Ok(Reference::Tag(parsed)) => assert_eq!(parsed, *tag.as_ref().unwrap()),
        Ok(Reference::Digest(parsed)) => assert_eq!(parsed, *digest.as_ref().unwrap()),
        Err(error) => {
            assert!(tag.is_err() && digest.is_err());
            assert_eq!(error.status(), 400);
        }
    }
    if let Ok(tag) = tag {
        assert_eq!(tag.to_string(), text);
        check_path(text, 1);
    }
    if let Ok(digest) = digest {
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::from_parts(digest.algorithm(), digest.hex()).unwrap(), digest);
        check_path(digest.hex(), 1);
    }
    if let Ok(id) = id {
        assert_eq!(id.to_string(), text);
        check_path(text, 1);
    }
    Algorithm::ALL.into_iter().for_each(|algorithm| check_hash(algorithm, text));
});

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let component = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";
    Regex::new(&format!(r"\A{component}(/{component})*\z")).unwrap()
});
static TAG: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z").unwrap());
static DIGEST: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})\z").unwrap());
static ID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z").unwrap());

/// It goes so many folders down, to a name that is no hidden one.
fn check_path(text: &str, components: usize) {
    let path = Path::new(text);
    assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{text}");
    assert_eq!(path.components().count(), components, "{text}");
    assert!(!text.contains('\0') && !text.split('/').any(|part| part.starts_with('.')), "{text}");
}

/// Whatever stands in a session's file: it is a state of the hash and can go on from there, or it is none.
fn check_hash(algorithm: Algorithm, text: &str) {
    if let Some(mut hasher) = Hasher::resume(algorithm, text) {
        assert_eq!(hasher.save(), text.to_ascii_lowercase());
        // The digits of the number of blocks, the lowest first. Near its end, which no upload reaches, sha2
        // overflows: as built for use it wraps, and the digest is refused; as built here, it panics.
        let count = match algorithm {
            Algorithm::Sha256 => &text[64..80],
            Algorithm::Sha512 => &text[128..160],
        };
        if count.ends_with("0000") {
            hasher.update(&[0; 300]);
            assert_eq!(hasher.finish().algorithm(), algorithm);
        }
    }
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    let mut hasher = Hasher::new(algorithm);
    hasher.update(first);
    let mut hasher = Hasher::resume(algorithm, &hasher.save()).unwrap();
    hasher.update(second);
    assert_eq!(hasher.finish(), Digest::of(algorithm, text.as_bytes()));
}
