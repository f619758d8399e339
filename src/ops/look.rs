//! Looks at both sides at the same time and plans: what the hub holds, what is here, what both last agreed on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::connect::{Greeting, Hub, Reach};
use super::in_use::Usages;
use super::project::{Environment, PathPolicies, Project};
use super::remembered::{Known, known_hub};
use super::sync::Request;
use super::talk::{Meter, Preview, Step, Talk};
use super::{Failure, FailureKind, trust};
use crate::disk::Lock;
use crate::endpoint::client::Client;
use crate::endpoint::local::{Local, NewlyHidden, ScanOptions};
use crate::endpoint::opening::Opening;
use crate::endpoint::place;
use crate::endpoint::view::HubView;
use crate::filter::Rules;
use crate::model::{Abilities, Folding, RelPath, Skip, Tombstone, Tombstones, Tree};
use crate::plan::{
    Choice, Direction, Holds, Input, Kept, Options, Plan, Policy, Side, adopt_modes, moves,
    reconcile,
};
use crate::protocol::handshake::{Purpose, Seen};
use crate::protocol::message::Problem;
use crate::scan::{Progress, Scan};
use crate::state::{Base, RootId, Undone};
use crate::transport::{StartError, Transport};

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
    /// Starts a hub on this machine, by the path of the program.
    pub hub_here: HubHere,
}

/// Whether something is at the relative `path` below one of `bases`.
pub(super) fn is_at(bases: &[std::path::PathBuf], path: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::OsStr::from_bytes(path);
    bases
        .iter()
        .any(|base| crate::disk::real_path(&base.join(path)).is_ok())
}

/// See [`World::hub_here`].
pub type HubHere = fn(&Path) -> Result<Transport, StartError>;

impl World<'_> {
    /// The hub that is meant: the one named, or that of the settings.
    ///
    /// # Errors
    /// There is none, it is malformed, or the project names a place that it must not.
    pub(super) fn hub(&self, reach: &Reach) -> Result<Hub, Failure> {
        let bases = [self.environment.standing(), self.project.path.clone()];
        let hub = Hub::find(&self.project.settings, reach, |path| is_at(&bases, path))?;
        trust::refuse_private_place(self, &hub)?;
        Ok(hub)
    }

    /// Asks whether a plan may be carried out.
    ///
    /// # Errors
    /// The user interrupted the question.
    pub(super) fn confirm(&self, preview: &Preview<'_>) -> Result<bool, Failure> {
        let answer = self.talk.confirm(preview);
        self.heed_interruption()?;
        Ok(answer)
    }

    fn heed_interruption(&self) -> Result<(), Failure> {
        match self.interrupted.load(Ordering::Relaxed) {
            true => Err(Failure::interrupted()),
            false => Ok(()),
        }
    }

    /// The clock, in seconds since 1970.
    #[must_use]
    pub fn now_secs(&self) -> i64 {
        (self.clock)().div_euclid(1000)
    }
}

/// Both sides, looked at.
pub struct Look<'a> {
    pub(super) world: &'a World<'a>,
    /// The root here.
    pub local: Local,
    /// Held for as long as something may be written.
    pub(super) lock: Option<Lock>,
    /// The hub.
    pub hub: Hub,
    /// The session with it.
    pub client: Client,
    /// The rules in force on both sides.
    pub rules: Rules,
    /// Those of them that outlast this run; `None` if all do.
    pub(super) lasting_rules: Option<Rules>,
    /// The tree here.
    pub scan: Scan,
    /// The tree there.
    pub view: HubView,
    /// The hub's tree as it was seen at the last sync; only where contents are read again.
    pub view_before: Tree,
    /// What both last agreed on.
    pub base: Tree,
    /// The hub as the base knows it.
    pub(super) base_seen: Option<Seen>,
    /// When the last sync was.
    pub synced_at: Option<i64>,
    /// Whether a damaged base was passed over: then nothing is deleted on its word.
    pub(super) base_damaged: bool,
    pub(super) hub_id: Option<RootId>,
    /// Deletions that this machine knew of at the last sync: what it has there since then is newer.
    pub(super) known_tombstones: Tombstones,
    /// What a rollback took back here and the hub still has.
    pub(super) undone: Undone,
    /// The plan of the direction that follows, if the user has agreed to it already.
    pub(super) agreed_next: Option<Plan>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// The same of what is not carried, which is said even where little is.
    pub(super) uncarried: Vec<String>,
    /// Which files programs use.
    pub(super) usages: Usages,
    /// Whether the hub is asked for that before a plan is made: in a dry run, and after a commit was refused. A real run finds
    /// out by that.
    pub(super) asks_hub: bool,
    /// Paths that kept changing and that this direction leaves as they are.
    pub(super) changing: Holds,
    pub(super) meter: Arc<Meter>,
}

/// Looks at both sides at the same time. Writes nothing for a dry run.
///
/// # Errors
/// [`Failure`]: a side cannot be read or reached, or a guard holds.
pub fn look<'a>(world: &'a World<'a>, request: &Request) -> Result<Look<'a>, Failure> {
    let mut local = Local::open(&world.project.path)?;
    // Before the state is made: wrong usage leaves nothing behind.
    let hub = world.hub(&request.reach)?;
    refuse_same_root(world, &hub)?;
    let mut warnings = world.project.settings.warnings.clone();
    let state = local.state.as_ref();
    warnings.extend(trust::ask_at_first_use(
        world,
        state,
        &hub,
        request.dry_run,
    )?);
    warnings.extend(trust::passed_over(world, state, &hub)?);
    let dialing = hub.dial(world);
    let lock = if request.dry_run {
        None
    } else {
        Some(take_over(world, &mut local, request, &mut warnings)?)
    };
    if lock.is_none() && local.is_interrupted()? {
        warnings
            .push("an interrupted sync waits here: the next real run recovers it first".to_owned());
    }
    let mut known = known_hub(&local, &hub)?;
    let rules_before = known.base.as_ref().and_then(Base::rules);
    let rules_of = |extra: &[_]| world.project.rules(extra, rules_before.as_ref());
    let rules = rules_of(&request.rules)?;
    let lasting_rules = match request.rules.as_slice() {
        [] => None,
        _ => Some(rules_of(&[])?),
    };
    warnings.extend(rules.warnings().iter().map(ToString::to_string));
    // ssh connects while this side reads what it remembers, and scans.
    let transport = dialing.connect()?;
    let opening = hub.open(
        world,
        transport,
        &greeting(world, &local, &known, &rules, request),
    )?;
    let mut meter = begin(world, &opening);
    let newly_hidden = rules_before
        .filter(|before| before.digest() != lasting_rules.as_ref().unwrap_or(&rules).digest())
        .map(NewlyHidden::since);
    let looked = (&rules, newly_hidden.as_ref());
    let scan = scan(world, &local, looked, request.checksum)?;
    warnings.extend(newly_hidden.and_then(hidden_words));
    // What takes time and needs nothing of the hub is done before its Hello is waited for.
    if lock.is_some() {
        local.keep_index(&scan);
    }
    let mut remembered = known.remembered(&scan.tree)?;
    let mut client = hub.greet(opening)?;
    if let Some(met_before) = known.met_under_another_name(&local, &client.hello)? {
        // It tells whether it went back in time only to a machine that says what it saw there.
        client.close();
        known = met_before;
        remembered = known.remembered(&scan.tree)?;
        let greeting = greeting(world, &local, &known, &rules, request);
        world.talk.step(Step::Done, &meter);
        let opening = hub.open(world, hub.dial(world).connect()?, &greeting)?;
        meter = begin(world, &opening);
        client = hub.greet(opening)?;
    }
    let view_before = match request.checksum {
        true => remembered.0.clone(),
        false => Tree::default(),
    };
    let view = client.view(remembered, hub.view_bytes())?;
    if !request.own_rules && !view.tree.shares_with(&scan.tree) {
        refuse_what_is_excluded(&view, &rules)?;
    }
    let mut look = Look {
        world,
        local,
        lock,
        hub_id: RootId::parse(&client.hello.root_id),
        hub,
        client,
        rules,
        lasting_rules,
        scan,
        view,
        view_before,
        base: Tree::default(),
        base_seen: None,
        synced_at: None,
        base_damaged: known.damaged,
        known_tombstones: Tombstones::new(),
        undone: Undone::default(),
        agreed_next: None,
        warnings,
        uncarried: vec![],
        usages: Usages::default(),
        asks_hub: request.dry_run,
        changing: Holds::new(),
        meter,
    };
    look.adopt_base(known.id.as_ref(), known.base, request)?;
    look.note_undone()?;
    Ok(look)
}

/// Tells who listens that both sides are looked at from now on.
fn begin(world: &World<'_>, opening: &Opening) -> Arc<Meter> {
    let meter = Meter {
        wire: opening.traffic().into(),
        ..Meter::default()
    };
    let meter = Arc::new(meter);
    world.talk.step(Step::Look, &meter);
    meter
}

/// The hub scans by this machine's rules. One that tells of an excluded path all the same is not to be trusted.
fn refuse_what_is_excluded(view: &HubView, rules: &Rules) -> Result<(), Failure> {
    // What is excluded takes all below it along: an entry is in if its directory is, and the rules let it in.
    let mut inside: Vec<&RelPath> = Vec::new();
    let out = view.tree.entries().find(|&entry| {
        while inside.pop_if(|dir| !entry.path.is_below(dir)).is_some() {}
        let parent = inside.last().map_or(&[][..], |dir| dir.as_bytes());
        let is_dir = entry.node.is_dir();
        let included = || rules.verdict(entry.path.as_bytes(), is_dir).included;
        let is_in = entry.path.parent_bytes() == parent && included();
        if is_dir && is_in {
            inside.push(&entry.path);
        }
        !entry.node.is_skipped() && !is_in
    });
    match out {
        None => Ok(()),
        Some(entry) => {
            let message = format!("the hub offers {:?}, which the rules exclude", entry.path);
            let hint = "use the same version of rsyn on both sides";
            Err(Failure::new(FailureKind::Failed, message, hint))
        }
    }
}

/// What a session begins with.
fn greeting<'a>(
    world: &World<'_>,
    local: &Local,
    known: &Known,
    rules: &'a Rules,
    request: &Request,
) -> Greeting<'a> {
    Greeting {
        expected: known.id.as_ref().map(ToString::to_string),
        machine_id: local.own_id(),
        machine: world.project.machine(world.environment),
        purpose: purpose(request),
        repair: request.repair,
        rules: (!request.own_rules).then_some(rules),
        checksum: request.checksum,
        seen: known.base.as_ref().and_then(Base::seen),
    }
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
    let (lock, recovered) = super::local::take_over(world, local, request.verb())?;
    warnings.extend(recovered);
    Ok(lock)
}

/// A hub inside the root, around it, or the root itself would sync a tree with a part of itself.
fn refuse_same_root(world: &World<'_>, hub: &Hub) -> Result<(), Failure> {
    let Some(path) = hub.local_path(world.environment, &world.project.path) else {
        return Ok(());
    };
    // A hub that is not there yet would be made: its nearest directory that is there decides.
    let there = trust::real_place(&path);
    let here = crate::disk::real_path(&world.project.path)?;
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

/// That the exclude rules leave out more than at the last sync; `None` if they do not.
fn hidden_words(hidden: NewlyHidden) -> Option<String> {
    let paths = hidden.paths();
    let more = paths.len().checked_sub(1)?;
    let first = paths.first()?;
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    Some(format!(
        "the exclude rules changed since the last sync and now leave out {first:?}{more}: \
        `rsyn why {first:?}` says which rule"
    ))
}

fn scan(
    world: &World<'_>,
    local: &Local,
    (rules, newly_hidden): (&Rules, Option<&NewlyHidden>),
    checksum: bool,
) -> Result<Scan, Failure> {
    let progress = Progress::default();
    let options = ScanOptions {
        rules,
        newly_hidden,
        checksum,
        now_secs: world.now_secs(),
        progress: &progress,
        interrupted: world.interrupted,
    };
    Ok(local.scan(&options)?)
}

impl Look<'_> {
    /// A tombstone tells of a stale copy only to a machine that did not know of the deletion: a file that was
    /// made again since is no stale copy, whatever its content.
    fn tombstones_that_are_news(&self) -> Tombstones {
        let own = self.local.state.as_ref().map(|state| state.id().as_str());
        let is_known = |path: &RelPath, tombstone: &Tombstone| {
            own == Some(&*tombstone.machine) || self.known_tombstones.get(path) == Some(tombstone)
        };
        let all = self.view.tombstones.iter();
        all.filter(|(path, t)| !is_known(path, t))
            .map(|(p, t)| (p.clone(), t.clone()))
            .collect()
    }

    /// The hub's tombstones, but for those whose old copy stands `here` all the same: kept out of scope or by
    /// `--no-delete`, it is no newer for having been seen, and they are news until it is gone.
    pub(super) fn tombstones_followed(&self, here: &Tree) -> Tombstones {
        let mut followed = self.view.tombstones.clone();
        for (path, tombstone) in self.tombstones_that_are_news() {
            let is_stale = here.get(&path).is_some_and(|node| tombstone.is_of(node));
            if is_stale && self.base.get(&path).is_none() {
                followed.remove(&path);
            }
        }
        followed
    }

    /// Reads what was undone here, and forgets what is settled by now, unless nothing may be written.
    pub(super) fn note_undone(&mut self) -> Result<(), Failure> {
        let Some(state) = &self.local.state else {
            return Ok(());
        };
        let undone = Undone::load(state)?;
        self.undone = match self.lock {
            Some(_) => undone.settle(state, &self.scan.tree, &self.base)?,
            None => undone.still(&self.scan.tree, &self.base),
        };
        Ok(())
    }

    /// The paths of a push that takes from the hub what was undone here.
    pub(super) fn taken_back<'p>(&self, plan: &'p Plan) -> Vec<&'p RelPath> {
        match plan.direction {
            Direction::Pull => vec![],
            Direction::Push => {
                let paths = plan.actions.iter().map(|action| &action.path);
                paths.filter(|path| self.undone.has(path)).collect()
            }
        }
    }

    /// Plans one direction. Conflicts that a policy leaves to the user are put to them.
    ///
    /// # Errors
    /// A policy cannot be read, or the user interrupted a question.
    pub fn plan(&self, direction: Direction, request: &Request) -> Result<Plan, Failure> {
        let policies = self.world.project.policies(request.on_conflict)?;
        let mut choices = BTreeMap::new();
        let mut plan = self.reconcile(direction, request, &policies, &choices)?;
        if !plan.undecided.is_empty() && !request.dry_run {
            for conflict in plan.undecided.iter().filter(|c| is_asked(c)) {
                if let Some(choice) = self.world.talk.decide(conflict, &self.hub.name) {
                    choices.insert(conflict.path.clone(), choice);
                }
                self.world.heed_interruption()?;
            }
            if !choices.is_empty() {
                plan = self.reconcile(direction, request, &policies, &choices)?;
            }
        }
        let ours = match direction {
            Direction::Pull => &self.scan.tree,
            Direction::Push => &self.view.tree,
        };
        moves::reuse_known_content(&mut plan, ours);
        Ok(plan)
    }

    /// Plans one direction as [`Look::plan`] does, as if all conflicts that would be asked about were decided.
    ///
    /// # Errors
    /// A policy cannot be read.
    pub(super) fn plan_unasked(
        &self,
        direction: Direction,
        request: &Request,
    ) -> Result<Plan, Failure> {
        let policies = self.world.project.policies(request.on_conflict)?;
        let mut plan = self.reconcile(direction, request, &policies, &BTreeMap::new())?;
        plan.undecided.retain(|conflict| !is_asked(conflict));
        Ok(plan)
    }

    fn reconcile(
        &self,
        direction: Direction,
        request: &Request,
        policies: &PathPolicies,
        choices: &BTreeMap<RelPath, Choice>,
    ) -> Result<Plan, Failure> {
        let none = Tombstones::new();
        let news = self.tombstones_that_are_news();
        let unnamed = match direction {
            Direction::Pull => holders_of_unnamed(&self.scan.problems),
            Direction::Push => holders_of_unnamed(&self.view.problems),
        };
        let (local, remote) = self.with_kept_modes();
        let input = Input {
            base: &self.base,
            local: &local,
            remote: &remote,
            unnamed: &unnamed,
            local_tombstones: &none,
            remote_tombstones: &news,
            holds: &self.changing,
        };
        let options = Options {
            direction,
            policies,
            choices,
            mirror: request.mirror,
            delete: !request.no_delete && !self.base_damaged,
            only: &request.only,
            folding: self.folding(direction.written()),
            holds: self.abilities(direction.written()),
            forgets: &|path, is_dir| {
                let lasting = self.lasting_rules.as_ref();
                lasting.is_none_or(|rules| !rules.verdict(path.as_bytes(), is_dir).included)
            },
        };
        let plan = reconcile(&input, &options);
        let holds = self.holds(&plan)?;
        if !plan.actions.iter().any(|a| holds.contains_key(&a.path)) {
            return Ok(plan);
        }
        let input = Input {
            holds: &holds,
            ..input
        };
        Ok(reconcile(&input, &options))
    }

    /// The trees of both sides, with the permission bits that were agreed on where a disk keeps none.
    fn with_kept_modes(&self) -> (Tree, Tree) {
        let (local, remote) = (&self.scan.tree, &self.view.tree);
        let adopted = |side, tree: &Tree, other| match self.abilities(side).modes {
            true => tree.clone(),
            false => adopt_modes(tree, &self.base, other),
        };
        (
            adopted(Side::Local, local, remote),
            adopted(Side::Remote, remote, local),
        )
    }

    /// Which names the disk of a side takes for one.
    fn folding(&self, side: Side) -> Folding {
        match side {
            Side::Local => place::folding(&self.local),
            Side::Remote => self.client.hello.folding,
        }
    }

    /// What the disk of a side can hold.
    fn abilities(&self, side: Side) -> Abilities {
        match side {
            Side::Local => place::holds(&self.local),
            Side::Remote => self.client.hello.holds,
        }
    }

    /// Looks at both sides again, after something changed under a run.
    pub(super) fn look_again(&mut self, request: &Request) -> Result<(), Failure> {
        self.usages = Usages::default();
        self.asks_hub = true;
        self.scan = scan(
            self.world,
            &self.local,
            (&self.rules, None),
            request.checksum,
        )?;
        let known = (
            std::mem::take(&mut self.view.tree),
            std::mem::take(&mut self.view.tombstones),
        );
        self.view = self.client.look_again(known, self.hub.view_bytes())?;
        if !request.own_rules {
            refuse_what_is_excluded(&self.view, &self.rules)?;
        }
        Ok(())
    }
}

/// The directories that hold something whose name no tree can carry.
fn holders_of_unnamed(problems: &[Problem]) -> BTreeSet<RelPath> {
    let bad = problems.iter().filter(|p| p.skip == Skip::BadName);
    let holder = |problem: &Problem| {
        let slash = problem.path.iter().rposition(|byte| *byte == b'/')?;
        RelPath::new(&problem.path[..slash]).ok()
    };
    bad.filter_map(holder).collect()
}

fn is_asked(conflict: &Kept) -> bool {
    conflict
        .conflict
        .as_ref()
        .is_some_and(|c| c.policy == Policy::Ask)
}

pub(super) fn no_such_hub(hub: &Hub) -> Failure {
    Failure::usage(
        format!("{} does not exist", hub.name.escape_debug()),
        "is the path right? a first `rsyn push` makes it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Origin, Sign};
    use crate::model::{Entry, Mode, Node};

    fn view(entries: &[(&str, &Node)]) -> HubView {
        let entry = |(path, node): &(&str, &Node)| Entry {
            path: RelPath::new(path.as_bytes()).unwrap(),
            node: (*node).clone(),
        };
        HubView {
            tree: entries.iter().map(entry).collect(),
            ..HubView::default()
        }
    }

    #[test]
    fn a_hub_that_offers_what_the_rules_exclude_is_refused() {
        let mut rules = Rules::new();
        let origin = Origin::option("--exclude");
        rules.add_rule(Sign::Exclude, b"*.key", origin).unwrap();
        let dir = Node::Dir {
            mode: Mode::from(0o755),
        };
        let skipped = Node::Skipped(Skip::Excluded);
        let verdict = |entries: &[_]| refuse_what_is_excluded(&view(entries), &rules);

        for offered in [
            &[("a.key", &dir)][..],
            &[("deep", &dir), ("deep/a.key", &dir)],
            &[("a.key", &skipped), ("a.key/inside", &dir)],
            &[("a.key/inside", &dir)],
        ] {
            let refused = verdict(offered).unwrap_err();
            assert_eq!(refused.kind, FailureKind::Failed, "{offered:?}");
            assert!(refused.message.contains("the rules exclude"), "{refused}");
        }
        assert!(verdict(&[("a.key", &skipped)]).is_ok());
        assert!(verdict(&[("a", &dir), ("a/txt", &dir)]).is_ok());
    }
}
