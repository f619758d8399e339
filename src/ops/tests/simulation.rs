//! One world from one number: machines, a hub, their users, and all that befalls them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::faults::{Fault, strike};
use super::law::{self, Counts, Evidence, Step};
use super::meddler::{Listener, Meddler};
use super::random::Random;
use super::session::{self, Cut, Omens};
use super::task::{self, Report, Task};
use super::tree::{self, Tree, digest};
use super::upheaval::Part;
use super::user::{self, Memory};
use crate::model::{Digest, RelPath};
use crate::ops::connect::Reach;
use crate::ops::look::World;
use crate::ops::project::{Environment, Project};
use crate::ops::sync::Request;
use crate::ops::undo::Where;
use crate::ops::{Failure, FailureKind, local, status};
use crate::plan::{Direction, Plan, Verb};

/// What happened, to see that the generator is no idler.
#[derive(Debug, Default)]
pub(super) struct Figures(Counts);

impl Figures {
    fn count(&mut self, what: &'static str, many: usize) {
        *self.0.entry(what).or_default() += many;
    }

    fn has(&self, what: &str) -> bool {
        self.0.get(what).is_some_and(|many| *many > 0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, many) in &other.0 {
            self.count(what, *many);
        }
    }

    pub(super) fn is_lively(&self) -> bool {
        let needed = [
            "runs",
            "edits",
            "changes",
            "deletions",
            "conflicts",
            "kills here",
            "kills on the hub",
            "refusals",
            "cuts",
            "recoveries",
            "upheavals",
            "guarded",
            "rollbacks",
            "restores",
            "verified",
            "meddled",
        ];
        needed.iter().all(|what| self.has(what))
    }
}

/// A root: of a machine, or the hub.
struct Root {
    name: &'static str,
    path: PathBuf,
    /// Contents that its snapshots must have.
    displaced: BTreeSet<Digest>,
    /// Paths that something was displaced at.
    olden: BTreeSet<Vec<u8>>,
    /// An older copy and what was displaced then.
    backup: Option<(PathBuf, BTreeSet<Digest>)>,
    /// The tree when it was last looked at: nothing changes it in between.
    seen: Tree,
}

impl Root {
    /// Looks at the tree; gives what it was at the last look.
    fn look(&mut self) -> Tree {
        let now = tree::read(&self.path);
        std::mem::replace(&mut self.seen, now)
    }
}

/// What shall befall a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Fate {
    here: Option<Fault>,
    session: Omens,
    /// Somebody edits one of the sides between the preview and the answer.
    meddled: bool,
}

pub(super) struct Simulation {
    random: Random,
    /// The machines, then the hub.
    roots: Vec<Root>,
    memory: Memory,
    evidence: Evidence,
    /// Whether all that travels is compressed.
    compressed: bool,
    listener: Listener,
    now_ms: i64,
    log: Vec<String>,
    pub(super) figures: Figures,
    dir: tempfile::TempDir,
}

/// Later than any stamp that the kernel sets, so that stats vouch for contents.
const START_MS: i64 = 2_000_000_000_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const STEPS: usize = 8;
/// A machine may push what it could not before, once another has cleared the way or brought other exclude rules.
const ROUNDS: usize = 8;
/// Snapshots beyond so many may be pruned.
const SNAPSHOTS: usize = 10;
const EXCLUDE_FILE: &[u8] = b".rsync-exclude";

impl Simulation {
    pub(super) fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let machines = ["a", "b", "c"].into_iter().take(2 + random.below(2));
        let root = |name| Root {
            name,
            path: dir.path().join(name),
            displaced: BTreeSet::new(),
            olden: BTreeSet::new(),
            backup: None,
            seen: Tree::new(),
        };
        let roots: Vec<_> = machines.chain(["hub"]).map(root).collect();
        for machine in &roots[..roots.len() - 1] {
            fs::create_dir(&machine.path).unwrap();
        }
        let compressed = random.one_in(4);
        let memory = Memory::new(random.one_in(16));
        let mut world = Self {
            random,
            roots,
            memory,
            evidence: Evidence::default(),
            compressed,
            listener: Listener::default(),
            now_ms: START_MS,
            log: vec![],
            figures: Figures::default(),
            dir,
        };
        world.set_clock(START_MS);
        user::begin(&world.roots[0].path, START_MS);
        world.roots[0].look();
        world
    }

    pub(super) fn story(&self) -> String {
        self.log.join("\n")
    }

    fn say(&mut self, line: String) {
        self.log.push(line);
    }

    fn hub(&self) -> usize {
        self.roots.len() - 1
    }

    /// Edits and a first push, random steps, and rest.
    pub(super) fn run(&mut self) {
        for _ in 0..5 {
            self.edit();
        }
        let first = Request {
            reach: self.reach(),
            ..Request::of(vec![Direction::Push])
        };
        let first = Task::Sync(Box::new(first));
        self.attempt(0, &first, Fate::default()).ok();
        for _ in 0..STEPS {
            let waited_ms = 1_000 + self.any(HOUR_MS);
            self.set_clock(self.now_ms + waited_ms);
            for _ in 0..self.random.below(4) {
                self.edit();
            }
            self.step();
        }
        self.settle();
        self.nothing_displaced_is_gone();
    }

    fn any(&mut self, limit: i64) -> i64 {
        i64::try_from(self.random.below(usize::try_from(limit).unwrap())).unwrap()
    }

    fn set_clock(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        session::set_clock(now_ms);
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0 => self.jump(),
            1 => self.back_up(),
            2 | 3 => self.upheaval(),
            4 => {
                let who = self.random.below(self.hub());
                let at = *self.random.of(&[Where::Here, Where::Hub]);
                let fate = self.fate();
                self.attempt(who, &Task::Rollback(at), fate).ok();
            }
            5 => self.restore(),
            6 => self.verify(),
            _ => {
                let who = self.random.below(self.hub());
                let is_bare = tree::names(&self.roots[who].path).is_empty();
                let task =
                    Task::random_sync(&mut self.random, task::reach(self.compressed), is_bare);
                let fate = self.fate();
                self.attempt(who, &task, fate).ok();
            }
        }
    }

    fn jump(&mut self) {
        let by_ms = match self.random.below(5) {
            0 => self.any(200 * DAY_MS),
            1 => -self.any(200 * DAY_MS),
            // Before anything was written.
            2 => 1_000_000_000_000 - self.now_ms,
            3 => START_MS - self.now_ms,
            _ => -self.any(HOUR_MS),
        };
        self.figures.count("jumps of the clock", 1);
        self.set_clock(self.now_ms + by_ms);
        self.say(format!("the clock jumps by {} s", by_ms / 1000));
    }

    fn edit(&mut self) {
        // The hub has a tree of its own once somebody pushed.
        let places = self.hub() + usize::from(self.roots[self.hub()].path.is_dir());
        let at = self.random.below(places);
        let path = self.roots[at].path.clone();
        let done = user::edit(&path, &mut self.memory, &mut self.random, self.now_ms);
        // It may have made a directory and then found no room.
        let before = self.roots[at].look();
        let Some(words) = done else { return };
        self.figures.count("edits", 1);
        self.say(format!("{}: {words}", self.roots[at].name));
        self.evidence.note(&before, &self.roots[at].seen);
        self.forget(at, &before);
    }

    /// What others than the engine took away is not for snapshots to have.
    fn forget(&mut self, at: usize, before: &Tree) {
        let of = |tree: &Tree| -> BTreeSet<_> {
            tree.values().filter_map(tree::Seen::content).collect()
        };
        let root = &mut self.roots[at];
        for content in of(before).difference(&of(&root.seen)) {
            root.displaced.remove(content);
        }
    }

    fn back_up(&mut self) {
        let at = self.random.below(self.roots.len());
        let to = self
            .dir
            .path()
            .join(format!("backup of {}", self.roots[at].name));
        let root = &mut self.roots[at];
        if !root.path.is_dir() {
            return;
        }
        tree::remove(&to);
        tree::copy(&root.path, &to);
        root.backup = Some((to, root.displaced.clone()));
        let words = format!("{} is backed up", root.name);
        self.say(words);
    }

    fn upheaval(&mut self) {
        let at = self.random.below(self.roots.len());
        let part = Part::random(&mut self.random);
        let restored = self.random.one_in(2);
        let is_hub = at == self.hub();
        let root = &mut self.roots[at];
        let verb = match root.backup.clone().filter(|_| restored) {
            Some((backup, displaced)) => {
                part.bring_back(&backup, &root.path);
                if part.has_snapshots() {
                    root.displaced = displaced;
                }
                "brought back from a backup"
            }
            None => {
                part.lose(&root.path);
                if part.has_snapshots() {
                    root.displaced.clear();
                }
                // A machine stays a machine.
                if !is_hub {
                    fs::create_dir_all(&root.path).unwrap();
                }
                "lost"
            }
        };
        self.figures.count("upheavals", 1);
        self.say(format!("{}: {part:?} {verb}", self.roots[at].name));
        let before = self.roots[at].look();
        self.forget(at, &before);
    }

    /// The newest older version of a path comes back, whatever stands there.
    fn restore(&mut self) {
        let of = |who: usize| {
            let olden = self.roots[who].olden.iter();
            olden.map(move |path| (who, path.clone()))
        };
        let olden: Vec<_> = (0..self.hub()).flat_map(of).collect();
        if olden.is_empty() {
            return;
        }
        let (who, path) = self.random.of(&olden).clone();
        let words = path.escape_ascii();
        self.say(format!("{}: restore {words}", self.roots[who].name));
        let plan = self.with_world(who, |world| task::restore(world, &path));
        let before = self.trees(who);
        let after = self.trees_now(who);
        let Ok(plan) = plan.and_then(|restored| restored) else {
            assert!(before == after, "a failed restore changed a tree");
            return;
        };
        self.figures.count("restores", 1);
        let path = self.roots[who].path.clone();
        let step = Step {
            root: &path,
            before: &before[0],
            after: &after[0],
            planned: &tree::after(&before[0], &plan),
        };
        let name = self.roots[who].name;
        let hold = |law: Result<(), String>| law.unwrap_or_else(|e| panic!("{name}: {e}"));
        hold(step.is_planned());
        hold(step.loses_nothing());
        hold(law::is_clean(&path, step.after));
        assert!(before[1] == after[1], "a restore here changed the hub");
        self.evidence.note(step.before, step.after);
        self.roots[who].displaced.extend(step.displaced());
    }

    /// Nothing changes behind a stat here, so nothing is found, nothing mended.
    fn verify(&mut self) {
        let who = self.random.below(self.hub());
        let at = *self.random.of(&[Where::Here, Where::Hub]);
        let repair = self.random.one_in(2);
        let words = format!("verify {at:?}, repair {repair}");
        self.say(format!("{}: {words}", self.roots[who].name));
        let reach = self.reach();
        let found = self.with_world(who, |world| task::verify(world, at, &reach, repair));
        session::wait();
        let before = self.trees(who);
        assert!(before == self.trees_now(who), "{words} changed a tree");
        if let Ok(found) = found.and_then(|found| found) {
            self.figures.count("verified", 1);
            assert!(
                found == 0,
                "{words} finds {found} files that nobody changed"
            );
        }
    }

    fn fate(&mut self) -> Fate {
        let random = &mut self.random;
        let mut fate = Fate::default();
        match random.below(12) {
            0 | 1 => fate.here = Some(Fault::random(random)),
            2 | 3 => fate.session.hub = Some(Fault::random(random)),
            4 | 5 => {
                let limit = *random.of(&[200, 800, 3_000]);
                fate.session.cut = Some(Cut {
                    to_hub: random.one_in(2),
                    after_bytes: random.below(limit),
                });
            }
            6 => fate.meddled = true,
            _ => {}
        }
        fate
    }

    fn with_world<T>(&self, at: usize, body: impl FnOnce(&World<'_>) -> T) -> Result<T, Failure> {
        let root = &self.roots[at];
        let hub = self.roots[self.hub()].path.display().to_string();
        let variables = [("RSYN_REMOTE", hub), ("RSYN_MACHINE", root.name.to_owned())];
        let environment = Environment {
            variables: BTreeMap::from(variables.map(|(key, value)| (key.to_owned(), value))),
            directory: root.path.clone(),
            ..Environment::default()
        };
        let project = Project::at(root.path.clone(), &environment)?;
        let world = World {
            project: &project,
            environment: &environment,
            talk: &self.listener,
            interrupted: &Arc::new(AtomicBool::new(false)),
            clock: session::clock,
            hub_here: session::start,
        };
        Ok(body(&world))
    }

    fn engine(&self, who: usize, task: &Task, dry_run: bool) -> Result<Report, Failure> {
        let reach = self.reach();
        self.with_world(who, |world| task.run(world, &reach, dry_run))?
    }

    fn reach(&self) -> Reach {
        task::reach(self.compressed)
    }

    /// The trees of a machine and the hub when they were last looked at.
    fn trees(&self, who: usize) -> [Tree; 2] {
        [who, self.hub()].map(|at| self.roots[at].seen.clone())
    }

    /// The same, looked at now.
    fn trees_now(&mut self, who: usize) -> [Tree; 2] {
        for at in [who, self.hub()] {
            self.roots[at].look();
        }
        self.trees(who)
    }

    /// What a dry run says. Where nothing will befall the run half of them are spared: its own plan is the measure.
    fn rehearse(
        &mut self,
        who: usize,
        task: &Task,
        fate: Fate,
        before: &[Tree; 2],
    ) -> Option<Result<Report, Failure>> {
        if fate == Fate::default() && self.random.one_in(2) {
            return None;
        }
        let rehearsal = self.engine(who, task, true);
        session::wait();
        let now = self.trees_now(who);
        assert!(*before == now, "a dry run changed a tree");
        Some(rehearsal)
    }

    /// Has the engine do a task, first dry, and judges what came of it. Gives how it ended.
    fn attempt(
        &mut self,
        who: usize,
        task: &Task,
        fate: Fate,
    ) -> Result<Report, Option<FailureKind>> {
        self.say(format!(
            "{}: {}, {fate:?}",
            self.roots[who].name,
            task.words()
        ));
        let mut before = self.trees(who);
        let rehearsal = self.rehearse(who, task, fate, &before);
        session::arm(fate.session);
        if fate.meddled && task.writes_one_side() {
            self.invite_meddler(who);
        }
        let struck = strike(fate.here, || self.engine(who, task, false));
        let ended = session::wait();
        let meddled = self.dismiss_meddler(who, &mut before);
        let befell = struck.fired || ended.struck || ended.cut;
        self.figures.count("runs", 1);
        let killed = struck.result.is_none();
        self.figures.count("kills here", usize::from(killed));
        self.figures
            .count("kills on the hub", usize::from(ended.killed));
        self.figures.count("cuts", usize::from(ended.cut));
        let refused = (struck.fired && !killed) || (ended.struck && !ended.killed);
        self.figures.count("refusals", usize::from(refused));
        if befell {
            self.recover(who);
            self.recover(self.hub());
        }
        let after = self.trees_now(who);
        let ended = match struck.result {
            None => Err(None),
            Some(Err(failure)) => {
                self.say(format!(
                    "    {:?}: {}",
                    failure.kind,
                    self.nameless(&failure.message)
                ));
                Err(Some(failure.kind))
            }
            Some(Ok(report)) => Ok(report),
        };
        // What was planned before somebody meddled is void.
        let said = rehearsal.as_ref().filter(|_| !meddled);
        let plans: Vec<_> = match (said, &ended) {
            (Some(Ok(report)), _) | (None, Ok(report)) => report.plans.clone(),
            _ => vec![],
        };
        self.judge(who, task, [&before, &after], &plans, &ended);
        if let Some(said) = said.filter(|_| !befell) {
            let guarded = is_as_rehearsed(said, &ended);
            self.figures.count("guarded", usize::from(guarded));
        }
        let told = format!(
            "    {}, {} | {}",
            ended
                .as_ref()
                .map_or_else(|e| format!("{e:?}"), |_| "done".to_owned()),
            digest(&after[0]),
            digest(&after[1])
        );
        self.say(told);
        if let Ok(report) = &ended {
            self.count(report);
            let is_rollback = matches!(task, Task::Rollback(_));
            self.figures.count("rollbacks", is_rollback.into());
            let rules = |tree: &Tree| tree.get(EXCLUDE_FILE).cloned();
            let same_rules = rules(&before[0]) == rules(&after[0]);
            // A second look costs a third of a run.
            let looks = same_rules && !meddled && self.random.one_in(2);
            if let (Task::Sync(request), true) = (task, looks) {
                self.is_at_rest(who, request, report, &after);
            }
        }
        ended
    }

    /// Somebody will edit one of the two sides as soon as the plan is shown.
    fn invite_meddler(&mut self, who: usize) {
        let hub = self.hub();
        let at = *self.random.of(&[who, who, hub]);
        if !self.roots[at].path.is_dir() {
            return;
        }
        *self.listener.0.get_mut().unwrap() = Some(Meddler {
            root: self.roots[at].path.clone(),
            memory: std::mem::take(&mut self.memory),
            random: Random(self.random.next()),
            now_ms: self.now_ms,
            done: None,
        });
    }

    /// Takes note of what he did, as of any edit, and puts the tree with it into `before`. Says whether he did
    /// anything.
    fn dismiss_meddler(&mut self, who: usize, before: &mut [Tree; 2]) -> bool {
        let Some(meddler) = self.listener.0.get_mut().unwrap().take() else {
            return false;
        };
        self.memory = meddler.memory;
        let Some((words, tree)) = meddler.done else {
            return false;
        };
        let side = usize::from(meddler.root != self.roots[who].path);
        let at = [who, self.hub()][side];
        self.figures.count("meddled", 1);
        self.say(format!("    meanwhile {}: {words}", self.roots[at].name));
        self.evidence.note(&before[side], &tree);
        let old = std::mem::replace(&mut self.roots[at].seen, tree.clone());
        self.forget(at, &old);
        before[side] = tree;
        true
    }

    /// A message without what is new in each run.
    fn nameless(&self, message: &str) -> String {
        let message = message.replace(&self.dir.path().display().to_string(), "");
        let random = |word: &&str| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let words = message.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
        let plain = |word: &str| {
            let name = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if random(&name) {
                word.replace(name, "#")
            } else {
                word.to_owned()
            }
        };
        words.map(plain).collect()
    }

    /// Settles what was interrupted, perhaps interrupted itself.
    fn recover(&mut self, at: usize) {
        if !self.roots[at].path.is_dir() {
            return;
        }
        if self.random.one_in(4) {
            let fault = Fault::random(&mut self.random);
            drop(strike(Some(fault), || self.with_world(at, local::recover)));
        }
        let words = self.with_world(at, local::recover).and_then(|r| r);
        match words {
            Ok(None) => {}
            Ok(Some(words)) => {
                self.figures.count("recoveries", 1);
                let calm = |part: &str| part.starts_with("an interrupted sync was");
                assert!(words.split("; ").all(calm), "{words}");
            }
            Err(failure) => panic!("{} does not recover: {failure:?}", self.roots[at].name),
        }
        let again = self.with_world(at, local::recover).and_then(|r| r);
        assert!(matches!(again, Ok(None)), "a second recovery: {again:?}");
    }

    fn judge(
        &mut self,
        who: usize,
        task: &Task,
        [before, after]: [&[Tree; 2]; 2],
        plans: &[Plan],
        ended: &Result<Report, Option<FailureKind>>,
    ) {
        let mut planned = before.clone();
        for plan in plans {
            let side = usize::from(plan.direction == Direction::Push);
            planned[side] = tree::after(&planned[side], plan);
        }
        let by_the_user = match task {
            Task::Rollback(_) => true,
            // Where nothing was lost or brought back, force is no reason to delete.
            Task::Sync(request) => request.mirror || request.force && self.figures.has("upheavals"),
        };
        for (side, at) in [who, self.hub()].into_iter().enumerate() {
            let path = self.roots[at].path.clone();
            let step = Step {
                root: &path,
                before: &before[side],
                after: &after[side],
                planned: &planned[side],
            };
            let name = self.roots[at].name;
            let hold = |law: Result<(), String>| law.unwrap_or_else(|e| panic!("{name}: {e}"));
            hold(step.is_whole());
            if ended.is_ok() {
                hold(step.is_planned());
            }
            hold(step.loses_nothing());
            if by_the_user {
                self.evidence.note(step.before, step.after);
            }
            hold(step.has_evidence(&self.evidence));
            // What lost to another version is gone by right, wherever else it stands.
            self.evidence.note(step.before, step.after);
            hold(law::is_clean(&path, step.after));
            let root = &mut self.roots[at];
            root.displaced.extend(step.displaced());
            root.olden.extend(step.changed_paths());
        }
    }

    fn count(&mut self, report: &Report) {
        for plan in &report.plans {
            self.figures.count("changes", plan.actions.len());
            self.figures.count("deletions", plan.count(Verb::Delete));
            self.figures.count("conflicts", plan.conflicts());
        }
    }

    /// The same again does nothing, and a whole sync leaves both sides the same.
    fn is_at_rest(&mut self, who: usize, request: &Request, report: &Report, after: &[Tree; 2]) {
        let again = Task::Sync(Box::new(request.clone()));
        let again = self.engine(who, &again, true);
        session::wait();
        let is_nowhere = |top: &RelPath| !after.iter().any(|t| t.contains_key(top.as_bytes()));
        let again = match again {
            // What it was confined to may be gone for good.
            Err(e) if e.kind == FailureKind::Usage && request.only.iter().any(is_nowhere) => return,
            again => again.expect("a second look"),
        };
        let left: Vec<_> = again.plans.iter().flat_map(|p| &p.actions).collect();
        assert!(left.is_empty(), "a second run has work: {left:?}");
        let is_whole =
            request.directions.len() == 2 && request.only.is_empty() && !request.no_delete;
        if is_whole {
            let kept: Vec<_> = report.plans.iter().flat_map(|p| p.kept.clone()).collect();
            law::agree(&after[0], &after[1], &kept).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    /// Without edits and faults, syncs bring all together; a guard is lifted by hand.
    fn settle(&mut self) {
        let mut quiet = 0;
        for who in (0..self.hub()).cycle().take(ROUNDS * self.hub()) {
            if quiet == self.hub() {
                break;
            }
            quiet = match self.sync_by_hand(who) {
                true => quiet + 1,
                false => 0,
            };
        }
        self.is_settled();
    }

    /// A plain sync, by force if a guard holds; says whether there was nothing to do.
    fn sync_by_hand(&mut self, who: usize) -> bool {
        for force in [false, true] {
            let task = Task::whole_sync(force, self.reach());
            match self.attempt(who, &task, Fate::default()) {
                Ok(report) => return report.plans.iter().all(|p| p.actions.is_empty()),
                Err(Some(FailureKind::Guard)) if !force => {}
                Err(kind) => panic!("no sync: {kind:?}"),
            }
        }
        false
    }

    /// All agree, and status says so.
    fn is_settled(&self) {
        for who in 0..self.hub() {
            let reach = self.reach();
            let status = self.with_world(who, |world| status::status(world, &reach, false));
            session::wait();
            let status = status.and_then(|s| s).expect("status at rest");
            assert!(!status.recovery_pending);
            let (pull, push) = status.plans.expect("the hub was asked");
            assert!(
                pull.actions.is_empty() && push.actions.is_empty(),
                "no rest"
            );
            let kept: Vec<_> = [pull.kept, push.kept].concat();
            let [here, there] = self.trees(who);
            law::agree(&here, &there, &kept).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    fn nothing_displaced_is_gone(&self) {
        for root in &self.roots {
            let snap = root.path.join(".rsyn/snap");
            if tree::names(&snap).len() >= SNAPSHOTS {
                continue;
            }
            let mut all = tree::contents(&snap);
            all.extend(root.seen.values().filter_map(tree::Seen::content));
            let gone = root.displaced.difference(&all).next();
            assert!(
                gone.is_none(),
                "{}: {gone:?} is gone from its snapshots",
                root.name
            );
        }
    }
}

/// Whether a run ended as its dry run said; gives whether a guard ended it.
fn is_as_rehearsed(
    rehearsal: &Result<Report, Failure>,
    ended: &Result<Report, Option<FailureKind>>,
) -> bool {
    let refusal = match rehearsal {
        Ok(report) => report.refusal.as_ref(),
        Err(failure) => Some(failure),
    };
    let (said, came) = (
        refusal.map(|f| f.kind),
        ended.as_ref().err().copied().flatten(),
    );
    assert!(
        said == came,
        "the dry run said {said:?}, then came {came:?}"
    );
    came == Some(FailureKind::Guard)
}
