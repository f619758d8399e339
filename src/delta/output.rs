//! [`Output`]: what the search decided, cut and joined into operations.

use super::{COPY_PIECE, MAX_LITERAL, Op};

/// Counts of one search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffStats {
    /// Bytes of the new file that come from the basis.
    pub copied_bytes: u64,
    /// Bytes of the new file that do not.
    pub literal_bytes: u64,
    /// Bytes over which the window rolled, because no guess was right.
    pub rolled_bytes: u64,
    /// Strong hashes computed, each of one block.
    pub strong_hashes: u64,
    /// Those of them that a weak hash asked for in vain.
    pub false_hits: u64,
}

/// Joins copies that follow each other; cuts literals.
#[derive(Default)]
pub(super) struct Output {
    /// Place in the view up to which operations have been made.
    done: usize,
    /// A copy (offset, length) that may grow yet; it ends at `done`.
    copy: Option<(u64, u64)>,
    pub(super) copied_bytes: u64,
    pub(super) literal_bytes: u64,
}

impl Output {
    /// Passes on whole pieces of [`MAX_LITERAL`] of what is literal up to `end`, and keeps the rest.
    pub(super) fn literals<E>(
        &mut self,
        view: &[u8],
        end: usize,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.done + MAX_LITERAL <= end {
            self.literal(view, self.done + MAX_LITERAL, sink)?;
        }
        Ok(())
    }

    /// Passes on all that is literal up to `end`.
    pub(super) fn all_literals<E>(
        &mut self,
        view: &[u8],
        end: usize,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.literals(view, end, sink)?;
        if self.done < end {
            self.literal(view, end, sink)
        } else {
            Ok(())
        }
    }

    /// Adds a copy of `len` bytes, for which all before must have been passed on.
    pub(super) fn copy<E>(
        &mut self,
        offset: u64,
        len: usize,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let len_bytes = len as u64;
        match &mut self.copy {
            Some((start, copied)) if *start + *copied == offset => *copied += len_bytes,
            _ => {
                self.flush_copy(sink)?;
                self.copy = Some((offset, len_bytes));
            }
        }
        self.done += len;
        self.copied_bytes += len_bytes;
        let long_enough = self.copy.is_some_and(|(_, len)| len >= COPY_PIECE);
        if long_enough {
            self.flush_copy(sink)
        } else {
            Ok(())
        }
    }

    /// Passes on the copy in progress.
    pub(super) fn flush_copy<E>(
        &mut self,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.copy.take() {
            Some((offset, len)) => sink(Op::Copy { offset, len }),
            None => Ok(()),
        }
    }

    /// Restarts counting places at the first byte that is not done; returns how many are.
    pub(super) fn forget_done(&mut self) -> usize {
        std::mem::take(&mut self.done)
    }

    fn literal<E>(
        &mut self,
        view: &[u8],
        end: usize,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.flush_copy(sink)?;
        sink(Op::Literal(&view[self.done..end]))?;
        self.literal_bytes += (end - self.done) as u64;
        self.done = end;
        Ok(())
    }
}
