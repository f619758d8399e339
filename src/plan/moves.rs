//! Finds content that the written side already holds under another name: it need not travel.

use std::collections::HashMap;

use super::{Plan, Source};
use crate::model::{Digest, Node, RelPath, Tree};

/// Below this size a file travels whole: naming it costs as much as sending it.
pub const SMALLEST_BYTES: u64 = 1024;

/// Turns `Source::Theirs` into `Source::Ours` where `ours`, the tree of the written side as it is now,
/// holds the same content at some path.
pub fn reuse_known_content(plan: &mut Plan, ours: &Tree) {
    let mut known: HashMap<Digest, Option<RelPath>> = HashMap::new();
    for action in &plan.actions {
        if let Some(digest) = wanted(&action.source, action.new.as_ref()) {
            known.insert(digest, None);
        }
    }
    if known.is_empty() {
        return;
    }
    for entry in ours.entries() {
        if let Node::File { digest, .. } = &entry.node
            && let Some(place) = known.get_mut(digest)
        {
            place.get_or_insert_with(|| entry.path.clone());
        }
    }
    for action in &mut plan.actions {
        if let Some(digest) = wanted(&action.source, action.new.as_ref())
            && let Some(Some(path)) = known.get(&digest)
        {
            action.source = Source::Ours(path.clone());
        }
    }
}

fn wanted(source: &Source, new: Option<&Node>) -> Option<Digest> {
    match (source, new) {
        (Source::Theirs(_), Some(Node::File { size, digest, .. })) if *size >= SMALLEST_BYTES => {
            Some(*digest)
        }
        _ => None,
    }
}
