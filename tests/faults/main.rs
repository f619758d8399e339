//! The program under faults of the system: killed at, or refused, one system call after another; its power cut; its
//! disk full; its limits tight. Nothing of rsyn is simulated: `strace` is the one who kills and refuses.
//!
//! Without `strace` these tests fail and say so; `RSYN_SKIP=strace` passes them and says that they were skipped. Those
//! that need root (mounts) skip themselves by name. A default run takes a sample of the points; `make faults` takes
//! all. Knobs: `RSYN_FAULTS` (each how manieth point is taken; 1: all), `RSYN_FAULTS_SCENARIO` (a part of a name).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests make files, run the program, fail by panicking, and tell what they did"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "../support/mod.rs"]
mod support;

#[macro_use]
mod strace;

mod edits;
mod errors;
mod judge;
mod kills;
mod limits;
mod mutants;
mod order;
mod power;
mod scenarios;
mod settled;
mod sweep;
mod twice;
mod world;
