//! What a run tells of how it is undone, and what the log keeps of it.

use serde_json::Value;

use crate::errors::lock;
use crate::support::{Machine, Run, Sandbox, assert_same};

/// A machine and its hub in step, with `f` and `g`.
fn in_step() -> (Sandbox, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.write("g", "1");
    a.ok(&["push"]);
    (world, a)
}

/// The newest record of the log here, or on the hub.
fn last(machine: &Machine) -> Value {
    machine.ok(&["log", "--json"]).json()["syncs"][0].clone()
}

fn last_on_hub(world: &Sandbox, machine: &Machine) -> Value {
    let run = machine.run_in(&world.hub().0, &["log", "--json"]);
    run.exits(0).json()["syncs"][0].clone()
}

/// The commands that the output names, without the quotes.
fn undo_commands(run: &Run) -> Vec<String> {
    let out = run.out();
    let lines = out.lines().filter(|l| l.starts_with("undo the "));
    lines
        .map(|l| l.split('`').nth(1).unwrap().to_owned())
        .collect()
}

fn follow(machine: &Machine, command: &str) {
    let args: Vec<_> = command.split(' ').skip(1).collect();
    machine.ok(&args);
}

#[test]
fn a_sync_that_only_pulled_is_undone_here_and_nobody_elses_push_is() {
    let (world, a) = in_step();
    let b = world.clone_of_hub("b");
    b.write("f", "of b");
    b.ok(&["push"]);
    let (here, hub) = (a.tree(), world.hub().tree());

    let run = a.ok(&["sync"]);

    let [command] = &undo_commands(&run)[..] else {
        panic!("{}", run.out());
    };
    assert!(!command.contains("--remote"), "{command}");
    follow(&a, command);
    assert_same(&here, &a.tree());
    assert_same(&hub, &world.hub().tree());
}

#[test]
fn each_direction_of_a_sync_has_its_own_undo_in_the_text_the_json_and_the_log() {
    let both = || {
        let (world, a) = in_step();
        a.write("f", "mine");
        world.hub().write("g", "theirs");
        (world, a)
    };
    let (world, a) = both();
    let (here, hub) = (a.tree(), world.hub().tree());
    let run = a.ok(&["sync"]).says_no("changed here alone");
    let commands = undo_commands(&run);
    assert_eq!(commands.len(), 2, "{}", run.out());
    commands.iter().for_each(|command| follow(&a, command));
    assert_same(&here, &a.tree());
    assert_same(&hub, &world.hub().tree());

    let (world, a) = both();
    let (here, hub) = (a.tree(), world.hub().tree());
    let json = a.ok(&["sync", "--json"]).json();
    assert_eq!(json["kept"], Value::Array(vec![]), "the push has sent it");
    assert_eq!(json["snapshot"], json["snapshots"]["remote"]);
    let record = last(&a);
    assert_eq!(record["snapshots"], json["snapshots"]);
    let id = |side: &str| record["snapshots"][side].as_str().unwrap().to_owned();
    a.ok(&["log"])
        .says(&format!("snapshot {}  ", id("local")))
        .says(&format!("snapshot {} on the hub", id("remote")));
    a.ok(&["rollback", &id("local")]);
    assert_same(&here, &a.tree());
    a.ok(&["rollback", "--remote", &id("remote")]);
    assert_same(&hub, &world.hub().tree());
}

#[test]
fn the_undo_of_a_push_to_a_hub_that_was_named_names_it_again() {
    let (world, a) = in_step();
    let other = world.dir("other");
    a.ok(&["push", other.text_path()]);
    let there = other.tree();
    a.write("f", "2");

    let run = a.ok(&["push", other.text_path()]);

    let [command] = &undo_commands(&run)[..] else {
        panic!("{}", run.out());
    };
    follow(&a, command);
    assert_same(&there, &other.tree());
}

#[test]
fn a_sync_whose_push_fails_tells_of_the_pull_that_it_did() {
    let (world, a) = in_step();
    // Another machine's commit holds the hub for longer than a push waits.
    let held = lock(&world.hub());
    for args in [&["--json"][..], &[]] {
        world.hub().write("g", format!("theirs {args:?}"));
        a.write("f", format!("mine {args:?}"));
        let (here, hub) = (a.tree(), world.hub().tree());

        let run = a.rsyn(&[&["sync"], args].concat()).exits(7);

        let record = last(&a);
        let id = record["snapshots"]["local"].as_str().unwrap().to_owned();
        assert_eq!(
            (&record["result"], &record["update"]),
            (&"failed".into(), &1.into()),
            "{record}"
        );
        assert!(record["note"].is_string(), "{record}");
        if args.is_empty() {
            assert_eq!(undo_commands(&run), [format!("rsyn rollback {id}")]);
            let run = run.says("pull done: 1 updated").says("the pull is done");
            run.says("1 changed here alone");
        } else {
            let json = run.json();
            assert_eq!(json["result"], "failed");
            assert_eq!(json["snapshots"]["local"], *id);
            assert_eq!(run.actions(), ["update g"]);
            assert!(
                json["error"]["state"]
                    .as_str()
                    .unwrap()
                    .contains("pull is done"),
                "{json}"
            );
        }
        assert_same(&hub, &world.hub().tree());
        a.ok(&["rollback", &id]);
        assert_same(&here, &a.tree());
    }
    drop(held);
}

#[test]
fn a_rollback_of_the_hub_is_in_both_logs() {
    let (world, a) = in_step();
    a.write("f", "2");
    let pushed = a.ok(&["push", "--json"]).json()["snapshot"].clone();

    let json = a.ok(&["rollback", "--remote", "-y", "--json"]).json();

    let (here, hub) = (last(&a), last_on_hub(&world, &a));
    for record in [&here, &hub] {
        assert_eq!(record["verb"], "rollback", "{record}");
        assert_eq!(record["update"], 1, "{record}");
        let note = record["note"].as_str().unwrap();
        assert!(note.contains(pushed.as_str().unwrap()), "{record}");
    }
    assert_eq!(here["snapshots"]["remote"], json["snapshot"]);
    assert_eq!(hub["snapshots"]["local"], json["snapshot"]);
    assert_eq!(hub["peer"], "a");
}

#[test]
fn what_was_refused_is_in_the_log_and_a_dry_run_is_not() {
    let (world, a) = in_step();
    world.hub().write("f", "2");
    a.ok(&["pull"]);
    let before = last(&a);
    a.ok(&["rollback", "-n"]);
    assert_eq!(last(&a), before);
    a.write("f", "work since");
    for (args, verb, code) in [
        (&["rollback", "-y"][..], "rollback", 7),
        (&["rollback", "0123456789abcdef"], "rollback", 2),
        (&["rollback", "--remote", "0123456789abcdef"], "rollback", 2),
        (&["restore", "no/such"], "restore", 1),
        (
            &["restore", "f", "--from", "0123456789abcdef"],
            "restore",
            2,
        ),
    ] {
        let json = a.rsyn(&[args, &["--json"]].concat()).exits(code).json();
        let record = last(&a);
        assert_eq!(record["verb"], verb, "{args:?}");
        assert_eq!(record["result"], "failed", "{args:?}");
        assert_eq!(record["note"], json["error"]["message"], "{args:?}");
        assert_eq!(record["update"], 0, "{args:?}");
        assert!(record["snapshot"].is_null(), "{args:?}");
    }
}
