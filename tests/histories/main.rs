//! Random histories with the program itself: machines and a hub, users who edit anywhere, pulls, pushes and syncs
//! with random options, dry runs and rollbacks. What each run did is judged by a second, plain reading of
//! docs/semantics.md (`law.rs`), which shares no code with the planner.
//!
//! `RSYN_REAL_HISTORIES` sets how many (default 24), `RSYN_SEED` the first seed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests make files, run the program, fail by panicking, and tell what they skipped"
)]
#![allow(
    unreachable_pub,
    dead_code,
    reason = "modules of one test binary; the hub behind sshd is shared"
)]

#[path = "../support/mod.rs"]
mod support;

#[macro_use]
#[path = "../ssh/hub.rs"]
mod hub;

mod history;
mod law;
mod random;
mod user;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use history::{Figures, History};
use support::Sandbox;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap())
}

/// Runs the histories of `seeds` on all processors; stops at the first that fails.
fn run_all(seeds: std::ops::Range<u64>) -> Figures {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let worker = || {
            let mut figures = Figures::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return figures;
                }
                figures.add(&run_one(seed));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = Figures::default();
        for worker in workers {
            all.add(
                &worker
                    .join()
                    .expect("a history failed; its story stands above"),
            );
        }
        all
    })
}

fn run_one(seed: u64) -> Figures {
    let world = Sandbox::new();
    let machines = ["a", "b", "c"].map(|name| world.project(name));
    let mut history = History::new(seed, machines.to_vec(), world.hub());
    tell_if_it_fails(seed, &mut history)
}

fn tell_if_it_fails(seed: u64, history: &mut History) -> Figures {
    let outcome = catch_unwind(AssertUnwindSafe(|| history.run(12)));
    if let Err(panic) = outcome {
        eprintln!(
            "{}\nseed {seed} fails: RSYN_SEED={seed} RSYN_REAL_HISTORIES=1 shows it alone",
            history.story()
        );
        std::panic::resume_unwind(panic);
    }
    history.figures
}

#[test]
fn machines_and_a_hub_do_what_the_table_says_lose_nothing_and_come_together() {
    let (first, many) = (number("RSYN_SEED", 1), number("RSYN_REAL_HISTORIES", 24));
    let figures = run_all(first..first + many);
    eprintln!("{many} histories: {figures:?}");
    // A generator that went dull would prove nothing.
    if many >= 24 {
        assert!(figures.is_lively(), "{figures:?}");
    }
}

#[test]
fn the_same_holds_over_ssh() {
    let hub = hub_or_skip!();
    let machines = ["a", "b"].map(|name| hub.ready(name)).to_vec();
    let mut history = History::new(number("RSYN_SEED", 7), machines, hub.root());
    let figures = tell_if_it_fails(7, &mut history);
    assert!(figures.changes > 0, "{figures:?}");
}
