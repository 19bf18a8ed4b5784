//! A container registry.

pub mod digest;
pub mod error;
pub mod name;
pub mod reference;
