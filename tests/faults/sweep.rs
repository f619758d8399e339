//! A sweep: one blow after another on one scenario, each in a world that was put back, on two threads.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::judge::{Stage, Verdict};
use crate::scenarios::Scenario;
use crate::strace::{Blow, Point, has_hit};

/// Which part of the points a default run takes.
const SAMPLE: usize = 80;
/// So many blows are worth the making of a second world, for a second thread.
const WORTH_A_SECOND: usize = 12;

/// What a sweep came to.
#[derive(Debug, Default)]
pub struct Sum {
    pub points: usize,
    pub hits: usize,
    /// Where no blow fell.
    pub missed: Vec<Point>,
    pub bad: Vec<String>,
}

impl Sum {
    /// What came of one blow.
    pub fn one(missed: Option<&Point>, bad: Option<String>) -> Self {
        Self {
            points: 1,
            hits: usize::from(missed.is_none()),
            missed: missed.into_iter().cloned().collect(),
            bad: bad.into_iter().collect(),
        }
    }

    pub fn add(&mut self, other: Self) {
        self.points += other.points;
        self.hits += other.hits;
        self.missed.extend(other.missed);
        self.bad.extend(other.bad);
    }

    /// Nothing was bad, and the blows did fall: all but one in twenty, and one. Numbers of calls vary a little from
    /// run to run where two threads share them.
    #[track_caller]
    pub fn is_good(&self, what: &str, start: Instant) {
        let Self {
            points,
            hits,
            missed,
            bad,
        } = self;
        let seconds = start.elapsed().as_secs_f64();
        eprintln!(
            "{what}: {points} points, {hits} hit, {} bad, {seconds:.1} s",
            bad.len()
        );
        assert!(
            bad.is_empty(),
            "{what}: {} of {points} bad:\n{}",
            bad.len(),
            bad.join("\n")
        );
        assert!(
            *hits > 0 && missed.len() <= 1 + points / 20,
            "{what}: {hits} of {points} blows fell, not {missed:?}"
        );
    }
}

/// Each how manieth point is taken.
pub fn stride() -> usize {
    let set = std::env::var("RSYN_FAULTS").ok();
    set.map_or(SAMPLE, |text| {
        text.parse().expect("RSYN_FAULTS is a number from 1")
    })
}

/// Whether this is a default run, which is to be short.
pub fn is_sample() -> bool {
    std::env::var_os("RSYN_FAULTS").is_none()
}

/// Whether a scenario is asked for.
pub fn is_wanted(scenario: &Scenario) -> bool {
    let part = std::env::var("RSYN_FAULTS_SCENARIO").unwrap_or_default();
    scenario.name.contains(&part)
}

/// Each `stride`th of `all`, another part for another `salt`.
pub fn sample<T: Clone>(all: &[T], stride: usize, salt: usize) -> Vec<T> {
    all.iter()
        .skip(salt % stride.min(all.len().max(1)))
        .step_by(stride)
        .cloned()
        .collect()
}

/// Deals every blow, and judges each by `judge`, which is told how manieth it is.
pub fn sweep(
    stage: Stage<'_>,
    blows: &[(Point, Blow)],
    judge: impl Fn(&Stage<'_>, &crate::support::Run, Blown<'_>) -> Verdict + Sync,
) -> Sum {
    let scenario = stage.scenario;
    let distinct: BTreeSet<_> = blows
        .iter()
        .map(|(point, blow)| format!("{point} {blow:?}"))
        .collect();
    assert_eq!(
        distinct.len(),
        blows.len(),
        "{}: a point comes twice",
        scenario.name
    );
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Sum::default()));
    let work = |stage: Stage<'_>| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((point, blow)) = blows.get(number) else {
                return;
            };
            let one = deal(
                &stage,
                Blown {
                    point,
                    blow: *blow,
                    number,
                },
                &judge,
            );
            sum.lock().unwrap().add(one);
        }
    };
    std::thread::scope(|scope| {
        if blows.len() >= WORTH_A_SECOND {
            scope.spawn(|| work(Stage::new(scenario)));
        }
        work(stage);
    });
    sum.into_inner().unwrap()
}

/// Where which blow fell, and how manieth of the sweep it is.
#[derive(Debug, Clone, Copy)]
pub struct Blown<'a> {
    pub point: &'a Point,
    pub blow: Blow,
    pub number: usize,
}

fn deal(
    stage: &Stage<'_>,
    blown: Blown<'_>,
    judge: &impl Fn(&Stage<'_>, &crate::support::Run, Blown<'_>) -> Verdict,
) -> Sum {
    let Blown { point, blow, .. } = blown;
    stage.reset();
    let log = stage.world.log(stage.scenario.side);
    let run = stage.strike(&blow.options(point, &log));
    let missed = (!has_hit(&log)).then_some(point);
    let verdict = judge(stage, &run, blown);
    let name = &stage.scenario.name;
    let bad = verdict
        .err()
        .map(|words| format!("  {name}, {point} {blow:?}, exit {}: {words}", run.code));
    Sum::one(missed, bad)
}
