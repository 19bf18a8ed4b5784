//! The `Authorization` header and base64 ([`container_registry::auth::basic`], [`container_registry::base64`]).
//!
//! Input: the header's value.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use container_registry::auth::basic::{Credentials, token};
use container_registry::base64 as ours;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    assert_eq!(ours::decode(input), STANDARD.decode(input).ok());
    assert_eq!(ours::decode(STANDARD.encode(input).as_bytes()).as_deref(), Some(input));
    let Ok(header) = str::from_utf8(input) else { return };

    if let Some(found) = Credentials::parse(header) {
        let (user, password) = (&found.user, &found.password);
        assert!(!user.contains(':') && !user.chars().chain(password.chars()).any(char::is_control));
        assert_eq!(found.are_nobodys(), (user.as_str(), password.as_str()) == ("", ""));
        let token = token(Some(header));
        assert_eq!(token, STANDARD.encode(format!("{user}:{password}")), "what was sent, and nothing else");
        assert!(Credentials::parse(&format!("Bearer {token}")) == Some(found));
    }
    let found = Credentials::parse(&format!("Basic {}", STANDARD.encode(header)));
    match header.split_once(':').filter(|_| !header.chars().any(char::is_control)) {
        Some((user, password)) => {
            assert!(found == Some(Credentials { user: user.to_owned(), password: password.to_owned() }));
        }
        None => assert!(found.is_none()),
    }
});
