//! What befalls a disk between runs: parts of a root are lost, or brought back from an older copy.

use std::path::Path;

use super::random::Random;
use super::tree::{copy, names, remove};

/// A part of a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// What a machine remembers of its hubs.
    Bases,
    /// What a root knows as a hub.
    Notes,
    /// The index of stats.
    Index,
    /// The state directory.
    State,
    /// All of it.
    Root,
}

impl Part {
    pub(super) fn random(random: &mut Random) -> Self {
        *random.of(&[
            Self::Bases,
            Self::Notes,
            Self::Index,
            Self::State,
            Self::Root,
        ])
    }

    /// Whether it holds the snapshots.
    pub(super) fn has_snapshots(self) -> bool {
        matches!(self, Self::State | Self::Root)
    }

    fn names(self, root: &Path) -> Vec<String> {
        let fixed: &[&str] = match self {
            Self::Bases => &[".rsyn/peers"],
            Self::Notes => &[".rsyn/hub.a", ".rsyn/hub.b"],
            Self::Index => &[".rsyn/index"],
            Self::State => &[".rsyn"],
            Self::Root => return names(root),
        };
        fixed.iter().map(|name| (*name).to_owned()).collect()
    }

    pub(super) fn lose(self, root: &Path) {
        for name in self.names(root) {
            remove(&root.join(name));
        }
        if self == Self::Root {
            remove(root);
        }
    }

    /// Puts the part of `backup` in place of that of `root`.
    pub(super) fn bring_back(self, backup: &Path, root: &Path) {
        self.lose(root);
        std::fs::create_dir_all(root).unwrap();
        if self != Self::Root && names(&root.join(".rsyn")).is_empty() && self != Self::State {
            return;
        }
        for name in self.names(backup) {
            let from = backup.join(&name);
            if std::fs::symlink_metadata(&from).is_ok() {
                copy(&from, &root.join(name));
            }
        }
    }
}
