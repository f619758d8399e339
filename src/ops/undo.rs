//! Undo: rollback and snapshots, here or on the hub.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::connect::{Greeting, Hub, Reach};
use super::execute::{crowded_words, late_words, noted_words, unnamed_words};
use super::history::{Ending, note_in_log, record, remote_asked};
use super::local::take_over;
use super::look::World;
use super::talk::Preview;
use super::{Failure, FailureKind};
use crate::disk::Lock;
use crate::endpoint::client::{Client, RollbackPlan};
use crate::endpoint::local::Local;
use crate::endpoint::manage::snapshot_lines;
use crate::endpoint::transfer::Pushed;
use crate::endpoint::undo::{Asking, Undo, origin_words};
use crate::filter::Rules;
use crate::model::RelPath;
use crate::plan::{Action, Direction, Plan, Reason, Source, Verb};
use crate::protocol::handshake::Purpose;
use crate::protocol::message::{Op, SnapshotLine};
use crate::report::json as contract;
use crate::state::log::{self, Snapshots};
use crate::state::undone::Rollback;
use crate::state::{Base, Payload, RootId, StateError};
use crate::transaction::{Label, PendingKind};

/// Whose tree is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// This machine's.
    Here,
    /// The hub's.
    Hub,
}

impl Where {
    /// The snapshot of a change there, with its side.
    pub(super) fn snapshots(self, id: Option<String>) -> Snapshots {
        match self {
            Self::Here => Snapshots {
                local: id,
                remote: None,
            },
            Self::Hub => Snapshots {
                local: None,
                remote: id,
            },
        }
    }
}

/// What a rollback did, or would do.
#[derive(Debug, Clone)]
pub struct Report {
    /// The snapshot.
    pub id: String,
    /// Whose sync of when it undoes, in words; empty if the hub does not tell.
    pub of: String,
    /// Path by path.
    pub plan: Plan,
    /// Snapshot that undoes the rollback.
    pub snapshot: Option<String>,
    /// Whether it was only planned.
    pub dry_run: bool,
    /// Whether the user said no.
    pub declined: bool,
    /// What the next pull and push make of it, in words.
    pub next: String,
    /// What the user should know: directories that stay, late writes, that an interrupted sync was settled first.
    pub warnings: Vec<String>,
}

/// How things are after a rollback that settled an interrupted sync and ended there.
const ROLLED_NOTHING_BACK: &str = "nothing was rolled back";

/// Why a directory stays that the sync had made.
const NOT_OF_THE_SYNC: &str = "something is inside that did not come with that sync";

impl Report {
    /// Takes note of what came out otherwise than it was planned.
    fn note(&mut self, kept: &[RelPath], late: &[RelPath], side: &str) {
        let kept = crowded_words(kept, side, NOT_OF_THE_SYNC);
        self.warnings.extend(kept.chain(late_words(late, side)));
    }
}

/// The snapshots, newest first.
///
/// # Errors
/// They cannot be read, or the hub cannot be reached.
pub fn snapshots(
    world: &World<'_>,
    at: Where,
    reach: &Reach,
) -> Result<Vec<SnapshotLine>, Failure> {
    match at {
        Where::Here => {
            let local = Local::open(&world.project.path)?;
            Ok(if local.state.is_some() {
                snapshot_lines(&local)?
            } else {
                vec![]
            })
        }
        Where::Hub => {
            let (_, client) = connect(world, reach)?;
            let lines = client.snapshots()?;
            client.close();
            Ok(lines)
        }
    }
}

/// Undoes the snapshot `id`, or the newest.
///
/// # Errors
/// There is no such snapshot, or paths changed since: then nothing is changed and they are named.
pub fn rollback(
    world: &World<'_>,
    at: Where,
    reach: &Reach,
    id: Option<&str>,
    dry_run: bool,
) -> Result<Report, Failure> {
    let outcome = match at {
        Where::Here => rollback_here(world, id, dry_run),
        Where::Hub => rollback_hub(world, reach, id, dry_run),
    };
    if !dry_run {
        note_in_log(world, of_rollback(world, at, reach, id, outcome.as_ref()));
    }
    outcome
}

fn rollback_here(world: &World<'_>, id: Option<&str>, dry_run: bool) -> Result<Report, Failure> {
    let local = Local::open(&world.project.path)?;
    if dry_run || local.state.is_none() {
        refuse_pending(local.pending()?)?;
        return rollback_locked(world, &local, id, None);
    }
    let (lock, recovered) = take_over(world, &local, "rollback")?;
    if let (Some(words), None) = (&recovered, id) {
        return Err(settled_first(words));
    }
    let undone = rollback_locked(world, &local, id, Some(&lock));
    let mut report = undone.map_err(|e| e.after_recovery(recovered.as_ref()))?;
    report.warnings.extend(recovered);
    Ok(report)
}

/// The same failure, with the command for a snapshot that a push of this machine left on the hub.
fn or_on_the_hub(local: &Local, id: Option<&str>, failure: Failure) -> Failure {
    let (Some(id), Some(state)) = (id, &local.state) else {
        return failure;
    };
    let syncs = log::last(state, usize::MAX).unwrap_or_default();
    let mut snapshots = syncs
        .iter()
        .filter_map(|sync| sync.snapshots.remote.as_deref());
    match failure.kind == FailureKind::Usage && snapshots.any(|there| there == id) {
        true => failure.hint(format!(
            "it is one of the hub: `rsyn rollback --remote {id}`"
        )),
        false => failure,
    }
}

/// What the newest sync is has changed by the recovery: which one is meant is left to the user.
fn settled_first(words: &str) -> Failure {
    let message = format!("an interrupted sync had to be settled first: {words}");
    let hint = "look at it; `rsyn rollback` once more undoes the newest sync that is there now";
    Failure {
        state: ROLLED_NOTHING_BACK.to_owned(),
        ..Failure::new(FailureKind::Busy, message, hint)
    }
}

/// A preview of a tree that is between two states would tell of neither.
fn refuse_pending(pending: Option<PendingKind>) -> Result<(), Failure> {
    let first = match pending {
        None => return Ok(()),
        Some(PendingKind::Undo) => "undoes",
        Some(PendingKind::Finish) => "finishes",
    };
    let message = "a sync was interrupted here or is under way: the files are between two states";
    let hint = format!(
        "`rsyn recover` {first} it, and so does a rollback without `-n`, which then ends unless it was given an ID"
    );
    Err(Failure::new(FailureKind::Busy, message, hint))
}

/// With the lock: does it. Without: a dry run.
fn rollback_locked(
    world: &World<'_>,
    local: &Local,
    id: Option<&str>,
    lock: Option<&Lock>,
) -> Result<Report, Failure> {
    let own = local.own_id();
    let asking = Asking {
        root: &own,
        flag: "",
    };
    let undo = Undo::plan(local, id, asking).map_err(|e| or_on_the_hub(local, id, e.into()))?;
    let name = undo.id().to_string();
    let plan = plan(undo.ops(), Direction::Pull);
    let of_pull = undo.origin().verb == "pull";
    refuse_changed(&undo.changed_since(local)?)?;
    let mut report = Report {
        id: name,
        of: origin_words(&undo.origin()),
        plan,
        next: if of_pull { next_here() } else { String::new() },
        snapshot: None,
        dry_run: lock.is_none(),
        declined: false,
        warnings: crowded_words(undo.staying(), "here", NOT_OF_THE_SYNC)
            .chain(undo.notes())
            .collect(),
    };
    let Some(lock) = lock else { return Ok(report) };
    if !world.confirm(&Preview {
        remote: "this machine",
        undoes: Some(&report.of),
        ..Preview::of(&report.plan)
    })? {
        report.declined = true;
        return Ok(report);
    }
    let label = Label {
        verb: "rollback".to_owned(),
        peer: report.id.clone(),
        machine: world.project.machine(world.environment),
        when: world.now_secs(),
        root: local.own_id(),
    };
    let changes = |action: &Action| (action.path.clone(), action.old.clone(), action.new.clone());
    let payload = Payload::Rollback(Rollback {
        of_pull,
        changes: report.plan.actions.iter().map(changes).collect(),
    });
    let committed = undo.commit(local, lock, (label, payload), &|| {
        world.interrupted.load(Ordering::Relaxed)
    })?;
    report.snapshot = committed.snapshot.map(|id| id.to_string());
    report.note(&committed.kept_dirs, &committed.late_writes, "here");
    Ok(report)
}

fn rollback_hub(
    world: &World<'_>,
    reach: &Reach,
    id: Option<&str>,
    dry_run: bool,
) -> Result<Report, Failure> {
    let local = Local::open(&world.project.path)?;
    let (hub, client) = connect(world, reach)?;
    if client.hello.recovery_pending && !dry_run {
        return Err(settle_hub(world, client)?);
    }
    let mut actions = Vec::new();
    let RollbackPlan {
        id,
        origin,
        staying,
        notes,
    } = client.plan_rollback(id.map(str::to_owned), &mut |ops: Vec<Op>| {
        actions.extend(ops.into_iter().map(action));
    })?;
    let mut report = Report {
        id: id.clone(),
        of: origin.as_ref().map(origin_words).unwrap_or_default(),
        next: String::new(),
        plan: in_order(actions, Direction::Push),
        snapshot: None,
        dry_run,
        declined: false,
        warnings: crowded_words(&staying, "on the hub", NOT_OF_THE_SYNC)
            .chain(noted_words(notes))
            .collect(),
    };
    if !dry_run {
        if world.confirm(&Preview {
            remote: &hub.name,
            undoes: Some(&report.of),
            ..Preview::of(&report.plan)
        })? {
            let is_own = origin.is_some_and(|origin| origin.root == local.own_id());
            // Before the hub is changed: whoever is at work here goes first.
            let lock = is_own.then(|| take_over(world, &local, "rollback"));
            let lock = lock.transpose()?;
            let Pushed {
                report: done,
                unnamed,
                notes,
            } = client.rollback(id, world.project.machine(world.environment))?;
            report.note(&done.kept_dirs, &done.late_writes, "on the hub");
            report.warnings.extend(unnamed_words(unnamed));
            report.warnings.extend(noted_words(notes));
            report.snapshot = done.snapshot;
            report.next = match lock {
                Some(_lock) => keep_own_work(&local, &client.hello.root_id, &report.plan)
                    .map_err(Failure::after_hub_took_back)?,
                None => next_everywhere(),
            };
        } else {
            report.declined = true;
        }
    }
    client.close();
    Ok(report)
}

/// What comes of an undone pull.
fn next_here() -> String {
    "the next `rsyn pull` leaves these paths as they are; a `rsyn push` would take what was undone from the hub and \
    from everybody, and asks first"
        .to_owned()
}

/// What comes of an undone push of another machine.
fn next_everywhere() -> String {
    "the next `rsyn pull` takes it back on every machine that has it, here as well".to_owned()
}

/// After a push of this machine was undone on the hub: its files here are ahead of the hub again, so that a pull keeps
/// them.
fn keep_own_work(local: &Local, hub: &str, plan: &Plan) -> Result<String, StateError> {
    let (Some(state), Some(hub)) = (&local.state, RootId::parse(hub)) else {
        return Ok(next_everywhere());
    };
    if let (Some(base), _) = Base::load(state, &hub)? {
        let changes = plan
            .actions
            .iter()
            .map(|a| (&a.path, a.old.as_ref(), a.new.as_ref()));
        base.taken_back(changes)?.save(state)?;
    }
    Ok("the files here stay: the next `rsyn pull` leaves them, the next `rsyn push` sends them again; \
        other machines take it back at their next pull"
        .to_owned())
}

/// Has the hub settle an interrupted sync; gives the failure that says how.
fn settle_hub(world: &World<'_>, client: Client) -> Result<Failure, Failure> {
    let refusal = client.settle(world.project.machine(world.environment))?;
    client.close();
    Ok(Failure {
        state: ROLLED_NOTHING_BACK.to_owned(),
        ..refusal.into()
    })
}

fn connect(world: &World<'_>, reach: &Reach) -> Result<(Hub, Client), Failure> {
    let hub = world.hub(reach)?;
    let local = Local::open(&world.project.path)?;
    let rules = Rules::new();
    let greeting = Greeting {
        expected: None,
        machine_id: local.own_id(),
        machine: world.project.machine(world.environment),
        purpose: Purpose::Manage,
        repair: false,
        rules: Some(&rules),
        checksum: false,
        seen: None,
    };
    let opening = hub.open(world, hub.dial(world).connect()?, &greeting)?;
    let client = hub.greet(opening)?;
    Ok((hub, client))
}

fn refuse_changed(paths: &[RelPath]) -> Result<(), Failure> {
    let Some(first) = paths.first() else {
        return Ok(());
    };
    let named: Vec<_> = paths
        .iter()
        .take(20)
        .map(crate::report::printable::path)
        .collect();
    let more = paths.len().saturating_sub(named.len());
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let message = format!(
        "these paths changed since that sync: {}{more}",
        named.join(", ")
    );
    let hint = format!(
        "sync or move them away first, beginning with {}",
        crate::report::printable::path(first)
    );
    Err(Failure::new(FailureKind::Busy, message, hint))
}

/// Operations that put old versions back, as a plan.
pub(super) fn plan(ops: impl Iterator<Item = Op>, direction: Direction) -> Plan {
    in_order(ops.map(action).collect(), direction)
}

fn action(op: Op) -> Action {
    let verb = match (&op.old, &op.new) {
        (None, _) => Verb::Create,
        (_, None) => Verb::Delete,
        (Some(old), Some(new)) if old.same_content(new) => Verb::Meta,
        _ => Verb::Update,
    };
    Action {
        path: op.path,
        verb,
        reason: Reason::Undo,
        old: op.old,
        new: op.new,
        source: Source::Nothing,
        conflict: None,
    }
}

fn in_order(mut actions: Vec<Action>, direction: Direction) -> Plan {
    if !actions.is_sorted_by(|a, b| a.path <= b.path) {
        actions.sort_by(|a, b| a.path.cmp(&b.path));
    }
    actions.shrink_to_fit();
    Plan {
        actions,
        ..Plan::nothing(direction)
    }
}

fn of_rollback(
    world: &World<'_>,
    at: Where,
    reach: &Reach,
    asked: Option<&str>,
    outcome: Result<&Report, &Failure>,
) -> log::Record {
    let id = outcome.map_or(asked, |report| Some(&report.id));
    let id = id.unwrap_or_default();
    let ending = match outcome {
        Err(failure) => Ending::Failed(failure),
        Ok(report) if report.declined => Ending::Declined,
        Ok(report) if report.plan.actions.is_empty() => Ending::NothingToDo,
        Ok(report) => Ending::Done(&report.plan, at.snapshots(report.snapshot.clone())),
    };
    let peer = match at {
        Where::Here => id.to_owned(),
        Where::Hub => remote_asked(world, reach),
    };
    let record = record("rollback", &peer, &ending);
    let note = match (at, outcome) {
        (Where::Hub, Ok(report)) if !report.declined => Some(format!("of {id} on the hub")),
        _ => record.note.clone(),
    };
    log::Record { note, ..record }
}

/// For scripts, but for the actions: there can be a million of them.
#[must_use]
pub fn to_json(report: &Report) -> Value {
    let result = match report {
        Report { dry_run: true, .. } => "dry_run",
        Report { declined: true, .. } => "stopped",
        _ if report.plan.actions.is_empty() => "nothing_to_do",
        _ => "ok",
    };
    contract::object(
        "rollback",
        result,
        json!({
            "id": report.id, "of": report.of, "actions": [], "snapshot": report.snapshot, "next": report.next,
            "warnings": report.warnings,
        }),
    )
}

/// The actions of an undo for scripts, one by one.
pub fn actions_json(plan: &Plan) -> impl Iterator<Item = Value> + '_ {
    let action = |a: &Action| {
        let (path, path_bytes) = contract::path(&a.path);
        json!({"path": path, "path_bytes": path_bytes, "action": a.verb.name()})
    };
    plan.actions.iter().map(action)
}
