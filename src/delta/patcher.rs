//! [`Patcher`]: the gate for operations from a peer, before anything is copied or written.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{DeltaError, Op};

/// Checks operations against the basis and against the length that was announced.
///
/// It holds no bytes: the caller copies and writes what has passed, and compares the BLAKE3 of the result.
#[derive(Debug, Clone)]
pub struct Patcher {
    basis_bytes: u64,
    output_bytes: u64,
    made_bytes: u64,
}

impl Patcher {
    /// For a basis of `basis_bytes` and a result of `output_bytes`.
    #[must_use]
    pub fn new(basis_bytes: u64, output_bytes: u64) -> Self {
        Self {
            basis_bytes,
            output_bytes,
            made_bytes: 0,
        }
    }

    /// Takes the next operation and returns where its bytes go in the output. A refused one changes nothing.
    ///
    /// # Errors
    /// [`DeltaError::EmptyOp`], [`DeltaError::CopyOutsideBasis`] or [`DeltaError::OutputTooLong`].
    pub fn accept(&mut self, op: &Op<'_>) -> Result<u64, DeltaError> {
        let len = match *op {
            Op::Copy { offset, len } => self.check_copy(offset, len)?,
            Op::Literal(bytes) => bytes.len() as u64,
        };
        let wanted = self.made_bytes.saturating_add(len);
        if len == 0 {
            return Err(DeltaError::EmptyOp);
        }
        if wanted > self.output_bytes {
            return Err(DeltaError::OutputTooLong {
                wanted,
                available: self.output_bytes,
            });
        }
        Ok(std::mem::replace(&mut self.made_bytes, wanted))
    }

    /// Ends the operations.
    ///
    /// # Errors
    /// [`DeltaError::OutputTooShort`] if they make less than was announced.
    pub fn finish(self) -> Result<(), DeltaError> {
        if self.made_bytes < self.output_bytes {
            return Err(DeltaError::OutputTooShort {
                wanted: self.output_bytes,
                available: self.made_bytes,
            });
        }
        Ok(())
    }

    fn check_copy(&self, offset: u64, len: u64) -> Result<u64, DeltaError> {
        let inside = offset
            .checked_add(len)
            .is_some_and(|end| end <= self.basis_bytes);
        let outside = DeltaError::CopyOutsideBasis {
            offset,
            len,
            available: self.basis_bytes,
        };
        if inside { Ok(len) } else { Err(outside) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_that_fit_are_placed_one_after_the_other() {
        let mut patcher = Patcher::new(100, 15);

        assert_eq!(
            patcher.accept(&Op::Copy {
                offset: 90,
                len: 10
            }),
            Ok(0)
        );
        assert_eq!(patcher.accept(&Op::Literal(b"12345")), Ok(10));
        assert_eq!(patcher.finish(), Ok(()));
    }

    #[test]
    fn copy_from_outside_the_basis_is_refused_even_where_the_sum_overflows() {
        for (offset, len) in [(91, 10), (101, 1), (u64::MAX, 2), (2, u64::MAX)] {
            let mut patcher = Patcher::new(100, u64::MAX);

            assert_eq!(
                patcher.accept(&Op::Copy { offset, len }),
                Err(DeltaError::CopyOutsideBasis {
                    offset,
                    len,
                    available: 100
                })
            );
        }
    }

    #[test]
    fn output_beyond_the_announced_length_is_refused_and_changes_nothing() {
        let mut patcher = Patcher::new(100, 4);

        assert_eq!(
            patcher.accept(&Op::Literal(b"12345")),
            Err(DeltaError::OutputTooLong {
                wanted: 5,
                available: 4
            })
        );
        assert_eq!(patcher.accept(&Op::Copy { offset: 0, len: 4 }), Ok(0));
        assert_eq!(patcher.finish(), Ok(()));
    }

    #[test]
    fn output_below_the_announced_length_is_refused_at_the_end() {
        let mut patcher = Patcher::new(100, 4);
        patcher.accept(&Op::Literal(b"123")).unwrap();

        assert_eq!(
            patcher.finish(),
            Err(DeltaError::OutputTooShort {
                wanted: 4,
                available: 3
            })
        );
    }

    #[test]
    fn operations_of_nothing_are_refused_for_they_could_go_on_for_ever() {
        let mut patcher = Patcher::new(100, 4);

        assert_eq!(patcher.accept(&Op::Literal(b"")), Err(DeltaError::EmptyOp));
        assert_eq!(
            patcher.accept(&Op::Copy { offset: 5, len: 0 }),
            Err(DeltaError::EmptyOp)
        );
    }
}
