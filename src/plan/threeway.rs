//! Walks three sorted trees in step.

use std::iter::Peekable;

use crate::model::{Entries, Node, RelPath, Tree};

/// What stands at one path of each tree. At least one of the three is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions<'a> {
    pub(super) path: &'a RelPath,
    pub(super) base: Option<&'a Node>,
    pub(super) ours: Option<&'a Node>,
    pub(super) theirs: Option<&'a Node>,
}

/// Every path of the three trees once, in path order.
pub(super) fn threeway<'a>(
    base: &'a Tree,
    ours: &'a Tree,
    theirs: &'a Tree,
) -> impl Iterator<Item = Versions<'a>> {
    let mut base = base.entries().peekable();
    let mut ours = ours.entries().peekable();
    let mut theirs = theirs.entries().peekable();
    std::iter::from_fn(move || {
        let heads = [base.peek(), ours.peek(), theirs.peek()];
        let path = &heads.into_iter().flatten().map(|e| &e.path).min()?;
        Some(Versions {
            path,
            base: take(&mut base, path),
            ours: take(&mut ours, path),
            theirs: take(&mut theirs, path),
        })
    })
}

fn take<'a>(entries: &mut Peekable<Entries<'a>>, path: &RelPath) -> Option<&'a Node> {
    entries.next_if(|e| e.path == *path).map(|e| &e.node)
}
