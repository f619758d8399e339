//! What must be found: kinds of change, and how little of the new file each may cost.

use super::super::test_data::{Random, crafted};
use super::*;

const BLOCK: usize = 64;

fn basis(len: usize) -> Vec<u8> {
    Random::new(11).bytes(len)
}

fn search(basis: &[u8], new: &[u8]) -> DiffStats {
    round_trip(params(BLOCK as u32), basis, new)
}

#[test]
fn matching_blocks_are_found_without_rolling() {
    let basis = basis(100 * BLOCK + 10);
    let stats = search(&basis, &basis);

    assert_eq!((stats.rolled_bytes, stats.literal_bytes), (0, 0));
    assert_eq!(stats.strong_hashes, 101);
}

#[test]
fn block_changed_in_place_costs_itself_and_no_rolling() {
    let basis = basis(100 * BLOCK);
    let mut new = basis.clone();
    for block in [0, 7, 50, 52] {
        new[block * BLOCK + 5] ^= 1;
    }
    let stats = search(&basis, &new);

    assert_eq!(
        (stats.rolled_bytes, stats.literal_bytes),
        (0, 4 * BLOCK as u64)
    );
}

#[test]
fn run_of_changed_blocks_costs_itself_only() {
    let basis = basis(100 * BLOCK);
    let mut new = basis.clone();
    new[10 * BLOCK..15 * BLOCK].fill(0);
    let stats = search(&basis, &new);

    assert_eq!(stats.literal_bytes, 5 * BLOCK as u64);
    assert!(stats.rolled_bytes <= 5 * BLOCK as u64);
}

#[test]
fn inserted_bytes_are_the_only_literal() {
    let basis = basis(100 * BLOCK + 10);
    for at in [0, 5 * BLOCK, 99 * BLOCK] {
        let mut new = basis.clone();
        new.splice(at..at, [1, 2, 3]).for_each(drop);

        assert_eq!(search(&basis, &new).literal_bytes, 3, "inserted at {at}");
    }
}

#[test]
fn insertion_within_a_block_costs_that_block() {
    let basis = basis(100 * BLOCK);
    let mut new = basis.clone();
    new.splice(1000..1000, [1, 2, 3]).for_each(drop);

    assert_eq!(search(&basis, &new).literal_bytes, BLOCK as u64 + 3);
}

#[test]
fn deleted_blocks_cost_nothing() {
    let basis = basis(100 * BLOCK);
    let new = [&basis[..10 * BLOCK], &basis[40 * BLOCK..]].concat();

    assert_eq!(search(&basis, &new).literal_bytes, 0);
}

#[test]
fn appended_bytes_are_the_only_literal_though_the_last_block_was_short() {
    let basis = basis(100 * BLOCK + 10);
    let new = [&basis[..], &[7; 500]].concat();

    assert_eq!(search(&basis, &new).literal_bytes, 500);
}

#[test]
fn short_last_block_is_found_at_the_end_of_a_file_with_nothing_else_in_common() {
    let basis = basis(BLOCK + 10);
    let new = [&[7; 500], &basis[BLOCK..]].concat();

    assert_eq!(search(&basis, &new).literal_bytes, 500);
}

#[test]
fn basis_shorter_than_a_block_is_found_at_either_end() {
    let basis = basis(BLOCK - 1);

    assert_eq!(
        search(&basis, &[&basis[..], &[7; 500]].concat()).literal_bytes,
        500
    );
    assert_eq!(
        search(&basis, &[&[7; 500], &basis[..]].concat()).literal_bytes,
        500
    );
}

#[test]
fn truncated_file_costs_its_last_part_of_a_block() {
    let basis = basis(100 * BLOCK);

    assert_eq!(search(&basis, &basis[..50 * BLOCK + 9]).literal_bytes, 9);
}

#[test]
fn blocks_in_another_order_cost_nothing() {
    let basis = basis(100 * BLOCK);
    let new: Vec<u8> = basis.rchunks(BLOCK).flatten().copied().collect();

    assert_eq!(search(&basis, &new).literal_bytes, 0);
}

#[test]
fn blocks_exchanged_at_their_places_are_found_though_the_one_after_each_is_unchanged() {
    let basis = basis(100 * BLOCK);
    let mut new = basis.clone();
    new[3 * BLOCK..4 * BLOCK].copy_from_slice(&basis[70 * BLOCK..71 * BLOCK]);
    new[70 * BLOCK..71 * BLOCK].copy_from_slice(&basis[3 * BLOCK..4 * BLOCK]);

    assert_eq!(search(&basis, &new).literal_bytes, 0);
}

#[test]
fn equal_blocks_are_copied_in_runs() {
    let mut basis = vec![0; 100 * BLOCK];
    basis[50 * BLOCK] = 1;
    let new = [&[7; 3], &basis[..]].concat();
    let (ops, _) = diff(&signature(params(BLOCK as u32), &basis), &new);

    assert_eq!(
        ops,
        [
            Owned::Literal(vec![7; 3]),
            Owned::Copy(0, 100 * BLOCK as u64)
        ]
    );
}

#[test]
fn of_equal_blocks_the_next_one_after_the_last_match_is_taken() {
    let piece = |seed| Random::new(seed).bytes(BLOCK);
    let (a, b, c, zero) = (piece(1), piece(2), piece(3), vec![0; BLOCK]);
    let basis = [&zero[..], &a, &b, &zero, &c].concat();
    let new = [&a[..], &[1], &zero, &c].concat();
    let (ops, _) = diff(&signature(params(BLOCK as u32), &basis), &new);

    let (block, two) = (BLOCK as u64, 2 * BLOCK as u64);
    assert_eq!(
        ops,
        [
            Owned::Copy(block, block),
            Owned::Literal(vec![1]),
            Owned::Copy(3 * block, two)
        ]
    );
}

#[test]
fn long_copy_is_passed_on_in_pieces_before_the_file_ends() {
    let basis = vec![0; 2 * COPY_PIECE as usize + 5];
    let (ops, _) = diff(&signature(params(64 * 1024), &basis), &basis);

    assert_eq!(ops.len(), 3);
    assert_eq!(ops[1], Owned::Copy(COPY_PIECE, COPY_PIECE));
    assert_eq!(ops[2], Owned::Copy(2 * COPY_PIECE, 5));
}

#[test]
fn sums_of_bytes_that_stay_the_same_cost_no_false_hits() {
    for name in [
        "half perturbed",
        "all perturbed",
        "sparse zeros",
        "log lines",
    ] {
        let (basis, new) = crafted(name, 1 << 20, 1024);
        let stats = round_trip(params(1024), &basis, &new);

        assert_eq!(stats.false_hits, 0, "{name}");
        assert!(stats.literal_bytes < 1 << 19, "{name}: {stats:?}");
    }
}

#[test]
fn blocks_with_equal_weak_hashes_are_told_apart_by_the_strong_ones() {
    let letters = |swapped: u32| -> Vec<u8> {
        (0..1024_u32)
            .map(|place| b"ab"[((place.count_ones() + swapped) & 1) as usize])
            .collect()
    };
    // Eight blocks whose weak hashes are equal under every key (Thue-Morse).
    let blocks: Vec<Vec<u8>> = (0..8)
        .map(|bits| (0..3).flat_map(|part| letters(bits >> part)).collect())
        .collect();
    let params = params(3 * 1024);
    let signature = signature(params, &blocks.concat());
    for (number, block) in blocks.iter().enumerate() {
        assert_eq!(signature.weak.of(block), signature.weak.of(&blocks[0]));
        let (ops, _) = diff(&signature, block);

        assert_eq!(ops, [Owned::Copy(number as u64 * 3 * 1024, 3 * 1024)]);
    }
}

#[test]
fn moved_run_behind_much_that_is_new_is_found_soon_and_the_new_is_hardly_rolled_through() {
    const MIB: usize = 1 << 20;
    const LARGE_BLOCK: u32 = 16 * 1024;
    let basis = basis(24 * MIB);
    let new = [&Random::new(12).bytes(48 * MIB + 777), &basis[..]].concat();
    let stats = round_trip(params(LARGE_BLOCK), &basis, &new);

    let lost = stats.literal_bytes - (48 * MIB + 777) as u64;
    assert!(lost <= 48 * MIB as u64 / 4, "{stats:?}");
    assert!(stats.rolled_bytes < 24 * MIB as u64, "{stats:?}");
}

#[test]
fn block_that_stays_in_place_is_found_amid_much_that_is_new() {
    const MIB: usize = 1 << 20;
    const LARGE_BLOCK: usize = 16 * 1024;
    let basis = basis(48 * MIB);
    let mut new = Random::new(12).bytes(48 * MIB);
    let places = (0..48).map(|n| n * MIB + 3 * LARGE_BLOCK);
    for at in places.clone() {
        new[at..at + LARGE_BLOCK].copy_from_slice(&basis[at..at + LARGE_BLOCK]);
    }
    // The first ones end stretches; without them the rest is still found.
    for spared in [0, 20] {
        for at in places.clone().take(spared) {
            new[at..at + LARGE_BLOCK].fill(7);
        }
        let stats = round_trip(params(LARGE_BLOCK as u32), &basis, &new);
        assert_eq!(
            stats.copied_bytes,
            (48 - spared as u64) * LARGE_BLOCK as u64
        );
    }
}

#[test]
fn moved_blocks_soon_after_a_match_are_found_however_much_that_is_new_was_before() {
    const MIB: usize = 1 << 20;
    const LARGE_BLOCK: usize = 16 * 1024;
    let (run, few) = (24 * MIB, 4 * LARGE_BLOCK);
    let basis = basis(run + few);
    let new_bytes = |seed, len| Random::new(seed).bytes(len);
    // Each piece stands where no grid is. The few blocks are shorter than a gap that the first part would bring about.
    let parts = [
        new_bytes(12, 48 * MIB + 777),
        basis[..run].to_vec(),
        new_bytes(13, 2 * MIB + 333),
        basis[run..].to_vec(),
        new_bytes(14, MIB),
    ];
    let stats = round_trip(params(LARGE_BLOCK as u32), &basis, &parts.concat());

    let of_the_run = stats.copied_bytes - few as u64;
    assert!(of_the_run > run as u64 / 2, "{stats:?}");
    assert_eq!(of_the_run % LARGE_BLOCK as u64, 0);
    let without = [&parts[..3], &parts[4..]].concat().concat();
    let stats = round_trip(params(LARGE_BLOCK as u32), &basis, &without);
    assert_eq!(stats.copied_bytes, of_the_run);
}
