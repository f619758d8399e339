//! The index: what a file's stat was when its content was hashed, so that no unchanged byte is read twice.
//!
//! An accelerator, never a truth: without it everything is hashed again. An entry counts only while inode,
//! size, mtime and ctime are the same, and only if its stat was taken in a later tick of the file system's clock than
//! its ctime: a write within that tick could leave every stamp as it was (git calls such files "racily clean").
//! The scan, which does not know the ticks, asks that the file had been still for [`SETTLE_SECS`] when it was hashed;
//! a transaction, which reads that clock, vouches at once for what it has placed
//! ([`crate::transaction::Committed::placed`]). The kernel alone sets ctime, so that its age decides; mtime may be anything.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::part::Part;
use super::sealed::Sealed;
use super::{Result, State, StateError, layout};
use crate::disk::Stat;
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

/// The stat of a file that vouches for its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voucher {
    /// Its stat when its content was hashed.
    pub stamp: Stamp,
    /// Of that content.
    pub digest: Digest,
}

impl Voucher {
    /// The digest, if the stat is still `stat`.
    #[must_use]
    pub fn digest_for(&self, stat: &Stat) -> Option<Digest> {
        self.stamp
            .vouches_for(&Stamp::of(stat))
            .then_some(self.digest)
    }
}

/// A known file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow, with = "serde_bytes")]
    name: &'a [u8],
    voucher: Voucher,
}

/// The known files of one directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Folder {
    /// `None` for the root.
    path: Option<RelPath>,
    /// Its [`Line`]s in the order of their names.
    lines: Part,
}

impl Folder {
    /// Its lines; none if they cannot be read any more: then its files are hashed again.
    fn known(&self) -> Known<'_> {
        Known(self.lines.read().unwrap_or_default())
    }
}

/// No line is longer: a name has at most 255 bytes.
const LINE_BYTES: usize = 512;

/// Known files of a root, by directory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Index {
    dev: u64,
    files: u64,
    /// In the order of their paths, the root first.
    folders: Vec<Folder>,
    #[serde(skip)]
    by_inode: OnceLock<Vec<Voucher>>,
}

impl Sealed for Index {
    const KIND: [u8; 4] = *b"indx";
    const VERSION: u32 = 2;
}

/// The known files of one directory.
#[derive(Debug, Clone, Default)]
pub struct Known<'a>(Cow<'a, [u8]>);

impl Known<'_> {
    /// Goes through them.
    #[must_use]
    pub fn lines(&self) -> Lines<'_> {
        Lines {
            rest: &self.0,
            next: None,
        }
    }
}

/// Goes through the known files of one directory, in the order of their names.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
    next: Option<Line<'a>>,
}

impl<'a> Lines<'a> {
    /// What is known of the file `name`. Names are asked for in ascending order; nothing is known of one that is not.
    pub fn find(&mut self, name: &[u8]) -> Option<Voucher> {
        loop {
            let line = self.peek()?;
            match line.name.cmp(name) {
                Ordering::Greater => return None,
                Ordering::Equal => return self.next.take().map(|line| line.voucher),
                Ordering::Less => self.next = None,
            }
        }
    }

    fn peek(&mut self) -> Option<Line<'a>> {
        if self.next.is_none() {
            let (line, rest) = postcard::take_from_bytes(self.rest).ok()?;
            (self.next, self.rest) = (Some(line), rest);
        }
        self.next
    }
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

    /// Makes an index of `files` in path order, for whose contents their stamps vouch.
    #[must_use]
    pub fn new<'a>(
        dev: u64,
        files: impl IntoIterator<Item = (&'a RelPath, Stamp, Digest)>,
    ) -> Self {
        let mut folders: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        let mut count = 0;
        let mut encoded = [0; LINE_BYTES];
        for (path, stamp, digest) in files {
            let name = path.name();
            let voucher = Voucher { stamp, digest };
            let line = Line { name, voucher };
            let lines = folders.entry(path.parent_bytes()).or_default();
            // A longer name, which no file system has, would be hashed again next time.
            if let Ok(encoded) = postcard::to_slice(&line, &mut encoded) {
                lines.extend_from_slice(encoded);
                count += 1;
            }
        }
        let mut folders: Vec<_> = folders
            .into_iter()
            .map(|(path, lines)| Folder {
                path: RelPath::new(path).ok(),
                lines: Part::Here(lines),
            })
            .collect();
        folders.sort_by(|a, b| a.path.cmp(&b.path));
        Self {
            dev,
            files: count,
            folders,
            by_inode: OnceLock::new(),
        }
    }

    /// The files in the directory `path`; `None` is the root.
    #[must_use]
    pub fn known(&self, path: Option<&RelPath>) -> Known<'_> {
        let at = self
            .folders
            .binary_search_by(|f| f.path.as_ref().cmp(&path));
        let folder = at.ok().and_then(|at| self.folders.get(at));
        folder.map(Folder::known).unwrap_or_default()
    }

    /// What is known of a file with this stat under whatever name it had: a directory that is renamed leaves the stats
    /// inside as they are.
    #[must_use]
    pub fn under_another_name(&self, stat: &Stat) -> Option<Voucher> {
        let all = self.by_inode.get_or_init(|| self.vouchers());
        let first = all.partition_point(|known| known.stamp.ino < stat.ino);
        let same = all.get(first..)?.iter();
        let mut same = same.take_while(|known| known.stamp.ino == stat.ino);
        same.find(|known| known.digest_for(stat).is_some()).copied()
    }

    /// All that is known, by inode.
    fn vouchers(&self) -> Vec<Voucher> {
        let mut all = Vec::with_capacity(usize::try_from(self.files).unwrap_or_default());
        for folder in &self.folders {
            let known = folder.known();
            let mut lines = known.lines();
            while let Some(line) = lines.peek() {
                all.push(line.voucher);
                lines.next = None;
            }
        }
        all.sort_unstable_by_key(|known| known.stamp.ino);
        all
    }

    /// The digest of the file at `path`, if its stat is still `stat`.
    #[must_use]
    pub fn digest(&self, path: &RelPath, stat: &Stat) -> Option<Digest> {
        let known = self.known(path.parent().as_ref());
        known.lines().find(path.name())?.digest_for(stat)
    }

    /// How many entries the tree has, or a few less than that: directories that hold no file are not known here.
    #[must_use]
    pub fn entries_expected(&self) -> usize {
        const MORE: usize = 64;
        let files = usize::try_from(self.files).unwrap_or_default();
        files.saturating_add(2 * self.folders.len() + MORE)
    }

    /// Number of files.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FileKind;

    fn stat(ino: u64, ctime_secs: i64) -> Stat {
        let time = Mtime {
            secs: ctime_secs,
            nanos: 0,
        };
        Stat {
            dev: 1,
            ino,
            kind: FileKind::File,
            mode: 0o644,
            raw_mode: 0o100_644,
            size: 3,
            mtime: time,
            ctime: time,
            nlink: 1,
        }
    }

    #[test]
    fn only_a_file_with_the_same_stat_is_vouched_for() {
        let path = RelPath::new(*b"a").unwrap();
        let line = (&path, Stamp::of(&stat(7, 100)), Digest::of(b"x"));
        let index = Index::new(1, [line]);
        let digest = |stat| index.digest(&path, &stat);
        assert_eq!(digest(stat(7, 100)), Some(Digest::of(b"x")));
        assert_eq!(digest(stat(8, 100)), None, "another inode");
        assert_eq!(digest(stat(7, 101)), None, "another ctime");
    }

    #[test]
    fn a_file_is_settled_two_seconds_after_its_ctime() {
        let stamp = Stamp::of(&stat(7, 100));
        assert!(stamp.is_settled(102));
        assert!(!stamp.is_settled(101));
    }

    #[test]
    fn files_are_found_in_their_own_directory_and_in_the_order_of_their_names() {
        let names = ["a", "b/a", "b/c/a", "b/d", "b.x/a", "c"];
        let paths = names.map(|n| RelPath::new(n.as_bytes()).unwrap());
        let files = paths.iter().zip(1..);
        let files = files.map(|(p, n)| (p, Stamp::of(&stat(n, 100)), Digest::of(p.as_bytes())));
        let index = Index::new(1, files);
        assert_eq!(index.files(), 6);
        for (path, inode) in paths.iter().zip(1..) {
            assert_eq!(
                index.digest(path, &stat(inode, 100)),
                Some(Digest::of(path.as_bytes())),
                "{path:?}"
            );
        }
        let b = RelPath::new(*b"b").unwrap();
        let known = index.known(Some(&b));
        let mut lines = known.lines();
        assert!(lines.find(b"0").is_none());
        assert!(lines.find(b"a").is_some());
        assert!(lines.find(b"c").is_none(), "a directory");
        assert!(lines.find(b"d").is_some());
        assert!(lines.find(b"e").is_none());
        for (path, inode) in paths.iter().zip(1..) {
            let known = index.under_another_name(&stat(inode, 100)).unwrap();
            assert_eq!(known.digest, Digest::of(path.as_bytes()));
        }
        assert!(
            index.under_another_name(&stat(3, 101)).is_none(),
            "another ctime"
        );
        assert!(index.under_another_name(&stat(9, 100)).is_none());
    }
}
