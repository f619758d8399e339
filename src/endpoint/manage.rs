//! What a hub tells and does for people: its snapshots, its machines, undo.

use std::os::unix::ffi::OsStrExt;

use super::commit::{note_in_log, report, tombstones};
use super::local::{Local, LocalError};
use super::observe::{holder, lock};
use super::operations::verb;
use super::place::Place;
use super::refusal::ServeError;
use super::serve::Asker;
use super::undo::{Asking, Undo};
use crate::disk::DiskError;
use crate::model::Tree;
use crate::protocol::handshake::ClientHello;
use crate::protocol::message::{Control, RefusalKind, SnapshotLine};
use crate::report::printable;
use crate::state::{Payload, State, log};
use crate::transaction::{self, Label};

fn there(place: &Place) -> Result<(&Local, &State), ServeError> {
    match place {
        Place::There(local) => match &local.state {
            Some(state) => Ok((local, state)),
            None => Err(ServeError::refused(
                RefusalKind::Usage,
                "nothing was ever synced there",
                "push first",
            )),
        },
        Place::Missing(vacancy) => {
            let shown = vacancy.path().as_os_str().as_bytes().escape_ascii();
            let message = format!("{shown} does not exist");
            Err(ServeError::refused(
                RefusalKind::Usage,
                message,
                "push first",
            ))
        }
    }
}

/// The snapshots of a root, newest first.
pub(super) fn snapshots(place: &Place) -> Result<Vec<SnapshotLine>, ServeError> {
    let (local, _) = there(place)?;
    snapshot_lines(local).map_err(|e| LocalError::from(e).into())
}

/// The snapshots of a root, newest first, as they are shown.
///
/// # Errors
/// They cannot be read.
pub fn snapshot_lines(local: &Local) -> Result<Vec<SnapshotLine>, DiskError> {
    let line = |info: transaction::SnapshotInfo| SnapshotLine {
        id: info.id.to_string(),
        when_secs: info.label.when,
        label: format!("{} {}", info.label.verb, info.label.peer)
            .trim_end()
            .to_owned(),
        changes: info.changes,
        bytes: info.bytes,
    };
    Ok(transaction::snapshots(&local.root)?
        .into_iter()
        .map(line)
        .collect())
}

/// The machines that synced here.
pub(super) fn machines(place: &Place) -> Result<Vec<(String, i64)>, ServeError> {
    let (_, state) = there(place)?;
    let machines = crate::state::hub::machines(state).map_err(LocalError::from)?;
    Ok(machines
        .into_iter()
        .map(|m| (m.name, m.last_secs))
        .collect())
}

/// The plan to undo a snapshot; it is refused if paths changed since.
pub(super) fn plan_rollback(
    place: &Place,
    id: Option<&str>,
    hello: &ClientHello,
) -> Result<Undo, ServeError> {
    let (local, _) = there(place)?;
    if local.pending()?.is_some() {
        return Err(ServeError::refused(
            RefusalKind::Busy,
            "a sync was interrupted on the hub or is under way there: its files are between two states",
            "a rollback without `-n` settles that first, and ends there",
        ));
    }
    let asking = Asking {
        root: &hello.asking_root(),
        flag: " --remote",
    };
    let undo = Undo::plan(local, id, asking).map_err(ServeError::Refused)?;
    let changed = undo.changed_since(local).map_err(LocalError::from)?;
    if let [first, others @ ..] = changed.as_slice() {
        let first = printable::path(first);
        let more = match others.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        return Err(ServeError::refused(
            RefusalKind::Busy,
            format!("these paths changed since that sync: {first}{more}"),
            "sync or move them away first",
        ));
    }
    Ok(undo)
}

/// Undoes a snapshot, unless an interrupted sync had to be settled: what was planned is void then, and the client is told
/// of that alone. Without `id` there is nothing else to do.
pub(super) fn rollback(
    place: &Place,
    id: &str,
    label: &str,
    asker: &Asker<'_>,
) -> Result<Control, ServeError> {
    let (local, _) = there(place)?;
    let (hello, machinery) = (asker.hello, asker.machinery);
    let holder = holder(hello, machinery, "rollback");
    let lock = lock(local, &holder, asker.attendance)?;
    let _change = asker.attendance.begin_change()?;
    if let Some(words) = local.recover(&lock, holder.since)? {
        return Err(ServeError::refused(
            RefusalKind::Busy,
            format!("the hub had to settle an interrupted sync first: {words}"),
            "look at it, then run it again to undo the newest sync that is there now",
        ));
    }
    if id.is_empty() {
        return Err(ServeError::refused(
            RefusalKind::Busy,
            "the sync that was interrupted or under way on the hub is settled by now",
            "run it again",
        ));
    }
    let undo = Undo::of(local, id).map_err(ServeError::Refused)?;
    let label = Label {
        verb: "rollback".to_owned(),
        peer: label.chars().take(256).collect(),
        machine: hello.machine.chars().take(128).collect(),
        root: hello.asking_root(),
        when: holder.since,
    };
    let record = log::Record {
        verb: "rollback".to_owned(),
        note: Some(format!("of {id}")),
        ..log::Record::of(undo.ops().map(|op| verb(&op)))
    };
    let ops: Vec<_> = undo.ops().collect();
    let payload = Payload::Deletions(tombstones(&ops, hello, machinery));
    let committed = undo.commit(local, &lock, (label, payload), &|| false);
    let answer = report(local, committed, &Tree::default())?;
    if let Control::Committed(report) = &answer {
        note_in_log(local, record, (hello, machinery), report);
    }
    Ok(answer)
}
