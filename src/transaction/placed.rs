//! What a transaction placed, as it lies in the tree: stats that vouch for the contents from now on.
//!
//! A write changes the ctime of a file, if the clock of the file system has ticked since. So a file that a transaction
//! wrote itself is known by its stat as soon as that clock shows a later time than its ctime: whoever writes from
//! then on leaves another ctime behind. Whoever wrote between the move and the look has moved the mtime away from the one
//! that was set, unless that one lies in the time of the transaction itself; such a file is left out.

use std::time::Duration;

use crate::disk::{FileKind, Lock, Stat};
use crate::model::{Mtime, Node, RelPath};

use super::journal::{Action, After, Planned};
use super::work::Work;

/// Waits before each look at a clock that had not ticked: kernels tick every 1 to 10 ms, those since 6.13 when asked
/// twice. Coarser clocks are not waited for.
const PAUSES_MS: [u64; 5] = [0, 0, 4, 4, 4];

/// The files that were placed since `began`, in path order, except those that no stat vouches for yet. What cannot be found
/// out costs nothing but a file that is read again.
pub(super) fn placed(work: &Work<'_>, lock: &Lock, began: Mtime) -> Vec<(RelPath, Stat)> {
    let came = |action| matches!(action, Action::Place | Action::Exchange);
    let steps = work.plan.body.steps.iter().filter(|s| came(s.action));
    let changes = steps.filter_map(|step| work.plan.change(step));
    let mut left: Vec<_> = changes.filter(|change| is_file(change)).collect();
    let mut placed = Vec::with_capacity(left.len());
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

fn is_file(change: &Planned) -> bool {
    matches!(
        &change.after,
        Some(After {
            node: Node::File { .. },
            staged: Some(_)
        })
    )
}

/// What the file of a change looks like, if it is the one that was staged and as it was staged.
fn look(work: &Work<'_>, change: &Planned) -> Option<Stat> {
    let After { node, staged } = change.after.as_ref()?;
    let (Node::File { size, mtime, .. }, Some(staged)) = (node, staged) else {
        return None;
    };
    let parent = work.root.parent(&change.path).ok()?;
    let stat = parent.stat(change.path.name()).ok()??;
    let is_ours = (stat.dev, stat.ino, stat.kind)
        == (staged.identity.dev, staged.identity.ino, FileKind::File);
    (is_ours && (stat.size, stat.mtime) == (*size, *mtime)).then_some(stat)
}
