//! What the disk of the written side cannot hold is left out: links, names that it refuses, and all that would come below such
//! a name.

use super::KeptReason;
use super::reconcile::{Decision, Fate};
use crate::model::{Abilities, RelPath};

/// Part of pass 4. Takes back what the disk cannot hold; gives how many paths that are.
pub(super) fn leave_out(decisions: &mut [Decision<'_>], holds: Abilities) -> u64 {
    if holds == Abilities::ALL {
        return 0;
    }
    let mut unheld = 0;
    let mut above: Option<&RelPath> = None;
    for decision in decisions.iter_mut().filter(|decision| decision.puts()) {
        let at = decision.at;
        if above.is_some_and(|dir| at.path.is_below(dir)) {
            decision.fate = Fate::Untouched;
            unheld += 1;
        } else if !is_held(decision, holds) {
            decision.fate = Fate::Keep(KeptReason::CannotHold, None);
            above = Some(at.path);
            unheld += 1;
        }
    }
    unheld
}

/// A name that is there can be.
fn is_held(decision: &Decision<'_>, holds: Abilities) -> bool {
    let at = decision.at;
    let has_name = at.ours.is_some() || holds.name(at.path);
    has_name && at.theirs.is_none_or(|theirs| holds.node(theirs))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::{Digest, Folding, Mode, Mtime, Node, Tombstones, Tree};
    use crate::plan::guard::{Guard, check_disk};
    use crate::plan::{Direction, Input, Options, Plan, Policy, Side, reconcile};

    const NEVER: Mtime = Mtime { secs: 0, nanos: 0 };

    fn file() -> Node {
        Node::File {
            size: 1,
            digest: Digest::of(b"1"),
            mode: Mode::from(0o644),
            mtime: NEVER,
        }
    }

    fn dir() -> Node {
        Node::Dir {
            mode: Mode::from(0o755),
        }
    }

    fn link() -> Node {
        Node::Symlink {
            target: b"there"[..].into(),
            mtime: NEVER,
        }
    }

    fn tree(rows: &[(&[u8], Node)]) -> Tree {
        let mut rows: Vec<_> = rows
            .iter()
            .map(|(path, node)| (RelPath::new(*path).unwrap(), Some(node.clone())))
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        Tree::default().with_changes(rows)
    }

    fn plan(local: &Tree, remote: &Tree, holds: Abilities) -> Plan {
        let (none, unnamed) = (Tombstones::new(), BTreeSet::new());
        let input = Input {
            base: local,
            local,
            remote,
            unnamed: &unnamed,
            local_tombstones: &none,
            remote_tombstones: &none,
            holds: &BTreeMap::new(),
        };
        let options = Options {
            direction: Direction::Pull,
            policies: &Policy::Default,
            choices: &BTreeMap::new(),
            mirror: false,
            delete: true,
            only: &[],
            forgets: &|_, _| true,
            folding: Folding::NONE,
            holds,
        };
        reconcile(&input, &options)
    }

    fn acts(plan: &Plan) -> Vec<&[u8]> {
        plan.actions.iter().map(|a| a.path.as_bytes()).collect()
    }

    #[test]
    fn what_a_disk_cannot_hold_stays_out_with_all_below_it_and_is_not_agreed_on() {
        let local = tree(&[(b"was", file()), (b"old:name", file())]);
        let mut edited = file();
        if let Node::File { digest, .. } = &mut edited {
            *digest = Digest::of(b"2");
        }
        let remote = tree(&[
            (b"was", link()),
            (b"old:name", edited),
            (b"link", link()),
            (b"a:b", dir()),
            (b"a:b/c", file()),
            (b"end.", file()),
            (b"\xff", file()),
            (b"plain", file()),
        ]);
        let nothing = Abilities {
            links: false,
            marks: false,
            bytes: false,
            modes: true,
        };
        let plan_of = plan(&local, &remote, nothing);
        assert_eq!(acts(&plan_of), [&b"old:name"[..], b"plain"]);
        assert_eq!(plan_of.unheld, 6);
        let kept = plan_of.kept.iter();
        let kept: Vec<_> = kept.map(|k| (k.path.as_bytes(), k.reason)).collect();
        let out = |path| (path, KeptReason::CannotHold);
        let all: [&[u8]; 5] = [b"a:b", b"end.", b"link", b"was", b"\xff"];
        assert_eq!(kept, all.map(out));
        let base = plan_of.base.iter().map(|(path, _)| path.as_bytes());
        assert_eq!(base.collect::<Vec<_>>(), [&b"old:name"[..], b"plain"]);
        let all = plan(&local, &remote, Abilities::ALL);
        assert_eq!((all.actions.len(), all.unheld), (8, 0));
    }

    #[test]
    fn a_disk_that_cannot_hold_much_is_the_wrong_one() {
        let no_links = Abilities {
            links: false,
            ..Abilities::ALL
        };
        let verdict = |links: usize, files: usize| {
            let name = |kind: &str, n| format!("{kind}{n:04}").into_bytes();
            let links = (0..links).map(|n| (name("l", n), link()));
            let rows: Vec<_> = links
                .chain((0..files).map(|n| (name("f", n), file())))
                .collect();
            let rows: Vec<_> = rows.iter().map(|(p, n)| (&p[..], n.clone())).collect();
            let remote = tree(&rows);
            check_disk(&plan(&Tree::default(), &remote, no_links), &remote)
        };
        let refused = |unheld, total| {
            let side = Side::Local;
            Err(Guard::WrongDisk {
                unheld,
                total,
                side,
            })
        };
        assert_eq!(verdict(10, 0), Ok(()));
        assert_eq!(verdict(11, 11), Ok(()));
        assert_eq!(verdict(11, 10), refused(11, 21));
        assert_eq!(verdict(100, 1000), Ok(()));
        assert_eq!(verdict(101, 1000), refused(101, 1101));
    }
}
