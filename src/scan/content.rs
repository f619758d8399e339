//! The digest of a file that holds still while it is read.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

use super::Request;
use crate::disk::{Dir, DiskError, Stat, digest, read_some};
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
        let go_on = |bytes: usize| {
            let progress = &request.progress.bytes_hashed;
            progress.fetch_add(bytes as u64, Ordering::Relaxed);
            !request.interrupted.load(Ordering::Relaxed)
        };
        let digest = match before.size >= digest::LARGE_BYTES {
            true => digest::digest(&file, before.size, &go_on),
            false => hash_small(&mut file, before.size, buffer, go_on),
        };
        let digest = digest.map_err(|e| dir.error("read", name, e))?;
        if request.interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let after = dir.stat(name)?;
        if let Some(digest) = digest.filter(|_| after.is_some_and(|a| a.untouched_since(&before))) {
            return Ok(Some((before, digest)));
        }
    }
    Ok(None)
}

/// The digest of a file of `size` bytes; `None` if it has another length, or the user interrupted.
fn hash_small(
    file: &mut File,
    size: u64,
    buffer: &mut [u8],
    go_on: impl Fn(usize) -> bool,
) -> io::Result<Option<Digest>> {
    let mut hasher = blake3::Hasher::new();
    loop {
        let read = read_some(file, buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|b| !b.is_empty()) else {
            let is_whole = hasher.count() == size;
            return Ok(is_whole.then(|| hasher.finalize().into()));
        };
        hasher.update(bytes);
        if !go_on(read) {
            return Ok(None);
        }
    }
}
