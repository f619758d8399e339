//! The base: what this root and one hub last agreed on, path by path, and the hub as it was seen then.

use serde::{Deserialize, Serialize};

use super::home::Home;
use super::hub::tombstones_digest;
use super::layout::{self, Generations};
use super::packed_tree::PackedTree;
use super::sealed::Sealed;
use super::{Result, RootId, State};
use crate::filter::Rules;
use crate::model::{Node, RelPath, Tombstones, Tree};
use crate::plan::BaseChange;
use crate::protocol::handshake::Seen;

pub(super) const DIR: &str = "peers";

/// What this root and one hub last agreed on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Base {
    /// Grows by one with each write.
    sequence: u64,
    /// The root whose tree it tells of.
    home: Home,
    /// Which hub.
    hub: RootId,
    /// Transaction that this base belongs to; makes [`Base::apply`] idempotent.
    transaction: String,
    /// When, in seconds since 1970.
    synced_at: i64,
    /// The exclude rules of the project then, as they travel ([`Rules::encode`]).
    #[serde(with = "serde_bytes")]
    rules: Vec<u8>,
    seen: Option<Seen>,
    agreed: PackedTree,
    /// How the hub differed from `agreed`.
    remote: Vec<BaseChange>,
    tombstones: Tombstones,
}

impl Sealed for Base {
    const KIND: [u8; 4] = *b"base";
    const VERSION: u32 = 4;
}

impl Generations for Base {
    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// One step of a base: the payload of a transaction, so that recovery can repeat it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BaseUpdate {
    /// Which hub.
    pub hub: RootId,
    /// When, in seconds since 1970.
    pub synced_at: i64,
    /// The exclude rules of the project, without those of this run alone, as they travel.
    #[serde(with = "serde_bytes")]
    pub rules: Vec<u8>,
    /// The hub as seen; `None` if it was not.
    pub seen: Option<Seen>,
    /// Paths whose agreement changed.
    pub changes: Vec<BaseChange>,
    /// How the hub differs from what is then agreed on.
    pub remote: Vec<BaseChange>,
    /// The hub's tombstones.
    pub tombstones: Tombstones,
}

/// The changes that turn `from` into `to`.
#[must_use]
pub fn difference(from: &Tree, to: &Tree) -> Vec<BaseChange> {
    let cloned = |(path, node): (&RelPath, Option<&Node>)| (path.clone(), node.cloned());
    differences(from, to).map(cloned).collect()
}

/// As [`difference`], one by one.
pub fn differences<'a>(
    from: &'a Tree,
    to: &'a Tree,
) -> impl Iterator<Item = (&'a RelPath, Option<&'a Node>)> {
    // Where they are shared nothing is to be found.
    let left = if from.shares_with(to) { 0 } else { usize::MAX };
    let [mut old, mut new] = [from, to].map(|tree| tree.entries().take(left).peekable());
    std::iter::from_fn(move || {
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return None,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.path.cmp(&b.path),
            };
            let gone = if order.is_le() { old.next() } else { None };
            let come = if order.is_ge() { new.next() } else { None };
            match (gone, come) {
                (Some(a), Some(b)) if a.node == b.node => {}
                (_, Some(b)) => return Some((&b.path, Some(&b.node))),
                (Some(a), None) => return Some((&a.path, None)),
                (None, None) => {}
            }
        }
    })
}

impl Base {
    /// The base with `hub`; `None` if there is none. The flag says that a damaged one was passed over.
    ///
    /// # Errors
    /// It cannot be read, or a later version wrote it.
    pub fn load(state: &State, hub: &RootId) -> Result<(Option<Self>, bool)> {
        match state.existing_subdir(DIR)? {
            None => Ok((None, false)),
            Some(dir) => layout::load_newest(&dir, hub.as_str()),
        }
    }

    /// Takes one step, durably. Repeating the step of the same transaction changes nothing.
    ///
    /// # Errors
    /// It cannot be written; the base is as it was.
    pub fn apply(state: &State, transaction: &str, update: BaseUpdate) -> Result<()> {
        let (old, _) = Self::load(state, &update.hub)?;
        if old.as_ref().is_some_and(|b| b.transaction == transaction) {
            return Ok(());
        }
        let sequence = old.as_ref().map_or(0, |b| b.sequence) + 1;
        // One that was brought here stays one until it is compared with the tree.
        let home = old.as_ref().map_or(state.home(), |b| b.home);
        let before = old.map_or_else(PackedTree::default, |b| b.agreed);
        let agreed = before.with_changes(update.changes, update.hub.as_str(), |_| {})?;
        let next = Self {
            sequence,
            home,
            hub: update.hub,
            transaction: transaction.to_owned(),
            synced_at: update.synced_at,
            rules: update.rules,
            seen: update.seen,
            agreed,
            remote: update.remote,
            tombstones: update.tombstones,
        };
        next.save(state)
    }

    /// Whether it was written where it lies now. One that was brought back from a backup, copied, or moved into another
    /// root may lie beside a tree that it never saw: what is missing there nobody need have deleted.
    #[must_use]
    pub fn is_at_home(&self, state: &State) -> bool {
        self.home.is(&state.home())
    }

    /// This base, at home in `state`, without `forgotten`: on what stands there nothing was ever agreed.
    ///
    /// # Errors
    /// As [`Base::agreed`].
    pub fn without(self, forgotten: Vec<RelPath>, state: &State) -> Result<Self> {
        let changes: Vec<_> = forgotten.into_iter().map(|path| (path, None)).collect();
        let agreed = self.agreed(&Tree::default())?;
        let seen = agreed.with_changes(self.remote.iter().cloned());
        let agreed = agreed.with_changes(changes);
        Ok(Self {
            sequence: self.sequence + 1,
            home: state.home(),
            remote: difference(&agreed, &seen),
            agreed: PackedTree::of(&agreed),
            ..self
        })
    }

    /// This base after the hub took back what this root had pushed: each path with the version before and the one the hub
    /// has now. On that one both sides agree, so that what is here is ahead of it.
    ///
    /// # Errors
    /// As [`Base::agreed`].
    pub fn taken_back<'a>(
        self,
        changes: impl Iterator<Item = (&'a RelPath, Option<&'a Node>, Option<&'a Node>)>,
    ) -> Result<Self> {
        let agreed = self.agreed(&Tree::default())?;
        let seen = agreed.with_changes(self.remote.iter().cloned());
        let pushed = changes.filter(|(path, before, _)| agreed.get(path) == *before);
        let changes: Vec<_> = pushed
            .map(|(path, _, now)| (path.clone(), now.cloned()))
            .collect();
        let agreed = agreed.with_changes(changes);
        Ok(Self {
            sequence: self.sequence + 1,
            remote: difference(&agreed, &seen),
            agreed: PackedTree::of(&agreed),
            ..self
        })
    }

    /// This base as that of a root that knows of no deletion: the hub tells all of them again.
    #[must_use]
    pub fn without_tombstones(self) -> Self {
        let none = Tombstones::new();
        let seen = self.seen.map(|seen| Seen {
            tombstones: tombstones_digest(&none),
            ..seen
        });
        Self {
            seen,
            tombstones: none,
            ..self
        }
    }

    /// Writes it, durably, over the older generation.
    ///
    /// # Errors
    /// It cannot be written; the base is as it was.
    pub fn save(&self, state: &State) -> Result<()> {
        layout::save_next(&state.subdir(DIR)?, self.hub.as_str(), self)
    }

    /// What both sides agreed on. If it is `known`, a tree at hand, that one is shared.
    ///
    /// # Errors
    /// [`StateError::Damaged`](super::StateError::Damaged): what a whole file holds is no tree.
    pub fn agreed(&self, known: &Tree) -> Result<Tree> {
        self.agreed.open(known, self.hub.as_str())
    }

    /// The hub as it was seen, where both sides agreed on `agreed`.
    #[must_use]
    pub fn remote(&self, agreed: &Tree) -> Tree {
        agreed.with_changes(self.remote.iter().cloned())
    }

    /// The hub's tombstones as they were seen.
    #[must_use]
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// What to tell the hub about what was seen.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        self.seen
    }

    /// When the last sync was, in seconds since 1970.
    #[must_use]
    pub fn synced_at(&self) -> i64 {
        self.synced_at
    }

    /// Whether nothing was agreed on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.agreed.is(&Tree::default())
    }

    /// The exclude rules of the project at the last sync; `None` if they cannot be read.
    #[must_use]
    pub fn rules(&self) -> Option<Rules> {
        Rules::decode(&self.rules).ok()
    }
}

/// Which hub a remote led to, by the remote's name as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Remotes {
    hubs: Vec<(String, RootId)>,
}

impl Sealed for Remotes {
    const KIND: [u8; 4] = *b"rmts";
    const VERSION: u32 = 1;
}

impl Remotes {
    const FILE: &'static str = "remotes";

    /// The hub that `remote` led to last time; `None` on first contact or if that memory is damaged.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn hub_of(state: &State, remote: &str) -> Result<Option<RootId>> {
        Ok(Self::load(state)?
            .hubs
            .into_iter()
            .find(|(r, _)| r == remote)
            .map(|(_, id)| id))
    }

    /// Whether any hub is known.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn knows_any(state: &State) -> Result<bool> {
        Ok(!Self::load(state)?.hubs.is_empty())
    }

    /// Whether another hub than `hub` is known.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn knows_another(state: &State, hub: Option<&RootId>) -> Result<bool> {
        let hubs = Self::load(state)?.hubs;
        Ok(hubs.iter().any(|(_, id)| Some(id) != hub))
    }

    /// Remembers where `remote` leads.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember(state: &State, remote: &str, hub: &RootId) -> Result<()> {
        let mut remotes = Self::load(state)?;
        if remotes.hubs.iter().any(|(r, id)| r == remote && id == hub) {
            return Ok(());
        }
        remotes.hubs.retain(|(r, _)| r != remote);
        remotes.hubs.push((remote.to_owned(), hub.clone()));
        layout::save(&state.subdir(DIR)?, Self::FILE, &remotes)
    }

    fn load(state: &State) -> Result<Self> {
        let Some(dir) = state.existing_subdir(DIR)? else {
            return Ok(Self::default());
        };
        match layout::load(&dir, Self::FILE) {
            Ok(found) => Ok(found.unwrap_or_default()),
            Err(super::StateError::Damaged { .. }) => Ok(Self::default()),
            Err(e) => Err(e),
        }
    }
}

/// The tree after `changes`, for a base that is not written yet.
#[must_use]
pub fn after(tree: &Tree, changes: &[(RelPath, Option<Node>)]) -> Tree {
    tree.with_changes(changes.iter().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use crate::model::Entry;
    use crate::model::Mode;

    fn tree(names: &[&str]) -> Tree {
        let node = || Node::Dir {
            mode: Mode::from(0o755),
        };
        names
            .iter()
            .map(|n| Entry {
                path: RelPath::new(n.as_bytes()).unwrap(),
                node: node(),
            })
            .collect()
    }

    fn agreed_and_remote(base: &Base) -> (Tree, Tree) {
        let agreed = base.agreed(&Tree::default()).unwrap();
        let remote = base.remote(&agreed);
        (agreed, remote)
    }

    fn update(hub: &RootId, base: &Tree, to: &Tree, remote: &Tree) -> BaseUpdate {
        let changes = difference(base, to);
        let remote = difference(&base.with_changes(changes.iter().cloned()), remote);
        BaseUpdate {
            hub: hub.clone(),
            synced_at: 5,
            rules: Rules::new().encode(),
            seen: None,
            changes,
            remote,
            tombstones: Tombstones::new(),
        }
    }

    #[test]
    fn a_base_is_what_was_agreed_and_the_hub_as_seen() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::create(&Root::open(temp.path()).unwrap()).unwrap();
        let hub = state.id().clone();
        let (first, second, remote) =
            (tree(&["a", "b"]), tree(&["a", "c"]), tree(&["a", "c", "d"]));
        Base::apply(&state, "t1", update(&hub, &Tree::default(), &first, &first)).unwrap();
        Base::apply(&state, "t2", update(&hub, &first, &second, &remote)).unwrap();
        Base::apply(&state, "t2", update(&hub, &second, &first, &first)).unwrap();
        let (base, damaged) = Base::load(&state, &hub).unwrap();
        let base = base.unwrap();
        assert!(!damaged);
        assert_eq!(
            agreed_and_remote(&base),
            (second, remote),
            "the repeated step changed nothing"
        );
    }

    #[test]
    fn a_base_that_was_read_stays_what_it_was_though_both_generations_are_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::create(&Root::open(temp.path()).unwrap()).unwrap();
        let hub = state.id().clone();
        let trees = [&["a"], &["b"], &["c"]].map(|names| tree(names));
        let mut before = Tree::default();
        let mut first = None;
        for (now, transaction) in trees.iter().zip(["t1", "t2", "t3"]) {
            Base::apply(&state, transaction, update(&hub, &before, now, now)).unwrap();
            before = now.clone();
            first = first.or_else(|| Base::load(&state, &hub).unwrap().0);
        }
        assert_eq!(agreed_and_remote(&first.unwrap()).0, trees[0]);
        let last = Base::load(&state, &hub).unwrap().0.unwrap();
        assert_eq!(agreed_and_remote(&last).0, trees[2]);
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the test moves a state directory behind its back"
    )]
    fn a_base_in_another_root_forgets_what_is_missing_there_and_is_at_home_from_then_on() {
        let [there, here] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let state = State::create(&Root::open(there.path()).unwrap()).unwrap();
        let hub = state.id().clone();
        let (agreed, remote) = (tree(&["a", "b"]), tree(&["a", "b", "c"]));
        let first = update(&hub, &Tree::default(), &agreed, &remote);
        Base::apply(&state, "t1", first).unwrap();
        let [old, new] = [&there, &here].map(|root| root.path().join(".rsyn"));
        std::fs::rename(old, new).unwrap();
        let state = State::open(&Root::open(here.path()).unwrap()).unwrap();
        let state = state.unwrap();
        let load = || Base::load(&state, &hub).unwrap().0.unwrap();
        assert!(!load().is_at_home(&state));
        // What an interrupted sync had still to write makes it no base of this tree.
        let second = update(&hub, &agreed, &agreed, &remote);
        Base::apply(&state, "t2", second).unwrap();
        assert!(!load().is_at_home(&state));

        let missing = vec![RelPath::new(*b"b").unwrap()];
        let base = load().without(missing, &state).unwrap();
        base.save(&state).unwrap();

        let base = load();
        assert!(base.is_at_home(&state));
        assert_eq!(agreed_and_remote(&base), (tree(&["a"]), remote));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the test damages a state file behind its back"
    )]
    fn a_damaged_base_falls_back_to_the_generation_before_and_says_so() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::create(&Root::open(temp.path()).unwrap()).unwrap();
        let hub = state.id().clone();
        let (first, second) = (tree(&["a"]), tree(&["b"]));
        Base::apply(&state, "t1", update(&hub, &Tree::default(), &first, &first)).unwrap();
        Base::apply(&state, "t2", update(&hub, &first, &second, &second)).unwrap();
        let files = [".a", ".b"].map(|s| temp.path().join(format!(".rsyn/peers/{hub}{s}")));
        for (broken, expected) in [(&files[1], Some(first)), (&files[0], None)] {
            let mut bytes = std::fs::read(broken).unwrap();
            bytes[20] ^= 1;
            std::fs::write(broken, bytes).unwrap();
            let (base, damaged) = Base::load(&state, &hub).unwrap();
            assert!(damaged);
            assert_eq!(base.map(|b| agreed_and_remote(&b).0), expected);
        }
    }
}
