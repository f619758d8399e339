//! Says which paths are left out because a disk takes their name for another one, or cannot hold them.

use crate::plan::{KeptReason, Plan, Side};

/// So many are named; how many more there are is said.
const NAMED: usize = 5;

/// What stays out of the side that `plan` writes, and what to do.
pub(super) fn words(plan: &Plan) -> Vec<String> {
    let side = match plan.direction.written() {
        Side::Local => "here",
        Side::Remote => "on the hub",
    };
    let taken = plan.taken.iter().map(|(path, by)| {
        format!("{path:?} stays out {side}: the disk takes it and {by:?} for one name; rename one of them")
    });
    let unheld = plan
        .kept
        .iter()
        .filter(|kept| kept.reason == KeptReason::CannotHold);
    let unheld = unheld.map(|kept| {
        let path = &kept.path;
        format!("{path:?} stays out {side}: the disk refuses such a name or a link")
    });
    let mut words: Vec<_> = taken.take(NAMED).chain(unheld.take(NAMED)).collect();
    let unheld = plan
        .kept
        .iter()
        .filter(|kept| kept.reason == KeptReason::CannotHold);
    let more = plan.taken.len().saturating_sub(NAMED) + unheld.count().saturating_sub(NAMED);
    if more > 0 {
        words.push(format!("{more} more that stay out {side} are not named"));
    }
    words
}
