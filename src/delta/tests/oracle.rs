//! fast_rsync on the same blocks: we may not send more.

use super::super::test_data::{Random, crafted};
use super::*;

/// Bytes that fast_rsync would send, its own framing included.
fn fast_rsync_delta(block_bytes: u32, basis: &[u8], new: &[u8]) -> u64 {
    let options = fast_rsync::SignatureOptions {
        block_size: block_bytes,
        crypto_hash_size: 16,
    };
    let signature = fast_rsync::Signature::calculate(basis, options);
    let mut out = Vec::new();
    fast_rsync::diff(&signature.index(), new, &mut out).unwrap();
    let mut rebuilt = Vec::new();
    fast_rsync::apply(basis, &out, &mut rebuilt).unwrap();
    assert!(rebuilt == new);
    out.len() as u64
}

fn assert_no_worse(block_bytes: u32, basis: &[u8], new: &[u8], what: &str) {
    let ours = round_trip(params(block_bytes), basis, new).literal_bytes;
    let theirs = fast_rsync_delta(block_bytes, basis, new);

    assert!(
        ours <= theirs,
        "{what}: {ours} literal bytes, fast_rsync sends {theirs}"
    );
}

#[test]
fn random_edits_cost_no_more_literals_than_fast_rsync_sends() {
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let len = random.below(60_000);
        let basis = random.bytes(len);
        let edits = random.below(12);
        let new = edited(&mut random, &basis, edits);
        let block = [64, 200, 1024, 2048][random.below(4)];

        assert_no_worse(
            block,
            &basis,
            &new,
            &format!("seed {seed}, blocks of {block}"),
        );
    }
}

#[test]
fn text_edits_cost_no_more_literals_than_fast_rsync_sends() {
    let (basis, new) = crafted("log lines", 1 << 20, 0);

    for block in [256, 2048, 4096] {
        assert_no_worse(block, &basis, &new, "log lines");
    }
}

#[test]
fn constants_with_few_changes_cost_no_more_literals_than_fast_rsync_sends() {
    for name in ["half perturbed", "all perturbed", "sparse zeros"] {
        let (basis, new) = crafted(name, 4 << 20, 1024);

        assert_no_worse(1024, &basis, &new, name);
    }
}
