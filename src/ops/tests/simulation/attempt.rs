//! A task that the engine is given, and whatever befalls it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::faults::{Fault, strike};
use super::super::meddler::Meddler;
use super::super::random::Random;
use super::super::session;
use super::super::task::{self, Report, Task};
use super::super::tree::{Tree, digest};
use super::judgement::is_as_rehearsed;
use super::{Fate, Simulation};
use crate::ops::connect::Reach;
use crate::ops::look::World;
use crate::ops::project::{Environment, Project};
use crate::ops::{Failure, FailureKind, local};

const EXCLUDE_FILE: &[u8] = b".rsync-exclude";

impl Simulation {
    pub(super) fn with_world<T>(
        &self,
        at: usize,
        body: impl FnOnce(&World<'_>) -> T,
    ) -> Result<T, Failure> {
        let root = &self.roots[at];
        let hub = self.roots[self.hub()].path.display().to_string();
        let variables = [("RSYN_REMOTE", hub), ("RSYN_MACHINE", root.name.to_owned())];
        let environment = Environment {
            variables: BTreeMap::from(variables.map(|(key, value)| (key.to_owned(), value))),
            directory: root.path.clone(),
            ..Environment::default()
        };
        let project = Project::at(root.path.clone(), &environment)?;
        let world = World {
            project: &project,
            environment: &environment,
            talk: &self.listener,
            interrupted: &Arc::new(AtomicBool::new(false)),
            clock: session::clock,
            hub_here: session::start,
        };
        Ok(body(&world))
    }

    pub(super) fn engine(&self, who: usize, task: &Task, dry_run: bool) -> Result<Report, Failure> {
        let reach = self.reach();
        self.with_world(who, |world| task.run(world, &reach, dry_run))?
    }

    pub(super) fn reach(&self) -> Reach {
        task::reach(self.compressed)
    }

    /// The trees of a machine and the hub when they were last looked at.
    pub(super) fn trees(&self, who: usize) -> [Tree; 2] {
        [who, self.hub()].map(|at| self.roots[at].seen.clone())
    }

    /// The same, looked at now.
    pub(super) fn trees_now(&mut self, who: usize) -> [Tree; 2] {
        for at in [who, self.hub()] {
            self.roots[at].look();
        }
        self.trees(who)
    }

    /// What a dry run says. Where nothing will befall the run half of them are spared: its own plan is the measure.
    pub(super) fn rehearse(
        &mut self,
        who: usize,
        task: &Task,
        fate: Fate,
        before: &[Tree; 2],
    ) -> Option<Result<Report, Failure>> {
        if fate == Fate::default() && self.random.one_in(2) {
            return None;
        }
        let rehearsal = self.engine(who, task, true);
        session::wait();
        let now = self.trees_now(who);
        assert!(*before == now, "a dry run changed a tree");
        Some(rehearsal)
    }

    /// Has the engine do a task, first dry, and judges what came of it. Gives how it ended.
    pub(super) fn attempt(
        &mut self,
        who: usize,
        task: &Task,
        fate: Fate,
    ) -> Result<Report, Option<FailureKind>> {
        self.say(format!(
            "{}: {}, {fate:?}",
            self.roots[who].name,
            task.words()
        ));
        let mut before = self.trees(who);
        let rehearsal = self.rehearse(who, task, fate, &before);
        session::arm(fate.session);
        if fate.meddled && task.writes_one_side() {
            self.invite_meddler(who);
        }
        let struck = strike(fate.here, || self.engine(who, task, false));
        let ended = session::wait();
        let meddled = self.dismiss_meddler(who, &mut before);
        let befell = struck.fired || ended.struck || ended.cut;
        self.figures.count("runs", 1);
        let killed = struck.result.is_none();
        self.figures.count("kills here", usize::from(killed));
        self.figures
            .count("kills on the hub", usize::from(ended.killed));
        self.figures.count("cuts", usize::from(ended.cut));
        let refused = (struck.fired && !killed) || (ended.struck && !ended.killed);
        self.figures.count("refusals", usize::from(refused));
        if befell {
            self.recover(who);
            self.recover(self.hub());
        }
        let after = self.trees_now(who);
        let ended = match struck.result {
            None => Err(None),
            Some(Err(failure)) => {
                self.say(format!(
                    "    {:?}: {}",
                    failure.kind,
                    self.nameless(&failure.message)
                ));
                Err(Some(failure.kind))
            }
            Some(Ok(report)) => Ok(report),
        };
        // What was planned before somebody meddled is void.
        let said = rehearsal.as_ref().filter(|_| !meddled);
        let plans: Vec<_> = match (said, &ended) {
            (Some(Ok(report)), _) | (None, Ok(report)) => report.plans.clone(),
            _ => vec![],
        };
        self.judge(who, task, [&before, &after], &plans, &ended);
        if let Some(said) = said.filter(|_| !befell) {
            let guarded = is_as_rehearsed(said, &ended);
            self.figures.count("guarded", usize::from(guarded));
        }
        let told = format!(
            "    {}, {} | {}",
            ended
                .as_ref()
                .map_or_else(|e| format!("{e:?}"), |_| "done".to_owned()),
            digest(&after[0]),
            digest(&after[1])
        );
        self.say(told);
        if let Ok(report) = &ended {
            self.count(report);
            let is_rollback = matches!(task, Task::Rollback(_));
            self.figures.count("rollbacks", is_rollback.into());
            let rules = |tree: &Tree| tree.get(EXCLUDE_FILE).cloned();
            let same_rules = rules(&before[0]) == rules(&after[0]);
            // A second look costs a third of a run.
            let looks = same_rules && !meddled && self.random.one_in(2);
            if let (Task::Sync(request), true) = (task, looks) {
                self.is_at_rest(who, request, report, &after);
            }
        }
        ended
    }

    /// Somebody will edit one of the two sides as soon as the plan is shown.
    pub(super) fn invite_meddler(&mut self, who: usize) {
        let hub = self.hub();
        let at = *self.random.of(&[who, who, hub]);
        if !self.roots[at].path.is_dir() {
            return;
        }
        *self.listener.0.get_mut().unwrap() = Some(Meddler {
            root: self.roots[at].path.clone(),
            memory: std::mem::take(&mut self.memory),
            random: Random(self.random.next()),
            now_ms: self.now_ms,
            done: None,
        });
    }

    /// Takes note of what he did, as of any edit, and puts the tree with it into `before`. Says whether he did
    /// anything.
    pub(super) fn dismiss_meddler(&mut self, who: usize, before: &mut [Tree; 2]) -> bool {
        let Some(meddler) = self.listener.0.get_mut().unwrap().take() else {
            return false;
        };
        self.memory = meddler.memory;
        let Some((words, tree)) = meddler.done else {
            return false;
        };
        let side = usize::from(meddler.root != self.roots[who].path);
        let at = [who, self.hub()][side];
        self.figures.count("meddled", 1);
        self.say(format!("    meanwhile {}: {words}", self.roots[at].name));
        self.evidence.note(&before[side], &tree);
        let old = std::mem::replace(&mut self.roots[at].seen, tree.clone());
        self.forget(at, &old);
        before[side] = tree;
        true
    }

    /// A message without what is new in each run.
    pub(super) fn nameless(&self, message: &str) -> String {
        let message = message.replace(&self.dir.path().display().to_string(), "");
        let random = |word: &&str| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let words = message.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
        let plain = |word: &str| {
            let name = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if random(&name) {
                word.replace(name, "#")
            } else {
                word.to_owned()
            }
        };
        words.map(plain).collect()
    }

    /// Settles what was interrupted, perhaps interrupted itself.
    pub(super) fn recover(&mut self, at: usize) {
        if !self.roots[at].path.is_dir() {
            return;
        }
        if self.random.one_in(4) {
            let fault = Fault::random(&mut self.random);
            drop(strike(Some(fault), || self.with_world(at, local::recover)));
        }
        let words = self.with_world(at, local::recover).and_then(|r| r);
        match words {
            Ok(None) => {}
            Ok(Some(words)) => {
                self.figures.count("recoveries", 1);
                let calm = |part: &str| part.starts_with("an interrupted sync was");
                assert!(words.split("; ").all(calm), "{words}");
            }
            Err(failure) => panic!("{} does not recover: {failure:?}", self.roots[at].name),
        }
        let again = self.with_world(at, local::recover).and_then(|r| r);
        assert!(matches!(again, Ok(None)), "a second recovery: {again:?}");
    }
}
