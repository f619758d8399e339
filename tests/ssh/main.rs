//! The program with its hub behind a real `sshd` on the loopback: own keys, own host key, own known_hosts, a home
//! of the login inside of the temporary directory.
//!
//! Without `sshd` these tests fail and say what to install; `RSYN_SKIP=sshd` passes them and says that they were
//! skipped.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests make files, run the program, fail by panicking, and tell what they skipped"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "../support/mod.rs"]
mod support;

#[macro_use]
mod hub;

mod connection;
mod forced;
mod install;
mod interrupted;
mod reach;
mod trouble;
