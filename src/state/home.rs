//! Where a state directory lies. What is remembered of a tree holds for the tree beside it: a state directory that was
//! copied, or brought back from a backup, or moved into another root may lie beside files that it never saw.

use serde::{Deserialize, Serialize};

use super::Result;
use crate::disk::Dir;
use crate::model::Mtime;

/// A root and the state directory in it, as objects: wherever they are moved together, they stay the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Home {
    root: Place,
    state: Place,
}

/// A directory. A copy of it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    ino: u64,
    /// When it was made; `None` where the file system does not tell.
    born: Option<Mtime>,
}

impl Home {
    pub(super) fn of(root: &Dir, state: &Dir) -> Result<Self> {
        Ok(Self {
            root: Place::of(root)?,
            state: Place::of(state)?,
        })
    }

    /// Whether both are the same directories. Of the file system nothing is asked: its number changes with each mount.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.root.is(&other.root) && self.state.is(&other.state)
    }
}

impl Place {
    fn of(dir: &Dir) -> Result<Self> {
        let identity = dir.own_identity()?;
        Ok(Self {
            ino: identity.ino,
            born: identity.born,
        })
    }

    /// A copy is always born later. Where no birth is told the number decides, which is used again; where one is told
    /// it does not, for some file systems give another with each mount.
    fn is(&self, other: &Self) -> bool {
        match (self.born, other.born) {
            (Some(born), Some(other)) => born == other,
            _ => self.ino == other.ino,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_its_birth_or_by_its_inode_where_none_is_told() {
        let place = |ino, secs: Option<i64>| Place {
            ino,
            born: secs.map(|secs| Mtime { secs, nanos: 0 }),
        };
        assert!(place(1, Some(5)).is(&place(1, Some(5))));
        assert!(place(1, Some(5)).is(&place(2, Some(5))), "mounted again");
        assert!(!place(1, Some(5)).is(&place(1, Some(6))), "used again");
        assert!(place(1, None).is(&place(1, Some(5))));
        assert!(!place(1, None).is(&place(2, None)));
    }
}
