//! The JSON contract of `docs/cli.md`: one object, keys that scripts rely on.

use serde_json::{Value, json};

use crate::model::{Digest, Kind, Node, RelPath, total_bytes};
use crate::ops::sync::{Outcome, Report};
use crate::ops::{Failure, FailureKind};
use crate::plan::{Action, Conflict, Direction, Kept, Plan, Verb};
use crate::protocol::handshake::to_hex;
use crate::report::text::reason;

/// Version of the contract.
const SCHEMA: u32 = 1;

/// An object of the contract with its fixed keys.
#[must_use]
pub fn object(command: &str, result: &str, more: Value) -> Value {
    let mut object = json!({"schema": SCHEMA, "command": command, "result": result});
    if let (Value::Object(all), Value::Object(more)) = (&mut object, more) {
        all.extend(more);
    }
    object
}

/// The `error` of a failure.
pub(crate) fn error(failure: &Failure) -> Value {
    json!({
        "kind": failure.kind.name(), "message": failure.message, "state": failure.state, "hint": failure.hint,
    })
}

/// A failure.
#[must_use]
pub fn failure(command: &str, failure: &Failure) -> Value {
    object(
        command,
        refused(failure),
        json!({ "error": error(failure) }),
    )
}

/// The result word of a run that failed.
pub(crate) fn refused(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::Conflict | FailureKind::Guard => "stopped",
        _ => "failed",
    }
}

/// The result word of a run.
#[must_use]
pub fn result(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "ok",
        Outcome::NothingToDo => "nothing_to_do",
        Outcome::DryRun => "dry_run",
        Outcome::Declined => "stopped",
    }
}

/// A pull, push, sync or diff.
#[must_use]
pub fn sync(command: &str, report: &Report) -> Value {
    let plans = || report.legs.iter().map(|leg| &leg.plan);
    let direction = match report.legs.as_slice() {
        [leg] if command != "sync" => leg.plan.direction.name(),
        _ => command,
    };
    let actions: Vec<_> = plans()
        .flat_map(|p| p.actions.iter().map(|a| action(a, p.direction)))
        .collect();
    let legs = 0..report.legs.len();
    let kept: Vec<_> = legs.flat_map(|at| report.kept(at)).map(kept_path).collect();
    let count = |verb: Verb| plans().map(|p| p.count(verb)).sum::<usize>();
    let actions_of_all = plans().flat_map(|p| &p.actions);
    let bytes_total = total_bytes(actions_of_all.map(Action::travelling_bytes));
    let snapshots = report.snapshots();
    let mut object = object(
        command,
        match &report.refusal {
            // What a dry run foresees is no failure of its own.
            Some(_) if report.outcome == Outcome::DryRun => "stopped",
            Some(refusal) => refused(refusal),
            None => result(report.outcome),
        },
        json!({
            "direction": direction,
            "remote": report.remote,
            "dry_run": report.outcome == Outcome::DryRun,
            "actions": actions,
            "kept": kept,
            "summary": {
                "create": count(Verb::Create),
                "update": count(Verb::Update),
                "delete": count(Verb::Delete),
                "meta": count(Verb::Meta),
                "conflicts": plans().map(Plan::conflicts).sum::<usize>(),
                "kept": kept.len(),
                "bytes_total": bytes_total,
                "bytes_sent": report.bytes_sent,
                "bytes_received": report.bytes_received,
                "literal_bytes": report.literal_bytes,
                "matched_bytes": report.matched_bytes,
            },
            "snapshot": snapshots.last(),
            "snapshots": snapshots,
            "digest": {
                "local": report.local_digest.to_string(),
                "remote": report.remote_digest.to_string(),
            },
            "skipped": report.skipped,
            "warnings": report.uncarried.iter().chain(&report.warnings).collect::<Vec<_>>(),
        }),
    );
    if let (Some(refusal), Some(object)) = (&report.refusal, object.as_object_mut()) {
        object.insert("error".to_owned(), error(refusal));
    }
    object
}

fn action(action: &Action, direction: Direction) -> Value {
    let (path, path_bytes) = path(&action.path);
    json!({
        "path": path,
        "path_bytes": path_bytes,
        "kind": kind(action.kind()),
        "action": action.verb.name(),
        "side": direction.written().name(),
        "reason": reason(action, direction),
        "size": action.new.as_ref().map(Node::size),
        "old_size": action.old.as_ref().map(Node::size),
        "conflict": action.conflict.as_deref().map(conflict),
    })
}

/// A path that differs and stays.
pub(crate) fn kept_path(kept: &Kept) -> Value {
    let (path, path_bytes) = path(&kept.path);
    json!({
        "path": path,
        "path_bytes": path_bytes,
        "reason": kept.reason.name(),
        "conflict": kept.conflict.as_deref().map(conflict),
        "program": kept.program.as_deref().map(|p| json!({"name": p.name, "pid": p.pid})),
    })
}

fn conflict(conflict: &Conflict) -> Value {
    let digest = |d: Option<Digest>| d.map(|d| d.to_string());
    json!({
        "policy": conflict.policy.to_string(),
        "winner": conflict.winner,
        "base": digest(conflict.base),
        "local": digest(conflict.local),
        "remote": digest(conflict.remote),
    })
}

/// A path as UTF-8, and its bytes in hex where that is not exact.
#[must_use]
pub fn path(path: &RelPath) -> (String, Option<String>) {
    match std::str::from_utf8(path.as_bytes()) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => {
            let text = String::from_utf8_lossy(path.as_bytes()).into_owned();
            (text, Some(to_hex(path.as_bytes())))
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Dir => "dir",
        Kind::Symlink => "symlink",
        Kind::Skipped => "skipped",
    }
}
