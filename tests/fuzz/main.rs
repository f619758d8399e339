//! A small fuzzer over the targets of [`targets`], the same bytes in every run: a few seconds of what `make fuzz`
//! does for as long as one likes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "tests make files, cut numbers to bytes, and fail by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

use std::time::{Duration, Instant};

mod targets;

use targets::{TARGETS, Target};

/// Executions of each target, unless `RSYN_FUZZ` says another number.
const EXECUTIONS: u64 = 20_000;
/// No input may take longer; a machine under load gets ten times as much before the test fails.
const LIMIT: Duration = Duration::from_secs(1);

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

const EVIL: &[&[u8]] = &[
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff; 10],
    &[0; 32],
    b"..",
    b"/",
    b".rsyn",
    b"**",
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0x7f],
];

/// One small change: a bit, a byte, a number, a part taken out, doubled, or put in from elsewhere.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(16)).min(bytes.len());
    match random.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
        2 => drop(bytes.drain(at.min(end)..end)),
        3 => {
            let part = bytes[at.min(end)..end].to_vec();
            bytes.splice(at..at, part);
        }
        4 => {
            let from = random.below(other.len() + 1);
            let part = other[from..(from + random.below(64)).min(other.len())].to_vec();
            bytes.splice(at..at, part);
        }
        5 => bytes.truncate(at),
        _ => {
            let evil = EVIL[random.below(EVIL.len())];
            bytes.splice(at.min(end)..end, evil.iter().copied());
        }
    }
    bytes.truncate(64 << 10);
}

fn fuzz(target: &Target, executions: u64) -> Duration {
    let seeds = (target.seeds)();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ target.name.len() as u64);
    let mut slowest = Duration::ZERO;
    for seed in &seeds {
        (target.run)(seed);
    }
    for _ in 0..executions {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(6) {
            let other = &seeds[random.below(seeds.len())];
            mutate(&mut bytes, other, &mut random);
        }
        let start = Instant::now();
        let run = std::panic::catch_unwind(|| (target.run)(&bytes));
        let took = start.elapsed();
        assert!(
            run.is_ok(),
            "{} panics with {}",
            target.name,
            bytes.escape_ascii()
        );
        assert!(
            took <= 10 * LIMIT,
            "{} takes {took:?} with {}",
            target.name,
            bytes.escape_ascii()
        );
        slowest = slowest.max(took);
    }
    slowest
}

#[test]
fn no_bytes_make_a_target_panic_hang_or_break_its_law() {
    let wish = std::env::var("RSYN_FUZZ")
        .ok()
        .and_then(|number| number.parse().ok());
    let executions = wish.unwrap_or(EXECUTIONS);
    for target in TARGETS {
        // A run of the journal makes files and waits for the disk.
        let executions = match target.name {
            "journal" => executions / 400,
            _ => executions,
        };
        let start = Instant::now();
        let slowest = fuzz(target, executions);
        println!(
            "{}: {executions} executions in {:?}, the slowest {slowest:?}",
            target.name,
            start.elapsed()
        );
    }
}

/// With `RSYN_FUZZ_SEEDS` in the environment: also writes the seeds there, for `make fuzz`.
#[test]
fn every_target_has_seeds_and_a_file_for_the_fuzzer() {
    let place = std::env::var_os("RSYN_FUZZ_SEEDS").map(std::path::PathBuf::from);
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        let file = format!(
            "{}/fuzz/fuzz_targets/{}.rs",
            env!("CARGO_MANIFEST_DIR"),
            target.name
        );
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(
            text.contains(&format!("targets::{}(", target.name)),
            "{file}"
        );
        for (number, seed) in seeds.iter().enumerate() {
            if let Some(place) = &place {
                let dir = place.join(target.name);
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(dir.join(format!("seed-{number}")), seed).unwrap();
            }
        }
    }
}
