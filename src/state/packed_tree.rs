//! [`PackedTree`]: a tree as it lies in a state file. It can be compared, and changed, without being there entry by entry: of
//! a large tree that takes twice as much memory, and mostly a few entries are other ones.

use std::io;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::part::Part;
use super::{Result, StateError};
use crate::model::encoding::{append, encode};
use crate::model::path::{MAX_PATH_BYTES, compare_bytes};
use crate::model::tree_hasher::TreeHasher;
use crate::model::{Digest, Entry, Node, RelPath, Tree};

/// A node takes no more, without the target of a link: kind, size or length, digest, permission bits, mtime.
const MOST_NODE_BYTES: usize = 1 + 10 + 32 + 3 + 10 + 5;
/// The most that a length takes.
const MOST_LENGTH_BYTES: usize = 10;
/// No entry takes more.
const MOST_ENTRY_BYTES: usize = 2 * (MOST_LENGTH_BYTES + MAX_PATH_BYTES) + MOST_NODE_BYTES;

/// A tree in postcard, with its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PackedTree {
    view: Digest,
    entries: Part,
    /// What was unpacked, for whoever asks next.
    #[serde(skip)]
    unpacked: OnceLock<Tree>,
}

impl Default for PackedTree {
    fn default() -> Self {
        Self::of(&Tree::default())
    }
}

impl PackedTree {
    /// Packs `tree`.
    pub(super) fn of(tree: &Tree) -> Self {
        // What cannot be encoded, and no tree is that, is damaged when it is asked for.
        Self::from_parts(tree.view_digest(), encode(tree).unwrap_or_default())
    }

    fn from_parts(view: Digest, entries: Vec<u8>) -> Self {
        Self {
            view,
            entries: Part::Here(entries),
            unpacked: OnceLock::new(),
        }
    }

    /// As [`Tree::view_digest`].
    pub(super) fn view(&self) -> Digest {
        self.view
    }

    /// Whether it is `tree`, by all that [`Tree::view_digest`] sees.
    pub(super) fn is(&self, tree: &Tree) -> bool {
        self.view == tree.view_digest()
    }

    /// The tree. If it is `known`, that one is shared and nothing has to be unpacked; otherwise the paths that both have are.
    ///
    /// # Errors
    /// [`StateError::Damaged`], by the name of `file`, if it is none, or cannot be read again.
    pub(super) fn open(&self, known: &Tree, file: &str) -> Result<Tree> {
        if self.is(known) {
            return Ok(known.clone());
        }
        match self.unpacked.get() {
            Some(tree) => Ok(tree.clone()),
            None => {
                let tree = self.unpack(known).map_err(|Torn| damaged(file))?;
                Ok(self.unpacked.get_or_init(|| tree).clone())
            }
        }
    }

    fn unpack(&self, known: &Tree) -> std::result::Result<Tree, Torn> {
        let mut changes = Vec::new();
        let mut stood = known.entries().peekable();
        self.each(|Lies { path, node, .. }| {
            while let Some(gone) = stood.next_if(|e| is_before(e.path.as_bytes(), path)) {
                changes.push((gone.path.clone(), None));
            }
            match stood.next_if(|entry| entry.path.as_bytes() == path) {
                Some(same) if same.node == node => {}
                Some(other) => changes.push((other.path.clone(), Some(node))),
                None => changes.push((RelPath::new(path).map_err(|_| Torn)?, Some(node))),
            }
            Ok(())
        })?;
        changes.extend(stood.map(|gone| (gone.path.clone(), None)));
        Ok(known.with_changes(changes))
    }

    /// As [`Tree::with_changes`]. Tells `differs` the paths at which something else stands then.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn with_changes(
        &self,
        changes: Vec<(RelPath, Option<Node>)>,
        file: &str,
        differs: impl FnMut(&RelPath),
    ) -> Result<Self> {
        let changed = self.changed(changes, differs);
        changed.map_err(|Torn| damaged(file))
    }

    fn changed(
        &self,
        mut changes: Vec<(RelPath, Option<Node>)>,
        mut differs: impl FnMut(&RelPath),
    ) -> std::result::Result<Self, Torn> {
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        // Of two of one path the later one stays.
        changes.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        let more: usize = changes.iter().map(most_bytes).sum();
        let mut packing = Packing::with_room_for(self.entries.len() + more);
        let mut changes = changes.into_iter().peekable();
        let mut change = |packing: &mut Packing, (path, node), stood: Option<Node>| {
            if stood != node {
                differs(&path);
            }
            match node {
                Some(node) => packing.add(&Entry { path, node }),
                None => Ok(()),
            }
        };
        self.each(|lies| {
            let path = lies.path;
            while let Some(new) = changes.next_if(|(new, _)| is_before(new.as_bytes(), path)) {
                change(&mut packing, new, None)?;
            }
            match changes.next_if(|(new, _)| new.as_bytes() == path) {
                Some(new) => change(&mut packing, new, Some(lies.node)),
                None => {
                    packing.copy(&lies);
                    Ok(())
                }
            }
        })?;
        for new in changes {
            change(&mut packing, new, None)?;
        }
        packing.finish()
    }

    /// Hands out the entries as they lie there, in the order of their paths, each path once.
    fn each(
        &self,
        mut take: impl FnMut(Lies<'_>) -> std::result::Result<(), Torn>,
    ) -> std::result::Result<(), Torn> {
        let mut left: Option<usize> = None;
        let mut last = Vec::new();
        self.entries.pass(|window, is_last| {
            let mut rest = window;
            let mut left_here = match left {
                Some(left) => left,
                None if !is_last && window.len() < MOST_LENGTH_BYTES => return Ok(0),
                None => next(&mut rest)?,
            };
            // What is cut off here comes again.
            while left_here > 0 && (is_last || rest.len() >= MOST_ENTRY_BYTES) {
                let lies = Lies::next(&mut rest)?;
                if !is_before(&last, lies.path) {
                    return Err(Torn);
                }
                last.clear();
                last.extend_from_slice(lies.path);
                left_here -= 1;
                take(lies)?;
            }
            left = Some(left_here);
            match is_last && !rest.is_empty() {
                true => Err(Torn),
                false => Ok(window.len() - rest.len()),
            }
        })
    }
}

fn is_before(a: &[u8], b: &[u8]) -> bool {
    compare_bytes(a, b).is_lt()
}

/// What a change takes in a packed tree, at most.
fn most_bytes((path, node): &(RelPath, Option<Node>)) -> usize {
    let target = match node {
        None => return 0,
        Some(Node::Symlink { target, .. }) => target.len(),
        Some(_) => 0,
    };
    MOST_LENGTH_BYTES + path.as_bytes().len() + MOST_NODE_BYTES + target
}

/// The bytes are no tree.
#[derive(Debug)]
struct Torn;

impl From<io::Error> for Torn {
    fn from(_: io::Error) -> Self {
        Self
    }
}

fn damaged(file: &str) -> StateError {
    StateError::Damaged {
        file: file.to_owned(),
    }
}

/// An entry as it lies in a packed tree.
struct Lies<'a> {
    path: &'a [u8],
    node: Node,
    /// The whole of it.
    bytes: &'a [u8],
}

impl<'a> Lies<'a> {
    fn next(rest: &mut &'a [u8]) -> std::result::Result<Self, Torn> {
        let here = *rest;
        let (path, node) = next::<(&serde_bytes::Bytes, Node)>(rest)?;
        let bytes = &here[..here.len() - rest.len()];
        Ok(Self { path, node, bytes })
    }
}

/// Takes the value off that `rest` begins with.
fn next<'a, T: Deserialize<'a>>(rest: &mut &'a [u8]) -> std::result::Result<T, Torn> {
    let (value, behind) = postcard::take_from_bytes(rest).map_err(|_| Torn)?;
    *rest = behind;
    Ok(value)
}

/// A tree while it is packed, entry by entry.
struct Packing {
    bytes: Vec<u8>,
    entries: usize,
    view: TreeHasher,
}

impl Packing {
    fn with_room_for(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes + MOST_LENGTH_BYTES),
            entries: 0,
            view: TreeHasher::of_view(),
        }
    }

    fn copy(&mut self, lies: &Lies<'_>) {
        self.count(lies.path, &lies.node);
        self.bytes.extend_from_slice(lies.bytes);
    }

    fn add(&mut self, entry: &Entry) -> std::result::Result<(), Torn> {
        self.count(entry.path.as_bytes(), &entry.node);
        self.bytes = append(std::mem::take(&mut self.bytes), entry, 0).map_err(|_| Torn)?;
        Ok(())
    }

    fn count(&mut self, path: &[u8], node: &Node) {
        self.entries += 1;
        self.view.add(path, node);
    }

    fn finish(mut self) -> std::result::Result<PackedTree, Torn> {
        let length = encode(&self.entries).map_err(|_| Torn)?;
        self.bytes.splice(..0, length);
        self.bytes.shrink_to_fit();
        Ok(PackedTree::from_parts(self.view.finish(), self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::model::{Mode, Mtime};
    use crate::state::part;

    fn path(name: &str) -> RelPath {
        RelPath::new(name.as_bytes()).unwrap()
    }

    fn dir() -> Node {
        let mode = Mode::from(0o755);
        Node::Dir { mode }
    }

    fn file(text: &str) -> Node {
        Node::File {
            size: text.len() as u64,
            digest: Digest::of(text.as_bytes()),
            mode: Mode::from(0o777),
            mtime: Mtime {
                secs: i64::MIN,
                nanos: 999_999_999,
            },
        }
    }

    fn link(target: &[u8]) -> Node {
        Node::Symlink {
            target: target.into(),
            mtime: Mtime { secs: 1, nanos: 0 },
        }
    }

    fn tree(nodes: &[(&str, Node)]) -> Tree {
        let entry = |(name, node): &(&str, Node)| Entry {
            path: path(name),
            node: node.clone(),
        };
        nodes.iter().map(entry).collect()
    }

    fn dirs(names: &[&str]) -> Tree {
        let nodes: Vec<_> = names.iter().map(|name| (*name, dir())).collect();
        tree(&nodes)
    }

    fn unpacked(packed: &PackedTree) -> Tree {
        packed.open(&dirs(&["nothing of it"]), "file").unwrap()
    }

    #[test]
    fn a_tree_is_unpacked_unless_it_is_at_hand() {
        let packed = PackedTree::of(&dirs(&["a", "b"]));
        let (same, other) = (dirs(&["a", "b"]), dirs(&["a"]));

        let shared = packed.open(&same, "file").unwrap();
        assert!(shared.shares_with(&same));
        let unpacked = packed.open(&other, "file").unwrap();
        assert!(!unpacked.shares_with(&other));
        assert_eq!(unpacked, same);
        let again = packed.open(&other, "file").unwrap();
        assert!(again.shares_with(&unpacked));
    }

    #[test]
    fn what_is_unpacked_shares_the_paths_that_are_known() {
        let known = dirs(&["a", "a/b", "a.txt", "c"]);
        let all = dirs(&["a/b", "a.txt", "b", "d"]);
        let unpacked = PackedTree::of(&all).open(&known, "file").unwrap();
        assert_eq!(unpacked, all);
        let bytes = |tree: &Tree| -> Vec<_> {
            let at = |entry: &Entry| entry.path.as_bytes().as_ptr();
            tree.entries().map(at).collect()
        };
        let (known, unpacked) = (bytes(&known), bytes(&unpacked));
        assert_eq!(unpacked[..2], known[1..3]);
        assert!(unpacked[2..].iter().all(|at| !known.contains(at)));
    }

    #[test]
    fn a_tree_is_changed_as_it_lies_there() {
        let [a, b] = ["one", "two"].map(file);
        let old = tree(&[
            ("a", dir()),
            ("a/b", a.clone()),
            ("a.txt", link(b"target")),
            ("z", b.clone()),
        ]);
        let long = link(&[b'x'; 4000]);
        let put = |name, node: &Node| (path(name), Some(node.clone()));
        let gone = |name| (path(name), None);
        for (changes, differing) in [
            (vec![], &[][..]),
            (vec![put("a", &dir()), gone("nowhere")], &[]),
            (vec![put("a/b", &b), put("z", &a)], &["a/b", "z"]),
            (vec![put("0", &long), put("zz", &a)], &["0", "zz"]),
            (vec![gone("a.txt"), gone("z")], &["a.txt", "z"]),
            (vec![put("n", &a), gone("b"), put("a/a", &b)], &["a/a", "n"]),
            (vec![gone("z"), put("z", &b), put("z", &a)], &["z"]),
            (vec![put("n", &a), gone("n"), put("z", &b)], &[]),
        ] {
            let expected = old.with_changes(changes.clone());
            let mut told = Vec::new();
            let changed = PackedTree::of(&old)
                .with_changes(changes, "file", |path| told.push(path.clone()))
                .unwrap();
            assert_eq!(told, differing.iter().map(|p| path(p)).collect::<Vec<_>>());
            assert_eq!(unpacked(&changed), expected);
            assert_eq!(changed.view(), expected.view_digest());
            let packed = PackedTree::of(&expected);
            assert_eq!(encode(&changed).unwrap(), encode(&packed).unwrap());
        }
    }

    #[test]
    fn a_tree_that_stays_in_its_file_is_read_in_windows() {
        let name = |n: usize| format!("{n:05}{}", "/deeper".repeat(n % 500));
        let node = |n: usize| match n % 3 {
            0 => link(&vec![b'x'; n % MAX_PATH_BYTES]),
            _ => file("text"),
        };
        let entry = |n: usize| Entry {
            path: path(&name(n)),
            node: node(n),
        };
        let old: Tree = (0..3000).map(entry).collect();
        let bytes = encode(&PackedTree::of(&old)).unwrap();
        let mut on_disk = tempfile::tempfile().unwrap();
        on_disk.write_all(&bytes).unwrap();
        let packed: PackedTree = part::decode(on_disk, &bytes, |bytes| {
            postcard::from_bytes(bytes).unwrap()
        });
        assert!(matches!(packed.entries, Part::There(_)) && bytes.len() > 1_000_000);
        assert_eq!(unpacked(&packed), old);
        let known = old.with_changes([(path(&name(7)), None), (path("n"), Some(dir()))]);
        assert_eq!(packed.open(&known, "file").unwrap(), old);
        let changes = vec![(path(&name(1500)), None), (path("n"), Some(dir()))];
        let changed = packed.with_changes(changes.clone(), "file", |_| {});
        assert_eq!(unpacked(&changed.unwrap()), old.with_changes(changes));
    }

    #[test]
    fn the_room_for_a_change_is_enough() {
        for node in [dir(), file("text"), link(&[1; 4095])] {
            let change = (path("p/".repeat(100).trim_end_matches('/')), Some(node));
            let entry = encode(&(&change.0, change.1.as_ref().unwrap())).unwrap();
            assert!(entry.len() <= most_bytes(&change), "{change:?}");
        }
    }

    #[test]
    fn what_is_no_tree_is_damaged() {
        let whole = encode(&dirs(&["a", "b"])).unwrap();
        let one = [
            whole[1..whole.len() / 2 + 1].to_vec(),
            whole[whole.len() / 2 + 1..].to_vec(),
        ];
        let bad = [
            vec![],
            whole[..whole.len() - 1].to_vec(),
            [&whole[..], &[0]].concat(),
            [&[2][..], &one[1], &one[0]].concat(),
            [&[2][..], &one[0], &one[0]].concat(),
            vec![0xff; 9],
        ];
        assert_eq!([&[2][..], &one[0], &one[1]].concat(), whole);
        for bytes in bad {
            let packed = || PackedTree::from_parts(Digest::of(b""), bytes.clone());
            let opened = packed().open(&Tree::default(), "file");
            assert!(matches!(opened, Err(StateError::Damaged { file }) if file == "file"));
            let change = vec![(path("c"), Some(dir()))];
            let changed = packed().with_changes(change, "file", |_| {});
            assert!(matches!(changed, Err(StateError::Damaged { file }) if file == "file"));
        }
    }
}
