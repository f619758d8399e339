//! [`DeltaError`]: the ways a peer's parameters, signature or operations can be wrong.

/// A value from the peer that cannot be right. Numbers are bytes unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// No block, or one too long to hold in memory.
    #[error("a block of {block_bytes} bytes was asked for; 1 to {limit} are allowed")]
    BlockSize {
        /// Asked for.
        block_bytes: u32,
        /// Largest allowed.
        limit: u32,
    },
    /// A strong hash that proves too little, or more than there is.
    #[error("a strong hash of {strong_bytes} bytes was asked for; {min} to {max} are allowed")]
    StrongLength {
        /// Asked for.
        strong_bytes: u8,
        /// Shortest allowed.
        min: u8,
        /// Longest there is.
        max: u8,
    },
    /// Blocks so short, or a basis so long, that the signature would not fit into memory.
    #[error("a basis of {basis_bytes} bytes in blocks of {block_bytes} needs too long a signature")]
    TooManyBlocks {
        /// Length of the basis.
        basis_bytes: u64,
        /// Length of a block.
        block_bytes: u32,
    },
    /// A signature that is not as long as its basis says.
    #[error("the signature has {available} bytes where {wanted} belong")]
    SignatureLength {
        /// What the parameters and the basis ask for.
        wanted: u64,
        /// What came.
        available: u64,
    },
    /// A copy from beyond the end of the basis.
    #[error("a copy of {len} bytes at {offset} leaves the basis of {available} bytes")]
    CopyOutsideBasis {
        /// Where the copy starts.
        offset: u64,
        /// How long it is.
        len: u64,
        /// Length of the basis.
        available: u64,
    },
    /// More output than announced.
    #[error("the operations make {wanted} bytes or more; {available} were announced")]
    OutputTooLong {
        /// Length so far, the offending operation included.
        wanted: u64,
        /// Announced length.
        available: u64,
    },
    /// Less output than announced.
    #[error("the operations make {available} bytes; {wanted} were announced")]
    OutputTooShort {
        /// Announced length.
        wanted: u64,
        /// Length of all operations.
        available: u64,
    },
    /// An operation that makes nothing.
    #[error("an operation of 0 bytes")]
    EmptyOp,
}
