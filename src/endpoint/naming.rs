//! How many paths an answer names: as many as fit its message. The commit that it tells of stands or not, whatever
//! it has room for, so the client must hear of it.

use crate::model::RelPath;
use crate::protocol::limits;
use crate::protocol::message::Control;

/// Room for paths; what else an answer holds are ids and digests.
const NAMED_BYTES: usize = limits::CONTROL_BYTES - limits::TEXT_BYTES;
/// Bytes before each path, which has at most 4095: its length.
const LEN_BYTES: usize = 2;

/// The answer with what fits of its lists, and how many paths were left out.
pub(super) fn fit(mut answer: Control) -> (Control, u64) {
    let mut room = NAMED_BYTES;
    let unnamed = match &mut answer {
        Control::Stale(paths) => cut(paths, &mut room),
        Control::Committed(report) => {
            cut(&mut report.kept_dirs, &mut room) + cut(&mut report.late_writes, &mut room)
        }
        _ => 0,
    };
    (answer, unnamed)
}

fn cut(paths: &mut Vec<RelPath>, room: &mut usize) -> u64 {
    let all = paths.len();
    let fits = |path: &&RelPath| {
        let left = room.checked_sub(path.as_bytes().len() + LEN_BYTES);
        *room = left.unwrap_or(0);
        left.is_some()
    };
    let named = paths.iter().take_while(fits).count();
    paths.truncate(named);
    (all - named) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;
    use crate::protocol::frame;
    use crate::protocol::message::CommitReport;

    fn paths(many: u64, width: usize) -> Vec<RelPath> {
        let name = |n| RelPath::new(format!("{n:0width$}").into_bytes()).unwrap();
        (0..many).map(name).collect()
    }

    fn committed(kept_dirs: Vec<RelPath>, late_writes: Vec<RelPath>) -> Control {
        Control::Committed(CommitReport {
            root_id: "r".repeat(64),
            transaction: "t".repeat(64),
            generation: u64::MAX,
            view: Digest([0xff; 32]),
            tombstones: Digest([0xff; 32]),
            snapshot: Some("s".repeat(64)),
            kept_dirs,
            late_writes,
        })
    }

    fn lists(answer: Control) -> [Vec<RelPath>; 2] {
        match answer {
            Control::Stale(paths) => [paths, vec![]],
            Control::Committed(report) => [report.kept_dirs, report.late_writes],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_names_the_first_paths_that_fit_its_message_and_counts_the_others() {
        for width in [6, 60, 127, 128, 255] {
            for (many, few) in [(200_000, 3), (3, 200_000), (2000, 2000), (150_000, 150_000)] {
                let answers = [
                    Control::Stale(paths(many, width)),
                    committed(paths(many, width), paths(few, width)),
                ];
                for answer in answers {
                    let before = lists(answer.clone());
                    let (answer, unnamed) = fit(answer);
                    let mut bytes = Vec::new();
                    frame::encode(&answer.clone().into(), &mut bytes).unwrap();
                    let after = lists(answer);
                    let count = |lists: &[Vec<RelPath>; 2]| lists.iter().flatten().count() as u64;
                    assert_eq!(count(&after) + unnamed, count(&before));
                    assert!(before.iter().zip(&after).all(|(b, a)| b.starts_with(a)));
                    // Nothing is left out while there is room for it.
                    assert!(unnamed == 0 || bytes.len() > limits::CONTROL_BYTES / 4 * 3);
                }
            }
        }
        assert_eq!(fit(committed(paths(2000, 60), paths(2000, 60))).1, 0);
    }
}
