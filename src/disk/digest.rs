//! The digest of a large file, on two threads: a large file waits for the processor, not for the page cache.
//!
//! BLAKE3 is a tree of hashes: pieces that are a power of two long, and where a multiple of that begins, are subtrees, which
//! can be hashed in any order and put together afterwards.
//!
//! Source: J. O'Connor et al., "BLAKE3: one function, fast everywhere" (2020), section 2.1.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::model::Digest;

/// Files of at least this many bytes are worth a second thread.
pub const LARGE_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a subtree that one thread hashes at a time.
const PIECE_BYTES: u64 = 4 * 1024 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;
const THREADS: usize = 2;

/// Hashes the first `size` bytes of `file`, more than [`LARGE_BYTES`] of them. `go_on` is told of each piece that was read, and
/// ends it with `false`. `None` if it did, or if the file is shorter.
///
/// # Errors
/// A failed read.
pub fn digest(
    file: &File,
    size: u64,
    go_on: &(dyn Fn(usize) -> bool + Sync),
) -> io::Result<Option<Digest>> {
    let pieces = usize::try_from(size.div_ceil(PIECE_BYTES)).unwrap_or(usize::MAX);
    let work = Work {
        file,
        size,
        go_on,
        next: AtomicUsize::new(0),
        values: Mutex::new(vec![None; pieces]),
    };
    let outcomes = std::thread::scope(|scope| {
        let spawn = || std::thread::Builder::new().spawn_scoped(scope, || work.take_pieces());
        // Without a second thread the first does it all.
        let others: Vec<_> = (1..THREADS).filter_map(|_| spawn().ok()).collect();
        let own = work.take_pieces();
        let join = |other: std::thread::ScopedJoinHandle<'_, io::Result<()>>| {
            let panicked = |_| io::Error::other("a thread that hashes panicked");
            other.join().map_err(panicked).flatten()
        };
        others.into_iter().map(join).fold(own, io::Result::and)
    });
    match outcomes {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcomes => outcomes?,
    }
    let values = work
        .values
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let values: Option<Vec<_>> = values.into_iter().collect();
    Ok(values.map(|values| root(&values, size)))
}

struct Work<'a> {
    file: &'a File,
    size: u64,
    go_on: &'a (dyn Fn(usize) -> bool + Sync),
    next: AtomicUsize,
    values: Mutex<Vec<Option<ChainingValue>>>,
}

impl Work<'_> {
    /// Hashes one piece after the other that nobody else has taken.
    fn take_pieces(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            let start = piece as u64 * PIECE_BYTES;
            if start >= self.size {
                return Ok(());
            }
            let Some(value) = self.hash(start, &mut buffer)? else {
                return Ok(());
            };
            let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = values.get_mut(piece) {
                *slot = Some(value);
            }
        }
    }

    fn hash(&self, start: u64, buffer: &mut [u8]) -> io::Result<Option<ChainingValue>> {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(start);
        let (mut at, end) = (start, self.size.min(start + PIECE_BYTES));
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX);
            let part = &mut buffer[..len.min(BUFFER_BYTES)];
            self.file.read_exact_at(part, at)?;
            hasher.update(part);
            at += part.len() as u64;
            if !(self.go_on)(part.len()) {
                return Ok(None);
            }
        }
        Ok(Some(hasher.finalize_non_root()))
    }
}

/// The digest of `bytes` bytes whose pieces have these values; there are at least two pieces.
fn root(values: &[ChainingValue], bytes: u64) -> Digest {
    let (left, right, left_bytes) = halves(values, bytes);
    let (left, right) = (value(left, left_bytes), value(right, bytes - left_bytes));
    merge_subtrees_root(&left, &right, Mode::Hash).into()
}

/// The value of the subtree of `bytes` bytes whose pieces have these values.
fn value(values: &[ChainingValue], bytes: u64) -> ChainingValue {
    if let [one] = values {
        return *one;
    }
    let (left, right, left_bytes) = halves(values, bytes);
    let (left, right) = (value(left, left_bytes), value(right, bytes - left_bytes));
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}

fn halves(values: &[ChainingValue], bytes: u64) -> (&[ChainingValue], &[ChainingValue], u64) {
    let left_bytes = left_subtree_len(bytes);
    let pieces = usize::try_from(left_bytes / PIECE_BYTES).unwrap_or(usize::MAX);
    let (left, right) = values.split_at(pieces.min(values.len()));
    (left, right, left_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(size: u64) -> (File, Vec<u8>) {
        let mut content = vec![0; usize::try_from(size).unwrap()];
        let mut hasher = Hasher::new();
        hasher
            .update(&size.to_le_bytes())
            .finalize_xof()
            .fill(&mut content);
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&content, 0).unwrap();
        (file, content)
    }

    #[test]
    fn it_is_the_digest_of_the_whole_content_whatever_the_length() {
        for size in [
            PIECE_BYTES + 1,
            2 * PIECE_BYTES,
            2 * PIECE_BYTES + 1,
            3 * PIECE_BYTES - 7,
            4 * PIECE_BYTES + 1025,
            7 * PIECE_BYTES,
        ] {
            let (file, content) = file_of(size);
            let found = digest(&file, size, &|_| true).unwrap();
            assert_eq!(found, Some(Digest::of(&content)), "{size} bytes");
        }
    }

    #[test]
    fn a_file_that_got_shorter_and_a_caller_that_had_enough_have_no_digest() {
        let (file, content) = file_of(2 * PIECE_BYTES);
        let longer = content.len() as u64 + 1;
        assert_eq!(digest(&file, longer, &|_| true).unwrap(), None);
        assert_eq!(digest(&file, longer - 1, &|_| false).unwrap(), None);
    }
}
