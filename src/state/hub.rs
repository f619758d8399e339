//! What a root knows as a hub: its tree as last seen under each set of exclude rules, which paths changed
//! from generation to generation, and what was deleted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::base::{difference, differences};
use super::home::Home;
use super::layout::{self, Generations, Mark};
use super::packed::Packed;
use super::packed_tree::PackedTree;
use super::past::{Past, Standing};
use super::sealed::Sealed;
use super::{Result, State};
use crate::disk::durable;
use crate::model::{Digest, Node, RelPath, Tombstone, Tombstones, Tree};
use crate::protocol::handshake::Seen;

const STEM: &str = "hub";
const MACHINES: &[u8] = b"machines.json";
/// Sets of exclude rules whose views are remembered; the least recently used one is forgotten.
const MAX_VIEWS: usize = 4;
/// Generations of one view whose changed paths are remembered.
const MAX_HISTORY: usize = 64;
/// Changed paths that are remembered in all; beyond it a machine gets the whole listing.
const MAX_HISTORY_PATHS: usize = 200_000;

/// The tree under one set of exclude rules.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct View {
    rules: Digest,
    tree: PackedTree,
    /// Oldest first.
    history: Vec<Generation>,
}

/// A generation of a view.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Generation {
    view: Digest,
    /// How many paths changed when it began.
    changes: usize,
    /// Which.
    changed: Packed<Vec<RelPath>>,
}

/// The paths that changed in any of some generations.
fn changed_in(history: &[Generation]) -> Result<BTreeSet<RelPath>> {
    let mut paths = BTreeSet::new();
    for generation in history {
        paths.extend(generation.changed.open(STEM)?);
    }
    Ok(paths)
}

/// What a root knows as a hub.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Hub {
    sequence: u64,
    /// The root whose tree it tells of; `None` before it was ever written.
    home: Option<Home>,
    transaction: String,
    past: Past,
    /// Most recently used first.
    views: Vec<View>,
    tombstones: Tombstones,
}

impl Sealed for Hub {
    const KIND: [u8; 4] = *b"hub ";
    const VERSION: u32 = 3;
}

impl Generations for Hub {
    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// What a push changed: the payload of its transaction, so that recovery can repeat it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HubUpdate {
    /// Digest of the exclude rules in force.
    pub rules: Digest,
    /// Paths and what stands there now.
    pub changes: Vec<(RelPath, Option<Node>)>,
    /// Tombstones of what it deleted.
    pub deleted: Vec<(RelPath, Tombstone)>,
}

/// A machine that synced with this hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Id of its root.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was last here, in seconds since 1970.
    pub last_secs: i64,
    /// What it did.
    pub verb: String,
}

impl Hub {
    /// Reads what is known; nothing if there is nothing or it is damaged.
    ///
    /// # Errors
    /// It cannot be read, or a later version wrote it.
    pub fn load(state: &State) -> Result<Self> {
        let (hub, _) = layout::load_newest(state.dir(), STEM)?;
        Ok(hub.unwrap_or_default())
    }

    /// Writes the next generation of the state file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&mut self, state: &State) -> Result<()> {
        self.sequence += 1;
        layout::save_next(state.dir(), STEM, self)
    }

    /// Applies a push to what is on disk, durably. Repeating the same transaction changes nothing.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn apply(state: &State, transaction: &str, update: HubUpdate) -> Result<()> {
        let mut hub = Self::load(state)?;
        if hub.transaction == transaction {
            return Ok(());
        }
        transaction.clone_into(&mut hub.transaction);
        // One that was brought here stays one until it is compared with the tree.
        hub.home.get_or_insert(state.home());
        for (path, node) in &update.changes {
            if node.is_some() {
                hub.tombstones.remove(path);
            }
        }
        hub.tombstones.extend(update.deleted);
        hub.advance_by(update.rules, update.changes)?;
        hub.save(state)
    }

    /// Takes note of what a rollback deletes, durably; the next look at the tree finds out the rest. Repeating the step of
    /// the same transaction changes nothing.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn bury_all(
        state: &State,
        transaction: &str,
        deleted: Vec<(RelPath, Tombstone)>,
    ) -> Result<()> {
        let mut hub = Self::load(state)?;
        if hub.transaction == transaction || deleted.is_empty() {
            return Ok(());
        }
        transaction.clone_into(&mut hub.transaction);
        hub.tombstones.extend(deleted);
        hub.save(state)
    }

    /// Settles whether this memory tells of the tree beside it: `state` is where it lies, `now` the tree under `rules`.
    /// One that was copied, moved or brought back from a backup counts only if that very tree came along. Otherwise
    /// what the tree lacks was never there, and a machine's memory of this hub cannot be relied on. False if there is
    /// nothing under these rules to compare the tree with: then nothing may be noted.
    #[must_use]
    pub fn settle(&mut self, state: &State, rules: Digest, now: &Tree) -> bool {
        let is_at_home = self.is_at_home(state);
        let compares = self.views.is_empty() || self.views.iter().any(|v| v.rules == rules);
        if is_at_home || compares {
            self.home = Some(state.home());
        }
        if is_at_home || !compares {
            return is_at_home;
        }
        self.views
            .retain(|view| view.rules == rules && view.tree.is(now));
        if self.views.is_empty() {
            self.past.begin(now.view_digest());
            self.past.forget();
        }
        true
    }

    /// Whether it was written where it lies now.
    #[must_use]
    pub fn is_at_home(&self, state: &State) -> bool {
        self.home.is_none_or(|home| home.is(&state.home()))
    }

    /// Begins the generation after some changes.
    fn advance_by(&mut self, rules: Digest, changes: Vec<(RelPath, Option<Node>)>) -> Result<()> {
        let view = self.views.iter().find(|v| v.rules == rules);
        let before = view.map(|v| v.tree.clone()).unwrap_or_default();
        let mut changed = Vec::new();
        let now = before.with_changes(changes, STEM, |path| changed.push(path.clone()))?;
        self.advance(rules, now, &changed);
        Ok(())
    }

    /// Takes note of the tree as a scan found it. What vanished without a push was deleted here by hand and
    /// gets a tombstone. Returns whether anything is new, so worth saving.
    ///
    /// # Errors
    /// As [`Hub::view`].
    pub fn observe(&mut self, rules: Digest, now: &Tree, now_secs: i64) -> Result<bool> {
        let before = self.view(rules, now)?;
        let changes: Vec<_> = differences(&before, now).collect();
        if changes.is_empty() && self.views.first().is_some_and(|v| v.rules == rules) {
            return Ok(false);
        }
        for (path, node) in &changes {
            match (node, before.get(path)) {
                (None, Some(old)) if !old.is_skipped() => self.bury(path, old, now_secs),
                (Some(node), _) if !node.is_skipped() => {
                    self.tombstones.remove(path);
                }
                _ => {}
            }
        }
        let changed = changes.into_iter().map(|(path, _)| path.clone()).collect();
        self.advance(rules, PackedTree::of(now), &changed);
        Ok(true)
    }

    /// As [`Self::observe`] for a hub that cannot be saved afterwards: its generation stays, for the number of one that
    /// never was on disk would be one that no hub has had.
    ///
    /// # Errors
    /// As [`Hub::view`].
    pub fn observe_unsaved(&mut self, rules: Digest, now: &Tree, now_secs: i64) -> Result<()> {
        let past = self.past.clone();
        self.observe(rules, now, now_secs)?;
        self.past = past;
        Ok(())
    }

    fn bury(&mut self, path: &RelPath, old: &Node, now_secs: i64) {
        let tombstone = Tombstone {
            kind: old.kind(),
            digest: old.digest(),
            machine: "hub".to_owned(),
            when_secs: now_secs,
        };
        // A push that deleted it under other rules left its own tombstone.
        self.tombstones.entry(path.clone()).or_insert(tombstone);
    }

    /// Begins the generation in which the tree is `now`.
    fn advance(&mut self, rules: Digest, now: PackedTree, changed: &Vec<RelPath>) {
        let at = self.views.iter().position(|v| v.rules == rules);
        let mut history = at.map(|i| self.views.remove(i).history).unwrap_or_default();
        self.past.begin(now.view());
        history.push(Generation {
            view: now.view(),
            changes: changed.len(),
            changed: Packed::of(changed),
        });
        while history.len() > MAX_HISTORY || paths_in(&history) > MAX_HISTORY_PATHS {
            history.remove(0);
        }
        self.views.insert(
            0,
            View {
                rules,
                tree: now,
                history,
            },
        );
        self.views.truncate(MAX_VIEWS);
    }

    /// The tree as it was last seen under `rules`; empty if never. If it is `known`, a tree at hand, that one is shared.
    ///
    /// # Errors
    /// [`StateError::Damaged`](super::StateError::Damaged): what a whole file holds is no tree.
    pub fn view(&self, rules: Digest, known: &Tree) -> Result<Tree> {
        let view = self.views.iter().find(|v| v.rules == rules);
        let tree = view.map(|v| v.tree.open(known, STEM)).transpose()?;
        Ok(tree.unwrap_or_default())
    }

    /// The generation now.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.past.newest()
    }

    /// The newest generation that this hub and a machine that saw `seen` are known to have in common: the one of now,
    /// unless this hub never had the one that was seen, or does not remember so far back; then 0.
    #[must_use]
    pub fn generation_shared(&self, seen: Option<Seen>) -> u64 {
        let seen = seen.map_or(0, |seen| seen.generation);
        if seen == 0 || seen > self.generation() {
            return self.generation();
        }
        match self.past.standing(seen) {
            Standing::Had => self.generation(),
            Standing::Never => self.past.newest_before(seen),
            Standing::Forgotten => 0,
        }
    }

    /// What lies there now: another mark than before means that a push was committed in between.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn mark(state: &State) -> Result<Mark> {
        Mark::of(state.dir(), STEM)
    }

    /// What was deleted.
    #[must_use]
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// Drops tombstones that are older than `keep_secs` and returns them, to be reported.
    pub fn expire(&mut self, now_secs: i64, keep_secs: i64) -> Vec<RelPath> {
        let expired = |t: &Tombstone| t.when_secs.saturating_add(keep_secs) < now_secs;
        let paths: Vec<_> = self
            .tombstones
            .iter()
            .filter(|(_, t)| expired(t))
            .map(|(p, _)| p.clone())
            .collect();
        self.tombstones.retain(|_, t| !expired(t));
        paths
    }

    /// What has to be told to a machine that saw `seen`, so that it knows `now`; `None` if that is no longer
    /// known and everything has to be told.
    #[must_use]
    pub fn changes_since(
        &self,
        rules: Digest,
        seen: Seen,
        now: &Tree,
    ) -> Option<Vec<(RelPath, Option<Node>)>> {
        if seen.generation > self.generation() {
            return None;
        }
        let view = self.views.iter().find(|v| v.rules == rules)?;
        // By digest, not by number: a machine may have seen that generation under other rules, or of another hub.
        let known = view.history.iter().rposition(|h| h.view == seen.view)?;
        let mut paths = changed_in(view.history.get(known + 1..)?).ok()?;
        let unrecorded = difference(&self.view(rules, now).ok()?, now);
        paths.extend(unrecorded.into_iter().map(|(path, _)| path));
        Some(
            paths
                .into_iter()
                .map(|path| (path.clone(), now.get(&path).cloned()))
                .collect(),
        )
    }
}

fn paths_in(history: &[Generation]) -> usize {
    let changes = history.iter().map(|generation| generation.changes);
    changes.fold(0, usize::saturating_add)
}

/// Digest of a set of tombstones, to tell whether a machine knows them.
#[must_use]
pub fn tombstones_digest(tombstones: &Tombstones) -> Digest {
    Digest::of(&postcard::to_stdvec(tombstones).unwrap_or_default())
}

/// The machines that synced here, the latest first.
///
/// # Errors
/// The file cannot be read.
pub fn machines(state: &State) -> Result<Vec<Machine>> {
    let bytes = durable::read(state.dir(), MACHINES, 1024 * 1024)?.unwrap_or_default();
    let mut machines: Vec<Machine> = serde_json::from_slice(&bytes).unwrap_or_default();
    machines.sort_by_key(|m| std::cmp::Reverse(m.last_secs));
    Ok(machines)
}

/// Takes note that `machine` was here.
///
/// # Errors
/// The file cannot be written.
pub fn note_machine(state: &State, machine: Machine) -> Result<()> {
    let mut all = machines(state)?;
    all.retain(|m| m.id != machine.id);
    all.insert(0, machine);
    all.truncate(256);
    let bytes = serde_json::to_vec(&all).unwrap_or_default();
    Ok(durable::replace(state.dir(), MACHINES, &bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Entry, Kind, Mode, Skip};

    const RULES: Digest = Digest([1; 32]);

    fn path(name: &str) -> RelPath {
        RelPath::new(name.as_bytes()).unwrap()
    }

    fn tree(names: &[&str]) -> Tree {
        let node = || Node::Dir {
            mode: Mode::from(0o755),
        };
        names
            .iter()
            .map(|n| Entry {
                path: path(n),
                node: node(),
            })
            .collect()
    }

    fn seen(hub: &Hub, tree: &Tree) -> Seen {
        let tombstones = tombstones_digest(hub.tombstones());
        Seen {
            generation: hub.generation(),
            view: tree.view_digest(),
            tombstones,
        }
    }

    #[test]
    fn what_vanishes_gets_a_tombstone_and_what_comes_back_loses_it() {
        let mut hub = Hub::default();
        assert!(hub.observe(RULES, &tree(&["a", "b"]), 10).unwrap());
        assert!(
            !hub.observe(RULES, &tree(&["a", "b"]), 11).unwrap(),
            "nothing new"
        );
        assert!(hub.observe(RULES, &tree(&["a"]), 12).unwrap());
        assert_eq!(hub.tombstones()[&path("b")].kind, Kind::Dir);
        hub.observe(RULES, &tree(&["a", "b"]), 13).unwrap();
        assert!(hub.tombstones().is_empty());
    }

    #[test]
    fn what_leaves_the_scope_is_not_deleted() {
        let mut hub = Hub::default();
        hub.observe(RULES, &tree(&["a", "b"]), 10).unwrap();
        hub.observe(Digest([2; 32]), &tree(&["a"]), 11).unwrap();
        assert!(hub.tombstones().is_empty(), "other rules are another view");
        let skipped = Entry {
            path: path("b"),
            node: Node::Skipped(Skip::Unreadable),
        };
        hub.observe(
            RULES,
            &tree(&["a"]).entries().cloned().chain([skipped]).collect(),
            12,
        )
        .unwrap();
        assert!(hub.tombstones().is_empty(), "unreadable is not gone");
    }

    #[test]
    fn changes_since_a_generation_lead_to_the_tree_of_now() {
        let mut hub = Hub::default();
        let first = tree(&["a", "b"]);
        hub.observe(RULES, &first, 1).unwrap();
        let then = seen(&hub, &first);
        hub.observe(RULES, &tree(&["a", "c"]), 2).unwrap();
        hub.observe(RULES, &tree(&["c", "d"]), 3).unwrap();
        let unrecorded = tree(&["d", "e"]);
        let changes = hub.changes_since(RULES, then, &unrecorded).unwrap();
        assert_eq!(first.with_changes(changes), unrecorded);
        assert_eq!(hub.changes_since(Digest([9; 32]), then, &unrecorded), None);
        assert_eq!(
            hub.changes_since(
                RULES,
                Seen {
                    generation: u64::MAX,
                    ..then
                },
                &unrecorded
            ),
            None
        );
    }

    #[test]
    fn what_pushes_changed_is_told_to_whoever_saw_an_earlier_generation() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::create(&crate::disk::Root::open(temp.path()).unwrap()).unwrap();
        let push = |transaction: &str, changes: &[(&str, bool)]| {
            let dir = tree(&["dir"]).get(&path("dir")).cloned();
            let change =
                |(name, stays): &(&str, bool)| (path(name), dir.clone().filter(|_| *stays));
            let update = HubUpdate {
                rules: RULES,
                changes: changes.iter().map(change).collect(),
                deleted: vec![],
            };
            Hub::apply(&state, transaction, update).unwrap();
            Hub::load(&state).unwrap()
        };
        let hub = push("1", &[("a", true), ("b", true)]);
        let first = tree(&["a", "b"]);
        let then = seen(&hub, &first);
        push("2", &[("a", true), ("b", false), ("c", true)]);
        let hub = push("3", &[("d", true), ("c", false)]);
        let now = tree(&["a", "d"]);
        assert_eq!(hub.view(RULES, &Tree::default()).unwrap(), now);
        let changes = hub.changes_since(RULES, then, &now).unwrap();
        assert_eq!(first.with_changes(changes.iter().cloned()), now);
        // Not `a`, at which the same stands as before.
        let told: Vec<_> = changes.into_iter().map(|(path, _)| path).collect();
        assert_eq!(told, ["b", "c", "d"].map(path));
    }

    #[test]
    fn what_was_seen_under_other_rules_or_of_another_hub_is_no_start_for_changes() {
        let mut hub = Hub::default();
        let first = tree(&["a", "b"]);
        hub.observe(RULES, &first, 1).unwrap();
        let then = seen(&hub, &first);
        hub.observe(Digest([2; 32]), &tree(&["a"]), 2).unwrap();
        assert_eq!(
            hub.changes_since(Digest([2; 32]), then, &tree(&["a"])),
            None
        );
        let mut other = Hub::default();
        other.observe(RULES, &tree(&["x"]), 1).unwrap();
        assert_eq!(other.changes_since(RULES, then, &tree(&["x"])), None);
    }

    #[test]
    fn a_hub_that_went_back_in_time_is_known_by_it_though_it_went_on_since() {
        let mut hub = Hub::default();
        hub.observe(RULES, &tree(&["a"]), 1).unwrap();
        let (mut backup, shared) = (hub.clone(), hub.generation());
        hub.observe(RULES, &tree(&["a", "b"]), 2).unwrap();
        let then = seen(&hub, &tree(&["a", "b"]));
        assert_eq!(hub.generation_shared(Some(then)), hub.generation());
        hub.observe(Digest([2; 32]), &tree(&["a"]), 3).unwrap();
        hub.observe(RULES, &tree(&["b"]), 4).unwrap();
        assert_eq!(hub.generation_shared(Some(then)), hub.generation());

        for name in ["c", "d", "e", "f", "g"] {
            backup.observe(RULES, &tree(&["a", name]), 2).unwrap();
        }
        backup.observe(Digest([3; 32]), &tree(&["a"]), 3).unwrap();
        let told = backup.generation_shared(Some(then));
        assert!(backup.generation() > then.generation);
        assert!((shared..then.generation).contains(&told));
        assert_eq!(backup.generation_shared(None), backup.generation());
        assert_eq!(
            backup.generation_shared(Some(seen(&backup, &tree(&[])))),
            backup.generation()
        );
    }

    #[test]
    fn rules_of_one_run_forget_nothing_of_the_past() {
        let mut hub = Hub::default();
        hub.observe(RULES, &tree(&["a"]), 1).unwrap();
        let mut backup = hub.clone();
        for hub in [&mut hub, &mut backup] {
            for n in 0..2 * MAX_VIEWS {
                let rules = Digest([u8::try_from(n).unwrap() + 50; 32]);
                hub.observe(rules, &tree(&["a"]), 2).unwrap();
            }
        }
        hub.observe(RULES, &tree(&["a", "b"]), 3).unwrap();
        let then = seen(&hub, &tree(&["a", "b"]));
        for name in ["c", "d", "e", "f"].repeat(MAX_HISTORY) {
            backup.observe(RULES, &tree(&["a", name]), 4).unwrap();
            hub.observe(RULES, &tree(&["a", name]), 4).unwrap();
        }
        assert!(backup.generation_shared(Some(then)) < then.generation);
        assert_eq!(hub.generation_shared(Some(then)), hub.generation());
    }

    #[test]
    fn a_memory_that_was_brought_beside_another_tree_deletes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let top = crate::disk::Root::open(temp.path()).unwrap();
        let [from, to] = ["from", "to"].map(|name| {
            top.top().make_dir(name.as_bytes(), 0o700).unwrap();
            State::create(&crate::disk::Root::open(&temp.path().join(name)).unwrap()).unwrap()
        });
        let brought_beside = |names: &[&str]| {
            let mut hub = Hub::default();
            assert!(hub.settle(&from, RULES, &tree(&["a", "b"])));
            hub.observe(RULES, &tree(&["a", "b"]), 1).unwrap();
            let then = seen(&hub, &tree(&["a", "b"]));
            assert!(hub.settle(&from, RULES, &tree(names)));
            assert_eq!(hub.generation(), then.generation, "at home");
            let other = Digest([9; 32]);
            assert!(
                !hub.settle(&to, other, &tree(names)),
                "nothing to compare with"
            );
            assert!(!hub.is_at_home(&to));
            assert!(hub.settle(&to, RULES, &tree(names)));
            hub.observe(RULES, &tree(names), 2).unwrap();
            (
                hub.tombstones().len(),
                hub.generation_shared(Some(then)) < then.generation,
            )
        };
        assert_eq!(
            brought_beside(&["a", "b"]),
            (0, false),
            "its tree came along"
        );
        for names in [&["a"][..], &["a", "b", "c"], &[]] {
            assert_eq!(brought_beside(names), (0, true), "{names:?}");
        }
    }

    #[test]
    fn old_tombstones_expire_and_are_named() {
        let mut hub = Hub::default();
        hub.observe(RULES, &tree(&["a", "b"]), 100).unwrap();
        hub.observe(RULES, &tree(&["a"]), 200).unwrap();
        assert!(hub.expire(300, 100).is_empty());
        assert_eq!(hub.expire(301, 100), [path("b")]);
        assert!(hub.tombstones().is_empty());
    }
}
