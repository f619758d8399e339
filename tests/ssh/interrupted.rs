//! A push that is cut off in the middle leaves both trees as before, and a rerun works.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::hub::Hub;
use crate::support::{Dir, Machine, RSYN, assert_same, noise};

const BIG: usize = 12_000_000;

/// A machine with a large file to push, and the hub as it is before.
fn about_to_push(hub: &Hub) -> Machine {
    let a = hub.ready("a");
    a.write("f", "1");
    a.write("gone", "1");
    a.ok(&["push"]);
    a.write("big", noise(BIG, 9));
    a.write("f", "2");
    a.remove("gone");
    a
}

/// Starts a slow push in a process group of its own, as a terminal does.
fn slow_push(a: &Machine) -> Child {
    a.command(&["push", "--bwlimit", "4000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap()
}

fn bytes_below(dir: &Dir) -> u64 {
    dir.touch().values().map(|marks| marks.4).sum()
}

/// Waits until a part of the large file has arrived.
fn wait_for_content(hub: &Hub, child: &mut Child) {
    let until = Instant::now() + Duration::from_secs(30);
    while bytes_below(&hub.root()) < 1_000_000 {
        assert!(child.try_wait().unwrap().is_none(), "the push ended early");
        assert!(Instant::now() < until, "nothing arrived");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Ends of a push, cut off by `cut`: exit code and what it said.
fn cut_off(hub: &Hub, a: &Machine, cut: impl FnOnce(&Child)) -> (Option<i32>, String) {
    let before = (a.tree(), hub.root().tree());
    let mut child = slow_push(a);
    wait_for_content(hub, &mut child);
    cut(&child);
    let output = child.wait_with_output().unwrap();
    assert_same(&before.0, &a.tree());
    assert_same(&before.1, &hub.root().tree());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// A further push does it all.
#[track_caller]
fn rerun_works(hub: &Hub, a: &Machine) {
    a.ok(&["push"]);
    assert_same(&a.tree(), &hub.root().tree());
    assert_eq!(a.ok(&["sync", "--json"]).result(), "nothing_to_do");
}

#[test]
fn control_c_in_the_middle_of_a_push_leaves_both_trees_as_before() {
    let hub = hub_or_skip!();
    let a = about_to_push(&hub);
    let (code, said) = cut_off(&hub, &a, |child| {
        kill_process_group(pid(child), Signal::INT).unwrap();
    });
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    rerun_works(&hub, &a);
}

#[test]
fn a_signal_to_the_program_alone_does_the_same() {
    for signal in [Signal::TERM, Signal::HUP] {
        let hub = hub_or_skip!();
        let a = about_to_push(&hub);
        let (code, said) = cut_off(&hub, &a, |child| {
            kill_process(pid(child), signal).unwrap();
        });
        assert_eq!(code, Some(130), "{signal:?}: {said}");
        rerun_works(&hub, &a);
    }
}

#[test]
fn a_killed_push_leaves_both_trees_as_before() {
    let hub = hub_or_skip!();
    let a = about_to_push(&hub);
    cut_off(&hub, &a, |child| {
        kill_process_group(pid(child), Signal::KILL).unwrap();
    });
    rerun_works(&hub, &a);
}

#[test]
fn a_hub_that_is_killed_in_the_middle_of_a_push_is_told_and_changes_nothing() {
    let hub = hub_or_skip!();
    let note = hub.world.dir("served by");
    let command = format!(
        "sh -c 'echo $$ > \"{}\"; exec {RSYN} serve --stdio'",
        note.text_path()
    );
    let a = about_to_push(&hub).with("RSYN_REMOTE_COMMAND", command);
    let (code, said) = cut_off(&hub, &a, |_| {
        let pid: i32 = hub.world.dir("").text("served by").trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    });
    assert_eq!(code, Some(5), "{said}");
    rerun_works(&hub, &a);
}

#[test]
fn a_pull_that_is_interrupted_leaves_the_tree_as_before() {
    let hub = hub_or_skip!();
    let a = hub.ready("a");
    a.write("f", "1");
    a.ok(&["push"]);
    hub.root().write("big", noise(BIG, 5));
    hub.root().write("f", "2");
    let before = a.tree();
    let mut child = a
        .command(&["pull", "--bwlimit", "4000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while bytes_below(&a) < 1_000_000 {
        assert!(child.try_wait().unwrap().is_none(), "the pull ended early");
        assert!(Instant::now() < until, "nothing arrived");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process_group(pid(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_same(&before, &a.tree());
    let rest = a.ok(&["pull", "--json"]).json()["summary"]["literal_bytes"].clone();
    assert_same(&a.tree(), &hub.root().tree());
    let rest = rest.as_u64().unwrap();
    assert!(rest < BIG as u64, "what had arrived came again: {rest}");
}
