//! What stops a run before it begins: wrong usage, no project, a lock.

use std::fs::File;

use crate::support::{Sandbox, assert_same, assert_untouched};

/// Takes the lock of a root, as another process would.
pub fn lock(root: &crate::support::Dir) -> File {
    let file = File::options()
        .read(true)
        .write(true)
        .open(root.at(".rsyn/lock"))
        .unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    file
}

#[test]
fn outside_of_a_project_every_verb_says_how_to_make_one() {
    let world = Sandbox::new();
    let a = world
        .machine("a")
        .with("RSYN_REMOTE", world.hub().text_path());
    for verb in [
        "pull",
        "push",
        "sync",
        "status",
        "diff",
        "log",
        "recover",
        "rollback",
        "snapshots",
        "list",
    ] {
        a.rsyn(&[verb])
            .exits(2)
            .says("rsyn init")
            .says("rsyn clone");
        let json = a.rsyn(&[verb, "--json"]).exits(2).json();
        assert_eq!(json["error"]["kind"], "usage", "{verb}");
    }
    assert_eq!(a.names(""), [""; 0]);
    assert!(!world.dir("").has("hub"));
}

#[test]
fn unknown_flags_verbs_and_values_are_wrong_usage() {
    let world = Sandbox::new();
    let a = world.project("a");
    for wrong in [
        &["pull", "--no-such-flag"][..],
        &["no-such-verb"],
        &[],
        &["pull", "--bwlimit", "fast"],
        &["pull", "--compress=perhaps"],
        &["pull", "--timeout", "soon"],
        &["push", "one", "two"],
        &["why"],
        &["clone"],
        &["completions", "no-such-shell"],
        &["serve"],
    ] {
        a.rsyn(wrong).exits(2);
    }
    assert!(!a.has(".rsyn"));
}

#[test]
fn help_and_version_are_no_failure() {
    let world = Sandbox::new();
    let a = world.machine("a");
    a.ok(&["--version"]).says(env!("CARGO_PKG_VERSION"));
    a.ok(&["--help"]).says("pull").says_no("serve");
    for verb in ["pull", "rollback", "setup"] {
        a.ok(&[verb, "--help"]).says("Usage: rsyn");
    }
}

#[test]
fn a_project_without_a_remote_says_where_to_name_one() {
    let world = Sandbox::new();
    let a = world.machine("a");
    a.write("rsyn.toml", "");
    a.rsyn(&["pull"]).exits(2).says("no remote is set");
}

#[test]
fn while_another_process_holds_the_lock_a_sync_is_busy() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    world.hub().write("f", "2");
    let before = a.tree();
    let held = lock(&a);

    for verb in ["pull", "push", "sync", "recover", "rollback"] {
        let yes = if verb == "rollback" { &["-y"][..] } else { &[] };
        let json = a.rsyn(&[&[verb, "--json"], yes].concat()).exits(7).json();
        assert_eq!(json["result"], "failed", "{verb}");
        assert_eq!(json["command"], verb);
        assert_eq!(json["error"]["kind"], "busy", "{verb}");
    }
    assert_same(&before, &a.tree());
    a.ok(&["pull", "-n"]);
    a.ok(&["status"]);

    drop(held);
    a.ok(&["pull"]);
    assert_eq!(a.text("f"), "2");
}

#[test]
fn while_another_process_commits_on_the_hub_a_push_waits_and_then_is_busy() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    a.write("f", "2");
    let held = lock(&world.hub());

    a.rsyn(&["push", "--json"]).exits(7);
    assert_eq!(world.hub().text("f"), "1");

    drop(held);
    a.ok(&["push"]);
    assert_eq!(world.hub().text("f"), "2");
}

#[test]
fn a_pull_takes_no_lock_of_the_hub() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.ok(&["push"]);
    world.hub().write("f", "2");
    let _held = lock(&world.hub());
    a.ok(&["pull"]);
    assert_eq!(a.text("f"), "2");
}

#[test]
fn a_failure_as_json_is_one_object_with_a_hint() {
    let world = Sandbox::new();
    let a = world.project("a");
    let run = a.rsyn(&["pull", "--json"]).exits(2);
    let json = run.json();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["command"], "pull");
    assert_eq!(json["result"], "failed");
    for key in ["kind", "message", "hint"] {
        assert!(!json["error"][key].as_str().unwrap().is_empty(), "{key}");
    }
    assert!(run.stderr.is_empty(), "{}", run.err());
}

#[test]
fn a_failure_for_people_is_on_stderr_with_a_hint() {
    let world = Sandbox::new();
    let a = world.project("a");
    let run = a.rsyn(&["pull"]).exits(2);
    assert!(run.stdout.is_empty());
    assert!(run.err().starts_with("error: "), "{}", run.err());
    assert!(run.err().contains("hint: "), "{}", run.err());
    assert!(!run.err().contains('\x1b'), "no colour off a terminal");
}

#[test]
fn quiet_says_nothing_and_verbose_says_more() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    let run = a.ok(&["push", "-q"]);
    assert!(run.all().is_empty(), "{}", run.all());
    world.hub().write("elsewhere", "1");
    a.ok(&["push"]).says_no("elsewhere");
    a.ok(&["push", "-v"]).says("keep    elsewhere");
}

#[test]
fn damaged_state_of_the_hub_is_named_and_nothing_is_changed() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    let hub = world.hub();
    hub.write(".rsyn/id", "not an id\n");
    a.write("f", "2");
    let before = hub.tree();

    let run = a.rsyn(&["push", "--json"]);

    assert_ne!(run.code, 0);
    assert_same(&before, &hub.tree());
}

#[test]
fn a_damaged_base_deletes_nothing_and_is_made_again() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.write("g", "1");
    a.ok(&["push"]);
    for name in a.names(".rsyn/peers") {
        if !name.starts_with("remotes") {
            a.write(format!(".rsyn/peers/{name}"), "damaged");
        }
    }
    a.remove("f");
    let run = a.ok(&["push", "--json"]);
    assert_eq!(run.actions(), [""; 0]);
    assert!(world.hub().has("f"));
    let before = world.hub().touch();
    a.ok(&["push", "-n"]);
    assert_untouched(&before, &world.hub().touch());
}

#[test]
fn a_file_in_place_of_the_hub_is_named() {
    let world = Sandbox::new();
    let a = world.project("a");
    world.dir("").write("hub", "a file");
    for verb in ["pull", "push"] {
        let run = a.rsyn(&[verb]);
        assert_ne!(run.code, 0, "{verb}");
        run.says("hub");
    }
    assert_eq!(world.dir("").text("hub"), "a file");
}

#[test]
fn h_by_itself_is_help_for_every_verb_and_reaches_no_hub() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("work", "1");
    for verb in ["push", "pull", "sync", "status", "rollback", "clone", "why"] {
        a.rsyn(&[verb, "-h"]).exits(0).says("Usage:");
    }
    a.rsyn(&["push", "-y", "-h", world.hub().text_path()])
        .exits(0)
        .says("Usage:");
    assert!(!world.dir("").has("hub"));
    a.ok(&["push", "-avzh"]);
    assert!(world.hub().has("work"));
}
