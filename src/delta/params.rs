//! [`Params`]: how a basis is cut into blocks and how much of each hash is sent.
//!
//! A peer may send any values; [`Params::check`] is the gate.

use super::DeltaError;
use super::strong::MAX_STRONG_BYTES;
use super::weak::WEAK_BYTES;

/// Longest block in bytes: a [`Differ`](super::Differ) holds two.
pub const MAX_BLOCK_BYTES: u32 = 16 * 1024 * 1024;
/// Longest signature in bytes; it is held in memory, with an index of at most 12 bytes per block beside it.
pub const MAX_SIGNATURE_BYTES: u64 = 32 * 1024 * 1024;

const MIN_STRONG_BYTES: u8 = 4;
const USUAL_BLOCK_BYTES: std::ops::RangeInclusive<u64> = 2 * 1024..=64 * 1024;
/// Blocks of a usual signature: with 16 times as many as fit the filter, a search in unknown data is 8 times slower.
const MANY_BLOCKS: u64 = 1 << 20;
/// Blocks of a signature that is kept: 1 GiB in blocks of 4 KiB.
const KEPT_BLOCKS: u64 = 1 << 18;
/// A file is rebuilt wrongly (and then sent whole) once in 2 to this power.
const MARGIN_BITS: u32 = 20;

/// How a signature is made. Both sides must use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Length of a block in bytes; the last one of a basis may be shorter.
    pub block_bytes: u32,
    /// Bytes of strong hash kept per block.
    pub strong_bytes: u8,
    /// Key of both hashes. Fresh for each file, so that nobody can prepare contents that collide.
    pub key: [u8; 32],
}

impl Params {
    /// What suits a basis of `basis_bytes`: blocks of about half the square root, 2 KiB to 64 KiB, longer only
    /// where there would be more than a million, which is beyond 64 GiB.
    ///
    /// Source: bytes sent are `(N/b)·h + k·b` for `k` edits, least at `b = sqrt(N·h/k)`; the half square root is
    /// within a factor of 2 of that for 10 to 500 edits (measurements in `docs/delta.md`).
    #[must_use]
    pub fn for_basis(basis_bytes: u64, key: [u8; 32]) -> Self {
        let mut block = nearest_power_of_two(basis_bytes.isqrt() / 2)
            .clamp(*USUAL_BLOCK_BYTES.start(), *USUAL_BLOCK_BYTES.end());
        while block < u64::from(MAX_BLOCK_BYTES) && basis_bytes.div_ceil(block) > MANY_BLOCKS {
            block *= 2;
        }
        Self {
            block_bytes: u32::try_from(block).unwrap_or(MAX_BLOCK_BYTES),
            strong_bytes: strong_bytes_for(basis_bytes, block),
            key,
        }
    }

    /// What suits a signature that is kept instead of sent: blocks of a quarter of the usual length, since only
    /// literals cost bytes, as long as that makes no more blocks than can be searched fast.
    #[must_use]
    pub fn for_kept(basis_bytes: u64, key: [u8; 32]) -> Self {
        let usual = Self::for_basis(basis_bytes, key);
        let mut block = u64::from(usual.block_bytes / 4).max(*USUAL_BLOCK_BYTES.start());
        while block < u64::from(usual.block_bytes) && basis_bytes.div_ceil(block) > KEPT_BLOCKS {
            block *= 2;
        }
        Self {
            block_bytes: u32::try_from(block).unwrap_or(usual.block_bytes),
            strong_bytes: strong_bytes_for(basis_bytes, block),
            key,
        }
    }

    /// Whether these parameters can be used with a basis of `basis_bytes`.
    ///
    /// # Errors
    /// [`DeltaError::BlockSize`], [`DeltaError::StrongLength`] or [`DeltaError::TooManyBlocks`].
    pub fn check(&self, basis_bytes: u64) -> Result<(), DeltaError> {
        if self.block_bytes == 0 || self.block_bytes > MAX_BLOCK_BYTES {
            return Err(DeltaError::BlockSize {
                block_bytes: self.block_bytes,
                limit: MAX_BLOCK_BYTES,
            });
        }
        if !(MIN_STRONG_BYTES..=MAX_STRONG_BYTES).contains(&self.strong_bytes) {
            return Err(DeltaError::StrongLength {
                strong_bytes: self.strong_bytes,
                min: MIN_STRONG_BYTES,
                max: MAX_STRONG_BYTES,
            });
        }
        if !fits(basis_bytes, self.block_bytes.into(), self.strong_bytes) {
            return Err(DeltaError::TooManyBlocks {
                basis_bytes,
                block_bytes: self.block_bytes,
            });
        }
        Ok(())
    }

    /// Length in bytes of the signature of a basis of `basis_bytes`.
    #[must_use]
    pub fn signature_bytes(&self, basis_bytes: u64) -> u64 {
        self.blocks(basis_bytes)
            .saturating_mul(self.record_bytes() as u64)
    }

    /// Blocks of a basis of `basis_bytes`, the last, shorter one included.
    pub(super) fn blocks(&self, basis_bytes: u64) -> u64 {
        basis_bytes.div_ceil(u64::from(self.block_bytes).max(1))
    }

    /// Bytes of a signature per block.
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        WEAK_BYTES + usize::from(self.strong_bytes)
    }

    /// `block_bytes` as a length of slices.
    pub(super) fn block_len(&self) -> usize {
        self.block_bytes as usize
    }
}

fn fits(basis_bytes: u64, block: u64, strong_bytes: u8) -> bool {
    let record = WEAK_BYTES as u64 + u64::from(strong_bytes);
    basis_bytes.div_ceil(block) <= MAX_SIGNATURE_BYTES / record
}

/// Bytes of strong hash so that a file of `basis_bytes` goes wrong once in 2^20 times.
///
/// Two demands: weak and strong together stand against every offset of the new file times every block, and the strong
/// hash alone against the predictions, of which there are two per block.
fn strong_bytes_for(basis_bytes: u64, block: u64) -> u8 {
    let blocks_bits = log2_ceil(basis_bytes.div_ceil(block));
    let together = (log2_ceil(basis_bytes) + blocks_bits + MARGIN_BITS).div_ceil(8);
    let alone = (blocks_bits + 1 + MARGIN_BITS).div_ceil(8);
    let bytes = together.saturating_sub(WEAK_BYTES as u32).max(alone);
    u8::try_from(bytes)
        .unwrap_or(MAX_STRONG_BYTES)
        .clamp(MIN_STRONG_BYTES, MAX_STRONG_BYTES)
}

fn log2_ceil(value: u64) -> u32 {
    u64::BITS - value.saturating_sub(1).leading_zeros()
}

/// Nearest on a logarithmic scale; 1 for 0. `value` is at most 2^31, so its square does not overflow.
fn nearest_power_of_two(value: u64) -> u64 {
    let below = 1_u64 << value.max(1).ilog2();
    if value * value >= 2 * below * below {
        2 * below
    } else {
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(block_bytes: u32, strong_bytes: u8) -> Params {
        Params {
            block_bytes,
            strong_bytes,
            key: [0; 32],
        }
    }

    #[test]
    fn blocks_are_half_the_square_root_from_2_kib_to_64_kib() {
        let block = |bytes: u64| Params::for_basis(bytes, [0; 32]).block_bytes;

        assert_eq!(block(0), 2 << 10);
        assert_eq!(block(1 << 20), 2 << 10);
        assert_eq!(block(64 << 20), 4 << 10);
        assert_eq!(block(1 << 30), 16 << 10);
        assert_eq!(block(64 << 30), 64 << 10);
        assert_eq!(block(65 << 30), 128 << 10);
    }

    #[test]
    fn blocks_of_a_kept_signature_are_finer_where_that_costs_no_time() {
        let block = |bytes: u64| Params::for_kept(bytes, [0; 32]).block_bytes;

        assert_eq!(block(1 << 20), 2 << 10);
        assert_eq!(block(1 << 30), 4 << 10);
        assert_eq!(block(2 << 30), 8 << 10);
        assert_eq!(block(16 << 30), 64 << 10);
        for bits in 0..=44 {
            let params = Params::for_kept(1 << bits, [0; 32]);

            assert_eq!(params.check(1 << bits), Ok(()), "2^{bits} bytes");
        }
    }

    #[test]
    fn own_parameters_pass_the_check_up_to_16_tib() {
        for bits in 0..=44 {
            for bytes in [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1] {
                let params = Params::for_basis(bytes, [0; 32]);

                assert_eq!(params.check(bytes), Ok(()), "{bytes} bytes");
                assert!(
                    params.signature_bytes(bytes) <= MAX_SIGNATURE_BYTES,
                    "{bytes} bytes"
                );
            }
        }
    }

    #[test]
    fn basis_that_no_signature_can_hold_is_refused() {
        let params = Params::for_basis(u64::MAX, [0; 32]);

        assert_eq!(params.block_bytes, MAX_BLOCK_BYTES);
        assert!(matches!(
            params.check(u64::MAX),
            Err(DeltaError::TooManyBlocks { .. })
        ));
    }

    #[test]
    fn hashes_of_one_gib_are_66_bits_or_more_together_and_37_alone() {
        let params = Params::for_basis(1 << 30, [0; 32]);

        assert_eq!(params.strong_bytes, 5);
        assert!(8 * params.record_bytes() >= 66);
    }

    #[test]
    fn hostile_parameters_are_refused_with_the_numbers() {
        let limit = MAX_BLOCK_BYTES;

        assert_eq!(
            params(0, 8).check(10),
            Err(DeltaError::BlockSize {
                block_bytes: 0,
                limit
            })
        );
        assert_eq!(
            params(u32::MAX, 8).check(10),
            Err(DeltaError::BlockSize {
                block_bytes: u32::MAX,
                limit
            })
        );
        for strong_bytes in [0, 3, 17, 255] {
            assert!(matches!(
                params(1024, strong_bytes).check(10),
                Err(DeltaError::StrongLength { .. })
            ));
        }
        assert!(matches!(
            params(1, 8).check(1 << 40),
            Err(DeltaError::TooManyBlocks { .. })
        ));
    }

    #[test]
    fn signature_length_of_hostile_parameters_does_not_overflow() {
        assert_eq!(params(0, 255).signature_bytes(u64::MAX), u64::MAX);
    }
}
