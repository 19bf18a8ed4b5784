//! Which URL means what: the endpoints of the spec as one closed enum.
//!
//! [`Route::parse`] reads a method and a path, `Display` writes the path back; they stand side by side
//! because `Location` headers, the tests and a client use the second to say what the first will read.
//!
//! A repository name may contain the words of the API (`a/blobs/manifests/tags` is a good name), so the
//! *last* segments decide what a path is, and what stands before them is the name.

use std::borrow::Cow;
use std::fmt;

use crate::digest::Digest;
use crate::error::Error;
use crate::name::RepositoryName;
use crate::reference::{Reference, UploadId};

/// The methods that some endpoint takes, and one for all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // their names say it
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Other,
}

impl Method {
    /// Those that some endpoint takes, as they stand in a request line.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("GET", Self::Get),
        ("HEAD", Self::Head),
        ("POST", Self::Post),
        ("PUT", Self::Put),
        ("PATCH", Self::Patch),
        ("DELETE", Self::Delete),
    ];

    /// Reads a method as it stands in a request line. Methods are case-sensitive.
    pub fn parse(text: &str) -> Self {
        Self::NAMES.iter().find(|(name, _)| *name == text).map_or(Self::Other, |(_, method)| *method)
    }
}

/// An endpoint with what its path names. GET includes HEAD: the answer is the same without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are the path's parts
pub enum Route {
    /// `GET /livez`: the process answers
    Livez,
    /// `GET /readyz`: it can do its work
    Readyz,
    /// `GET /metrics`: what it has done, in numbers
    Metrics,
    /// `GET /v2/` (end-1)
    Version,
    /// `GET /v2/_catalog`, of docker's older API
    Catalog,
    /// `GET /v2/_oci/ext/discover`, of the spec's extensions
    Discover,
    /// `GET /v2/_token`, of docker's way to log in
    Token,
    /// `GET /v2/<name>/blobs/<digest>` (end-2)
    GetBlob { name: RepositoryName, digest: Digest },
    /// `DELETE /v2/<name>/blobs/<digest>` (end-10)
    DeleteBlob { name: RepositoryName, digest: Digest },
    /// `GET /v2/<name>/manifests/<tag-or-digest>` (end-3)
    GetManifest { name: RepositoryName, reference: Reference },
    /// `PUT /v2/<name>/manifests/<tag-or-digest>` (end-7)
    PutManifest { name: RepositoryName, reference: Reference },
    /// `DELETE /v2/<name>/manifests/<tag-or-digest>` (end-9)
    DeleteManifest { name: RepositoryName, reference: Reference },
    /// `POST /v2/<name>/blobs/uploads/` (end-4, end-11)
    StartUpload { name: RepositoryName },
    /// `GET <blob-push-location>` (end-13)
    GetUpload { name: RepositoryName, id: UploadId },
    /// `PATCH <blob-push-location>` (end-5)
    PatchUpload { name: RepositoryName, id: UploadId },
    /// `PUT <blob-push-location>?digest=<digest>` (end-6)
    PutUpload { name: RepositoryName, id: UploadId },
    /// `DELETE <blob-push-location>` (end-14)
    DeleteUpload { name: RepositoryName, id: UploadId },
    /// `GET /v2/<name>/tags/list` (end-8)
    ListTags { name: RepositoryName },
    /// `GET /v2/<name>/referrers/<digest>` (end-12)
    ListReferrers { name: RepositoryName, digest: Digest },
}

impl Route {
    /// Finds the endpoint for a method and a path (without the query, percent-encoded as it came).
    ///
    /// # Errors
    /// 404 for a path that is none of ours, 405 for a method its path does not take, and what the parsing
    /// of names, digests and ids says. A tag that cannot exist is refused as invalid where it would be
    /// written (400) and unknown where it is asked for (404).
    pub fn parse(method: Method, path: &str) -> Result<Self, Error> {
        use Method::{Delete, Get, Head, Patch, Post, Put};

        let unknown = || Error::RouteUnknown(without_userinfo(path).into_owned());
        let wrong_method = |allow| Err(Error::MethodNotAllowed { allow });
        let readable = |route| match method {
            Get | Head => Ok(route),
            _ => wrong_method("GET, HEAD"),
        };
        let Some(path) = path.strip_prefix("/v2") else {
            return match path {
                "/livez" => readable(Self::Livez),
                "/readyz" => readable(Self::Readyz),
                "/metrics" => readable(Self::Metrics),
                _ => Err(unknown()),
            };
        };
        let segments: Vec<String> = path.split('/').map(decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let repository = |name: &[&str]| RepositoryName::parse(&name.join("/"));

        match segments.as_slice() {
            [""] | ["", ""] => readable(Self::Version),
            ["", "_catalog"] => readable(Self::Catalog),
            ["", "_oci", "ext", "discover"] => readable(Self::Discover),
            ["", "_token"] => readable(Self::Token),
            ["", name @ .., "tags", "list"] => readable(Self::ListTags { name: repository(name)? }),
            ["", name @ .., "referrers", digest] => {
                readable(Self::ListReferrers { name: repository(name)?, digest: Digest::parse(digest)? })
            }
            ["", name @ .., "manifests", text] => {
                let name = repository(name)?;
                let reference = match (method, Reference::parse(text)) {
                    (Get | Head | Delete, Err(Error::TagInvalid(reference))) => {
                        return Err(Error::ManifestUnknown { name, reference });
                    }
                    (_, reference) => reference?,
                };
                match method {
                    Get | Head => Ok(Self::GetManifest { name, reference }),
                    Put => Ok(Self::PutManifest { name, reference }),
                    Delete => Ok(Self::DeleteManifest { name, reference }),
                    _ => wrong_method("GET, HEAD, PUT, DELETE"),
                }
            }
            ["", name @ .., "blobs", "uploads"] | ["", name @ .., "blobs", "uploads", ""] => match method {
                Post => Ok(Self::StartUpload { name: repository(name)? }),
                _ => wrong_method("POST"),
            },
            ["", name @ .., "blobs", "uploads", id] => {
                let (name, id) = (repository(name)?, UploadId::parse(id)?);
                match method {
                    Get | Head => Ok(Self::GetUpload { name, id }),
                    Patch => Ok(Self::PatchUpload { name, id }),
                    Put => Ok(Self::PutUpload { name, id }),
                    Delete => Ok(Self::DeleteUpload { name, id }),
                    _ => wrong_method("GET, HEAD, PATCH, PUT, DELETE"),
                }
            }
            ["", name @ .., "blobs", digest] => {
                let (name, digest) = (repository(name)?, Digest::parse(digest)?);
                match method {
                    Get | Head => Ok(Self::GetBlob { name, digest }),
                    Delete => Ok(Self::DeleteBlob { name, digest }),
                    _ => wrong_method("GET, HEAD, DELETE"),
                }
            }
            _ => Err(unknown()),
        }
    }
}

/// The path that [`Route::parse`] reads back. Names, tags, digests and ids need no percent-encoding.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Livez => write!(f, "/livez"),
            Self::Readyz => write!(f, "/readyz"),
            Self::Metrics => write!(f, "/metrics"),
            Self::Version => write!(f, "/v2/"),
            Self::Catalog => write!(f, "/v2/_catalog"),
            Self::Discover => write!(f, "/v2/_oci/ext/discover"),
            Self::Token => write!(f, "/v2/_token"),
            Self::GetBlob { name, digest } | Self::DeleteBlob { name, digest } => {
                write!(f, "/v2/{name}/blobs/{digest}")
            }
            Self::GetManifest { name, reference }
            | Self::PutManifest { name, reference }
            | Self::DeleteManifest { name, reference } => write!(f, "/v2/{name}/manifests/{reference}"),
            Self::StartUpload { name } => write!(f, "/v2/{name}/blobs/uploads/"),
            Self::GetUpload { name, id }
            | Self::PatchUpload { name, id }
            | Self::PutUpload { name, id }
            | Self::DeleteUpload { name, id } => write!(f, "/v2/{name}/blobs/uploads/{id}"),
            Self::ListTags { name } => write!(f, "/v2/{name}/tags/list"),
            Self::ListReferrers { name, digest } => write!(f, "/v2/{name}/referrers/{digest}"),
        }
    }
}

/// The parameters behind the `?`, decoded, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Splits and decodes. A `+` stays a plus: media types contain it, and nothing here contains spaces.
    pub fn parse(text: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// All values of a parameter that may be repeated.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once.
    ///
    /// # Errors
    /// [`Error::ParameterInvalid`] when it is given several times: which one counts would be a guess.
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, Error> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(second)) => {
                Err(Error::ParameterInvalid { name, given: second.to_owned(), want: "given once" })
            }
        }
    }

    /// The value of a parameter that counts something: `n=100`.
    ///
    /// # Errors
    /// [`Error::ParameterInvalid`] for anything but digits, and for a number beyond 2^64.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, Error> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            _ => Err(Error::ParameterInvalid { name, given: text.to_owned(), want: "a number, 0 or more" }),
        }
    }
}

/// Replaces `%41` by `A`. What is not a valid escape stays as it is, and what is not UTF-8 becomes `�`:
/// the parsers behind refuse both, with the text in the message.
pub fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, after @ ..]) if digit(*high).is_some() && digit(*low).is_some() => {
                bytes.push(digit(*high).unwrap_or(0) << 4 | digit(*low).unwrap_or(0));
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A request target as it may be shown: what stands before an `@` in one of absolute form
/// (`http://alice:secret@host/v2/`) is a name and a password.
pub fn without_userinfo(target: &str) -> Cow<'_, str> {
    match target.rsplit_once('@') {
        Some((_, rest)) if !target.starts_with('/') => Cow::Owned(format!("(hidden)@{rest}")),
        _ => Cow::Borrowed(target),
    }
}

/// Encodes a value for a query: everything but letters, digits and `-._~` becomes `%XX` (RFC 3986).
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ID: &str = "0b7a4c2e-9d1f-4a3b-8c5d-6e7f8091a2b3";

    /// `want` is the route's name, or the status of the refusal.
    #[track_caller]
    fn check(method: &str, path: &str, want: &str) {
        let path = path.replace("DIGEST", DIGEST).replace("ID", ID);
        let got = match Route::parse(Method::parse(method), &path) {
            Ok(route) => {
                assert_eq!(
                    Route::parse(Method::parse(method), &route.to_string()).unwrap(),
                    route,
                    "round trip"
                );
                format!("{route:?}").split([' ', '{']).next().unwrap().to_owned()
            }
            Err(error) => error.status().to_string(),
        };
        assert_eq!(got, want, "{method} {path}");
    }

    #[test]
    fn every_endpoint_of_the_spec_has_a_route() {
        check("GET", "/v2/", "Version");
        check("GET", "/v2", "Version");
        check("GET", "/v2/_catalog", "Catalog");
        check("GET", "/v2/_oci/ext/discover", "Discover");
        check("GET", "/v2/_token", "Token");
        check("HEAD", "/v2/a/blobs/DIGEST", "GetBlob");
        check("DELETE", "/v2/a/blobs/DIGEST", "DeleteBlob");
        check("GET", "/v2/a/b/manifests/latest", "GetManifest");
        check("PUT", "/v2/a/manifests/DIGEST", "PutManifest");
        check("DELETE", "/v2/a/manifests/latest", "DeleteManifest");
        check("POST", "/v2/a/blobs/uploads/", "StartUpload");
        check("POST", "/v2/a/blobs/uploads", "StartUpload");
        check("GET", "/v2/a/blobs/uploads/ID", "GetUpload");
        check("PATCH", "/v2/a/blobs/uploads/ID", "PatchUpload");
        check("PUT", "/v2/a/blobs/uploads/ID", "PutUpload");
        check("DELETE", "/v2/a/blobs/uploads/ID", "DeleteUpload");
        check("GET", "/v2/a/tags/list", "ListTags");
        check("GET", "/v2/a/referrers/DIGEST", "ListReferrers");
    }

    #[test]
    fn what_is_for_operators_stands_beside_the_api() {
        check("GET", "/livez", "Livez");
        check("HEAD", "/readyz", "Readyz");
        check("GET", "/metrics", "Metrics");
        check("POST", "/metrics", "405");
        check("DELETE", "/livez", "405");
        for path in ["/metrics/", "/metricsx", "/v2/livez", "/%6civez", "/healthz"] {
            check("GET", path, "404");
        }
    }

    #[test]
    fn the_last_segments_decide() {
        check("GET", "/v2/a/blobs/manifests/tags/manifests/v1", "GetManifest");
        check("POST", "/v2/blobs/uploads/blobs/uploads/", "StartUpload");
        check("GET", "/v2/manifests/tags/list", "ListTags");
        check("GET", "/v2/tags/list/tags/list", "ListTags");
        check("GET", "/v2/blobs/uploads/manifests/blobs", "GetManifest");
    }

    #[test]
    fn encoded_digests_work_and_other_tricks_do_not() {
        check("GET", &format!("/v2/a/blobs/{}", DIGEST.replace(':', "%3A")), "GetBlob");
        check("GET", "/v2/a%2Fb/tags/list", "ListTags"); // an encoded slash is still a slash of the name
        check("GET", "/v2/../etc/manifests/x", "400");
        check("GET", "/v2/%2e%2e/manifests/x", "400");
        check("GET", "/v2/a%252fb/manifests/x", "400");
        check("GET", "/v2/a%00/manifests/x", "400");
        check("GET", "/v2/a//b/manifests/x", "400");
        check("GET", "/v2//manifests/x", "400");
        check("GET", "/v2/A/manifests/x", "400");
        check("GET", "/v2/_tags/manifests/x", "400");
        check("GET", "/v2/a/manifests/..", "404");
        check("PUT", "/v2/a/manifests/..", "400");
        check("GET", "/v2/a/manifests/sha256:zz", "400");
        check("GET", "/v2/a/blobs/md5:00", "400");
        check("GET", "/v2/a/blobs/uploads/../../x", "404");
    }

    #[test]
    fn wrong_methods_and_unknown_paths() {
        check("PUT", "/v2/", "405");
        check("POST", "/v2/a/tags/list", "405");
        check("get", "/v2/", "405");
        check("GET", "/v2/a/blobs/uploads/", "405");
        check("PATCH", "/v2/a/manifests/x", "405");
        for path in
            ["/", "", "/v1/", "//v2/", "/v2x", "/v2/a", "/v2/a/tags", "/v2/a/tags/list/", "/v2/_catalog/x"]
        {
            check("GET", path, "404");
        }
    }

    #[test]
    fn queries_are_split_and_decoded() {
        let query = Query::parse("n=5&tag=a&tag=b%2B&&artifactType=application/x+json&empty");
        assert_eq!(query.number("n").unwrap(), Some(5));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b+"]);
        assert_eq!(query.one("artifactType").unwrap(), Some("application/x+json"));
        assert_eq!(query.one("empty").unwrap(), Some(""));
        assert!(query.one("tag").is_err(), "given twice");
        for bad in ["n=-1", "n=+1", "n=", "n=x", "n=18446744073709551616", "n=1&n=2"] {
            assert!(Query::parse(bad).number("n").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_is_shown_without_a_password() {
        for (target, shown) in [
            ("http://alice:secret@host/v2/", "(hidden)@host/v2/"),
            ("ftp://alice:sec/r@et@host/v2/?n=1", "(hidden)@host/v2/?n=1"),
            ("alice:secret@host:80", "(hidden)@host:80"),
            ("http://host/v2/", "http://host/v2/"),
            ("/v2/a/manifests/v1@x", "/v2/a/manifests/v1@x"),
        ] {
            assert_eq!(without_userinfo(target), shown);
        }
        let error = Route::parse(Method::Get, "ftp://alice:secret@host/v2/").unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let text = "a/b+c d%\u{e4}";
        assert_eq!(encode(text), "a%2Fb%2Bc%20d%25%C3%A4");
        assert_eq!(decode(&encode(text)), text);
        assert_eq!(decode("%"), "%");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }
}
