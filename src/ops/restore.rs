//! `restore`: the older version of a path, from a snapshot of this machine.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::history::{Ending, note_in_log, record};
use super::local::take_over;
use super::look::World;
use super::undo::{self, Where};
use super::{Failure, FailureKind};
use crate::disk::{Lock, Root};
use crate::endpoint::local::Local;
use crate::model::RelPath;
use crate::plan::{Direction, Plan};
use crate::report::{json as contract, printable};
use crate::state::{Payload, log};
use crate::transaction::{
    self, CommitError, Damage, Label, OldVersions, RestoreError, Staging, TxnId,
};

/// Where the old version goes.
pub enum Target<'a> {
    /// Back to its place; what stands there now becomes a snapshot.
    Place,
    /// To a path outside of the tree's history, where nothing may stand yet.
    Elsewhere(PathBuf),
    /// Into a stream.
    Stream(&'a mut dyn Write),
}

/// What was restored.
#[derive(Debug)]
pub struct Report {
    /// The snapshot that the version came from.
    pub from: String,
    /// What changed in the tree.
    pub plan: Plan,
    /// Snapshot that undoes it.
    pub snapshot: Option<String>,
    /// Where it was written, if not into the tree.
    pub written: Option<PathBuf>,
    /// What the user should know: that an interrupted sync was settled first.
    pub warnings: Vec<String>,
}

/// Restores `path` from the snapshot `from`, or from the newest that keeps a version of it.
///
/// # Errors
/// There is no older version, something is in the way, or the disk says no.
pub fn restore(
    world: &World<'_>,
    path: &RelPath,
    from: Option<&str>,
    target: Target<'_>,
) -> Result<Report, Failure> {
    let id = from.map(parse_id).transpose()?;
    let local = Local::open(&world.project.path)?;
    let find = || transaction::old_versions(&local.root, id.as_ref(), path);
    let written = match target {
        Target::Place => {
            let outcome = restore_in_place(world, &local, path, id.as_ref());
            note_in_log(world, of_restore(from, outcome.as_ref()));
            return outcome;
        }
        Target::Elsewhere(to) => {
            let versions = find()?;
            let to = export(&local.root, &versions, path, &to)?;
            (versions.id, Some(to))
        }
        Target::Stream(sink) => {
            let versions = find()?;
            versions.read(&local.root, path, sink)?;
            (versions.id, None)
        }
    };
    Ok(Report {
        from: written.0.to_string(),
        plan: Plan::nothing(Direction::Pull),
        snapshot: None,
        written: written.1,
        warnings: vec![],
    })
}

fn parse_id(text: &str) -> Result<TxnId, Failure> {
    TxnId::parse(text).ok_or_else(|| {
        let message = format!("there is no snapshot `{}`", text.escape_debug());
        Failure::usage(message, "`rsyn snapshots` lists them")
    })
}

fn restore_in_place(
    world: &World<'_>,
    local: &Local,
    path: &RelPath,
    id: Option<&TxnId>,
) -> Result<Report, Failure> {
    if local.state.is_none() {
        return Err(RestoreError::NoVersion(path.clone()).into());
    }
    let (lock, recovered) = take_over(world, local, "restore")?;
    let restored = restore_locked(world, local, &lock, path, id);
    let mut report = restored.map_err(|e| e.after_recovery(recovered.as_ref()))?;
    report.warnings.extend(recovered);
    Ok(report)
}

fn restore_locked(
    world: &World<'_>,
    local: &Local,
    lock: &Lock,
    path: &RelPath,
    id: Option<&TxnId>,
) -> Result<Report, Failure> {
    let versions = transaction::old_versions(&local.root, id, path)?;
    let mut changes = versions.changes(&local.root)?;
    let from = versions.id.to_string();
    let mut report = Report {
        plan: Plan::nothing(Direction::Pull),
        from: from.clone(),
        snapshot: None,
        written: None,
        warnings: vec![],
    };
    if changes.is_empty() {
        return Ok(report);
    }
    let used = transaction::leave_used(&local.root, &mut changes);
    if changes.is_empty() {
        return Err(CommitError::InUse { held: used }.into());
    }
    report.warnings.extend(used.iter().map(|used| {
        format!(
            "{:?} stays as it is: it is open in {}",
            used.path,
            used.user()
        )
    }));
    let staging = Staging::begin(&local.root)?;
    let altered = versions.stage(&local.root, &staging, &mut changes)?;
    report.warnings.extend(altered.iter().map(|path| {
        format!("{path:?} stays as it is: its old version was changed since, though its size and times are the same")
    }));
    report.plan = undo::plan(
        changes.iter().map(crate::endpoint::undo::op),
        Direction::Pull,
    );
    let request = transaction::Request {
        changes,
        payload: Payload::Nothing.encode()?,
        label: Label {
            verb: "restore".to_owned(),
            peer: from,
            machine: world.project.machine(world.environment),
            when: world.now_secs(),
            root: local.own_id(),
        },
        keep_snapshot: true,
        consumes: None,
        interrupted: &|| world.interrupted.load(Ordering::Relaxed),
    };
    let committed =
        transaction::commit(&local.root, lock, staging, request, &mut |id, payload| {
            local.remember(id.as_str(), payload)
        })?;
    report.snapshot = committed.snapshot.map(|id| id.to_string());
    Ok(report)
}

fn of_restore(asked: Option<&str>, outcome: Result<&Report, &Failure>) -> log::Record {
    let from = outcome.map_or(asked, |report| Some(&report.from));
    let ending = match outcome {
        Err(failure) => Ending::Failed(failure),
        Ok(report) if report.plan.actions.is_empty() => Ending::NothingToDo,
        Ok(report) => Ending::Done(&report.plan, Where::Here.snapshots(report.snapshot.clone())),
    };
    record("restore", from.unwrap_or_default(), &ending)
}

/// Writes the versions to `to`, or into `to` if that is a directory. Returns where they are.
fn export(
    root: &Root,
    versions: &OldVersions,
    path: &RelPath,
    to: &Path,
) -> Result<PathBuf, Failure> {
    let name = std::ffi::OsStr::from_bytes(path.name());
    let (parent, name) = match (Root::open(to), to.parent(), to.file_name()) {
        (Ok(_), ..) => (to, name),
        (Err(_), Some(parent), Some(name)) => (parent, name),
        _ => {
            return Err(Failure::usage(
                "-o names no file",
                "name a file that is not there yet",
            ));
        }
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let (dir, to) = (Root::open(parent)?, parent.join(name));
    if dir.top().stat(name.as_bytes())?.is_some() {
        let message = format!(
            "{} is there already",
            printable::text(&to.display().to_string())
        );
        return Err(Failure::new(
            FailureKind::Failed,
            message,
            "name a file that is not there yet",
        ));
    }
    versions.export(root, path, (dir.top(), name.as_bytes()))?;
    Ok(to)
}

/// For scripts.
#[must_use]
pub fn to_json(report: &Report) -> Value {
    let done = report.written.is_some() || !report.plan.actions.is_empty();
    let written = report.written.as_ref().map(|p| p.display().to_string());
    contract::object(
        "restore",
        if done { "ok" } else { "nothing_to_do" },
        json!({
            "from": report.from,
            "actions": undo::actions_json(&report.plan).collect::<Vec<_>>(),
            "written": written,
            "snapshot": report.snapshot,
            "warnings": report.warnings,
        }),
    )
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let message = error.to_string();
        match error {
            RestoreError::Disk(e) => e.into(),
            RestoreError::Stage(e) => e.into(),
            RestoreError::Damaged(Damage::Disk(e)) if e.is_missing() => {
                Self::usage(message, "`rsyn snapshots` lists them")
            }
            RestoreError::Damaged(_) => Self::new(
                FailureKind::Integrity,
                message,
                "try another snapshot of `rsyn snapshots` with `--from`",
            ),
            RestoreError::NoVersion(_)
            | RestoreError::NotInSnapshot(..)
            | RestoreError::Renamed(..)
            | RestoreError::NoFile(_) => Self::new(
                FailureKind::Failed,
                message,
                "`rsyn snapshots` lists what is kept, `rsyn log` what was changed",
            ),
            RestoreError::InTheWay(_) | RestoreError::NoContent(_) => Self::new(
                FailureKind::Guard,
                message,
                "write it elsewhere with `-o OUT`",
            ),
        }
    }
}
