//! The strong hash of a block: XXH3-128 with a secret drawn from the key, cut to the length that is sent.
//!
//! It need not resist someone who knows the key, for the key is fresh and the whole file is checked by BLAKE3. It is
//! what matching data costs, so speed decides: `docs/delta.md` has it against keyed BLAKE3.
//!
//! Source: Y. Collet, "XXH3", `doc/xxhash_spec.md` of xxHash 0.8; secret variant.

use twox_hash::XxHash3_128;

/// Longest strong hash in bytes.
pub(super) const MAX_STRONG_BYTES: u8 = 16;
const SECRET_BYTES: usize = 192;

/// A strong hash, its unused high bytes zero.
pub(super) type Strong = u128;

/// Keyed hash of blocks.
#[derive(Clone)]
pub(super) struct StrongHash {
    secret: [u8; SECRET_BYTES],
    mask: u128,
}

impl StrongHash {
    /// Hashes with `key`, of which the low `strong_bytes` (1 to 16) are kept.
    pub(super) fn new(key: &[u8; 32], strong_bytes: u8) -> Self {
        let mut secret = [0; SECRET_BYTES];
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher
            .update(b"rsyn delta strong hash")
            .finalize_xof()
            .fill(&mut secret);
        let unused_bits = u128::BITS - 8 * u32::from(strong_bytes.clamp(1, MAX_STRONG_BYTES));
        Self {
            secret,
            mask: u128::MAX >> unused_bits,
        }
    }

    /// The hash of `block`.
    pub(super) fn of(&self, block: &[u8]) -> Strong {
        // A secret is refused only below 136 bytes; this one is longer.
        XxHash3_128::oneshot_with_secret(&self.secret, block).unwrap_or_default() & self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_accepted_and_every_length_has_its_own_hash() {
        let hash = StrongHash::new(&[7; 32], 16);
        let seen: std::collections::BTreeSet<_> =
            (0..1000).map(|len| hash.of(&vec![0; len])).collect();

        assert_eq!(seen.len(), 1000);
        assert!(!seen.contains(&0));
    }

    #[test]
    fn another_key_gives_another_hash_at_every_length() {
        let (one, other) = (StrongHash::new(&[1; 32], 16), StrongHash::new(&[2; 32], 16));

        for len in 0..1000 {
            assert_ne!(
                one.of(&vec![9; len]),
                other.of(&vec![9; len]),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn shorter_hash_is_the_low_bytes_of_the_longer() {
        let (long, short) = (StrongHash::new(&[1; 32], 16), StrongHash::new(&[1; 32], 5));

        assert_eq!(short.of(b"block"), long.of(b"block") & 0xff_ffff_ffff);
    }
}
