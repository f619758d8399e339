//! Killed before each call that changes something: old or new, and the next sync goes on.

use std::time::Instant;

use crate::judge::{Stage, Verdict, hold};
use crate::scenarios::{Scenario, named, pulls, verbs};
use crate::strace::{self, Blow, CHANGING};
use crate::support::Run;
use crate::sweep::{Blown, Sum, is_sample, is_wanted, sample, stride, sweep};
use crate::world::Side;

/// Each so manieth kill is undone at the end, to see that the snapshot is whole.
const UNDO_EVERY: usize = 5;
/// Each so manieth is not recovered by a command of its own: the next sync has to do it.
const LEFT_EVERY: usize = 3;

fn judge(stage: &Stage<'_>, run: &Run, Blown { number, .. }: Blown<'_>) -> Verdict {
    if number % LEFT_EVERY == 0 && stage.scenario.name == "clone" {
        return clones_again(stage);
    }
    if number % LEFT_EVERY == 0 {
        return stage.converges(false_unless_done(stage, run)?);
    }
    stage.recover()?;
    let all_new = stage.old_or_new(run.code == 0)?;
    stage.no_litter()?;
    stage.converges(all_new)?;
    if number % UNDO_EVERY == 1 {
        stage.undoes()
    } else {
        Ok(())
    }
}

/// The same clone goes on with what was begun, or says that a whole one is there.
fn clones_again(stage: &Stage<'_>) -> Verdict {
    let run = stage.strike(&[]);
    hold!(
        run.code == 0 || run.all().contains("is there and not empty"),
        "clone again: {}",
        run.all()
    );
    let status = stage.world.machine("b").rsyn(&["status"]);
    hold!(status.code == 0, "no clone that is ready: {}", status.all());
    stage.recover()?;
    hold!(stage.old_or_new(true)?, "the clone did not go on");
    stage.no_litter()
}

/// A verb that is not to be repeated when it is done has to be recovered to know that.
fn false_unless_done(stage: &Stage<'_>, run: &Run) -> Result<bool, String> {
    match stage.scenario.again {
        crate::scenarios::Again::Same => Ok(false),
        crate::scenarios::Again::UnlessDone => {
            stage.recover()?;
            stage.old_or_new(run.code == 0)
        }
    }
}

fn kill_everywhere(scenario: &Scenario, stride: usize, salt: usize) -> Sum {
    let start = Instant::now();
    let stage = Stage::new(scenario);
    let points = stage.points(CHANGING);
    assert!(points.len() > 5, "{}: {points:?}", scenario.name);
    let blows: Vec<_> = sample(&points, stride, salt)
        .into_iter()
        .map(|p| (p, Blow::Kill))
        .collect();
    let sum = sweep(stage, &blows, judge);
    let (all, taken, bad) = (points.len(), blows.len(), sum.bad.len());
    eprintln!(
        "  {}: {taken} of {all} points, {bad} bad, {:.1} s",
        scenario.name,
        start.elapsed().as_secs_f64()
    );
    sum
}

fn kill_all(what: &str, scenarios: &[Scenario]) {
    let (start, mut sum) = (Instant::now(), Sum::default());
    for (salt, scenario) in scenarios.iter().enumerate().filter(|(_, s)| is_wanted(s)) {
        sum.add(kill_everywhere(scenario, stride(), salt * 7));
    }
    if std::env::var_os("RSYN_FAULTS_SCENARIO").is_none() || sum.points > 0 {
        sum.is_good(what, start);
    }
}

#[test]
fn a_verb_killed_at_any_call_leaves_the_old_or_the_new_trees_and_goes_on() {
    strace_or_skip!();
    kill_all("kills of verbs", &verbs());
}

#[test]
fn a_pull_of_any_kind_of_change_killed_at_any_call_leaves_the_old_or_the_new_tree() {
    strace_or_skip!();
    let mut all = pulls();
    if is_sample() {
        all = all
            .into_iter()
            .skip(1)
            .step_by(5)
            .filter(|s| s.name != "pull: 300 files")
            .collect();
    }
    kill_all("kills of pulls", &all);
}

#[test]
fn one_thread_alone_changes_the_disk() {
    strace_or_skip!();
    for name in ["pull", "push", "rollback", "rollback of the hub", "clone"] {
        let scenario = named(name);
        let stage = Stage::new(&scenario);
        stage.reset();
        let log = stage.world.log(scenario.side);
        // Not the child that is the hub: it has a run of its own.
        let options = ["-f", "-y", "-b", "execve", "-o", log.to_str().unwrap()].map(str::to_owned);
        stage.strike(&options).exits(0);
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
        let first = text.split_whitespace().next().unwrap().to_owned();
        let changes = |line: &&str| {
            let call = line.split_whitespace().nth(1).unwrap_or_default();
            let is_change = CHANGING
                .iter()
                .any(|name| call.starts_with(&format!("{name}(")));
            let is_open = call.starts_with("openat(") && !line.contains("O_CREAT");
            is_change
                && !is_open
                && line.contains(stage.world.top().text_path())
                && !line.contains("<pipe:")
        };
        let (mine, others): (Vec<&str>, Vec<&str>) = text
            .lines()
            .filter(changes)
            .partition(|line| line.starts_with(&first));
        assert!(mine.len() > 50, "{name}: {mine:#?}");
        assert!(others.is_empty(), "{name}: {others:#?}");
    }
}

#[test]
fn the_judge_sees_a_mixed_tree_a_lie_and_litter() {
    strace_or_skip!();
    let scenario = named("pull");
    let stage = Stage::new(&scenario);
    let a = stage.world.sandbox.dir("a");
    stage.reset();
    assert_eq!(stage.old_or_new(false), Ok(false));
    assert!(
        stage
            .old_or_new(true)
            .unwrap_err()
            .contains("old after exit 0")
    );
    a.write("extra/empty", "");
    assert!(stage.old_or_new(false).unwrap_err().contains("a is mixed"));
    stage.reset();
    a.write(".rsyn/peers/x.tmp-0123456789abcdef", "");
    assert!(stage.no_litter().unwrap_err().contains("peers"));
    stage.reset();
    a.mkdir(".rsyn/txn/0123456789abcdef");
    assert!(stage.no_litter().unwrap_err().contains("txn"));
}

#[test]
fn points_are_numbered_by_name_and_leave_the_loader_out() {
    strace_or_skip!();
    let scenario = named("push");
    let stage = Stage::new(&scenario);
    let points = stage.points(CHANGING);
    let distinct: std::collections::BTreeSet<_> = points.iter().collect();
    assert_eq!(distinct.len(), points.len());
    assert!(
        points.iter().filter(|p| p.call == "renameat2").count() > 15,
        "{points:?}"
    );
    // Not in the same order: small files are staged when nothing waits to be taken, before or after a larger one.
    let steady = |points: &[strace::Point]| -> std::collections::BTreeSet<_> {
        points
            .iter()
            .filter(|p| p.call != "openat")
            .cloned()
            .collect()
    };
    assert_eq!(
        steady(&Stage::new(&scenario).points(CHANGING)),
        steady(&points),
        "two runs make the same calls"
    );
    let log = stage.world.log(Side::Hub);
    stage.reset();
    stage.strike(&Blow::Kill.options(&points[points.len() / 2], &log));
    assert!(strace::has_hit(&log));
}
