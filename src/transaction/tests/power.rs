//! The power fails, and the disk keeps any part of what was not synced: old or new all the same.
//!
//! `RSYN_POWERLOSS` sets how many failures (a small sample by default), `RSYN_POWERLOSS_SEED` the first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::crash::check_old_or_new;
use super::unsynced::{Loss, Lost, Random, Recorder};
use super::*;
use crate::disk::fault;

/// Failures of every test run, in each test. Among fewer none was that an undo which believes the tree alone does not survive.
const SAMPLE: u64 = 250;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap())
}

/// What the failures were, to see that they are no idlers.
#[derive(Debug, Default)]
struct Figures {
    failures: u64,
    with_losses: u64,
    lost: usize,
    torn: usize,
    old: u64,
    new: u64,
}

impl Figures {
    fn count(&mut self, lost: Lost, is_new: bool) {
        self.failures += 1;
        self.with_losses += u64::from(lost.ops > 0);
        self.lost += lost.ops;
        self.torn += lost.torn;
        *(if is_new { &mut self.new } else { &mut self.old }) += 1;
    }

    fn check(&self, what: &str) {
        eprintln!("{what}: {self:?}");
        assert!(self.with_losses * 3 > self.failures, "{self:?}");
        assert!(self.old > 0 && self.new > 0, "{self:?}");
    }
}

/// Runs `body`; before its call number `at` the power fails, and the disk of `scene` has lost what `loss` says. Where
/// there are less calls it fails right after. Gives what came of it if it came to its end.
fn fail<T, E>(
    scene: &mut Scene,
    at: usize,
    (loss, random): (Loss, &mut Random),
    body: impl FnOnce(&Scene) -> Result<T, E>,
) -> (Option<T>, Lost) {
    let recorder = Rc::new(RefCell::new(Recorder::new(scene.temp.path())));
    let (seen, calls) = (Rc::clone(&recorder), Rc::new(Cell::new(0)));
    let hook: fault::Hook = Box::new(move |verb, path| {
        if calls.replace(calls.get() + 1) >= at {
            return Err(std::io::Error::other("the power failed"));
        }
        seen.borrow_mut().before(verb, path);
        Ok(())
    });
    let result = fault::with_hook(hook, || body(scene));
    let lost = recorder.borrow_mut().forget(loss, random);
    // A new process knows no handles.
    scene.root = Root::open(scene.temp.path()).unwrap();
    (result.ok(), lost)
}

fn calls_of<T, E: std::fmt::Debug>(body: impl FnOnce() -> Result<T, E>) -> usize {
    let (result, calls) = fault::crash_at(usize::MAX, body);
    result.unwrap();
    calls
}

/// What a test lets fail: a scenario, and how many calls each has.
struct Stage {
    name: &'static str,
    old: Tree,
    new: Tree,
    calls: usize,
}

fn stages(calls_of: impl Fn(&Scene, &Lock) -> usize) -> Vec<Stage> {
    let stage = |(name, old, new)| {
        let scene = Scene::new(&old, &new);
        let calls = calls_of(&scene, &scene.lock());
        Stage {
            name,
            old,
            new,
            calls,
        }
    };
    scenarios().into_iter().map(stage).collect()
}

/// Each seed with its random numbers and a scenario: those with more calls more often.
fn each(stages: &[Stage], mut body: impl FnMut(u64, &Stage, &mut Random)) {
    let (first, many) = (
        number("RSYN_POWERLOSS_SEED", 1),
        number("RSYN_POWERLOSS", SAMPLE),
    );
    let all = stages.iter().map(|s| s.calls).sum();
    for seed in first..first + many {
        let mut random = Random(seed);
        let mut at = random.below(all);
        let stage = stages.iter().find(|stage| {
            let here = at < stage.calls;
            at = at.saturating_sub(stage.calls);
            here
        });
        body(seed, stage.unwrap(), &mut random);
    }
}

/// The same changes, once more if they have been undone, come to the end.
fn converges(scene: &Scene, lock: &Lock, context: &str) -> bool {
    let is_new = scene.listing() == listing_of(&scene.new);
    if !is_new {
        scene
            .run(lock)
            .unwrap_or_else(|e| panic!("{context}: {e}, then"));
        assert_eq!(scene.listing(), listing_of(&scene.new), "{context}");
    }
    is_new
}

#[test]
fn whatever_of_a_commit_was_not_synced_is_lost_recovery_gives_the_old_or_the_new_tree() {
    let stages = stages(|scene, lock| calls_of(|| scene.run(lock)));
    let mut figures = Figures::default();
    each(&stages, |seed, stage, random| {
        let mut scene = Scene::new(&stage.old, &stage.new);
        let lock = scene.lock();
        // One in so many fails when all is done.
        let at = random.below(stage.calls + stage.calls / 8 + 1);
        let loss = Loss::random(random);
        let (done, lost) = fail(&mut scene, at, (loss, random), |scene| scene.run(&lock));
        let context = format!(
            "seed {seed}: {}, power off at call {at}, {loss:?} of what was not synced is lost",
            stage.name
        );
        check_old_or_new(&scene, &lock, &context);
        let is_new = converges(&scene, &lock, &context);
        assert!(is_new || done.is_none(), "{context}: it had said success");
        figures.count(lost, is_new);
    });
    figures.check("commits");
    assert!(figures.torn > 0, "{figures:?}");
}

#[test]
fn whatever_of_a_recovery_is_lost_the_next_one_gives_the_old_or_the_new_tree() {
    let stages = stages(|scene, lock| calls_of(|| scene.run(lock)));
    let mut figures = Figures::default();
    each(&stages, |seed, stage, random| {
        let mut scene = Scene::new(&stage.old, &stage.new);
        let lock = scene.lock();
        // From where moves are under way.
        let at = stage.calls / 3 + random.below(stage.calls - stage.calls / 3);
        let first = Loss::random(random);
        fail(&mut scene, at, (first, random), |scene| scene.run(&lock));
        let again = random.below(stage.calls / 2 + 1);
        let second = Loss::random(random);
        let (_, lost) = fail(&mut scene, again, (second, random), |scene| {
            scene.recover(&lock)
        });
        let context = format!(
            "seed {seed}: {}, power off at call {at}, {first:?}, then at call {again} of the recovery, {second:?}",
            stage.name
        );
        check_old_or_new(&scene, &lock, &context);
        figures.count(lost, converges(&scene, &lock, &context));
    });
    figures.check("recoveries");
}

#[test]
fn whatever_of_a_rollback_is_lost_it_is_done_or_not_done() {
    let run = |scene: &Scene, lock: &Lock| scene.run(lock).unwrap().snapshot.unwrap();
    let stages = stages(|scene, lock| {
        let id = run(scene, lock);
        calls_of(|| rollback::roll_back(scene, lock, &id))
    });
    let mut figures = Figures::default();
    each(&stages, |seed, stage, random| {
        let mut scene = Scene::new(&stage.old, &stage.new);
        let lock = scene.lock();
        let id = run(&scene, &lock);
        let at = random.below(stage.calls + stage.calls / 8 + 1);
        let loss = Loss::random(random);
        let (finished, lost) = fail(&mut scene, at, (loss, random), |scene| {
            rollback::roll_back(scene, &lock, &id)
        });
        let context = format!(
            "seed {seed}: {}, power off at call {at} of a rollback, {loss:?}",
            stage.name
        );
        let recovery = scene
            .recover(&lock)
            .unwrap_or_else(|e| panic!("{context}: {e}"));
        assert!(recovery.attention.is_empty(), "{context}: {recovery:?}");
        let now = scene.listing();
        let done = now == listing_of(&stage.old);
        assert!(done || now == listing_of(&stage.new), "{context}: {now:#?}");
        assert!(done || finished.is_none(), "{context}: it had said success");
        for part in ["txn", "trash"] {
            assert_eq!(scene.left_in(part), 0, "{context}: {part}");
        }
        let left: Vec<_> = snapshots(&scene.root)
            .unwrap()
            .into_iter()
            .map(|s| s.id)
            .collect();
        assert_eq!((left.len(), left.contains(&id)), (1, !done), "{context}");
        assert!(!scene.shares_with_snapshots(), "{context}");
        figures.count(lost, done);
    });
    figures.check("rollbacks");
}
