//! Manifests, with their descriptors ([`container_registry::manifest`]).
//!
//! Input: the `Content-Type` (an empty line: none), a line end, and the document.
#![no_main]

use std::sync::LazyLock;

use container_registry::descriptor::{Annotations, Descriptor};
use container_registry::manifest::{Content, Held, Manifest, media_type_of};
use container_registry_fuzz::{Tree, peak_of};
use libfuzzer_sys::fuzz_target;
use regex::Regex;

/// How much memory the check may take: this for each byte of the document, and something for an error message.
const MEMORY_PER_BYTE_MAX: usize = 16;
const MEMORY_BYTES_MAX: usize = 16 << 10;

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|&b| b == b'\n').unwrap_or(input.len());
    let (header, document) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let Ok(header) = str::from_utf8(header) else { return };
    let content_type = Some(header).filter(|header| !header.is_empty());

    let (guess, peak) = peak_of(|| media_type_of(document));
    assert!(peak <= document.len() + 64, "{peak} bytes of memory");
    let (parsed, peak) = peak_of(|| Manifest::parse(document, content_type));
    assert!(peak <= MEMORY_PER_BYTE_MAX * document.len() + MEMORY_BYTES_MAX, "{peak} bytes of memory");
    match parsed {
        Ok(manifest) => {
            assert_eq!(manifest.media_type, guess, "it is served as what it was taken for");
            assert_eq!(Manifest::parse_stored(document).unwrap(), manifest);
            let essence = header.split(';').next().unwrap().trim();
            let same = essence.eq_ignore_ascii_case(manifest.media_type.as_str());
            assert!(essence.is_empty() || same, "{essence}");
            check_manifest(document, &manifest);
        }
        Err(error) => {
            assert_eq!((error.status(), error.code()), (400, "MANIFEST_INVALID"));
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }
});

/// What was read is what serde_json reads: the same members, and none that Go would take for them.
fn check_manifest(document: &[u8], manifest: &Manifest) {
    let tree: Tree = match serde_json::from_slice(document) {
        Ok(tree) => tree,
        // What a number means is no matter of grammar; and of depth, serde_json takes one level less.
        Err(error) if error.to_string().contains("number out of range") => return,
        Err(error) if error.to_string().contains("recursion limit") => return,
        Err(error) => panic!("{error}"),
    };
    assert!(!tree.has_twins());
    check_names(&tree, &MANIFEST);
    let has = |name: &str| tree.get(name).is_some();
    assert!(!(has("manifests") && (has("config") || has("layers"))), "it could be read as both");
    assert!(!has("fsLayers") && !has("history"), "it could be read as schema 1");
    let mut required = manifest.required();
    match &manifest.content {
        Content::Image { config, layers } => {
            check_descriptor(config, tree.get("config").unwrap());
            check_list(layers, tree.get("layers").unwrap());
            assert_eq!(required.next().unwrap(), (Held::Blob, config));
        }
        Content::Index { manifests } => check_list(manifests, tree.get("manifests").unwrap()),
    }
    assert!(required.all(|(_, descriptor)| !descriptor.is_non_distributable()));
    match (&manifest.subject, tree.get("subject")) {
        (Some(subject), Some(tree)) => check_descriptor(subject, tree),
        (None, None | Some(Tree::Null)) => {}
        other => panic!("{other:?}"),
    }
    check_text(manifest.artifact_type.as_deref(), tree.get("artifactType"));
    check_annotations(&manifest.annotations, tree.get("annotations"));
}

/// The members that have a meaning, in any letters. Both regex and Go's JSON decoder compare by Unicode's simple
/// case folding.
static MANIFEST: LazyLock<Regex> = LazyLock::new(|| {
    any_of(
        "schemaVersion mediaType artifactType config layers manifests subject annotations fsLayers history",
    )
});
static DESCRIPTOR: LazyLock<Regex> =
    LazyLock::new(|| any_of("mediaType digest size urls annotations data artifactType platform"));

fn any_of(names: &str) -> Regex {
    Regex::new(&format!(r"\A(?i:({}))\z", names.replace(' ', ")|("))).unwrap()
}

/// No member is one that Go would take for another.
fn check_names(tree: &Tree, known: &Regex) {
    for (name, _) in tree.members().iter().filter(|(name, _)| known.is_match(name)) {
        assert!(known.as_str().contains(&format!("({name})")), "{name}");
    }
}

fn check_list(list: &[Descriptor], tree: &Tree) {
    match tree {
        Tree::Null => assert!(list.is_empty()),
        Tree::Array(trees) => {
            assert_eq!(list.len(), trees.len());
            list.iter().zip(trees).for_each(|(descriptor, tree)| check_descriptor(descriptor, tree));
        }
        other => panic!("{other:?}"),
    }
}

fn check_descriptor(descriptor: &Descriptor, tree: &Tree) {
    check_names(tree, &DESCRIPTOR);
    assert_eq!(tree.get("mediaType"), Some(&Tree::String(descriptor.media_type.clone())));
    assert_eq!(tree.get("digest"), Some(&Tree::String(descriptor.digest.to_string())));
    assert_eq!(tree.get("size"), Some(&Tree::Number(descriptor.size.into())));
    assert!(i64::try_from(descriptor.size).is_ok());
    check_text(descriptor.artifact_type.as_deref(), tree.get("artifactType"));
    check_annotations(&descriptor.annotations, tree.get("annotations"));
}

fn check_text(text: Option<&str>, tree: Option<&Tree>) {
    match (text, tree) {
        (Some(text), Some(Tree::String(given))) => assert_eq!(text, given),
        (None, None | Some(Tree::Null)) => {}
        (None, Some(Tree::String(given))) => assert_eq!(given, ""),
        other => panic!("{other:?}"),
    }
}

fn check_annotations(annotations: &Annotations, tree: Option<&Tree>) {
    let given = tree.map(Tree::members).unwrap_or_default();
    let map = annotations.to_map().unwrap_or_default();
    assert_eq!(map.len(), given.len());
    for (name, value) in given {
        assert_eq!(annotations.get(name).map(Tree::String).as_ref(), Some(value), "{name}");
    }
}
