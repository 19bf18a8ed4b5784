//! How clients say who they are: what stands in an `Authorization` header.
//!
//! `Basic` (RFC 7617) is all there is to it: a name and a password in base64. But docker, challenged so, pulls
//! nothing for somebody without a login, not even what is there for everybody: it gives up before it asks. Where
//! strangers may pull, it must be challenged with `Bearer`, the way of Docker Hub: fetch a token, with the login
//! or without, and show that. Our tokens are the same base64 again. So nothing has to be signed, kept, or made to
//! expire; a token is good where its password is, in every process, and as secret.

use crate::base64;
use crate::route::Route;

/// What is shown by those who are nobody: base64 of `:`, a name and a password without letters. Podman and skopeo
/// send it of their own accord.
pub const NOBODY: &str = "Og==";

/// A user's name and what they say is their password. Not to be shown, so there is no `Debug`.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// Reads a header's value. `None`: another scheme, no base64, no UTF-8, no colon, or a control character,
    /// which neither a name nor a password can have.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, encoded) = header.trim().split_once(' ')?;
        if !["Basic", "Bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return None;
        }
        let decoded = String::from_utf8(base64::decode(encoded.trim().as_bytes())?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        let is_text = !decoded.chars().any(char::is_control);
        is_text.then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }

    /// Are they [`NOBODY`]'s?
    pub fn are_nobodys(&self) -> bool {
        self.user.is_empty() && self.password.is_empty()
    }
}

/// What clients are told where only users are let in: the value of `WWW-Authenticate`.
pub fn basic_challenge() -> String {
    r#"Basic realm="container-registry", charset="UTF-8""#.to_owned()
}

/// What they are told where strangers may pull. The realm is where they fetch a token, and clients want it whole:
/// only the configuration knows by which URL they reach us, and a guess could send a password elsewhere.
pub fn bearer_challenge(public_url: &str) -> String {
    format!(r#"Bearer realm="{public_url}{}",service="container-registry""#, Route::Token)
}

/// The token for a header that was let pass.
pub fn token(header: Option<&str>) -> &str {
    header.and_then(|header| header.trim().split_once(' ')).map_or(NOBODY, |(_, token)| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expect: Option<(&str, &str)>) {
        let credentials = Credentials::parse(header);
        let got = credentials.as_ref().map(|found| (found.user.as_str(), found.password.as_str()));
        assert_eq!(got, expect, "{header}");
    }

    #[test]
    fn credentials_are_a_name_and_a_password() {
        check("Basic YWxpY2U6c2VjcmV0", Some(("alice", "secret")));
        check("basic  YWxpY2U6c2VjcmV0 ", Some(("alice", "secret")));
        check("BASIC YWxpY2U6YTpi", Some(("alice", "a:b")));
        check("Basic w6Q6w7Y=", Some(("ä", "ö")));
        check("Bearer YWxpY2U6c2VjcmV0", Some(("alice", "secret")));
        check(&format!("Basic {NOBODY}"), Some(("", "")));
    }

    #[test]
    fn a_token_is_what_was_sent() {
        for header in ["Basic YWxpY2U6c2VjcmV0", "Basic  YWxpY2U6c2VjcmV0 ", "Basic \tYWxpY2U6c2VjcmV0"] {
            assert_eq!(token(Some(header)), "YWxpY2U6c2VjcmV0", "{header:?}");
        }
        assert_eq!((token(None), token(Some("x"))), (NOBODY, NOBODY));
        assert_eq!(
            bearer_challenge("https://example.org/registry"),
            r#"Bearer realm="https://example.org/registry/v2/_token",service="container-registry""#
        );
    }

    #[test]
    fn what_is_none_is_not_guessed_at() {
        for header in [
            "",
            "Basic",
            "Basic ",
            "YWxpY2U6c2VjcmV0",
            "Digest YWxpY2U6c2VjcmV0",
            "BasicYWxpY2U6c2VjcmV0",
            "Basic YWxpY2U6c2VjcmV",  // cut
            "Basic YWxpY2U=",         // no colon
            "Basic /zr/",             // no UTF-8
            "Basic YTpiAGM=",         // NUL, where bcrypt in C would stop reading
            "Basic YTpiCg==",         // line end
            "Basic YTpi, Basic YTpi", // two
        ] {
            check(header, None);
        }
    }
}
