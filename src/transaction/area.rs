//! The part of `.rsyn/` that transactions use, as opened handles.

use crate::disk::{Dir, Result, Root};
use crate::model::path::STATE_DIR;

use super::journal::TxnId;

/// Transactions that are staged, under way, or wait for recovery.
pub(super) const TXN: &[u8] = b"txn";
/// Finished ones, kept for rollback.
pub(super) const SNAP: &[u8] = b"snap";
/// What is being deleted.
pub(super) const TRASH: &[u8] = b"trash";
/// Content of interrupted transfers.
pub(super) const PARTIAL: &[u8] = b"partial";

/// Handles of the state directory and its parts; all exist, all are private (0700).
#[derive(Debug)]
pub(super) struct Area {
    pub(super) state: Dir,
    pub(super) txn: Dir,
    pub(super) snap: Dir,
    pub(super) trash: Dir,
    pub(super) partial: Dir,
}

impl Area {
    /// Opens the parts and makes those that are missing.
    pub(super) fn open(root: &Root) -> Result<Self> {
        let state = state_dir(root)?;
        let part = |name| open_or_make(&state, name);
        let (txn, snap, trash, partial) = (part(TXN)?, part(SNAP)?, part(TRASH)?, part(PARTIAL)?);
        Ok(Self {
            state,
            txn,
            snap,
            trash,
            partial,
        })
    }

    /// Moves a directory of ours to the trash: one rename, so that it is there or gone as a whole.
    pub(super) fn discard(&self, from: &Dir, name: &[u8]) -> Result<()> {
        let name_in_trash = [name, b"-", TxnId::random()?.as_str().as_bytes()].concat();
        from.rename_noreplace(name, &self.trash, &name_in_trash)
    }

    /// Removes what is in the trash. Nothing depends on it, so it stops at the first failure.
    pub(super) fn empty_trash(&self) -> Result<()> {
        for entry in self.trash.list()? {
            open_up_and_remove(&self.trash, &entry.name)?;
        }
        Ok(())
    }
}

/// Removes what stands at `name`, a directory with all that is inside.
pub(super) fn open_up_and_remove(dir: &Dir, name: &[u8]) -> Result<()> {
    let is_dir = dir
        .stat(name)?
        .is_some_and(|s| s.kind == crate::disk::FileKind::Dir);
    if is_dir {
        dir.remove_tree(name)
    } else {
        dir.remove_file(name)
    }
}

/// Opens the state directory of `root`, made private (0700) and durable if it is missing.
///
/// # Errors
/// Something else stands there, or it cannot be made.
pub fn state_dir(root: &Root) -> Result<Dir> {
    open_or_make(root.top(), STATE_DIR)
}

/// Whether the file system of `root` can swap two names in one step. Where it cannot, a save by rename
/// by another program in the very moment of a replacement can be lost: tell the user once.
///
/// # Errors
/// The state directory cannot be written.
pub fn has_full_guarantee(root: &Root) -> Result<bool> {
    super::place::can_exchange(&Area::open(root)?.trash)
}

/// Whether files can be replaced below `root` with nothing lost, also in a crash: its file system can swap two names, or give a
/// file two.
///
/// # Errors
/// The state directory cannot be written.
pub fn can_replace(root: &Root) -> Result<bool> {
    let trash = Area::open(root)?.trash;
    Ok(super::place::can_exchange(&trash)? || super::place::can_link(&trash)?)
}

/// Opens the directory `name`; `None` if it is not there.
pub(super) fn open_if_there(dir: &Dir, name: &[u8]) -> Result<Option<Dir>> {
    match dir.open_dir(name) {
        Ok(dir) => Ok(Some(dir)),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e),
    }
}

fn open_or_make(parent: &Dir, name: &[u8]) -> Result<Dir> {
    if let Some(dir) = open_if_there(parent, name)? {
        return private(dir);
    }
    match parent.make_dir(name, 0o700) {
        // ORDER: before anything is put inside, so that a power cut cannot take it away again.
        Ok(()) => parent.sync()?,
        Err(e) if e.is_taken() => {}
        Err(e) => return Err(e),
    }
    private(parent.open_dir(name)?)
}

/// Staged and displaced files keep their own modes, so nobody else may enter.
fn private(dir: Dir) -> Result<Dir> {
    let raw = dir.own_stat()?.raw_mode & 0o7777;
    if raw & 0o777 != 0o700 {
        dir.set_own_mode(u16::try_from(raw & 0o7000).unwrap_or(0) | 0o700)?;
    }
    Ok(dir)
}
