//! Takes the moves of a transaction back, in reverse.
//!
//! What came inside a new directory is taken out of it again, object by object, whether that directory was moved or not: so
//! each is judged by itself, and what others put beside it stays.
//!
//! Decides by looking at the names, never by a record of progress: a move happened if the staged object
//! is at the path now. So it can be stopped anywhere and started again. What comes out of a path is
//! judged by `settle` afterwards; nothing is deleted here.

use crate::disk::{Dir, DiskError, FileKind};

use super::error::{Attention, Why};
use super::journal::{Action, Planned, Step, old_name};
use super::order::needs_opening;
use super::place::{place, settle_swap, swap_back};
use super::settle;
use super::work::{Touched, Work};

/// Undoes the first `tried` steps, or what has happened of them, and waits until that is on the disk.
/// Returns what other programs put in its way; their content and the old one are both in the tree then.
///
/// # Errors
/// The first failed call. The plan must stay: undoing has to be started again.
pub(super) fn undo(work: &Work<'_>, tried: usize) -> Result<Vec<Attention>, DiskError> {
    work.root.forget_handles();
    let all = work.plan.body.steps.iter().enumerate();
    let steps: Vec<&Step> = all
        .filter(|(n, step)| *n < tried || step.action == Action::Carried)
        .map(|(_, step)| step)
        .collect();
    let (openings, steps): (Vec<&Step>, Vec<&Step>) =
        steps.into_iter().partition(|step| opens(work, step));
    let Undo {
        mut touched,
        mut attention,
        ..
    } = take_back(work, &steps)?;
    for step in &steps {
        settle::settle(work, step, &mut touched, &mut attention)?;
    }
    touched.sync_what_is_there(work)?;
    // ORDER: only when every object has its name for good.
    let mut touched = Touched::default();
    for step in &steps {
        settle::remove_dir(work, step, &mut touched, &mut attention)?;
    }
    touched.sync_what_is_there(work)?;
    // ORDER: what comes beside a path needs its directory to be open.
    let closed = take_back(work, &openings)?;
    attention.extend(closed.attention);
    closed.touched.sync_what_is_there(work)?;
    work.root.forget_handles();
    Ok(attention)
}

/// Whether a step opens up a directory for what follows.
fn opens(work: &Work<'_>, step: &Step) -> bool {
    let was_dir = work.plan.change(step).is_some_and(Planned::was_dir);
    was_dir && matches!(step.action, Action::Mode { from, .. } if needs_opening(from))
}

fn take_back<'a>(work: &'a Work<'a>, steps: &[&Step]) -> Result<Undo<'a>, DiskError> {
    let mut undo = Undo {
        work,
        touched: Touched::default(),
        attention: Vec::new(),
    };
    for step in steps.iter().rev() {
        undo.step(step)?;
    }
    Ok(undo)
}

struct Undo<'a> {
    work: &'a Work<'a>,
    touched: Touched,
    attention: Vec<Attention>,
}

impl Undo<'_> {
    fn step(&mut self, step: &Step) -> Result<(), DiskError> {
        let Some(change) = self.work.plan.change(step) else {
            return Ok(());
        };
        if step.action == Action::Carried && self.take_out(change)? {
            return Ok(());
        }
        // The way is gone: what is aside is put into the nearest directory that is left.
        let Some(parent) = self.work.parent_wherever(&change.path)? else {
            return Ok(());
        };
        match step.action {
            Action::Mode { from, to } => {
                let leaf = change.path.name();
                let ino = match parent.stat(leaf)? {
                    // A stand-in may be in its place: it is told by its permission bits alone.
                    Some(stat) if change.was_dir() && stat.kind == FileKind::Dir => stat.ino,
                    _ => change.mode_ino(),
                };
                parent.change_mode(leaf, ino, to, from)?;
                self.touched.add_remoded(&change.path);
                return Ok(());
            }
            Action::Place | Action::Carried | Action::Rename { .. } => {
                self.place(change, &parent)?;
            }
            Action::Exchange => self.exchange(change, &parent)?,
            Action::Displace => self.displace(step.change, change, &parent)?,
        }
        self.touched.add(&change.path, &parent);
        Ok(())
    }

    /// Takes an object out of its staged directory; `false` if that is in the tree, or the object is not inside.
    fn take_out(&self, change: &Planned) -> Result<bool, DiskError> {
        let (Some((staged, name)), Some(dir)) = (change.staged(), self.work.carrier(&change.path)?)
        else {
            return Ok(false);
        };
        let (leaf, new) = (change.path.name(), self.work.new);
        if !dir.identity(leaf)?.is_some_and(|i| i.is(&staged.identity)) {
            return Ok(false);
        }
        let in_new = new.identity(&name)?.is_some_and(|i| i.is(&staged.identity));
        match in_new {
            // A move by two steps that was stopped after the first.
            true => dir.remove_file(leaf)?,
            false => place(&dir, leaf, new, &name)?,
        }
        Ok(true)
    }

    fn place(&mut self, change: &Planned, parent: &Dir) -> Result<(), DiskError> {
        let Some((staged, name)) = change.staged() else {
            return Ok(());
        };
        let (leaf, new) = (change.path.name(), self.work.new);
        let in_new = new.identity(&name)?.is_some_and(|i| i.is(&staged.identity));
        match parent.identity(leaf)? {
            None => Ok(()),
            Some(there) if !there.is(&staged.identity) => {
                if !in_new {
                    self.notice(change, Why::LeftAlone);
                }
                Ok(())
            }
            // Strangers moved into our directory: it stays for them.
            Some(_) if change.will_be_dir() && !parent.open_dir(leaf)?.is_empty()? => {
                self.notice(change, Why::LeftAlone);
                Ok(())
            }
            // A move by two steps that was stopped after the first.
            Some(_) if in_new => parent.remove_file(leaf),
            Some(_) => {
                self.work.root.forget_below(&change.path);
                unless_gone(place(parent, leaf, new, &name))
            }
        }
    }

    fn exchange(&mut self, change: &Planned, parent: &Dir) -> Result<(), DiskError> {
        let Some((staged, name)) = change.staged() else {
            return Ok(());
        };
        let (leaf, new) = (change.path.name(), self.work.new);
        settle_swap(new, &name, parent, leaf)?;
        let displaced = new.identity(&name)?.filter(|i| !i.is(&staged.identity));
        match (parent.identity(leaf)?, displaced) {
            // It never happened, or is undone already.
            (_, None) => Ok(()),
            (Some(there), Some(_)) if there.is(&staged.identity) => {
                if change.will_be_dir() && !parent.open_dir(leaf)?.is_empty()? {
                    self.notice(change, Why::LeftAlone);
                    return Ok(());
                }
                self.work.root.forget_below(&change.path);
                unless_gone(swap_back(new, &name, parent, leaf))
            }
            // Our version was removed: the old one returns.
            (None, Some(_)) => unless_taken(place(new, &name, parent, leaf)),
            // Our version was replaced: that one stays, `settle` puts the old one beside it.
            (Some(_), Some(_)) => Ok(()),
        }
    }

    fn displace(&self, index: u32, change: &Planned, parent: &Dir) -> Result<(), DiskError> {
        let (leaf, aside) = (change.path.name(), old_name(index));
        let Some(displaced) = self.work.old.identity(&aside)? else {
            return Ok(());
        };
        match parent.identity(leaf)? {
            None => unless_taken(place(self.work.old, &aside, parent, leaf)),
            // A move by two steps that was stopped after the first.
            Some(there) if there.is(&displaced) => self.work.old.remove_file(&aside),
            Some(_) => Ok(()),
        }
    }

    fn notice(&mut self, change: &Planned, why: Why) {
        self.attention.push(Attention {
            path: change.path.clone(),
            why,
            copy: None,
        });
    }
}

/// RACE: another program took the object away first.
fn unless_gone(moved: Result<(), DiskError>) -> Result<(), DiskError> {
    match moved {
        Err(e) if e.is_missing() => Ok(()),
        other => other,
    }
}

/// RACE: another program took the name first.
fn unless_taken(moved: Result<(), DiskError>) -> Result<(), DiskError> {
    match moved {
        Err(e) if e.is_taken() => Ok(()),
        other => other,
    }
}
