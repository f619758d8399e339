//! What of a new file a peer already holds in an old one (the basis), found from a short signature of the basis.
//!
//! The holder of the basis runs a [`Signer`] over it. The holder of the new file parses the [`Signature`] and
//! runs a [`Differ`], which yields [`Op`]s; a [`Patcher`] checks them where they are applied. Everything is
//! streaming, bounded in memory and linear in time, whatever the bytes; `docs/delta.md` has the reasons and figures.
//!
//! Not here: files, peers, clocks, and the truth. Hashes of blocks are short, so a wrong copy is improbable, not
//! impossible: whoever applies the operations compares the BLAKE3 of the result.
//!
//! Source of the algorithm: A. Tridgell, "Efficient Algorithms for Sorting and Synchronization" (1999), chapter 3.

#![expect(
    clippy::cast_possible_truncation,
    reason = "block numbers and lengths are bounded by Params::check, hashes are cut on purpose"
)]

mod differ;
mod error;
mod filter;
mod index;
mod output;
mod params;
mod patcher;
mod signature;
mod signer;
mod stretch;
mod strong;
mod weak;

#[cfg(test)]
mod test_data;
#[cfg(test)]
mod tests;

pub use differ::Differ;
pub use error::DeltaError;
pub use output::DiffStats;
pub use params::{MAX_BLOCK_BYTES, MAX_SIGNATURE_BYTES, Params};
pub use patcher::Patcher;
pub use signature::Signature;
pub use signer::Signer;

/// Longest literal that a [`Differ`] yields, in bytes. Also the most that it holds back of a literal.
pub const MAX_LITERAL: usize = 64 * 1024;

/// A copy is passed on once it is this long, in bytes, so that the other side has work before the file ends.
pub const COPY_PIECE: u64 = 8 * 1024 * 1024;

/// One step in rebuilding the new file. Steps come in output order and leave no gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// Bytes of the basis.
    Copy {
        /// Where they start in the basis.
        offset: u64,
        /// How many; never 0.
        len: u64,
    },
    /// Bytes that the basis does not have; never empty, at most [`MAX_LITERAL`].
    Literal(&'a [u8]),
}
