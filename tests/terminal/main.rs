//! The program on a terminal: a pseudo-terminal is its stdin, stdout and stderr. Questions, what answers do, bars,
//! colours, and that nothing a name holds reaches the terminal raw.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests make files, run the program, and fail by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "../support/mod.rs"]
mod support;

mod bars;
mod questions;
mod screen;
