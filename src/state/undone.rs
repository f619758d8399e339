//! What a rollback of a pull took back here: the hub and everybody else still have it, and a push would take it from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sealed::Sealed;
use super::{Result, State, layout};
use crate::model::{Node, RelPath, Tree};

const FILE: &str = "undone";

/// The paths that were taken back, each with the version that was pulled; `None` where the pull deleted it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    paths: BTreeMap<RelPath, Option<Node>>,
}

impl Sealed for Undone {
    const KIND: [u8; 4] = *b"undo";
    const VERSION: u32 = 1;
}

/// What a rollback changes in that memory: the payload of its transaction, so that recovery can repeat it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rollback {
    /// Whether a pull is undone.
    pub of_pull: bool,
    /// Each path, the version before the rollback and the one after it.
    pub changes: Vec<(RelPath, Option<Node>, Option<Node>)>,
}

impl Undone {
    /// What was taken back; nothing if that memory is missing or damaged.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(state: &State) -> Result<Self> {
        match layout::load(state.dir(), FILE) {
            Ok(found) => Ok(found.unwrap_or_default()),
            Err(super::StateError::Damaged { .. }) => Ok(Self::default()),
            Err(e) => Err(e),
        }
    }

    /// Takes note of a rollback, durably. A second time changes nothing.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn apply(state: &State, rollback: Rollback) -> Result<()> {
        let before = Self::load(state)?;
        let mut undone = before.clone();
        for (path, old, new) in rollback.changes {
            if rollback.of_pull {
                undone.paths.insert(path, old);
            } else if undone.paths.get(&path) == Some(&new) {
                undone.paths.remove(&path);
            }
        }
        undone.save_over(&before, state)
    }

    /// Forgets what is so no more: a path that has the pulled version again, or on which both sides agreed anew.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn settle(self, state: &State, here: &Tree, agreed: &Tree) -> Result<Self> {
        let settled = self.still(here, agreed);
        settled.save_over(&self, state)?;
        Ok(settled)
    }

    /// What is still so, where `here` is the tree and `agreed` what both sides last agreed on.
    #[must_use]
    pub fn still(&self, here: &Tree, agreed: &Tree) -> Self {
        let is_so = |path: &RelPath, pulled: &Option<Node>| {
            agreed.get(path) == pulled.as_ref() && here.get(path) != pulled.as_ref()
        };
        let paths = self
            .paths
            .iter()
            .filter(|(path, pulled)| is_so(path, pulled));
        Self {
            paths: paths.map(|(p, n)| (p.clone(), n.clone())).collect(),
        }
    }

    /// Whether `path` was taken back.
    #[must_use]
    pub fn has(&self, path: &RelPath) -> bool {
        self.paths.contains_key(path)
    }

    /// The paths, in order.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &RelPath> {
        self.paths.keys()
    }

    fn save_over(&self, before: &Self, state: &State) -> Result<()> {
        match self == before {
            true => Ok(()),
            false => layout::save(state.dir(), FILE, self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use crate::model::{Entry, Mode};

    fn dir(mode: u16) -> Node {
        Node::Dir {
            mode: Mode::from(mode),
        }
    }

    fn tree(mode: Option<u16>) -> Tree {
        let entry = |mode| Entry {
            path: path(),
            node: dir(mode),
        };
        mode.map(entry).into_iter().collect()
    }

    fn path() -> RelPath {
        RelPath::new(*b"p").unwrap()
    }

    #[test]
    fn what_was_taken_back_is_known_until_it_comes_back_or_is_settled_with_the_hub() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::create(&Root::open(temp.path()).unwrap()).unwrap();
        let rollback = |of_pull, old: u16, new: u16| Rollback {
            of_pull,
            changes: vec![(path(), Some(dir(old)), Some(dir(new)))],
        };
        let known = || Undone::load(&state).unwrap();
        let (old, pulled, other) = (tree(Some(0o700)), tree(Some(0o755)), tree(Some(0o711)));

        for _ in 0..2 {
            Undone::apply(&state, rollback(true, 0o755, 0o700)).unwrap();
            assert!(known().still(&old, &pulled).has(&path()));
        }
        assert!(known().still(&other, &pulled).has(&path()), "edited since");
        assert!(!known().still(&pulled, &pulled).has(&path()));
        assert!(!known().still(&old, &old).has(&path()), "pushed");
        Undone::apply(&state, rollback(false, 0o755, 0o711)).unwrap();
        assert!(
            known().has(&path()),
            "another rollback that brings something else"
        );
        Undone::apply(&state, rollback(false, 0o700, 0o755)).unwrap();
        assert!(!known().has(&path()));

        Undone::apply(&state, rollback(true, 0o755, 0o700)).unwrap();
        known().settle(&state, &old, &old).unwrap();
        assert_eq!(known(), Undone::default());
    }
}
