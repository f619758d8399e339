//! What every transfer has: its options, its counters, and why it has no result.

use super::PeerError;
use super::receive::{ReceiveError, Received};
use super::supply::Supplied;
use crate::model::RelPath;

/// Bytes of a transfer, for people.
#[derive(Debug, Default)]
pub struct Counters {
    /// What came.
    pub received: Received,
    /// What went.
    pub supplied: Supplied,
}

/// How content travels.
#[derive(Debug, Clone, Copy)]
pub struct TransferOptions {
    /// Never a delta.
    pub whole_file: bool,
}

/// Why a transfer has no result.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Receiving or staging failed.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// These paths are not what the plan was made for. Nothing was changed; a new plan may do.
    #[error("{} changed while the sync ran", paths_named(.0))]
    Changed(Vec<RelPath>),
    /// The hub was told to commit, and its answer did not come or says that it failed.
    #[error(transparent)]
    Unheard(PeerError),
    /// The same content did not verify again and again.
    #[error("content of {0:?} is not what the scan found there")]
    Integrity(RelPath),
}

impl From<PeerError> for TransferError {
    fn from(error: PeerError) -> Self {
        Self::Receive(error.into())
    }
}

impl From<crate::transaction::StageError> for TransferError {
    fn from(error: crate::transaction::StageError) -> Self {
        Self::Receive(error.into())
    }
}

fn paths_named(paths: &[RelPath]) -> String {
    match paths {
        [one] => format!("{one:?}"),
        [first, rest @ ..] => format!("{first:?} and {} more", rest.len()),
        [] => "files".to_owned(),
    }
}
