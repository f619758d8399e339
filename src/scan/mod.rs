//! Walks a root to a [`Tree`]: what is there, in scope, readable, and the digest of each file.
//!
//! What cannot be read, is excluded or special is part of the tree as a skipped entry, so that nothing is
//! concluded from its absence. Content is read only where the index does not vouch for it. Not here: what
//! the tree is compared with.

mod content;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::disk::{Root, Stat};
use crate::model::{Entry, Node, RelPath, Skip, Tree};
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
    /// For each entry of the tree, in its order, the stat of a file.
    stamps: Vec<Option<Stamp>>,
    /// What is left alone and worth a word: not what is excluded.
    pub problems: Vec<Problem>,
    dev: u64,
    now_secs: i64,
    is_indexed: bool,
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
    /// A tree that is known without having been walked: no stat vouches for its contents.
    #[must_use]
    pub fn of_tree(tree: Tree) -> Self {
        Self {
            tree,
            ..Self::default()
        }
    }

    /// This scan with some paths changed since. Stats of unchanged files go on to vouch for them.
    #[must_use]
    pub fn with_changes(self, changes: impl IntoIterator<Item = (RelPath, Option<Node>)>) -> Self {
        let tree = self.tree.with_changes(changes);
        let mut old = self.tree.entries().iter().zip(&self.stamps).peekable();
        let stamp_of = |entry: &Entry| {
            while old.next_if(|(e, _)| e.path < entry.path).is_some() {}
            let (known, stamp) = old.next_if(|(e, _)| e.path == entry.path)?;
            stamp.filter(|_| known.node == entry.node)
        };
        let stamps = tree.entries().iter().map(stamp_of).collect();
        Self {
            tree,
            stamps,
            is_indexed: false,
            ..self
        }
    }

    /// The index for the next scan.
    #[must_use]
    pub fn index(&self) -> Index {
        let files = self
            .tree
            .entries()
            .iter()
            .zip(&self.stamps)
            .filter_map(|(entry, stamp)| {
                let digest = match &entry.node {
                    Node::File { digest, .. } => *digest,
                    _ => return None,
                };
                Some((&entry.path, (*stamp)?, digest))
            });
        Index::new(self.dev, files, self.now_secs)
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

    /// The stat that the file at `path` had when its content was hashed.
    #[must_use]
    pub fn stat(&self, path: &RelPath) -> Option<Stat> {
        let at = self
            .tree
            .entries()
            .binary_search_by(|e| e.path.cmp(path))
            .ok()?;
        let mode = self.tree.entries().get(at)?.node.mode()?;
        Some((*self.stamps.get(at)?)?.to_stat(self.dev, mode.bits()))
    }
}
