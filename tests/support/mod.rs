//! What the end-to-end tests stand on: a temporary world of machines and a hub, runs of the program in it, and
//! pictures of trees to compare. Nothing outside of the temporary directory is read or written.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary compiles its own copy and uses its own part"
)]

mod dir;
mod run;
mod sandbox;
pub mod tree;

pub use dir::{Dir, make_removable};
pub use run::Run;
pub use sandbox::{Machine, Sandbox};
pub use tree::{Touch, Tree, assert_same, assert_untouched};

/// The program under test.
pub const RSYN: &str = env!("CARGO_BIN_EXE_rsyn");

/// Bytes in which nothing repeats, the same for the same seed (Marsaglia's xorshift64).
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
