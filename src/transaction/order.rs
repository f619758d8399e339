//! The order of the moves. Pure.
//!
//! 1. Directories that nobody may write into, and that change themselves, are opened up, top down.
//! 2. What goes, deepest first: children leave before their directory does.
//! 3. What comes or is replaced, top down: a directory is there before its children.
//! 4. Directories get their final permission bits, deepest first: a read-only one is filled by then.
//!
//! Undoing takes the same steps backwards.

use std::collections::HashMap;

use super::journal::{Action, Planned, Step};
use crate::disk::{FileKind, Stat};
use crate::model::Node;

/// What an owner needs to work inside a directory.
const OWNER_ALL: u16 = 0o700;
const ALL_BITS: u32 = 0o7777;

/// The steps for `changes`, which are in the order of their paths. `arrivals` has the slots of the objects that come where
/// nothing stands, and are not just placed.
pub(super) fn order(changes: &[Planned], arrivals: &HashMap<u32, Action>) -> Vec<Step> {
    let mut steps = Vec::with_capacity(changes.len() + changes.len() / 8);
    let numbered = || (0u32..).zip(changes);
    let step = |change, action| Step { change, action };
    steps.extend(numbered().filter_map(|(n, c)| Some(step(n, opening(c)?))));
    let goes = numbered().filter_map(|(n, c)| Some(step(n, departure(c)?)));
    let at = steps.len();
    steps.extend(goes);
    steps[at..].reverse();
    steps.extend(numbered().filter_map(|(n, c)| Some(step(n, arrival(c, arrivals)?))));
    let at = steps.len();
    steps.extend(numbered().filter_map(|(n, c)| Some(step(n, closing(c)?))));
    steps[at..].reverse();
    steps
}

/// All twelve permission bits.
pub(super) fn bits(stat: &Stat) -> u16 {
    u16::try_from(stat.raw_mode & ALL_BITS).unwrap_or(0)
}

/// Whether the steps for this change make a directory writable before anything else is done.
pub(super) fn is_opened(change: &Planned) -> bool {
    opening(change).is_some()
}

/// Whether the owner of a directory with these permission bits cannot work inside.
pub(super) fn needs_opening(bits: u16) -> bool {
    bits & OWNER_ALL != OWNER_ALL
}

fn opening(change: &Planned) -> Option<Action> {
    let from = bits(old_dir(change)?);
    needs_opening(from).then_some(Action::Mode {
        from,
        to: from | OWNER_ALL,
    })
}

fn departure(change: &Planned) -> Option<Action> {
    match &change.after {
        None => change.before.as_ref().map(|_| Action::Displace),
        Some(after) if !after.node.is_dir() => old_dir(change).map(|_| Action::Exchange),
        Some(_) => None,
    }
}

fn arrival(change: &Planned, arrivals: &HashMap<u32, Action>) -> Option<Action> {
    let after = change.after.as_ref()?;
    match (&change.before, &after.staged) {
        (None, Some(staged)) => Some(*arrivals.get(&staged.slot).unwrap_or(&Action::Place)),
        (None, None) => Some(Action::Place),
        (Some(_), _) if old_dir(change).is_some() => None,
        (Some(_), Some(_)) => Some(Action::Exchange),
        (Some(before), None) => remode(bits(&before.stat), &after.node),
    }
}

fn closing(change: &Planned) -> Option<Action> {
    let after = change.after.as_ref().filter(|after| after.node.is_dir())?;
    let from = match &after.staged {
        Some(staged) => staged.bits,
        None => bits(old_dir(change)?) | OWNER_ALL,
    };
    remode(from, &after.node)
}

/// Setuid, setgid and sticky do not travel: those that are there stay.
fn remode(from: u16, node: &Node) -> Option<Action> {
    let to = (from & 0o7000) | node.mode()?.bits();
    (from != to).then_some(Action::Mode { from, to })
}

fn old_dir(change: &Planned) -> Option<&Stat> {
    change
        .before
        .as_ref()
        .map(|b| &b.stat)
        .filter(|stat| stat.kind == FileKind::Dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Identity;
    use crate::model::{Digest, Mode, Mtime, RelPath};
    use crate::transaction::journal::{After, Before, Staged};

    const NEVER: Mtime = Mtime { secs: 0, nanos: 0 };

    fn dir(mode: u16) -> Node {
        Node::Dir {
            mode: Mode::from(mode),
        }
    }

    fn file(mode: u16) -> Node {
        Node::File {
            size: 0,
            digest: Digest::of(b""),
            mode: Mode::from(mode),
            mtime: NEVER,
        }
    }

    fn before(node: Node) -> Before {
        let mode = node.mode().unwrap().bits();
        let kind = if node.is_dir() {
            FileKind::Dir
        } else {
            FileKind::File
        };
        let stat = Stat {
            dev: 1,
            ino: 1,
            kind,
            mode,
            raw_mode: mode.into(),
            size: 0,
            mtime: NEVER,
            ctime: NEVER,
            nlink: 1,
        };
        Before { node, stat }
    }

    fn staged(node: Node) -> After {
        let bits = node.mode().unwrap().bits() | OWNER_ALL;
        let identity = Identity {
            dev: 1,
            ino: 2,
            born: None,
            ctime: NEVER,
        };
        After {
            node,
            staged: Some(Staged {
                slot: 0,
                bits,
                identity,
            }),
        }
    }

    fn plan(rows: &[(&str, Option<Node>, Option<Node>)]) -> Vec<String> {
        let changes: Vec<_> = rows
            .iter()
            .map(|(path, old, new)| Planned {
                path: RelPath::new(path.as_bytes()).unwrap(),
                before: old.clone().map(before).map(Box::new),
                after: new.clone().map(|node| match old {
                    Some(old) if old.same_content(&node) => After { node, staged: None },
                    _ => staged(node),
                }),
            })
            .collect();
        let show = |s: &Step| match s.action {
            Action::Mode { from, to } => format!("{} {from:o}>{to:o}", rows[s.change as usize].0),
            action => format!("{} {action:?}", rows[s.change as usize].0),
        };
        order(&changes, &HashMap::new()).iter().map(show).collect()
    }

    #[test]
    fn children_leave_before_and_arrive_after_their_directory() {
        let steps = plan(&[
            ("gone", Some(dir(0o755)), None),
            ("gone/a", Some(file(0o644)), None),
            ("gone/b", Some(dir(0o755)), None),
            ("gone/b/c", Some(file(0o644)), None),
            ("made", None, Some(dir(0o755))),
            ("made/a", None, Some(file(0o644))),
        ]);
        let expected = [
            "gone/b/c Displace",
            "gone/b Displace",
            "gone/a Displace",
            "gone Displace",
            "made Place",
            "made/a Place",
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_directory_is_emptied_before_a_file_takes_its_name_and_the_other_way_round() {
        let steps = plan(&[
            ("d", Some(dir(0o755)), Some(file(0o644))),
            ("d/x", Some(file(0o644)), None),
            ("f", Some(file(0o644)), Some(dir(0o755))),
            ("f/y", None, Some(file(0o644))),
        ]);
        assert_eq!(
            steps,
            ["d/x Displace", "d Exchange", "f Exchange", "f/y Place"]
        );
    }

    #[test]
    fn a_read_only_directory_is_opened_first_and_closed_last() {
        let steps = plan(&[
            ("a", Some(dir(0o555)), Some(dir(0o500))),
            ("a/x", None, Some(file(0o644))),
            ("b", Some(dir(0o555)), None),
            ("c", None, Some(dir(0o555))),
            ("c/d", None, Some(dir(0o555))),
        ]);
        let expected = [
            "a 555>755",
            "b 555>755",
            "b Displace",
            "a/x Place",
            "c Place",
            "c/d Place",
            "c/d 755>555",
            "c 755>555",
            "a 755>500",
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn other_permission_bits_alone_move_no_object() {
        let steps = plan(&[("f", Some(file(0o644)), Some(file(0o755)))]);
        assert_eq!(steps, ["f 644>755"]);
    }
}
