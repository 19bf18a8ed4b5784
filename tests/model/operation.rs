//! What can be done to a registry, one thing at a time, and how it reads in a history.

use std::fmt;

/// One request, or the end of the process.
#[derive(Clone, Debug)]
pub enum Operation {
    /// SIGKILL, and another process over the same files.
    Restart,
    /// Begins a session.
    Start {
        name: String,
        algorithm: Option<&'static str>,
    },
    /// Sends a blob at once.
    Post {
        name: String,
        blob: usize,
        digest: String,
    },
    /// Has a blob mounted from another repository, or from anywhere.
    Mount {
        name: String,
        digest: String,
        from: Option<String>,
    },
    /// The same, from where others come and go; if it is not there, sends it.
    MountOrSend {
        name: String,
        digest: String,
        from: Option<String>,
    },
    Status {
        at: Session,
        head: bool,
    },
    Patch {
        at: Session,
        chunk: Chunk,
    },
    Finish {
        at: Session,
        chunk: Chunk,
        digest: Option<String>,
    },
    Cancel {
        at: Session,
    },
    GetBlob {
        name: String,
        digest: String,
        head: bool,
        known: Option<Tags>,
        range: Option<Range>,
    },
    DeleteBlob {
        name: String,
        digest: String,
    },
    PutManifest {
        name: String,
        put: Put,
    },
    GetManifest {
        name: String,
        reference: String,
        head: bool,
        known: Option<Tags>,
    },
    DeleteManifest {
        name: String,
        reference: String,
    },
    ListTags {
        name: String,
        page: Page,
    },
    Catalog {
        page: Page,
    },
    Referrers {
        name: String,
        subject: String,
        kind: Option<String>,
        page: Page,
    },
}

/// A session by its number, and the repository it is asked for in, if that is not its own.
#[derive(Clone, Debug)]
pub struct Session {
    pub number: usize,
    pub elsewhere: Option<String>,
}

/// A piece of a blob.
#[derive(Clone)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    /// First and last byte, as `Content-Range` has it.
    pub range: Option<(u64, u64)>,
    /// Is it sent without a length?
    pub chunked: bool,
}

/// Entity tags in a condition.
#[derive(Clone, Debug)]
pub enum Tags {
    /// `*`
    Any,
    Strong(Vec<String>),
    Weak(Vec<String>),
}

/// Which part of a blob is wanted: first and last byte, either of which may be left out.
#[derive(Clone, Debug)]
pub struct Range {
    pub parts: Vec<(Option<u64>, Option<u64>)>,
    /// The digest in `If-Range`.
    pub only_if: Option<String>,
}

/// A manifest that is pushed.
#[derive(Clone, Debug)]
pub struct Put {
    pub document: usize,
    pub reference: String,
    pub tags: Vec<String>,
    /// A Content-Type that is not the manifest's.
    pub wrong_type: Option<&'static str>,
    pub is: Option<Tags>,
    pub is_not: Option<Tags>,
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub n: Option<u64>,
    pub last: Option<String>,
}

impl Tags {
    /// The header's value.
    pub fn value(&self) -> String {
        let list = |digests: &[String], mark| {
            let tags: Vec<String> = digests.iter().map(|digest| format!("{mark}\"{digest}\"")).collect();
            tags.join(", ")
        };
        match self {
            Self::Any => "*".to_owned(),
            Self::Strong(digests) => list(digests, ""),
            Self::Weak(digests) => list(digests, "W/"),
        }
    }
}

impl Range {
    /// The header's value.
    pub fn value(&self) -> String {
        let number = |number: &Option<u64>| number.map_or(String::new(), |number| number.to_string());
        let parts: Vec<String> =
            self.parts.iter().map(|(first, last)| format!("{}-{}", number(first), number(last))).collect();
        format!("bytes={}", parts.join(","))
    }
}

impl Page {
    /// As parameters of a query.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let n = self.n.map(|n| ("n", n.to_string()));
        n.into_iter().chain(self.last.clone().map(|last| ("last", last))).collect()
    }
}

/// What it is called in a history. Digests are cut to a few digits.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shorten(&format!("{self:?}")))
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())?;
        if let Some((first, last)) = self.range {
            write!(f, " as {first}-{last}")?;
        }
        f.write_str(if self.chunked { ", chunked" } else { "" })
    }
}

/// Cuts each digest to its first digits, which tell them apart here.
pub fn shorten(text: &str) -> String {
    const DIGITS: usize = 8;
    let (mut short, mut run) = (String::new(), 0);
    for character in text.chars() {
        run = if character.is_ascii_hexdigit() { run + 1 } else { 0 };
        if run <= DIGITS {
            short.push(character);
        }
    }
    short
}
