//! What follows the decision: the base, the snapshot. Every part may be done twice.

use crate::disk::{Dir, DiskError};
use crate::model::RelPath;

use super::area::Area;
use super::commit::late_writes;
use super::error::Finish;
use super::journal::TxnId;
use super::work::Work;

/// Why the rest could not be done. The tree is new and stays new.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What is left of a transaction.
pub(super) struct Finished {
    /// Its snapshot.
    pub(super) snapshot: Option<TxnId>,
    /// Old versions in it that a program still wrote into.
    pub(super) late_writes: Vec<RelPath>,
}

/// Finishes a decided transaction. `kept` are the directories that had to stay.
pub(super) fn finish_forward(
    area: &Area,
    work: &Work<'_>,
    kept: &[u32],
    finish: Finish<'_>,
) -> Result<Finished, Cause> {
    let (head, id) = (&work.plan.head, &work.plan.head.id);
    finish(id, &work.plan.body.payload)?;
    // ORDER: the consumed snapshot goes while the transaction is still found by recovery.
    if let Some(consumed) = &head.consumes {
        discard_if_there(area, &area.snap, consumed)?;
        area.snap.sync()?;
    }
    // What a program wrote into an old version is nowhere else, also where no snapshot was asked for.
    let stays = head.keep || !late_writes(work, kept).is_empty();
    if stays {
        area.txn
            .rename_noreplace(id.name(), &area.snap, id.name())?;
        area.snap.sync()?;
    } else {
        area.discard(&area.txn, id.name())?;
    }
    area.txn.sync()?;
    Ok(match stays {
        true => Finished {
            snapshot: Some(id.clone()),
            late_writes: late_writes(work, kept),
        },
        false => Finished {
            snapshot: None,
            late_writes: Vec::new(),
        },
    })
}

/// Moves a directory of ours to the trash if it is there.
pub(super) fn discard_if_there(area: &Area, from: &Dir, id: &TxnId) -> Result<(), DiskError> {
    match area.discard(from, id.name()) {
        Err(e) if e.is_missing() => Ok(()),
        other => other,
    }
}
