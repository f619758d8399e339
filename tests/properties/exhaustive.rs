//! Every combination of states of (base, local, remote, tombstone), for one path and for a directory with a
//! child, against the table of docs/semantics.md and against the laws that hold for all of them.

use rsyn::model::{Node, Tree};
use rsyn::plan::{Direction, KeptReason, Plan, Policy, Side, Verb, Winner};

use crate::world::*;

const DIRECTIONS: [Direction; 2] = [Direction::Pull, Direction::Push];

fn versions() -> Vec<Option<Node>> {
    vec![
        None,
        Some(file(1)),
        Some(file(2)),
        Some(file(3)),
        Some(executable()),
        Some(dir()),
        Some(link("x")),
    ]
}

fn one_path() -> Vec<Sides> {
    let mut all = vec![];
    for base in versions() {
        for local in versions() {
            for remote in versions() {
                for tomb in [None, Some(file(1)), Some(dir())] {
                    let mut sides = Sides {
                        base: tree([("p", base.clone())]),
                        local: tree([("p", local.clone())]),
                        remote: tree([("p", remote.clone())]),
                        ..Sides::default()
                    };
                    if let Some(node) = &tomb {
                        // Recreating a path removes its tombstone: a hub never has both.
                        if remote.is_some() {
                            continue;
                        }
                        sides.remote_tombstones.insert(path("p"), tombstone(node));
                    }
                    all.push(sides);
                }
            }
        }
    }
    all
}

fn directory_with_child() -> Vec<Sides> {
    let child = [
        None,
        Some(file(1)),
        Some(file(2)),
        Some(excluded()),
        Some(unreadable()),
    ];
    let mut states: Vec<Tree> = vec![
        tree([]),
        tree([("d", Some(file(7)))]),
        tree([("d", Some(link("y")))]),
    ];
    states.push(tree([("d", Some(excluded()))]));
    for c in &child {
        states.push(tree([("d", Some(dir())), ("d/c", c.clone())]));
    }
    states.push(tree([
        ("d", Some(dir())),
        ("d/c", Some(file(1))),
        ("d/e", Some(file(5))),
    ]));
    let agreed: Vec<&Tree> = states
        .iter()
        .filter(|t| t.entries().all(|e| !e.node.is_skipped()))
        .collect();
    let mut all = vec![];
    for base in agreed {
        for local in &states {
            for remote in &states {
                let (base, local, remote) = (base.clone(), local.clone(), remote.clone());
                all.push(Sides {
                    base,
                    local,
                    remote,
                    ..Sides::default()
                });
            }
        }
    }
    all
}

/// The table, written down a second time, row by row. `None`: the path is not mentioned.
#[derive(Debug, PartialEq)]
enum Expected {
    Nothing,
    Action(Verb),
    Conflict(Verb),
    Kept(KeptReason),
    EditKept,
}

fn table(
    base: Option<&Node>,
    ours: Option<&Node>,
    theirs: Option<&Node>,
    stale_ours: bool,
    stale_theirs: bool,
    direction: Direction,
) -> Expected {
    let same = |a: Option<&Node>, b: Option<&Node>| match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same_version(b),
        _ => false,
    };
    let alone = if direction == Direction::Pull {
        KeptReason::Ahead
    } else {
        KeptReason::Behind
    };
    let put = || match (ours, theirs) {
        (None, _) => Verb::Create,
        (Some(o), Some(t)) if o.same_content(t) => Verb::Meta,
        _ => Verb::Update,
    };
    let (ours_same, theirs_same) = (same(ours, base), same(theirs, base));
    match (base, ours, theirs) {
        _ if same(ours, theirs) => Expected::Nothing,
        (None, None, Some(_)) if stale_theirs => Expected::Kept(alone),
        (None, Some(_), None) if stale_ours => Expected::Action(Verb::Delete),
        (None, None, Some(_)) => Expected::Action(Verb::Create),
        (None, Some(_), None) => Expected::Kept(alone),
        (None, Some(_), Some(_)) => Expected::Conflict(put()),
        (_, Some(_), None) if ours_same => Expected::Action(Verb::Delete),
        _ if ours_same => Expected::Action(put()),
        _ if theirs_same => Expected::Kept(alone),
        (_, Some(_), None) => Expected::EditKept,
        (_, None, Some(_)) => Expected::Conflict(Verb::Create),
        _ => Expected::Conflict(put()),
    }
}

fn got(plan: &Plan) -> Expected {
    match (plan.actions.as_slice(), plan.kept.as_slice()) {
        ([], []) => Expected::Nothing,
        ([a], []) if a.conflict.is_some() => Expected::Conflict(a.verb),
        ([a], []) => Expected::Action(a.verb),
        ([], [k]) if k.reason == KeptReason::EditKept => Expected::EditKept,
        ([], [k]) => Expected::Kept(k.reason),
        _ => panic!("more than one word about one path: {plan:?}"),
    }
}

#[test]
fn one_path_follows_the_table_in_every_state() {
    let mut rows = 0;
    for sides in one_path() {
        for direction in DIRECTIONS {
            let at = |tree: &Tree| tree.get(&path("p")).cloned();
            let (base, local, remote) = (at(&sides.base), at(&sides.local), at(&sides.remote));
            let (ours, theirs) = match direction {
                Direction::Pull => (local, remote),
                Direction::Push => (remote, local),
            };
            let stale = |tombstones: &rsyn::model::Tombstones, node: &Option<Node>| {
                node.as_ref()
                    .is_some_and(|n| tombstones.get(&path("p")).is_some_and(|t| t.is_of(n)))
            };
            let (ours_tombstones, theirs_tombstones) = match direction {
                Direction::Pull => (&sides.local_tombstones, &sides.remote_tombstones),
                Direction::Push => (&sides.remote_tombstones, &sides.local_tombstones),
            };
            let expected = table(
                base.as_ref(),
                ours.as_ref(),
                theirs.as_ref(),
                stale(theirs_tombstones, &ours),
                stale(ours_tombstones, &theirs),
                direction,
            );
            let plan = sides.plan(direction);
            assert_eq!(got(&plan), expected, "{direction:?} {sides:?}\n{plan:?}");
            rows += 1;
        }
    }
    assert!(rows > 800, "{rows}");
}

fn all() -> impl Iterator<Item = (Sides, Direction)> {
    let sides = one_path().into_iter().chain(directory_with_child());
    sides.flat_map(|s| DIRECTIONS.map(|d| (s.clone(), d)))
}

#[test]
fn swapping_the_sides_mirrors_the_plan() {
    let policies = [
        Policy::Default,
        Policy::Newer,
        Policy::Both,
        Policy::Block,
        Policy::Local,
        Policy::Remote,
    ];
    let mirrored = |p: Policy| match p {
        Policy::Local => Policy::Remote,
        Policy::Remote => Policy::Local,
        other => other,
    };
    for (sides, direction) in all() {
        let other = if direction == Direction::Pull {
            Direction::Push
        } else {
            Direction::Pull
        };
        for policy in policies {
            let plan = sides.plan_with(direction, &policy, false, true);
            let mirror = sides
                .swapped()
                .plan_with(other, &mirrored(policy), false, true);
            // Names beside a conflict speak of local and remote, so they are compared by number.
            if policy == Policy::Both {
                assert_eq!(plan.actions.len(), mirror.actions.len(), "{sides:?}");
                continue;
            }
            let words = |p: &Plan| {
                p.actions
                    .iter()
                    .map(|a| (a.path.clone(), a.verb, a.new.clone()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(words(&plan), words(&mirror), "{sides:?}");
            assert_eq!(plan.base, mirror.base);
            assert_eq!(plan.kept.len(), mirror.kept.len());
            assert_eq!(plan.undecided.len(), mirror.undecided.len());
        }
    }
}

#[test]
fn a_second_sync_does_nothing_and_every_tree_stays_well_formed() {
    for (sides, direction) in all() {
        for (mirror, delete) in [(false, true), (false, false), (true, true)] {
            let plan = sides.plan_with(direction, &Policy::Default, mirror, delete);
            let after = sides.after(&plan);
            assert!(
                is_well_formed(after.written(direction)),
                "{sides:?}\n{plan:?}"
            );
            let again = after.plan_with(direction, &Policy::Default, mirror, delete);
            assert_eq!(again.actions, [], "{sides:?}\n{plan:?}");
        }
    }
}

#[test]
fn nothing_on_one_side_alone_vanishes_without_evidence() {
    for (sides, direction) in all() {
        let plan = sides.plan(direction);
        for action in plan.actions.iter().filter(|a| a.verb == Verb::Delete) {
            let old = action.old.as_ref().unwrap();
            let in_base = sides
                .base
                .get(&action.path)
                .is_some_and(|b| b.same_version(old));
            let buried = [&sides.local_tombstones, &sides.remote_tombstones]
                .iter()
                .any(|t| t.get(&action.path).is_some_and(|t| t.is_of(old)));
            assert!(in_base || buried, "{action:?} in {sides:?}");
            assert!(!old.is_skipped(), "what is out of scope is never deleted");
        }
    }
}

#[test]
fn what_is_skipped_is_never_touched_nor_anything_below_it() {
    for (sides, direction) in all() {
        for (mirror, delete) in [(false, true), (true, true)] {
            let plan = sides.plan_with(direction, &Policy::Default, mirror, delete);
            let skipped = |tree: &Tree| -> Vec<_> {
                tree.entries()
                    .filter(|e| e.node.is_skipped())
                    .map(|e| e.path.clone())
                    .collect()
            };
            for top in skipped(&sides.local)
                .into_iter()
                .chain(skipped(&sides.remote))
            {
                assert!(
                    plan.actions.iter().all(|a| !a.path.is_at_or_below(&top)),
                    "{plan:?}"
                );
            }
            let before = skipped(sides.written(direction));
            let after = sides.after(&plan);
            assert_eq!(
                skipped(after.written(direction)),
                before,
                "{sides:?}\n{plan:?}"
            );
        }
    }
}

#[test]
fn policies_choose_the_winner_whatever_the_direction() {
    let sides = Sides {
        base: tree([("p", Some(file(1)))]),
        local: tree([("p", Some(file(3)))]),
        remote: tree([("p", Some(file(2)))]),
        ..Sides::default()
    };
    // The number of a content is its mtime as well, so that the local one is newer.
    let cases = [
        (Policy::Default, Direction::Pull, Some(Winner::Remote)),
        (Policy::Default, Direction::Push, Some(Winner::Local)),
        (Policy::Local, Direction::Pull, Some(Winner::Local)),
        (Policy::Remote, Direction::Push, Some(Winner::Remote)),
        (Policy::Newer, Direction::Pull, Some(Winner::Local)),
        (Policy::Newer, Direction::Push, Some(Winner::Local)),
        (Policy::Both, Direction::Pull, Some(Winner::Both)),
        (Policy::Block, Direction::Pull, None),
        (Policy::Ask, Direction::Push, None),
    ];
    for (policy, direction, winner) in cases {
        let plan = sides.plan_with(direction, &policy, false, true);
        let conflicts = plan.actions.iter().filter_map(|a| a.conflict.clone());
        let conflicts = conflicts.chain(
            plan.kept
                .iter()
                .chain(&plan.undecided)
                .filter_map(|k| k.conflict.clone()),
        );
        let found = conflicts.map(|c| c.winner).next().unwrap();
        assert_eq!(found, winner, "{policy} {direction:?}");
        let after = sides.after(&plan);
        let expected = match (winner, direction.written()) {
            (Some(Winner::Local), _) | (None, Side::Local) => file(3),
            (Some(Winner::Remote), _) | (None, Side::Remote) => file(2),
            (_, _) => file(2),
        };
        assert_eq!(
            after.written(direction).get(&path("p")),
            Some(&expected),
            "{policy} {direction:?}"
        );
    }
}

#[test]
fn both_keeps_each_version_beside_the_winner() {
    let sides = Sides {
        local: tree([("n.txt", Some(file(1))), ("n.local.txt", Some(file(9)))]),
        remote: tree([("n.txt", Some(file(2)))]),
        ..Sides::default()
    };
    let plan = sides.plan_with(Direction::Pull, &Policy::Both, false, true);
    let after = sides.after(&plan).local;
    assert_eq!(after.get(&path("n.txt")), Some(&file(2)));
    assert_eq!(after.get(&path("n.remote.txt")), Some(&file(2)));
    assert_eq!(
        after.get(&path("n.local.txt")),
        Some(&file(9)),
        "a name that is taken stays"
    );
    assert_eq!(after.get(&path("n.local.local.txt")), Some(&file(1)));
}
