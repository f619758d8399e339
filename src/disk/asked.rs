//! The directory in a state directory whose names tell what the disk can hold.

use super::dir::Dir;
use super::root::Root;
use crate::model::path::STATE_DIR;

/// Its name.
pub const ASKED: &[u8] = b"names";
/// A file whose permission bits tell whether the disk keeps them.
pub const ASKED_MODE: &[u8] = b"mode";
/// Those bits. No disk without bits of its own shows a file with just these.
pub const KEPT_BITS: u16 = 0o640;

/// Whether the disk of `root` keeps permission bits. Where that was not asked, it does.
#[must_use]
pub fn keeps_modes(root: &Root) -> bool {
    let asked = root.top().open_dir(STATE_DIR);
    asked
        .and_then(|state| state.open_dir(ASKED))
        .map_or(true, |asked| shows_kept_bits(&asked))
}

/// Tells whether the file in the opened directory shows the bits that it was given; true if it is
/// not there.
#[must_use]
pub fn shows_kept_bits(asked: &Dir) -> bool {
    let there = asked.stat(ASKED_MODE).ok().flatten();
    there.is_none_or(|stat| stat.mode == KEPT_BITS)
}
