//! What std cannot ask of the operating system. The only place with `unsafe` code, here and in the files below.
//!
//! - [`door`]: our own `accept4`, standing in for the C library's. Connections come in one at a time, and only
//!   while there is room for them.
//! - [`socket`]: our own `recv`, standing in likewise. The HTTP library reads what we give it. And the few things
//!   that are done to a socket which the library owns.
//! - [`process`]: signals, memory, and the limit of open files.
//! - [`disk`]: how much room a file system has.
//!
//! **How a function stands in for one of the C library.** std's `TcpListener::accept` calls the symbol `accept4`,
//! its `TcpStream::read` the symbol `recv`. The linker takes the first definition that it finds, and a program's
//! own comes before those of shared libraries. The stand-ins act on the sockets of the one server that was named
//! to them, and pass every other call on to the kernel.
#![allow(unsafe_code)]

pub mod disk;
pub mod door;
pub mod process;
pub mod socket;
