//! The program from the outside: what a person or a script sees of it, with a hub that is a directory of this
//! machine. One file per theme; each test is named by the sentence it proves.
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

mod changing;
mod conflicts;
mod dry_run;
mod errors;
mod gone;
mod guards;
mod history;
mod in_use;
mod index;
mod init;
mod install;
mod kept;
mod killed;
mod local;
mod memory;
mod mounts;
mod odd_modes;
mod output;
mod privacy;
mod restore;
mod roots;
mod round_trip;
mod scope;
mod semantics;
mod sides;
mod skipped;
mod spelling;
mod strangers;
mod streams;
mod trust;
mod undo;
mod undone;
mod unnamed;
mod verify;
