//! Names that the disk of the written side takes for one: what is there stays, and what would come beside it waits.
//!
//! A name that goes makes room for its other spelling: a rename that changes the case alone is a deletion and a creation like
//! any other. Of two names that both are to be there, the one that is there stays; where neither is, the first one comes.

use std::collections::HashMap;

use super::KeptReason;
use super::reconcile::{Decision, Fate};
use crate::model::{Folding, Node, RelPath, Tree};

/// What is known of a folded path that something new wants.
#[derive(Default)]
struct Claim<'a> {
    /// What stands there and stays.
    stays: Option<&'a RelPath>,
    /// What comes there.
    comes: Option<&'a RelPath>,
    /// Whether something that wants it waits.
    waits: bool,
}

type Claims<'a> = HashMap<Vec<u8>, Claim<'a>>;

/// Pass 4. Takes back what cannot come beside what is there; gives each topmost path that waits, with what has its name.
pub(super) fn hold_taken_names<'a>(
    decisions: &mut [Decision<'a>],
    ours: &'a Tree,
    folding: Folding,
) -> Vec<(RelPath, RelPath)> {
    let fold = |path: &RelPath| folding.fold(path.as_bytes()).into_owned();
    let mut claims = Claims::new();
    if !folding.is_none() {
        let new = decisions.iter().filter(|decision| is_new(decision));
        claims.extend(new.map(|decision| (fold(decision.at.path), Claim::default())));
    }
    if claims.is_empty() {
        return Vec::new();
    }
    for entry in ours.entries() {
        if let Some(claim) = claims.get_mut(&*folding.fold(entry.path.as_bytes()))
            && stays(decisions, &entry.path)
        {
            claim.stays = Some(&entry.path);
        }
    }
    let taken = hold_new(decisions, &mut claims, &fold);
    if !taken.is_empty() {
        hold_old(decisions, &claims, &fold);
    }
    taken
}

fn is_new(decision: &Decision<'_>) -> bool {
    decision.puts() && decision.at.ours.is_none()
}

/// Whether what stands at a path of ours is there afterwards. What is not decided on is agreed on.
fn stays(decisions: &[Decision<'_>], path: &RelPath) -> bool {
    let at = decisions.binary_search_by(|decision| decision.at.path.cmp(path));
    at.map_or(true, |at| decisions[at].result().is_some())
}

/// Lets what is new wait where its name, or that of a directory above it, is taken.
fn hold_new<'a>(
    decisions: &mut [Decision<'a>],
    claims: &mut Claims<'a>,
    fold: &dyn Fn(&RelPath) -> Vec<u8>,
) -> Vec<(RelPath, RelPath)> {
    let mut taken = Vec::new();
    let mut held: Option<&RelPath> = None;
    for decision in decisions.iter_mut().filter(|decision| is_new(decision)) {
        let path = decision.at.path;
        let Some(claim) = claims.get_mut(&fold(path)) else {
            continue;
        };
        if held.is_some_and(|top| path.is_below(top)) {
            claim.waits = true;
            decision.fate = Fate::Untouched;
        } else if let Some(by) = claim.stays.or(claim.comes) {
            claim.waits = true;
            held = Some(path);
            decision.fate = Fate::Keep(KeptReason::NameTaken, None);
            taken.push((path.clone(), by.clone()));
        } else {
            claim.comes = Some(path);
        }
    }
    taken
}

/// Lets what goes stay if it goes for something that waits: a directory that cannot be renamed, because something in it
/// stays, keeps its content.
fn hold_old<'a>(
    decisions: &mut [Decision<'a>],
    claims: &Claims<'_>,
    fold: &dyn Fn(&RelPath) -> Vec<u8>,
) {
    // What was decided on last, from the top down to the last path; what is not among it is agreed on and stays.
    let mut above: Vec<(&'a RelPath, bool)> = Vec::new();
    for decision in decisions {
        let path = decision.at.path;
        while above.pop_if(|(dir, _)| !path.is_below(dir)).is_some() {}
        let has_dir = above.iter().all(|(_, is_dir)| *is_dir);
        let goes = matches!(decision.fate, Fate::Delete(_));
        if goes && has_dir {
            let claim = claims.get(&fold(path));
            if claim.is_some_and(|claim| claim.waits && claim.comes.is_none()) {
                decision.fate = Fate::Untouched;
            }
        }
        let is_dir = decision.result().is_some_and(Node::is_dir);
        above.push((path, is_dir));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use super::*;
    use crate::model::{Digest, Mode, Mtime, Skip, Tombstones};
    use crate::plan::{Direction, Input, Options, Plan, Policy, Verb, reconcile};

    const FOLDS: Folding = Folding {
        ascii_case: true,
        case: true,
        form: true,
    };

    /// Path and content; nothing is a directory, `-` is excluded.
    type Row = (&'static str, &'static str);
    type Rows = BTreeMap<&'static str, &'static str>;

    fn node(content: &str) -> Node {
        match content {
            "" => Node::Dir {
                mode: Mode::from(0o755),
            },
            "-" => Node::Skipped(Skip::Excluded),
            _ => Node::File {
                size: content.len() as u64,
                digest: Digest::of(content.as_bytes()),
                mode: Mode::from(0o644),
                mtime: Mtime { secs: 0, nanos: 0 },
            },
        }
    }

    fn tree(rows: &Rows) -> Tree {
        let change = |(path, content): (&&str, &&str)| {
            let path = RelPath::new(path.as_bytes()).unwrap();
            (path, Some(node(content)))
        };
        Tree::default().with_changes(rows.iter().map(change).collect::<Vec<_>>())
    }

    fn shown(path: &RelPath) -> String {
        String::from_utf8_lossy(path.as_bytes()).into_owned()
    }

    fn plan_of(
        [base, local, remote]: [&Tree; 3],
        direction: Direction,
        folding: Folding,
        mirror: bool,
    ) -> Plan {
        let (none, unnamed) = (Tombstones::new(), BTreeSet::new());
        let input = Input {
            base,
            local,
            remote,
            unnamed: &unnamed,
            local_tombstones: &none,
            remote_tombstones: &none,
            holds: &BTreeMap::new(),
        };
        let options = Options {
            direction,
            policies: &Policy::Default,
            choices: &BTreeMap::new(),
            mirror,
            delete: true,
            only: &[],
            forgets: &|_, _| true,
            folding,
            holds: crate::model::Abilities::ALL,
        };
        reconcile(&input, &options)
    }

    /// What a pull does here, in words; the path that waits with what has its name.
    fn pull(base: &[Row], local: &[Row], remote: &[Row]) -> (Vec<String>, Vec<String>) {
        let rows = |rows: &[Row]| tree(&rows.iter().copied().collect());
        let trees = [&rows(base), &rows(local), &rows(remote)];
        let plan = plan_of(trees, Direction::Pull, FOLDS, false);
        let actions = plan.actions.iter();
        let acts = actions.map(|a| format!("{} {}", a.verb.name(), shown(&a.path)));
        let taken = plan.taken.iter();
        let taken = taken.map(|(path, by)| format!("{} {}", shown(path), shown(by)));
        (acts.collect(), taken.collect())
    }

    #[test]
    fn a_rename_that_changes_the_case_alone_is_carried_out() {
        let old = [("Docs", ""), ("Docs/a", "a"), ("Name", "n")];
        let (acts, taken) = pull(&old, &old, &[("docs", ""), ("docs/a", "b"), ("name", "n")]);
        let all = [
            "delete Docs",
            "delete Docs/a",
            "delete Name",
            "create docs",
            "create docs/a",
            "create name",
        ];
        assert_eq!((acts, taken), (all.map(str::to_owned).to_vec(), vec![]));
    }

    #[test]
    fn of_two_names_the_one_that_is_there_stays_and_else_the_first_one_comes() {
        let twins = [("Twin", "1"), ("e\u{301}", "3"), ("twin", "2"), ("é", "4")];
        let (acts, taken) = pull(&[], &[], &twins);
        assert_eq!(acts, ["create Twin", "create e\u{301}"]);
        assert_eq!(taken, ["twin Twin", "é e\u{301}"]);
        let (acts, taken) = pull(&[("twin", "2")], &[("twin", "2")], &twins[..3]);
        assert_eq!(acts, ["create e\u{301}"]);
        assert_eq!(taken, ["Twin twin"]);
        // It was edited here and is gone there.
        let (acts, taken) = pull(&[("Twin", "1")], &[("Twin", "edited")], &[("twin", "1")]);
        assert!(acts.is_empty());
        assert_eq!(taken, ["twin Twin"]);
        // What the rules exclude has its name as well.
        let (acts, taken) = pull(&[], &[("Twin", "-")], &[("twin", "1")]);
        assert!(acts.is_empty());
        assert_eq!(taken, ["twin Twin"]);
    }

    #[test]
    fn a_directory_that_cannot_be_renamed_keeps_its_content() {
        let old = [("Docs", ""), ("Docs/a", "a"), ("Docs/gone", "g")];
        let here = [&old[..], &[("Docs/x.tmp", "-")]].concat();
        let (acts, taken) = pull(
            &old,
            &here,
            &[("docs", ""), ("docs/a", "a"), ("docs/b", "b")],
        );
        assert_eq!(acts, ["delete Docs/gone"]);
        assert_eq!(taken, ["docs Docs"]);
        let (acts, taken) = pull(
            &[],
            &[("D", ""), ("D/x", "x")],
            &[("D", ""), ("d", ""), ("d/y", "y")],
        );
        assert!(acts.is_empty());
        assert_eq!(taken, ["d D"]);
    }

    #[test]
    fn in_any_world_no_two_paths_have_one_name_and_nothing_is_lost_elsewhere_for_it() {
        const NAMES: [&str; 11] = [
            "D", "D/A", "D/a", "D/e", "d", "d/A", "d/a", "d/a/b", "e", "E", "f",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % n
        };
        let mut held = 0;
        for world in 0..20_000 {
            let grow = |unique: bool, below: &mut dyn FnMut(usize) -> usize| {
                let (mut rows, mut seen) = (Rows::new(), HashSet::new());
                for name in NAMES {
                    let parent = name.rsplit_once('/').map(|(dir, _)| dir);
                    let has_dir = parent.is_none_or(|dir| rows.get(dir) == Some(&""));
                    let is_free = !unique || !seen.contains(&name.to_lowercase());
                    let content = ["", "1", "2", "-"][[0, 0, 1, 1, 2, 3][below(6)]];
                    if has_dir && is_free && below(2) == 0 {
                        seen.insert(name.to_lowercase());
                        rows.insert(name, content);
                    }
                }
                tree(&rows)
            };
            let (local, remote) = (grow(true, &mut below), grow(false, &mut below));
            let base = match below(3) {
                0 => Tree::default(),
                1 => local.clone(),
                _ => grow(false, &mut below),
            };
            let mirror = below(5) == 0;
            let plan = plan_of([&base, &local, &remote], Direction::Pull, FOLDS, mirror);
            let after = local.with_changes(plan.changes());
            let mut seen = HashSet::new();
            let mut dirs: HashSet<&[u8]> = HashSet::from([&b""[..]]);
            for entry in after.entries() {
                let name = FOLDS.fold(entry.path.as_bytes()).into_owned();
                assert!(seen.insert(name), "world {world}: {:?} twice", entry.path);
                assert!(
                    dirs.contains(entry.path.parent_bytes()),
                    "world {world}: {:?}",
                    entry.path
                );
                if entry.node.is_dir() {
                    dirs.insert(entry.path.as_bytes());
                }
            }
            let agreed = base.with_changes(plan.base.iter().cloned());
            let push = plan_of(
                [&agreed, &after, &remote],
                Direction::Push,
                Folding::NONE,
                false,
            );
            for (path, by) in &plan.taken {
                held += 1;
                assert!(after.get(by).is_some(), "world {world}: {by:?} has no name");
                let is_lost = |a: &&crate::plan::Action| a.path == *path && a.verb == Verb::Delete;
                let lost = push.actions.iter().find(is_lost);
                assert!(
                    lost.is_none() || base.get(path).is_some(),
                    "world {world}: {lost:?}"
                );
            }
        }
        assert!(held > 2_000, "{held}");
    }
}
