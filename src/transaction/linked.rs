//! Files with several names (hard links). Names travel as files of their own, so that a change of one leaves the others as
//! they are, inside the root and outside of it.

use std::io::ErrorKind;

use crate::disk::{DiskError, FileKind, Root};
use crate::model::{Node, RelPath};

use super::Change;
use super::error::{CommitError, StageError};
use super::stage::Staging;

/// Stages a copy for each of `changes` that gives a file other permission bits, and nothing else, where that file has other
/// names: bits belong to the file and not to a name. A content that is not the expected one is left to the check of the plan.
pub(super) fn separate(
    root: &Root,
    staging: &Staging,
    changes: &mut [Change],
) -> Result<(), CommitError> {
    let slots = changes.iter().filter_map(|c| c.new.as_ref()?.slot);
    let first = slots.max().map_or(0, |slot| slot.saturating_add(1));
    for (slot, change) in (first..).zip(changes.iter_mut()) {
        let Some(new) = change.new.as_mut().filter(|new| new.slot.is_none()) else {
            continue;
        };
        if !matches!(new.node, Node::File { .. }) || !has_other_names(root, &change.path)? {
            continue;
        }
        let copied = match root.open_file(&change.path) {
            Ok((file, _)) => staging.copy(slot, &file, &new.node),
            Err(e) => Err(e.into()),
        };
        match copied {
            Ok(()) => new.slot = Some(slot),
            Err(StageError::Integrity { .. }) => {}
            Err(StageError::Disk(e)) if e.is_missing() || e.kind() == ErrorKind::UnexpectedEof => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn has_other_names(root: &Root, path: &RelPath) -> Result<bool, DiskError> {
    let stat = match root.parent(path) {
        Ok(parent) => parent.stat(path.name())?,
        Err(e) if e.is_no_directory() => None,
        Err(e) => return Err(e),
    };
    Ok(stat.is_some_and(|stat| stat.kind == FileKind::File && stat.nlink > 1))
}
