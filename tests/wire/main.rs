//! What goes over the wire, and what a bad wire does: round trips and bytes, links that are cut, noise, hubs that fall
//! silent or do not end. Between a machine and its hub stands a process of this test, see [`wire`].
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::exit,
    clippy::print_stdout,
    reason = "tests make files, run the program, and fail by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "../support/mod.rs"]
mod support;

mod cuts;
mod ends;
mod noise;
mod resume;
mod round_trips;
mod wire;
