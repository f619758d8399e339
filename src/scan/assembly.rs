//! Puts listed directories together, each right before what is inside, which is the order of paths. What is listed
//! before its turn waits: walkers keep close to that order, so little does, whatever the size of the tree.

use super::{Scan, ScanError, Witness};
use crate::model::{Entry, Node, Tree};
use crate::protocol::message::Problem;

/// An entry of a listed directory.
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) witness: Option<Witness>,
    /// Number of the directory, if it is one to descend into.
    pub(super) directory: Option<usize>,
}

/// A directory that was listed, or why it could not be.
pub(super) type Listed = Result<Vec<Found>, Problem>;

/// The tree as far as it is put together.
#[derive(Default)]
pub(super) struct Assembly {
    /// By number; `None` before it is listed, and after it is in its place.
    listed: Vec<Option<Listed>>,
    /// What is left of the directory that is being put in its place, and of those around it, the innermost last.
    open: Vec<std::vec::IntoIter<Found>>,
    /// The number of the directory that comes next, and its entry; the root has none.
    next: Option<(usize, Option<Entry>)>,
    entries: Vec<Entry>,
    witnesses: Vec<Option<Witness>>,
}

impl Assembly {
    /// One that waits for the root, which has number 0, and has room for so many entries.
    pub(super) fn of_root(entries: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
            witnesses: Vec::with_capacity(entries),
            listed: vec![None],
            next: Some((0, None)),
            ..Self::default()
        }
    }

    /// The number of one more directory, which will be listed.
    pub(super) fn announce(&mut self) -> usize {
        self.listed.push(None);
        self.listed.len() - 1
    }

    /// Takes a directory, and puts in its place what can be.
    pub(super) fn add(&mut self, number: usize, listed: Listed, problems: &mut Vec<Problem>) {
        if let Some(place) = self.listed.get_mut(number) {
            *place = Some(listed);
        }
        while let Some((number, entry)) = self.next.take() {
            let Some(listed) = self.listed.get_mut(number).and_then(Option::take) else {
                self.next = Some((number, entry));
                return;
            };
            self.enter(entry, listed, problems);
        }
    }

    /// Puts a directory in its place, and what follows up to the next one.
    fn enter(&mut self, entry: Option<Entry>, listed: Listed, problems: &mut Vec<Problem>) {
        let (inside, skip) = match listed {
            Ok(inside) => (inside, None),
            Err(problem) => {
                let skip = problem.skip;
                problems.push(problem);
                (Vec::new(), Some(skip))
            }
        };
        if let Some(Entry { path, node }) = entry {
            let node = skip.map_or(node, Node::Skipped);
            self.put(Entry { path, node }, None);
        }
        self.open.push(inside.into_iter());
        while let Some(level) = self.open.last_mut() {
            match level.next() {
                None => drop(self.open.pop()),
                Some(Found {
                    entry,
                    directory: Some(number),
                    ..
                }) => {
                    self.next = Some((number, Some(entry)));
                    return;
                }
                Some(Found { entry, witness, .. }) => self.put(entry, witness),
            }
        }
    }

    fn put(&mut self, entry: Entry, witness: Option<Witness>) {
        self.entries.push(entry);
        self.witnesses.push(witness);
    }

    /// The tree, if nothing is missing: what is would look like deletions.
    pub(super) fn finish(mut self, mut problems: Vec<Problem>) -> Result<Scan, ScanError> {
        if self.next.is_some() || !self.open.is_empty() {
            return Err(ScanError::Disorder);
        }
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        self.entries.shrink_to_fit();
        self.witnesses.shrink_to_fit();
        Ok(Scan {
            tree: Tree::from_sorted(self.entries).ok_or(ScanError::Disorder)?,
            witnesses: self.witnesses,
            problems,
            ..Scan::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mode, RelPath, Skip};

    fn found(path: &str, directory: Option<usize>) -> Found {
        let node = match directory {
            Some(_) => Node::Dir {
                mode: Mode::from(0o755),
            },
            None => Node::Skipped(Skip::Special),
        };
        let path = RelPath::new(path.as_bytes()).unwrap();
        Found {
            entry: Entry { path, node },
            witness: None,
            directory,
        }
    }

    /// The directories of a tree by their numbers.
    fn directories() -> Vec<Listed> {
        let unreadable = Problem {
            path: b"c".to_vec(),
            skip: Skip::Unreadable,
            detail: String::new(),
        };
        vec![
            Ok(vec![
                found("a", Some(1)),
                found("b", None),
                found("c", Some(2)),
                found("d", Some(3)),
            ]),
            Ok(vec![found("a/a", Some(4)), found("a/b", None)]),
            Err(unreadable),
            Ok(vec![]),
            Ok(vec![found("a/a/a", None)]),
        ]
    }

    /// Puts those directories together that `order` names, in that order.
    fn assemble(order: &[usize]) -> Result<Scan, ScanError> {
        let mut all: Vec<_> = directories().into_iter().map(Some).collect();
        let mut assembly = Assembly::of_root(0);
        (1..all.len()).for_each(|number| assert_eq!(assembly.announce(), number));
        let mut problems = vec![];
        for number in order {
            let listed = all[*number].take().unwrap();
            assembly.add(*number, listed, &mut problems);
        }
        assembly.finish(problems)
    }

    #[test]
    fn directories_find_their_places_in_whatever_order_they_come() {
        for order in [[0, 1, 4, 2, 3], [3, 4, 2, 1, 0], [2, 0, 3, 4, 1]] {
            let scan = assemble(&order).unwrap();
            let entries: Vec<_> = scan.tree.entries().collect();
            let paths: Vec<_> = entries.iter().map(|e| e.path.as_bytes()).collect();
            let expected: [&[u8]; 7] = [b"a", b"a/a", b"a/a/a", b"a/b", b"b", b"c", b"d"];
            assert_eq!(paths, expected, "{order:?}");
            assert_eq!(entries[5].node, Node::Skipped(Skip::Unreadable));
            assert_eq!(scan.witnesses.len(), entries.len());
            assert_eq!(scan.problems.len(), 1);
        }
    }

    #[test]
    fn a_tree_with_a_directory_that_never_came_is_none() {
        for order in [&[0, 1, 4, 2][..], &[1, 2, 3, 4], &[0, 1, 2, 3], &[]] {
            let outcome = assemble(order);
            assert!(matches!(outcome, Err(ScanError::Disorder)), "{order:?}");
        }
    }
}
