//! Directories that a transaction wants gone, and that something unplanned inside keeps.
//!
//! One judgement for a preview and for a commit. Says nothing of what somebody puts inside afterwards: the move of the
//! directory itself finds that.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;

use crate::disk::{DiskError, Root};
use crate::model::RelPath;

use super::Change;

/// Directories that cannot go.
#[derive(Debug, Default)]
pub(super) struct Crowded {
    /// Those that were to be removed: they stay.
    pub(super) staying: HashSet<RelPath>,
    /// For each that was to make room for something else, what is inside: the transaction is to be refused.
    pub(super) in_the_way: Vec<RelPath>,
}

/// Looks into the directories that `changes`, which are in the order of their paths, want gone. One that cannot be
/// listed is left to the move.
///
/// # Errors
/// The tree cannot be read.
pub(super) fn crowded(root: &Root, changes: &[Change]) -> Result<Crowded, DiskError> {
    let mut leaving: HashSet<&RelPath> = HashSet::new();
    // Each directory that stays, and what is deepest inside.
    let mut inside_of: BTreeMap<RelPath, RelPath> = BTreeMap::new();
    let mut crowded = Crowded::default();
    // Children come after their directory, so from the end.
    for change in changes.iter().rev().filter(|change| leaves(change)) {
        let Some(inside) = unplanned(root, change, &leaving)? else {
            leaving.insert(&change.path);
            continue;
        };
        let deepest = inside_of.get(&inside).unwrap_or(&inside).clone();
        match change.new {
            Some(_) => crowded.in_the_way.push(deepest),
            None => {
                crowded.staying.insert(change.path.clone());
                inside_of.insert(change.path.clone(), deepest);
            }
        }
    }
    Ok(crowded)
}

/// Whether a directory is to make room for something else.
pub(super) fn makes_room(change: &Change) -> bool {
    change.new.is_some() && leaves(change)
}

/// Whether what stands at the path is to leave it as a name, or as a directory.
fn leaves(change: &Change) -> bool {
    match &change.new {
        None => change.old.is_some(),
        Some(new) => is_dir_before(change) && !new.node.is_dir(),
    }
}

fn is_dir_before(change: &Change) -> bool {
    change.old.as_ref().is_some_and(|old| old.node.is_dir())
}

/// Something inside the directory of `change` that does not leave; the directory itself if that has no valid path.
fn unplanned(
    root: &Root,
    change: &Change,
    leaving: &HashSet<&RelPath>,
) -> Result<Option<RelPath>, DiskError> {
    if !is_dir_before(change) {
        return Ok(None);
    }
    let names = match root.fresh_dir(&change.path).and_then(|dir| dir.list()) {
        Ok(names) => names,
        Err(e) if e.is_no_directory() || e.is_other_filesystem() => return Ok(None),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Ok(None),
        Err(e) => return Err(e),
    };
    let path_of = |name: &[u8]| change.path.join(name);
    let stays = names.iter().map(|listed| path_of(&listed.name));
    let mut stays = stays.filter(|path| path.as_ref().map_or(true, |p| !leaving.contains(p)));
    Ok(stays
        .next()
        .map(|path| path.unwrap_or_else(|_| change.path.clone())))
}
