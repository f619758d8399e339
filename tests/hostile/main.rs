//! Peers that mean harm and disks that lie. Whatever bytes a peer sends, the program ends in time with words, needs little memory, and
//! touches nothing that it was not told to. The evil is made by a second, small [`encoder`]; a table of fields
//! and evil values is in [`evil`].
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests make files, run the program, cut numbers to bytes, and fail by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "../support/mod.rs"]
mod support;

mod bombs;
mod clients;
mod damage;
mod encoder;
mod evil;
mod hubs;
mod lies;
mod sample;
mod sessions;
mod watch;
mod words;
mod world;

/// The most memory that a message may cost, whatever it claims.
const MOST_KIB: u64 = 96 * 1024;
