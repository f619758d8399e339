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

    /// Whether both are the same directories. Of the file system nothing is asked: its number changes with each mount. Some
    /// file systems give other inode numbers with each mount, too: then both are others, and the births decide.
    pub(super) fn is(&self, other: &Self) -> bool {
        let places = [(&self.root, &other.root), (&self.state, &other.state)];
        let [root, state] = places.map(|(a, b)| a.ino == b.ino);
        let is_mounted_again = !root
            && !state
            && places
                .iter()
                .all(|(a, b)| a.born.is_some() && b.born.is_some());
        let same_births = places.iter().all(|(a, b)| a.may_be_born_with(b));
        same_births && ((root && state) || is_mounted_again)
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

    /// Whether both were made at one time, as far as the file system tells it. A copy is made later.
    fn may_be_born_with(&self, other: &Self) -> bool {
        self.born.is_none() || other.born.is_none() || self.born == other.born
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_known_by_inodes_and_births_and_by_births_alone_where_it_was_mounted_again() {
        let place = |ino, secs: Option<i64>| Place {
            ino,
            born: secs.map(|secs| Mtime { secs, nanos: 0 }),
        };
        let home = |root, state| Home { root, state };
        let own = home(place(1, Some(5)), place(2, Some(6)));
        assert!(own.is(&own));
        let again = home(place(7, Some(5)), place(8, Some(6)));
        assert!(own.is(&again), "mounted again");
        let moved = home(place(3, Some(5)), place(2, Some(6)));
        assert!(
            !own.is(&moved),
            "beside a root that was made in one tick with its own"
        );
        let copied = home(place(1, Some(5)), place(9, Some(7)));
        assert!(!own.is(&copied));
        let used_again = home(place(1, Some(5)), place(2, Some(7)));
        assert!(
            !own.is(&used_again),
            "another directory with the inode of the old one"
        );
        let untold = home(place(1, None), place(2, None));
        assert!(own.is(&untold) && untold.is(&untold));
        assert!(!untold.is(&home(place(3, None), place(4, None))));
    }
}
