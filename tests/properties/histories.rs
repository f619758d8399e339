//! Random histories of two machines and a hub: users edit, machines sync, and after each step the laws hold.
//! `RSYN_HISTORIES` sets how many (default 3,000), `RSYN_SEED` the first seed.

use std::collections::BTreeSet;

use rsyn::model::{Digest, Entry, Node, RelPath, Tree};
use rsyn::plan::{Direction, Plan, Verb};

use crate::world::*;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

/// A hub, two machines with their bases, and what only the users may destroy.
struct History {
    random: Random,
    hub: Tree,
    tombstones: rsyn::model::Tombstones,
    machines: [(Tree, Tree); 2],
    contents: u64,
    /// Contents that a user made and no user removed or replaced, or that a conflict put into a snapshot.
    kept: BTreeSet<Digest>,
    snapshots: BTreeSet<Digest>,
    log: Vec<String>,
}

const NAMES: [&str; 8] = ["a", "b", "d", "d/a", "d/e", "d/e/f", "g", "g/a"];

impl History {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            hub: Tree::default(),
            tombstones: rsyn::model::Tombstones::new(),
            machines: Default::default(),
            contents: 100,
            kept: BTreeSet::new(),
            snapshots: BTreeSet::new(),
            log: vec![],
        }
    }

    fn step(&mut self) {
        let machine = self.random.below(2);
        match self.random.below(6) {
            0..=2 => self.edit(machine),
            3 => self.sync(machine, Direction::Pull),
            4 => self.sync(machine, Direction::Push),
            _ => {
                self.sync(machine, Direction::Pull);
                self.sync(machine, Direction::Push);
            }
        }
    }

    /// A user writes, removes, or makes something at a path, as a file system would allow.
    fn edit(&mut self, machine: usize) {
        let name = NAMES[self.random.below(NAMES.len())];
        let at = path(name);
        let tree = &self.machines[machine].0;
        let fits = at
            .ancestors()
            .all(|a| tree.get(&a).is_some_and(Node::is_dir));
        if !fits {
            return;
        }
        let paths = tree.entries().map(|e| e.path.clone());
        let below: Vec<RelPath> = paths.filter(|path| path.is_below(&at)).collect();
        let destroyed: Vec<Digest> = below
            .iter()
            .chain([&at])
            .filter_map(|p| tree.get(p).and_then(Node::digest))
            .collect();
        self.contents += 1;
        let new = match self.random.below(5) {
            0 => None,
            1 => Some(dir()),
            _ => Some(file(self.contents)),
        };
        if new.as_ref().is_some_and(Node::is_dir) && tree.get(&at).is_some_and(Node::is_dir) {
            return;
        }
        self.log
            .push(format!("machine {machine}: {name} becomes {new:?}"));
        self.kept.extend(new.as_ref().and_then(Node::digest));
        let gone = below.into_iter().map(|p| (p, None));
        self.machines[machine].0 = tree.with_changes(gone.chain([(at, new)]));
        for digest in destroyed {
            self.kept.remove(&digest);
        }
    }

    fn sync(&mut self, machine: usize, direction: Direction) {
        let (local, base) = self.machines[machine].clone();
        let sides = Sides {
            base,
            local,
            remote: self.hub.clone(),
            remote_tombstones: self.tombstones.clone(),
            ..Sides::default()
        };
        let plan = sides.plan(direction);
        let after = sides.after(&plan);
        self.log.push(format!(
            "machine {machine}: {} {:?}",
            direction.name(),
            plan.actions
        ));
        self.check_step(&sides, &plan, &after, direction);
        if direction == Direction::Push {
            self.bury(&plan);
        }
        self.machines[machine] = (after.local, after.base);
        self.hub = after.remote;
        self.check_nothing_lost();
    }

    fn bury(&mut self, plan: &Plan) {
        for action in &plan.actions {
            match (&action.old, &action.new) {
                (Some(old), None) => {
                    self.tombstones.insert(action.path.clone(), tombstone(old));
                }
                _ => {
                    self.tombstones.remove(&action.path);
                }
            }
        }
    }

    fn check_step(&mut self, before: &Sides, plan: &Plan, after: &Sides, direction: Direction) {
        assert!(is_well_formed(after.written(direction)), "{}", self.story());
        let again = after.plan(direction);
        assert_eq!(
            again.actions,
            [],
            "a second sync has nothing to do\n{}",
            self.story()
        );
        for action in &plan.actions {
            // What is displaced is in the snapshot of that sync.
            self.snapshots
                .extend(action.old.as_ref().and_then(Node::digest));
            if action.verb == Verb::Delete {
                let old = action.old.as_ref().unwrap();
                let agreed = before
                    .base
                    .get(&action.path)
                    .is_some_and(|b| b.same_version(old));
                let buried = before
                    .remote_tombstones
                    .get(&action.path)
                    .is_some_and(|t| t.is_of(old));
                assert!(agreed || buried, "{action:?}\n{}", self.story());
            }
        }
        let agreed = |e: &Entry| {
            let both = [&after.local, &after.remote].map(|t| t.get(&e.path).cloned());
            before
                .base
                .get(&e.path)
                .is_some_and(|b| b.same_version(&e.node))
                || both
                    .iter()
                    .all(|n| n.as_ref().is_some_and(|n| n.same_version(&e.node)))
        };
        let ahead: Vec<_> = after.base.entries().filter(|e| !agreed(e)).collect();
        assert!(
            ahead.is_empty(),
            "the base names what was never agreed on: {ahead:?}\n{}",
            self.story()
        );
    }

    fn check_nothing_lost(&self) {
        let trees = [&self.hub, &self.machines[0].0, &self.machines[1].0];
        let present: BTreeSet<Digest> = trees
            .iter()
            .flat_map(|t| t.entries())
            .filter_map(|e| e.node.digest())
            .collect();
        for digest in &self.kept {
            let safe = present.contains(digest) || self.snapshots.contains(digest);
            assert!(safe, "{digest:?} is nowhere\n{}", self.story());
        }
    }

    /// Without further edits, two rounds of syncs bring all three together, up to what is reported as kept.
    fn settle(&mut self) {
        for _ in 0..2 {
            for machine in [0, 1] {
                self.sync(machine, Direction::Pull);
                self.sync(machine, Direction::Push);
            }
        }
        let before = (self.hub.clone(), self.machines.clone());
        for machine in [0, 1, 0] {
            self.sync(machine, Direction::Pull);
            self.sync(machine, Direction::Push);
        }
        assert_eq!(
            before.0,
            self.hub,
            "syncs without edits go on changing the hub\n{}",
            self.story()
        );
        assert_eq!(before.1[0].0, self.machines[0].0, "{}", self.story());
        for machine in [0, 1] {
            let (local, base) = self.machines[machine].clone();
            let sides = Sides {
                base,
                local: local.clone(),
                remote: self.hub.clone(),
                remote_tombstones: self.tombstones.clone(),
                ..Sides::default()
            };
            let reported: BTreeSet<RelPath> = [Direction::Pull, Direction::Push]
                .iter()
                .flat_map(|d| sides.plan(*d).kept)
                .map(|k| k.path)
                .collect();
            let differs = |e: &Entry, other: &Tree| {
                !other.get(&e.path).is_some_and(|n| n.same_version(&e.node))
            };
            let silent = |a: &Tree, b: &Tree| -> Vec<RelPath> {
                let differing = a
                    .entries()
                    .filter(|e| differs(e, b))
                    .map(|e| e.path.clone());
                differing
                    .filter(|p| {
                        !reported
                            .iter()
                            .any(|r| p.is_at_or_below(r) || r.is_below(p))
                    })
                    .collect()
            };
            let left = [silent(&local, &self.hub), silent(&self.hub, &local)].concat();
            assert!(
                left.is_empty(),
                "{left:?} differ and nobody says so\n{}",
                self.story()
            );
        }
    }

    fn story(&self) -> String {
        self.log.join("\n")
    }
}

#[test]
fn two_machines_and_a_hub_lose_nothing_and_come_together() {
    let number =
        |name: &str, default: u64| std::env::var(name).map_or(default, |v| v.parse().unwrap());
    let first = number("RSYN_SEED", 1);
    for seed in first..first + number("RSYN_HISTORIES", 3000) {
        let result = std::panic::catch_unwind(|| {
            let mut history = History::new(seed);
            for _ in 0..25 {
                history.step();
            }
            history.settle();
        });
        assert!(
            result.is_ok(),
            "seed {seed} fails: RSYN_SEED={seed} RSYN_HISTORIES=1 shows it alone"
        );
    }
}
