//! Wrong passwords: how many, and from whom, directly and by way of a proxy.

use crate::harness::users::{Users, basic, login};
use crate::harness::{Answer, Registry, eventually};

/// A GET of `/v2/` with this `Authorization`.
fn knock(registry: &Registry, authorization: &str) -> Answer {
    registry.send("GET", "/v2/", &[("Authorization", authorization)], b"")
}

#[test]
fn who_guesses_is_told_to_wait() {
    let users = Users::new(&["alice", "bob"]);
    let registry = users.start(&[]);
    knock(&registry, &login("bob")).assert(200, &[]);
    for user in ["alice", "bob", "nobody"] {
        for guess in 0..10 {
            knock(&registry, &basic(user, &guess.to_string())).assert_error(401, "UNAUTHORIZED");
        }
        let answer = knock(&registry, &basic(user, "once more"));
        answer.assert_error(429, "TOOMANYREQUESTS");
        let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    knock(&registry, &login("alice")).assert_error(429, "TOOMANYREQUESTS"); // it is not even looked at
    knock(&registry, &login("bob")).assert(200, &[]); // known already
}

/// containerd tries five times for each pull, helm three times for each login. Who has just been given the new
/// password must not be shut out by a node that still has the old one.
#[test]
fn the_same_wrong_password_again_is_no_other_guess() {
    let users = Users::new(&["alice"]);
    let registry = users.start(&[]);
    for user in ["alice", "nobody"] {
        for _ in 0..20 {
            knock(&registry, &basic(user, "of last week")).assert_error(401, "UNAUTHORIZED");
        }
    }
    knock(&registry, &login("alice")).assert(200, &[]);
    for guess in 1..10 {
        knock(&registry, &basic("alice", &guess.to_string())).assert_error(401, "UNAUTHORIZED");
    }
    knock(&registry, &basic("alice", "once more")).assert_error(429, "TOOMANYREQUESTS");
    knock(&registry, &basic("alice", "of last week")).assert_error(401, "UNAUTHORIZED");
}

/// A client behind the proxy, as the proxy names it.
fn knock_for(registry: &Registry, client: &str, authorization: &str) -> Answer {
    let headers = [("X-Forwarded-For", client), ("Authorization", authorization)];
    registry.send("GET", "/v2/", &headers, b"")
}

#[test]
fn one_client_of_a_proxy_that_guesses_does_not_lock_the_others_out() {
    let users = Users::new(&["alice"]);
    let registry = users.start(&["--trusted-proxy", "127.0.0.1"]);
    for guess in 0..100 {
        // What the client says of itself is none of the proxy's words.
        let client = format!("198.51.100.{guess}, 192.0.2.1");
        knock_for(&registry, &client, &basic(&format!("user{guess}"), "x")).assert_error(401, "UNAUTHORIZED");
    }
    knock_for(&registry, "192.0.2.1", &basic("user", "x")).assert_error(429, "TOOMANYREQUESTS");
    knock_for(&registry, "192.0.2.2", &login("alice")).assert(200, &[]);
    knock_for(&registry, "192.0.2.1", &login("alice")).assert(200, &[]); // known already
    let line = || registry.log().lines().find(|line| line.contains("peer=192.0.2.2 ")).map(str::to_owned);
    eventually("a line with the client", || line().is_some());
    assert!(line().unwrap().contains(" proxy=127.0.0.1:"), "{line:?}", line = line());
}

#[test]
fn what_a_stranger_says_of_who_it_asks_for_counts_for_nothing() {
    let users = Users::new(&["alice"]);
    for flags in [&[][..], &["--trusted-proxy", "192.0.2.1,10.0.0.0/8"]] {
        let registry = users.start(flags);
        for guess in 0..10 {
            let client = format!("198.51.100.{guess}");
            knock_for(&registry, &client, &basic("alice", &client)).assert_error(401, "UNAUTHORIZED");
        }
        knock_for(&registry, "198.51.100.99", &basic("alice", "x")).assert_error(429, "TOOMANYREQUESTS");
        eventually("eleven lines", || registry.log().matches("GET /v2/").count() == 11);
        assert!(!registry.log().contains("198.51.100"), "{}", registry.log());
    }
}
