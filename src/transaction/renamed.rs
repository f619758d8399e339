//! A file that goes from one path and comes to another is moved, not copied.
//!
//! It is staged as a second name of the file itself (a hard link): nothing is written, and owner, attributes and whoever has
//! it open stay with it. Until the decision both names are there: one is moved aside as any object that goes, the other into
//! place as any that comes, and an undo has both. After the decision the old name is let go: the content is in the tree, and
//! a snapshot must not share it with a file that people write into.

use std::collections::HashMap;

use crate::disk::{Dir, DiskError, FileKind, Root, Stat};
use crate::model::{Node, RelPath};

use super::Change;
use super::content;
use super::error::{CommitError, StageError};
use super::journal::{Action, Before, Planned, Step, new_name, old_name};
use super::order::bits;
use super::stage::{Inner, Staging};
use super::work::Work;

/// The file that a staged object is a second name of.
#[derive(Debug, Clone)]
pub(super) struct Renamed {
    /// The path from which it goes.
    pub(super) from: RelPath,
    /// What it looked like when its content had been read.
    stat: Stat,
}

impl Staging {
    /// Stages the file at `from`, which shall go in the same transaction and come to `to`, under a second name. `false` if it is
    /// not just what `node` says, has other names already, or the file system gives no second one: then nothing is staged. So
    /// it is where the disk takes `from` and `to` for one name: an undo could not tell which of them is there.
    ///
    /// # Errors
    /// The slot is in use, or a failed call.
    pub fn rename(
        &self,
        slot: u32,
        root: &Root,
        (from, to): (&RelPath, &RelPath),
        node: &Node,
    ) -> Result<bool, StageError> {
        self.inner.check_free(slot)?;
        let (parent, new) = (root.parent(from)?, &self.inner.new);
        let before = parent.stat(from.name())?;
        if before.is_some_and(|before| leads_to(root, to, &before)) {
            return Ok(false);
        }
        let Some(before) = before.filter(|stat| stat.nlink == 1 && looks_like(stat, node)) else {
            return Ok(false);
        };
        let name = new_name(slot, node);
        if parent.link(from.name(), new, &name).is_err() {
            return Ok(false);
        }
        match verified(new, &name, node) {
            Ok(Some(stat)) if stat.same_object(&before) => {
                let from = from.clone();
                let spot = (self.inner.flat_spot(name), false);
                self.inner.record(slot, node.clone(), spot)?;
                self.inner.set_renamed(slot, Renamed { from, stat });
                Ok(true)
            }
            other => {
                // The content may come another way, and must not find the slot taken.
                new.remove_file(&name)?;
                Ok(other.map(|_| false)?)
            }
        }
    }
}

/// Whether `path` is a name of this object, as far as can be seen.
fn leads_to(root: &Root, path: &RelPath, object: &Stat) -> bool {
    let there = root.stat(path).ok().flatten();
    there.is_some_and(|there| there.same_object(object))
}

/// What a second name leads to, if that has just two names and is what `node` says.
fn verified(dir: &Dir, name: &[u8], node: &Node) -> Result<Option<Stat>, DiskError> {
    let same = content::still_has_content(dir, name, node)?;
    // RACE: an edit while the content was read shows here, or when the file is moved aside.
    let stat = dir.stat(name)?;
    Ok(stat.filter(|stat| same && stat.nlink == 2 && looks_like(stat, node)))
}

/// Whether a file has the fields of `node`, and no special bits: those do not travel.
fn looks_like(stat: &Stat, node: &Node) -> bool {
    let Node::File {
        size, mode, mtime, ..
    } = node
    else {
        return false;
    };
    let found = (stat.kind, stat.size, bits(stat), stat.mtime);
    found == (FileKind::File, *size, mode.bits(), *mtime)
}

impl Inner {
    /// The second name changed the ctime of each file: what it looks like since its content was read is what is expected.
    pub(super) fn expect_renamed(&self, changes: &mut [Change]) {
        let objects = self.objects();
        let renamed = objects.values().filter_map(|object| {
            let Renamed { from, stat } = object.renamed.as_deref()?;
            Some((from, (&object.node, *stat)))
        });
        let renamed: HashMap<&RelPath, (&Node, Stat)> = renamed.collect();
        if renamed.is_empty() {
            return;
        }
        for Change { path, old, .. } in changes {
            if let (Some(old), Some((node, stat))) = (old.as_deref_mut(), renamed.get(path))
                && old.node == **node
            {
                old.seen = Some(*stat);
            }
        }
    }

    /// How the staged objects come of `changes`, which are in the order of their paths, if not each by itself; by slot.
    ///
    /// # Errors
    /// A file shall be moved that does not go, or to where something stands.
    pub(super) fn arrivals(
        &self,
        changes: &[Planned],
    ) -> Result<HashMap<u32, Action>, CommitError> {
        let objects = self.objects();
        let mut arrivals = HashMap::new();
        for change in changes {
            let staged = change.after.as_ref().and_then(|after| after.staged);
            let Some(object) = staged.and_then(|staged| objects.get(&staged.slot)) else {
                continue;
            };
            if object.carried {
                arrivals.insert(object.staged.slot, Action::Carried);
            }
            if let Some(renamed) = &object.renamed {
                let from = departure(changes, renamed).filter(|_| change.before.is_none());
                let from = from.ok_or_else(|| CommitError::Invalid {
                    path: change.path.clone(),
                    why: "the file that comes there does not go from its place",
                })?;
                arrivals.insert(object.staged.slot, Action::Rename { from });
            }
        }
        Ok(arrivals)
    }
}

/// The change that takes just this file away.
fn departure(changes: &[Planned], Renamed { from, stat }: &Renamed) -> Option<u32> {
    let at = changes.binary_search_by(|change| change.path.cmp(from));
    let at = at.ok().filter(|at| {
        let Planned { before, after, .. } = &changes[*at];
        let is_it = |before: &Before| before.stat.same_object(stat);
        after.is_none() && before.as_deref().is_some_and(is_it)
    })?;
    u32::try_from(at).ok()
}

/// The renames among `steps`: which change a file goes with, and which it comes with.
pub(super) fn renames(steps: &[Step]) -> impl Iterator<Item = (u32, u32)> + '_ {
    steps.iter().filter_map(|step| match step.action {
        Action::Rename { from } => Some((from, step.change)),
        _ => None,
    })
}

/// Lets the old names of the renamed files go; after the decision. One that is the last of its file stays: whatever took the
/// other one away, the content is kept with what was displaced.
///
/// # Errors
/// The first failed call; it can be done again.
pub(super) fn let_go(work: &Work<'_>) -> Result<(), DiskError> {
    let mut gone = false;
    for (from, _) in renames(&work.plan.body.steps) {
        let name = old_name(from);
        if work.old.stat(&name)?.is_some_and(|stat| stat.nlink > 1) {
            work.old.remove_file(&name)?;
            gone = true;
        }
    }
    match gone {
        // ORDER: a snapshot that a power cut gives such a name back would change with the tree.
        true => work.old.sync(),
        false => Ok(()),
    }
}
