//! What follows an interrupted sync with an undo: the interrupted one is settled in words, and no other is undone for it.

use crate::strace::{Blow, Point};
use crate::support::{Dir, Machine, Run, assert_untouched};
use crate::world::{Side, World};

/// A killed run makes no more moves than this.
const MOVES: usize = 40;

/// How far the killed run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Prepared,
    Committed,
}

/// How far the transaction that waits in `root` got.
fn mark(root: &Dir) -> Option<Mark> {
    let txn = root.names(".rsyn/txn").into_iter();
    let has = |id: &str, name: &str| root.has(format!(".rsyn/txn/{id}/{name}"));
    txn.filter_map(|id| match () {
        () if has(&id, "COMMITTED") => Some(Mark::Committed),
        () if has(&id, "PREPARED") => Some(Mark::Prepared),
        () => None,
    })
    .next()
}

/// Runs `args` of `machine` from the same start again and again, each time killed at the next rename, until `is_there`.
fn kill_when(
    world: &World,
    machine: &Machine,
    (args, side): (&[&str], Side),
    is_there: &dyn Fn() -> bool,
) {
    world.keep();
    for number in 1..=MOVES {
        world.put_back();
        let call = "renameat2".to_owned();
        let options = Blow::Kill.options(&Point { call, number }, &world.log(side));
        world.run(&machine.at(""), args, side, &options);
        if is_there() {
            return;
        }
    }
    panic!("{args:?} was never interrupted there");
}

/// Machine `b` has pulled the second version of f1; the hub has the second of f2 and f3 by now.
fn one_pulled() -> (World, Machine) {
    let world = World::new(None);
    let a = world.project("a");
    for file in ["f1", "f2", "f3"] {
        a.write(file, "v1");
    }
    a.ok(&["push"]);
    let b = world.project("b");
    b.ok(&["pull"]);
    a.write("f1", "v2 of it");
    a.ok(&["push"]);
    b.ok(&["pull"]);
    a.write("f2", "v2 of it");
    a.write("f3", "v2 of it");
    a.ok(&["push"]);
    (world, b)
}

fn versions(root: &Dir) -> [String; 3] {
    ["f1", "f2", "f3"].map(|file| root.text(file)[..2].to_owned())
}

fn interrupted_pull(mark_wanted: Mark) -> (World, Machine) {
    let (world, b) = one_pulled();
    kill_when(&world, &b, (&["pull"], Side::Client), &|| {
        mark(&b) == Some(mark_wanted)
    });
    (world, b)
}

/// The newest notes of the log.
fn notes(machine: &Machine) -> String {
    machine.ok(&["log", "--json"]).out()
}

fn says_that_nothing_was_rolled_back(run: Run, settled: &str) {
    run.exits(7)
        .says("an interrupted sync had to be settled first")
        .says(settled)
        .says("nothing was rolled back");
}

#[test]
fn a_rollback_after_an_interrupted_pull_undoes_that_alone() {
    strace_or_skip!();
    let (_world, b) = interrupted_pull(Mark::Prepared);
    let touch = b.touch();
    b.rsyn(&["rollback", "-n"])
        .exits(7)
        .says("a sync was interrupted here")
        .says("`rsyn recover` undoes it");
    assert_untouched(&touch, &b.touch());

    says_that_nothing_was_rolled_back(b.rsyn(&["rollback", "-y"]), "interrupted sync was undone");

    assert_eq!(versions(&b), ["v2", "v1", "v1"]);
    assert!(notes(&b).contains("an interrupted sync was undone"));
    b.ok(&["rollback", "-y"]);
    assert_eq!(versions(&b), ["v1", "v1", "v1"]);
}

#[test]
fn a_rollback_after_a_pull_that_was_decided_finishes_it_and_undoes_it_when_it_is_run_again() {
    strace_or_skip!();
    let (_world, b) = interrupted_pull(Mark::Committed);
    let dry = b.rsyn(&["rollback", "--dry-run", "--json"]).exits(7);
    assert_eq!(dry.json()["error"]["kind"], "busy");
    dry.says("finishes it");

    says_that_nothing_was_rolled_back(b.rsyn(&["rollback", "-y"]), "interrupted sync was finished");

    assert_eq!(versions(&b), ["v2", "v2", "v2"]);
    b.ok(&["rollback", "-y"]);
    assert_eq!(versions(&b), ["v2", "v1", "v1"]);
}

#[test]
fn a_rollback_by_id_goes_on_after_an_interrupted_pull_and_tells_of_both() {
    strace_or_skip!();
    let (_world, b) = interrupted_pull(Mark::Prepared);
    let snapshots = b.ok(&["snapshots", "--json"]).json();
    let id = snapshots["snapshots"][0]["id"].as_str().unwrap().to_owned();

    let run = b.ok(&["rollback", &id, "--json"]).json();

    let warnings = run["warnings"].to_string();
    assert!(
        warnings.contains("an interrupted sync was undone"),
        "{warnings}"
    );
    assert_eq!(versions(&b), ["v1", "v1", "v1"]);
}

#[test]
fn a_rollback_of_the_hub_after_an_interrupted_push_leaves_what_others_pushed() {
    strace_or_skip!();
    for (wanted, f2_then) in [(Mark::Prepared, "v1"), (Mark::Committed, "v2")] {
        let (world, b) = one_pulled();
        let hub = world.sandbox.hub();
        b.ok(&["pull"]);
        b.write("new", "of b");
        b.write("newer", "of b");
        kill_when(&world, &b, (&["push"], Side::Hub), &|| {
            mark(&hub) == Some(wanted)
        });
        let touch = hub.touch();
        b.rsyn(&["rollback", "--remote", "-n"])
            .exits(7)
            .says("a sync was interrupted on the hub");
        assert_untouched(&touch, &hub.touch());

        b.rsyn(&["rollback", "--remote", "-y"])
            .exits(7)
            .says("the hub had to settle an interrupted sync first")
            .says("nothing was rolled back");

        assert_eq!(versions(&hub), ["v2", "v2", "v2"]);
        let is_new = wanted == Mark::Committed;
        assert_eq!(hub.has("new"), is_new);
        let run = b.rsyn(&["rollback", "--remote", "-y"]);
        if !is_new {
            run.exits(4).says("push by a");
            let snapshots = b.ok(&["snapshots", "--remote", "--json"]).json();
            let id = snapshots["snapshots"][0]["id"].as_str().unwrap();
            b.ok(&["rollback", "--remote", id]);
        }
        assert_eq!(versions(&hub)[1], f2_then);
        assert!(!hub.has("new"));
    }
}

#[test]
fn what_a_recovery_put_beside_a_file_is_named_by_the_run_that_recovered() {
    strace_or_skip!();
    let (world, b) = one_pulled();
    kill_when(&world, &b, (&["pull"], Side::Client), &|| {
        mark(&b) == Some(Mark::Prepared) && versions(&b)[1] == "v2"
    });
    b.write("foreign", "of an editor");
    std::fs::rename(b.at("foreign"), b.at("f2")).unwrap();
    let beside = |names: Vec<String>| names.into_iter().find(|n| n.starts_with("f2.rsyn-old-"));

    let run = b.ok(&["restore", "f1"]);

    let copy = beside(b.names("")).expect("no old version beside the foreign one");
    run.says("an interrupted sync was undone").says(&copy);
    assert_eq!(b.text("f2"), "of an editor");
    assert!(notes(&b).contains(&copy));
}
