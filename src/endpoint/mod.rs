//! The two ends of a session: [`serve`] on the hub, [`client`] here, and between them the transfer of
//! content, which is the same code whichever end sends.
#![expect(
    clippy::disallowed_methods,
    reason = "deadlines and pacing need a clock"
)]

mod admission;
mod attendance;
mod backlog;
pub mod client;
mod commit;
pub mod connection;
mod crew;
mod fetch;
mod flow;
mod gathered;
pub mod kept;
pub mod local;
pub mod manage;
mod naming;
mod observe;
pub mod opening;
pub mod operations;
pub mod overlap;
mod pace;
pub mod place;
pub mod push;
pub mod receive;
mod receiving;
mod refusal;
pub mod serve;
mod signatures;
mod stream;
pub mod supply;
mod told_ids;
pub mod transfer;
pub mod undo;
pub mod users;
pub mod view;
mod worth;

use std::time::Duration;

use crate::protocol::ProtocolError;
use crate::protocol::message::Refusal;

/// Why a session with a peer ended early.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PeerError {
    /// The stream ended.
    #[error("the connection was closed by the other side")]
    Closed,
    /// It printed something that is no Hello.
    #[error("the other side printed something that is not rsyn: {0}")]
    Noise(String),
    /// Nothing came, or nothing was taken, for the whole timeout.
    #[error("the other side was silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted,
    /// A pipe failed.
    #[error("the connection broke: {0}")]
    Io(String),
    /// The peer broke the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The peer said why.
    #[error("{}", .0.message)]
    Refused(Refusal),
}
