//! Commits a received push on the hub, and says what came of it.

use super::local::{Local, LocalError};
use super::observe::{holder, lock};
use super::operations::{needs_slot, verb};
use super::place::identity;
use super::receiving::{Receiving, staging_error};
use super::refusal::{ServeError, disk_hint, malformed};
use super::serve::{Asker, Machinery};
use crate::disk::Stat;
use crate::model::{Digest, Node, RelPath, Tombstone, Tree};
use crate::protocol::handshake::ClientHello;
use crate::protocol::message::{CommitReport, Control, Op, OpSource, RefusalKind};
use crate::scan::Scan;
use crate::state::hub::tombstones_digest;
use crate::state::{Hub, HubUpdate, Payload, StateError, log};
use crate::transaction::{self, Change, CommitError, Expected, Label, NewNode, Request};

/// What goes with a commit.
pub(super) struct Order<'a> {
    pub(super) rules: Digest,
    pub(super) scan: &'a Scan,
    pub(super) keep_snapshot: bool,
    pub(super) label: &'a str,
    pub(super) asker: Asker<'a>,
}

/// The tree after a commit, and the stats of what was placed in it.
pub(super) type After = (Tree, Vec<(RelPath, Stat)>);

/// What came of a received push.
pub(super) struct Outcome {
    pub(super) answer: Control,
    /// For people.
    pub(super) notes: Vec<String>,
    /// If it was committed.
    pub(super) after: Option<After>,
}

/// Commits a received push.
pub(super) fn commit(
    local: &Local,
    mut receiving: Receiving,
    order: &Order<'_>,
) -> Result<Outcome, ServeError> {
    let Some(staging) = receiving.staging.take() else {
        return Err(malformed("commit").into());
    };
    let Asker {
        hello,
        machinery,
        attendance,
    } = order.asker;
    receiving.stop_signing();
    for (id, op) in (0..).zip(&receiving.ops) {
        if let (OpSource::SameAs(from), Some(Node::File { mode, mtime, .. })) =
            (&op.source, &op.new)
        {
            staging
                .duplicate(*from, id, *mode, *mtime)
                .map_err(staging_error)?;
        }
    }
    // From here on the staging knows what came.
    let ops = std::mem::take(&mut receiving.ops);
    drop(receiving);
    staging.sync().map_err(LocalError::from)?;
    let news = || ops.iter().map(|op| (op.path.clone(), op.new.clone()));
    let update = HubUpdate {
        rules: order.rules,
        changes: news().collect(),
        deleted: tombstones(&ops, hello, machinery),
    };
    let label = Label {
        verb: if hello.repair { "verify" } else { "push" }.to_owned(),
        peer: order.label.chars().take(256).collect(),
        machine: hello.machine.chars().take(128).collect(),
        root: hello.asking_root(),
        when: (machinery.clock)().div_euclid(1000),
    };
    let payload = Payload::Hub(update).encode().map_err(LocalError::from)?;
    let tree = order.scan.tree.with_changes(news());
    let record = log::Record {
        verb: "push".to_owned(),
        ..log::Record::of(ops.iter().map(verb))
    };
    let lock = lock(local, &holder(hello, machinery, "push"), attendance)?;
    let _change = attendance.begin_change()?;
    // In this order the changes are made in the place of the operations, which need more of it.
    let changes = ops.into_iter().zip(0..);
    let changes = changes.map(|(op, id)| change(op, id, order.scan));
    let mut changes: Vec<_> = changes.collect();
    changes.shrink_to_fit();
    let request = Request {
        changes,
        payload,
        label,
        keep_snapshot: order.keep_snapshot,
        consumes: None,
        interrupted: &|| false,
    };
    let mut committed = transaction::commit(&local.root, &lock, staging, request, &mut |id, p| {
        local.remember(id.as_str(), p)
    });
    let placed = committed.as_mut().map(|c| std::mem::take(&mut c.placed));
    let placed = placed.unwrap_or_default();
    let answer = report(local, committed, &tree)?;
    let notes = local.prune(&lock, (machinery.clock)().div_euclid(1000));
    let mut after = None;
    if let Control::Committed(report) = &answer {
        note_in_log(local, record, (hello, machinery), report);
        after = Some((tree, placed));
    }
    Ok(Outcome {
        answer,
        notes,
        after,
    })
}

/// The answer to a commit that took place, or did not.
pub(super) fn report(
    local: &Local,
    committed: Result<transaction::Committed, CommitError>,
    tree: &Tree,
) -> Result<Control, ServeError> {
    let committed = match committed {
        Ok(committed) => committed,
        Err(CommitError::Stale { paths }) => return Ok(Control::Stale(paths)),
        Err(CommitError::InUse { held }) => {
            return Ok(Control::Stale(held.into_iter().map(|h| h.path).collect()));
        }
        Err(e) => return Err(commit_error(&e)),
    };
    let hub = local.state.as_ref().map(Hub::load).transpose();
    let hub = hub.map_err(|e| unread(&e))?.unwrap_or_default();
    Ok(Control::Committed(CommitReport {
        root_id: identity(local),
        transaction: committed.txn_id.to_string(),
        generation: hub.generation(),
        view: tree.view_digest(),
        tombstones: tombstones_digest(hub.tombstones()),
        snapshot: committed.snapshot.map(|id| id.to_string()),
        kept_dirs: committed.kept_dirs,
        late_writes: committed.late_writes,
    }))
}

/// What a hub remembers could not be read after a commit, which stands.
fn unread(error: &StateError) -> ServeError {
    let message =
        format!("the hub's files were changed, but the sync could not be finished: {error}");
    let hint = "run it again: the next sync finds that both sides are equal";
    ServeError::refused(RefusalKind::Unfinished, message, hint)
}

fn commit_error(error: &CommitError) -> ServeError {
    let goes_on = "the next sync, or `rsyn recover` on the hub, goes on with it";
    let (kind, hint) = match (error, error.disk_cause()) {
        (CommitError::Unsettled { .. } | CommitError::Unfinished { .. }, _) => {
            (RefusalKind::Unfinished, goes_on)
        }
        (_, Some(e)) => (RefusalKind::Failed, disk_hint(e)),
        (CommitError::Stage(_) | CommitError::Damaged(_), _) => {
            (RefusalKind::Integrity, "run it again")
        }
        (CommitError::RecoveryPending, _) => {
            (RefusalKind::Busy, "run it again: the hub recovers first")
        }
        _ => (RefusalKind::Failed, "nothing was changed on the hub"),
    };
    ServeError::refused(kind, format!("on the hub: {error}"), hint)
}

fn change(op: Op, id: u32, scan: &Scan) -> Change {
    let needs = |new: &Node| needs_slot(verb(&op), op.old.as_ref(), new);
    let slot = op.new.as_ref().is_some_and(needs).then_some(id);
    let Op { path, old, new, .. } = op;
    let seen = scan.stat(&path);
    Change {
        path,
        old: old.map(|node| Expected::new(node, seen)),
        new: new.map(|node| NewNode { node, slot }),
    }
}

pub(super) fn tombstones(
    ops: &[Op],
    hello: &ClientHello,
    machinery: &Machinery,
) -> Vec<(RelPath, Tombstone)> {
    let when_secs = (machinery.clock)().div_euclid(1000);
    let machine = hello.asking_root();
    let gone = ops.iter().filter(|op| op.new.is_none());
    let tombstone = |op: &Op| {
        let old = op.old.as_ref()?;
        let machine = machine.clone();
        Some((
            op.path.clone(),
            Tombstone {
                kind: old.kind(),
                digest: old.digest(),
                machine,
                when_secs,
            },
        ))
    };
    gone.filter_map(tombstone).collect()
}

/// Writes what a client had done here into the log.
pub(super) fn note_in_log(
    local: &Local,
    record: log::Record,
    (hello, machinery): (&ClientHello, &Machinery),
    report: &CommitReport,
) {
    let snapshots = log::Snapshots {
        local: report.snapshot.clone(),
        remote: None,
    };
    let record = log::Record {
        when: crate::report::time::rfc3339((machinery.clock)()),
        peer: hello.machine.chars().take(128).collect(),
        ..record.undone_by(snapshots)
    };
    if let Some(state) = &local.state {
        // A log that cannot be written never changes the outcome.
        drop(log::append(state, &record));
    }
}
