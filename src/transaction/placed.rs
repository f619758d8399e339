//! What a transaction placed, as it lies in the tree: stats that vouch for the contents from now on.
//!
//! A write changes the ctime of a file, if the clock of the file system has ticked since. So a file that a transaction
//! wrote itself is known by its stat as soon as that clock shows a later time than its ctime: whoever writes from
//! then on leaves another ctime behind. Whoever wrote between the move and the look has moved the mtime away from the one
//! that was set, unless that one lies in the time of the transaction itself; such a file is left out.
//!
//! What came inside its directory has kept the ctime of its staging. If that is before the first move, nobody has to look:
//! whoever wrote since then has left another one behind.

use std::time::Duration;

use crate::disk::{Lock, Stat};
use crate::model::{Mtime, Node, RelPath};

use super::journal::{Action, After, Planned};
use super::work::Work;

/// Waits before each look at a clock that had not ticked: kernels tick every 1 to 10 ms, those since 6.13 when asked
/// twice. Coarser clocks are not waited for.
const PAUSES_MS: [u64; 5] = [0, 0, 4, 4, 4];

/// The files that were placed since `began`, in path order, except those that no stat vouches for yet. What cannot be found
/// out costs nothing but a file that is read again.
pub(super) fn placed(work: &Work<'_>, lock: &Lock, began: Mtime) -> Vec<(RelPath, Stat)> {
    let (mut left, mut placed) = (Vec::new(), Vec::new());
    for step in &work.plan.body.steps {
        let came = matches!(
            step.action,
            Action::Place | Action::Exchange | Action::Carried | Action::Rename { .. }
        );
        let Some(change) = work.plan.change(step).filter(|_| came) else {
            continue;
        };
        let is_vouched = |stat: &Stat| step.action == Action::Carried && stat.ctime < began;
        match as_staged(change) {
            Some(stat) if is_vouched(&stat) => placed.push((change.path.clone(), stat)),
            Some(_) => left.push(change),
            None => {}
        }
    }
    for pause in PAUSES_MS {
        if left.is_empty() {
            break;
        }
        if pause > 0 {
            std::thread::sleep(Duration::from_millis(pause));
        }
        // ORDER: first the time, then the look: what is written after the look gets a ctime that is not earlier.
        let Ok(now) = lock.tell_time() else { break };
        left.retain(|change| match look(work, change) {
            Some(stat) if stat.ctime >= now => true,
            Some(stat) => {
                if !(began..=now).contains(&stat.mtime) {
                    placed.push((change.path.clone(), stat));
                }
                false
            }
            None => false,
        });
    }
    placed.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    placed
}

/// What the file of a change looked like when it was staged; `None` if no file was.
fn as_staged(change: &Planned) -> Option<Stat> {
    let After { node, staged } = change.after.as_ref()?;
    let (
        Node::File {
            size, mode, mtime, ..
        },
        Some(staged),
    ) = (node, staged)
    else {
        return None;
    };
    let known = (mode.bits(), *size, *mtime);
    Some(Stat::of_file(&staged.identity, known))
}

/// What the file of a change looks like, if it is the one that was staged and as it was staged.
fn look(work: &Work<'_>, change: &Planned) -> Option<Stat> {
    let staged = as_staged(change)?;
    let parent = work.root.parent(&change.path).ok()?;
    let stat = parent.stat(change.path.name()).ok()??;
    let is_ours = stat.same_object(&staged);
    (is_ours && (stat.size, stat.mtime) == (staged.size, staged.mtime)).then_some(stat)
}
