//! What is mounted inside a project is not part of it, and what it hides is not gone: a bind mount of the same file
//! system as well as another one, over a directory or a single file, here and on the hub.

#![allow(
    clippy::print_stderr,
    reason = "a test that cannot run says so by name"
)]

use std::path::Path;
use std::process::Command;

use crate::support::{Machine, Run, Sandbox};

/// Mounts each pair, then becomes the program behind `--`; all in a namespace of its own, which ends with it.
const SCRIPT: &str = r#"while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 99; shift 2; done; shift; exec "$@""#;

/// Whether this process may mount; if not, the test says that it was skipped.
fn may_mount(test: &str) -> bool {
    let tried = Command::new("unshare").args(["-m", "true"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("SKIPPED mounts::{test}: this process may not mount (root is needed)");
    }
    may
}

/// Runs the program while each `over` is hidden by its `what`.
fn run_with(machine: &Machine, mounts: &[(&Path, &Path)], args: &[&str]) -> Run {
    let rsyn = machine.command(args);
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
    for (what, over) in mounts {
        command.arg(what).arg(over);
    }
    command
        .arg("--")
        .arg(rsyn.get_program())
        .args(rsyn.get_args());
    command
        .current_dir(rsyn.get_current_dir().unwrap())
        .env_clear();
    for (key, value) in rsyn.get_envs() {
        command.env(key, value.unwrap());
    }
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: output.stderr,
        line: args.join(" "),
    }
}

/// A machine and a hub in step, with thirty files, eight more in `data`, and an empty directory outside.
fn in_step() -> (Sandbox, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    for n in 0..30 {
        a.write(format!("f{n}"), format!("{n}"));
    }
    for n in 0..8 {
        a.write(format!("data/{n}"), format!("{n}"));
    }
    std::fs::create_dir(&world.dir("empty").0).unwrap();
    a.ok(&["push"]);
    (world, a)
}

#[test]
fn what_a_mount_over_a_directory_hides_is_not_deleted() {
    if !may_mount("what_a_mount_over_a_directory_hides_is_not_deleted") {
        return;
    }
    let (world, a) = in_step();
    let (empty, data) = (world.dir("empty").0, a.at("data"));
    let mounts = [(&*empty, &*data)];
    for verb in ["push", "pull", "sync"] {
        let dry = run_with(&a, &mounts, &[verb, "-n", "--json"]).exits(0);
        let run = run_with(&a, &mounts, &[verb, "--json"]).exits(0);
        assert_eq!(dry.actions(), run.actions(), "{verb}");
        run_with(&a, &mounts, &[verb])
            .exits(0)
            .says("data here is mounted there");
        assert_eq!(world.hub().read("data/7"), b"7", "{verb}");
    }
    a.ok(&["push", "--json"]);
    assert_eq!(a.read("data/7"), b"7");
}

#[test]
fn a_pull_leaves_a_mounted_directory_alone_and_brings_the_rest() {
    if !may_mount("a_pull_leaves_a_mounted_directory_alone_and_brings_the_rest") {
        return;
    }
    let (world, a) = in_step();
    let (empty, data) = (world.dir("empty").0, a.at("data"));
    let mounts = [(&*empty, &*data)];
    let hub = world.hub();
    hub.write("data/1", "changed there");
    hub.write("f1", "changed there");
    let dry = run_with(&a, &mounts, &["pull", "-n", "--json"]).exits(0);
    assert_eq!(dry.actions(), ["update f1"]);
    let run = run_with(&a, &mounts, &["pull", "--json"]).exits(0);
    assert_eq!(run.actions(), ["update f1"]);
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
    // Without the mount it comes.
    assert_eq!(a.ok(&["pull", "--json"]).actions(), ["update data/1"]);
}

#[test]
fn a_mount_over_a_single_file_is_neither_pushed_nor_replaced() {
    if !may_mount("a_mount_over_a_single_file_is_neither_pushed_nor_replaced") {
        return;
    }
    let (world, a) = in_step();
    let (other, over) = (world.dir("other").0, a.at("f2"));
    std::fs::write(&other, "of another place").unwrap();
    let mounts = [(&*other, &*over)];
    let run = run_with(&a, &mounts, &["push", "--json"]).exits(0);
    assert!(run.actions().is_empty(), "{:?}", run.actions());
    assert_eq!(world.hub().read("f2"), b"2");

    world.hub().write("f2", "changed there");
    for args in [&["pull", "-n", "--json"][..], &["pull", "--json"]] {
        let run = run_with(&a, &mounts, args).exits(0);
        assert!(run.actions().is_empty(), "{:?}", run.actions());
    }
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "of another place");
    assert_eq!(a.read("f2"), b"2");
    assert_eq!(a.ok(&["pull", "--json"]).actions(), ["update f2"]);
}

#[test]
fn settings_and_exclude_rules_that_were_mounted_hold() {
    if !may_mount("settings_and_exclude_rules_that_were_mounted_hold") {
        return;
    }
    let (world, a) = in_step();
    a.write(".rsync-exclude", "");
    let outside = world.dir("outside");
    std::fs::create_dir(&outside.0).unwrap();
    outside.write("rules", "f*\n");
    outside.write("settings", a.read("rsyn.toml"));
    let pairs = [("rules", ".rsync-exclude"), ("settings", "rsyn.toml")];
    let pairs = pairs.map(|(what, over)| (outside.at(what), a.at(over)));
    let mounts: Vec<_> = pairs
        .iter()
        .map(|(what, over)| (&**what, &**over))
        .collect();
    for file in ["f1", "data/1"] {
        a.write(file, "changed here");
    }
    let run = run_with(&a, &mounts, &["push", "--json"]).exits(0);
    assert_eq!(run.actions(), ["update data/1"]);
}

#[test]
fn a_mount_in_the_root_of_a_hub_hides_and_deletes_nothing() {
    if !may_mount("a_mount_in_the_root_of_a_hub_hides_and_deletes_nothing") {
        return;
    }
    let (world, a) = in_step();
    let (empty, data) = (world.dir("empty").0, world.hub().at("data"));
    let mounts = [(&*empty, &*data)];
    a.write("data/1", "changed here");
    a.write("f3", "changed here");
    for verb in ["pull", "push"] {
        let dry = run_with(&a, &mounts, &[verb, "-n", "--json"]).exits(0);
        let run = run_with(&a, &mounts, &[verb, "--json"]).exits(0);
        assert_eq!(dry.actions(), run.actions(), "{verb}");
    }
    assert_eq!(a.read("data/7"), b"7");
    assert_eq!(world.hub().read("data/1"), b"1");
    assert_eq!(world.hub().read("f3"), b"changed here");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
}

#[test]
fn a_root_that_is_a_mount_itself_syncs_and_rolls_back() {
    if !may_mount("a_root_that_is_a_mount_itself_syncs_and_rolls_back") {
        return;
    }
    let (world, a) = in_step();
    let (hub, root) = (world.hub().0, a.at(""));
    let mounts = [(&*hub, &*hub), (&*root, &*root)];
    world.hub().write("data/1", "changed there");
    let run = run_with(&a, &mounts, &["pull", "--json"]).exits(0);
    assert_eq!(run.actions(), ["update data/1"]);
    run_with(&a, &mounts, &["rollback", "-y"]).exits(0);
    assert_eq!(a.read("data/1"), b"1");
}

#[test]
fn a_directory_that_was_mounted_since_a_sync_is_not_rolled_back_into() {
    if !may_mount("a_directory_that_was_mounted_since_a_sync_is_not_rolled_back_into") {
        return;
    }
    let (world, a) = in_step();
    world.hub().write("data/1", "changed there");
    a.ok(&["pull"]);
    let other = world.dir("other");
    std::fs::create_dir(&other.0).unwrap();
    other.write("1", "changed there");
    let data = a.at("data");
    let mounts = [(&*other.0, &*data)];
    let codes =
        [&["rollback", "-n"][..], &["rollback", "-y"]].map(|args| run_with(&a, &mounts, args).code);
    assert!(codes[0] != 0 && codes[0] == codes[1], "{codes:?}");
    assert_eq!(other.read("1"), b"changed there");
}
