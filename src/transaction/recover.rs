//! What the next start does about a transaction that was interrupted: undo it before its decision,
//! finish it after.

use crate::disk::{Dir, DiskError, Lock, Root, durable, lock};
use crate::model::RelPath;
use crate::model::path::STATE_DIR;

use super::area::{Area, TXN, open_if_there};
use super::commit::{end_undone, part};
use super::error::{Attention, CommitError, Finish};
use super::finish::{Finished, finish_forward};
use super::journal::{COMMITTED, NEW, OLD, PREPARED, TxnId, read_committed, read_plan};
use super::partial;
use super::undo::undo;
use super::work::Work;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// A transaction whose changes were taken back.
    pub undone: Option<TxnId>,
    /// Decided transactions that were finished.
    pub finished: Vec<TxnId>,
    /// Transfers of dead processes that were put away; they had not touched the tree.
    pub discarded: usize,
    /// Old versions of the finished ones that a program still wrote into; each with the snapshot that has them.
    pub late_writes: Vec<(TxnId, RelPath)>,
    /// What other programs did in between, for a person to look at.
    pub attention: Vec<Attention>,
}

impl Recovery {
    /// Whether there was no interrupted transaction.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.undone.is_none() && self.finished.is_empty()
    }
}

/// What recovery would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingKind {
    /// Take back an undecided transaction.
    Undo,
    /// Finish a decided one.
    Finish,
}

/// Whether a transaction waits for recovery. Changes nothing.
///
/// # Errors
/// The state directory cannot be read.
pub fn pending(root: &Root) -> Result<Option<PendingKind>, DiskError> {
    let Some(state) = open_if_there(root.top(), STATE_DIR)? else {
        return Ok(None);
    };
    let Some(txn) = open_if_there(&state, TXN)? else {
        return Ok(None);
    };
    let kinds: Vec<_> = transactions(&txn)?
        .into_iter()
        .filter_map(|(_, _, kind)| kind)
        .collect();
    Ok(kinds
        .iter()
        .find(|kind| **kind == PendingKind::Undo)
        .or(kinds.first())
        .copied())
}

/// The transactions in `txn`, with what recovery would do about each.
fn transactions(txn: &Dir) -> Result<Vec<(TxnId, Dir, Option<PendingKind>)>, DiskError> {
    let mut found = Vec::new();
    for entry in txn.list()? {
        let Some(id) = TxnId::from_name(&entry.name) else {
            continue;
        };
        // RACE: a process that stages can finish or give up at any time.
        let Some(home) = open_if_there(txn, &entry.name)? else {
            continue;
        };
        let kind = kind(&home)?;
        found.push((id, home, kind));
    }
    Ok(found)
}

fn kind(home: &Dir) -> Result<Option<PendingKind>, DiskError> {
    if home.stat(COMMITTED)?.is_some() {
        return Ok(Some(PendingKind::Finish));
    }
    Ok(home.stat(PREPARED)?.map(|_| PendingKind::Undo))
}

/// Brings the tree to the state before or after the interrupted transaction, as a whole, and cleans up
/// behind dead processes. Does nothing the second time.
///
/// # Errors
/// [`CommitError::Damaged`] if a journal cannot be believed: then nothing of it is touched.
/// [`CommitError::Unfinished`] if `finish` failed. Other failed calls: start it again.
pub fn recover(root: &Root, lock: &Lock, finish: Finish<'_>) -> Result<Recovery, CommitError> {
    if !lock.is_exclusive() {
        return Err(CommitError::NotLocked);
    }
    let area = Area::open(root)?;
    // Best effort, here and at the end: what cannot be deleted now does no harm. First of all, because
    // what follows may need the space.
    drop((area.empty_trash(), durable::sweep(&area.state)));
    let mut recovery = Recovery::default();
    let found = transactions(&area.txn)?;
    if found
        .iter()
        .filter(|(_, _, kind)| *kind == Some(PendingKind::Undo))
        .count()
        > 1
    {
        return Err(CommitError::Ambiguous);
    }
    for (id, home, kind) in found {
        recover_one(root, &area, (&id, &home, kind), finish, &mut recovery)?;
    }
    drop(area.empty_trash());
    Ok(recovery)
}

fn recover_one(
    root: &Root,
    area: &Area,
    (id, home, kind): (&TxnId, &Dir, Option<PendingKind>),
    finish: Finish<'_>,
    recovery: &mut Recovery,
) -> Result<(), CommitError> {
    match kind {
        Some(PendingKind::Finish) => {
            let kept = read_committed(home)?.unwrap_or_default();
            let finished = finish_decided(root, area, home, &kept, finish)?;
            let late = finished.late_writes.into_iter();
            recovery
                .late_writes
                .extend(late.map(|path| (id.clone(), path)));
            recovery.finished.push(id.clone());
        }
        Some(PendingKind::Undo) => {
            recovery.attention.extend(undo_prepared(root, home)?);
            recovery.undone = Some(id.clone());
            put_away(area, id, home)?;
        }
        // A living process still stages here.
        None if !lock::claim(home)? => {}
        None => {
            put_away(area, id, home)?;
            recovery.discarded += 1;
        }
    }
    Ok(())
}

fn finish_decided(
    root: &Root,
    area: &Area,
    home: &Dir,
    kept: &[u32],
    finish: Finish<'_>,
) -> Result<Finished, CommitError> {
    let plan = read_plan(home)?;
    let (new, old) = (home.open_dir(NEW)?, home.open_dir(OLD)?);
    let work = Work {
        root,
        home,
        new: &new,
        old: &old,
        plan: &plan,
    };
    let unfinished = |cause| CommitError::Unfinished {
        id: plan.head.id.clone(),
        cause,
    };
    part(&work).map_err(|e| unfinished(e.into()))?;
    finish_forward(area, &work, kept, finish).map_err(unfinished)
}

fn undo_prepared(root: &Root, home: &Dir) -> Result<Vec<Attention>, CommitError> {
    let plan = read_plan(home)?;
    let (new, old) = (home.open_dir(NEW)?, home.open_dir(OLD)?);
    let work = Work {
        root,
        home,
        new: &new,
        old: &old,
        plan: &plan,
    };
    let attention = undo(&work, plan.body.steps.len())?;
    end_undone(&work)?;
    Ok(attention)
}

/// The transaction does not touch the tree (any more): its content is kept for the next attempt.
fn put_away(area: &Area, id: &TxnId, home: &Dir) -> Result<(), DiskError> {
    if let Some(new) = open_if_there(home, NEW)? {
        partial::salvage(&new, &area.partial)?;
    }
    area.discard(&area.txn, id.name())
}
