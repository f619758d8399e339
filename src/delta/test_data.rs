//! Bytes for tests and benches: the same on every run.

/// A small generator (xorshift64*, S. Vigna 2016).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, or 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        if limit == 0 {
            0
        } else {
            (self.next() >> 33) as usize % limit
        }
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8))
            .flat_map(|_| self.next().to_le_bytes())
            .collect();
        bytes.truncate(len);
        bytes
    }
}

/// A basis and a new file.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// Pairs of `len` bytes on which searches of this kind were seen to fail, for blocks of `block` bytes.
pub(super) fn crafted(name: &str, len: usize, block: usize) -> Pair {
    match name {
        "half perturbed" => (perturbed(len, block, 2, 1), perturbed(len, block, 2, 2)),
        "all perturbed" => (perturbed(len, block, 1, 1), perturbed(len, block, 1, 2)),
        "sparse zeros" => (sparse(len, block, 1), sparse(len, block, 2)),
        "log lines" => (log_lines(len, usize::MAX), log_lines(len, 997)),
        "equal under every key" => (thue_morse(len, block, 0), thue_morse(len, block, 1)),
        _ => (Vec::new(), Vec::new()),
    }
}

/// Constant bytes, with (+1, -2, +1) somewhere in one block of `every`: sums of bytes, and sums of those sums, stay
/// the same, so a hash made of such sums has one value for all blocks.
fn perturbed(len: usize, block: usize, every: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = vec![100; len];
    for block in bytes.chunks_exact_mut(block).step_by(every) {
        let at = random.below(block.len() - 2);
        block[at..at + 3].copy_from_slice(&[101, 98, 101]);
    }
    bytes
}

/// Zeros, with one other byte in every third block.
fn sparse(len: usize, block: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = vec![0; len];
    for block in bytes.chunks_exact_mut(block).step_by(3) {
        block[random.below(block.len())] = 1 + random.below(255) as u8;
    }
    bytes
}

/// Lines that differ in a few digits, without every `deleted`-th.
fn log_lines(len: usize, deleted: usize) -> Vec<u8> {
    let mut random = Random::new(1);
    let mut bytes = Vec::with_capacity(len + 100);
    for line in 1_usize.. {
        let micros = random.below(1_000_000);
        if line % deleted != 0 {
            let text = format!("2026-01-02T03:04:05.{micros:06} INFO worker: job {line} is done\n");
            bytes.extend_from_slice(text.as_bytes());
        }
        if bytes.len() >= len {
            break;
        }
    }
    bytes.truncate(len);
    bytes
}

/// One text of `block + 1` bytes over and over, so that every offset of the new file meets a block of the basis that
/// starts at the same place of the text. It holds a Thue-Morse sequence, or with `swapped` its complement: the two have
/// equal polynomial hashes mod 2^64 whatever the multiplier and the values of the letters.
///
/// Source: J.-P. Allouche, J. Shallit, "The ubiquitous Prouhet-Thue-Morse sequence" (1999).
fn thue_morse(len: usize, block: usize, swapped: u32) -> Vec<u8> {
    let mut text = Random::new(7).bytes(block + 1);
    for (place, byte) in text.iter_mut().take(block.min(1024)).enumerate() {
        *byte = b"ab"[((place.count_ones() + swapped) & 1) as usize];
    }
    text.iter().copied().cycle().take(len).collect()
}
