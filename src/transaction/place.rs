//! The few moves that everything is made of, each between a handle inside the state directory and a
//! handle in the tree. Where the file system cannot swap two names in one step, the old object is
//! pinned by a second name first. Where it cannot move a directory (overlayfs, one of a lower layer), an
//! empty one stands in for it.

use std::io;

use super::order::bits;
use crate::disk::{Dir, DiskError, FileKind, Result};

/// Appended to the name in `new/` for the second name of an old object.
const PIN: &[u8] = b".pin";

/// Moves `from/name` to a free name. [`DiskError::is_taken`] if it is not free.
pub(super) fn place(from: &Dir, name: &[u8], to: &Dir, to_name: &[u8]) -> Result<()> {
    match from.rename_noreplace(name, to, to_name) {
        Err(e) if is_unsupported(&e) => place_by_steps(from, name, to, to_name),
        other => other,
    }
}

/// Moves an empty directory of the tree to a free name of ours.
/// [`io::ErrorKind::DirectoryNotEmpty`] only if it has to be replaced by a stand-in.
pub(super) fn take_dir(tree: &Dir, tree_name: &[u8], to: &Dir, name: &[u8]) -> Result<()> {
    match place(tree, tree_name, to, name) {
        Err(e) if e.is_other_filesystem() => stand_in(tree, tree_name, to, name),
        other => other,
    }
}

fn stand_in(tree: &Dir, tree_name: &[u8], to: &Dir, name: &[u8]) -> Result<()> {
    let Some(stat) = tree.stat(tree_name)? else {
        return Err(tree.error("move", tree_name, io::Error::from(io::ErrorKind::NotFound)));
    };
    // ORDER: an undo must find the stand-in when the directory is gone.
    to.make_dir(name, 0o700)?;
    to.set_mode(name, bits(&stat))?;
    if let Err(e) = tree.remove_dir(tree_name) {
        to.remove_dir(name)?;
        return Err(e);
    }
    Ok(())
}

/// Swaps the object `new/name` with the one in the tree.
pub(super) fn swap(new: &Dir, name: &[u8], tree: &Dir, tree_name: &[u8]) -> Result<()> {
    let needs_steps = |e: &DiskError| is_unsupported(e) || e.is_other_filesystem();
    swap_or(needs_steps, new, name, tree, tree_name)
}

/// Swaps the staged object in the tree with the old one in `new/name`. Nothing stands in for a staged object: it can be
/// moved, and a stand-in would not be known as ours by what goes on with this undo.
pub(super) fn swap_back(new: &Dir, name: &[u8], tree: &Dir, tree_name: &[u8]) -> Result<()> {
    swap_or(is_unsupported, new, name, tree, tree_name)
}

fn swap_or(
    needs_steps: impl Fn(&DiskError) -> bool,
    new: &Dir,
    name: &[u8],
    tree: &Dir,
    tree_name: &[u8],
) -> Result<()> {
    match new.exchange(name, tree, tree_name) {
        Err(e) if needs_steps(&e) => swap_by_steps(new, name, tree, tree_name),
        other => other,
    }
}

/// Whether the file system of `dir`, a directory of ours, swaps two names in one step.
pub(super) fn can_exchange(dir: &Dir) -> Result<bool> {
    const NAMES: [&[u8]; 2] = [b"probe-a", b"probe-b"];
    for name in NAMES {
        match dir.create_file(name) {
            Err(e) if !e.is_taken() => return Err(e),
            _ => {}
        }
    }
    let answer = match dir.exchange(NAMES[0], dir, NAMES[1]) {
        Err(e) if is_unsupported(&e) => Ok(false),
        other => other.map(|()| true),
    };
    NAMES.iter().try_for_each(|name| dir.remove_file(name))?;
    answer
}

/// Whether the file system of `dir`, a directory of ours, gives a file a second name.
pub(super) fn can_link(dir: &Dir) -> Result<bool> {
    const NAMES: [&[u8]; 2] = [b"probe-a", b"probe-b"];
    match dir.create_file(NAMES[0]) {
        Err(e) if !e.is_taken() => return Err(e),
        _ => {}
    }
    let answer = dir.link(NAMES[0], dir, NAMES[1]).is_ok();
    if answer {
        dir.remove_file(NAMES[1])?;
    }
    dir.remove_file(NAMES[0])?;
    Ok(answer)
}

/// Finishes or takes back what a crash left of a swap by steps, so that `new/name` is either the object
/// it was or the one that it displaced.
pub(super) fn settle_swap(new: &Dir, name: &[u8], tree: &Dir, tree_name: &[u8]) -> Result<()> {
    let pin = pin_name(name);
    let Some(pinned) = new.stat(&pin)? else {
        return Ok(());
    };
    let in_tree = tree.stat(tree_name)?;
    match (new.stat(name)?, in_tree) {
        // Not replaced yet, and still under its own name: the second name goes.
        (Some(_), Some(there)) if there.same_object(&pinned) => new.remove_file(&pin),
        // A directory was moved aside, and the object that comes has both names.
        (Some(here), Some(there)) if here.same_object(&there) => {
            tree.remove_file(tree_name)?;
            place(new, &pin, tree, tree_name)
        }
        // A directory was moved aside.
        (Some(_), None) => place(new, &pin, tree, tree_name),
        (None, _) => new.rename_over(&pin, new, name),
        // Somebody came in between: the pinned object is the only one of its kind. It stays, and what
        // is left in `new/` is looked at one by one.
        (Some(_), Some(_)) => Ok(()),
    }
}

pub(super) fn pin_name(name: &[u8]) -> Vec<u8> {
    [name, PIN].concat()
}

fn place_by_steps(from: &Dir, name: &[u8], to: &Dir, to_name: &[u8]) -> Result<()> {
    let is_dir = from
        .stat(name)?
        .is_some_and(|stat| stat.kind == FileKind::Dir);
    if !is_dir {
        from.link(name, to, to_name)?;
        return from.remove_file(name);
    }
    // RACE: between these two calls an empty directory of somebody else could be replaced. Without
    // the help of the file system that cannot be closed; it takes nothing with it but its inode.
    if to.stat(to_name)?.is_some() {
        return Err(to.error(
            "move",
            to_name,
            io::Error::from(io::ErrorKind::AlreadyExists),
        ));
    }
    from.rename_over(name, to, to_name)
}

/// RACE: a save by rename between the first two steps is lost. The guarantee is a reduced one.
fn swap_by_steps(new: &Dir, name: &[u8], tree: &Dir, tree_name: &[u8]) -> Result<()> {
    let pin = pin_name(name);
    let is_dir = |dir: &Dir, name: &[u8]| -> Result<bool> {
        let stat = dir.stat(name)?;
        Ok(stat.is_some_and(|stat| stat.kind == FileKind::Dir))
    };
    if is_dir(tree, tree_name)? {
        take_dir(tree, tree_name, new, &pin)?;
        place(new, name, tree, tree_name)?;
    } else if is_dir(new, name)? {
        place(tree, tree_name, new, &pin)?;
        place(new, name, tree, tree_name)?;
    } else {
        tree.link(tree_name, new, &pin)?;
        new.rename_over(name, tree, tree_name)?;
    }
    // Nothing has this name in our own directory now, and one step leaves nothing half done.
    new.rename_over(&pin, new, name)
}

/// What kernels and file systems answer that do not know the flags of `renameat2`.
fn is_unsupported(e: &DiskError) -> bool {
    use rustix::io::Errno;
    matches!(
        e.errno(),
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
    )
}
