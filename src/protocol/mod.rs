//! Bytes to values and back: what two rsyns say to each other. `docs/protocol.md` is the specification; a
//! comment `[tag]` here names the field there.
//!
//! Everything a peer says passes through this module, where every length has a limit and every path is
//! checked. What comes out is well formed and nothing more. Not here: pipes, ssh, what a message causes.

pub mod bounded;
pub mod codec;
pub mod frame;
pub mod handshake;
pub mod limits;
pub mod message;

pub use message::Message;

/// How a peer broke the protocol. Each ends the session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A length is above its limit.
    #[error("the peer announced {what} of {len} bytes; at most {limit} are allowed")]
    TooLong {
        /// What was too long.
        what: &'static str,
        /// Announced length in bytes.
        len: u64,
        /// Limit in bytes.
        limit: u64,
    },
    /// Bytes that are no message.
    #[error("the peer sent a malformed {what}")]
    Malformed {
        /// What they should have been.
        what: &'static str,
    },
    /// A well-formed message that has no place here.
    #[error("the peer sent {got} where {wanted} was due")]
    Unexpected {
        /// What came.
        got: &'static str,
        /// What was due.
        wanted: &'static str,
    },
    /// More than its sort may be, in all messages together.
    #[error("the peer told too much: {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
    },
    /// More than fits the memory that it is granted.
    #[error("{what} takes more memory than it is granted")]
    TooLarge {
        /// Of what.
        what: &'static str,
    },
    /// The compressed stream does not decode.
    #[error("the peer's compressed stream is damaged")]
    Compression,
}
