//! What the registry does, seen from outside: a request, its answer, and the files it left.
//!
//! - [`push`]: blobs and manifests come in

mod harness;
mod push;
