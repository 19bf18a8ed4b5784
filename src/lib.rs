//! A container registry: the server that `docker push` talks to, small enough to be read in an hour.
//!
//! # How to read it
//!
//! Begin with the disk, then follow a request from the outside in; each file opens with what it promises.
//!
//! 1. [`store`]: the tree of files, which is the design.
//! 2. [`name`], [`mod@reference`], [`digest`]: what a repository, a tag, a digest is. Each type has one constructor
//!    that checks, so no text from a request ever becomes a path.
//! 3. [`route`]: which URL means what. [`error`]: every way to fail, with its status and its code.
//! 4. [`auth`] and its files: who may do what. [`auth::access`] is the table of what each endpoint needs.
//!    [`proxies`]: who asks, when it is a proxy that asks for them.
//! 5. [`api`] and its files: one function for each endpoint. Open `api/uploads.rs` beside
//!    [`store/uploads.rs`](store::uploads), and a push is on the screen.
//! 6. [`store::disk`]: how a file becomes durable. [`store::blobs`], [`store::manifests`], [`store::tags`]: in
//!    which order names appear.
//! 7. [`gc`] and [`store::usage`]: how space comes back, and why nothing goes that a client was just told of.
//! 8. [`manifest`]: what a document must be to be an image.
//! 9. [`metrics`] and [`room`]: what operators see, and a warning before the disk is full.
//! 10. [`server`], [`http`], [`connections`], [`framing`], [`system`]: how a request gets here, and what the HTTP
//!     library needs help with.
//! 11. [`layout`]: images in files, for [`registry import`](layout::import) and [`registry export`](layout::export).
//!
//! # A push, in the words of the code
//!
//! ```text
//! POST /v2/hello/blobs/uploads/           api::uploads::start     → uploads/<id>/ is made
//! PATCH /v2/hello/blobs/uploads/<id>      api::uploads::patch     → its file grows, its hash runs along
//! PUT …/<id>?digest=sha256:…              api::uploads::put       → synced, linked under blobs/, then under
//!                                                                   repositories/hello/_blobs/
//! PUT /v2/hello/manifests/latest          api::manifests::put     → checked, stored the same way, and at last
//!                                                                   _tags/latest points at it
//! ```
//!
//! # Who knows whom
//!
//! ```text
//! main → cli, config → serve → server → api → store → the vocabulary
//!      │               │        │      └→ auth   ↑
//!      │               │        └→ http → connections → framing, system
//!      └→ verify, gc, du ←────┘ (gc, in the background)
//!      └→ layout → store
//! ```
//!
//! What holds it together is mostly what is *not* there, and a test (`tests/it/tidy.rs`) keeps it so:
//!
//! - Only [`http`] names `tiny_http`, only [`system`] has `unsafe` code, only [`store::disk`] names, renames
//!   or syncs a file.
//! - [`store`] knows no status code; [`api`] touches no file.
//! - The vocabulary does no I/O.
//! - Nothing is kept in memory that a restart would have to rebuild: the files are the state, so several
//!   processes can serve one folder.

pub mod api;
pub mod auth;
pub mod background;
pub mod base64;
pub mod buffer;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod descriptor;
pub mod digest;
pub mod du;
pub mod error;
pub mod framing;
pub mod gc;
pub mod history;
pub mod http;
pub mod json;
pub mod layout;
pub mod log;
pub mod manifest;
pub mod metrics;
pub mod name;
pub mod pattern;
pub mod percent;
pub mod proxies;
pub mod quota;
pub mod range;
pub mod reference;
pub mod response;
pub mod room;
pub mod route;
pub mod serve;
pub mod server;
pub mod store;
pub mod system;
pub mod verify;
