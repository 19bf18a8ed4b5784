//! Every way a request can fail, and what the client is told.
//!
//! [`Error::status`] and [`Error::code`] stand side by side and match exhaustively, so a new way to fail
//! must say both. The codes are those of the spec's table ("Error Codes"). The message is for the person
//! who reads a client's output: what was wrong, and with which thing.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::auth::rules::Right;
use crate::digest::Digest;
use crate::name::RepositoryName;
use crate::percent::Percent;
use crate::reference::{Tag, UploadId};

/// An I/O error that knows its file and what was being done to it.
#[derive(Debug)]
pub struct PathError {
    /// What was tried, as a verb: `open`, `sync`, `link`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl PathError {
    /// Is the disk full, or the quota used up?
    pub fn is_for_lack_of_room(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.path.display(), self.source)
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Why a request was refused or failed.
#[derive(Debug)]
pub enum Error {
    // ---- what the URL or the query says
    /// No endpoint has this path.
    RouteUnknown(String),
    /// The path is known, the method is not for it. `allow` goes into the `Allow` header.
    MethodNotAllowed {
        /// The methods that work, separated by `, `.
        allow: &'static str,
    },
    /// The target is longer than we read.
    UriTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A query parameter has a value we cannot use.
    ParameterInvalid {
        /// Its name.
        name: &'static str,
        /// The value given.
        given: String,
        /// What it must be.
        want: &'static str,
    },
    /// The text is no repository name.
    NameInvalid(String),
    /// The text is no tag.
    TagInvalid(String),
    /// The text is no digest.
    DigestInvalid {
        /// The text.
        given: String,
    },
    /// The digest's algorithm is not one we compute.
    AlgorithmUnknown(String),
    /// A closing PUT without `digest`.
    DigestMissing,

    // ---- the HTTP message itself
    /// The message's framing is wrong, so where it ends is not certain. The connection ends too.
    Framing(String),
    /// A header has a value we cannot use.
    HeaderInvalid {
        /// Its name.
        name: &'static str,
        /// The value given.
        given: String,
        /// What it must be.
        want: &'static str,
    },
    /// The body could not be read to its end: it was cut off, the client fell silent, a chunk was malformed.
    BodyUnreadable(io::Error),

    // ---- who may do what
    /// Who does not say who they are may not do this. `challenge` goes into the `WWW-Authenticate` header.
    LoginNeeded {
        /// How to say it.
        challenge: String,
    },
    /// There is no such user with such a password.
    LoginWrong {
        /// How to say it.
        challenge: String,
    },
    /// Too many passwords were wrong, or too many are being checked; this one was not looked at.
    TooManyGuesses {
        /// When to try again.
        wait: Duration,
    },
    /// The user may not do this.
    Denied {
        /// The user, whose password was right.
        user: String,
        /// What they may not do.
        right: Right,
        /// Where.
        name: RepositoryName,
    },
    /// The registry is read-only. `allow` goes into the `Allow` header, and may be empty.
    ReadOnly {
        /// The methods that work, separated by `, `.
        allow: String,
    },
    /// The registry lets nothing be deleted.
    DeleteDisabled {
        /// The methods that work, separated by `, `.
        allow: String,
    },

    // ---- blobs and uploads
    /// The repository has no such blob.
    BlobUnknown(Digest),
    /// No such upload session in this repository.
    UploadUnknown(String),
    /// Another request is writing to this session.
    UploadBusy(UploadId),
    /// A chunk does not begin where the session ends. The session lives on.
    UploadOutOfOrder {
        /// Where the session stands: the offset the next chunk must begin at.
        offset: u64,
        /// Where the chunk begins.
        start: u64,
    },
    /// `Content-Range` and `Content-Length` disagree.
    ChunkLength {
        /// Length by Content-Range.
        range: u64,
        /// Length of the body.
        body: u64,
    },
    /// The content has another digest than the client said.
    DigestMismatch {
        /// What the client said.
        expected: Digest,
        /// What arrived.
        actual: Digest,
    },
    /// A `Range` that the blob cannot satisfy.
    RangeNotSatisfiable {
        /// The blob's size in bytes.
        size: u64,
    },

    // ---- repositories, manifests and tags
    /// No such repository.
    NameUnknown(RepositoryName),
    /// The repository has no such manifest.
    ManifestUnknown {
        /// The repository.
        name: RepositoryName,
        /// Tag or digest, as given.
        reference: String,
    },
    /// The manifest breaks a rule of the image spec.
    ManifestInvalid {
        /// The field, as a path: `layers[2].size`.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// The manifest is larger than the limit.
    ManifestTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The manifest refers to content that the repository does not hold.
    ManifestBlobUnknown(Vec<Digest>),
    /// More `tag` parameters than we take.
    TooManyTags {
        /// The limit.
        limit: usize,
    },
    /// `If-Match` or `If-None-Match` does not hold. Nothing was written.
    PreconditionFailed {
        /// What the tag points at now.
        current: Option<Digest>,
    },
    /// The same, for somebody who may not know what the tag points at.
    ConditionFailed,
    /// The tag is set, and neither moves nor goes. Nothing was changed.
    TagImmutable {
        /// The repository.
        name: RepositoryName,
        /// The tag.
        tag: Tag,
        /// What it points at, for those who may know.
        current: Option<Digest>,
    },

    /// What was to be deleted belongs to a tag that is set once and stays as it is.
    TagNeeds {
        /// The tag.
        tag: Tag,
        /// What was to be deleted.
        digest: Digest,
    },

    // ---- our side
    /// Less than this share of the disk is free, or would be after it, and what brings more is refused.
    DiskNearlyFull(Percent),
    /// A file could not be read or written.
    Disk(PathError),
    /// The system gives no random numbers.
    Random(String),
    /// A handler panicked: a bug of ours.
    Panicked,
}

impl Error {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::RouteUnknown(_) => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::UriTooLong { .. } => 414,
            Self::ParameterInvalid { .. } => 400,
            Self::NameInvalid(_) => 400,
            Self::TagInvalid(_) => 400,
            Self::DigestInvalid { .. } => 400,
            Self::AlgorithmUnknown(_) => 400,
            Self::DigestMissing => 400,
            Self::Framing(_) => 400,
            Self::HeaderInvalid { .. } => 400,
            Self::BodyUnreadable(e) if is_timeout(e) => 408,
            Self::BodyUnreadable(_) => 400,
            Self::LoginNeeded { .. } => 401,
            Self::LoginWrong { .. } => 401,
            Self::TooManyGuesses { .. } => 429,
            Self::Denied { .. } => 403,
            Self::ReadOnly { .. } => 405, // "400 Bad Request or 405 Method Not Allowed"
            Self::DeleteDisabled { .. } => 405,
            Self::BlobUnknown(_) => 404,
            Self::UploadUnknown(_) => 404,
            Self::UploadBusy(_) => 409,
            Self::UploadOutOfOrder { .. } => 416,
            Self::ChunkLength { .. } => 400,
            Self::DigestMismatch { .. } => 400,
            Self::RangeNotSatisfiable { .. } => 416,
            Self::NameUnknown(_) => 404,
            Self::ManifestUnknown { .. } => 404,
            Self::ManifestInvalid { .. } => 400,
            Self::ManifestTooLarge { .. } => 413,
            Self::ManifestBlobUnknown(_) => 404,
            Self::TooManyTags { .. } => 414,
            Self::PreconditionFailed { .. } | Self::ConditionFailed => 412,
            Self::TagImmutable { .. } | Self::TagNeeds { .. } => 403,
            Self::DiskNearlyFull(_) => 507,
            Self::Disk(error) if error.is_for_lack_of_room() => 507,
            Self::Disk(_) => 500,
            Self::Random(_) => 500,
            Self::Panicked => 500,
        }
    }

    /// Is the disk full, or nearly so?
    pub fn is_for_lack_of_room(&self) -> bool {
        self.status() == 507
    }

    /// The code of the spec's table. The table is for what the client did; a failure of ours is `UNKNOWN`,
    /// which clients take as "try again", where `UNSUPPORTED` would tell them not to.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RouteUnknown(_) => "UNSUPPORTED",
            Self::MethodNotAllowed { .. } => "UNSUPPORTED",
            Self::UriTooLong { .. } => "UNSUPPORTED",
            Self::ParameterInvalid { .. } => "UNSUPPORTED",
            Self::NameInvalid(_) => "NAME_INVALID",
            Self::TagInvalid(_) => "MANIFEST_INVALID",
            Self::DigestInvalid { .. } => "DIGEST_INVALID",
            Self::AlgorithmUnknown(_) => "DIGEST_INVALID",
            Self::DigestMissing => "DIGEST_INVALID",
            Self::Framing(_) => "SIZE_INVALID",
            Self::HeaderInvalid { .. } => "UNSUPPORTED",
            Self::BodyUnreadable(_) => "SIZE_INVALID",
            Self::LoginNeeded { .. } => "UNAUTHORIZED",
            Self::LoginWrong { .. } => "UNAUTHORIZED",
            Self::TooManyGuesses { .. } => "TOOMANYREQUESTS",
            Self::Denied { .. } => "DENIED",
            Self::ReadOnly { .. } => "UNSUPPORTED",
            Self::DeleteDisabled { .. } => "UNSUPPORTED",
            Self::BlobUnknown(_) => "BLOB_UNKNOWN",
            Self::UploadUnknown(_) => "BLOB_UPLOAD_UNKNOWN",
            Self::UploadBusy(_) => "BLOB_UPLOAD_INVALID",
            Self::UploadOutOfOrder { .. } => "BLOB_UPLOAD_INVALID",
            Self::ChunkLength { .. } => "SIZE_INVALID",
            Self::DigestMismatch { .. } => "DIGEST_INVALID",
            Self::RangeNotSatisfiable { .. } => "SIZE_INVALID",
            Self::NameUnknown(_) => "NAME_UNKNOWN",
            Self::ManifestUnknown { .. } => "MANIFEST_UNKNOWN",
            Self::ManifestInvalid { .. } => "MANIFEST_INVALID",
            Self::ManifestTooLarge { .. } => "MANIFEST_INVALID",
            Self::ManifestBlobUnknown(_) => "MANIFEST_BLOB_UNKNOWN",
            Self::TooManyTags { .. } => "MANIFEST_INVALID",
            Self::PreconditionFailed { .. } | Self::ConditionFailed => "DENIED",
            Self::TagImmutable { .. } | Self::TagNeeds { .. } => "DENIED",
            Self::DiskNearlyFull(_) => "UNKNOWN",
            Self::Disk(_) => "UNKNOWN",
            Self::Random(_) => "UNKNOWN",
            Self::Panicked => "UNKNOWN",
        }
    }

    /// The header that belongs to such an answer, if there is one.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::MethodNotAllowed { allow } => Some(("Allow", (*allow).to_owned())),
            Self::ReadOnly { allow } | Self::DeleteDisabled { allow } => Some(("Allow", allow.clone())),
            Self::LoginNeeded { challenge } | Self::LoginWrong { challenge } => {
                Some(("WWW-Authenticate", challenge.clone()))
            }
            Self::TooManyGuesses { wait } => Some(("Retry-After", seconds(*wait).to_string())),
            Self::RangeNotSatisfiable { size } => Some(("Content-Range", format!("bytes */{size}"))),
            Self::RouteUnknown(_) | Self::UriTooLong { .. } | Self::ParameterInvalid { .. } => None,
            Self::NameInvalid(_) | Self::TagInvalid(_) | Self::DigestInvalid { .. } => None,
            Self::AlgorithmUnknown(_) | Self::DigestMissing => None,
            Self::Framing(_) | Self::HeaderInvalid { .. } | Self::BodyUnreadable(_) => None,
            Self::Denied { .. } => None,
            Self::BlobUnknown(_) | Self::UploadUnknown(_) | Self::UploadBusy(_) => None,
            Self::UploadOutOfOrder { .. } | Self::ChunkLength { .. } | Self::DigestMismatch { .. } => None,
            Self::NameUnknown(_) | Self::ManifestUnknown { .. } | Self::ManifestInvalid { .. } => None,
            Self::ManifestTooLarge { .. } | Self::ManifestBlobUnknown(_) | Self::TooManyTags { .. } => None,
            Self::PreconditionFailed { .. } | Self::ConditionFailed => None,
            Self::TagImmutable { .. } | Self::TagNeeds { .. } => None,
            Self::DiskNearlyFull(_) | Self::Disk(_) | Self::Random(_) | Self::Panicked => None,
        }
    }

    /// Must the connection end after the answer, because where the next request begins is not certain?
    pub fn ends_connection(&self) -> bool {
        matches!(self, Self::Framing(_) | Self::BodyUnreadable(_))
    }

    /// Is it our failure rather than the client's? Then the log gets the full story.
    pub fn is_ours(&self) -> bool {
        self.status() >= 500
    }

    /// The `detail` member: the thing the error is about, for programs.
    fn detail(&self) -> Value {
        match self {
            Self::RouteUnknown(path) => json!({ "path": path }),
            Self::MethodNotAllowed { allow } => json!({ "allow": allow }),
            Self::UriTooLong { limit } => json!({ "limit": limit }),
            Self::ParameterInvalid { name, given, .. } => json!({ "parameter": name, "given": given }),
            Self::NameInvalid(name) => json!({ "name": name }),
            Self::TagInvalid(tag) => json!({ "tag": tag }),
            Self::DigestInvalid { given } => json!({ "digest": given }),
            Self::AlgorithmUnknown(algorithm) => json!({ "algorithm": algorithm }),
            Self::DigestMissing => json!({ "parameter": "digest" }),
            Self::Framing(_) | Self::BodyUnreadable(_) => Value::Null,
            Self::HeaderInvalid { name, given, .. } => json!({ "header": name, "given": given }),
            Self::LoginNeeded { .. } | Self::LoginWrong { .. } => Value::Null,
            Self::TooManyGuesses { wait } => json!({ "seconds": seconds(*wait) }),
            Self::Denied { right, name, .. } => {
                json!({ "name": name.as_str(), "action": right.to_string() })
            }
            Self::ReadOnly { allow } | Self::DeleteDisabled { allow } => json!({ "allow": allow }),
            Self::BlobUnknown(digest) => json!({ "digest": digest.to_string() }),
            Self::UploadUnknown(id) => json!({ "upload": id }),
            Self::UploadBusy(id) => json!({ "upload": id.as_str() }),
            Self::UploadOutOfOrder { offset, start } => json!({ "offset": offset, "start": start }),
            Self::ChunkLength { range, body } => json!({ "range": range, "body": body }),
            Self::DigestMismatch { expected, actual } => {
                json!({ "expected": expected.to_string(), "actual": actual.to_string() })
            }
            Self::RangeNotSatisfiable { size } => json!({ "size": size }),
            Self::NameUnknown(name) => json!({ "name": name.as_str() }),
            Self::ManifestUnknown { name, reference } => {
                json!({ "name": name.as_str(), "reference": reference })
            }
            Self::ManifestInvalid { field, .. } => json!({ "field": field }),
            Self::ManifestTooLarge { limit } => json!({ "limit": limit }),
            Self::ManifestBlobUnknown(_) => Value::Null, // one entry for each, see `to_json`
            Self::TooManyTags { limit } => json!({ "limit": limit }),
            Self::PreconditionFailed { current } => {
                json!({ "current": current.as_ref().map(Digest::to_string) })
            }
            Self::ConditionFailed => Value::Null,
            Self::TagNeeds { tag, digest } => {
                json!({ "tag": tag.as_str(), "digest": digest.to_string() })
            }
            Self::TagImmutable { name, tag, current } => json!({
                "name": name.as_str(),
                "tag": tag.as_str(),
                "current": current.as_ref().map(Digest::to_string),
            }),
            Self::DiskNearlyFull(share) => json!({ "free_below": share.to_string() }),
            Self::Disk(_) | Self::Random(_) | Self::Panicked => Value::Null,
        }
    }

    /// The body of the answer, in the format of the spec: `{"errors":[{code, message, detail}, …]}`.
    pub fn to_json(&self) -> Value {
        let entry = |message: String, detail: Value| json!({ "code": self.code(), "message": message, "detail": detail });
        let errors = match self {
            Self::ManifestBlobUnknown(digests) => digests
                .iter()
                .map(|digest| {
                    let message =
                        format!("the manifest refers to {digest}, which this repository does not hold");
                    entry(message, json!({ "digest": digest.to_string() }))
                })
                .collect(),
            _ => vec![entry(self.to_string(), self.detail())],
        };
        json!({ "errors": errors })
    }

    /// The story for the log: for a failure of ours with the path and the cause, which the client is not told.
    pub fn log_text(&self) -> String {
        match self {
            Self::Disk(error) => error.to_string(),
            _ => self.to_string(),
        }
    }
}

/// Whole seconds, and rather one more than one too few.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// A socket's time limit shows as one or the other, depending on the platform.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The message for the client.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RouteUnknown(path) => write!(f, "nothing is served under {path}; the API begins at /v2/"),
            Self::MethodNotAllowed { allow } => write!(f, "this path takes {allow} only"),
            Self::UriTooLong { limit } => write!(f, "the request target is longer than {limit} bytes"),
            Self::ParameterInvalid { name, given, want } => {
                write!(f, "the query parameter {name} must be {want}, not {given:?}")
            }
            Self::NameInvalid(name) => write!(
                f,
                "{name:?} is no repository name: lower-case letters and digits, joined by . _ __ or -, \
                 components separated by /, at most {} bytes",
                crate::name::NAME_BYTES_MAX
            ),
            Self::TagInvalid(tag) => write!(
                f,
                "{tag:?} is no tag: letters, digits, _ . and -, not beginning with . or -, at most {} bytes",
                crate::reference::TAG_BYTES_MAX
            ),
            Self::DigestInvalid { given } => write!(
                f,
                "{given:?} is no digest: sha256: with 64 or sha512: with 128 lower-case hexadecimal digits"
            ),
            Self::AlgorithmUnknown(algorithm) => {
                write!(f, "the digest algorithm {algorithm:?} is not supported: use sha256 or sha512")
            }
            Self::DigestMissing => {
                write!(f, "the closing PUT needs the parameter digest=<digest of the whole blob>")
            }
            Self::Framing(why) => write!(f, "{why}"),
            Self::HeaderInvalid { name, given, want } => {
                write!(f, "the header {name} must be {want}, not {given:?}")
            }
            Self::BodyUnreadable(error) if is_timeout(error) => write!(f, "no more of the body came in time"),
            Self::BodyUnreadable(error) => write!(f, "the body could not be read: {error}"),
            Self::LoginNeeded { .. } => write!(f, "this needs a login: a user name and a password"),
            Self::LoginWrong { .. } => write!(f, "there is no such user with such a password"),
            Self::TooManyGuesses { wait } => {
                write!(
                    f,
                    "too many passwords were wrong, or are being checked: try again in {} s",
                    seconds(*wait)
                )
            }
            Self::Denied { user, right, name } => write!(f, "{user} may not {right} in {name}"),
            Self::ReadOnly { .. } => {
                write!(f, "this registry is read-only: nothing can be pushed or deleted")
            }
            Self::DeleteDisabled { .. } => write!(f, "deleting is switched off in this registry"),
            Self::BlobUnknown(digest) => write!(f, "this repository has no blob {digest}"),
            Self::UploadUnknown(id) => {
                write!(f, "this repository has no upload session {id:?}: begin a new one")
            }
            Self::UploadBusy(id) => write!(f, "another request is writing to the upload session {id}"),
            Self::UploadOutOfOrder { offset, start } => {
                write!(f, "the chunk begins at byte {start}, but the session stands at byte {offset}")
            }
            Self::ChunkLength { range, body } => {
                write!(f, "Content-Range is {range} bytes long, the body {body}")
            }
            Self::DigestMismatch { expected, actual } => {
                write!(f, "the content has the digest {actual}, not {expected}")
            }
            Self::RangeNotSatisfiable { size } => {
                write!(f, "no part of the range lies within the {size} bytes")
            }
            Self::NameUnknown(name) => write!(f, "there is no repository {name}"),
            Self::ManifestUnknown { name, reference } => write!(f, "{name} has no manifest {reference}"),
            Self::ManifestInvalid { field, why } if field.is_empty() => write!(f, "the manifest {why}"),
            Self::ManifestInvalid { field, why } => write!(f, "the manifest's {field} {why}"),
            Self::ManifestTooLarge { limit } => {
                write!(f, "the manifest is larger than the limit of {limit} bytes")
            }
            Self::ManifestBlobUnknown(digests) => {
                let names: Vec<String> = digests.iter().map(Digest::to_string).collect();
                write!(f, "the manifest refers to what this repository does not hold: {}", names.join(", "))
            }
            Self::TooManyTags { limit } => write!(f, "more than {limit} tag parameters in one request"),
            Self::PreconditionFailed { current: Some(digest) } => {
                write!(f, "the condition does not hold: the tag is {digest} now; nothing was written")
            }
            Self::PreconditionFailed { current: None } => {
                write!(f, "the condition does not hold: there is no such tag; nothing was written")
            }
            Self::ConditionFailed => write!(f, "the condition does not hold; nothing was written"),
            Self::TagImmutable { name, tag, current } => {
                write!(f, "the tag {tag} of {name} is immutable: it can be neither moved nor deleted")?;
                current.as_ref().map_or(Ok(()), |digest| write!(f, "; it is {digest}"))
            }
            Self::TagNeeds { tag, digest } => {
                write!(f, "{digest} belongs to the tag {tag}, which is immutable: it cannot be deleted")
            }
            Self::DiskNearlyFull(share) => {
                write!(
                    f,
                    "the registry's disk is nearly full: less than {share} would be left free; nothing more is stored"
                )
            }
            Self::Disk(_) if self.is_for_lack_of_room() => {
                write!(f, "the registry's disk is full; nothing was stored")
            }
            Self::Disk(_) => write!(f, "the registry could not read or write its files; its log says why"),
            Self::Random(why) => write!(f, "the system gives no random numbers: {why}"),
            Self::Panicked => write!(f, "a bug in the registry; its log says where"),
        }
    }
}

impl std::error::Error for Error {}

impl From<PathError> for Error {
    fn from(error: PathError) -> Self {
        Self::Disk(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_thing() {
        let error = Error::NameInvalid("Hello".into());
        assert_eq!(error.to_json()["errors"][0]["code"], "NAME_INVALID");
        assert_eq!(error.to_json()["errors"][0]["detail"]["name"], "Hello");
    }

    #[test]
    fn every_missing_blob_is_an_error_of_its_own() {
        let digest = |text: &str| Digest::of(crate::digest::Algorithm::Sha256, text.as_bytes());
        let json = Error::ManifestBlobUnknown(vec![digest("a"), digest("b")]).to_json();
        assert_eq!(json["errors"][1]["code"], "MANIFEST_BLOB_UNKNOWN");
        assert_eq!(json["errors"][1]["detail"]["digest"], digest("b").to_string());
    }

    #[test]
    fn a_failure_of_ours_tells_the_client_no_path() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Error::Disk(PathError { action: "open", path: "/secret/place".into(), source });
        assert_eq!((error.status(), error.code()), (500, "UNKNOWN"));
        assert!(!error.to_json().to_string().contains("secret"));
        assert!(error.log_text().contains("/secret/place"));
    }
}
