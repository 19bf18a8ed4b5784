//! What the registry does, seen from outside: a request, its answer, and the files it left.
//!
//! Content comes and goes:
//! - [`push`]: images come in: manifests, tags, names
//! - [`blobs`]: blobs come in, in one request or in many, or by a mount
//! - [`resume`]: upload sessions that are asked, broken off, taken up again, cancelled
//! - [`manifests`]: what a manifest must be, and that one refused leaves nothing
//! - [`pull`]: images go out, whole or in ranges
//! - [`discovery`]: what there is: tags, catalog, referrers, in pages
//! - [`management`]: what is deleted goes, and nothing else
//! - [`conditions`]: only if it changed, only if it did not
//!
//! The program:
//! - [`command`]: what is typed, set and signalled, and how it ends
//! - [`log`]: what a line tells, and what it cannot be made to tell
//! - [`tidy`]: the rules of the house, read off the source

mod blobs;
mod command;
mod conditions;
mod discovery;
mod harness;
mod log;
mod management;
mod manifests;
mod pull;
mod push;
mod resume;
mod tidy;
