//! Says which paths are left out because a disk takes their name for another one, or cannot hold them.

use super::skips::summed;
use crate::plan::{KeptReason, Plan, Side};

/// What stays out of the side that `plan` writes, and what to do; every path if `names_all`.
pub(super) fn words(plan: &Plan, names_all: bool) -> Vec<String> {
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
    let out = |why: &str| format!("paths stay out {side}: the disk {why}");
    let mut words = summed(
        taken.collect(),
        &out("takes their names for those of others"),
        names_all,
    );
    words.append(&mut summed(
        unheld.collect(),
        &out("refuses such names or links"),
        names_all,
    ));
    words
}
