//! What must hold after each step of a world, and at its end.

use super::super::law::{self, Step};
use super::super::session;
use super::super::task::{Report, Task};
use super::super::tree::{self, Tree};
use super::{Fate, Simulation};
use crate::model::RelPath;
use crate::ops::sync::Request;
use crate::ops::{Failure, FailureKind, status};
use crate::plan::{Direction, Plan, Verb};

/// A machine may push what it could not before, once another has cleared the way or brought other exclude rules.
const ROUNDS: usize = 8;
/// Snapshots beyond so many may be pruned.
const SNAPSHOTS: usize = 10;

impl Simulation {
    pub(super) fn judge(
        &mut self,
        who: usize,
        task: &Task,
        [before, after]: [&[Tree; 2]; 2],
        plans: &[Plan],
        ended: &Result<Report, Option<FailureKind>>,
    ) {
        let mut planned = before.clone();
        for plan in plans {
            let side = usize::from(plan.direction == Direction::Push);
            planned[side] = tree::after(&planned[side], plan);
        }
        let by_the_user = match task {
            Task::Rollback(_) => true,
            // Where nothing was lost or brought back, force is no reason to delete.
            Task::Sync(request) => request.mirror || request.force && self.figures.has("upheavals"),
        };
        for (side, at) in [who, self.hub()].into_iter().enumerate() {
            let path = self.roots[at].path.clone();
            let step = Step {
                root: &path,
                before: &before[side],
                after: &after[side],
                planned: &planned[side],
            };
            let name = self.roots[at].name;
            let hold = |law: Result<(), String>| law.unwrap_or_else(|e| panic!("{name}: {e}"));
            hold(step.is_whole());
            if ended.is_ok() {
                hold(step.is_planned());
            }
            hold(step.loses_nothing());
            if by_the_user {
                self.evidence.note(step.before, step.after);
            }
            hold(step.has_evidence(&self.evidence));
            // What lost to another version is gone by right, wherever else it stands.
            self.evidence.note(step.before, step.after);
            hold(law::is_clean(&path, step.after));
            let root = &mut self.roots[at];
            root.displaced.extend(step.displaced());
            root.olden.extend(step.changed_paths());
        }
    }

    pub(super) fn count(&mut self, report: &Report) {
        for plan in &report.plans {
            self.figures.count("changes", plan.actions.len());
            self.figures.count("deletions", plan.count(Verb::Delete));
            self.figures.count("conflicts", plan.conflicts());
        }
    }

    /// The same again does nothing, and a whole sync leaves both sides the same.
    pub(super) fn is_at_rest(
        &mut self,
        who: usize,
        request: &Request,
        report: &Report,
        after: &[Tree; 2],
    ) {
        let again = Task::Sync(Box::new(request.clone()));
        let again = self.engine(who, &again, true);
        session::wait();
        let is_nowhere = |top: &RelPath| !after.iter().any(|t| t.contains_key(top.as_bytes()));
        let again = match again {
            // What it was confined to may be gone for good.
            Err(e) if e.kind == FailureKind::Usage && request.only.iter().any(is_nowhere) => return,
            again => again.expect("a second look"),
        };
        let left: Vec<_> = again.plans.iter().flat_map(|p| &p.actions).collect();
        assert!(left.is_empty(), "a second run has work: {left:?}");
        let is_whole =
            request.directions.len() == 2 && request.only.is_empty() && !request.no_delete;
        if is_whole {
            let kept: Vec<_> = report.plans.iter().flat_map(|p| p.kept.clone()).collect();
            law::agree(&after[0], &after[1], &kept).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    /// Without edits and faults, syncs bring all together; a guard is lifted by hand.
    pub(super) fn settle(&mut self) {
        let mut quiet = 0;
        for who in (0..self.hub()).cycle().take(ROUNDS * self.hub()) {
            if quiet == self.hub() {
                break;
            }
            quiet = match self.sync_by_hand(who) {
                true => quiet + 1,
                false => 0,
            };
        }
        self.is_settled();
    }

    /// A plain sync, by force if a guard holds; says whether there was nothing to do.
    pub(super) fn sync_by_hand(&mut self, who: usize) -> bool {
        for force in [false, true] {
            let task = Task::whole_sync(force, self.reach());
            match self.attempt(who, &task, Fate::default()) {
                Ok(report) => return report.plans.iter().all(|p| p.actions.is_empty()),
                Err(Some(FailureKind::Guard)) if !force => {}
                Err(kind) => panic!("no sync: {kind:?}"),
            }
        }
        false
    }

    /// All agree, and status says so.
    pub(super) fn is_settled(&self) {
        for who in 0..self.hub() {
            let reach = self.reach();
            let status = self.with_world(who, |world| status::status(world, &reach, false));
            session::wait();
            let status = status.and_then(|s| s).expect("status at rest");
            assert!(!status.recovery_pending);
            let (pull, push) = status.plans.expect("the hub was asked");
            assert!(
                pull.actions.is_empty() && push.actions.is_empty(),
                "no rest"
            );
            let kept: Vec<_> = [pull.kept, push.kept].concat();
            let [here, there] = self.trees(who);
            law::agree(&here, &there, &kept).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    pub(super) fn nothing_displaced_is_gone(&self) {
        for root in &self.roots {
            let snap = root.path.join(".rsyn/snap");
            if tree::names(&snap).len() >= SNAPSHOTS {
                continue;
            }
            let mut all = tree::contents(&snap);
            all.extend(root.seen.values().filter_map(tree::Seen::content));
            let gone = root.displaced.difference(&all).next();
            assert!(
                gone.is_none(),
                "{}: {gone:?} is gone from its snapshots",
                root.name
            );
        }
    }
}

/// Whether a run ended as its dry run said; gives whether a guard ended it.
pub(super) fn is_as_rehearsed(
    rehearsal: &Result<Report, Failure>,
    ended: &Result<Report, Option<FailureKind>>,
) -> bool {
    let refusal = match rehearsal {
        Ok(report) => report.refusal.as_ref(),
        Err(failure) => Some(failure),
    };
    let (said, came) = (
        refusal.map(|f| f.kind),
        ended.as_ref().err().copied().flatten(),
    );
    assert!(
        said == came,
        "the dry run said {said:?}, then came {came:?}"
    );
    came == Some(FailureKind::Guard)
}
