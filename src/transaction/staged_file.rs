//! [`StagedFile`]: one staged file while it gets its content. Has hashed what it writes.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use blake3::Hasher;

use crate::disk::{DiskError, NewFile};
use crate::model::{Digest, Mode, Mtime, Node};

use super::carried::Spot;
use super::content::CHUNK_BYTES;
use super::error::StageError;
use super::stage::Inner;
use super::writing::{Piece, Writing};

/// A piece of at least this size is written without being gathered first.
const DIRECT_BYTES: usize = 64 * 1024;

/// A file that is being staged. Dropped before [`StagedFile::finish`], what it has got stays
/// available for the next attempt.
#[derive(Debug)]
pub struct StagedFile {
    inner: Arc<Inner>,
    writing: Writing,
    at: Spot,
    /// Whether the file is complete, or removed.
    is_done: bool,
    slot: u32,
    digest: Digest,
    size: u64,
    /// Of what is written or on its way there.
    hasher: Box<Hasher>,
    /// What is neither yet.
    gathered: Piece,
}

impl StagedFile {
    pub(super) fn new(
        inner: Arc<Inner>,
        file: NewFile,
        at: Spot,
        slot: u32,
        (digest, size): (Digest, u64),
    ) -> Self {
        Self {
            inner,
            writing: Writing::new(file),
            at,
            is_done: false,
            slot,
            digest,
            size,
            hasher: Box::default(),
            gathered: Piece::default(),
        }
    }

    /// Removes the file: what it has got is of no use.
    ///
    /// # Errors
    /// The failed call.
    pub fn discard(mut self) -> Result<(), StageError> {
        self.gathered = Piece::default();
        Ok(self.remove()?)
    }

    fn remove(&mut self) -> Result<(), DiskError> {
        self.is_done = true;
        self.inner.note_change();
        self.at.dir.remove_file(&self.at.name)
    }

    /// How many bytes it has got.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.hasher.count() + self.gathered.len() as u64
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// More than the plan says, or the failed write.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        self.check_room(bytes.len() as u64)?;
        if self.writing.is_here() && self.gathered.len() == 0 && bytes.len() >= DIRECT_BYTES {
            self.hasher.update(bytes);
            return Ok(self.inner.heed_room(self.writing.append(bytes))?);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.room()));
            self.gathered.room(now.len()).copy_from_slice(now);
            self.take_gathered(now.len())?;
            rest = later;
        }
        Ok(())
    }

    /// Appends `len` bytes of `basis` from `offset` on, and shows them to `see`.
    ///
    /// # Errors
    /// More than the plan says, `basis` is shorter, or a failed call.
    pub fn copy_from(
        &mut self,
        basis: &File,
        offset: u64,
        len: u64,
        mut see: impl FnMut(&[u8]),
    ) -> Result<(), StageError> {
        let still_to_come = self.check_room(len)?;
        self.writing.expect_copies(still_to_come);
        let (mut at, end) = (offset, offset.saturating_add(len));
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX);
            let want = want.min(self.room());
            let room = self.gathered.room(want);
            match basis.read_exact_at(room, at) {
                Ok(()) => see(room),
                Err(e) => return Err(self.error("read the basis of", e).into()),
            }
            self.take_gathered(want)?;
            at += want as u64;
        }
        Ok(())
    }

    /// Verifies the whole content and gives the file its permission bits and mtime, all through its
    /// handle, before it has a name that anybody sees.
    ///
    /// # Errors
    /// [`StageError::Integrity`] if the content is not what the plan says; it is removed then.
    pub fn finish(mut self, mode: Mode, mtime: Mtime) -> Result<(), StageError> {
        self.flush_gathered()?;
        let got: Digest = self.hasher.finalize().into();
        if got != self.digest || self.position() != self.size {
            self.remove()?;
            return Err(StageError::Integrity {
                slot: self.slot,
                expected: self.digest,
                got,
            });
        }
        let file = self.inner.heed_room(self.writing.finish())?;
        let node = Node::File {
            size: self.size,
            digest: self.digest,
            mode,
            mtime,
        };
        self.inner.record_file(self.slot, node, (&file, &self.at))?;
        self.is_done = true;
        Ok(())
    }

    /// Takes over what the file contains already, and goes on behind it.
    pub(super) fn hash_what_is_there(&mut self) -> Result<(), StageError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match self.writing.read_at(&mut chunk, self.hasher.count()) {
                Ok(0) => break,
                Ok(len) => drop(self.hasher.update(&chunk[..len])),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error("read", e).into()),
            }
        }
        self.writing.go_on_at(self.hasher.count());
        Ok(())
    }

    /// Whether `len` bytes more are at most what the plan says; gives how many are still to come, these among them.
    fn check_room(&self, len: u64) -> Result<u64, StageError> {
        match self.size.checked_sub(self.position()) {
            Some(still_to_come) if len <= still_to_come => Ok(still_to_come),
            _ => Err(StageError::TooLong {
                slot: self.slot,
                expected_bytes: self.size,
            }),
        }
    }

    /// How many bytes are gathered next, at least one.
    fn room(&self) -> usize {
        CHUNK_BYTES.saturating_sub(self.gathered.len()).max(1)
    }

    /// Takes the next `len` bytes into what is gathered, and sends that on its way if it is enough.
    fn take_gathered(&mut self, len: usize) -> Result<(), StageError> {
        self.gathered.fill(len);
        match self.gathered.len() >= CHUNK_BYTES {
            true => self.flush_gathered(),
            false => Ok(()),
        }
    }

    fn flush_gathered(&mut self) -> Result<(), StageError> {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.len() > 0 {
            self.hasher.update(gathered.bytes());
            let written = self.writing.append_piece(gathered);
            self.gathered = self.inner.heed_room(written)?;
        }
        Ok(())
    }

    fn error(&self, verb: &'static str, e: io::Error) -> DiskError {
        self.at.dir.error(verb, &self.at.name, e)
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_gathered().map_err(io::Error::other)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // Best effort, for the next attempt, which looks for it when `inner` is let go; after `finish` there is nothing left.
        drop(self.flush_gathered());
        drop(self.writing.close());
        if !self.is_done && self.inner.is_carried(&self.at) {
            // Best effort: a commit removes it, too.
            drop(self.remove());
        }
    }
}
