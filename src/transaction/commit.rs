//! The protocol: prepare, move, decide, finish. `docs/safety.md`, section 6.1, steps 5 to 12.

use crate::disk::{DiskError, Lock, Root, Stat};
use crate::model::{Mtime, RelPath, total_bytes};

use super::apply::apply;
use super::displaced::displaced;
use super::error::{CommitError, Finish};
use super::finish::{Finished, finish_forward};
use super::journal::{
    Action, Body, COMMITTED, Head, PREPARED, Plan, Planned, TxnId, write_committed, write_plan,
};
use super::placed::placed;
use super::snapshot::heads;
use super::stage::{Inner, Staging};
use super::undo::undo;
use super::work::Work;
use super::{Change, Label, check, in_use, linked, order, recover, renamed};

/// What shall be done, and how.
pub struct Request<'a> {
    /// In any order, each path once.
    pub changes: Vec<Change>,
    /// Handed to `finish` after the decision, also after a crash.
    pub payload: Vec<u8>,
    /// Who and why.
    pub label: Label,
    /// Whether what is displaced becomes a snapshot; else it is deleted after the decision, unless a program still
    /// wrote into it.
    pub keep_snapshot: bool,
    /// The snapshot that is taken back, see [`super::Inverse`]; it ends with this transaction.
    pub consumes: Option<TxnId>,
    /// Asked between moves; once it says yes before the decision, everything is taken back.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// What a transaction has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its name.
    pub txn_id: TxnId,
    /// How many objects were replaced or removed.
    pub displaced: usize,
    /// Directories that were to go and hold something that was not planned.
    pub kept_dirs: Vec<RelPath>,
    /// Replaced or removed files that a program still wrote into afterwards: those bytes are in the
    /// snapshot only.
    pub late_writes: Vec<RelPath>,
    /// Where the old versions are, if they are kept.
    pub snapshot: Option<TxnId>,
    /// Files that were placed, in path order, with the stats that vouch for their contents from now on.
    pub placed: Vec<(RelPath, Stat)>,
}

/// Changes the tree as a whole, or not at all.
///
/// When it returns `Ok`, a power cut changes nothing any more. `finish` is called once in this time,
/// after the decision; see [`Finish`].
///
/// # Errors
/// See [`CommitError`]: each variant says in which state the tree is.
pub fn commit(
    root: &Root,
    lock: &Lock,
    staging: Staging,
    mut request: Request<'_>,
    finish: Finish<'_>,
) -> Result<Committed, CommitError> {
    if !lock.is_exclusive() {
        return Err(CommitError::NotLocked);
    }
    if recover::pending(root)?.is_some() {
        return Err(CommitError::RecoveryPending);
    }
    linked::separate(root, &staging, &mut request.changes)?;
    let Staging { inner: staged } = staging;
    let inner = &*staged;
    if request.changes.is_empty() {
        return nothing_to_move(inner, &request, finish);
    }
    inner.settle_carried(&request.changes)?;
    inner.expect_renamed(&mut request.changes);
    inner.give_groups(root, &request.changes)?;
    inner.sync()?;
    root.forget_handles();
    let interrupted = request.interrupted;
    let plan = make_plan(root, inner, request)?;
    linked::keep_apart(root, &staged, &plan)?;
    in_use::check(root, &plan)?;
    // From here on the plan knows them.
    drop(std::mem::take(&mut *inner.objects()));
    let now = prepare(inner, &plan)?;
    let work = Work {
        root,
        home: &inner.home,
        new: &inner.new,
        old: &inner.old,
        plan: &plan,
    };
    let kept = carry_out(&work, inner, now, interrupted)?;
    let unfinished = |cause| CommitError::Unfinished {
        id: inner.id.clone(),
        cause,
    };
    part(&work).map_err(|e| unfinished(e.into()))?;
    let finished = finish_forward(&inner.area, &work, &kept, finish).map_err(unfinished)?;
    // ORDER: a renamed file has one name less by now, which has set its ctime.
    let placed = placed(&work, lock, now);
    let committed = Committed {
        placed,
        ..report(&work, &kept, finished)
    };
    // Best effort: the next recovery empties it, too.
    drop(inner.area.empty_trash());
    Ok(committed)
}

/// The trees agree already; only that is to be remembered.
fn nothing_to_move(
    inner: &Inner,
    request: &Request<'_>,
    finish: Finish<'_>,
) -> Result<Committed, CommitError> {
    finish(&inner.id, &request.payload).map_err(|cause| CommitError::Unfinished {
        id: inner.id.clone(),
        cause,
    })?;
    Ok(Committed {
        txn_id: inner.id.clone(),
        displaced: 0,
        kept_dirs: Vec::new(),
        late_writes: Vec::new(),
        snapshot: None,
        placed: Vec::new(),
    })
}

/// Parts the tree from what was moved aside; after the decision.
///
/// # Errors
/// The first failed call; it can be done again.
pub(super) fn part(work: &Work<'_>) -> Result<(), DiskError> {
    renamed::let_go(work)?;
    linked::take_copies(work)
}

fn make_plan(root: &Root, inner: &Inner, request: Request<'_>) -> Result<Plan, CommitError> {
    let changes = check::check(root, request.changes, &inner.objects())?;
    let steps = order::order(&changes, &inner.arrivals(&changes)?);
    let displaced = |change: &Planned| match (&change.before, &change.after) {
        (Some(before), None) => before.node.size(),
        (Some(before), Some(after)) if after.staged.is_some() => before.node.size(),
        _ => 0,
    };
    let renamed = renamed::renames(&steps).filter_map(|(from, _)| changes.get(from as usize));
    let renamed = total_bytes(renamed.map(&displaced));
    let head = Head {
        id: inner.id.clone(),
        seq: next_seq(inner)?,
        root: request.label.root.clone(),
        label: request.label,
        changes: changes.iter().filter(|c| !c.is_mere_opening()).count() as u64,
        displaced_bytes: total_bytes(changes.iter().map(displaced)).saturating_sub(renamed),
        keep: request.keep_snapshot,
        consumes: request.consumes,
    };
    Ok(Plan {
        head,
        body: Body {
            changes,
            steps,
            payload: request.payload,
        },
    })
}

/// One more than that of any snapshot that is still there.
fn next_seq(inner: &Inner) -> Result<u64, DiskError> {
    let newest = heads(&inner.area.snap)?.first().map_or(0, |head| head.seq);
    Ok(newest + 1)
}

/// Makes the intention durable. Returns the time by the clock of the file system.
fn prepare(inner: &Inner, plan: &Plan) -> Result<Mtime, DiskError> {
    write_plan(&inner.home, plan)?;
    // ORDER: the marker says that the plan and the staged objects are there, so their names are on the disk before
    // it has one; and no move comes before the marker is durable, or a power cut could leave moves that nothing
    // undoes.
    inner.home.sync()?;
    let marker = inner.home.create_file(PREPARED)?;
    marker.sync()?;
    inner.home.sync()?;
    inner.area.txn.sync()?;
    inner.area.state.sync()?;
    Ok(marker.stat()?.mtime)
}

/// Moves, syncs, decides; or takes everything back. Returns the directories that had to stay.
fn carry_out(
    work: &Work<'_>,
    inner: &Inner,
    now: Mtime,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<u32>, CommitError> {
    inner.hand_over();
    let all = work.plan.body.steps.len();
    let applied = apply(work, now, interrupted)
        .map_err(|stopped| take_back(work, inner, stopped.tried, stopped.cause))?;
    // RACE: a program may have opened a file between the check and its move. It has the old object, which goes back.
    in_use::check_displaced(work, &applied.kept)
        .map_err(|cause| take_back(work, inner, all, cause))?;
    applied
        .touched
        .sync(work)
        .map_err(|cause| take_back(work, inner, all, cause))?;
    if interrupted() {
        return Err(take_back(work, inner, all, CommitError::Interrupted));
    }
    match write_committed(work.home, &applied.kept) {
        Ok(()) => Ok(applied.kept),
        Err(cause) => Err(withdraw(work, inner, cause)),
    }
}

/// The decision could not be written for certain: it must be certainly gone before the moves are taken
/// back, or a power cut could leave a decided transaction with the old tree.
fn withdraw(work: &Work<'_>, inner: &Inner, cause: DiskError) -> CommitError {
    let gone = match work.home.remove_file(COMMITTED) {
        Err(e) if e.is_missing() => work.home.sync(),
        Err(e) => Err(e),
        Ok(()) => work.home.sync(),
    };
    match gone {
        Ok(()) => take_back(work, inner, work.plan.body.steps.len(), cause.into()),
        Err(undo) => CommitError::Unsettled {
            cause: Box::new(cause.into()),
            undo,
        },
    }
}

fn take_back(work: &Work<'_>, inner: &Inner, tried: usize, cause: CommitError) -> CommitError {
    let cause = Box::new(cause);
    let undone = undo(work, tried).and_then(|attention| {
        end_undone(work)?;
        Ok(attention)
    });
    match undone {
        Err(undo) => CommitError::Unsettled { cause, undo },
        Ok(attention) => {
            inner.take_over();
            // Best effort: a transaction that is not prepared is taken away by the next recovery.
            drop(inner.give_up());
            if attention.is_empty() {
                *cause
            } else {
                CommitError::Attention { cause, attention }
            }
        }
    }
}

/// The tree is as it was, durably: from here on recovery has nothing to undo.
pub(super) fn end_undone(work: &Work<'_>) -> Result<(), DiskError> {
    work.home.remove_file(PREPARED)?;
    work.home.sync()
}

fn report(work: &Work<'_>, kept: &[u32], finished: Finished) -> Committed {
    let Plan { head, body } = work.plan;
    let path = |index: &u32| body.changes.get(*index as usize).map(|c| c.path.clone());
    let moves = |a: &Action| matches!(a, Action::Exchange | Action::Displace);
    let displaced = body.steps.iter().filter(|step| moves(&step.action)).count();
    Committed {
        txn_id: head.id.clone(),
        displaced: displaced - kept.len(),
        kept_dirs: kept.iter().filter_map(path).collect(),
        late_writes: finished.late_writes,
        snapshot: finished.snapshot,
        placed: Vec::new(),
    }
}

/// Files that were moved aside and that a program wrote into since. One that cannot be looked at is not reported: this is
/// information, the bytes are safe either way.
pub(super) fn late_writes(work: &Work<'_>, kept: &[u32]) -> Vec<RelPath> {
    let late = displaced(work, kept).filter(|d| d.was_written().unwrap_or(false));
    let mut late: Vec<_> = late.map(|d| d.change.path.clone()).collect();
    late.sort();
    late
}
