//! What this user can no longer read once a pull has given directories the permission bits of the hub.
//!
//! A sync pulls before it pushes: what stands in such a directory and was not pushed yet is not pushed then, and a dry run
//! says so as well.

use crate::model::{Mode, Node, RelPath, Skip, Tree};
use crate::plan::{Direction, Plan};
use crate::transport::is_root;

const READ: u16 = 0o400;
const SEARCH: u16 = 0o100;
const SKIPPED: Node = Node::Skipped(Skip::Unreadable);

/// Changes of `tree`, the one here after `plan`, that leave of it what a scan by this user would find.
pub(super) fn locked_out(tree: &Tree, plan: &Plan) -> Vec<(RelPath, Option<Node>)> {
    if plan.direction != Direction::Pull || is_root() {
        return Vec::new();
    }
    let mut lost: Vec<(RelPath, Option<Node>)> = Vec::new();
    let closed = plan.actions.iter().filter_map(|action| match action.new {
        Some(Node::Dir { mode }) if !is_open(mode) => Some((&action.path, mode)),
        _ => None,
    });
    for (dir, mode) in closed {
        let is_listed = mode.bits() & READ != 0;
        if !is_listed {
            lost.push((dir.clone(), Some(SKIPPED)));
        }
        let inside = tree.entries().map(|entry| &entry.path);
        lost.extend(inside.filter(|path| path.is_below(dir)).map(|path| {
            let is_named = is_listed && path.parent_bytes() == dir.as_bytes();
            (path.clone(), is_named.then_some(SKIPPED))
        }));
    }
    // Of a path inside several of them the topmost decides.
    lost.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut hidden: Option<RelPath> = None;
    for (path, node) in &mut lost {
        match &hidden {
            Some(top) if path.is_below(top) => *node = None,
            _ => hidden = Some(path.clone()),
        }
    }
    lost.dedup_by(|later, first| later.0 == first.0);
    lost
}

fn is_open(mode: Mode) -> bool {
    mode.bits() & (READ | SEARCH) == READ | SEARCH
}

/// That something was not pushed, and why.
pub(super) fn words(path: &RelPath) -> String {
    format!(
        "{path:?} here is not pushed: it cannot be read once its directory has the permission bits of the hub"
    )
}
