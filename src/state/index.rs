//! The index: what a file's stat was when its content was hashed, so that no unchanged byte is read twice.
//!
//! An accelerator, never a truth: without it everything is hashed again. An entry counts only while inode,
//! size, mtime and ctime are the same, and only if the file had been still for [`SETTLE_SECS`] when it was
//! hashed: a write within the clock tick of the hash could leave every stamp as it was (git calls such files
//! "racily clean"). The kernel alone sets ctime, so that its age decides; mtime may be anything.

use serde::{Deserialize, Serialize};

use super::sealed::Sealed;
use super::{Result, State, StateError, layout};
use crate::disk::{FileKind, Stat};
use crate::model::{Digest, Mtime, RelPath};

/// How long a file must have been still before its stat vouches for its content: the coarsest clock of a
/// file system in use (FAT) ticks every 2 s.
pub const SETTLE_SECS: i64 = 2;

const FILE: &str = "index";

/// The stat of a file, without what is the same for the whole root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    ino: u64,
    size: u64,
    mtime: Mtime,
    ctime: Mtime,
    raw_mode: u32,
}

impl Stamp {
    /// Takes it from a full stat.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        let Stat {
            ino,
            size,
            mtime,
            ctime,
            raw_mode,
            ..
        } = *stat;
        Self {
            ino,
            size,
            mtime,
            ctime,
            raw_mode,
        }
    }

    /// The full stat of a file on the file system `dev`.
    #[must_use]
    pub fn to_stat(self, dev: u64, mode: u16) -> Stat {
        let Self {
            ino,
            size,
            mtime,
            ctime,
            raw_mode,
        } = self;
        Stat {
            dev,
            ino,
            kind: FileKind::File,
            mode,
            raw_mode,
            size,
            mtime,
            ctime,
            nlink: 1,
        }
    }

    /// Whether content that was hashed at `now_secs` is vouched for by this stat.
    #[must_use]
    pub fn is_settled(&self, now_secs: i64) -> bool {
        self.ctime.secs.saturating_add(SETTLE_SECS) <= now_secs
    }

    /// Same object and content; permission bits may differ.
    fn vouches_for(&self, now: &Self) -> bool {
        (self.ino, self.size, self.mtime, self.ctime) == (now.ino, now.size, now.mtime, now.ctime)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    path: RelPath,
    stamp: Stamp,
    digest: Digest,
}

/// Settled files of a root, sorted by path.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Index {
    dev: u64,
    lines: Vec<Line>,
}

impl Sealed for Index {
    const KIND: [u8; 4] = *b"indx";
    const VERSION: u32 = 1;
}

impl Index {
    /// Reads the index of a root; an empty one if it is missing, damaged, or of another file system.
    ///
    /// # Errors
    /// The file is there but the system does not let it be read.
    pub fn load(state: &State) -> Result<Self> {
        match layout::load::<Self>(state.dir(), FILE) {
            Ok(Some(index)) if index.dev == state.dir().dev() => Ok(index),
            Ok(_) | Err(StateError::Damaged { .. } | StateError::Newer { .. }) => {
                Ok(Self::default())
            }
            Err(e) => Err(e),
        }
    }

    /// Writes it. A lost index costs time, nothing else.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, state: &State) -> Result<()> {
        layout::save(state.dir(), FILE, self)
    }

    /// Makes an index of `files` in path order, leaving out those that were not settled at `now_secs`.
    #[must_use]
    pub fn new(
        dev: u64,
        files: impl IntoIterator<Item = (RelPath, Stamp, Digest)>,
        now_secs: i64,
    ) -> Self {
        let settled = files
            .into_iter()
            .filter(|(_, stamp, _)| stamp.is_settled(now_secs));
        let lines = settled
            .map(|(path, stamp, digest)| Line {
                path,
                stamp,
                digest,
            })
            .collect();
        Self { dev, lines }
    }

    /// The digest of the file at `path`, if its stat is still `stat`.
    #[must_use]
    pub fn digest(&self, path: &RelPath, stat: &Stat) -> Option<Digest> {
        let at = self.lines.binary_search_by(|l| l.path.cmp(path)).ok()?;
        let line = self.lines.get(at)?;
        line.stamp
            .vouches_for(&Stamp::of(stat))
            .then_some(line.digest)
    }

    /// Number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether it knows no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether two indexes say the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let same = |(a, b): (&Line, &Line)| a.stamp == b.stamp && a.path == b.path;
        self.len() == other.len() && self.lines.iter().zip(&other.lines).all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(ino: u64, ctime_secs: i64) -> Stat {
        let time = Mtime {
            secs: ctime_secs,
            nanos: 0,
        };
        let stamp = Stamp {
            ino,
            size: 3,
            mtime: time,
            ctime: time,
            raw_mode: 0o100_644,
        };
        stamp.to_stat(1, 0o644)
    }

    #[test]
    fn only_a_file_that_was_still_is_vouched_for() {
        let path = RelPath::new(*b"a").unwrap();
        let index = |now| {
            Index::new(
                1,
                [(path.clone(), Stamp::of(&stat(7, 100)), Digest::of(b"x"))],
                now,
            )
        };
        assert_eq!(
            index(102).digest(&path, &stat(7, 100)),
            Some(Digest::of(b"x"))
        );
        assert_eq!(
            index(101).digest(&path, &stat(7, 100)),
            None,
            "hashed within two seconds of its ctime"
        );
        assert_eq!(
            index(102).digest(&path, &stat(8, 100)),
            None,
            "another inode"
        );
        assert_eq!(
            index(102).digest(&path, &stat(7, 101)),
            None,
            "another ctime"
        );
    }
}
