//! Files with several names (hard links). Names travel as files of their own, so that a change of one leaves the others as
//! they are, inside the root and outside of it, and a snapshot has a copy of one that others can still write into.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::sync::Arc;

use crate::disk::{DiskError, FileKind, Root, Stat};
use crate::model::{Node, RelPath};

use super::Change;
use super::displaced::{Displaced, displaced};
use super::error::{CommitError, StageError};
use super::journal::{Plan, Planned, new_name, old_name};
use super::renamed::renames;
use super::stage::{Inner, Staging};
use super::work::Work;

/// Stages a copy for each of `changes` that gives a file other permission bits, and nothing else, where that file has other
/// names: bits belong to the file and not to a name. A content that is not the expected one is left to the check of the plan.
pub(super) fn separate(
    root: &Root,
    staging: &Staging,
    changes: &mut [Change],
) -> Result<(), CommitError> {
    let slots = changes.iter().filter_map(|c| c.new.as_ref()?.slot);
    let first = slots.max().map_or(0, |slot| slot.saturating_add(1));
    for (slot, change) in (first..).zip(changes.iter_mut()) {
        let Some(new) = change.new.as_mut().filter(|new| new.slot.is_none()) else {
            continue;
        };
        if !matches!(new.node, Node::File { .. }) || !has_other_names(root, &change.path)? {
            continue;
        }
        let copied = match root.open_file(&change.path) {
            Ok((file, _)) => staging.copy(slot, &file, &new.node),
            Err(e) => Err(e.into()),
        };
        match copied {
            Ok(()) => new.slot = Some(slot),
            Err(StageError::Integrity { .. }) => {}
            Err(StageError::Disk(e)) if e.is_missing() || e.kind() == ErrorKind::UnexpectedEof => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn has_other_names(root: &Root, path: &RelPath) -> Result<bool, DiskError> {
    let stat = match root.parent(path) {
        Ok(parent) => parent.stat(path.name())?,
        Err(e) if e.is_no_directory() => None,
        Err(e) => return Err(e),
    };
    Ok(stat.is_some_and(|stat| stat.kind == FileKind::File && stat.nlink > 1))
}

/// Makes a copy for the snapshot of each file that will be moved aside and has other names; before the plan is written, so
/// that a disk without room for them ends the run with nothing changed.
pub(super) fn keep_apart(root: &Root, inner: &Arc<Inner>, plan: &Plan) -> Result<(), CommitError> {
    let shared = shared(plan);
    if !plan.head.keep || shared.is_empty() {
        return Ok(());
    }
    let staging = Staging {
        inner: Arc::clone(inner),
    };
    let slots = inner.objects().keys().copied().max();
    let first = slots.map_or(0, |slot| slot.saturating_add(1));
    let mut copies = Vec::new();
    for (slot, index) in (first..).zip(shared) {
        let Some(change) = plan.body.changes.get(index as usize) else {
            continue;
        };
        let Some(before) = &change.before else {
            continue;
        };
        let stale = || CommitError::Stale {
            paths: vec![change.path.clone()],
        };
        let copied = match root.open_file(&change.path) {
            Ok((file, _)) => staging.copy(slot, &file, &before.node),
            Err(e) if e.is_no_directory() => return Err(stale()),
            Err(e) => Err(e.into()),
        };
        match copied {
            Ok(()) => copies.push((new_name(slot, &before.node), copy_name(index))),
            Err(StageError::Integrity { .. }) => return Err(stale()),
            Err(StageError::Disk(e)) if e.kind() == ErrorKind::UnexpectedEof => {
                return Err(stale());
            }
            Err(e) => return Err(e.into()),
        }
    }
    // ORDER: the content first, then the name by which it is taken for whole.
    inner.sync()?;
    for (name, copy) in copies {
        inner.new.rename_noreplace(&name, &inner.old, &copy)?;
    }
    inner.new.sync()?;
    Ok(inner.old.sync()?)
}

/// Puts the copies in the place of the files that they were made of; after the decision.
///
/// # Errors
/// The first failed call; it can be done again.
pub(super) fn take_copies(work: &Work<'_>) -> Result<(), DiskError> {
    let shared = shared(work.plan);
    if !work.plan.head.keep || shared.is_empty() {
        return Ok(());
    }
    for Displaced {
        step, dir, name, ..
    } in displaced(work, &[])
    {
        let copy = copy_name(step.change);
        if shared.binary_search(&step.change).is_err() || work.old.stat(&copy)?.is_none() {
            continue;
        }
        // Whoever took the other names away meanwhile may still write into it: then it stays.
        match dir.stat(&name)?.is_some_and(|stat| stat.nlink > 1) {
            true => work.old.rename_over(&copy, dir, &name)?,
            false => work.old.remove_file(&copy)?,
        }
    }
    // ORDER: a snapshot that a power cut gives such a file back would change with the tree.
    work.new.sync()?;
    work.old.sync()
}

/// The changes, in their order, that move a file aside which has other names. One that is renamed has its second name of us.
fn shared(plan: &Plan) -> Vec<u32> {
    let has_other_names = |stat: &Stat| stat.kind == FileKind::File && stat.nlink > 1;
    let numbered = (0u32..).zip(&plan.body.changes);
    let moved = numbered.filter(|(_, change)| {
        let stays = change.after.as_ref().is_some_and(|a| a.staged.is_none());
        let before = change.before.as_ref().filter(|_| !stays);
        before.is_some_and(|before| has_other_names(&before.stat))
    });
    let moved: Vec<_> = moved.collect();
    if moved.is_empty() {
        return Vec::new();
    }
    let renamed: HashSet<u32> = renames(&plan.body.steps).map(|(from, _)| from).collect();
    let stat = |change: &Planned| change.before.as_ref().map(|before| before.stat);
    let mut going: HashMap<u64, u64> = HashMap::new();
    for stat in moved.iter().filter_map(|(_, change)| stat(change)) {
        *going.entry(stat.ino).or_default() += 1;
    }
    // Where all names go, nobody else has the file.
    let stays = |stat: Stat| going.get(&stat.ino).is_none_or(|names| *names < stat.nlink);
    let shared = moved
        .iter()
        .filter(|(index, change)| !renamed.contains(index) && stat(change).is_some_and(stays));
    shared.map(|(index, _)| *index).collect()
}

/// Name in `old/` of the copy that takes the place of what the change with this index displaced.
fn copy_name(change: u32) -> Vec<u8> {
    [&old_name(change)[..], b".copy"].concat()
}
