//! Pull, push, sync: look at both sides, plan, ask, transfer, commit, remember.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Failure;
use super::connect::Reach;
use super::execute::Attempt;
use super::failure::after_pull;
use super::history::{note_in_log, of_sync};
use super::in_use::Usages;
use super::locked_out::{self, locked_out};
use super::look::{Look, World, look};
use super::project::{CONFIG_FILE, ExtraRule, brought_remote};
use super::talk::{Preview, Step};
use crate::config::remote::without_password;
use crate::endpoint::transfer::Counters;
use crate::model::{Digest, Node, RelPath, Tree};
use crate::plan::guard::MaxDelete;
use crate::plan::{Direction, Kept, Plan, Policy, Side};
use crate::state::log::Snapshots;

/// Where files change under a sync, it looks this often before it leaves out what changed from look to look.
const ATTEMPTS: usize = 3;
/// As many looks are the most; then it gives up.
const MOST_ATTEMPTS: usize = 10;

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
    /// Patterns of files that are no keys, whatever they are called.
    pub public: Vec<String>,
    /// Keep no snapshot.
    pub no_snapshot: bool,
    /// Send files whole.
    pub whole_file: bool,
    /// Read every file, trust no stat.
    pub checksum: bool,
    /// Leave the rules to the hub (a first clone).
    pub own_rules: bool,
    /// Show contents as text diffs.
    pub diff: bool,
    /// It brings old content back (`verify --repair`) and is named so where it is written down.
    pub repair: bool,
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
            public: vec![],
            no_snapshot: false,
            whole_file: false,
            checksum: false,
            own_rules: false,
            diff: false,
            repair: false,
        }
    }

    /// `pull`, `push` or `sync`; `verify` for a repair.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self.directions.as_slice() {
            _ if self.repair => "verify",
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
    /// Text diffs of what it changes, if they were asked for.
    pub diff: Option<String>,
}

/// What a run did, or would do.
#[derive(Debug, Clone)]
pub struct Report {
    /// The remote as the user knows it.
    pub remote: String,
    /// The same as it was typed for this run, if it was.
    pub named: Option<String>,
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
    /// The same of what is not carried, which is said even where little is.
    pub uncarried: Vec<String>,
    /// Paths that are not carried though nothing excludes them.
    pub skipped: usize,
    /// After a dry run: why the real run would be refused. Else: why the direction after `legs` was not carried out.
    pub refusal: Option<Failure>,
}

impl Leg {
    /// Whether it changes anything.
    #[must_use]
    pub fn has_acted(&self) -> bool {
        !self.plan.actions.is_empty()
    }
}

impl Report {
    /// The snapshots that undo it.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots {
        let of = |direction| {
            let mut legs = self.legs.iter().filter(|l| l.plan.direction == direction);
            legs.find_map(|leg| leg.snapshot.clone())
        };
        Snapshots {
            local: of(Direction::Pull),
            remote: of(Direction::Push),
        }
    }

    /// What still differs in the end, by leg: what a later direction acts on or keeps itself is its matter.
    #[must_use]
    pub fn kept(&self, leg: usize) -> Vec<&Kept> {
        let (kept, later) = match self.legs.get(leg..) {
            Some([leg, later @ ..]) => (leg.plan.kept.iter().chain(&leg.plan.undecided), later),
            _ => return vec![],
        };
        let later: HashSet<&RelPath> = later.iter().flat_map(|l| l.plan.paths()).collect();
        let mut kept: Vec<_> = kept.filter(|k| !later.contains(&k.path)).collect();
        kept.sort_by(|a, b| a.path.cmp(&b.path));
        kept
    }
}

/// Runs a pull, push or sync.
///
/// # Errors
/// [`Failure`]; it says in which state the trees are.
pub fn run(world: &World<'_>, request: &Request) -> Result<Report, Failure> {
    let outcome = look(world, request).and_then(|look| carry_out(look, request));
    if !request.dry_run {
        note_in_log(world, of_sync(world, request, outcome.as_ref()));
    }
    outcome
}

fn carry_out(mut look: Look<'_>, request: &Request) -> Result<Report, Failure> {
    look.check_only(&request.only)?;
    let mut legs = Vec::new();
    let mut refusal = None;
    let mut declined = false;
    for (at, direction) in request.directions.iter().enumerate() {
        let leg = if request.dry_run {
            look.rehearse(*direction, request, &mut refusal)
        } else {
            let next = request.directions.get(at + 1).copied();
            look.perform(*direction, next, request)
        };
        match leg {
            Ok(Some(leg)) => legs.push(leg),
            Ok(None) => {
                declined = true;
                break;
            }
            // What was carried out before is reported all the same.
            Err(failure) if !request.dry_run && legs.iter().any(Leg::has_acted) => {
                look.world.talk.step(Step::Done, &look.meter);
                let failure = after_pull(failure);
                return Ok(look.report(request, Outcome::Done, legs, Some(failure)));
            }
            Err(failure) => return Err(failure),
        }
    }
    look.world.talk.step(Step::Done, &look.meter);
    let outcome = match () {
        () if declined => Outcome::Declined,
        () if request.dry_run => Outcome::DryRun,
        () if !legs.iter().any(Leg::has_acted) => Outcome::NothingToDo,
        () => Outcome::Done,
    };
    let report = look.report(request, outcome, legs, refusal);
    look.client.close();
    Ok(report)
}

impl Look<'_> {
    fn report(
        &mut self,
        request: &Request,
        outcome: Outcome,
        legs: Vec<Leg>,
        refusal: Option<Failure>,
    ) -> Report {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { received, supplied } = &self.meter.counters;
        Report {
            remote: self.hub.name.clone(),
            named: request.reach.remote.clone(),
            outcome,
            skipped: self.skipped(legs.iter().map(|leg| &leg.plan)),
            legs,
            local_digest: self.scan.tree.digest(),
            remote_digest: self.view.tree.digest(),
            bytes_sent: count(&self.client.traffic.sent),
            bytes_received: count(&self.client.traffic.received),
            literal_bytes: count(&received.literal_bytes) + count(&supplied.literal_bytes),
            matched_bytes: count(&received.matched_bytes) + count(&supplied.matched_bytes),
            warnings: std::mem::take(&mut self.warnings),
            uncarried: std::mem::take(&mut self.uncarried),
            refusal,
        }
    }

    /// Plans a direction and goes on as if it had been carried out, for the direction after it.
    fn rehearse(
        &mut self,
        direction: Direction,
        request: &Request,
        refusal: &mut Option<Failure>,
    ) -> Result<Option<Leg>, Failure> {
        let plan = self.plan(direction, request)?;
        // The plan is shown all the same: that is what a dry run is for.
        if let Err(failure) = self.check_guards(&plan, request) {
            refusal.get_or_insert(failure);
        }
        let diff = self.diff(&plan, request)?;
        let words = self.words_of(&plan)?;
        self.tell(words);
        if request.directions.len() > 1 {
            self.assume(&plan);
            if let Some(tree) = self.lock_out(&plan) {
                self.scan.tree = tree;
            }
        }
        Ok(Some(Leg {
            plan,
            snapshot: None,
            diff,
        }))
    }

    /// Plans go on as if `plan` had been carried out: only trees are changed, not what the scan knows of files.
    fn assume(&mut self, plan: &Plan) {
        // What is known of files is known by the place of their entries in the tree.
        drop(self.usages(Side::Local));
        let written = match plan.direction {
            Direction::Pull => &mut self.scan.tree,
            Direction::Push => &mut self.view.tree,
        };
        *written = written.with_changes(plan.changes());
        self.base = self.base.with_changes(plan.base.iter().cloned());
    }

    /// The tree here, after `plan`, without what this user cannot read from then on, if there is anything; tells what is not
    /// pushed for it.
    fn lock_out(&mut self, plan: &Plan) -> Option<Tree> {
        let lost = locked_out(&self.scan.tree, plan);
        if lost.is_empty() {
            return None;
        }
        let (here, there) = (&self.scan.tree, &self.view.tree);
        let differs = |path: &RelPath| match (here.get(path), there.get(path)) {
            (Some(Node::Dir { .. } | Node::Skipped(_)), _) | (None, _) => false,
            (Some(node), there) => there.is_none_or(|there| !there.same_version(node)),
        };
        let unpushed = lost.iter().map(|(path, _)| path).filter(|p| differs(p));
        self.warnings.extend(unpushed.map(locked_out::words));
        Some(here.with_changes(lost))
    }

    /// Refuses `plan` if the direction after it would be refused: a sync begins only where nothing that can be
    /// foreseen keeps it from its end. What will be asked is not foreseen. Gives the plan of that direction.
    fn foresee(
        &mut self,
        plan: &Plan,
        next: Direction,
        request: &Request,
    ) -> Result<Option<Plan>, Failure> {
        if plan.actions.is_empty() {
            return Ok(None);
        }
        let (ours, theirs) = (self.scan.tree.clone(), self.view.tree.clone());
        let base = self.base.clone();
        self.assume(plan);
        let lost = locked_out(&self.scan.tree, plan);
        self.scan.tree = self.scan.tree.with_changes(lost);
        let foreseen = self.plan_unasked(next, request).and_then(|next| {
            self.check_guards(&next, request)?;
            Ok(Some(next))
        });
        (self.scan.tree, self.view.tree, self.base) = (ours, theirs, base);
        foreseen
    }

    /// That the project names another hub since a pull.
    fn note_brought_remote(&mut self, before: Option<String>) {
        let now = brought_remote(&self.local.root);
        if let (Some(before), Some(now)) = (before, now)
            && before != now
        {
            self.warnings.push(format!(
                "{CONFIG_FILE} came with another hub: {} instead of {}; this machine goes on with {}",
                without_password(&now),
                without_password(&before),
                without_password(&self.hub.name),
            ));
        }
    }

    fn diff(&self, plan: &Plan, request: &Request) -> Result<Option<String>, Failure> {
        let diff = request
            .diff
            .then(|| super::diff::diffs(self, plan, &request.only));
        diff.transpose()
    }

    /// Plans a direction, asks, and carries it out; `None` if the user said no. `next` is the direction that
    /// follows.
    fn perform(
        &mut self,
        direction: Direction,
        next: Option<Direction>,
        request: &Request,
    ) -> Result<Option<Leg>, Failure> {
        let mut attempt = 1;
        let mut confirmed = self.agreed_next.take();
        self.changing.clear();
        loop {
            let plan = self.plan(direction, request)?;
            self.check_guards(&plan, request)?;
            let then = match next {
                Some(next) => self.foresee(&plan, next, request)?,
                None => None,
            };
            // A plan that is the one confirmed already is not asked about again.
            if !plan.actions.is_empty() && confirmed.as_ref() != Some(&plan) {
                let preview = Preview {
                    then: then.as_ref(),
                    remote: &self.hub.name,
                    takes_back: [Some(&plan), then.as_ref()]
                        .into_iter()
                        .flatten()
                        .map(|plan| self.taken_back(plan).len())
                        .sum(),
                    ..Preview::of(&plan)
                };
                if !self.world.confirm(&preview)? {
                    self.note_problems();
                    return Ok(None);
                }
                self.agreed_next = then;
            }
            let diff = self.diff(&plan, request)?;
            let brought = brought_remote(&self.local.root);
            let words = self.words_of(&plan)?;
            match self.execute(&plan, request) {
                Ok(snapshot) => {
                    self.note_brought_remote(brought);
                    self.note_undone()?;
                    self.tell(words);
                    // A fetch has brought more.
                    let words = self.words_of(&plan)?;
                    self.tell(words);
                    self.usages = Usages::default();
                    if let Some(tree) = next.and_then(|_| self.lock_out(&plan)) {
                        self.scan = std::mem::take(&mut self.scan).followed_by(tree, &[]);
                    }
                    return Ok(Some(Leg {
                        plan,
                        snapshot,
                        diff,
                    }));
                }
                Err(Attempt::Failed(failure)) => return Err(failure),
                Err(Attempt::Changed(failure, _)) if attempt == MOST_ATTEMPTS => {
                    return Err(failure);
                }
                Err(Attempt::Changed(_, paths)) => {
                    confirmed = Some(plan);
                    let (here, there) = (self.scan.tree.clone(), self.view.tree.clone());
                    self.look_again(request)?;
                    if attempt >= ATTEMPTS {
                        self.hold_changing(paths, [&here, &there]);
                    }
                    attempt += 1;
                }
            }
        }
    }
}
