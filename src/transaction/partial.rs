//! Content of interrupted transfers, by digest, for the next attempt: `partial/<digest>`.
//!
//! A file here holds the beginning, or all, of the content that its name tells. Nothing here is
//! believed before the whole content has been hashed.

use crate::disk::{Dir, FileKind, NewFile, Result, Root, Stat};
use crate::model::path::STATE_DIR;
use crate::model::{Digest, total_bytes};

use super::area::{Area, PARTIAL, open_if_there};
use super::content;

/// Directories inside each other in which remains are looked for.
const DEEPEST: usize = 32;

/// How much of interrupted transfers is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialLimits {
    /// Older remains go.
    pub max_age_secs: i64,
    /// The oldest go until the rest fits.
    pub max_bytes: u64,
}

impl PartialLimits {
    const MAX_AGE_SECS: i64 = 7 * 24 * 3600;
    /// So much may be kept on the smallest disk.
    const LEAST_BYTES: u64 = 4 << 30;

    /// Where the file system would have so much room without any remains: half of it.
    #[must_use]
    pub fn for_room(room_bytes: u64) -> Self {
        Self {
            max_age_secs: Self::MAX_AGE_SECS,
            max_bytes: Self::LEAST_BYTES.max(room_bytes / 2),
        }
    }
}

/// Removes what is too old or too much at the time `now` (seconds since 1970). Returns the bytes freed.
///
/// # Errors
/// The first failed call.
pub fn prune_partial(root: &Root, limits: PartialLimits, now: i64) -> Result<u64> {
    prune_dir(&Area::open(root)?.partial, limits, now)
}

/// As [`prune_partial`], with the limits that suit the disk.
pub(super) fn prune_on_disk(partial: &Dir, now: i64) -> Result<u64> {
    let held = total_bytes(all(partial)?.iter().map(|(stat, _)| stat.size));
    let free = crate::disk::space::space(partial)?.free_bytes;
    prune_dir(
        partial,
        PartialLimits::for_room(free.saturating_add(held)),
        now,
    )
}

/// What is there of contents that interrupted transfers began: digest and bytes. Changes nothing.
///
/// # Errors
/// The state directory cannot be read.
pub fn remains(root: &Root) -> Result<Vec<(Digest, u64)>> {
    let Some(state) = open_if_there(root.top(), STATE_DIR)? else {
        return Ok(vec![]);
    };
    let Some(partial) = open_if_there(&state, PARTIAL)? else {
        return Ok(vec![]);
    };
    let usable = all(&partial)?
        .into_iter()
        .filter(|(stat, _)| is_usable(stat));
    let digest = |name: &[u8]| Digest::from_hex(std::str::from_utf8(name).ok()?);
    Ok(usable
        .filter_map(|(stat, name)| Some((digest(&name)?, stat.size)))
        .collect())
}

/// Removes all remains.
pub(super) fn clear(partial: &Dir) -> Result<()> {
    let mut remains = all(partial)?.into_iter();
    remains.try_for_each(|(_, name)| partial.remove_file(&name))
}

fn all(partial: &Dir) -> Result<Vec<(Stat, Box<[u8]>)>> {
    let mut found = Vec::new();
    for entry in partial.list()? {
        if let Some(stat) = partial.stat(&entry.name)? {
            found.push((stat, entry.name));
        }
    }
    Ok(found)
}

fn prune_dir(partial: &Dir, limits: PartialLimits, now: i64) -> Result<u64> {
    let mut remains = all(partial)?;
    // The mtime is that of the content; the ctime says when it came here.
    remains.sort_by_key(|(stat, _)| std::cmp::Reverse(stat.ctime));
    let (mut kept, mut freed) = (0u64, 0u64);
    for (stat, name) in remains {
        let too_old = now.saturating_sub(stat.ctime.secs) > limits.max_age_secs;
        if too_old || kept.saturating_add(stat.size) > limits.max_bytes {
            partial.remove_file(&name)?;
            freed += stat.size;
        } else {
            kept += stat.size;
        }
    }
    Ok(freed)
}

/// How many bytes are there of the content with this digest.
pub(super) fn len(partial: &Dir, digest: Digest) -> Result<Option<u64>> {
    Ok(partial
        .stat(&name_of(digest))?
        .filter(is_usable)
        .map(|stat| stat.size))
}

/// Moves the remains of a content of `size` bytes to `new/<name>` and opens them for writing.
pub(super) fn take(
    partial: &Dir,
    digest: Digest,
    size: u64,
    new: &Dir,
    name: &[u8],
) -> Result<Option<NewFile>> {
    let fits = |stat: &Stat| is_usable(stat) && stat.size <= size;
    if !partial.stat(&name_of(digest))?.as_ref().is_some_and(fits) {
        return Ok(None);
    }
    match partial.rename_noreplace(&name_of(digest), new, name) {
        // Another process was faster.
        Err(e) if e.is_missing() => return Ok(None),
        other => other?,
    }
    new.set_mode(name, 0o600)?;
    new.reopen_file(name).map(Some)
}

/// Moves all staged files of a given-up transaction to the remains, and keeps those within the
/// limits. Only for a `new/` in which every object is known to be ours.
pub(super) fn salvage(new: &Dir, partial: &Dir) -> Result<()> {
    if salvage_dir(new, partial, digest_in_name, DEEPEST)? {
        // The directory was changed right now, by the clock that also dates what is inside.
        let now = partial.own_stat()?.mtime.secs;
        prune_on_disk(partial, now)?;
    }
    Ok(())
}

/// Whether anything was moved. `digest` tells that of a file, if it can. What is more than `depth` directories down travels
/// again, for each of those above needs a handle.
fn salvage_dir(
    dir: &Dir,
    partial: &Dir,
    digest: fn(&Dir, &[u8]) -> Option<Digest>,
    depth: usize,
) -> Result<bool> {
    let mut salvaged = false;
    for entry in dir.list()? {
        let stat = dir.stat(&entry.name)?;
        if stat.is_some_and(|stat| stat.kind == FileKind::Dir) {
            if let Some(depth) = depth.checked_sub(1) {
                let inside = dir.open_dir(&entry.name)?;
                salvaged |= salvage_dir(&inside, partial, digest_of_content, depth)?;
            }
            continue;
        }
        let usable = stat.filter(is_usable);
        if let Some(stat) = usable
            && let Some(digest) = digest(dir, &entry.name)
        {
            salvaged |= salvage_file(dir, &entry.name, stat.size, partial, &name_of(digest))?;
        }
    }
    Ok(salvaged)
}

fn salvage_file(
    dir: &Dir,
    name: &[u8],
    size: u64,
    partial: &Dir,
    name_there: &[u8],
) -> Result<bool> {
    match partial.stat(name_there)? {
        None => dir.rename_noreplace(name, partial, name_there)?,
        Some(there) if there.size < size => dir.rename_over(name, partial, name_there)?,
        Some(_) => return Ok(false),
    }
    Ok(true)
}

/// That of a file inside a new directory, which is small; one that was not finished is of no use, and does no harm.
fn digest_of_content(dir: &Dir, name: &[u8]) -> Option<Digest> {
    content::hash(&dir.open_file(name).ok()?.0).ok()
}

/// A file with a second name is somebody's: of a snapshot, or of the tree. It is not ours to write.
fn is_usable(stat: &Stat) -> bool {
    stat.kind == FileKind::File && stat.nlink == 1 && stat.size > 0
}

fn name_of(digest: Digest) -> Vec<u8> {
    digest.to_string().into_bytes()
}

/// The digest in the name of a staged file, see `journal::new_name`.
fn digest_in_name(_: &Dir, name: &[u8]) -> Option<Digest> {
    let (_, hex) = std::str::from_utf8(name).ok()?.split_once('-')?;
    Digest::from_hex(hex)
}
