//! The log line of a run, however it ended: each verb that may change a tree hands in its own.

use super::connect::Reach;
use super::look::World;
use super::sync::{Leg, Outcome, Report, Request};
use super::{Failure, FailureKind};
use crate::config::remote::{without_password, without_passwords};
use crate::endpoint::local::Local;
use crate::plan::Plan;
use crate::state::log::{self, Record, Snapshots};

/// How a run ended.
pub(super) enum Ending<'a> {
    /// This was done, and these snapshots undo it.
    Done(&'a Plan, Snapshots),
    /// There was nothing to do.
    NothingToDo,
    /// The user said no.
    Declined,
    /// It failed before it changed anything.
    Failed(&'a Failure),
}

/// The record of a run in one step.
pub(super) fn record(verb: &str, peer: &str, ending: &Ending<'_>) -> Record {
    let (record, (result, note)) = match ending {
        Ending::Done(plan, snapshots) => (
            Record::of(plan.actions.iter().map(|a| a.verb)).undone_by(snapshots.clone()),
            ("ok", None),
        ),
        Ending::NothingToDo => (Record::default(), ("nothing_to_do", None)),
        Ending::Declined => (Record::default(), declined()),
        Ending::Failed(failure) => (Record::default(), failed(failure)),
    };
    Record {
        verb: verb.to_owned(),
        peer: peer.to_owned(),
        result: result.to_owned(),
        note,
        ..record
    }
}

/// The record of a pull, push or sync. What a run did before it failed is in it.
pub(super) fn of_sync(
    world: &World<'_>,
    request: &Request,
    outcome: Result<&Report, &Failure>,
) -> Record {
    let legs: &[Leg] = outcome.map_or(&[], |r| &r.legs);
    let (result, note) = match outcome.map(|r| (r, &r.refusal)) {
        Err(failure) | Ok((_, Some(failure))) => failed(failure),
        Ok((report, None)) => match report.outcome {
            Outcome::NothingToDo => ("nothing_to_do", None),
            Outcome::Declined => declined(),
            Outcome::Done | Outcome::DryRun => (
                "ok",
                request.force.then(|| "guards lifted (--force)".to_owned()),
            ),
        },
    };
    let done = legs.iter().flat_map(|l| &l.plan.actions).map(|a| a.verb);
    Record {
        verb: request.verb().to_owned(),
        peer: outcome.map_or_else(
            |_| remote_asked(world, &request.reach),
            |r| r.remote.clone(),
        ),
        conflicts: legs.iter().map(|l| l.plan.conflicts() as u64).sum(),
        skipped: outcome.map_or(0, |r| r.skipped as u64),
        bytes_sent: outcome.map_or(0, |r| r.bytes_sent),
        bytes_received: outcome.map_or(0, |r| r.bytes_received),
        result: result.to_owned(),
        note,
        ..Record::of(done).undone_by(outcome.map(Report::snapshots).unwrap_or_default())
    }
}

fn declined() -> (&'static str, Option<String>) {
    ("stopped", Some("declined".to_owned()))
}

fn failed(failure: &Failure) -> (&'static str, Option<String>) {
    let stopped = matches!(failure.kind, FailureKind::Conflict | FailureKind::Guard);
    let result = if stopped { "stopped" } else { "failed" };
    (
        result,
        Some(without_passwords(&failure.message).into_owned()),
    )
}

/// The remote that a run was to reach.
pub(super) fn remote_asked(world: &World<'_>, reach: &Reach) -> String {
    let set = world.project.settings.remote.as_ref();
    let asked = reach.remote.as_ref().or(set.map(|s| &s.value));
    asked.map_or_else(String::new, |r| without_password(r).into_owned())
}

/// Writes a record into the log of this root, if it has one. A log never changes the outcome.
pub(super) fn note_in_log(world: &World<'_>, record: Record) {
    let Ok(local) = Local::open(&world.project.path) else {
        return;
    };
    let Some(state) = &local.state else { return };
    let when = crate::report::time::rfc3339((world.clock)());
    drop(log::append(state, &Record { when, ..record }));
}
