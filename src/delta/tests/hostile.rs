//! A peer that sends what it likes.

use super::super::test_data::Random;
use super::*;

#[test]
fn signature_of_another_length_than_the_basis_asks_for_is_refused() {
    let params = params(100);
    let wanted = params.signature_bytes(1050);
    for available in [0, wanted - 1, wanted + 1, 5 * wanted] {
        let refused = Signature::parse(params, 1050, vec![0; available as usize]).err();

        assert_eq!(
            refused,
            Some(DeltaError::SignatureLength { wanted, available })
        );
    }
}

#[test]
fn parameters_are_checked_before_anything_is_made_of_them() {
    for block_bytes in [0, 1, u32::MAX] {
        for strong_bytes in [0, 8, 255] {
            let params = Params {
                block_bytes,
                strong_bytes,
                key: KEY,
            };
            for basis_bytes in [1 << 40, u64::MAX] {
                assert!(Signature::parse(params, basis_bytes, Vec::new()).is_err());
            }
        }
    }
}

#[test]
fn signature_of_any_bytes_gives_operations_within_the_basis_for_all_of_the_file() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let basis_bytes = random.below(5000) as u64;
        let params = params([1, 3, 64, 500][random.below(4)]);
        let len = params.signature_bytes(basis_bytes) as usize;
        let encoded = if seed % 2 == 0 {
            random.bytes(len)
        } else {
            vec![seed as u8; len]
        };
        let signature = Signature::parse(params, basis_bytes, encoded).unwrap();
        let new = random.bytes(3000);
        let (ops, _) = diff(&signature, &new);

        assert_eq!(
            patch(&vec![0; basis_bytes as usize], &ops, new.len()).len(),
            new.len()
        );
    }
}

#[test]
fn hashes_that_are_all_equal_cost_linear_time() {
    let params = params(16);
    let record = sign(&params, &[0; 16]);
    let blocks = 200_000;
    let signature = Signature::parse(params, 16 * blocks, record.repeat(blocks as usize)).unwrap();
    let (ops, stats) = diff(&signature, &vec![0; 16 * blocks as usize]);

    assert_eq!(ops, [Owned::Copy(0, 16 * blocks)]);
    assert_eq!(stats.strong_hashes, blocks);
}

#[test]
fn weak_hashes_that_are_all_equal_cost_one_strong_hash_each_time() {
    // The weak hash of zeros with 100000 different strong ones: a chain would be walked at every offset.
    let params = params(16);
    let weak = sign(&params, &[0; 16])[..5].to_vec();
    let mut random = Random::new(1);
    let encoded: Vec<u8> = (0..100_000)
        .flat_map(|_| [&weak[..], &random.bytes(8)].concat())
        .collect();
    let signature = Signature::parse(params, 1_600_000, encoded).unwrap();
    let (_, stats) = diff(&signature, &vec![0; 1_600_000]);

    assert_eq!(stats.copied_bytes, 0);
    assert!(stats.strong_hashes <= 300_000 + 64, "{stats:?}");
}

#[test]
fn view_of_the_new_file_stays_within_two_blocks_and_320_kib() {
    for block in [1_u32, 2048, 1 << 20] {
        let basis = Random::new(1).bytes(5 << 20);
        let signature = signature(params(block.max(64)), &basis);
        let limit = 2 * block.max(64) as usize + 320 * 1024;
        let mut differ = Differ::new(&signature);
        for new in [basis.clone(), Random::new(2).bytes(5 << 20)] {
            differ.update(&new, &mut |_| Ok::<_, ()>(())).unwrap();

            assert!(
                differ.view_capacity() <= limit,
                "{} of {limit}",
                differ.view_capacity()
            );
        }
    }
}
