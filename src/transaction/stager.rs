//! [`Stager`]: stages files whose content is at hand as a whole. Several threads can have one each.

use std::sync::Arc;

use super::error::StageError;
use super::sparse_file::SparseFile;
use super::stage::Inner;
use crate::disk::{NewFile, Result};
use crate::model::{Digest, Node};

/// A handle of a [`Staging`](super::Staging).
#[derive(Debug, Clone)]
pub struct Stager(Arc<Inner>);

impl Stager {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// Stages the file of `slot`, which is `node`.
    ///
    /// # Errors
    /// [`StageError::TooLong`] and [`StageError::Integrity`] if `content` is not what `node` says, the slot is in use, or a
    /// failed call. Nothing of it stays.
    pub fn file(&self, slot: u32, node: Node, content: &[u8]) -> Result<(), StageError> {
        let Node::File { size, digest, .. } = node else {
            return Err(StageError::NoObject(slot));
        };
        let inner = &self.0;
        inner.check_free(slot)?;
        let bytes = content.len() as u64;
        if bytes > size {
            let expected_bytes = size;
            return Err(StageError::TooLong {
                slot,
                expected_bytes,
            });
        }
        let got = Digest::of(content);
        if got != digest || bytes != size {
            let expected = digest;
            return Err(StageError::Integrity {
                slot,
                expected,
                got,
            });
        }
        let at = inner.spot_for_file(slot, digest, size)?;
        let file = inner.heed_room(at.dir.create_file(&at.name))?;
        let written = inner
            .heed_room(write(file, content))
            .map_err(StageError::from);
        let recorded = written.and_then(|file| inner.record_file(slot, node, (&file, &at)));
        if recorded.is_err() {
            inner.note_change();
            // Best effort: a commit removes it, too, and the first failure is the one to tell.
            drop(at.dir.remove_file(&at.name));
        }
        recorded
    }
}

fn write(file: NewFile, content: &[u8]) -> Result<NewFile> {
    let mut file = SparseFile::new(file);
    file.append(content)?;
    file.finish()
}
