//! Undo: a snapshot as an ordinary transaction, planned, shown, committed like any other.

use super::local::Local;
use crate::disk::Lock;
use crate::model::RelPath;
use crate::protocol::message::{Op, OpSource, Refusal, RefusalKind};
use crate::state::Payload;
use crate::transaction::{
    self, CommitError, Committed, Damage, Inverse, Label, Left, Request, Staging, TxnId,
};

/// What undoing one snapshot does.
pub struct Undo {
    inverse: Inverse,
}

impl Undo {
    /// Plans to undo the snapshot `id` of a root of this process, or its newest.
    ///
    /// # Errors
    /// There is no such snapshot, or it is damaged. A damaged one is never passed over for an older one.
    pub fn plan(local: &Local, id: Option<&str>) -> Result<Self, Refusal> {
        let unusable = |id: &TxnId, damage: &Damage| {
            let kind = match damage {
                Damage::Disk(e) if e.is_missing() => RefusalKind::Usage,
                Damage::Disk(_) => RefusalKind::Failed,
                _ => RefusalKind::Integrity,
            };
            let message = format!("cannot use the snapshot {id}: {damage}");
            refusal(kind, message, "see `rsyn snapshots`")
        };
        let id = match id {
            Some(text) => TxnId::parse(text).ok_or_else(|| {
                let message = format!("there is no snapshot `{}`", text.escape_debug());
                refusal(RefusalKind::Usage, message, "see `rsyn snapshots`")
            })?,
            None => newest(local)?,
        };
        let inverse = transaction::inverse(&local.root, &id).map_err(|e| unusable(&id, &e))?;
        Ok(Self { inverse })
    }

    /// The snapshot.
    #[must_use]
    pub fn id(&self) -> &TxnId {
        &self.inverse.consumes
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
        label: Label,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Committed, CommitError> {
        let staging = Staging::begin(&local.root)?;
        self.inverse.stage(&local.root, &staging)?;
        let request = Request {
            changes: self.inverse.changes,
            payload: Payload::Nothing.encode().unwrap_or_default(),
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
    let Left {
        path,
        in_tree,
        copy,
    } = left;
    let what = match in_tree {
        true => "its content was changed since, though its size and times are the same",
        false => "its old version was changed since, though its size and times are the same",
    };
    match copy {
        Some(copy) => format!("{path:?} stays as it is: {what}; the old version comes as {copy:?}"),
        None => format!("{path:?} stays as it is: {what}"),
    }
}

fn newest(local: &Local) -> Result<TxnId, Refusal> {
    let all = transaction::snapshots(&local.root)
        .map_err(|e| refusal(RefusalKind::Failed, e.to_string(), "look at .rsyn/snap/"))?;
    let newest = all.into_iter().next().map(|s| s.id);
    newest.ok_or_else(|| {
        let message = "there is no snapshot to go back to".to_owned();
        refusal(
            RefusalKind::Usage,
            message,
            "nothing was changed by rsyn yet",
        )
    })
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
