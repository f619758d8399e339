//! The filter against the installed rsync: both read the same rules and look at the same tree, and
//! must take the same entries, to the last.
//!
//! `fixtures/filter/` holds the cases written by hand; they are also tried without rsync. The random
//! cases come from a seed, so every run sees the same ones.
//!
//! - `RSYN_ORACLE_CASES`: number of random rule lists (default 600).
//! - `RSYN_ORACLE_SEED`: the first seed (default 1).
//! - `RSYN_SKIP=rsync`: on a machine without rsync, pass and say what was skipped.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that makes files, runs rsync and tells what it skipped"
)]

mod fixture;
mod generator;
mod oracle;
mod source;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use generator::Random;
use oracle::{Tree, disagreement, rsync_or_skip, shrink};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn every_fixture_says_what_rsyn_does() {
    let wrong: Vec<_> = fixture::all()
        .iter()
        .filter_map(fixture::Case::difference)
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_fixture_says_what_rsync_does() {
    if !rsync_or_skip("every_fixture_says_what_rsync_does") {
        return;
    }
    let next = Mutex::new(fixture::all().into_iter());
    let wrong = Mutex::new(Vec::new());
    on_threads(|| {
        loop {
            let case = next.lock().unwrap().next();
            let Some(case) = case else { break };
            let tree = Tree::of(&case.entries());
            let difference = case.difference_to(tree.kept_by_rsync(&case.sources).as_ref());
            wrong.lock().unwrap().extend(difference);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A run of rsync is mostly waiting: more threads than cores.
fn on_threads(work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(&work);
        }
    });
}

/// What some random cases came to.
#[derive(Default)]
struct Tally {
    cases: u64,
    excluding: u64,
    including: u64,
    refused: u64,
    warned: u64,
    disagreements: Vec<String>,
}

/// Random cases that share a tree: one for each seed.
fn try_seeds(seeds: std::ops::Range<u64>) -> Tally {
    let tree = Tree::listed(&generator::entries(&mut Random::new(seeds.start)));
    let mut tally = Tally::default();
    for seed in seeds {
        let sources = generator::sources(&mut Random::new(seed), tree.paths());
        tally.cases += 1;
        if disagreement(&tree, &sources).is_some() {
            let sources = shrink(&tree, sources.clone());
            let paths = disagreement(&tree, &sources).unwrap_or_default();
            tally
                .disagreements
                .push(format!("seed {seed}: {sources:?}{paths}"));
        }
        let rules = sources.rules().unwrap_or_default();
        tally.warned += u64::from(!oracle::unreachable(&rules).is_empty());
        match tree.kept_by_rsyn(&sources) {
            Some(kept) if kept.len() == tree.paths().len() => {}
            Some(kept) => {
                tally.excluding += 1;
                tally.including += u64::from(!kept.is_empty());
            }
            None => tally.refused += 1,
        }
    }
    tally
}

#[test]
fn random_rules_keep_what_rsync_keeps() {
    if !rsync_or_skip("random_rules_keep_what_rsync_keeps") {
        return;
    }
    let first = number("RSYN_ORACLE_SEED", 1);
    let end = first + number("RSYN_ORACLE_CASES", 600);
    let next = AtomicU64::new(first);
    let total = Mutex::new(Tally::default());
    on_threads(|| {
        loop {
            let start = next.fetch_add(50, Ordering::Relaxed);
            if start >= end {
                break;
            }
            // Not in one expression: the lock would be held while the cases run.
            let tally = try_seeds(start..end.min(start + 50));
            total.lock().unwrap().add(tally);
        }
    });
    total.into_inner().unwrap().check();
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.excluding += other.excluding;
        self.including += other.including;
        self.refused += other.refused;
        self.warned += other.warned;
        self.disagreements.extend(other.disagreements);
    }

    fn check(&self) {
        let Self {
            cases,
            excluding,
            including,
            refused,
            warned,
            disagreements,
        } = self;
        eprintln!(
            "oracle: {cases} lists of rules, {} disagreements; {excluding} exclude something, \
             {including} of them not everything; {refused} are refused, {warned} hold an include that is never reached",
            disagreements.len()
        );
        assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
        // Rules that never match would agree with anything.
        assert!(
            including * 3 > *cases,
            "only {including} of {cases} lists exclude some entries"
        );
    }
}
