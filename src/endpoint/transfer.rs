//! What every transfer has: its options, its counters, and why it has no result.

use super::PeerError;
use super::receive::{ReceiveError, Received};
use super::supply::Supplied;
use crate::model::RelPath;
use crate::protocol::message::CommitReport;

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
    /// A fetch asks which files programs use as well: with what it wants, so that this costs no round trip.
    pub asks_users: bool,
}

/// What the hub did, and how many directories and files its report does not name for want of room.
#[derive(Debug)]
pub struct Pushed {
    /// What it did.
    pub report: CommitReport,
    /// Paths that are not in the report.
    pub unnamed: u64,
    /// What it says for people beside that.
    pub notes: Vec<String>,
}

/// Why a transfer has no result.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Receiving or staging failed.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// These paths are not what the plan was made for. Nothing was changed; a new plan may do.
    #[error("{} changed while the sync ran", named(.paths, *.unnamed))]
    Changed {
        /// Some of them, or all.
        paths: Vec<RelPath>,
        /// How many there are beside those.
        unnamed: u64,
    },
    /// The hub was told to commit, and its answer did not come or is a refusal.
    #[error(transparent)]
    Unheard(PeerError),
    /// The same content did not verify again and again.
    #[error("content of {0:?} is not what the scan found there")]
    Integrity(RelPath),
}

impl TransferError {
    /// These paths, and no more, are not what the plan was made for.
    pub(super) fn changed(paths: Vec<RelPath>) -> Self {
        Self::Changed { paths, unnamed: 0 }
    }
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

fn named(paths: &[RelPath], unnamed: u64) -> String {
    match (paths, unnamed) {
        ([one], 0) => format!("{one:?}"),
        ([first, rest @ ..], _) => {
            format!("{first:?} and {} more", rest.len() as u64 + unnamed)
        }
        ([], _) => "files".to_owned(),
    }
}
