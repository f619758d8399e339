//! [`Index`]: from hashes to the block that has them, in the same time whatever the blocks are.
//!
//! The numbers of the blocks, sorted by (weak, strong, number), and a directory on the high bits of the weak hash.
//! Equal weak hashes lie together and are told apart by bisection, so there is no chain for anyone to lengthen.

use super::signature::Records;
use super::strong::Strong;

/// Blocks by their hashes: 4 bytes per block and 4 to 8 for the directory.
pub(super) struct Index {
    /// Block numbers in order of (weak, strong, number).
    sorted: Vec<u32>,
    /// Where the blocks of each bucket begin in `sorted`, and at last its length.
    starts: Vec<u32>,
    shift: u32,
}

impl Index {
    /// Indexes the first `blocks` records.
    pub(super) fn new(records: &Records, blocks: u32) -> Self {
        let bits = blocks.next_power_of_two().ilog2();
        let shift = Records::WEAK_BITS - bits;
        let mut index = Self {
            sorted: Vec::new(),
            starts: count(records, blocks, bits),
            shift,
        };
        index.fill(records, blocks);
        for bucket in index.starts.windows(2) {
            if let Some(run) = index.sorted.get_mut(bucket[0] as usize..bucket[1] as usize) {
                run.sort_unstable_by_key(|&block| {
                    (records.weak(block), records.strong(block), block)
                });
            }
        }
        index
    }

    /// Distributes the blocks to their buckets: a counting sort, so linear.
    fn fill(&mut self, records: &Records, blocks: u32) {
        let mut next = self.starts.clone();
        self.sorted = vec![0; blocks as usize];
        for block in 0..blocks {
            let slot = &mut next[(records.weak(block) >> self.shift) as usize];
            self.sorted[*slot as usize] = block;
            *slot += 1;
        }
    }

    /// The blocks with this weak hash (`kept`, a number of 40 bits), by strong hash and number. Often empty.
    pub(super) fn with_weak(&self, records: &Records, kept: u64) -> &[u32] {
        let bucket = (kept >> self.shift) as usize;
        let (Some(&start), Some(&end)) = (self.starts.get(bucket), self.starts.get(bucket + 1))
        else {
            return &[];
        };
        let run = self
            .sorted
            .get(start as usize..end as usize)
            .unwrap_or_default();
        part(run, |&block| records.weak(block).cmp(&kept))
    }
}

/// Of `blocks`, all with one weak hash, the one with this strong hash; of several the first from `near` on, so that
/// copies follow each other, or else the first.
pub(super) fn with_strong(
    records: &Records,
    blocks: &[u32],
    strong: Strong,
    near: u32,
) -> Option<u32> {
    let equal = all_with_strong(records, blocks, strong);
    let after = equal.partition_point(|&block| block < near);
    equal.get(after).or(equal.first()).copied()
}

/// Of `blocks`, all with one weak hash, those with this strong hash.
pub(super) fn all_with_strong<'b>(
    records: &Records,
    blocks: &'b [u32],
    strong: Strong,
) -> &'b [u32] {
    part(blocks, |&block| records.strong(block).cmp(&strong))
}

/// The part of a sorted slice that compares as equal.
fn part(sorted: &[u32], compare: impl Fn(&u32) -> std::cmp::Ordering) -> &[u32] {
    let start = sorted.partition_point(|block| compare(block).is_lt());
    let rest = &sorted[start..];
    &rest[..rest.partition_point(|block| compare(block).is_eq())]
}

/// The start of each bucket of the first `blocks` records by the high `bits` of the weak hash.
fn count(records: &Records, blocks: u32, bits: u32) -> Vec<u32> {
    let mut starts = vec![0_u32; (1 << bits) + 1];
    for block in 0..blocks {
        starts[(records.weak(block) >> (Records::WEAK_BITS - bits)) as usize + 1] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    starts
}
