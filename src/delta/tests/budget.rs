//! The limit on false hits: contents whose weak hashes are equal under every key.

use super::super::test_data::{Random, crafted};
use super::*;

const BLOCK: usize = 2048;
const NAME: &str = "equal under every key";

/// Six per block is what can be proved; these inputs take about one for guesses and matches and one in vain.
fn assert_linear(stats: &DiffStats, new: &[u8]) {
    let blocks = (new.len() / BLOCK) as u64;

    assert!(
        stats.strong_hashes <= 3 * blocks + 64,
        "{stats:?} for {blocks} blocks"
    );
}

fn search(basis: &[u8], new: &[u8]) -> DiffStats {
    let stats = round_trip(params(BLOCK as u32), basis, new);
    assert_linear(&stats, new);
    stats
}

#[test]
fn false_hits_stop_costing_once_they_cost_as_much_as_the_file() {
    let (basis, new) = crafted(NAME, 4 << 20, BLOCK);
    let stats = search(&basis, &new);

    assert!(
        stats.false_hits > 64,
        "the crafted bytes no longer hit: {stats:?}"
    );
    assert!(
        stats.false_hits * BLOCK as u64 <= (4 << 20) + 64 * BLOCK as u64,
        "{stats:?}"
    );
    assert_eq!(stats.copied_bytes, 0);
}

#[test]
fn crafted_text_hits_falsely_at_about_half_of_all_offsets_where_nothing_limits_it() {
    let (basis, new) = crafted(NAME, 4 << 20, BLOCK);
    let signature = signature(params(BLOCK as u32), &basis);
    let falsely = (0..BLOCK)
        .map(|at| &new[at..at + BLOCK])
        .filter(|window| {
            let found = signature.find(signature.weak.of(window), window, 0);
            matches!(found, super::super::signature::Found::FalseHit)
        })
        .count();

    assert!(falsely > BLOCK / 3, "{falsely} of {BLOCK}");
}

/// A basis with known blocks, a new file with each of them after a stretch that spends the budget, and their bytes.
///
/// The first is off the grid by three bytes; `shift` is how far the others are.
fn known_between_crafted(shift: usize) -> (Vec<u8>, Vec<u8>, u64) {
    let (crafted_basis, crafted_new) = crafted(NAME, 4 << 20, BLOCK);
    let known = Random::new(3).bytes(101 * BLOCK);
    let (first, others) = known.split_at(BLOCK);
    let spend = &crafted_new[..8 * BLOCK];
    let mut new = [&[9; 3], first, spend, &spend[..BLOCK - 3 + shift]].concat();
    for known in others.chunks(BLOCK) {
        new.extend_from_slice(spend);
        new.extend_from_slice(known);
    }
    (
        [&crafted_basis[..], &known].concat(),
        new,
        known.len() as u64,
    )
}

#[test]
fn blocks_on_the_grid_are_found_when_the_budget_is_gone() {
    let (basis, new, known_bytes) = known_between_crafted(0);
    let stats = search(&basis, &new);

    assert!(
        stats.false_hits > 500,
        "the crafted bytes no longer hit: {stats:?}"
    );
    assert_eq!(stats.copied_bytes, known_bytes, "{stats:?}");
}

#[test]
fn blocks_in_line_with_the_last_match_are_found_when_the_budget_is_gone() {
    let (basis, new, known_bytes) = known_between_crafted(3);
    let stats = search(&basis, &new);

    assert!(
        stats.false_hits > 500,
        "the crafted bytes no longer hit: {stats:?}"
    );
    assert_eq!(stats.copied_bytes, known_bytes, "{stats:?}");
}

#[test]
fn rolling_resumes_once_the_file_is_longer_than_what_was_spent() {
    let (crafted_basis, crafted_new) = crafted(NAME, 1 << 20, BLOCK);
    let mut random = Random::new(7);
    let known = random.bytes(BLOCK);
    let basis = [&crafted_basis[..], &known].concat();
    // Off the grid and in line with nothing: only rolling finds it.
    let new = [
        &crafted_new[..500 * BLOCK],
        &random.bytes(100 * BLOCK + 77),
        &known,
    ]
    .concat();
    let stats = search(&basis, &new);

    assert!(stats.false_hits > 64, "{stats:?}");
    assert_eq!(stats.copied_bytes, BLOCK as u64, "{stats:?}");
}
