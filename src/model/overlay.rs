//! [`Overlay`]: how a tree differs from the entries it shares with others. [`Entries`]: both, as one.

use std::iter::Peekable;

use super::entry::{Entry, Node};
use super::path::RelPath;

/// What of some entries, the ground, is not in a tree, and what is there beside them. It says nothing that the ground says
/// as well: two overlays of one ground are equal if their trees are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Overlay {
    /// Positions in the ground, ascending.
    hidden: Vec<usize>,
    /// In the order of their paths.
    added: Vec<Entry>,
    /// For each of `added` the position in the ground before which it comes.
    places: Vec<usize>,
}

impl Overlay {
    /// How many entries differ, one that is replaced counted twice.
    pub(super) fn len(&self) -> usize {
        self.hidden.len() + self.added.len()
    }

    /// What it adds, in order.
    pub(super) fn into_added(self) -> Vec<Entry> {
        self.added
    }

    /// The entries of `ground` as they are under this.
    pub(super) fn over<'a>(&'a self, ground: &'a [Entry]) -> Entries<'a> {
        Entries {
            ground,
            at: 0,
            hidden: &self.hidden,
            added: &self.added,
            places: &self.places,
        }
    }

    /// What stands at `path`, and how many entries come before it.
    pub(super) fn find<'a>(
        &'a self,
        ground: &'a [Entry],
        path: &RelPath,
    ) -> Option<(usize, &'a Entry)> {
        let by_path = |entry: &Entry| entry.path.cmp(path);
        let hidden_before = |at| self.hidden.partition_point(|hidden| *hidden < at);
        if let Ok(added) = self.added.binary_search_by(by_path) {
            let at = *self.places.get(added)?;
            return Some((at - hidden_before(at) + added, &self.added[added]));
        }
        let at = ground.binary_search_by(by_path).ok()?;
        if self.hidden.binary_search(&at).is_ok() {
            return None;
        }
        let added_before = self.places.partition_point(|place| *place <= at);
        Some((at - hidden_before(at) + added_before, &ground[at]))
    }

    /// This with those of `changes` that are in order, up to the first one that is not. Of two changes of one path the later
    /// one counts.
    pub(super) fn with_sorted<I>(&self, ground: &[Entry], changes: &mut Peekable<I>) -> Self
    where
        I: Iterator<Item = (RelPath, Option<Node>)>,
    {
        let mut next = Self::default();
        let more = changes.size_hint().0;
        next.added.reserve(self.added.len() + more);
        next.places.reserve(self.places.len() + more);
        let mut hidden = self.hidden.iter().copied().peekable();
        let mut added = self.added.iter().zip(&self.places).peekable();
        let (mut at, mut last) = (0, None::<RelPath>);
        while let Some((path, node)) =
            changes.next_if(|(path, _)| last.as_ref().is_none_or(|last| last <= path))
        {
            at += distance(&ground[at..], &path);
            while let Some((entry, place)) = added.next_if(|(entry, _)| entry.path < path) {
                next.add(*place, entry.clone());
            }
            while let Some(hidden) = hidden.next_if(|hidden| *hidden < at) {
                next.hidden.push(hidden);
            }
            // What was hidden or put there before is of no more account.
            let below = ground.get(at).filter(|entry| entry.path == path);
            if below.is_some() {
                hidden.next_if_eq(&at);
                next.hidden.pop_if(|hidden| *hidden == at);
            }
            added.next_if(|(entry, _)| entry.path == path);
            if next.added.pop_if(|entry| entry.path == path).is_some() {
                next.places.pop();
            }
            if below.map(|entry| &entry.node) != node.as_ref() {
                next.hidden.extend(below.map(|_| at));
                if let Some(node) = node {
                    // The bytes of a path are shared with the ground.
                    let path = below.map_or_else(|| path.clone(), |entry| entry.path.clone());
                    next.add(at, Entry { path, node });
                }
            }
            last = Some(path);
        }
        next.hidden.extend(hidden);
        added.for_each(|(entry, place)| next.add(*place, entry.clone()));
        next
    }

    fn add(&mut self, place: usize, entry: Entry) {
        self.places.push(place);
        self.added.push(entry);
    }
}

/// How many of `entries` come before `path`: a few, or a search in steps that double.
fn distance(entries: &[Entry], path: &RelPath) -> usize {
    let (mut from, mut step) = (0, 1);
    while entries.get(from + step - 1).is_some_and(|e| e.path < *path) {
        from += step;
        step *= 2;
    }
    let end = entries.len().min(from + step - 1);
    from + entries[from..end].partition_point(|e| e.path < *path)
}

/// The entries of a tree, in order.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    /// Those that are left.
    ground: &'a [Entry],
    /// Where the first of them was.
    at: usize,
    hidden: &'a [usize],
    added: &'a [Entry],
    places: &'a [usize],
}

impl<'a> Iterator for Entries<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        loop {
            if let Some((place, places)) = self.places.split_first()
                && *place == self.at
            {
                self.places = places;
                return self.added.split_off_first();
            }
            let entry = self.ground.split_off_first()?;
            let at = self.at;
            self.at += 1;
            match self.hidden.split_first() {
                Some((hidden, rest)) if *hidden == at => self.hidden = rest,
                _ => return Some(entry),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.ground.len() - self.hidden.len() + self.added.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Entries<'_> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Mode, Tree};

    type Change = (RelPath, Option<Node>);

    /// Few paths and few nodes, so that changes meet.
    fn change() -> impl Strategy<Value = Change> {
        let path = (0..3_usize, 0..6_u8).prop_map(|(depth, letter)| {
            let name = ["", "a/", "a/b/"][depth].to_owned()
                + ["a", "b", "c", "d", "e", "f"][usize::from(letter)];
            RelPath::new(name.as_bytes()).unwrap()
        });
        let node = (0..3_u16).prop_map(|bits| Node::Dir {
            mode: Mode::from(bits),
        });
        (path, prop::option::weighted(0.7, node))
    }

    /// What a tree is taken for.
    type Model = BTreeMap<RelPath, Node>;

    fn change_model(model: &mut Model, changes: &[Change]) {
        for (path, node) in changes {
            match node {
                Some(node) => model.insert(path.clone(), node.clone()),
                None => model.remove(path),
            };
        }
    }

    fn is_like(tree: &Tree, model: &Model) -> Result<(), TestCaseError> {
        let pairs: Vec<_> = tree.entries().map(|e| (&e.path, &e.node)).collect();
        prop_assert_eq!(pairs, model.iter().collect::<Vec<_>>());
        prop_assert_eq!(tree.len(), model.len());
        let mut left = tree.entries();
        for expected in (0..model.len()).rev() {
            left.next();
            prop_assert_eq!(left.len(), expected);
        }
        for letter in b'a'..=b'g' {
            for dir in [&b""[..], b"a/", b"a/b/"] {
                let path = RelPath::new([dir, &[letter]].concat()).unwrap();
                let before = model.range(..&path).count();
                let expected = model.get(&path).map(|node| (before, node));
                prop_assert_eq!(tree.find(&path), expected);
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_tree_that_was_changed_is_like_a_map_that_was(
            steps in prop::collection::vec(prop::collection::vec(change(), 0..6), 1..8),
            start in prop::collection::vec(change(), 0..18),
        ) {
            let mut model = Model::new();
            change_model(&mut model, &start);
            let mut tree = Tree::default().with_changes(start);
            is_like(&tree, &model)?;
            for changes in steps {
                change_model(&mut model, &changes);
                tree = tree.with_changes(changes);
                is_like(&tree, &model)?;
                let entry = |(path, node): (&RelPath, &Node)| Entry { path: path.clone(), node: node.clone() };
                let own: Tree = model.iter().map(entry).collect();
                prop_assert_eq!(&tree, &own);
                prop_assert_eq!(tree.view_digest(), own.view_digest());
            }
        }

        #[test]
        fn changes_of_one_tree_are_known_to_come_to_the_same(
            start in prop::collection::vec(change(), 18),
            one in prop::collection::vec(change(), 0..3),
            other in prop::collection::vec(change(), 0..3),
        ) {
            let start: Tree = start.into_iter().filter_map(|(path, node)| Some(Entry { path, node: node? })).collect();
            let [a, b] = [&one, &other].map(|changes| start.with_changes(changes.clone()));
            let are_equal = a.entries().eq(b.entries());
            prop_assert_eq!(a == b, are_equal);
            let is_shared = |changes: usize| changes * 8 <= start.len();
            if are_equal && is_shared(one.len()) && is_shared(other.len()) {
                prop_assert!(a.shares_with(&b));
            }
            prop_assert!(are_equal || !a.shares_with(&b));
        }
    }

    #[test]
    fn distances_are_those_of_a_search() {
        let entry = |n: usize| Entry {
            path: RelPath::new(format!("{n:03}").as_bytes()).unwrap(),
            node: Node::Dir {
                mode: Mode::from(0),
            },
        };
        for len in [0, 1, 2, 3, 7, 8, 9, 40] {
            let entries: Vec<_> = (0..len).map(|n| entry(2 * n)).collect();
            for n in 0..=2 * len + 1 {
                let path = entry(n).path;
                let expected = entries.iter().filter(|e| e.path < path).count();
                assert_eq!(distance(&entries, &path), expected, "{n} of {len}");
            }
        }
    }
}
