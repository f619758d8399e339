//! Undo: a snapshot as an ordinary transaction, planned, shown, committed like any other.

use super::local::{Local, LocalError};
use super::refusal::ServeError;
use crate::disk::Lock;
use crate::model::RelPath;
use crate::protocol::message::{Op, OpSource, RefusalKind};
use crate::state::Payload;
use crate::transaction::{self, CommitError, Committed, Inverse, Label, Request, Staging, TxnId};

/// What undoing one snapshot does.
pub struct Undo {
    inverse: Inverse,
}

/// Plans to undo the snapshot `id`, or the newest.
pub(super) fn plan(local: &Local, id: Option<&str>) -> Result<Undo, ServeError> {
    let refused =
        |message: String, hint: &str| ServeError::refused(RefusalKind::Usage, message, hint);
    let none = || {
        refused(
            "there is no snapshot to go back to".to_owned(),
            "nothing was changed by rsyn yet",
        )
    };
    let id = match id {
        Some(text) => TxnId::parse(text).ok_or_else(|| {
            refused(
                format!("there is no snapshot `{}`", text.escape_debug()),
                "see `rsyn snapshots`",
            )
        })?,
        None => {
            let all = transaction::snapshots(&local.root).map_err(LocalError::from)?;
            all.into_iter().next().map(|s| s.id).ok_or_else(none)?
        }
    };
    let inverse = transaction::inverse(&local.root, &id).map_err(|e| {
        refused(
            format!("cannot use the snapshot {id}: {e}"),
            "see `rsyn snapshots`",
        )
    })?;
    Ok(Undo { inverse })
}

impl Undo {
    /// Plans to undo the snapshot `id` of a root of this process, or its newest.
    ///
    /// # Errors
    /// There is no such snapshot, or it is damaged; in words.
    pub fn plan(local: &Local, id: Option<&str>) -> Result<Self, String> {
        plan(local, id).map_err(|e| e.to_string())
    }

    /// The snapshot.
    #[must_use]
    pub fn id(&self) -> &TxnId {
        &self.inverse.consumes
    }

    /// What it does, path by path.
    #[must_use]
    pub fn ops(&self) -> Vec<Op> {
        let op = |change: &transaction::Change| Op {
            path: change.path.clone(),
            old: change.old.as_ref().map(|e| e.node.clone()),
            new: change.new.as_ref().map(|n| n.node.clone()),
            source: OpSource::Nothing,
        };
        self.inverse.changes.iter().map(op).collect()
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
        self.inverse.stage(&staging)?;
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
