//! Undo: a snapshot as an ordinary transaction, planned, shown, committed like any other.

use super::local::Local;
use crate::disk::Lock;
use crate::model::RelPath;
use crate::protocol::message::{Op, OpSource, Origin, Refusal, RefusalKind};
use crate::report::{printable, time};
use crate::state::Payload;
use crate::transaction::{
    self, CommitError, Committed, Damage, Inverse, Label, Left, Reason, Request, SnapshotInfo,
    Staging, TxnId,
};

/// What undoing one snapshot does.
pub struct Undo {
    inverse: Inverse,
}

/// Who wants something undone without naming it, and where.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Id of their root.
    pub root: &'a str,
    /// What `rsyn rollback` is typed with to undo it there.
    pub flag: &'static str,
}

impl Undo {
    /// Plans to undo the snapshot `id` of a root of this process, or the last sync of who asks.
    ///
    /// # Errors
    /// As [`Self::of`]. Without an id also [`RefusalKind::Guard`]: the newest sync is of somebody else.
    pub fn plan(local: &Local, id: Option<&str>, asking: Asking<'_>) -> Result<Self, Refusal> {
        match id {
            Some(id) => Self::of(local, id),
            None => Self::of(local, last_of(local, asking)?.as_str()),
        }
    }

    /// Plans to undo the snapshot `id` of a root of this process.
    ///
    /// # Errors
    /// There is no such snapshot, or it is damaged. A damaged one is never passed over for an older one.
    pub fn of(local: &Local, id: &str) -> Result<Self, Refusal> {
        let unusable = |id: &TxnId, damage: &Damage| {
            let kind = match damage {
                Damage::Disk(e) if e.is_missing() => RefusalKind::Usage,
                Damage::Disk(_) => RefusalKind::Failed,
                _ => RefusalKind::Integrity,
            };
            let message = format!("cannot use the snapshot {id}: {damage}");
            refusal(kind, message, "see `rsyn snapshots`")
        };
        let id = TxnId::parse(id).ok_or_else(|| {
            let message = format!("there is no snapshot `{}`", id.escape_debug());
            refusal(RefusalKind::Usage, message, "see `rsyn snapshots`")
        })?;
        let inverse = transaction::inverse(&local.root, &id).map_err(|e| unusable(&id, &e))?;
        Ok(Self { inverse })
    }

    /// The snapshot.
    #[must_use]
    pub fn id(&self) -> &TxnId {
        &self.inverse.consumes
    }

    /// The sync that it undoes.
    #[must_use]
    pub fn origin(&self) -> Origin {
        origin(&self.inverse.label)
    }

    /// What it does, path by path.
    pub fn ops(&self) -> impl Iterator<Item = Op> + '_ {
        let ops = self.inverse.changes.iter().map(op);
        ops.filter(|op| op.old != op.new)
    }

    /// Directories that stay, because something is inside that is none of the snapshot's.
    #[must_use]
    pub fn staying(&self) -> &[RelPath] {
        &self.inverse.staying
    }

    /// What people should know of paths that it leaves as they are.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.inverse.left.iter().map(left_words).collect()
    }

    /// Paths that were changed since, so that it would be refused.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn changed_since(&self, local: &Local) -> Result<Vec<RelPath>, crate::disk::DiskError> {
        self.inverse.changed_since(&local.root)
    }

    /// Does it.
    ///
    /// # Errors
    /// [`CommitError`]; paths that changed since are named and nothing is done.
    pub fn commit(
        self,
        local: &Local,
        lock: &Lock,
        (label, payload): (Label, Payload),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Committed, CommitError> {
        let staging = Staging::begin(&local.root)?;
        self.inverse.stage(&local.root, &staging)?;
        let request = Request {
            changes: self.inverse.changes,
            payload: payload.encode().unwrap_or_default(),
            label,
            keep_snapshot: true,
            consumes: Some(self.inverse.consumes),
            interrupted,
        };
        transaction::commit(&local.root, lock, staging, request, &mut |id, p| {
            local.remember(id.as_str(), p)
        })
    }
}

/// That a path stays as it is, why, and where its old version comes.
fn left_words(left: &Left) -> String {
    let Left { path, reason, copy } = left;
    let what = match reason {
        Reason::InUse(used) if used.path == *path => format!("it is open in {}", used.user()),
        Reason::InUse(used) => format!("{:?} is open in {}", used.path, used.user()),
        Reason::InTree => {
            "its content was changed since, though its size and times are the same".to_owned()
        }
        Reason::InSnapshot => {
            "its old version was changed since, though its size and times are the same".to_owned()
        }
    };
    match copy {
        Some(copy) => format!("{path:?} stays as it is: {what}; the old version comes as {copy:?}"),
        None => format!("{path:?} stays as it is: {what}"),
    }
}

/// The newest snapshot that is no restore and no repair, if a sync of who asks left it.
fn last_of(local: &Local, asking: Asking<'_>) -> Result<TxnId, Refusal> {
    let all = transaction::snapshots(&local.root)
        .map_err(|e| refusal(RefusalKind::Failed, e.to_string(), "look at .rsyn/snap/"))?;
    let is_sync = |s: &SnapshotInfo| !matches!(s.label.verb.as_str(), "restore" | "verify");
    let mut syncs = all.into_iter().filter(is_sync);
    let Some(newest) = syncs.next() else {
        let message = "there is no snapshot of a sync to go back to".to_owned();
        let hint = "`rsyn snapshots` lists what there is; nothing else was changed by rsyn yet";
        return Err(refusal(RefusalKind::Usage, message, hint));
    };
    let is_own = |snapshot: &SnapshotInfo| is_of(snapshot, local, asking.root);
    if is_own(&newest) {
        return Ok(newest.id);
    }
    let (flag, id) = (asking.flag, &newest.id);
    let own = syncs.find(is_own);
    let own = own.map(|own| format!("; the last one of this machine is {}", own.id));
    let hint = format!(
        "`rsyn rollback{flag} {id}` undoes it all the same{}",
        own.unwrap_or_default()
    );
    let message = format!(
        "the newest sync there is not one of this machine: {}",
        origin_words(&origin(&newest.label))
    );
    Err(refusal(RefusalKind::Guard, message, &hint))
}

/// Whether a sync of `root` left it, or it cannot be known whose it is and nobody else writes so.
fn is_of(snapshot: &SnapshotInfo, local: &Local, root: &str) -> bool {
    let label = &snapshot.label;
    let is_here = root == local.own_id();
    match label.verb.as_str() {
        // It stands in for whatever it was.
        "damaged" => true,
        verb if label.root.is_empty() => is_here && verb != "push",
        _ => label.root == root,
    }
}

fn origin(label: &Label) -> Origin {
    Origin {
        verb: label.verb.clone(),
        peer: label.peer.clone(),
        machine: label.machine.clone(),
        root: label.root.clone(),
        when_secs: label.when,
    }
}

/// Which sync it was, by whom and when, as one would say it.
#[must_use]
pub fn origin_words(origin: &Origin) -> String {
    let Origin {
        verb,
        peer,
        machine,
        when_secs,
        ..
    } = origin;
    let when = time::rfc3339(when_secs.saturating_mul(1000));
    let with = match verb.as_str() {
        "push" => String::new(),
        "pull" => format!(" from {peer}"),
        _ => format!(" of {peer}"),
    };
    let by = match machine.as_str() {
        "" => String::new(),
        machine => format!(" by {machine}"),
    };
    printable::line(&format!("{verb}{with}{by}, {when}"))
}

fn refusal(kind: RefusalKind, message: String, hint: &str) -> Refusal {
    Refusal {
        kind,
        message,
        hint: hint.to_owned(),
    }
}

/// A change of a tree that takes its content from a snapshot.
pub(crate) fn op(change: &transaction::Change) -> Op {
    Op {
        path: change.path.clone(),
        old: change.old.as_ref().map(|e| e.node.clone()),
        new: change.new.as_ref().map(|n| n.node.clone()),
        source: OpSource::Nothing,
    }
}
