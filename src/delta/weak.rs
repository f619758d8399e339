//! The weak hash: a polynomial over keyed bytes mod 2^64 that rolls along a file one byte at a time.
//!
//! `H(x) = Σ map[x_i]·m^(b-1-i)` for a window of `b` bytes; `map` and the odd `m` come from the key. The low bits of
//! such a hash are poor, so the high 40 are used. Contents can be made that collide under every key (Thue–Morse
//! sequences do, mod any power of two), so a hit proves nothing: the strong hash decides, on a budget.
//!
//! Source: R. Karp, M. Rabin, "Efficient randomized pattern-matching algorithms" (1987).

use super::filter::{Bitmap, Filter};

/// Bytes of a weak hash in a signature. With 40 bits a hit by chance costs less than a sixteenth of the new file in
/// strong hashes up to a basis of 64 GiB; 32 bits would do so up to 256 MiB.
pub(super) const WEAK_BYTES: usize = 5;

const LANES: usize = 8;
const STREAMS: usize = 4;
type Table = [u64; 256];

/// A weak hash, high bits first; the low 24 are not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weak(pub(super) u64);

impl Weak {
    /// The part that a signature holds, as a number below 2^40.
    pub(super) fn kept(self) -> u64 {
        self.0 >> (u64::BITS - 8 * WEAK_BYTES as u32)
    }
}

/// Where [`WeakHash::scan`] stopped.
pub(super) struct Scan {
    /// How many bytes the window moved.
    pub(super) steps: usize,
    /// Hash of the window there.
    pub(super) hash: u64,
    /// Whether the filter knows it; if not, the input ended.
    pub(super) hit: bool,
}

/// What a byte does to a hash, by its value.
#[derive(Clone)]
struct Tables {
    /// `lanes[j][x] = map[x]·m^(7-j)`: what byte `j` of 8 adds to their hash.
    lanes: [Table; LANES],
    /// `map[x]·m^b`: what a byte that leaves the window takes away.
    leaving: Table,
}

impl Tables {
    /// What each byte is taken for.
    #[inline(always)]
    fn map(&self) -> &Table {
        &self.lanes[LANES - 1]
    }
}

/// Keyed rolling hash for windows of one length.
#[derive(Clone)]
pub(super) struct WeakHash {
    tables: Box<Tables>,
    multiplier: u64,
}

impl WeakHash {
    /// Hashes windows of `block_bytes` with `key`.
    pub(super) fn new(key: &[u8; 32], block_bytes: u32) -> Self {
        let mut drawn = [0; 8 * 257];
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher
            .update(b"rsyn delta weak hash")
            .finalize_xof()
            .fill(&mut drawn);
        let (words, _) = drawn.as_chunks::<8>();
        // 5 mod 8 has the longest period that there is mod 2^64.
        let multiplier = u64::from_le_bytes(words[0]) & !7 | 5;
        let map: Table = std::array::from_fn(|byte| u64::from_le_bytes(words[byte + 1]));
        let times = |factor: u64| map.map(|value| value.wrapping_mul(factor));
        let power = |exponent: u32| multiplier.wrapping_pow(exponent);
        let lanes = std::array::from_fn(|lane| times(power((LANES - 1 - lane) as u32)));
        let tables = Box::new(Tables {
            lanes,
            leaving: times(power(block_bytes)),
        });
        Self { tables, multiplier }
    }

    /// The hash of a whole window.
    pub(super) fn of(&self, window: &[u8]) -> u64 {
        let (lanes, tail) = window.as_chunks::<LANES>();
        let (rows, rest) = lanes.as_chunks::<STREAMS>();
        let step = self.multiplier.wrapping_pow(LANES as u32);
        let row_step = step.wrapping_pow(STREAMS as u32);
        // Each stream takes every fourth lane; one alone would wait for its own sums.
        let mut streams = [0_u64; STREAMS];
        for row in rows {
            for (stream, bytes) in std::iter::zip(&mut streams, row) {
                *stream = self.add_lane(stream.wrapping_mul(row_step), bytes);
            }
        }
        let rows_hash = streams.iter().fold(0_u64, |hash, stream| {
            hash.wrapping_mul(step).wrapping_add(*stream)
        });
        let hash = rest.iter().fold(rows_hash, |hash, bytes| {
            self.add_lane(hash.wrapping_mul(step), bytes)
        });
        tail.iter().fold(hash, |hash, &byte| {
            hash.wrapping_mul(self.multiplier)
                .wrapping_add(self.tables.map()[usize::from(byte)])
        })
    }

    #[inline(always)]
    fn add_lane(&self, hash: u64, bytes: &[u8; LANES]) -> u64 {
        std::iter::zip(&self.tables.lanes, bytes).fold(hash, |sum, (table, &byte)| {
            sum.wrapping_add(table[usize::from(byte)])
        })
    }

    /// Rolls on from `hash`, one step for each byte of `entering` while its fellow in `leaving` leaves, until the
    /// filter knows the hash or `entering` ends. `leaving` is at least as long.
    pub(super) fn scan(&self, filter: &Filter, hash: u64, leaving: &[u8], entering: &[u8]) -> Scan {
        let (mut steps, mut hash) = (0, hash);
        loop {
            let (old, new) = (&leaving[steps..], &entering[steps..]);
            let (further, rolled, hit) = self.roll(filter.first(), hash, old, new);
            (steps, hash) = (steps + further, rolled);
            if !hit || filter.second_has(hash) {
                return Scan { steps, hash, hit };
            }
        }
    }

    /// As [`scan`](Self::scan), with the first bitmap only: the steps, the hash and whether the bitmap has it.
    ///
    /// Nothing is called from here, so that all it needs stays in registers.
    fn roll(
        &self,
        known: &Bitmap,
        hash: u64,
        leaving: &[u8],
        entering: &[u8],
    ) -> (usize, u64, bool) {
        let (m, m2) = (
            self.multiplier,
            self.multiplier.wrapping_mul(self.multiplier),
        );
        let (old, _) = leaving.as_chunks::<2>();
        let (new, _) = entering.as_chunks::<2>();
        let (mut hash, mut steps) = (hash, 0);
        // Two steps at once, and their changes one round ahead: a product takes 3 cycles, so only one may be on the way
        // from hash to hash.
        let mut pairs = std::iter::zip(old, new);
        if let Some((old, new)) = pairs.next() {
            let mut change = self.changes(old, new);
            for (old, new) in pairs {
                let h1 = hash.wrapping_mul(m).wrapping_add(change.0);
                let h2 = hash.wrapping_mul(m2).wrapping_add(change.1);
                change = self.changes(old, new);
                if known.has(h1) {
                    return (steps + 1, h1, true);
                }
                if known.has(h2) {
                    return (steps + 2, h2, true);
                }
                hash = h2;
                steps += 2;
            }
        }
        for (&old, &new) in std::iter::zip(&leaving[steps..], &entering[steps..]) {
            hash = hash.wrapping_mul(m).wrapping_add(self.change(old, new));
            steps += 1;
            if known.has(hash) {
                return (steps, hash, true);
            }
        }
        (steps, hash, false)
    }

    /// What one step, and two, add to the multiplied hash.
    #[inline(always)]
    fn changes(&self, old: &[u8; 2], new: &[u8; 2]) -> (u64, u64) {
        let first = self.change(old[0], new[0]);
        let second = self.change(old[1], new[1]);
        (
            first,
            first.wrapping_mul(self.multiplier).wrapping_add(second),
        )
    }

    #[inline(always)]
    fn change(&self, old: u8, new: u8) -> u64 {
        self.tables.map()[usize::from(new)].wrapping_sub(self.tables.leaving[usize::from(old)])
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_data::Random;
    use super::*;

    fn by_definition(hash: &WeakHash, window: &[u8]) -> u64 {
        let map = hash.tables.map();
        window.iter().fold(0, |sum: u64, &byte| {
            sum.wrapping_mul(hash.multiplier)
                .wrapping_add(map[usize::from(byte)])
        })
    }

    #[test]
    fn hash_of_a_window_is_the_polynomial_at_every_length() {
        let data = Random::new(1).bytes(200);
        let hash = WeakHash::new(&[3; 32], 100);

        for len in 0..data.len() {
            assert_eq!(
                hash.of(&data[..len]),
                by_definition(&hash, &data[..len]),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn rolling_gives_the_hash_of_every_window() {
        let data = Random::new(2).bytes(600);
        for block in [1, 2, 3, 7, 8, 64, 100] {
            let hash = WeakHash::new(&[3; 32], block as u32);
            let nothing = Filter::new([].into_iter());
            for steps in 1..data.len() - block {
                let entering = &data[block..block + steps];
                let end = hash.scan(&nothing, hash.of(&data[..block]), &data, entering);

                assert_eq!((end.steps, end.hit), (steps, false));
                assert_eq!(
                    end.hash,
                    hash.of(&data[steps..steps + block]),
                    "{block} {steps}"
                );
            }
        }
    }

    #[test]
    fn scan_stops_at_the_first_window_that_the_filter_knows() {
        let data = Random::new(4).bytes(500);
        let hash = WeakHash::new(&[5; 32], 50);
        for place in 1..200 {
            let filter = Filter::new([Weak(hash.of(&data[place..place + 50])).kept()].into_iter());
            let known = |at: &usize| filter.may_hold(hash.of(&data[*at..at + 50]));
            let wanted = (1..=place).find(known).unwrap();
            let end = hash.scan(&filter, hash.of(&data[..50]), &data, &data[50..]);

            assert_eq!((end.steps, end.hit), (wanted, true));
            assert_eq!(end.hash, hash.of(&data[wanted..wanted + 50]));
        }
    }

    #[test]
    fn another_key_gives_another_hash() {
        let (one, other) = (WeakHash::new(&[1; 32], 64), WeakHash::new(&[2; 32], 64));

        assert_ne!(one.of(&[0; 64]), other.of(&[0; 64]));
    }
}
