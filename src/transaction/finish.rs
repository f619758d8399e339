//! What follows the decision: the base, the snapshot. Every part may be done twice.

use crate::disk::{Dir, DiskError};

use super::area::Area;
use super::error::Finish;
use super::journal::{Plan, TxnId};

/// Why the rest could not be done. The tree is new and stays new.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Finishes a decided transaction.
pub(super) fn finish_forward(
    area: &Area,
    id: &TxnId,
    plan: &Plan,
    finish: Finish<'_>,
) -> Result<(), Cause> {
    finish(id, &plan.body.payload)?;
    // ORDER: the consumed snapshot goes while the transaction is still found by recovery.
    if let Some(consumed) = &plan.head.consumes {
        discard_if_there(area, &area.snap, consumed)?;
        area.snap.sync()?;
    }
    if plan.head.keep {
        area.txn
            .rename_noreplace(id.name(), &area.snap, id.name())?;
        area.snap.sync()?;
    } else {
        area.discard(&area.txn, id.name())?;
    }
    area.txn.sync()?;
    Ok(())
}

/// Moves a directory of ours to the trash if it is there.
pub(super) fn discard_if_there(area: &Area, from: &Dir, id: &TxnId) -> Result<(), DiskError> {
    match area.discard(from, id.name()) {
        Err(e) if e.is_missing() => Ok(()),
        other => other,
    }
}
