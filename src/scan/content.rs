//! The digest of a file that holds still while it is read.

use std::sync::atomic::Ordering;

use super::Request;
use crate::disk::{Dir, DiskError, Stat, read_some};
use crate::model::Digest;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: usize = 3;
/// Read buffer in bytes: larger ones gain nothing (docs/performance.md).
pub(super) const BUFFER_BYTES: usize = 256 * 1024;

/// Hashes the file `name` in `dir`; gives its stat as it was before and after. `None` if it changed under
/// the reader each time, or the user interrupted.
///
/// # Errors
/// It cannot be opened or read.
pub fn hash_file(
    dir: &Dir,
    name: &[u8],
    buffer: &mut Vec<u8>,
    request: &Request<'_>,
) -> Result<Option<(Stat, Digest)>, DiskError> {
    buffer.resize(BUFFER_BYTES, 0);
    for _ in 0..ATTEMPTS {
        let (mut file, before) = dir.open_file(name)?;
        let mut hasher = blake3::Hasher::new();
        loop {
            let read = read_some(&mut file, buffer).map_err(|e| dir.error("read", name, e))?;
            let Some(bytes) = buffer.get(..read).filter(|b| !b.is_empty()) else {
                break;
            };
            hasher.update(bytes);
            request
                .progress
                .bytes_hashed
                .fetch_add(read as u64, Ordering::Relaxed);
            if request.interrupted.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
        let after = dir.stat(name)?;
        if hasher.count() == before.size && after.is_some_and(|a| a.untouched_since(&before)) {
            return Ok(Some((before, hasher.finalize().into())));
        }
    }
    Ok(None)
}
