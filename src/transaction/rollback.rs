//! The inverse of a transaction as an ordinary one: what was installed is expected, what was displaced
//! comes back, as the same objects.

use crate::disk::{DiskError, FileKind, Root};
use crate::model::{Mode, Node, RelPath};

use super::altered::{Left, leave_altered};
use super::apply::looks_as_seen;
use super::crowded::{Crowded, crowded};
use super::error::StageError;
use super::journal::{Before, Damage, Planned, TxnId};
use super::snapshot::{Snapshot, Source};
use super::stage::Staging;
use super::{Change, Expected, Label, NewNode, check, content, order};

/// Changes that take a transaction back, and the content for them.
#[derive(Debug)]
pub struct Inverse {
    /// Give them to `commit`, unchanged: it refuses, naming the paths, if any was changed since.
    pub changes: Vec<Change>,
    /// Give it to `commit`, too.
    pub consumes: TxnId,
    /// Who made the transaction, and what for.
    pub label: Label,
    /// Directories that the transaction made and that stay, because something else is inside by now; in order.
    pub staying: Vec<RelPath>,
    /// Paths that stay as they are, because a content was altered behind its stat or a program uses it; in order.
    pub left: Vec<Left>,
    /// What is inside directories that have to make room for something else.
    in_the_way: Vec<RelPath>,
    snapshot: Snapshot,
}

/// The inverse of the transaction that left the snapshot `id`. Changes nothing.
///
/// # Errors
/// There is no such snapshot, or it is damaged.
pub fn inverse(root: &Root, id: &TxnId) -> Result<Inverse, Damage> {
    let snapshot = Snapshot::open(root, id)?;
    let mut changes = Vec::with_capacity(snapshot.plan.body.changes.len());
    for (index, change) in snapshot.plan.body.changes.iter().enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        // What has to be opened up for the way back is found by the commit.
        if !snapshot.kept.contains(&number) && !change.is_mere_opening() {
            changes.push((index, invert(&snapshot, index, number, change)?));
        }
    }
    let left = leave_altered(root, &snapshot, &mut changes)?;
    let mut changes: Vec<_> = changes.into_iter().map(|(_, change)| change).collect();
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    let Crowded {
        staying,
        in_the_way,
    } = crowded(root, &changes)?;
    let changes = changes
        .into_iter()
        .filter_map(|change| match staying.contains(&change.path) {
            true => stay(change),
            false => Some(change),
        })
        .collect();
    let mut staying: Vec<_> = staying.into_iter().collect();
    staying.sort();
    Ok(Inverse {
        changes,
        consumes: id.clone(),
        label: snapshot.plan.head.label.clone(),
        staying,
        left,
        in_the_way,
        snapshot,
    })
}

/// What is left of the removal of a directory that stays: nothing, or one that changes nothing for a directory that has
/// to be opened up for what goes inside.
fn stay(change: Change) -> Option<Change> {
    let node = change.old.as_ref().map(|old| old.node.clone())?;
    let is_closed = order::needs_opening(node.mode()?.bits());
    is_closed.then_some(Change {
        new: Some(NewNode { node, slot: None }),
        ..change
    })
}

impl Inverse {
    /// Stages the old versions. Files and links are the original objects under a second name, so it
    /// costs no space and little time.
    ///
    /// # Errors
    /// [`StageError::Integrity`] if an old version is damaged.
    pub fn stage(&self, root: &Root, staging: &Staging) -> Result<(), StageError> {
        for change in &self.changes {
            let Some(NewNode {
                node,
                slot: Some(slot),
            }) = &change.new
            else {
                continue;
            };
            match (node, self.snapshot.source(*slot as usize)) {
                (Node::Dir { mode }, _) => staging.dir(*slot, *mode)?,
                (_, Some(Source::Kept(dir, name))) => staging.adopt(*slot, dir, &name, node)?,
                (_, Some(Source::Renamed(from))) => {
                    let names = (from, &change.path);
                    if !staging.rename(*slot, root, names, node)? {
                        staging.copy(*slot, &root.open_file(from)?.0, node)?;
                    }
                }
                (_, None) => return Err(StageError::NoObject(*slot)),
            }
        }
        Ok(())
    }

    /// The paths that were changed since, for a preview; `commit` looks again.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn changed_since(&self, root: &Root) -> Result<Vec<RelPath>, DiskError> {
        let mut changed = check::stale(root, &self.changes)?;
        changed.extend(self.in_the_way.iter().cloned());
        changed.sort();
        changed.dedup();
        Ok(changed)
    }
}

fn invert(
    snapshot: &Snapshot,
    index: usize,
    slot: u32,
    change: &Planned,
) -> Result<Change, DiskError> {
    let old = change
        .after
        .as_ref()
        .map(|after| Expected::new(after.node.clone(), None));
    let new = match &change.before {
        None => None,
        Some(before) => Some(old_version(snapshot, index, slot, before)?),
    };
    Ok(Change {
        path: change.path.clone(),
        old,
        new,
    })
}

pub(super) fn old_version(
    snapshot: &Snapshot,
    index: usize,
    slot: u32,
    before: &Before,
) -> Result<NewNode, DiskError> {
    let as_it_was = |slot| NewNode {
        node: before.node.clone(),
        slot,
    };
    let (dir, name) = match snapshot.source(index) {
        None => return Ok(as_it_was(None)),
        Some(Source::Kept(dir, name)) if !before.node.is_dir() => (dir, name),
        Some(_) => return Ok(as_it_was(Some(slot))),
    };
    let stat = dir.stat(&name)?.ok_or_else(|| {
        dir.error(
            "find",
            &name,
            std::io::Error::from(std::io::ErrorKind::NotFound),
        )
    })?;
    // A program may have written into it after it was replaced: that is the version that comes back.
    let node = match &before.node {
        Node::File { digest, .. } if stat.kind == FileKind::File => Node::File {
            size: stat.size,
            digest: if looks_as_seen(&stat, &before.stat) {
                *digest
            } else {
                let (file, _) = dir.open_file(&name)?;
                content::hash(&file).map_err(|e| dir.error("read", &name, e))?
            },
            mode: Mode::from(stat.mode),
            mtime: stat.mtime,
        },
        other => other.clone(),
    };
    Ok(NewNode {
        node,
        slot: Some(slot),
    })
}
