//! Says which paths wait because a disk takes their name for another one.

use crate::plan::{Plan, Side};

/// So many are named; how many more there are is said.
const NAMED: usize = 5;

/// That names are taken on the side that `plan` writes, and what to do.
pub(super) fn words(plan: &Plan) -> Vec<String> {
    let side = match plan.direction.written() {
        Side::Local => "here",
        Side::Remote => "on the hub",
    };
    let taken = plan.taken.iter().take(NAMED);
    let mut words: Vec<_> = taken
        .map(|(path, by)| {
            format!(
                "{path:?} stays out {side}: the disk takes it and {by:?} for one name; rename one of them"
            )
        })
        .collect();
    if plan.taken.len() > NAMED {
        let more = plan.taken.len() - NAMED;
        words.push(format!("{more} more like these {side} are not named"));
    }
    words
}
