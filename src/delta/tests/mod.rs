//! Sign, search and apply, for the tests of the whole.

mod budget;
mod found;
mod hostile;
mod laws;
mod oracle;

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

/// Bytes of an alphabet of `letters`.
fn text(random: &mut Random, len: usize, letters: usize) -> Vec<u8> {
    (0..len).map(|_| random.below(letters) as u8).collect()
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
