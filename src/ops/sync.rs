//! Pull, push, sync: look at both sides, plan, ask, transfer, commit, remember.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::connect::{Greeting, Hub, Reach};
use super::project::{Environment, ExtraRule, PathPolicies, Project};
use super::talk::{Meter, Preview, Step, Talk};
use super::{Failure, FailureKind};
use crate::disk::{Holder, Lock};
use crate::endpoint::client::{
    Client, Commit, Counters, TransferError, TransferOptions, needs_slot,
};
use crate::endpoint::local::{Local, LocalError, ScanOptions, recovery_words};
use crate::endpoint::view::HubView;
use crate::filter::Rules;
use crate::model::{Digest, Node, RelPath, Tombstones, Tree};
use crate::plan::guard::{self, MaxDelete};
use crate::plan::{
    Action, Choice, Direction, Guard, Input, Kept, Options, Plan, Policy, Source, Verb,
};
use crate::plan::{moves, reconcile};
use crate::protocol::handshake::{Purpose, Seen};
use crate::protocol::message::Problem;
use crate::scan::{Progress, Scan};
use crate::state::base::Remotes;
use crate::state::{Base, BaseUpdate, Payload, RootId, State, log};
use crate::transaction::{self, Change, Expected, Label, NewNode, Staging};

/// Files that change under a sync are looked at again this often before it gives up.
const ATTEMPTS: usize = 3;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Directions, in order: one for pull and push, both for sync.
    pub directions: Vec<Direction>,
    /// How the hub is reached.
    pub reach: Reach,
    /// Plan only, write nothing.
    pub dry_run: bool,
    /// Rules of the command line.
    pub rules: Vec<ExtraRule>,
    /// The sub-trees it is confined to.
    pub only: Vec<RelPath>,
    /// Make it the same, whatever the base says.
    pub mirror: bool,
    /// Delete nothing.
    pub no_delete: bool,
    /// Limit of deletions for this run.
    pub max_delete: Option<MaxDelete>,
    /// Policy for all conflicts of this run.
    pub on_conflict: Option<Policy>,
    /// Lift the guards.
    pub force: bool,
    /// Keep no snapshot.
    pub no_snapshot: bool,
    /// Send files whole.
    pub whole_file: bool,
    /// Read every file, trust no stat.
    pub checksum: bool,
    /// Leave the rules to the hub (a first clone).
    pub own_rules: bool,
}

impl Request {
    /// The plain form of a direction.
    #[must_use]
    pub fn of(directions: Vec<Direction>) -> Self {
        Self {
            directions,
            reach: Reach::default(),
            dry_run: false,
            rules: vec![],
            only: vec![],
            mirror: false,
            no_delete: false,
            max_delete: None,
            on_conflict: None,
            force: false,
            no_snapshot: false,
            whole_file: false,
            checksum: false,
            own_rules: false,
        }
    }

    /// `pull`, `push` or `sync`.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self.directions.as_slice() {
            [one] => one.name(),
            _ => "sync",
        }
    }
}

/// How a run ended, apart from failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Both sides were in step already.
    NothingToDo,
    /// Planned only.
    DryRun,
    /// The user said no.
    Declined,
}

/// What one direction did, or would do.
#[derive(Debug, Clone)]
pub struct Leg {
    /// The plan.
    pub plan: Plan,
    /// Snapshot that undoes it.
    pub snapshot: Option<String>,
}

/// What a run did, or would do.
#[derive(Debug, Clone)]
pub struct Report {
    /// The remote as the user knows it.
    pub remote: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Its directions.
    pub legs: Vec<Leg>,
    /// Digest of the tree here, afterwards.
    pub local_digest: Digest,
    /// Digest of the hub's tree, afterwards.
    pub remote_digest: Digest,
    /// Bytes over the wire, from here.
    pub bytes_sent: u64,
    /// Bytes over the wire, to here.
    pub bytes_received: u64,
    /// Bytes of content that travelled.
    pub literal_bytes: u64,
    /// Bytes of content that the receiving side had.
    pub matched_bytes: u64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// All that a verb needs.
pub struct World<'a> {
    /// The project.
    pub project: &'a Project,
    /// The machine.
    pub environment: &'a Environment,
    /// Who listens.
    pub talk: &'a dyn Talk,
    /// Set when the user wants to stop.
    pub interrupted: &'a Arc<AtomicBool>,
    /// The clock, in milliseconds since 1970.
    pub clock: fn() -> i64,
}

impl World<'_> {
    fn now_secs(&self) -> i64 {
        (self.clock)().div_euclid(1000)
    }
}

/// Both sides, looked at.
pub struct Look<'a> {
    world: &'a World<'a>,
    /// The root here.
    pub local: Local,
    /// Held for as long as something may be written.
    lock: Option<Lock>,
    /// The hub.
    pub hub: Hub,
    /// The session with it.
    pub client: Client,
    /// The rules in force on both sides.
    pub rules: Rules,
    /// The tree here.
    pub scan: Scan,
    /// The tree there.
    pub view: HubView,
    /// What both last agreed on.
    pub base: Tree,
    /// The hub as the base knows it.
    base_seen: Option<Seen>,
    /// When the last sync was.
    pub synced_at: Option<i64>,
    /// Whether a damaged base was passed over: then nothing is deleted on its word.
    base_damaged: bool,
    hub_id: Option<RootId>,
    /// What the user should know.
    pub warnings: Vec<String>,
    meter: Arc<Meter>,
}

/// Runs a pull, push or sync.
///
/// # Errors
/// [`Failure`]; it says in which state the trees are.
pub fn run(world: &World<'_>, request: &Request) -> Result<Report, Failure> {
    let outcome = look(world, request).and_then(|look| carry_out(look, request));
    if !request.dry_run {
        note_in_log(world, request, outcome.as_ref());
    }
    outcome
}

/// Looks at both sides at the same time. Writes nothing for a dry run.
///
/// # Errors
/// [`Failure`]: a side cannot be read or reached, or a guard holds.
pub fn look<'a>(world: &'a World<'a>, request: &Request) -> Result<Look<'a>, Failure> {
    let mut local = Local::open(&world.project.path)?;
    let mut warnings = Vec::new();
    let lock = if request.dry_run {
        None
    } else {
        Some(take_over(world, &mut local, request, &mut warnings)?)
    };
    if lock.is_none() && local.pending()?.is_some() {
        warnings
            .push("an interrupted sync waits here: the next real run recovers it first".to_owned());
    }
    let hub = Hub::find(&world.project.settings, &request.reach)?;
    refuse_same_root(world, &hub, &local)?;
    let rules = world.project.rules(&request.rules)?;
    warnings.extend(rules.warnings().iter().map(ToString::to_string));
    let known = known_hub(&local, &hub)?;
    let base = known.base;
    let meter = Arc::new(Meter::default());
    world.talk.step(Step::Look, &meter);
    let greeting = Greeting {
        expected: known.id.as_ref().map(ToString::to_string),
        machine_id: local
            .state
            .as_ref()
            .map(|s| s.id().to_string())
            .unwrap_or_default(),
        machine: world.project.machine(world.environment),
        purpose: purpose(request),
        rules: (!request.own_rules).then_some(&rules),
        checksum: request.checksum,
        seen: base.as_ref().and_then(Base::seen),
    };
    let opening = hub.open(world.environment, &greeting, world.interrupted)?;
    let scan = scan(world, &local, &rules, request.checksum)?;
    let client = hub.greet(opening)?;
    let remembered = base
        .as_ref()
        .map(|b| (b.remote(), b.tombstones().clone()))
        .unwrap_or_default();
    let view = client.view(remembered)?;
    meter
        .scanned
        .store(scan.tree.len() as u64, Ordering::Relaxed);
    if lock.is_some() {
        local.keep_index(&scan);
    }
    let mut look = Look {
        world,
        local,
        lock,
        hub_id: RootId::parse(&client.hello.root_id),
        hub,
        client,
        rules,
        scan,
        view,
        base: Tree::default(),
        base_seen: None,
        synced_at: None,
        base_damaged: known.damaged,
        warnings,
        meter,
    };
    look.adopt_base(known.id, base, request)?;
    look.note_problems();
    Ok(look)
}

struct Known {
    id: Option<RootId>,
    base: Option<Base>,
    damaged: bool,
}

/// What is remembered of the hub that this remote led to last time.
fn known_hub(local: &Local, hub: &Hub) -> Result<Known, Failure> {
    let Some(state) = &local.state else {
        return Ok(Known {
            id: None,
            base: None,
            damaged: false,
        });
    };
    let Some(id) = Remotes::hub_of(state, &hub.name)? else {
        return Ok(Known {
            id: None,
            base: None,
            damaged: false,
        });
    };
    let (base, damaged) = Base::load(state, &id)?;
    Ok(Known {
        id: Some(id),
        base,
        damaged,
    })
}

fn purpose(request: &Request) -> Purpose {
    match (request.dry_run, request.directions.as_slice()) {
        (true, _) => Purpose::Look,
        (false, [Direction::Pull]) => Purpose::Pull,
        (false, [Direction::Push]) => Purpose::Push,
        (false, _) => Purpose::Sync,
    }
}

/// Locks the root and settles what an interrupted run left.
fn take_over(
    world: &World<'_>,
    local: &mut Local,
    request: &Request,
    warnings: &mut Vec<String>,
) -> Result<Lock, Failure> {
    local.make_state()?;
    let lock = local.lock(&holder(world, request.verb()))?;
    let recovery = local.recover(&lock)?;
    warnings.extend(recovery_words(&recovery));
    Ok(lock)
}

fn holder(world: &World<'_>, verb: &str) -> Holder {
    Holder {
        pid: std::process::id(),
        machine: world.project.machine(world.environment),
        verb: verb.to_owned(),
        since: world.now_secs(),
    }
}

/// A hub inside the root, around it, or the root itself would sync a tree with a part of itself.
fn refuse_same_root(world: &World<'_>, hub: &Hub, local: &Local) -> Result<(), Failure> {
    let Some(path) = hub.local_path(&world.environment.directory) else {
        return Ok(());
    };
    let Ok(there) = crate::disk::real_path(&path) else {
        return Ok(());
    };
    let here = crate::disk::real_path(&world.project.path)?;
    let _ = local;
    if there.starts_with(&here) || here.starts_with(&there) {
        let message = format!(
            "the remote {} and this project lie inside each other",
            hub.name.escape_debug()
        );
        return Err(Failure::usage(
            message,
            "choose a remote outside of the project",
        ));
    }
    Ok(())
}

fn scan(world: &World<'_>, local: &Local, rules: &Rules, checksum: bool) -> Result<Scan, Failure> {
    let progress = Progress::default();
    let options = ScanOptions {
        rules,
        checksum,
        now_secs: world.now_secs(),
        progress: &progress,
        interrupted: world.interrupted,
    };
    Ok(local.scan(&options)?)
}

impl Look<'_> {
    /// Finds the base that belongs to the hub that answered, and holds the guard of its identity.
    fn adopt_base(
        &mut self,
        expected: Option<RootId>,
        base: Option<Base>,
        request: &Request,
    ) -> Result<(), Failure> {
        let hello = &self.client.hello;
        let base = match (&expected, &self.hub_id, base) {
            (Some(expected), Some(found), base) if expected == found => base,
            (Some(_), _, Some(base)) if !base.is_empty() && !request.force => {
                return Err(another_root(&self.hub, hello.root_exists));
            }
            (_, Some(found), _) => match &self.local.state {
                Some(state) => {
                    let (base, damaged) = Base::load(state, found)?;
                    self.base_damaged = damaged;
                    base
                }
                None => None,
            },
            _ => None,
        };
        if !hello.root_exists
            && request.directions.first() == Some(&Direction::Pull)
            && request.directions.len() == 1
        {
            return Err(Failure::usage(
                format!("{} does not exist", self.hub.name.escape_debug()),
                "is the path right? a first `rsyn push` makes it",
            ));
        }
        if let Some(words) = &hello.recovered {
            self.warnings.push(format!("on the hub: {words}"));
        }
        if hello.recovery_pending {
            self.warnings.push(
                "an interrupted sync waits on the hub: the next real run recovers it first"
                    .to_owned(),
            );
        }
        if self.base_damaged {
            let words =
                "what was remembered of the last sync is damaged: nothing is deleted in this run";
            self.warnings.push(words.to_owned());
        }
        self.base_seen = base.as_ref().and_then(Base::seen);
        self.synced_at = base.as_ref().map(Base::synced_at);
        self.base = base.map(|b| b.agreed()).unwrap_or_default();
        Ok(())
    }

    fn note_problems(&mut self) {
        let here = self.scan.problems.iter().map(|p| problem_words(p, "here"));
        let there = self
            .view
            .problems
            .iter()
            .map(|p| problem_words(p, "on the hub"));
        let lines: Vec<_> = here.chain(there).collect();
        self.warnings.extend(lines);
    }

    /// Plans one direction. Conflicts that a policy leaves to the user are put to them.
    ///
    /// # Errors
    /// A policy cannot be read.
    pub fn plan(&self, direction: Direction, request: &Request) -> Result<Plan, Failure> {
        let policies = self.world.project.policies(request.on_conflict)?;
        let mut choices = BTreeMap::new();
        let mut plan = self.reconcile(direction, request, &policies, &choices);
        if !plan.undecided.is_empty() && !request.dry_run {
            for conflict in plan.undecided.iter().filter(|c| is_asked(c)) {
                if let Some(choice) = self.world.talk.decide(conflict, &self.hub.name) {
                    choices.insert(conflict.path.clone(), choice);
                }
            }
            if !choices.is_empty() {
                plan = self.reconcile(direction, request, &policies, &choices);
            }
        }
        let ours = match direction {
            Direction::Pull => &self.scan.tree,
            Direction::Push => &self.view.tree,
        };
        moves::reuse_known_content(&mut plan, ours);
        Ok(plan)
    }

    fn reconcile(
        &self,
        direction: Direction,
        request: &Request,
        policies: &PathPolicies,
        choices: &BTreeMap<RelPath, Choice>,
    ) -> Plan {
        let none = Tombstones::new();
        let input = Input {
            base: &self.base,
            local: &self.scan.tree,
            remote: &self.view.tree,
            local_tombstones: &none,
            remote_tombstones: &self.view.tombstones,
        };
        let options = Options {
            direction,
            policies,
            choices,
            mirror: request.mirror,
            delete: !request.no_delete && !self.base_damaged,
            only: &request.only,
        };
        reconcile(&input, &options)
    }

    fn check_guards(&self, plan: &Plan, request: &Request) -> Result<(), Failure> {
        if let [first, ..] = plan.undecided.as_slice() {
            let more = plan.undecided.len() - 1;
            let named = if more == 0 {
                format!("{:?}", first.path)
            } else {
                format!("{:?} and {more} more", first.path)
            };
            return Err(Failure::new(
                FailureKind::Conflict,
                format!("both sides changed {named}, and the policy leaves that to you"),
                "decide with `--on-conflict local`, `remote` or `both`, or on a terminal",
            ));
        }
        if request.force {
            return Ok(());
        }
        let (ours, theirs) = match plan.direction {
            Direction::Pull => (&self.scan.tree, &self.view.tree),
            Direction::Push => (&self.view.tree, &self.scan.tree),
        };
        let limit = match request.max_delete {
            Some(limit) => limit,
            None => self.world.project.max_delete()?,
        };
        guard::check(plan, ours, theirs, &self.base, limit).map_err(|e| guard_failure(&e))?;
        self.check_space(plan)
    }

    fn check_space(&self, plan: &Plan) -> Result<(), Failure> {
        let needed: u64 = plan.actions.iter().filter_map(staged_bytes).sum();
        let (free, side) = match plan.direction {
            Direction::Pull => (
                crate::disk::space::space(self.local.root.top())?.free_bytes,
                "here",
            ),
            Direction::Push if self.client.hello.root_exists => {
                (self.client.hello.free_bytes, "on the hub")
            }
            Direction::Push => return Ok(()),
        };
        if needed <= free {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::Guard,
            format!("{needed} bytes are needed and {free} are free {side}"),
            "make room, or sync a part with `--only PATH`",
        ))
    }

    /// Carries a plan out. On `Err(None)` files changed meanwhile and a new look may do.
    fn execute(
        &mut self,
        plan: &Plan,
        request: &Request,
        counters: &Counters,
    ) -> Result<Option<String>, Attempt> {
        self.meter.total_bytes.store(
            plan.actions.iter().map(Action::travelling_bytes).sum(),
            Ordering::Relaxed,
        );
        self.world.talk.step(Step::Transfer, &self.meter);
        match plan.direction {
            Direction::Pull => self.execute_pull(plan, request, counters),
            Direction::Push => self.execute_push(plan, request, counters),
        }
    }

    fn execute_pull(
        &mut self,
        plan: &Plan,
        request: &Request,
        counters: &Counters,
    ) -> Result<Option<String>, Attempt> {
        let after = self.scan.tree.with_changes(plan.changes());
        let update = self.base_update(
            plan,
            &self.view.tree,
            self.view.seen,
            self.view.tombstones.clone(),
        );
        let payload = update.map_or(Payload::Nothing, Payload::Base);
        if plan.actions.is_empty() {
            self.remember(payload, "")?;
            return Ok(None);
        }
        let staging = Staging::begin(&self.local.root).map_err(Failure::from)?;
        let options = TransferOptions {
            whole_file: request.whole_file,
        };
        self.client
            .fetch(plan, &self.local, &staging, options, counters)?;
        staging.sync().map_err(Failure::from)?;
        self.world.talk.step(Step::Commit, &self.meter);
        let Some(lock) = &self.lock else {
            return Err(Failure::interrupted().into());
        };
        let interrupted = || self.world.interrupted.load(Ordering::Relaxed);
        let wanted = transaction::Request {
            changes: (0..)
                .zip(&plan.actions)
                .map(|(slot, a)| change(a, slot, &self.scan))
                .collect(),
            payload: payload.encode().map_err(Failure::from)?,
            label: self.label("pull"),
            keep_snapshot: !request.no_snapshot,
            consumes: None,
            interrupted: &interrupted,
        };
        let local = &self.local;
        let committed =
            transaction::commit(&local.root, lock, staging, wanted, &mut |id, payload| {
                local.remember(id.as_str(), payload)
            })?;
        // Housekeeping; the commit stands whatever comes of it.
        drop(transaction::prune(
            &self.local.root,
            lock,
            transaction::Kept::default(),
            self.world.now_secs(),
        ));
        self.note_committed(&committed.kept_dirs, &committed.late_writes, "here");
        self.remember_remote()?;
        self.base = self.base.with_changes(plan.base.iter().cloned());
        let scan = std::mem::take(&mut self.scan);
        self.scan = scan.with_changes(plan.changes());
        debug_assert_eq!(self.scan.tree, after);
        Ok(committed.snapshot.map(|id| id.to_string()))
    }

    fn execute_push(
        &mut self,
        plan: &Plan,
        request: &Request,
        counters: &Counters,
    ) -> Result<Option<String>, Attempt> {
        if plan.actions.is_empty() {
            let update = self.base_update(
                plan,
                &self.view.tree,
                self.view.seen,
                self.view.tombstones.clone(),
            );
            self.remember(update.map_or(Payload::Nothing, Payload::Base), "")?;
            return Ok(None);
        }
        let options = TransferOptions {
            whole_file: request.whole_file,
        };
        let label = self.world.project.machine(self.world.environment);
        let commit = Commit {
            keep_snapshot: !request.no_snapshot,
            label: &label,
        };
        let report = self
            .client
            .push(plan, &self.local, &self.scan, commit, options, counters)?;
        // From here on the hub is new. What fails now is mended by the next run, which finds both sides equal.
        self.note_committed(&report.kept_dirs, &report.late_writes, "on the hub");
        self.hub_id = RootId::parse(&report.root_id).or_else(|| self.hub_id.clone());
        let remote = self.view.tree.with_changes(plan.changes());
        let known_exactly = remote.view_digest() == report.view && report.kept_dirs.is_empty();
        let before = self
            .view
            .seen
            .map_or_else(|| Digest::of(b""), |s| s.tombstones);
        let seen = Seen {
            generation: report.generation,
            view: report.view,
            tombstones: before,
        };
        let tombstones = self.view.tombstones.clone();
        let update = self.base_update(plan, &remote, known_exactly.then_some(seen), tombstones);
        let remembered = self.remember(
            update.map_or(Payload::Nothing, Payload::Base),
            &report.transaction,
        );
        if let Err(failure) = remembered {
            self.warnings.push(format!(
                "the hub is new, but this machine could not take note of it: {failure}"
            ));
        }
        self.base = self.base.with_changes(plan.base.iter().cloned());
        self.view.tree = remote;
        self.view.seen = Some(seen);
        Ok(report.snapshot)
    }

    /// The step of the base that goes with `plan`; `None` if nothing is new.
    fn base_update(
        &self,
        plan: &Plan,
        remote: &Tree,
        seen: Option<Seen>,
        tombstones: Tombstones,
    ) -> Option<BaseUpdate> {
        let hub = self.hub_id.clone()?;
        if plan.base.is_empty() && seen.is_some() && seen == self.base_seen {
            return None;
        }
        let changes = plan.base.clone();
        let (now, rules) = (self.world.now_secs(), self.rules.digest());
        Some(BaseUpdate::new(
            hub, now, rules, &self.base, changes, remote, seen, tombstones,
        ))
    }

    /// Remembers what was agreed where no transaction does it.
    fn remember(&self, payload: Payload, transaction: &str) -> Result<(), Failure> {
        if let (Some(state), Payload::Base(update)) = (&self.local.state, payload) {
            let id = if transaction.is_empty() {
                format!("look {}", (self.world.clock)())
            } else {
                transaction.to_owned()
            };
            Base::apply(state, &id, update)?;
        }
        self.remember_remote()
    }

    fn remember_remote(&self) -> Result<(), Failure> {
        if let (Some(state), Some(hub)) = (&self.local.state, &self.hub_id) {
            Remotes::remember(state, &self.hub.name, hub)?;
        }
        Ok(())
    }

    fn note_committed(&mut self, kept: &[RelPath], late: &[RelPath], side: &str) {
        for dir in kept {
            self.warnings.push(format!(
                "{dir:?} stays {side}: something out of scope is inside"
            ));
        }
        for path in late {
            let words =
                "a program went on writing to the old version; its bytes are in the snapshot";
            self.warnings.push(format!("{path:?} {side}: {words}"));
        }
    }

    fn label(&self, verb: &str) -> Label {
        Label {
            verb: verb.to_owned(),
            peer: self.hub.name.clone(),
            machine: self.world.project.machine(self.world.environment),
            when: self.world.now_secs(),
        }
    }

    /// Looks at both sides again, after something changed under a run.
    fn look_again(&mut self, request: &Request) -> Result<(), Failure> {
        self.scan = scan(self.world, &self.local, &self.rules, request.checksum)?;
        let known = (
            std::mem::take(&mut self.view.tree),
            std::mem::take(&mut self.view.tombstones),
        );
        self.view = self.client.look_again(known)?;
        Ok(())
    }
}

/// Why one attempt ended.
enum Attempt {
    /// Files changed meanwhile.
    Changed(Failure),
    /// For good.
    Failed(Failure),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<TransferError> for Attempt {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Changed(_) => Self::Changed(error.into()),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<transaction::CommitError> for Attempt {
    fn from(error: transaction::CommitError) -> Self {
        match error {
            transaction::CommitError::Stale { .. } => Self::Changed(error.into()),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<LocalError> for Attempt {
    fn from(error: LocalError) -> Self {
        Self::Failed(error.into())
    }
}

fn carry_out(mut look: Look<'_>, request: &Request) -> Result<Report, Failure> {
    let counters = Counters::default();
    let mut legs = Vec::new();
    let mut declined = false;
    for direction in &request.directions {
        let leg = if request.dry_run {
            look.rehearse(*direction, request)?
        } else {
            look.perform(*direction, request, &counters)?
        };
        match leg {
            Some(leg) => legs.push(leg),
            None => {
                declined = true;
                break;
            }
        }
    }
    look.world.talk.step(Step::Done, &look.meter);
    let outcome = match () {
        () if declined => Outcome::Declined,
        () if request.dry_run => Outcome::DryRun,
        () if legs.iter().all(|l| l.plan.actions.is_empty()) => Outcome::NothingToDo,
        () => Outcome::Done,
    };
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (received, supplied) = (&counters.received, &counters.supplied);
    let report = Report {
        remote: look.hub.name.clone(),
        outcome,
        legs,
        local_digest: look.scan.tree.digest(),
        remote_digest: look.view.tree.digest(),
        bytes_sent: count(&look.client.traffic.sent),
        bytes_received: count(&look.client.traffic.received),
        literal_bytes: count(&received.literal_bytes) + count(&supplied.literal_bytes),
        matched_bytes: count(&received.matched_bytes) + count(&supplied.matched_bytes),
        warnings: std::mem::take(&mut look.warnings),
    };
    look.client.close();
    Ok(report)
}

impl Look<'_> {
    /// Plans a direction and goes on as if it had been carried out, for the direction after it.
    fn rehearse(
        &mut self,
        direction: Direction,
        request: &Request,
    ) -> Result<Option<Leg>, Failure> {
        let plan = self.plan(direction, request)?;
        self.check_guards(&plan, request)?;
        if request.directions.len() > 1 {
            match direction {
                Direction::Pull => {
                    self.scan = std::mem::take(&mut self.scan).with_changes(plan.changes())
                }
                Direction::Push => self.view.tree = self.view.tree.with_changes(plan.changes()),
            }
            self.base = self.base.with_changes(plan.base.iter().cloned());
        }
        Ok(Some(Leg {
            plan,
            snapshot: None,
        }))
    }

    /// Plans a direction, asks, and carries it out; `None` if the user said no.
    fn perform(
        &mut self,
        direction: Direction,
        request: &Request,
        counters: &Counters,
    ) -> Result<Option<Leg>, Failure> {
        let mut attempt = 1;
        let mut confirmed: Option<Plan> = None;
        loop {
            let plan = self.plan(direction, request)?;
            self.check_guards(&plan, request)?;
            // A plan that is the one confirmed already is not asked about again.
            if !plan.actions.is_empty() && confirmed.as_ref() != Some(&plan) {
                let preview = Preview {
                    plan: &plan,
                    remote: &self.hub.name,
                };
                if !self.world.talk.confirm(&preview) {
                    return Ok(None);
                }
            }
            match self.execute(&plan, request, counters) {
                Ok(snapshot) => return Ok(Some(Leg { plan, snapshot })),
                Err(Attempt::Failed(failure)) => return Err(failure),
                Err(Attempt::Changed(failure)) if attempt == ATTEMPTS => return Err(failure),
                Err(Attempt::Changed(_)) => {
                    confirmed = Some(plan);
                    attempt += 1;
                    self.look_again(request)?;
                }
            }
        }
    }
}

fn is_asked(conflict: &Kept) -> bool {
    conflict
        .conflict
        .as_ref()
        .is_some_and(|c| c.policy == Policy::Ask)
}

/// Bytes that an action stages on the written side.
fn staged_bytes(action: &Action) -> Option<u64> {
    let new = action.new.as_ref()?;
    let staged =
        needs_slot(action.verb, action.old.as_ref(), new) && action.source != Source::Nothing;
    staged.then(|| new.size())
}

fn change(action: &Action, slot: u32, scan: &Scan) -> Change {
    let slot_of = |new: &Node| needs_slot(action.verb, action.old.as_ref(), new).then_some(slot);
    Change {
        path: action.path.clone(),
        old: action.old.as_ref().map(|node| Expected {
            node: node.clone(),
            seen: scan.stat(&action.path),
        }),
        new: action.new.as_ref().map(|node| NewNode {
            node: node.clone(),
            slot: slot_of(node),
        }),
    }
}

fn another_root(hub: &Hub, exists: bool) -> Failure {
    let name = hub.name.escape_debug();
    let message = match exists {
        true => format!("{name} is not the hub that this project was synced with"),
        false => format!("{name} does not exist, but this project was synced with it before"),
    };
    let hint = "is the path right, is the disk mounted? `--force` takes it as a new hub";
    Failure::new(FailureKind::Guard, message, hint)
}

fn guard_failure(guard: &Guard) -> Failure {
    let hint = match guard {
        Guard::TooManyDeletes { .. } => {
            "look with `--dry-run`; `--max-delete` sets the limit, `--force` lifts it"
        }
        Guard::Emptied { .. } => {
            "is the disk mounted, is the path right? `--force` goes on all the same"
        }
    };
    Failure::new(FailureKind::Guard, guard.to_string(), hint)
}

fn problem_words(problem: &Problem, side: &str) -> String {
    use crate::model::Skip;
    let path = problem.path.escape_ascii();
    let why = match problem.skip {
        Skip::Special => "is a socket, FIFO or device and is skipped".to_owned(),
        Skip::Unreadable => format!(
            "cannot be read and is skipped ({})",
            problem.detail.escape_debug()
        ),
        Skip::OtherFilesystem => "is on another file system and is skipped".to_owned(),
        Skip::BadName => format!(
            "has a name that is not carried ({})",
            problem.detail.escape_debug()
        ),
        Skip::Excluded => "is excluded".to_owned(),
    };
    format!("{path} {side} {why}")
}

/// Writes what became of a run into the log of this root. A log never changes the outcome.
fn note_in_log(world: &World<'_>, request: &Request, outcome: Result<&Report, &Failure>) {
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
    let count = |verb: Verb| legs.iter().map(|l| l.plan.count(verb) as u64).sum();
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
    let record = log::Record {
        when: crate::report::time::rfc3339((world.clock)()),
        verb: request.verb().to_owned(),
        peer: outcome.map_or_else(
            |_| named.or(remote).unwrap_or_default(),
            |r| r.remote.clone(),
        ),
        create: count(Verb::Create),
        update: count(Verb::Update),
        delete: count(Verb::Delete),
        meta: count(Verb::Meta),
        conflicts: legs.iter().map(|l| l.plan.conflicts() as u64).sum(),
        bytes_sent: outcome.map_or(0, |r| r.bytes_sent),
        bytes_received: outcome.map_or(0, |r| r.bytes_received),
        result: result.to_owned(),
        snapshot: legs.iter().rev().find_map(|l| l.snapshot.clone()),
        note,
    };
    log::append(state, &record)
}
