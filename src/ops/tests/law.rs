//! What holds after each step, whatever befell it. Broken laws are told in words.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use super::tree::{Seen, Tree, contents, difference, names, same};
use super::user::is_known;
use crate::model::Digest;
use crate::plan::Kept;

/// Versions that a user replaced or deleted, anywhere, ever.
#[derive(Default)]
pub(super) struct Evidence(HashSet<(Vec<u8>, Digest)>);

impl Evidence {
    /// Takes note of what a user did to a tree.
    pub(super) fn note(&mut self, before: &Tree, after: &Tree) {
        let of = |tree: &Tree, path: &[u8]| tree.get(path).and_then(Seen::content);
        for (path, seen) in before {
            if let Some(content) = seen.content().filter(|c| of(after, path) != Some(*c)) {
                self.0.insert((path.clone(), content));
            }
        }
    }

    fn has(&self, path: &[u8], content: Digest) -> bool {
        self.0.contains(&(path.to_vec(), content))
    }
}

/// One root before and after a step of the engine.
pub(super) struct Step<'a> {
    pub(super) root: &'a Path,
    pub(super) before: &'a Tree,
    pub(super) after: &'a Tree,
    /// What the plan makes of it.
    pub(super) planned: &'a Tree,
}

impl Step<'_> {
    /// Contents that are in the tree no more.
    pub(super) fn displaced(&self) -> BTreeSet<Digest> {
        let of = |tree: &Tree| -> BTreeSet<_> { tree.values().filter_map(Seen::content).collect() };
        of(self.before)
            .difference(&of(self.after))
            .copied()
            .collect()
    }

    /// Paths that held content and do not hold the same any more.
    pub(super) fn changed_paths(&self) -> impl Iterator<Item = Vec<u8>> {
        let now = |path: &Vec<u8>| self.after.get(path).and_then(Seen::content);
        let old = self.before.iter();
        let gone = old.filter(move |(path, seen)| {
            let content = seen.content();
            content.is_some() && content != now(path)
        });
        gone.map(|(path, _)| path.clone())
    }

    /// The tree is the old one or the planned one, nothing between.
    pub(super) fn is_whole(&self) -> Result<(), String> {
        if self.after == self.before || self.after == self.planned {
            return Ok(());
        }
        Err(format!(
            "the tree is neither old nor new; old | now:\n{}planned | now:\n{}",
            difference(self.before, self.after),
            difference(self.planned, self.after)
        ))
    }

    pub(super) fn is_planned(&self) -> Result<(), String> {
        if self.after == self.planned {
            return Ok(());
        }
        let words = difference(self.planned, self.after);
        Err(format!("the tree is not as the dry run said:\n{words}"))
    }

    /// What was displaced is in a snapshot.
    pub(super) fn loses_nothing(&self) -> Result<(), String> {
        let displaced = self.displaced();
        if displaced.is_empty() {
            return Ok(());
        }
        let kept = contents(&self.root.join(".rsyn/snap"));
        match displaced.iter().find(|content| !kept.contains(content)) {
            None => Ok(()),
            Some(lost) => Err(format!("{lost} is in no tree and in no snapshot")),
        }
    }

    /// Only what a user deleted or replaced somewhere goes without a successor.
    pub(super) fn has_evidence(&self, evidence: &Evidence) -> Result<(), String> {
        let gone = self
            .before
            .iter()
            .filter(|(p, _)| !self.after.contains_key(*p));
        for (path, seen) in gone {
            let Some(content) = seen.content() else {
                continue;
            };
            // What stands where its directory was is a version that won.
            let is_below_a_winner =
                ancestors(path).any(|up| self.after.get(up).is_some_and(|s| s.content().is_some()));
            if !is_below_a_winner && !evidence.has(path, content) {
                let path = path.escape_ascii();
                return Err(format!("{path} was deleted, and no user ever did that"));
            }
        }
        Ok(())
    }
}

/// Nothing is left of unfinished work, and no name is in the tree that nobody made.
pub(super) fn is_clean(root: &Path, tree: &Tree) -> Result<(), String> {
    let state = root.join(".rsyn");
    for part in ["txn", "trash"] {
        let left = names(&state.join(part));
        if !left.is_empty() {
            return Err(format!("left in {part}: {left:?}"));
        }
    }
    for part in ["", "peers", "signatures", "snap"] {
        let left = names(&state.join(part));
        if let Some(name) = left.iter().find(|name| name.contains(".tmp")) {
            return Err(format!("left in {part:?}: {name}"));
        }
    }
    match tree.keys().find(|path| !is_known(path)) {
        None => Ok(()),
        Some(path) => Err(format!("{} is litter", path.escape_ascii())),
    }
}

/// Machine and hub hold the same, but for what is out of scope and for what the run told to have kept because a
/// directory stands against something else, or holds what is out of scope.
pub(super) fn agree(here: &Tree, there: &Tree, kept: &[Kept]) -> Result<(), String> {
    let excludes = Excludes::of(here);
    let paths: BTreeSet<_> = here.keys().chain(there.keys()).collect();
    for path in paths {
        let (ours, theirs) = (here.get(path), there.get(path));
        if same(ours, theirs) || excludes.has(path) {
            continue;
        }
        let told = kept.iter().any(|k| related(k.path.as_bytes(), path));
        let may = told && (clash(here, there, path) || excludes.inside(here, there, path));
        if !may {
            let path = path.escape_ascii();
            return Err(format!("{path} differs at rest: {ours:?} | {theirs:?}"));
        }
    }
    Ok(())
}

/// The exclude file of a tree, of which there are two.
struct Excludes {
    logs: bool,
}

impl Excludes {
    fn of(tree: &Tree) -> Self {
        let content = tree
            .get(b".rsync-exclude".as_slice())
            .and_then(Seen::content);
        let plain = Digest::of(super::user::EXCLUDES.as_bytes());
        Self {
            logs: content.is_some_and(|c| c != plain),
        }
    }

    fn has(&self, path: &[u8]) -> bool {
        path.ends_with(b".skip") || self.logs && path.ends_with(b".log")
    }

    fn inside(&self, here: &Tree, there: &Tree, path: &[u8]) -> bool {
        let mut all = here.keys().chain(there.keys());
        all.any(|p| self.has(p) && ancestors(p).any(|up| up == path))
    }
}

fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
    slashes.map(|(at, _)| &path[..at])
}

fn related(a: &[u8], b: &[u8]) -> bool {
    a == b || ancestors(a).any(|up| up == b) || ancestors(b).any(|up| up == a)
}

/// Whether a directory stands against something else, at `path` or above it.
fn clash(here: &Tree, there: &Tree, path: &[u8]) -> bool {
    let is_dir = |seen: &Seen| matches!(seen, Seen::Dir(_));
    let at = |path: &[u8]| match (here.get(path), there.get(path)) {
        (Some(a), Some(b)) => is_dir(a) != is_dir(b),
        _ => false,
    };
    ancestors(path).chain([path]).any(at)
}

/// Counts of one kind each.
pub(super) type Counts = BTreeMap<&'static str, usize>;
