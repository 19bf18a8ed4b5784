//! htpasswd files ([`container_registry::auth::htpasswd`]).
//!
//! Input: a file.
#![no_main]

use std::cell::RefCell;
use std::collections::HashSet;

use bcrypt::{HashParts, Version};
use container_registry::auth::htpasswd::{COST_MAX, Hash, USER_BYTES_MAX, Users};
use container_registry_fuzz::large;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &str| {
    // Each user with a number in front, so that none is there twice.
    if let Some(large) = large(file.as_bytes(), |count| {
        file.lines().map(|line| format!("{count}{line}\n")).collect::<String>().into_bytes()
    }) {
        drop(Users::parse(str::from_utf8(&large).unwrap()));
    }
    let (usable, mistakes) = Users::read(file);
    assert_eq!(Users::parse(file).is_ok(), mistakes.is_empty() && usable.count() > 0);
    assert_eq!(usable.any(file.len() as u64).is_some(), usable.count() > 0);
    let lines = file.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(lines.clone().count(), usable.count() + mistakes.len(), "each line is a user or a mistake");
    match Users::parse(file) {
        Ok(users) => {
            assert_eq!(users, usable);
            let mut count = 0;
            for line in lines {
                let (user, hash) = line.split_once(':').unwrap();
                assert_eq!(users.get(user).unwrap().as_str(), hash);
                assert!((1..=USER_BYTES_MAX).contains(&user.len()) && !user.chars().any(char::is_control));
                check_hash(hash);
                count += 1;
            }
            assert_eq!(users.count(), count, "each line is a user");
            for seed in [0, 1, 2, file.len() as u64, u64::MAX] {
                check_hash(users.any(seed).unwrap().as_str());
            }
            assert!(
                !format!("{users:?}").contains("$2y$") || file.split(':').any(|user| user.contains("$2y$"))
            );
        }
        Err(why) => {
            assert!(!why.is_empty() && !why.chars().any(char::is_control), "{why:?}");
            // Nothing of what might be a password is told. A tilde is in no message of ours.
            let is_of_user =
                lines.clone().any(|line| line.split_once(':').is_some_and(|(user, _)| user.contains('~')));
            assert!(is_of_user || !why.contains('~'), "{why:?}");
        }
    }
});

/// A hash that was taken is one that somebody's password can have.
fn check_hash(text: &str) {
    let parts: HashParts = text.parse().unwrap();
    assert!((4..=COST_MAX).contains(&parts.get_cost()));
    let version = match &text[..4] {
        "$2a$" => Version::TwoA,
        "$2b$" => Version::TwoB,
        "$2y$" => Version::TwoY,
        other => panic!("{other}"),
    };
    assert_eq!(parts.format_for_version(version), text, "a hash is spelt in one way");
    let is_new =
        VERIFIED.with_borrow_mut(|verified| verified.len() < 100_000 && verified.insert(text.to_owned()));
    if parts.get_cost() == 4 && is_new {
        assert!(bcrypt::verify("", text).is_ok());
        assert!(!Hash::parse(text).unwrap().matches("not this one"));
    }
}

thread_local! {
    /// Computing a hash takes a thousand times as long as all else here.
    static VERIFIED: RefCell<HashSet<String>> = RefCell::default();
}
