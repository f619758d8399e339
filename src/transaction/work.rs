//! [`Work`]: an open transaction that has a plan, and the directories that its moves touched.

use std::sync::Arc;

use crate::disk::{Dir, DiskError, Root};
use crate::model::RelPath;

use super::error::CommitError;
use super::journal::{After, Plan, Planned, Staged, new_name, old_name};
use super::stage::SYNC_EACH_MAX;

/// The handles and the plan that applying and undoing need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) root: &'a Root,
    pub(super) home: &'a Dir,
    pub(super) new: &'a Dir,
    pub(super) old: &'a Dir,
    pub(super) plan: &'a Plan,
}

impl Work<'_> {
    /// The directory that holds `path`; `None` if the way there is gone.
    pub(super) fn parent(&self, path: &RelPath) -> Result<Option<Arc<Dir>>, DiskError> {
        match self.root.parent(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(e) if e.is_no_directory() => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Planned {
    /// The staged object and its name in `new/`.
    pub(super) fn staged(&self) -> Option<(Staged, Vec<u8>)> {
        let After { node, staged } = self.after.as_ref()?;
        let staged = (*staged)?;
        Some((staged, new_name(staged.slot, node)))
    }

    pub(super) fn was_dir(&self) -> bool {
        self.before
            .as_ref()
            .is_some_and(|before| before.node.is_dir())
    }

    pub(super) fn will_be_dir(&self) -> bool {
        self.after.as_ref().is_some_and(|after| after.node.is_dir())
    }

    /// The inode whose permission bits a step of this change sets: of the directory that was there
    /// before, or of an object that stays; else of the one that comes.
    pub(super) fn mode_ino(&self) -> u64 {
        let stays = self.was_dir() || self.staged().is_none();
        match (&self.before, self.staged()) {
            (Some(before), _) if stays => before.stat.ino,
            (_, Some((staged, _))) => staged.identity.ino,
            _ => 0,
        }
    }
}

/// Directories in which names changed, and which directory each was at that time.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// `None` is the root.
    dirs: Vec<(Option<RelPath>, u64)>,
}

impl Touched {
    /// Takes note that a name in `parent`, which holds `path`, changes.
    pub(super) fn add(&mut self, path: &RelPath, parent: &Dir) {
        let same = |(dir, ino): &(Option<RelPath>, u64)| {
            *ino == parent.ino()
                && dir.as_ref().map_or(&b""[..], RelPath::as_bytes) == parent.path()
        };
        if !self.dirs.last().is_some_and(same) {
            self.dirs.push((path.parent(), parent.ino()));
        }
    }

    /// Waits until every touched directory is on the disk, and looks whether each is still where it
    /// was: else somebody moved it away together with what was put inside.
    ///
    /// # Errors
    /// [`CommitError::Stale`] with the directories that are not where they were.
    pub(super) fn sync(mut self, work: &Work<'_>) -> Result<(), CommitError> {
        self.dirs.sort();
        self.dirs.dedup();
        let each = self.dirs.len() <= SYNC_EACH_MAX;
        let mut moved = Vec::new();
        for (path, ino) in self.dirs {
            match open_touched(work, path.as_ref())? {
                Some(dir) if dir.ino() == ino => {
                    if each {
                        dir.sync()?;
                    }
                }
                _ => moved.extend(path),
            }
        }
        if !moved.is_empty() {
            return Err(CommitError::Stale { paths: moved });
        }
        if each {
            work.new.sync()?;
            work.old.sync()?;
        } else {
            work.home.sync_filesystem()?;
        }
        Ok(())
    }

    /// As [`Touched::sync`] for what is left of the directories, wherever they are.
    pub(super) fn sync_what_is_there(mut self, work: &Work<'_>) -> Result<(), DiskError> {
        self.dirs.sort();
        self.dirs.dedup();
        if self.dirs.len() > SYNC_EACH_MAX {
            return work.home.sync_filesystem();
        }
        for (path, _) in self.dirs {
            if let Some(dir) = open_touched(work, path.as_ref())? {
                dir.sync()?;
            }
        }
        work.new.sync()?;
        work.old.sync()
    }
}

/// Opens by its name a directory that was touched, or where this transaction has put it.
fn open_touched(work: &Work<'_>, path: Option<&RelPath>) -> Result<Option<Arc<Dir>>, DiskError> {
    let Some(path) = path else {
        return Ok(Some(Arc::clone(work.root.top())));
    };
    match work.root.fresh_dir(path) {
        Ok(dir) => Ok(Some(Arc::new(dir))),
        Err(e) if e.is_no_directory() => displaced_dir(work, path),
        Err(e) => Err(e),
    }
}

fn displaced_dir(work: &Work<'_>, path: &RelPath) -> Result<Option<Arc<Dir>>, DiskError> {
    let changes = &work.plan.body.changes;
    let Ok(at) = changes.binary_search_by(|change| change.path.cmp(path)) else {
        return Ok(None);
    };
    let opened = match changes[at].staged() {
        Some((_, name)) => work.new.open_dir(&name),
        None => work
            .old
            .open_dir(&old_name(u32::try_from(at).unwrap_or(u32::MAX))),
    };
    match opened {
        Ok(dir) => Ok(Some(Arc::new(dir))),
        Err(e) if e.is_no_directory() => Ok(None),
        Err(e) => Err(e),
    }
}
