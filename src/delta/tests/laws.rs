//! Laws that hold for all bytes, and the independence from how they arrive.

use super::super::test_data::Random;
use super::*;

#[test]
fn unchanged_file_is_copied_whole_at_every_length() {
    for block in [1, 2, 7, 64] {
        for len in 0..200 {
            let basis = Random::new(len as u64).bytes(len);
            let (ops, stats) = diff(&signature(params(block), &basis), &basis);

            assert_eq!(stats.literal_bytes, 0, "{len} bytes in blocks of {block}");
            assert_eq!(ops.len(), usize::from(len > 0), "{ops:?}");
        }
    }
}

#[test]
fn any_edit_of_any_bytes_is_rebuilt_exactly() {
    for seed in 0..1500 {
        let mut random = Random::new(seed);
        let len = random.below(6000);
        let letters = [1, 2, 4, 256][random.below(4)];
        let basis = text(&mut random, len, letters);
        let edits = random.below(8);
        let new = edited(&mut random, &basis, edits);
        let block = [1, 2, 3, 8, 50, 64, 700, 4096][random.below(8)];

        round_trip(params(block), &basis, &new);
    }
}

#[test]
fn sizes_around_multiples_of_the_block_are_rebuilt_exactly() {
    let data = Random::new(1).bytes(400);
    for block in [1, 16, 64] {
        for (basis_len, new_len) in [0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 192, 300]
            .into_iter()
            .flat_map(|len| [0, 1, 15, 16, 63, 64, 65, 128, 193, 400].map(|other| (len, other)))
        {
            for shift in [0, 1, 64].into_iter().filter(|shift| *shift <= new_len) {
                round_trip(params(block), &data[..basis_len], &data[shift..new_len]);
            }
        }
    }
}

#[test]
fn operations_do_not_depend_on_the_pieces_of_the_input() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let len = random.below(5000);
        let letters = [2, 256][random.below(2)];
        let basis = text(&mut random, len, letters);
        let new = edited(&mut random, &basis, 4);
        let signature = signature(params([1, 5, 64, 1000][random.below(4)]), &basis);
        let mut pieces = Vec::new();
        let mut rest = &new[..];
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(random.below(rest.len().min(200)) + 1);
            pieces.push(piece);
            rest = tail;
        }

        assert_eq!(
            diff_in(&signature, pieces),
            diff(&signature, &new),
            "seed {seed}"
        );
    }
}

#[test]
fn signature_does_not_depend_on_the_pieces_of_the_input() {
    let basis = Random::new(3).bytes(5000);
    for block in [1, 7, 64, 4999, 5000, 5001] {
        let whole = sign(&params(block), &basis);
        for piece in [1, 3, 64, 100, 4999] {
            let (mut signer, mut out) = (Signer::new(&params(block)), Vec::new());
            for bytes in basis.chunks(piece) {
                signer.update(bytes, &mut out);
            }
            signer.finish(&mut out);

            assert_eq!(out, whole, "blocks of {block} in pieces of {piece}");
            assert_eq!(out.len() as u64, params(block).signature_bytes(5000));
        }
    }
}

#[test]
fn long_literal_leaves_before_the_file_ends_and_in_pieces() {
    let basis = Random::new(5).bytes(10_000);
    let new = Random::new(6).bytes(1_000_000);
    let signature = signature(params(1000), &basis);
    let mut sent = 0;
    let mut differ = Differ::new(&signature);
    for (fed, piece) in new.chunks(10_000).enumerate() {
        differ
            .update(piece, &mut |op| -> Result<(), std::convert::Infallible> {
                assert!(matches!(op, Op::Literal(bytes) if bytes.len() == MAX_LITERAL));
                sent += MAX_LITERAL;
                Ok(())
            })
            .unwrap();

        let fed = (fed + 1) * 10_000;
        assert!(sent + MAX_LITERAL + 2 * 1000 >= fed, "{sent} of {fed}");
    }
}

#[test]
fn error_of_the_sink_comes_back() {
    let signature = signature(params(10), &[0; 100]);
    let mut full = |_: Op<'_>| Err("full");

    assert_eq!(
        Differ::new(&signature).update(&[1; 200_000], &mut full),
        Err("full")
    );
    let mut differ = Differ::new(&signature);
    assert_eq!(differ.update(&[0; 100], &mut full), Ok(()));
    assert_eq!(differ.finish(&mut full), Err("full"));
}
