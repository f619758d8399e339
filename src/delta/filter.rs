//! [`Filter`]: a quick no to almost every weak hash that no block has.
//!
//! A Bloom filter whose two bits of a hash lie in one 64-bit word, so that a question costs one load. It must stay in
//! the second-level cache: there, its speed is the speed of the whole search in data that matches nothing.
//!
//! Source: F. Putze, P. Sanders, J. Singler, "Cache-, hash- and space-efficient Bloom filters" (2007).

use super::weak::WEAK_BYTES;

/// Words per block, before the cap. With 128 bits per block one hash in about 1500 passes by chance.
const WORDS_PER_BLOCK: usize = 2;
/// 1 MiB: the second-level cache of a core.
const MAX_WORDS: usize = 1 << 17;

/// Which weak hashes may belong to a block.
#[derive(Clone)]
pub(super) struct Filter {
    words: Vec<u64>,
    /// Distance by which a hash is shifted to give the number of its word.
    shift: u32,
}

impl Filter {
    /// A filter that knows the weak hashes `kept`.
    pub(super) fn new(kept: impl ExactSizeIterator<Item = u64>) -> Self {
        let words = (kept.len() * WORDS_PER_BLOCK)
            .next_power_of_two()
            .clamp(2, MAX_WORDS);
        let mut filter = Self {
            words: vec![0; words],
            shift: u64::BITS - words.ilog2(),
        };
        for hash in kept {
            filter.insert(hash << (u64::BITS - 8 * WEAK_BYTES as u32));
        }
        filter
    }

    /// Whether a block may have this weak hash. Never wrong when it says no.
    #[inline(always)]
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let word = self.words[self.place(hash)];
        (word >> first_bit(hash)) & (word >> second_bit(hash)) & 1 != 0
    }

    fn insert(&mut self, hash: u64) {
        let place = self.place(hash);
        self.words[place] |= 1 << first_bit(hash) | 1 << second_bit(hash);
    }

    #[inline(always)]
    fn place(&self, hash: u64) -> usize {
        // The mask changes nothing; it shows the compiler that the word exists.
        (hash >> self.shift) as usize & (self.words.len() - 1)
    }
}

// The word is chosen by at most 17 high bits; these come from the lowest 12 of the 40 that are kept.
#[inline(always)]
fn first_bit(hash: u64) -> u64 {
    (hash >> 24) & 63
}

#[inline(always)]
fn second_bit(hash: u64) -> u64 {
    (hash >> 30) & 63
}

#[cfg(test)]
mod tests {
    use super::super::test_data::Random;
    use super::*;

    #[test]
    fn what_was_put_in_is_held_and_little_else() {
        for count in [1, 2, 100, 5000] {
            let mut random = Random::new(count as u64);
            let inside: Vec<u64> = (0..count).map(|_| random.next()).collect();
            let filter = Filter::new(inside.iter().map(|hash| hash >> 24));

            assert!(inside.iter().all(|&hash| filter.may_hold(hash)));
            let passing = (0..100_000)
                .filter(|_| filter.may_hold(random.next()))
                .count();
            assert!(passing < 400, "{passing} of 100000 with {count} blocks");
        }
    }

    #[test]
    fn filter_of_nothing_holds_nothing() {
        let filter = Filter::new([].into_iter());
        let mut random = Random::new(1);

        assert!((0..10_000).all(|_| !filter.may_hold(random.next())));
    }

    #[test]
    fn memory_is_capped_at_one_mib() {
        assert_eq!(
            Filter::new(vec![0; 3_000_000].into_iter()).words.len() * 8,
            1 << 20
        );
    }
}
