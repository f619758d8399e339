//! Others at work while rsyn works: editors that save into paths a run replaces, a directory that turns into a link
//! and back, many machines that push at once, two runs in one root. A race that was never hit proves nothing, so
//! each test counts how often it was.
//!
//! `RSYN_RACES` is a factor: 1 is a sample, `make races` takes more.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests make files, run the program, and fail by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "../support/mod.rs"]
mod support;

mod editors;
mod flipper;
mod pushers;
mod swapper;
mod two_runs;

use std::collections::HashSet;

use support::Dir;

/// So many times the sample.
fn times(sample: usize) -> usize {
    let factor = std::env::var("RSYN_RACES")
        .ok()
        .and_then(|factor| factor.parse().ok());
    sample * factor.unwrap_or(1)
}

/// All contents below a directory, snapshots included.
fn contents(dir: &Dir) -> HashSet<Vec<u8>> {
    let files = dir.touch().into_keys().filter(|at| {
        dir.at(at)
            .symlink_metadata()
            .is_ok_and(|meta| meta.is_file())
    });
    files.map(|at| dir.read(at)).collect()
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}
