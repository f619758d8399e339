//! Walks a root to a [`Tree`]: what is there, in scope, readable, and the digest of each file.
//!
//! What cannot be read, is excluded or special is part of the tree as a skipped entry, so that nothing is
//! concluded from its absence. Content is read only where the index does not vouch for it. Not here: what
//! the tree is compared with.

mod assembly;
mod content;
mod handles;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::disk::{FileKind, Root, Stat};
use crate::model::{Entry, Mtime, Node, RelPath, Skip, Tree};
use crate::protocol::message::Problem;
use crate::state::{Index, Stamp};

pub use content::hash_file;

/// Decides whether an entry whose parents are in scope is excluded.
pub type Excludes<'a> = &'a (dyn Fn(&RelPath, bool) -> bool + Sync);

/// What a scan is asked for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Whether a path (and a directory?) is excluded.
    pub excludes: Excludes<'a>,
    /// Stats and the contents they vouch for.
    pub index: &'a Index,
    /// Whether the index is believed. If not, every file is read, and one that is not what the index says is
    /// a problem ([`Skip::Altered`]).
    pub trust: bool,
    /// The clock, in seconds since 1970.
    pub now_secs: i64,
    /// How far it got, for people.
    pub progress: &'a Progress,
    /// Set when the user wants to stop.
    pub interrupted: &'a AtomicBool,
    /// Whether contents matter; if not, every file has the digest of nothing.
    pub contents: bool,
}

/// How far a scan got.
#[derive(Debug, Default)]
pub struct Progress {
    /// Entries found.
    pub entries: AtomicU64,
    /// Bytes read to hash them.
    pub bytes_hashed: AtomicU64,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The entries.
    pub tree: Tree,
    /// For each entry of the tree, in its order, that of a file.
    witnesses: Vec<Option<Witness>>,
    /// What is left alone and worth a word: not what is excluded.
    pub problems: Vec<Problem>,
    dev: u64,
    is_indexed: bool,
}

/// What the stat of a file tells beside its node, narrowly: there is one for each file of a tree.
#[derive(Debug, Clone, Copy)]
struct Witness {
    ino: u64,
    ctime_secs: i64,
    ctime_nanos: u32,
    raw_mode: u16,
    /// Whether the stat vouches for the content as long as it stays the same.
    lasts: bool,
}

impl Witness {
    fn new(stat: &Stat, lasts: bool) -> Self {
        Self {
            ino: stat.ino,
            ctime_secs: stat.ctime.secs,
            ctime_nanos: stat.ctime.nanos,
            // The kind and twelve bits: no more is in use.
            raw_mode: u16::try_from(stat.raw_mode).unwrap_or_default(),
            lasts,
        }
    }

    /// The stat of the file `node` on the file system `dev`; `None` for another kind.
    fn stat(&self, dev: u64, node: &Node) -> Option<Stat> {
        let Node::File {
            size, mode, mtime, ..
        } = node
        else {
            return None;
        };
        Some(Stat {
            dev,
            ino: self.ino,
            kind: FileKind::File,
            mode: mode.bits(),
            raw_mode: self.raw_mode.into(),
            size: *size,
            mtime: *mtime,
            ctime: Mtime {
                secs: self.ctime_secs,
                nanos: self.ctime_nanos,
            },
            nlink: 1,
        })
    }
}

/// Why a scan has no result.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The root itself cannot be read.
    #[error(transparent)]
    Disk(#[from] crate::disk::DiskError),
    /// The user wanted to stop.
    #[error("interrupted")]
    Interrupted,
    /// More entries than rsyn handles.
    #[error("the tree has more than {0} entries")]
    TooMany(usize),
    /// The rules cost more comparisons than a walk may take; at the rule that is named.
    #[error(
        "the exclude rules take too long to compare with the paths of this tree (the limit was reached at {0})"
    )]
    Rules(String),
    /// The entries did not come in order; an incomplete tree would look like deletions.
    #[error("the scan lost its order; nothing is concluded from it")]
    Disorder,
}

/// Scans `root`, on two threads.
///
/// # Errors
/// [`ScanError`] if the root directory itself cannot be read. Trouble further down is part of the result.
pub fn scan(root: &Root, request: &Request<'_>) -> Result<Scan, ScanError> {
    walk::walk(root, request)
}

/// The names, kinds and stats below `root`, without reading any content.
///
/// # Errors
/// As [`scan`].
pub fn names(
    root: &Root,
    excludes: Excludes<'_>,
    interrupted: &AtomicBool,
) -> Result<Scan, ScanError> {
    let (index, progress) = (Index::default(), Progress::default());
    let request = Request {
        excludes,
        index: &index,
        trust: true,
        now_secs: 0,
        progress: &progress,
        interrupted,
        contents: false,
    };
    scan(root, &request)
}

impl Scan {
    /// This scan after a transaction that made `tree` of its tree. Stats of unchanged files go on to vouch for them,
    /// and those of `placed`, in path order, for what was placed.
    #[must_use]
    pub fn followed_by(self, tree: Tree, placed: &[(RelPath, Stat)]) -> Self {
        let mut old = self.tree.entries().zip(&self.witnesses).peekable();
        let (first, mut placed) = (placed.first(), placed.iter().peekable());
        let witness_of = |entry: &Entry| {
            while old.next_if(|(e, _)| e.path < entry.path).is_some() {}
            while placed.next_if(|(path, _)| *path < entry.path).is_some() {}
            if let Some((_, stat)) = placed.next_if(|(path, _)| *path == entry.path) {
                return Some(Witness::new(stat, true));
            }
            let (known, witness) = old.next_if(|(e, _)| e.path == entry.path)?;
            witness.filter(|_| known.node == entry.node)
        };
        let witnesses = tree.entries().map(witness_of).collect();
        // A root that was made for the transaction was never scanned.
        let dev = first.map_or(self.dev, |(_, stat)| stat.dev);
        Self {
            tree,
            witnesses,
            dev,
            is_indexed: false,
            ..self
        }
    }

    /// The index for the next scan.
    #[must_use]
    pub fn index(&self) -> Index {
        let entries = self.tree.entries().zip(&self.witnesses);
        let files = entries.filter_map(|(Entry { path, node }, witness)| {
            let Node::File { digest, .. } = node else {
                return None;
            };
            let witness = witness.filter(|witness| witness.lasts)?;
            let stat = witness.stat(self.dev, node)?;
            Some((path, Stamp::of(&stat), *digest))
        });
        Index::new(self.dev, files)
    }

    /// Whether the index that the scan used says all that [`Self::index`] would say, and nothing else.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.is_indexed
    }

    /// The files whose content is not what the index says, though their stat is.
    pub fn altered(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|p| p.skip == Skip::Altered)
    }

    /// The files of which a stat is known, in path order, and their inodes.
    pub fn files(&self) -> impl Iterator<Item = (&RelPath, u64)> {
        let entries = self.tree.entries().zip(&self.witnesses);
        entries.filter_map(|(entry, witness)| Some((&entry.path, witness.as_ref()?.ino)))
    }

    /// The stat that the file at `path` had when its content was hashed.
    #[must_use]
    pub fn stat(&self, path: &RelPath) -> Option<Stat> {
        let (at, node) = self.tree.find(path)?;
        (*self.witnesses.get(at)?)?.stat(self.dev, node)
    }
}
