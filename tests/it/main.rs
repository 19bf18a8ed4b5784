//! What the registry does, seen from outside: a request, its answer, and the files it left.
//!
//! Content comes and goes:
//! - [`push`]: images come in: manifests, tags, names
//! - [`blobs`]: blobs come in, in one request or in many, or by a mount
//! - [`sessions`]: upload sessions: asked, continued in order, closed, cancelled, and by whom
//! - [`resume`]: upload sessions that break off and are taken up again
//! - [`manifests`]: what a manifest must be, and that one refused leaves nothing
//! - [`limits`]: what is too large or does not come whole
//! - [`pull`]: images go out
//! - [`ranges`]: parts of blobs go out
//! - [`discovery`]: what there is: the API itself, tags and the catalog, in pages
//! - [`referrers`]: what has been said about a manifest, filtered and in pages
//! - [`management`]: what is deleted goes, and nothing else
//! - [`conditions`]: only if it changed, only if it did not
//! - [`history`]: what a tag has been is remembered, and it can be set back
//! - [`immutable`]: tags that are set once
//! - [`by_hand`]: what people do to the files with an editor, `ln` and `cp`
//!
//! Who may do what:
//! - [`access`]: every route with every setting, and the table of the README that it makes
//! - [`auth`]: logins, rules, and what strangers are not told
//! - [`guesses`]: wrong passwords: how many, and from whom
//!
//! In files that other programs write and read:
//! - [`layout`]: `registry import` and `registry export`
//!
//! The program:
//! - [`command`]: what is typed, set and signalled, and how it ends
//! - [`gc`]: what nothing refers to goes by itself, and what somebody was told of does not
//! - [`du`]: who holds which bytes alone
//! - [`owner`]: commands that write are for the user whose the files are
//! - [`verify`]: what is wrong with the files is found and named
//! - [`rot`]: what is pushed takes the place of bytes that have changed
//! - [`server`]: many clients at once, slow ones and silent ones, and that others are served meanwhile
//! - [`wire`]: bytes that an honest client does not send, and what comes of them
//! - [`metrics`]: is it alive, is it ready, what has it done, is there room
//! - [`log`]: what a line tells, and what it cannot be made to tell
//! - [`tidy`]: the rules of the house, read off the source
//! - [`readme`]: the README tells the truth

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod access;
mod auth;
mod blobs;
mod by_hand;
mod command;
mod conditions;
mod discovery;
mod du;
mod gc;
mod guesses;
mod harness;
mod history;
mod immutable;
mod layout;
mod limits;
mod log;
mod management;
mod manifests;
mod metrics;
mod owner;
mod pull;
mod push;
mod ranges;
mod readme;
mod referrers;
mod resume;
mod rot;
mod server;
mod sessions;
mod tidy;
mod verify;
mod wire;
