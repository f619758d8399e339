//! Files whose content changed though size, mtime and permission bits did not: a program wrote into them through a mapping,
//! or put their times back; and files that a program uses. A rollback leaves such a path alone, and puts the old version that it
//! cannot put there beside it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::disk::{DiskError, FileKind, Root, Stat, threads};
use crate::model::{Mode, Node, RelPath, total_bytes};

use super::content;
use super::in_use::{InUse, held_among};
use super::settle::beside;
use super::snapshot::{Snapshot, Source};
use super::{Change, Expected, NewNode};

/// A change that takes one of a snapshot back, by the index of that.
pub(super) type Inverted = (usize, Change);

/// A path that a rollback leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub path: RelPath,
    /// Why.
    pub reason: Reason,
    /// Where what the snapshot keeps of it comes to, if that keeps anything.
    pub copy: Option<RelPath>,
}

/// Why a rollback leaves a path as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A program uses it, or what it was moved to.
    InUse(InUse),
    /// Its file in the tree was altered.
    InTree,
    /// Its old version in the snapshot was altered.
    InSnapshot,
}

/// What reading the contents of both sides of a change has shown.
#[derive(Debug, Clone, Copy, Default)]
struct Verdict {
    /// The stat of the file in the tree that has the content that is expected.
    seen: Option<Stat>,
    /// Whether the file in the tree has another content behind its stat.
    in_tree: bool,
    /// Whether the old version has.
    in_snapshot: bool,
}

/// Reads the contents of all files that `inverted` is about, takes the altered ones out, and puts the changes that bring their old
/// versions beside them in. Of the others each learns its stat, so that none is read again without need.
///
/// # Errors
/// The tree or the snapshot cannot be read.
pub(super) fn leave_altered(
    root: &Root,
    snapshot: &Snapshot,
    inverted: &mut Vec<Inverted>,
) -> Result<Vec<Left>, DiskError> {
    let verdicts = read_all(root, snapshot, inverted)?;
    let used = held_among(root, inverted.iter().map(|(_, change)| change));
    let mut left = Vec::new();
    let mut copies = Vec::new();
    let mut stays = HashSet::new();
    for (index, change) in inverted.iter_mut() {
        let verdict = verdicts.get(index).copied().unwrap_or_default();
        let reason = match user(&used, &change.path, snapshot.source(*index).as_ref()) {
            Some(user) => Some(Reason::InUse(user.clone())),
            None if verdict.in_tree => Some(Reason::InTree),
            None => verdict.in_snapshot.then_some(Reason::InSnapshot),
        };
        if let Some(reason) = reason {
            let copy = copy_beside(root, snapshot, *index, change)?;
            left.push(Left {
                path: change.path.clone(),
                reason,
                copy: copy.as_ref().map(|(_, copy)| copy.path.clone()),
            });
            copies.extend(copy);
            stays.insert(*index);
        } else if let Some(old) = change.old.as_deref_mut() {
            old.seen = verdict.seen;
        }
    }
    inverted.retain(|(index, _)| !stays.contains(index));
    inverted.extend(copies);
    Ok(left)
}

/// Who keeps a path from its old version: whoever uses what is there or above it, or what the old version was moved to.
fn user<'a>(used: &'a [InUse], path: &RelPath, source: Option<&Source<'_>>) -> Option<&'a InUse> {
    let moved_to = match source {
        Some(Source::Renamed(from)) => Some(*from),
        _ => None,
    };
    let is_of = |used: &&InUse| path.is_at_or_below(&used.path) || moved_to == Some(&used.path);
    used.iter().find(is_of)
}

fn read_all(
    root: &Root,
    snapshot: &Snapshot,
    inverted: &[Inverted],
) -> Result<HashMap<usize, Verdict>, DiskError> {
    let verdicts = Mutex::new(HashMap::new());
    let nodes = inverted.iter().flat_map(|(_, change)| {
        let old = change.old.as_ref().map(|old| &old.node);
        old.into_iter()
            .chain(change.new.as_ref().map(|new| &new.node))
    });
    let bytes = total_bytes(nodes.map(Node::size));
    threads::for_each(inverted, bytes, &|(index, change)| {
        let verdict = read_one(root, snapshot, *index, change)?;
        let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.insert(*index, verdict);
        Ok::<_, DiskError>(())
    })?;
    Ok(verdicts
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner))
}

fn read_one(
    root: &Root,
    snapshot: &Snapshot,
    index: usize,
    change: &Change,
) -> Result<Verdict, DiskError> {
    let mut verdict = Verdict::default();
    // Where a directory comes, what comes inside needs its place: whatever stands there is in the way.
    let leaves_room = !change.new.as_ref().is_some_and(|new| new.node.is_dir());
    if let (Some(old), true) = (&change.old, leaves_room) {
        (verdict.seen, verdict.in_tree) = read_in_tree(root, &change.path, old)?;
    }
    verdict.in_snapshot = match (&change.new, snapshot.source(index)) {
        (
            Some(NewNode {
                node,
                slot: Some(_),
            }),
            Some(Source::Kept(dir, name)),
        ) if node.digest().is_some() => {
            match content::still_has_content(dir, &name, node) {
                // It forbids even its owner to read it: staging it says so.
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => false,
                other => !other?,
            }
        }
        (Some(NewNode { node, .. }), Some(Source::Renamed(from))) => {
            read_in_tree(
                root,
                from,
                &Expected {
                    node: node.clone(),
                    seen: None,
                },
            )?
            .1
        }
        _ => false,
    };
    Ok(verdict)
}

/// The stat of the file at `path` if it is just as it is expected, and whether its content alone is another one.
fn read_in_tree(
    root: &Root,
    path: &RelPath,
    expected: &Expected,
) -> Result<(Option<Stat>, bool), DiskError> {
    let Node::File {
        size, mode, mtime, ..
    } = expected.node
    else {
        return Ok((None, false));
    };
    let looks_right = |stat: &Stat| {
        (stat.kind, stat.size, stat.mode, stat.mtime) == (FileKind::File, size, mode.bits(), mtime)
    };
    let Some(stat) = root.stat(path)?.filter(looks_right) else {
        return Ok((None, false));
    };
    let parent = match root.parent(path) {
        // RACE: as below.
        Err(e) if e.is_no_directory() => return Ok((None, false)),
        parent => parent?,
    };
    match content::still_has_content(&parent, path.name(), &expected.node) {
        Ok(true) => Ok((Some(stat), false)),
        // RACE: an edit meanwhile is a change that shows.
        Ok(false) => Ok((
            None,
            root.stat(path)?
                .is_some_and(|now| now.untouched_since(&stat)),
        )),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Ok((None, false)),
        Err(e) => Err(e),
    }
}

/// The change that puts what the snapshot keeps of a path beside it; `None` if it keeps nothing.
fn copy_beside(
    root: &Root,
    snapshot: &Snapshot,
    index: usize,
    change: &Change,
) -> Result<Option<Inverted>, DiskError> {
    let (Some(new), Some(Source::Kept(dir, name))) = (&change.new, snapshot.source(index)) else {
        return Ok(None);
    };
    let node = match &new.node {
        Node::File { .. } => {
            let (file, stat) = dir.open_file(&name)?;
            Node::File {
                size: stat.size,
                digest: content::hash(&file).map_err(|e| dir.error("read", &name, e))?,
                mode: Mode::from(stat.mode),
                mtime: stat.mtime,
            }
        }
        other => other.clone(),
    };
    let path = beside(root, &change.path, "old", &snapshot.plan.head.id)?;
    Ok(Some((
        index,
        Change {
            path,
            old: None,
            new: Some(NewNode {
                node,
                slot: new.slot,
            }),
        },
    )))
}
