//! Much of everything: many entries, files beyond 4 GiB, files with holes, files that grow and shrink while they are
//! read. The default sizes are a sample; `make large` runs the full ones and prints the memory of both sides.
//!
//! `RSYN_LARGE_ENTRIES` sets how many files (default 3,000), `RSYN_LARGE_MIB` the size of the big ones (default 48).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "tests make files, run the program, fail by panicking, and tell what they measured"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "../support/mod.rs"]
mod support;

mod entries;
mod files;
mod memory;
mod moving;

/// A size from the environment.
fn size(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap())
}
