//! The log line of a run, however it ended.

use super::look::World;
use super::sync::{Leg, Outcome, Report, Request};
use super::{Failure, FailureKind};
use crate::config::remote::without_password;
use crate::endpoint::local::Local;
use crate::state::{State, log};

/// Writes what became of a run into the log of this root. A log never changes the outcome.
pub(super) fn note_in_log(
    world: &World<'_>,
    request: &Request,
    outcome: Result<&Report, &Failure>,
) {
    let Ok(local) = Local::open(&world.project.path) else {
        return;
    };
    let Some(state) = &local.state else { return };
    drop(append_to_log(state, world, request, outcome));
}

fn append_to_log(
    state: &State,
    world: &World<'_>,
    request: &Request,
    outcome: Result<&Report, &Failure>,
) -> Result<(), crate::state::StateError> {
    let legs: &[Leg] = outcome.map_or(&[], |r| &r.legs);
    let done = legs.iter().flat_map(|l| &l.plan.actions).map(|a| a.verb);
    let (result, note) = match outcome {
        Ok(report) => match report.outcome {
            Outcome::NothingToDo => ("nothing_to_do", None),
            Outcome::Declined => ("stopped", Some("declined".to_owned())),
            Outcome::Done | Outcome::DryRun => (
                "ok",
                request.force.then(|| "guards lifted (--force)".to_owned()),
            ),
        },
        Err(failure) => {
            let stopped = matches!(failure.kind, FailureKind::Conflict | FailureKind::Guard);
            (
                if stopped { "stopped" } else { "failed" },
                Some(failure.message.clone()),
            )
        }
    };
    let remote = world
        .project
        .settings
        .remote
        .as_ref()
        .map(|s| s.value.clone());
    let named = request.reach.remote.clone();
    let asked = named.or(remote).unwrap_or_default();
    let record = log::Record {
        when: crate::report::time::rfc3339((world.clock)()),
        verb: request.verb().to_owned(),
        peer: outcome.map_or_else(
            |_| without_password(&asked).into_owned(),
            |r| r.remote.clone(),
        ),
        conflicts: legs.iter().map(|l| l.plan.conflicts() as u64).sum(),
        bytes_sent: outcome.map_or(0, |r| r.bytes_sent),
        bytes_received: outcome.map_or(0, |r| r.bytes_received),
        result: result.to_owned(),
        snapshot: legs.iter().rev().find_map(|l| l.snapshot.clone()),
        note,
        ..log::Record::of(done)
    };
    log::append(state, &record)
}
