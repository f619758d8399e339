//! [`Work`]: an open transaction that has a plan, and the directories that its moves touched.

use std::io::ErrorKind;
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

    /// The staged directory that holds the object of `path`, as long as none of those above it is in the tree.
    pub(super) fn carrier(&self, path: &RelPath) -> Result<Option<Arc<Dir>>, DiskError> {
        let Some(above) = path.parent() else {
            return Ok(None);
        };
        if let Some(dir) = displaced_dir(self, &above)? {
            return Ok(Some(dir));
        }
        match self.carrier(&above)? {
            None => Ok(None),
            Some(up) => match up.open_dir(above.name()) {
                Ok(dir) => Ok(Some(Arc::new(dir))),
                Err(e) if e.is_no_directory() => Ok(None),
                Err(e) => Err(e),
            },
        }
    }

    /// As [`Work::parent`], or the directory of this transaction that was to be there: after a power cut its own move
    /// can be lost, and what was moved into it not.
    pub(super) fn parent_wherever(&self, path: &RelPath) -> Result<Option<Arc<Dir>>, DiskError> {
        if let Some(dir) = self.parent(path)? {
            return Ok(Some(dir));
        }
        let Some(above) = path.parent() else {
            return Ok(None);
        };
        if let Some(dir) = displaced_dir(self, &above)? {
            return Ok(Some(dir));
        }
        let Some(up) = self.parent_wherever(&above)? else {
            return Ok(None);
        };
        match up.open_dir(above.name()) {
            Ok(dir) => Ok(Some(Arc::new(dir))),
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

    /// Whether it leaves its path as it is, and is there to have a directory opened up.
    pub(super) fn is_mere_opening(&self) -> bool {
        let [before, after] = [
            self.before.as_ref().map(|before| &before.node),
            self.after.as_ref().map(|after| &after.node),
        ];
        before == after && self.was_dir()
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
    /// Objects that got other permission bits.
    remoded: Vec<RelPath>,
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

    /// Takes note that the object at `path` gets other permission bits.
    pub(super) fn add_remoded(&mut self, path: &RelPath) {
        self.remoded.push(path.clone());
    }

    /// Each once, and whether they are so few that one sync each is cheaper than one for all.
    fn tidy(&mut self) -> bool {
        self.dirs.sort();
        self.dirs.dedup();
        self.remoded.sort();
        self.remoded.dedup();
        self.dirs.len() + self.remoded.len() <= SYNC_EACH_MAX
    }

    /// Waits until every touched directory is on the disk, and looks whether each is still where it
    /// was: else somebody moved it away together with what was put inside.
    ///
    /// # Errors
    /// [`CommitError::Stale`] with the directories that are not where they were.
    pub(super) fn sync(mut self, work: &Work<'_>) -> Result<(), CommitError> {
        let mut each = self.tidy();
        let mut moved = Vec::new();
        for (path, ino) in std::mem::take(&mut self.dirs) {
            let opened = match open_touched(work, path.as_ref()) {
                // The permission bits that directories got in the end forbid even their owner the way.
                Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                    each = false;
                    continue;
                }
                opened => opened?,
            };
            match opened {
                // One that was displaced may have a stand-in.
                Some((dir, displaced)) if displaced || dir.ino() == ino => {
                    if each {
                        dir.sync()?;
                    }
                }
                // Under a name that the disk takes for its own another one has come by now.
                Some(_) if displaced_object(work, path.as_ref())? == Some(ino) => {
                    each = false;
                }
                _ => moved.extend(path),
            }
        }
        if !moved.is_empty() {
            return Err(CommitError::Stale { paths: moved });
        }
        if !each {
            return Ok(work.home.sync_filesystem()?);
        }
        self.remoded
            .iter()
            .try_for_each(|path| sync_object(work, path))?;
        work.new.sync()?;
        Ok(work.old.sync()?)
    }

    /// As [`Touched::sync`] for what is left of the directories, wherever they are.
    pub(super) fn sync_what_is_there(mut self, work: &Work<'_>) -> Result<(), DiskError> {
        if !self.tidy() {
            return work.home.sync_filesystem();
        }
        for (path, _) in std::mem::take(&mut self.dirs) {
            match open_touched(work, path.as_ref()) {
                Ok(Some((dir, _))) => dir.sync()?,
                Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                    return work.home.sync_filesystem();
                }
                other => drop(other?),
            }
        }
        self.remoded
            .iter()
            .try_for_each(|path| sync_object(work, path))?;
        work.new.sync()?;
        work.old.sync()
    }
}

/// Waits until the permission bits of an object are on the disk. One that is gone has none.
fn sync_object(work: &Work<'_>, path: &RelPath) -> Result<(), DiskError> {
    let sync = || match work.parent(path)? {
        Some(parent) => parent.sync_file(path.name()),
        None => Ok(()),
    };
    match sync() {
        Err(e) if e.is_no_directory() => Ok(()),
        // New permission bits forbid even its owner to open it.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => work.home.sync_filesystem(),
        other => other,
    }
}

/// Opens by its name a directory that was touched, or where this transaction has put it: then `true`.
fn open_touched(
    work: &Work<'_>,
    path: Option<&RelPath>,
) -> Result<Option<(Arc<Dir>, bool)>, DiskError> {
    let Some(path) = path else {
        return Ok(Some((Arc::clone(work.root.top()), false)));
    };
    match work.root.fresh_dir(path) {
        Ok(dir) => Ok(Some((Arc::new(dir), false))),
        Err(e) if e.is_no_directory() => Ok(displaced_dir(work, path)?.map(|dir| (dir, true))),
        Err(e) => Err(e),
    }
}

/// The inode of the directory that this transaction moved aside from `path`.
fn displaced_object(work: &Work<'_>, path: Option<&RelPath>) -> Result<Option<u64>, DiskError> {
    let dir = path.map(|path| displaced_dir(work, path)).transpose()?;
    Ok(dir.flatten().map(|dir| dir.ino()))
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
