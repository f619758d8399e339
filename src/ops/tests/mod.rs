//! The whole engine, simulated: machines and a hub in this process, made from one number. Links are cut, processes
//! killed, calls refused, clocks set, states lost and brought back from older copies; after each step the laws of
//! `law.rs` hold.
//!
//! `RSYN_SIM_SEEDS` sets how many worlds (a small sample by default), `RSYN_SIM_SEED` the first.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests make files, start hubs, and tell what they did"
)]

mod faults;
mod figures;
mod law;
mod link;
mod meddler;
#[allow(
    unreachable_pub,
    reason = "shared with the histories of the program itself"
)]
#[path = "../../../tests/histories/random.rs"]
mod random;
mod session;
mod simulation;
mod task;
mod tree;
mod upheaval;
mod user;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use figures::Figures;
use simulation::Simulation;

/// Worlds of every test run.
const SAMPLE: u64 = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap())
}

/// Lives one world to its end; gives what happened and the trace.
fn live(seed: u64) -> (Figures, String) {
    let mut world = Simulation::new(seed);
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(()) => {
            let story = world.story();
            (world.figures, story)
        }
        Err(panic) => {
            eprintln!(
                "{}\nseed {seed} fails: make sim SEEDS=1 RSYN_SIM_SEED={seed} shows it alone",
                world.story()
            );
            std::panic::resume_unwind(panic);
        }
    }
}

/// Lives the worlds of `seeds` on all processors; stops at the first that fails.
fn live_all(seeds: std::ops::Range<u64>) -> Figures {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let work = || {
        let mut figures = Figures::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return figures;
            }
            let lived = catch_unwind(|| live(seed).0);
            if lived.is_err() {
                next.store(seeds.end, Ordering::Relaxed);
            }
            figures.add(&lived.expect("a world broke a law; its story stands above"));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Figures::default();
        for worker in workers {
            all.add(&worker.join().expect("a world broke a law"));
        }
        all
    })
}

#[test]
fn simulated_worlds_lose_nothing_and_come_together_whatever_befalls_them() {
    let (first, many) = (number("RSYN_SIM_SEED", 1), number("RSYN_SIM_SEEDS", SAMPLE));
    let start = std::time::Instant::now();
    let figures = live_all(first..first + many);
    eprintln!("{many} worlds in {:?}: {figures:?}", start.elapsed());
    // A generator that went dull would prove nothing.
    if many >= SAMPLE {
        assert!(figures.is_lively(), "{figures:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_simulated_world() {
    for seed in 1_000..1_008 {
        let (first, second) = (live(seed).1, live(seed).1);
        assert_eq!(first, second, "seed {seed}");
    }
}
