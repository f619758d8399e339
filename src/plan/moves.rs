//! Finds content that the written side already holds under another name: it need not travel. Where that name goes in the
//! same plan, it need not even be copied.

use std::collections::{HashMap, HashSet};

use super::{Action, Plan, Source};
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

/// A change of one path, as far as a rename can be told from it.
#[derive(Debug, Clone, Copy)]
pub struct Placing<'a> {
    /// The path.
    pub path: &'a RelPath,
    /// What stands there.
    pub old: Option<&'a Node>,
    /// What shall stand there.
    pub new: Option<&'a Node>,
    /// Where the written side has that content already.
    pub ours: Option<&'a RelPath>,
}

impl<'a> From<&'a Action> for Placing<'a> {
    fn from(action: &'a Action) -> Self {
        Self {
            path: &action.path,
            old: action.old.as_ref(),
            new: action.new.as_ref(),
            ours: match &action.source {
                Source::Ours(from) => Some(from),
                Source::Theirs(_) | Source::Nothing => None,
            },
        }
    }
}

/// The numbers of the `changes` of a plan that bring a file, just as it is, to where nothing stands, from a path that it leaves
/// with another of these changes. Of several that want the same file the first one gets it.
pub fn renames<'a>(changes: impl Iterator<Item = Placing<'a>> + Clone) -> HashSet<u32> {
    let wanted: HashSet<&RelPath> = changes.clone().filter_map(|c| c.ours).collect();
    if wanted.is_empty() {
        return HashSet::new();
    }
    let goes = |c: &Placing<'a>| c.new.is_none() && wanted.contains(c.path);
    let going = changes.clone().filter(goes);
    let mut going: HashMap<&RelPath, &Node> =
        going.filter_map(|c| Some((c.path, c.old?))).collect();
    let mut is_rename = |c: &Placing<'a>| {
        let (Some(from), None) = (c.ours, c.old) else {
            return false;
        };
        let is_it = c.new.is_some() && going.get(from).copied() == c.new;
        is_it && going.remove(from).is_some()
    };
    let numbered = (0..).zip(changes);
    numbered
        .filter_map(|(id, c)| is_rename(&c).then_some(id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mode, Mtime};

    fn path(name: &str) -> RelPath {
        RelPath::new(name.as_bytes()).unwrap()
    }

    fn file(content: &str, secs: i64) -> Node {
        Node::File {
            size: content.len() as u64,
            digest: Digest::of(content.as_bytes()),
            mode: Mode::from(0o644),
            mtime: Mtime { secs, nanos: 0 },
        }
    }

    #[test]
    fn a_file_is_renamed_once_as_it_is_and_only_from_where_it_goes() {
        let (a, other) = (file("a", 1), file("a", 2));
        let [gone, stays, replaced] = ["gone", "stays", "replaced"].map(path);
        let [new, second, filled] = ["new", "second", "filled"].map(path);
        let change = |path, old, new, ours| Placing {
            path,
            old,
            new,
            ours,
        };
        let goes = change(&gone, Some(&a), None, None);
        let is = |changes: &[Placing<'_>]| {
            let mut found: Vec<u32> = renames(changes.iter().copied()).into_iter().collect();
            found.sort_unstable();
            found
        };
        let comes = |to| change(to, None, Some(&a), Some(&gone));
        assert_eq!(is(&[goes, comes(&new)]), [1]);
        assert_eq!(is(&[comes(&new), goes, comes(&second)]), [0]);
        // It stays, becomes something else, has another mtime, or comes to where something stands.
        assert!(is(&[comes(&new)]).is_empty());
        assert!(is(&[goes, change(&new, None, Some(&a), Some(&stays))]).is_empty());
        let becomes = change(&replaced, Some(&a), Some(&other), None);
        assert!(is(&[becomes, change(&new, None, Some(&a), Some(&replaced))]).is_empty());
        assert!(is(&[goes, change(&new, None, Some(&other), Some(&gone))]).is_empty());
        assert!(is(&[goes, change(&filled, Some(&other), Some(&a), Some(&gone))]).is_empty());
    }
}
