//! What comes gets the group that its place gives it: that of the file that it replaces, or of a directory that passes its
//! own on (setgid), and a new directory passes it on as well. It is staged elsewhere, where nothing of that comes by itself.

use crate::disk::{Group, Root};
use crate::model::{Node, RelPath};

use super::Change;
use super::error::StageError;
use super::stage::{Inner, Object};

const SETGID: u16 = 0o2000;

/// The directories above the changes, which are looked at in the order of their paths.
struct Places<'a> {
    root: &'a Root,
    /// Directories that come, one below the other, and what each will give to what is inside.
    made: Vec<(&'a RelPath, Group)>,
    /// What the directory above the last path that stood there already gives.
    last: Option<(&'a [u8], Option<Group>)>,
}

impl<'a> Places<'a> {
    /// What the directory above `path` gives; `None` if it cannot be looked at, which the check of the plan tells.
    fn above(&mut self, path: &'a RelPath) -> Option<Group> {
        while self.made.pop_if(|(dir, _)| !path.is_below(dir)).is_some() {}
        if let Some((_, group)) = self.made.last() {
            return Some(*group);
        }
        let parent = path.parent_bytes();
        if let Some((_, group)) = self.last.filter(|(dir, _)| *dir == parent) {
            return group;
        }
        let dir = self.root.parent(path).ok();
        let group = dir.and_then(|dir| dir.group_inside().ok());
        self.last = Some((parent, group));
        group
    }

    /// The group of the file that `change` replaces.
    fn replaced(&self, Change { path, old, .. }: &Change) -> Option<u32> {
        let old = old.as_deref().filter(|old| !old.node.is_dir())?;
        let is_file = matches!(old.node, Node::File { .. });
        let parent = self.root.parent(path).ok().filter(|_| is_file)?;
        parent.group_of(path.name()).ok()?
    }
}

impl Inner {
    /// Gives what is staged for `changes` the groups of its places, as far as this user may. Must come before the sync: an
    /// object is complete when it gets its place.
    ///
    /// # Errors
    /// A failed call.
    pub(super) fn give_groups(&self, root: &Root, changes: &[Change]) -> Result<(), StageError> {
        let here = self.new.group_inside()?;
        let mut places = Places {
            root,
            made: Vec::new(),
            last: None,
        };
        let mut changes: Vec<&Change> = changes.iter().collect();
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        for change in changes {
            let slot = change.new.as_ref().and_then(|new| new.slot);
            let Some(object) = slot.and_then(|slot| self.object(slot)) else {
                continue;
            };
            let Some(mut wanted) = places.above(&change.path) else {
                continue;
            };
            let is_dir = object.node.is_dir();
            if let Some(gid) = places.replaced(change).filter(|_| !is_dir) {
                wanted.gid = gid;
            }
            let is_settled = match is_dir {
                true => wanted == here,
                false => wanted.gid == here.gid,
            };
            if !is_settled {
                self.give_group(object, wanted)?;
            }
            if is_dir {
                places.made.push((&change.path, wanted));
            }
        }
        Ok(())
    }

    /// Gives a staged object its group, and a directory its setgid bit with it. A second name of a file leaves that as it is.
    fn give_group(&self, object: Object, wanted: Group) -> Result<(), StageError> {
        let spot = self.spot_of(&object)?;
        let is_dir = object.node.is_dir();
        let stat = spot.dir.stat(&spot.name)?;
        if !is_dir && stat.is_none_or(|stat| stat.nlink > 1) {
            return Ok(());
        }
        if !spot.dir.give_group(&spot.name, wanted.gid)? {
            return Ok(());
        }
        if is_dir {
            let bits = object.staged.bits & !SETGID;
            let setgid = if wanted.setgid { SETGID } else { 0 };
            spot.dir.set_mode(&spot.name, bits | setgid)?;
        }
        self.record(object.staged.slot, object.node, (spot, object.carried))
    }
}
