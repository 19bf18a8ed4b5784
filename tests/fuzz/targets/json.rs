//! JSON documents ([`container_registry::json`]), beside serde_json.
//!
//! Input: a document.
#![no_main]

use container_registry::json::{DEPTH_MAX, Json};
use container_registry_fuzz::{Tree, large, peak_of};
use libfuzzer_sys::fuzz_target;

/// How much memory the check may take: this for each byte of the document, and something for an error message.
const MEMORY_PER_BYTE_MAX: usize = 16;
const MEMORY_BYTES_MAX: usize = 16 << 10;

fuzz_target!(|document: &[u8]| {
    let (ours, peak) = peak_of(|| Json::parse(document));
    assert!(peak <= MEMORY_PER_BYTE_MAX * document.len() + MEMORY_BYTES_MAX, "{peak} bytes of memory");
    match (ours, serde_json::from_slice::<Tree>(document)) {
        (Ok(json), Ok(tree)) => {
            assert!(!tree.has_twins(), "a member is given twice");
            check_same(json, &tree);
        }
        (Ok(_), Err(error)) => {
            // What a number means is no matter of grammar; and of depth, serde_json takes one level less.
            let error = error.to_string();
            let is_known =
                ["number out of range", "recursion limit"].iter().any(|known| error.contains(known));
            assert!(is_known, "{error}");
        }
        (Err(error), Ok(tree)) => {
            let message = error.to_string();
            assert!(tree.has_twins() && message.contains("is given twice"), "{message}");
        }
        (Err(error), Err(_)) => {
            assert_eq!((error.status(), error.code()), (400, "MANIFEST_INVALID"));
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }
    if let Some(list) = large(document, |_| [document, b","].concat()) {
        let list = [b"[", list.as_slice(), b"0]"].concat();
        let elements = Json::parse(&list).ok().and_then(Json::elements);
        assert!(elements.is_none_or(|elements| elements.count() > 1));
    }
});

/// The view shows what serde_json has read.
fn check_same(json: Json<'_>, tree: &Tree) {
    let source = json.source().unwrap();
    assert_eq!(serde_json::from_str::<Tree>(source).unwrap(), *tree, "the slice is the value");
    check_same_value(json, tree, 0);
}

fn check_same_value(json: Json<'_>, tree: &Tree, depth: usize) {
    assert!(depth <= DEPTH_MAX);
    let (string, elements, members) = (json.string(), json.elements(), json.members());
    let is = (json.is_null(), string.is_some(), elements.is_some(), members.is_some(), json.is_object());
    match tree {
        Tree::Null => assert_eq!((is, json.kind()), ((true, false, false, false, false), "null")),
        Tree::Bool(_) => assert_eq!((is, json.kind()), ((false, false, false, false, false), "a boolean")),
        Tree::Number(number) => {
            assert_eq!((is, json.kind()), ((false, false, false, false, false), "a number"));
            let source = json.source().unwrap();
            let is_plain = source.bytes().all(|b| b.is_ascii_digit());
            assert_eq!(json.integer(), number.as_u64().filter(|_| is_plain), "{source}");
        }
        Tree::String(text) => {
            assert_eq!((is, json.kind()), ((false, true, false, false, false), "a string"));
            assert_eq!(string.unwrap(), text.as_str());
        }
        Tree::Array(trees) => {
            assert_eq!((is, json.kind()), ((false, false, true, false, false), "an array"));
            let elements: Vec<Json<'_>> = elements.unwrap().collect();
            assert_eq!(elements.len(), trees.len());
            elements.iter().zip(trees).for_each(|(json, tree)| check_same_value(*json, tree, depth + 1));
        }
        Tree::Object(trees) => {
            assert_eq!((is, json.kind()), ((false, false, false, true, true), "an object"));
            let members: Vec<_> = members.unwrap().collect();
            assert_eq!(members.len(), trees.len());
            for ((key, json), (name, tree)) in members.iter().zip(trees) {
                assert_eq!(key, name);
                check_same_value(*json, tree, depth + 1);
            }
        }
    }
}
