//! Laws of the whole: sign, search, apply.

use super::test_data::Random;
use super::*;

const KEY: [u8; 32] = [42; 32];

/// An operation that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Copy(u64, u64),
    Literal(Vec<u8>),
}

fn params(block_bytes: u32) -> Params {
    Params {
        block_bytes,
        strong_bytes: 8,
        key: KEY,
    }
}

fn sign(params: &Params, basis: &[u8]) -> Vec<u8> {
    let (mut signer, mut out) = (Signer::new(params), Vec::new());
    signer.update(basis, &mut out);
    signer.finish(&mut out);
    out
}

fn signature(params: Params, basis: &[u8]) -> Signature {
    Signature::parse(params, basis.len() as u64, sign(&params, basis)).unwrap()
}

/// The operations for a new file fed in `pieces`.
fn diff_in<'n>(
    signature: &Signature,
    pieces: impl IntoIterator<Item = &'n [u8]>,
) -> (Vec<Owned>, DiffStats) {
    let mut ops = Vec::new();
    let mut sink = |op: Op<'_>| -> Result<(), std::convert::Infallible> {
        ops.push(match op {
            Op::Copy { offset, len } => Owned::Copy(offset, len),
            Op::Literal(bytes) => Owned::Literal(bytes.to_vec()),
        });
        Ok(())
    };
    let mut differ = Differ::new(signature);
    for piece in pieces {
        differ.update(piece, &mut sink).unwrap();
    }
    let stats = differ.finish(&mut sink).unwrap();
    (ops, stats)
}

fn diff(signature: &Signature, new: &[u8]) -> (Vec<Owned>, DiffStats) {
    diff_in(signature, [new])
}

fn patch(basis: &[u8], ops: &[Owned], output_bytes: usize) -> Vec<u8> {
    let mut patcher = Patcher::new(basis.len() as u64, output_bytes as u64);
    let mut out = Vec::new();
    for op in ops {
        let (op, bytes) = match op {
            Owned::Copy(offset, len) => (
                Op::Copy {
                    offset: *offset,
                    len: *len,
                },
                &basis[*offset as usize..(*offset + *len) as usize],
            ),
            Owned::Literal(bytes) => (Op::Literal(bytes), &bytes[..]),
        };
        assert_eq!(patcher.accept(&op), Ok(out.len() as u64));
        out.extend_from_slice(bytes);
    }
    patcher.finish().unwrap();
    out
}

/// Searches, applies, compares, and returns the statistics.
fn round_trip(params: Params, basis: &[u8], new: &[u8]) -> DiffStats {
    let (ops, stats) = diff(&signature(params, basis), new);
    assert!(
        patch(basis, &ops, new.len()) == new,
        "{} to {} bytes",
        basis.len(),
        new.len()
    );
    assert_eq!(stats.copied_bytes + stats.literal_bytes, new.len() as u64);
    for op in &ops {
        assert!(!matches!(op, Owned::Literal(bytes) if bytes.len() > MAX_LITERAL));
    }
    stats
}

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

/// A new file made of a basis by `edits` random edits: overwrite, insert, delete, copy, swap, cut.
fn edited(random: &mut Random, basis: &[u8], edits: usize) -> Vec<u8> {
    let mut new = basis.to_vec();
    for _ in 0..edits {
        let at = random.below(new.len() + 1);
        let end = at + random.below((new.len() - at).min(300) + 1);
        match random.below(6) {
            0 => new[at..end].fill(random.next() as u8),
            1 => {
                let len = random.below(300);
                let inserted = random.bytes(len);
                new.splice(at..at, inserted).for_each(drop);
            }
            2 => new.drain(at..end).for_each(drop),
            3 => {
                let part = new[at..end].to_vec();
                let to = random.below(new.len() + 1);
                new.splice(to..to, part).for_each(drop);
            }
            4 => new.rotate_left(at),
            _ => new.truncate(new.len() - random.below(new.len().min(50) + 1)),
        }
    }
    new
}

#[test]
fn any_edit_of_any_bytes_is_rebuilt_exactly() {
    for seed in 0..1500 {
        let mut random = Random::new(seed);
        let len = random.below(6000);
        let letters = [1, 2, 4, 256][random.below(4)];
        let basis = random.text(len, letters);
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
        let basis = random.text(len, letters);
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
