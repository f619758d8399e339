//! [`SparseFile`]: a new file that grows at its end and has holes where its content is zero.

use std::io;
use std::os::unix::fs::FileExt;

use crate::disk::{NewFile, Result};

/// A zero run of this many bytes, aligned, becomes a hole. So does a part of one at the end of a write:
/// nothing was ever written there, and what was not written is zero.
const BLOCK_BYTES: usize = 4096;

/// A file that is written from its beginning to its end.
#[derive(Debug)]
pub(super) struct SparseFile {
    file: NewFile,
    position: u64,
    /// Whether the end of the file is a hole that no write has made yet.
    ends_in_hole: bool,
}

impl SparseFile {
    /// Writes `file` from its beginning.
    pub(super) fn new(file: NewFile) -> Self {
        Self {
            file,
            position: 0,
            ends_in_hole: false,
        }
    }

    /// Reads back what is there.
    ///
    /// # Errors
    /// The failed read.
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.file().read_at(bytes, offset)
    }

    /// Takes the first `bytes` of the content as written.
    pub(super) fn go_on_at(&mut self, bytes: u64) {
        self.position = bytes;
    }

    /// Appends `bytes`, leaving out blocks of zeros.
    ///
    /// # Errors
    /// The failed write.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
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

    /// The file, as long as what was appended.
    ///
    /// # Errors
    /// The failed call.
    pub(super) fn finish(self) -> Result<NewFile> {
        if self.ends_in_hole {
            self.file.set_len(self.position)?;
        }
        Ok(self.file)
    }

    fn write_piece(&self, bytes: &[u8], offset: usize) -> Result<()> {
        match bytes {
            [] => Ok(()),
            bytes => self.file.write_all_at(bytes, self.position + offset as u64),
        }
    }
}

fn block_offset(position: u64) -> usize {
    usize::try_from(position % BLOCK_BYTES as u64).unwrap_or(0)
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|b| *b == 0)
}
