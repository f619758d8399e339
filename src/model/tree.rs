//! [`Tree`]: the entries of one side, sorted, each path once.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize, Serializer};

use super::entry::{Entry, Node};
use super::hash::Digest;
use super::overlay::{Entries, Overlay};
use super::path::RelPath;
use super::tree_hasher::TreeHasher;

/// A tree that differs from another one in more than one entry in so many has entries of its own.
const SHARING: usize = 4;

/// Entries in the order of [`RelPath`], each path once. The root itself is not an entry.
///
/// A clone shares the entries and what was hashed of them, and a tree that was made of another one by some changes shares the
/// entries: what is here, what both sides agreed on, and the hub as it was seen then, are mostly one tree, or nearly.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Vec<Entry>")]
pub struct Tree {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// In order.
    ground: Arc<Vec<Entry>>,
    /// How the tree differs from them.
    overlay: Overlay,
    digest: OnceLock<Digest>,
    view_digest: OnceLock<Digest>,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.shares_with(other) || self.entries().eq(other.entries())
    }
}

impl Eq for Tree {}

/// Entries that are in no strictly ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the entries of a tree are not in order")]
pub struct OutOfOrder;

impl TryFrom<Vec<Entry>> for Tree {
    type Error = OutOfOrder;
    fn try_from(entries: Vec<Entry>) -> Result<Self, OutOfOrder> {
        Self::from_sorted(entries).ok_or(OutOfOrder)
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.entries())
    }
}

impl Tree {
    /// Sorts `entries`. Of two with one path the later one wins.
    #[must_use]
    pub fn from_unsorted(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.reverse();
        entries.dedup_by(|a, b| a.path == b.path);
        entries.reverse();
        Self::of(entries)
    }

    fn of(entries: Vec<Entry>) -> Self {
        Self::over(Arc::new(entries), Overlay::default())
    }

    fn over(ground: Arc<Vec<Entry>>, overlay: Overlay) -> Self {
        let shared = Shared {
            ground,
            overlay,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes entries that are in strictly ascending order already; `None` if they are not.
    #[must_use]
    pub fn from_sorted(entries: Vec<Entry>) -> Option<Self> {
        let ascending = entries.windows(2).all(|pair| pair[0].path < pair[1].path);
        ascending.then(|| Self::of(entries))
    }

    /// The entries in order.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        self.shared.overlay.over(&self.shared.ground)
    }

    /// Whether they share what tells that they are equal, so that they need not be compared.
    #[must_use]
    pub fn shares_with(&self, other: &Self) -> bool {
        let (a, b) = (&self.shared, &other.shared);
        Arc::ptr_eq(a, b) || Arc::ptr_eq(&a.ground, &b.ground) && a.overlay == b.overlay
    }

    /// What stands at `path`.
    #[must_use]
    pub fn get(&self, path: &RelPath) -> Option<&Node> {
        self.find(path).map(|(_, node)| node)
    }

    /// What stands at `path`, and how many entries come before it.
    #[must_use]
    pub fn find(&self, path: &RelPath) -> Option<(usize, &Node)> {
        let found = self.shared.overlay.find(&self.shared.ground, path);
        found.map(|(at, entry)| (at, &entry.node))
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// This tree with some paths changed: `Some` puts a node there, `None` takes it away. Of two changes of one path the later
    /// one counts.
    #[must_use]
    pub fn with_changes(&self, changes: impl IntoIterator<Item = (RelPath, Option<Node>)>) -> Self {
        let Shared {
            ground, overlay, ..
        } = &*self.shared;
        let mut changes = changes.into_iter().peekable();
        if changes.peek().is_none() {
            return self.clone();
        }
        // Those of a plan are many, and in order: they need no place of their own.
        let mut overlay = overlay.with_sorted(ground, &mut changes);
        let mut rest: Vec<_> = changes.collect();
        if !rest.is_empty() {
            rest.sort_by(|a, b| a.0.cmp(&b.0));
            overlay = overlay.with_sorted(ground, &mut rest.into_iter().peekable());
        }
        if overlay.len() * SHARING <= ground.len() {
            return Self::over(Arc::clone(ground), overlay);
        }
        Self::of(match ground.is_empty() {
            true => overlay.into_added(),
            false => overlay.over(ground).cloned().collect(),
        })
    }

    /// One digest for the whole tree, equal on every machine that holds the same versions: paths, kinds,
    /// contents, permission bits, link targets. Neither mtimes nor skipped entries count.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let digest = &self.shared.digest;
        *digest.get_or_init(|| self.digest_with(TreeHasher::of_versions()))
    }

    /// As [`Tree::digest`], but mtimes and what is skipped count as well: two scans of one root are told apart
    /// by all that a plan depends on. An mtime travels with its content, and decides under `newer`.
    #[must_use]
    pub fn view_digest(&self) -> Digest {
        let digest = &self.shared.view_digest;
        *digest.get_or_init(|| self.digest_with(TreeHasher::of_view()))
    }

    fn digest_with(&self, mut hasher: TreeHasher) -> Digest {
        for Entry { path, node } in self.entries() {
            hasher.add(path.as_bytes(), node);
        }
        hasher.finish()
    }
}

impl FromIterator<Entry> for Tree {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        Self::from_unsorted(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{Mode, Mtime};

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn file(text: &str, mtime_secs: i64) -> Node {
        Node::File {
            size: text.len() as u64,
            digest: Digest::of(text.as_bytes()),
            mode: Mode::from(0o644),
            mtime: Mtime {
                secs: mtime_secs,
                nanos: 0,
            },
        }
    }

    fn tree(entries: &[(&str, Node)]) -> Tree {
        entries
            .iter()
            .map(|(p, n)| Entry {
                path: path(p),
                node: n.clone(),
            })
            .collect()
    }

    #[test]
    fn changes_replace_add_and_remove_in_order() {
        let before = tree(&[
            ("a", file("1", 0)),
            ("b", file("2", 0)),
            ("d", file("4", 0)),
        ]);
        let after = before.with_changes([
            (path("d"), None),
            (path("c"), Some(file("3", 0))),
            (path("a"), Some(file("one", 0))),
            (path("nothing"), None),
        ]);
        assert_eq!(
            after,
            tree(&[
                ("a", file("one", 0)),
                ("b", file("2", 0)),
                ("c", file("3", 0))
            ])
        );
    }

    #[test]
    fn of_two_changes_of_a_path_the_later_one_counts_in_whatever_order_they_come() {
        let before = tree(&[("a", file("1", 0)), ("b", file("2", 0))]);
        let (new, newer) = (Some(file("new", 0)), Some(file("newer", 0)));
        for (changes, expected) in [
            (vec![("b", new.clone()), ("b", newer.clone())], "newer"),
            (vec![("b", None), ("b", newer.clone())], "newer"),
            (
                vec![("b", new.clone()), ("a", None), ("b", newer.clone())],
                "newer",
            ),
            (
                vec![("b", newer), ("a", None), ("b", None), ("b", new)],
                "new",
            ),
        ] {
            let changes = changes.into_iter().map(|(at, node)| (path(at), node));
            let after = before.with_changes(changes);
            let b = after.entries().last().map(|entry| &entry.node);
            assert_eq!(b, Some(&file(expected, 0)));
        }
        let gone = [("b", Some(file("new", 0))), ("b", None)];
        let after = before.with_changes(gone.map(|(at, node)| (path(at), node)));
        assert_eq!(after, tree(&[("a", file("1", 0))]));
    }

    #[test]
    fn digest_ignores_mtimes_and_sees_everything_else() {
        let base = tree(&[("a", file("1", 0))]);
        assert_eq!(base.digest(), tree(&[("a", file("1", 99))]).digest());
        assert_ne!(base.digest(), tree(&[("a", file("2", 0))]).digest());
        assert_ne!(base.digest(), tree(&[("b", file("1", 0))]).digest());
        assert_ne!(base.digest(), Tree::default().digest());
    }

    #[test]
    fn digest_of_a_large_tree_sees_each_entry() {
        let entries: Vec<_> = (0..3000)
            .map(|n| (format!("{n:04}"), file("1", 0)))
            .collect();
        let digest = |changed: usize| {
            let mut entries = entries.clone();
            entries[changed].1 = file("2", 0);
            let entries: Vec<_> = entries
                .iter()
                .map(|(p, n)| (p.as_str(), n.clone()))
                .collect();
            tree(&entries).digest()
        };
        let mut digests: Vec<_> = (0..3000).step_by(37).chain([2999]).map(digest).collect();
        digests.sort_unstable();
        let all = digests.len();
        digests.dedup();
        assert_eq!(digests.len(), all);
    }

    #[test]
    fn the_digest_of_a_view_sees_mtimes_and_what_is_skipped() {
        let base = tree(&[("a", file("1", 0))]);
        let skipped = Node::Skipped(crate::model::Skip::Special);
        assert_ne!(
            base.view_digest(),
            tree(&[("a", file("1", 99))]).view_digest()
        );
        let more = tree(&[("a", file("1", 0)), ("b", skipped)]);
        assert_ne!(base.view_digest(), more.view_digest());
        assert_eq!(base.digest(), more.digest());
    }
}
