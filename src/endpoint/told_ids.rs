//! Ids that a hub tells. They are shown to people and typed again, so nothing but digits goes further.

use super::PeerError;
use super::refusal::malformed;
use crate::protocol::message::{CommitReport, SnapshotLine};
use crate::state::RootId;
use crate::transaction::TxnId;

/// Refuses what is no id of a snapshot.
pub(super) fn check_snapshot(id: &str) -> Result<(), PeerError> {
    match TxnId::parse(id) {
        Some(_) => Ok(()),
        None => Err(malformed("the id of a snapshot")),
    }
}

/// Refuses a list in which one is no id.
pub(super) fn check_list(lines: &[SnapshotLine]) -> Result<(), PeerError> {
    lines.iter().try_for_each(|line| check_snapshot(&line.id))
}

/// Refuses a report in which one is no id. A transaction's is the one that its snapshot gets.
pub(super) fn check_report(report: &CommitReport) -> Result<(), PeerError> {
    if RootId::parse(&report.root_id).is_none() {
        return Err(malformed("the id of a root"));
    }
    let ids = std::iter::once(&report.transaction).chain(&report.snapshot);
    ids.into_iter().try_for_each(|id| check_snapshot(id))
}
