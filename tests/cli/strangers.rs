//! First meetings: two projects that have nothing to do with each other are not merged.

use crate::support::{Dir, Machine, Sandbox, assert_same};

/// Two projects, each in step with a hub of its own that its `rsyn.toml` names.
fn two() -> (Sandbox, Machine, Machine, Dir, Dir) {
    let world = Sandbox::new();
    let [p, q] = ["p", "q"].map(|name| {
        let hub = world.dir(&format!("hub of {name}"));
        let machine = world.machine(name);
        machine.ok(&["init", hub.text_path()]);
        machine.write("README.md", format!("of {name}"));
        machine.write(format!("only in {name}"), "1");
        machine.ok(&["push"]);
        machine
    });
    let hubs = ["hub of p", "hub of q"].map(|name| world.dir(name));
    let [of_p, of_q] = hubs;
    (world, p, q, of_p, of_q)
}

#[test]
fn a_remote_of_another_project_is_not_merged_with_this_one() {
    let (_world, _p, q, of_p, _) = two();
    let (here, there) = (q.tree(), of_p.tree());
    let q = q.with("RSYN_REMOTE", of_p.text_path());
    for verb in ["push", "pull", "sync"] {
        for more in [&[][..], &["-y"], &["-n"], &["--json"]] {
            let run = q.rsyn(&[&[verb], more].concat()).exits(4);
            run.says("are they one project?").says("names another hub");
        }
    }
    assert_same(&here, &q.tree());
    assert_same(&there, &of_p.tree());
    q.ok(&["push", "--force"]);
    assert_eq!(of_p.text("README.md"), "of q");
}

#[test]
fn a_machine_that_synced_elsewhere_does_not_merge_what_differs() {
    let (_world, _p, q, of_p, _) = two();
    q.remove("rsyn.toml");
    q.remove(".rsyn/config.toml");
    q.rsyn(&["push", "-y", of_p.text_path()])
        .exits(4)
        .says("synced with another hub before");
}

#[test]
fn two_versions_of_a_path_at_a_first_meeting_are_not_settled_unasked() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "of a");
    a.ok(&["push"]);
    let b = world.project("b");
    a.write("only in a", "1");
    a.ok(&["push"]);
    b.write("f", "of b");
    b.write("only in b", "1");
    b.rsyn(&["pull"]).exits(4).says("two versions of a path");
    assert_eq!(b.text("f"), "of b");
    b.ok(&["pull", "--on-conflict", "both"]);
    assert_eq!(b.text("f.remote"), "of a");
}

#[test]
fn copies_of_one_project_meet_without_a_question() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("same", "1");
    a.write("of the hub", "1");
    a.ok(&["push"]);
    let b = world.project("b");
    b.write("same", "1");
    b.write("new here", "1");
    b.write(".rsync-exclude", "*.tmp\n");
    b.ok(&["sync"]);
    assert!(b.has("of the hub") && world.hub().has("new here"));
}

#[test]
fn another_hub_that_a_pull_brings_is_named() {
    let (_world, p, _q, of_p, of_q) = two();
    of_p.write("rsyn.toml", format!("remote = \"{}\"\n", of_q.text_path()));
    p.ok(&["pull"])
        .says("rsyn.toml came with another hub")
        .says(of_q.text_path())
        .says("goes on with");
}
