//! [`Filter`]: a quick no to almost every weak hash that no block has.
//!
//! Two bitmaps. The first is asked for every byte of a new file, so it has one bit per block, costs one load and stays
//! in the second-level cache: its speed is the speed of the search in data that matches nothing. The few hashes that
//! pass are put to the second, by other bits of the hash.
//!
//! Source: B. Bloom, "Space/time trade-offs in hash coding with allowable errors" (1970), cut in two.

use super::weak::WEAK_BYTES;

/// Words of a bitmap per block where that fits into [`CACHED_WORDS`]: one hash in 256 passes by chance.
const WORDS_PER_BLOCK: usize = 4;
/// 512 KiB: half of a second-level cache of today.
const CACHED_WORDS: usize = 1 << 16;
/// 1 MiB, reached where the blocks are more than the cached words.
const MAX_WORDS: usize = 1 << 17;

/// Which weak hashes may belong to a block.
#[derive(Clone)]
pub(super) struct Filter {
    first: Bitmap,
    second: Bitmap,
}

impl Filter {
    /// A filter that knows the weak hashes `kept`, numbers of 40 bits.
    pub(super) fn new(kept: impl ExactSizeIterator<Item = u64>) -> Self {
        let roomy = (kept.len() * WORDS_PER_BLOCK).min(CACHED_WORDS);
        let words = roomy.max(kept.len()).next_power_of_two().min(MAX_WORDS);
        let mut filter = Self {
            first: Bitmap::new(words),
            second: Bitmap::new(words),
        };
        for hash in kept {
            let hash = hash << (u64::BITS - 8 * WEAK_BYTES as u32);
            filter.first.insert(hash);
            filter.second.insert(mixed(hash));
        }
        filter
    }

    /// Whether a block may have this weak hash. Never wrong when it says no.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.first.has(hash) && self.second_has(hash)
    }

    /// The bitmap to ask first.
    pub(super) fn first(&self) -> &Bitmap {
        &self.first
    }

    /// What the second bitmap says of a hash that the first one has.
    pub(super) fn second_has(&self, hash: u64) -> bool {
        self.second.has(mixed(hash))
    }
}

/// Another order of the 40 bits that are kept: the low ones, which the first bitmap does not see, decide most.
fn mixed(hash: u64) -> u64 {
    (hash >> 24).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A set of numbers by their bits 63 to 40.
#[derive(Clone)]
pub(super) struct Bitmap {
    /// A power of two of them.
    words: Vec<u64>,
}

impl Bitmap {
    fn new(words: usize) -> Self {
        Self {
            words: vec![0; words],
        }
    }

    fn insert(&mut self, number: u64) {
        let place = self.place(number);
        self.words[place] |= 1 << (number >> 58);
    }

    /// Whether a number with these bits is in the set.
    #[inline(always)]
    pub(super) fn has(&self, number: u64) -> bool {
        self.words[self.place(number)] >> (number >> 58) & 1 != 0
    }

    #[inline(always)]
    fn place(&self, number: u64) -> usize {
        (number >> 40) as usize & (self.words.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_data::Random;
    use super::*;

    #[test]
    fn what_was_put_in_is_held_and_little_else() {
        for count in [1_u64, 2, 100, 5000] {
            let mut random = Random::new(count);
            let inside: Vec<u64> = (0..count).map(|_| random.next()).collect();
            let filter = Filter::new(inside.iter().map(|hash| hash >> 24));

            assert!(inside.iter().all(|&hash| filter.may_hold(hash)));
            let passing = (0..100_000)
                .filter(|_| filter.may_hold(random.next()))
                .count();
            assert!(passing < 50, "{passing} of 100000 with {count} blocks");
        }
    }

    #[test]
    fn filter_of_nothing_holds_nothing() {
        let filter = Filter::new([].into_iter());
        let mut random = Random::new(1);

        assert!((0..10_000).all(|_| !filter.may_hold(random.next())));
    }

    #[test]
    fn each_bitmap_has_4_words_per_block_within_512_kib_and_1_mib_at_most() {
        let bytes = |blocks: usize| Filter::new(vec![0; blocks].into_iter()).first.words.len() * 8;

        assert_eq!(bytes(0), 8);
        assert_eq!(bytes(1000), 4096 * 8);
        assert_eq!(bytes(60_000), 512 << 10);
        assert_eq!(bytes(100_000), 1 << 20);
        assert_eq!(bytes(3_000_000), 1 << 20);
    }
}
