//! New directories are staged with all that comes into them, and moved as one.
//!
//! An object that comes into a directory that this transaction makes waits inside that directory, under the name that it
//! shall have. So the move of the topmost new directory carries everything below it: no move, no look and no sync for
//! each. Undoing takes it apart again, object by object, so that what other programs did in between is noticed as ever.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Dir, Result};
use crate::model::{Node, RelPath};

use super::Change;
use super::area::open_up_and_remove;
use super::error::StageError;
use super::journal::new_name;
use super::stage::{Inner, Object};

/// Directories that stay open: objects come in the order of their paths, more or less.
const OPEN_DIRS: usize = 16;

/// Which objects wait inside a new directory.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// By slot.
    homes: Vec<Option<Home>>,
    /// Of some staged directories the slot and the directory, the one that was used last at the end.
    open: Mutex<Vec<(u32, Arc<Dir>)>>,
}

/// Where an object belongs.
#[derive(Debug)]
struct Home {
    /// The slot of the directory.
    dir: u32,
    path: RelPath,
}

/// A name in an opened directory of the staging.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) dir: Arc<Dir>,
    pub(super) name: Vec<u8>,
}

impl Layout {
    /// The layout of what comes where nothing stands: its slots and paths, and what it is.
    pub(super) fn of<'a>(
        arrivals: impl Iterator<Item = (u32, &'a RelPath, &'a Node)> + Clone,
    ) -> Self {
        let dirs: HashMap<&[u8], u32> = arrivals
            .clone()
            .filter(|(_, _, node)| node.is_dir())
            .map(|(slot, path, _)| (path.as_bytes(), slot))
            .collect();
        let mut homes = Vec::new();
        for (slot, path, _) in arrivals {
            let Some(dir) = dirs.get(path.parent_bytes()) else {
                continue;
            };
            let at = slot as usize;
            if homes.len() <= at {
                homes.resize_with(at + 1, || None);
            }
            homes[at] = Some(Home {
                dir: *dir,
                path: path.clone(),
            });
        }
        Self {
            homes,
            open: Mutex::default(),
        }
    }

    fn home(&self, slot: u32) -> Option<&Home> {
        self.homes.get(slot as usize)?.as_ref()
    }
}

impl Inner {
    /// Where the object of `slot` is to be staged, if that is inside a directory; `None` as well if that is not staged yet.
    pub(super) fn home_of(&self, slot: u32) -> Result<Option<Spot>> {
        let Some(home) = self.layout().and_then(|layout| layout.home(slot)) else {
            return Ok(None);
        };
        let dir = self.staged_dir(home.dir)?;
        Ok(dir.map(|dir| Spot {
            dir,
            name: home.path.name().to_vec(),
        }))
    }

    /// Where a staged object is.
    pub(super) fn spot_of(&self, object: &Object) -> Result<Spot> {
        let slot = object.staged.slot;
        if object.carried
            && let Some(spot) = self.home_of(slot)?
        {
            return Ok(spot);
        }
        Ok(self.flat_spot(new_name(slot, &object.node)))
    }

    /// A name directly in `new/`.
    pub(super) fn flat_spot(&self, name: Vec<u8>) -> Spot {
        Spot {
            dir: Arc::clone(&self.new),
            name,
        }
    }

    /// Opens the staged directory of `slot`; `None` if there is none.
    fn staged_dir(&self, slot: u32) -> Result<Option<Arc<Dir>>> {
        let Some(layout) = self.layout() else {
            return Ok(None);
        };
        let mut open = layout.open.lock().unwrap_or_else(PoisonError::into_inner);
        // From the directory up to one that is open, or stands in `new/` itself.
        let mut missing = Vec::new();
        let mut at = slot;
        let mut dir = loop {
            if let Some(known) = open.iter().rposition(|(known, _)| *known == at) {
                let used = open.remove(known);
                let dir = Arc::clone(&used.1);
                open.push(used);
                break dir;
            }
            let Some(object) = self.object(at).filter(|object| object.node.is_dir()) else {
                return Ok(None);
            };
            match layout.home(at).filter(|_| object.carried) {
                Some(home) => {
                    missing.push((at, home.path.name()));
                    at = home.dir;
                }
                None => {
                    let dir = Arc::new(self.new.open_dir(&new_name(at, &object.node))?);
                    keep_open(&mut open, at, &dir);
                    break dir;
                }
            }
        };
        for (slot, name) in missing.into_iter().rev() {
            dir = Arc::new(dir.open_dir(name)?);
            keep_open(&mut open, slot, &dir);
        }
        Ok(Some(dir))
    }

    /// Sees to it that the staged directories hold what `changes` put into them, and nothing else: what is not planned
    /// to come with its directory is taken out, what is no finished object is removed.
    ///
    /// # Errors
    /// A planned object is not there, or a failed call.
    pub(super) fn settle_carried(&self, changes: &[Change]) -> Result<(), StageError> {
        let Some(layout) = self.layout() else {
            return Ok(());
        };
        let arrivals = || changes.iter().filter_map(arrival);
        let dirs = || arrivals().filter(|(_, _, node)| node.is_dir());
        let planned_dirs: HashMap<&[u8], u32> = dirs()
            .map(|(slot, path, _)| (path.as_bytes(), slot))
            .collect();
        let mut inside: Vec<(u32, &[u8])> = Vec::new();
        let mut stray: HashSet<u32> = self.carried_slots();
        for (slot, path, _) in arrivals() {
            let home = layout.home(slot).filter(|home| {
                home.path == *path && planned_dirs.get(path.parent_bytes()) == Some(&home.dir)
            });
            if let Some(home) = home.filter(|_| stray.remove(&slot)) {
                inside.push((home.dir, path.name()));
            }
        }
        for slot in stray {
            self.take_out(slot)?;
        }
        inside.sort();
        for (slot, _, _) in dirs() {
            let start = inside.partition_point(|(dir, _)| *dir < slot);
            let end = inside.partition_point(|(dir, _)| *dir <= slot);
            self.settle_dir(slot, &inside[start..end])?;
        }
        Ok(())
    }

    /// Removes from a staged directory what is not among `inside`, which is in order.
    fn settle_dir(&self, slot: u32, inside: &[(u32, &[u8])]) -> Result<(), StageError> {
        let dir = self.staged_dir(slot)?.ok_or(StageError::NoObject(slot))?;
        let mut found = 0;
        for entry in dir.list()? {
            let is_it = inside.binary_search_by(|(_, name)| (*name).cmp(&entry.name));
            match is_it {
                Ok(_) => found += 1,
                Err(_) => {
                    // ORDER: a name that is gone is gone on the disk before the directory is moved.
                    self.note_change();
                    open_up_and_remove(&dir, &entry.name)?;
                }
            }
        }
        match found == inside.len() {
            true => Ok(()),
            false => Err(StageError::NoObject(slot)),
        }
    }

    /// Moves an object that waits inside a directory to a name of its own.
    fn take_out(&self, slot: u32) -> Result<(), StageError> {
        let object = self.object(slot).ok_or(StageError::NoObject(slot))?;
        let Spot { dir, name } = self.spot_of(&object)?;
        dir.rename_noreplace(&name, &self.new, &new_name(slot, &object.node))?;
        self.insert(Object {
            carried: false,
            ..object
        });
        Ok(())
    }
}

/// Keeps a directory open that was used just now, and closes the one that was not for the longest time.
fn keep_open(open: &mut Vec<(u32, Arc<Dir>)>, slot: u32, dir: &Arc<Dir>) {
    if open.len() == OPEN_DIRS {
        open.remove(0);
    }
    open.push((slot, Arc::clone(dir)));
}

/// What a change puts where nothing stands.
pub(super) fn arrival(change: &Change) -> Option<(u32, &RelPath, &Node)> {
    let new = change.new.as_ref().filter(|_| change.old.is_none())?;
    Some((new.slot?, &change.path, &new.node))
}
