//! What several targets use: a JSON document as somebody else reads it, and how much memory something takes.

use std::fmt;

use peak_alloc::PeakAlloc;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Runs `work`, and says how many bytes of memory it held at most beyond those held before.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    (result, MEMORY.peak_usage().saturating_sub(before))
}

/// How long an input is made to see whether the time for it grows faster than its length, in bytes: at a
/// nanosecond a step, what grows with the square of it takes a minute.
const LARGE_BYTES: usize = 256 << 10;

/// A large input, of as many pieces as are made from this small one. Whoever is too slow with it is ended by the
/// time limit of run.sh. It is made from one in 256, since it takes as long as a thousand others.
pub fn large(input: &[u8], piece: impl FnMut(usize) -> Vec<u8>) -> Option<Vec<u8>> {
    let sum = input.iter().fold(0_u8, |sum, byte| sum.rotate_left(1) ^ byte);
    let count = LARGE_BYTES / input.len().max(1);
    (sum == 1).then(|| (0..count).flat_map(piece).collect())
}

/// A JSON value as serde_json reads it, with all members of an object, also those given twice.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// The members of an object, none for another value.
    pub fn members(&self) -> &[(String, Tree)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    /// A member of an object, the first of that name.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        self.members().iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Is some member given twice, at any depth?
    pub fn has_twins(&self) -> bool {
        match self {
            Self::Array(elements) => elements.iter().any(Self::has_twins),
            Self::Object(members) => {
                let mut keys: Vec<&String> = members.iter().map(|(key, _)| key).collect();
                keys.sort_unstable();
                keys.windows(2).any(|pair| pair[0] == pair[1])
                    || members.iter().any(|(_, value)| value.has_twins())
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => false,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Tree::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}
