//! [`StagedFile`]: the writer of one staged file. Has hashed what it writes and leaves holes where the content is
//! zero.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::disk::{DiskError, NewFile};
use crate::model::{Digest, Mode, Mtime, Node};

use super::content::CHUNK_BYTES;
use super::error::StageError;
use super::journal::{Staged, new_name};
use super::passing::Passing;
use super::stage::{Inner, Object};

/// A zero run of this many bytes, aligned, becomes a hole. So does a part of one at the end of a write:
/// nothing was ever written there, and what was not written is zero.
const BLOCK_BYTES: usize = 4096;
/// A piece of at least this size is written without being gathered first.
const DIRECT_BYTES: usize = 64 * 1024;

/// A file that is being staged. Dropped before [`StagedFile::finish`], what it has got stays
/// available for the next attempt.
#[derive(Debug)]
pub struct StagedFile {
    inner: Arc<Inner>,
    file: NewFile,
    slot: u32,
    digest: Digest,
    size: u64,
    passing: Passing,
    gathered: Vec<u8>,
    /// Where in the file `gathered` begins.
    position: u64,
    /// Whether the end of the file is a hole that no write has made yet.
    ends_in_hole: bool,
}

impl StagedFile {
    pub(super) fn new(
        inner: Arc<Inner>,
        file: NewFile,
        slot: u32,
        digest: Digest,
        size: u64,
    ) -> Self {
        Self {
            inner,
            file,
            slot,
            digest,
            size,
            passing: Passing::default(),
            gathered: Vec::new(),
            position: 0,
            ends_in_hole: false,
        }
    }

    /// Removes the file: what it has got is of no use.
    ///
    /// # Errors
    /// The failed call.
    pub fn discard(mut self) -> Result<(), StageError> {
        self.gathered.clear();
        Ok(self.inner.new.remove_file(&self.name())?)
    }

    /// How many bytes it has got.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position + self.gathered.len() as u64
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// More than the plan says, or the failed write.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        self.check_room(bytes.len() as u64)?;
        if self.gathered.is_empty() && bytes.len() >= DIRECT_BYTES {
            self.write_out(bytes)?;
            self.passing.pass_borrowed(bytes);
            return Ok(());
        }
        for piece in bytes.chunks(CHUNK_BYTES) {
            self.gathered.extend_from_slice(piece);
            if self.gathered.len() >= CHUNK_BYTES {
                self.flush_gathered()?;
            }
        }
        Ok(())
    }

    /// Appends `len` bytes of `basis` from `offset` on.
    ///
    /// # Errors
    /// More than the plan says, `basis` is shorter, or a failed call.
    pub fn copy_from(&mut self, basis: &File, offset: u64, len: u64) -> Result<(), StageError> {
        self.check_room(len)?;
        let (mut at, end) = (offset, offset.saturating_add(len));
        while at < end {
            let room = CHUNK_BYTES.saturating_sub(self.gathered.len()).max(1);
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(room);
            let filled = self.gathered.len();
            self.gathered.resize(filled + want, 0);
            let read = basis.read_exact_at(&mut self.gathered[filled..], at);
            if let Err(e) = read {
                self.gathered.truncate(filled);
                return Err(self.error("read the basis of", e).into());
            }
            at += want as u64;
            if self.gathered.len() >= CHUNK_BYTES {
                self.flush_gathered()?;
            }
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
        let got = self.passing.finish();
        if got != Some(self.digest) || self.position != self.size {
            self.inner.new.remove_file(&self.name())?;
            return Err(StageError::Integrity {
                slot: self.slot,
                expected: self.digest,
                got: got.unwrap_or(Digest([0; 32])),
            });
        }
        self.end_hole()?;
        if mode.bits() != 0o600 {
            self.file.set_mode(mode.bits())?;
        }
        self.file.set_mtime(mtime)?;
        let identity = self.file.identity()?;
        let node = Node::File {
            size: self.size,
            digest: self.digest,
            mode,
            mtime,
        };
        let staged = Staged {
            slot: self.slot,
            bits: mode.bits(),
            identity,
        };
        self.inner.insert(Object { node, staged });
        Ok(())
    }

    /// Takes over what the file contains already.
    pub(super) fn hash_what_is_there(&mut self) -> Result<(), StageError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match self.file.file().read_at(&mut chunk, self.position) {
                Ok(0) => return Ok(()),
                Ok(len) => {
                    self.passing.pass_borrowed(&chunk[..len]);
                    self.position += len as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error("read", e).into()),
            }
        }
    }

    fn check_room(&self, len: u64) -> Result<(), StageError> {
        match self.position().checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(StageError::TooLong {
                slot: self.slot,
                expected_bytes: self.size,
            }),
        }
    }

    fn flush_gathered(&mut self) -> Result<(), StageError> {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.is_empty() {
            return Ok(());
        }
        self.write_out(&gathered)?;
        let left = self.size.saturating_sub(self.position);
        self.gathered = self.passing.pass(gathered, left);
        Ok(())
    }

    /// Writes, leaving out blocks of zeros.
    fn write_out(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        let (mut start, mut at) = (0, 0);
        while at < bytes.len() {
            let to_boundary = BLOCK_BYTES - (block_offset(self.position) + at) % BLOCK_BYTES;
            let end = bytes.len().min(at + to_boundary);
            if is_zero(&bytes[at..end]) {
                self.write_piece(&bytes[start..at], start)?;
                start = end;
            }
            at = end;
        }
        self.write_piece(&bytes[start..], start)?;
        self.ends_in_hole = start == bytes.len();
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn write_piece(&self, bytes: &[u8], offset: usize) -> Result<(), StageError> {
        if !bytes.is_empty() {
            self.file
                .write_all_at(bytes, self.position + offset as u64)?;
        }
        Ok(())
    }

    fn end_hole(&mut self) -> Result<(), StageError> {
        if std::mem::take(&mut self.ends_in_hole) {
            self.file.set_len(self.position)?;
        }
        Ok(())
    }

    fn name(&self) -> Vec<u8> {
        let (mode, mtime) = (Mode::from(0), Mtime { secs: 0, nanos: 0 });
        new_name(
            self.slot,
            &Node::File {
                size: 0,
                digest: self.digest,
                mode,
                mtime,
            },
        )
    }

    fn error(&self, verb: &'static str, e: io::Error) -> DiskError {
        self.inner.new.error(verb, &self.name(), e)
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
        // Best effort, for the next attempt; after `finish` there is nothing left to write.
        drop(self.flush_gathered());
    }
}

fn block_offset(position: u64) -> usize {
    usize::try_from(position % BLOCK_BYTES as u64).unwrap_or(0)
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|b| *b == 0)
}
