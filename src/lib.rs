//! A container registry.

pub mod api;
pub mod base64;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod descriptor;
pub mod digest;
pub mod error;
pub mod http;
pub mod json;
pub mod log;
pub mod manifest;
pub mod name;
pub mod range;
pub mod reference;
pub mod response;
pub mod route;
pub mod serve;
pub mod server;
pub mod store;
pub mod system;
