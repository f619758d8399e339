//! The moves: the only code that changes the user's tree (with `undo` and `settle`, which take it back).
//!
//! Each object that is displaced is looked at right afterwards, and read again after the last move, on two threads; one
//! that is not what the plan saw ends the transaction. Nothing here waits for the disk.

use std::collections::HashSet;
use std::io::ErrorKind;

use crate::disk::{Dir, DiskError, FileKind, Stat, threads};
use crate::model::{Mtime, Node, total_bytes};

use super::content;
use super::error::CommitError;
use super::journal::{Action, Before, Planned, Step, old_name};
use super::order::bits;
use super::place::{place, swap, take_dir};
use super::renamed::renames;
use super::work::{Touched, Work};

/// A displaced file up to this size is read again.
pub(super) const REREAD_MAX_BYTES: u64 = 16 << 20;
/// A displaced file with an mtime as young as this is read again: a second edit in the same tick of the
/// clock would not show.
const YOUNG_SECS: i64 = 2;

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) touched: Touched,
    /// Changes whose directory had to stay, because something unplanned is inside.
    pub(super) kept: Vec<u32>,
}

/// Where it stopped, and why.
#[derive(Debug)]
pub(super) struct Stopped {
    /// Steps that may have been done, counted from the first.
    pub(super) tried: usize,
    pub(super) cause: CommitError,
}

/// Carries out all steps. `now` is the time of the file system's own clock.
pub(super) fn apply(
    work: &Work<'_>,
    now: Mtime,
    interrupted: &dyn Fn() -> bool,
) -> Result<Applied, Stopped> {
    let mut apply = Apply {
        work,
        young: now.secs.saturating_sub(YOUNG_SECS),
        renamed: renames(&work.plan.body.steps)
            .map(|(from, _)| from)
            .collect(),
        done: Applied::default(),
        unread: Vec::new(),
    };
    for (n, step) in work.plan.body.steps.iter().enumerate() {
        if interrupted() {
            return Err(Stopped {
                tried: n,
                cause: CommitError::Interrupted,
            });
        }
        apply.step(step).map_err(|cause| Stopped {
            tried: n + 1,
            cause,
        })?;
    }
    let Apply { done, unread, .. } = apply;
    match read_again(&unread) {
        Ok(()) => Ok(done),
        Err(cause) => Err(Stopped {
            tried: work.plan.body.steps.len(),
            cause,
        }),
    }
}

/// A displaced object whose content is still to be compared with what the plan saw.
struct Unread<'a> {
    change: &'a Planned,
    before: &'a Before,
    dir: &'a Dir,
    name: Vec<u8>,
}

/// Reads displaced objects, which are out of everybody's way by now.
fn read_again(unread: &[Unread<'_>]) -> Result<(), CommitError> {
    let bytes = total_bytes(unread.iter().map(|u| u.before.node.size()));
    let read = |unread: &Unread<'_>| {
        let Unread { dir, name, .. } = unread;
        match content::still_has_content(dir, name, &unread.before.node)? {
            true => Ok(()),
            false => Err(stale(unread.change)),
        }
    };
    threads::for_each(unread, bytes, &read)
}

struct Apply<'a> {
    work: &'a Work<'a>,
    /// From this second on an mtime is young.
    young: i64,
    /// Changes that take away a file which comes to another path, and was read for that.
    renamed: HashSet<u32>,
    done: Applied,
    unread: Vec<Unread<'a>>,
}

impl<'a> Apply<'a> {
    fn step(&mut self, step: &Step) -> Result<(), CommitError> {
        let Some(change) = self.work.plan.change(step) else {
            return Ok(());
        };
        if step.action == Action::Carried {
            // Its directory has brought it.
            return Ok(());
        }
        let done = self.work.root.parent(&change.path).and_then(|parent| {
            match step.action {
                Action::Mode { .. } => self.done.touched.add_remoded(&change.path),
                _ => self.done.touched.add(&change.path, &parent),
            }
            match step.action {
                Action::Place | Action::Rename { .. } => self.place(change, &parent),
                Action::Carried => Ok(true),
                Action::Exchange => self.exchange(change, &parent),
                Action::Displace => self.displace(step.change, change, &parent),
                Action::Mode { from, to } => {
                    parent.change_mode(change.path.name(), change.mode_ino(), from, to)
                }
            }
        });
        match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(stale(change)),
            Err(e) if e.is_no_directory() || e.is_taken() => Err(stale(change)),
            Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => Err(stale(change)),
            Err(e) => Err(e.into()),
        }
    }

    fn place(&self, change: &Planned, parent: &Dir) -> Result<bool, DiskError> {
        let Some((_, name)) = change.staged() else {
            return Ok(false);
        };
        place(self.work.new, &name, parent, change.path.name())?;
        Ok(true)
    }

    fn exchange(&mut self, change: &'a Planned, parent: &Dir) -> Result<bool, DiskError> {
        let (Some((_, name)), Some(before)) = (change.staged(), &change.before) else {
            return Ok(false);
        };
        let leaf = change.path.name();
        if before.node.is_dir() && !is_same_empty_dir(parent, leaf, before)? {
            return Ok(false);
        }
        swap(self.work.new, &name, parent, leaf)?;
        self.work.root.forget_below(&change.path);
        self.is_as_seen(change, before, (self.work.new, name), false)
    }

    fn displace(
        &mut self,
        index: u32,
        change: &'a Planned,
        parent: &Dir,
    ) -> Result<bool, DiskError> {
        let Some(before) = &change.before else {
            return Ok(false);
        };
        let (leaf, aside) = (change.path.name(), old_name(index));
        if before.node.is_dir() {
            self.work.root.forget_below(&change.path);
            return self.displace_dir(index, before, parent, leaf, &aside);
        }
        place(parent, leaf, self.work.old, &aside)?;
        let is_known = self.renamed.contains(&index);
        self.is_as_seen(change, before, (self.work.old, aside), is_known)
    }

    /// A directory that holds something unplanned stays: what is inside is not ours to move.
    fn displace_dir(
        &mut self,
        index: u32,
        before: &Before,
        parent: &Dir,
        leaf: &[u8],
        aside: &[u8],
    ) -> Result<bool, DiskError> {
        let old = self.work.old;
        if !parent
            .stat(leaf)?
            .is_some_and(|stat| stat.same_object(&before.stat))
        {
            return Ok(false);
        }
        if !parent.open_dir(leaf)?.is_empty()? {
            return self.keep(index, before, parent, leaf);
        }
        match take_dir(parent, leaf, old, aside) {
            Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => {
                return self.keep(index, before, parent, leaf);
            }
            other => other?,
        }
        if !old.open_dir(aside)?.is_empty()? {
            // RACE: something came in between the two looks.
            place(old, aside, parent, leaf)?;
            return self.keep(index, before, parent, leaf);
        }
        Ok(true)
    }

    fn keep(
        &mut self,
        index: u32,
        before: &Before,
        parent: &Dir,
        name: &[u8],
    ) -> Result<bool, DiskError> {
        self.done.kept.push(index);
        if let Some(stat) = parent
            .stat(name)?
            .filter(|stat| stat.same_object(&before.stat))
        {
            // It may have been opened up to be emptied.
            if bits(&stat) != bits(&before.stat) {
                parent.change_mode(name, stat.ino, bits(&stat), bits(&before.stat))?;
            }
        }
        Ok(true)
    }

    /// Whether a displaced object is the one that the plan saw, as far as its stat tells; of its ctime nothing, for the
    /// move itself sets it. Its content is compared later, or was just now: then `is_known`.
    fn is_as_seen(
        &mut self,
        change: &'a Planned,
        before: &'a Before,
        (dir, name): (&'a Dir, Vec<u8>),
        is_known: bool,
    ) -> Result<bool, DiskError> {
        let Some(stat) = dir.stat(&name)? else {
            return Ok(false);
        };
        // A name more than the plan saw would let a snapshot share it with the tree.
        let is_shared = stat.kind == FileKind::File && stat.nlink > before.stat.nlink;
        if is_shared || !looks_as_seen(&stat, &before.stat) {
            return Ok(false);
        }
        let is_large = matches!(before.node, Node::File { .. }) && stat.size > REREAD_MAX_BYTES;
        if !(is_known || is_large) || stat.mtime.secs >= self.young {
            self.unread.push(Unread {
                change,
                before,
                dir,
                name,
            });
        }
        Ok(true)
    }
}

/// Whether an object has kept what a move leaves alone. Of a directory its kind alone: its own fields
/// change with its children, and a stand-in may be in its place.
pub(super) fn looks_as_seen(stat: &Stat, seen: &Stat) -> bool {
    if seen.kind == FileKind::Dir {
        return stat.kind == FileKind::Dir;
    }
    stat.same_object(seen)
        && (stat.size, stat.mtime, stat.raw_mode) == (seen.size, seen.mtime, seen.raw_mode)
}

fn is_same_empty_dir(parent: &Dir, leaf: &[u8], before: &Before) -> Result<bool, DiskError> {
    let same = parent
        .stat(leaf)?
        .is_some_and(|stat| stat.same_object(&before.stat));
    Ok(same && parent.open_dir(leaf)?.is_empty()?)
}

fn stale(change: &Planned) -> CommitError {
    CommitError::Stale {
        paths: vec![change.path.clone()],
    }
}
