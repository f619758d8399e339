//! Each call fails once, or from then on: exit 0 only with the new tree, old or new in any case, and a message that
//! says what failed.

use std::time::Instant;

use crate::judge::{Stage, Verdict, hold};
use crate::scenarios::{Scenario, named};
use crate::strace::{self, Blow, CHANGING, LOOKING, Point};
use crate::support::Run;
use crate::sweep::{Blown, Sum, is_sample, is_wanted, sample, stride, sweep};
use crate::world::finish;

/// Errors, and what the system calls them.
const ERRORS: [(&str, &str); 13] = [
    ("ENOSPC", "No space left on device"),
    ("EDQUOT", "Disk quota exceeded"),
    ("EIO", "Input/output error"),
    ("EMFILE", "Too many open files"),
    ("ENFILE", "Too many open files in system"),
    ("EACCES", "Permission denied"),
    ("EPERM", "Operation not permitted"),
    ("EROFS", "Read-only file system"),
    ("ENOMEM", "Cannot allocate memory"),
    ("EINTR", "Interrupted system call"),
    ("EXDEV", "Invalid cross-device link"),
    ("ELOOP", "Too many levels of symbolic links"),
    ("ESTALE", "Stale file handle"),
];

fn judge(stage: &Stage<'_>, run: &Run, Blown { point, number, .. }: Blown<'_>) -> Verdict {
    let said = run.all();
    hold!(!said.contains("panicked"), "it panicked: {said}");
    hold!((0..=7).contains(&run.code), "no exit code of the contract");
    stage.recover()?;
    if run.code == 0 && said.contains("warning: ") {
        // What cannot be read is left alone, by name; the rest is a sync of its own.
        stage.each_path_old_or_new()?;
        return stage.no_litter();
    }
    let all_new = stage.old_or_new(run.code == 0)?;
    // Where writing fails, there may be no way to say it.
    hold!(
        run.code == 0 || !said.trim().is_empty() || point.call == "write",
        "no word about it"
    );
    stage.no_litter()?;
    if number % 4 == 0 {
        stage.converges(all_new)
    } else {
        Ok(())
    }
}

/// Each point with each error, once and from then on.
fn blows(points: &[Point], stride: usize) -> Vec<(Point, Blow)> {
    // A call that is interrupted for ever is tried for ever, as it should.
    let blows = |errno: &'static str| {
        let for_ever = (errno != "EINTR").then_some(Blow::ErrorsFromHere(errno));
        [Some(Blow::Error(errno)), for_ever].into_iter().flatten()
    };
    let mut all = Vec::new();
    for point in points {
        let here = ERRORS.iter().flat_map(|(errno, _)| blows(errno));
        all.extend(here.map(|blow| (point.clone(), blow)));
    }
    sample(&all, stride, 5)
}

/// Of so many errors one is dealt where all points are asked for: all of them are two hours. A prime, so that each
/// error comes up.
fn thinning() -> usize {
    let set = std::env::var("RSYN_FAULTS_ERRORS").ok();
    set.map_or(29, |text| {
        text.parse().expect("RSYN_FAULTS_ERRORS is a number from 1")
    })
}

fn fail_everywhere(scenario: &Scenario) -> Sum {
    let start = Instant::now();
    let stage = Stage::new(scenario);
    let points = stage.points(&[CHANGING, LOOKING].concat());
    let points: Vec<_> = points
        .into_iter()
        .filter(|p| p.call != "exit_group")
        .collect();
    assert!(points.len() > 100, "{}: {points:?}", scenario.name);
    let step = stride() * thinning();
    let blows = blows(&points, step);
    let sum = sweep(stage, &blows, judge);
    let seconds = start.elapsed().as_secs_f64();
    eprintln!(
        "  {}: {} of {} errors, {} bad, {seconds:.1} s",
        scenario.name,
        blows.len(),
        points.len() * 25,
        sum.bad.len()
    );
    sum
}

#[test]
fn a_call_that_fails_leaves_the_old_or_the_new_trees_and_says_so() {
    strace_or_skip!();
    let (start, mut sum) = (Instant::now(), Sum::default());
    let all = ["pull", "push", "rollback", "first push", "clone", "restore"];
    for name in &all[..if is_sample() { 3 } else { all.len() }] {
        let scenario = named(name);
        if is_wanted(&scenario) {
            sum.add(fail_everywhere(&scenario));
        }
    }
    sum.is_good("errors", start);
}

#[test]
fn a_change_that_fails_is_told_with_what_was_tried_and_why() {
    strace_or_skip!();
    let scenario = named("pull");
    let stage = Stage::new(&scenario);
    let points = stage.points(&[
        "fsync",
        "renameat2",
        "mkdirat",
        "fchmod",
        "utimensat",
        "symlinkat",
    ]);
    let mut told = 0;
    for (n, point) in points.iter().enumerate().step_by(stride().min(9)) {
        let (errno, words) = ERRORS[[0, 1, 2, 5, 7][n % 5]];
        stage.reset();
        let run = stage.strike(&Blow::Error(errno).options(point, &stage.world.log(scenario.side)));
        if run.code != 0 {
            assert!(
                run.err().contains(words) && run.err().contains("cannot "),
                "{point} {errno}: {}",
                run.err()
            );
            told += 1;
        }
    }
    assert!(
        told * 2 > points.len() / stride().min(9),
        "{told} of {}",
        points.len()
    );
}

/// The number of the first call of this name in a trace whose line holds `words`.
fn point_at(log: &std::path::Path, call: &str, words: &str) -> Point {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text
        .lines()
        .filter(|line| line.starts_with(&format!("{call}(")));
    let number = lines.clone().position(|line| line.contains(words));
    Point {
        call: call.to_owned(),
        number: number.expect("no such call in the trace") + 1,
    }
}

#[test]
fn a_project_that_cannot_be_looked_at_is_not_passed_over_for_one_around_it() {
    strace_or_skip!();
    let world = crate::support::Sandbox::new();
    let outer = world.project("a");
    outer.ok(&["push"]);
    outer.write("inner/rsyn.toml", "");
    let inner = outer.dir("inner");
    let command = outer.command_in(&inner.0, &["log"]);
    let log = world.dir("").at("notes");
    let traced = |options: &[String]| finish(strace::traced(&command, options), &["log"]);

    traced(&strace::notes(&log)).exits(0).says_no("push");
    let point = point_at(&log, "newfstatat", "\"rsyn.toml\"");
    let options = Blow::Error("EIO").options(&point, &world.dir("").at("log"));
    traced(&options)
        .exits(1)
        .says("rsyn.toml")
        .says("Input/output error")
        .says_no("push");
}
