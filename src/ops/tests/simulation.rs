//! One world from one number: machines, a hub, their users, and all that befalls them.

mod attempt;
mod judgement;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::faults::Fault;
use super::figures::Figures;
use super::law::{self, Evidence, Step};
use super::meddler::Listener;
use super::random::Random;
use super::session::{self, Cut, Omens};
use super::task::{self, Task};
use super::tree::{self, Tree};
use super::upheaval::Part;
use super::user::{self, Memory};
use crate::model::Digest;
use crate::ops::sync::Request;
use crate::ops::undo::Where;
use crate::plan::Direction;

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
}
