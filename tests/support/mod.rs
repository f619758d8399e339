//! What the end-to-end tests stand on: a temporary world of machines and a hub, runs of the program in it, and
//! pictures of trees to compare. Nothing outside of the temporary directory is read or written.
#![allow(
    dead_code,
    reason = "each test binary compiles its own copy and uses its own part"
)]

mod dir;
mod run;
mod sandbox;
mod tree;

pub use dir::Dir;
pub use run::Run;
pub use sandbox::{Machine, Sandbox};
pub use tree::{Touch, Tree, assert_same, assert_untouched};

/// The program under test.
pub const RSYN: &str = env!("CARGO_BIN_EXE_rsyn");
