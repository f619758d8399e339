//! Killed in the middle of a commit, killed again while that is recovered, and once more in the recovery of that.

use std::time::Instant;

use crate::judge::{Stage, Verdict};
use crate::scenarios::named;
use crate::strace::{self, Blow, CHANGING, Point};
use crate::sweep::{Sum, sample, stride};

/// The first kill leaves something to recover from here on: the second half of the calls of a commit.
fn first_kills(stage: &Stage<'_>) -> Vec<Point> {
    let points = stage.points(CHANGING);
    points[points.len() / 3..].to_vec()
}

/// Kills `rsyn recover` at a point; whether it was hit.
fn kill_recovery(stage: &Stage<'_>, point: &Point) -> bool {
    let log = stage.world.top().at("log-recover");
    let recover = stage.world.machine("a").command(&["recover"]);
    let options = Blow::Kill.options(point, &log);
    crate::world::finish(strace::traced(&recover, &options), &["recover"]);
    strace::has_hit(&log)
}

/// The calls of a recovery after a kill at `first`.
fn calls_of_recovery(stage: &Stage<'_>, first: &Point) -> Vec<Point> {
    kill_first(stage, first);
    let log = stage.world.top().at("log-recover");
    let recover = stage.world.machine("a").command(&["recover"]);
    crate::world::finish(strace::traced(&recover, &strace::notes(&log)), &["recover"]).exits(0);
    strace::points(&log, CHANGING)
}

fn kill_first(stage: &Stage<'_>, first: &Point) {
    stage.reset();
    let log = stage.world.log(stage.scenario.side);
    stage.strike(&Blow::Kill.options(first, &log));
}

fn judge(stage: &Stage<'_>) -> Verdict {
    stage.recover()?;
    stage.old_or_new(false)?;
    stage.no_litter()
}

#[test]
fn a_recovery_killed_at_any_call_and_its_recovery_too_is_recovered_all_the_same() {
    strace_or_skip!();
    let start = Instant::now();
    let (mut pairs, mut triples) = (Sum::default(), Sum::default());
    for name in ["pull", "rollback"] {
        let scenario = named(name);
        let stage = Stage::new(&scenario);
        let firsts = first_kills(&stage);
        let step = (stride() * firsts.len() / 160).max(1);
        for (n, first) in sample(&firsts, step, 3).into_iter().enumerate() {
            let calls = calls_of_recovery(&stage, &first);
            for (m, second) in sample(&calls, stride().min(calls.len()), n * 11)
                .into_iter()
                .enumerate()
            {
                kill_first(&stage, &first);
                let mut blows = format!("{first}, then {second}");
                let missed = (!kill_recovery(&stage, &second)).then_some(&second);
                let sum = if (n + m) % 2 == 0 {
                    &mut pairs
                } else {
                    let third = &calls[(n * 31 + m * 17) % calls.len()];
                    blows = format!("{blows}, then {third}");
                    // What is left to do may be less than the third kill needs.
                    kill_recovery(&stage, third);
                    &mut triples
                };
                let bad = judge(&stage)
                    .err()
                    .map(|words| format!("  {name}, {blows}: {words}"));
                sum.add(Sum::one(missed, bad));
            }
        }
    }
    pairs.is_good("kills in recoveries", start);
    triples.is_good("kills in recoveries of killed recoveries", start);
}
