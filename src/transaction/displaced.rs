//! What a transaction moved out of the tree, as it lies aside: whether a program that still had it open wrote into it.

use std::io::ErrorKind;

use crate::disk::{Dir, FileKind, Result, Stat};
use crate::model::Mtime;

use super::apply::{REREAD_MAX_BYTES, looks_as_seen};
use super::content;
use super::journal::{Action, Before, COMMITTED, Planned, Step, old_name};
use super::work::Work;

/// An object that was moved aside.
pub(super) struct Displaced<'a> {
    pub(super) step: &'a Step,
    pub(super) change: &'a Planned,
    before: &'a Before,
    pub(super) dir: &'a Dir,
    pub(super) name: Vec<u8>,
}

/// The objects that a transaction moved aside, but for `kept`: changes whose directory had to stay.
pub(super) fn displaced<'a>(work: &Work<'a>, kept: &[u32]) -> impl Iterator<Item = Displaced<'a>> {
    let (new, old, plan) = (work.new, work.old, work.plan);
    plan.body.steps.iter().filter_map(move |step| {
        let change = plan.change(step)?;
        let before = change.before.as_deref()?;
        let (dir, name) = match (step.action, change.staged()) {
            (Action::Displace, _) if !kept.contains(&step.change) => (old, old_name(step.change)),
            (Action::Exchange, Some((_, name))) => (new, name),
            _ => return None,
        };
        Some(Displaced {
            step,
            change,
            before,
            dir,
            name,
        })
    })
}

impl Displaced<'_> {
    /// Its stat where it lies; `None` if it is gone.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn stat(&self) -> Result<Option<Stat>> {
        self.dir.stat(&self.name)
    }

    /// Whether a file has another content than the plan saw. Its content is read where its stat is another one, unless it is
    /// so large that this takes long: then it counts as written. One that is gone was not written.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn was_written(&self) -> Result<bool> {
        match self.dir.stat(&self.name)? {
            Some(stat) if self.is_as_it_was(&stat) => Ok(false),
            Some(stat) if stat.size > REREAD_MAX_BYTES => Ok(true),
            Some(_) => self.has_other_content(),
            None => Ok(false),
        }
    }

    /// Whether the stat is that of the object which was moved aside, or of a copy of ours, which nobody else knows.
    fn is_as_it_was(&self, stat: &Stat) -> bool {
        let seen = &self.before.stat;
        let is_copy = stat.kind == FileKind::File && !stat.same_object(seen);
        let fields = |stat: &Stat| (stat.size, stat.mtime, stat.mode);
        looks_as_seen(stat, seen) || is_copy && fields(stat) == fields(seen)
    }

    /// As [`Self::was_written`], long after the decision at `decided`: the content is also read where an attribute was
    /// changed since, and a directory counts as written if something is inside.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn was_written_since(&self, decided: Option<Mtime>) -> Result<bool> {
        let Some(stat) = self.dir.stat(&self.name)? else {
            return Ok(false);
        };
        if stat.kind == FileKind::Dir {
            return Ok(!self.dir.open_dir(&self.name)?.is_empty()?);
        }
        let was_touched = decided.is_none_or(|decided| stat.ctime > decided);
        match was_touched || !self.is_as_it_was(&stat) {
            true => self.has_other_content(),
            false => Ok(false),
        }
    }

    fn has_other_content(&self) -> Result<bool> {
        match content::still_has_content(self.dir, &self.name, &self.before.node) {
            // It forbids even its owner to read it.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(true),
            other => Ok(!other?),
        }
    }
}

/// When the transaction in `home` was decided, by the clock of its file system.
pub(super) fn decided_at(home: &Dir) -> Option<Mtime> {
    let marker = home.stat(COMMITTED).ok()??;
    Some(marker.mtime)
}
