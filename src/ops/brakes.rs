//! The brakes before a plan is carried out: undecided conflicts, too many deletions, too little room.

use super::look::Look;
use super::sync::Request;
use super::{Failure, FailureKind};
use crate::endpoint::operations::needs_slot;
use crate::plan::{Action, Direction, Guard, Plan, Source, guard};

impl Look<'_> {
    /// Refuses a plan that must not be carried out without a word from the user.
    ///
    /// # Errors
    /// [`Failure`] of the first brake that holds.
    pub(super) fn check_guards(&self, plan: &Plan, request: &Request) -> Result<(), Failure> {
        if let [first, ..] = plan.undecided.as_slice() {
            let more = plan.undecided.len() - 1;
            let named = if more == 0 {
                format!("{:?}", first.path)
            } else {
                format!("{:?} and {more} more", first.path)
            };
            return Err(Failure::new(
                FailureKind::Conflict,
                format!("both sides changed {named}, and the policy leaves that to you"),
                "decide with `--on-conflict local`, `remote` or `both`, or on a terminal",
            ));
        }
        if request.force {
            return Ok(());
        }
        let (ours, theirs) = match plan.direction {
            Direction::Pull => (&self.scan.tree, &self.view.tree),
            Direction::Push => (&self.view.tree, &self.scan.tree),
        };
        let limit = match request.max_delete {
            Some(limit) => limit,
            None => self.world.project.max_delete()?,
        };
        guard::check(plan, ours, theirs, &self.base, limit).map_err(|e| guard_failure(&e))?;
        self.check_space(plan)
    }

    fn check_space(&self, plan: &Plan) -> Result<(), Failure> {
        let needed: u64 = plan.actions.iter().filter_map(staged_bytes).sum();
        let (free, side) = match plan.direction {
            Direction::Pull => (
                crate::disk::space::space(self.local.root.top())?.free_bytes,
                "here",
            ),
            Direction::Push if self.client.hello.root_exists => {
                (self.client.hello.free_bytes, "on the hub")
            }
            Direction::Push => return Ok(()),
        };
        if needed <= free {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::Guard,
            format!("{needed} bytes are needed and {free} are free {side}"),
            "make room, or sync a part with `--only PATH`",
        ))
    }
}

/// Bytes that an action stages on the written side.
fn staged_bytes(action: &Action) -> Option<u64> {
    let new = action.new.as_ref()?;
    let staged =
        needs_slot(action.verb, action.old.as_ref(), new) && action.source != Source::Nothing;
    staged.then(|| new.size())
}
fn guard_failure(guard: &Guard) -> Failure {
    let hint = match guard {
        Guard::TooManyDeletes { .. } => {
            "look with `--dry-run`; `--max-delete` sets the limit, `--force` lifts it"
        }
        Guard::Emptied { .. } => {
            "is the disk mounted, is the path right? `--force` goes on all the same"
        }
    };
    Failure::new(FailureKind::Guard, guard.to_string(), hint)
}
