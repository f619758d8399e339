//! The delta core against fast_rsync, one thread, on the same bytes with the same blocks.
//!
//! `RSYN_BENCH_MIB` is the size of the inputs (64 by default). First the bytes that each would send are printed, then the
//! rates are measured.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a bench reads its size, prints, and makes bytes of random numbers"
)]

use std::convert::Infallible;
use std::sync::LazyLock;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use rsyn::delta::{DiffStats, Differ, Op, Params, Signature, Signer};

#[path = "../src/delta/test_data.rs"]
mod test_data;

use test_data::{Pair, Random, crafted};

const CASES: [&str; 13] = [
    "unchanged",
    "10 edits",
    "1 byte inserted",
    "1 MiB inserted",
    "shuffled",
    "1 % of pages",
    "5 % of pages",
    "different",
    "half perturbed",
    "all perturbed",
    "sparse zeros",
    "log lines",
    "equal under every key",
];
const PAGE: usize = 4096;
const STRONG_BYTES: u32 = 8;

static MIB: LazyLock<usize> = LazyLock::new(|| {
    std::env::var("RSYN_BENCH_MIB")
        .ok()
        .and_then(|mib| mib.parse().ok())
        .unwrap_or(64)
});

fn main() {
    println!(
        "{} MiB, blocks of {} bytes",
        *MIB,
        params(*MIB << 20).block_bytes
    );
    println!(
        "{:24}{:>14}{:>14}{:>14}{:>10}",
        "bytes to send", "signature", "delta", "fast_rsync", "hashes"
    );
    for case in CASES {
        let (basis, new) = inputs(case);
        let (signature, stats, ops) = ours(&basis, &new);
        let theirs = fast_rsync_diff(&fast_rsync_sign(&basis), &new);
        let delta = stats.literal_bytes + 10 * ops;
        println!(
            "{case:24}{signature:14}{delta:14}{theirs:14}{:10}",
            stats.strong_hashes
        );
    }
    divan::main();
}

fn params(basis_bytes: usize) -> Params {
    Params::for_basis(basis_bytes as u64, [7; 32])
}

fn inputs(case: &str) -> Pair {
    let len = *MIB << 20;
    let basis = Random::new(1).bytes(len);
    let mut random = Random::new(2);
    let mut new = basis.clone();
    match case {
        "unchanged" => {}
        "10 edits" => {
            for _ in 0..10 {
                let at = random.below(len - 100);
                new[at..at + 100].fill(0);
            }
        }
        "1 byte inserted" => new.insert(0, 1),
        "1 MiB inserted" => {
            new.splice(len / 2..len / 2, random.bytes(1 << 20))
                .for_each(drop);
        }
        "shuffled" => shuffle_tenth(&mut new, &mut random),
        "1 % of pages" => change_pages(&mut new, &mut random, 100),
        "5 % of pages" => change_pages(&mut new, &mut random, 20),
        "different" => new = random.bytes(len),
        _ => return crafted(case, len, params(len).block_bytes as usize),
    }
    (basis, new)
}

/// Exchanges pieces of 64 KiB: a tenth of all.
fn shuffle_tenth(bytes: &mut [u8], random: &mut Random) {
    let pieces = bytes.len() >> 16;
    for _ in 0..pieces / 20 {
        let (one, other) = (random.below(pieces) << 16, random.below(pieces) << 16);
        let copy = bytes[one..one + (1 << 16)].to_vec();
        bytes.copy_within(other..other + (1 << 16), one);
        bytes[other..other + (1 << 16)].copy_from_slice(&copy);
    }
}

/// Changes 64 bytes in one page of `every`, as a data base does.
fn change_pages(bytes: &mut [u8], random: &mut Random, every: usize) {
    let pages = bytes.len() / PAGE;
    for _ in 0..pages / every {
        let at = random.below(pages) * PAGE + random.below(PAGE - 64);
        bytes[at..at + 64].copy_from_slice(&random.bytes(64));
    }
}

fn sign(basis: &[u8]) -> Vec<u8> {
    let (mut signer, mut out) = (Signer::new(&params(basis.len())), Vec::new());
    for piece in basis.chunks(256 * 1024) {
        signer.update(piece, &mut out);
    }
    signer.finish(&mut out);
    out
}

#[expect(clippy::expect_used, reason = "the signature is our own")]
fn parse(basis_bytes: usize, encoded: Vec<u8>) -> Signature {
    Signature::parse(params(basis_bytes), basis_bytes as u64, encoded).expect("a signature")
}

fn diff(signature: &Signature, new: &[u8]) -> (DiffStats, u64) {
    let mut ops = 0;
    let mut sink = |op: Op<'_>| -> Result<(), Infallible> {
        black_box(op);
        ops += 1;
        Ok(())
    };
    let mut differ = Differ::new(signature);
    for piece in new.chunks(256 * 1024) {
        let Ok(()) = differ.update(piece, &mut sink);
    }
    let Ok(stats) = differ.finish(&mut sink);
    (stats, ops)
}

fn ours(basis: &[u8], new: &[u8]) -> (usize, DiffStats, u64) {
    let encoded = sign(basis);
    let len = encoded.len();
    let (stats, ops) = diff(&parse(basis.len(), encoded), new);
    (len, stats, ops)
}

fn fast_rsync_sign(basis: &[u8]) -> fast_rsync::Signature {
    let block_size = params(basis.len()).block_bytes;
    let options = fast_rsync::SignatureOptions {
        block_size,
        crypto_hash_size: STRONG_BYTES,
    };
    fast_rsync::Signature::calculate(basis, options)
}

#[expect(clippy::expect_used, reason = "a Vec takes everything")]
fn fast_rsync_diff(signature: &fast_rsync::Signature, new: &[u8]) -> usize {
    let mut out = Vec::new();
    fast_rsync::diff(&signature.index(), new, &mut out).expect("a delta");
    out.len()
}

/// Inputs are made once for each case, not for each sample.
fn with_inputs(bencher: Bencher<'_, '_>, case: &str, run: impl Fn(&Pair) + Sync) {
    let pair = inputs(case);
    bencher
        .counter(BytesCount::new(pair.1.len()))
        .bench_local(|| run(black_box(&pair)));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn signature_ours(bencher: Bencher<'_, '_>) {
    with_inputs(bencher, "unchanged", |(basis, _)| {
        drop(black_box(sign(basis)));
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn signature_fast_rsync(bencher: Bencher<'_, '_>) {
    with_inputs(bencher, "unchanged", |(basis, _)| {
        drop(black_box(fast_rsync_sign(basis)));
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn index_ours(bencher: Bencher<'_, '_>) {
    let (basis, _) = inputs("unchanged");
    let encoded = sign(&basis);
    bencher
        .counter(BytesCount::new(basis.len()))
        .with_inputs(|| encoded.clone())
        .bench_local_values(|encoded| parse(basis.len(), encoded));
}

#[divan::bench(args = CASES, sample_count = 5, sample_size = 1)]
fn diff_ours(bencher: Bencher<'_, '_>, case: &str) {
    let basis = inputs(case).0;
    let signature = parse(basis.len(), sign(&basis));
    drop(basis);
    with_inputs(bencher, case, |(_, new)| {
        black_box(diff(&signature, new));
    });
}

#[divan::bench(args = CASES, sample_count = 5, sample_size = 1)]
fn diff_fast_rsync(bencher: Bencher<'_, '_>, case: &str) {
    let signature = fast_rsync_sign(&inputs(case).0);
    with_inputs(bencher, case, |(_, new)| {
        black_box(fast_rsync_diff(&signature, new));
    });
}
