//! Sessions that do not end by themselves: a hub that falls silent, one that does not go, a user who stops.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};

use crate::support::{Machine, RSYN, Sandbox, assert_same, noise};
use crate::wire::{SOUND, Wire, passed, project};

/// A machine that has something to push.
fn about_to_push(world: &Sandbox) -> Machine {
    let a = project(world, "a");
    a.write("f", "1");
    SOUND.to(&a, world).ok(&["push"]);
    passed(world);
    a.write("f", "2");
    a.write("big", noise(4 << 20, 1));
    a
}

#[test]
fn a_hub_that_falls_silent_ends_the_run_within_the_timeout_and_leaves_no_lock() {
    let silent = |up, down| Wire {
        up,
        down,
        hangs: true,
        ..SOUND
    };
    // Before its Hello, in the middle of it, and while it takes content.
    let cases = [
        (silent(u64::MAX, 3), "push"),
        (silent(u64::MAX, 200), "pull"),
        (silent(100_000, u64::MAX), "push"),
    ];
    std::thread::scope(|scope| {
        for (wire, verb) in &cases {
            scope.spawn(|| ends_in_time(wire, verb));
        }
    });
}

fn ends_in_time(wire: &Wire, verb: &str) {
    let world = Sandbox::new();
    let a = about_to_push(&world);
    let before = (a.tree(), world.hub().tree());
    let start = Instant::now();

    let run = wire.to(&a, &world).rsyn(&[verb, "--timeout", "2"]);

    let took = start.elapsed();
    assert_eq!(run.code, 5, "{wire:?}: {}", run.all());
    assert!(run.all().contains("silent"), "{wire:?}: {}", run.all());
    // The timeout, the grace for a process that hangs, and room for a machine under load; without a timeout
    // it would be the minute of the default.
    assert!(took < Duration::from_secs(30), "{wire:?}: {took:?}");
    assert_same(&before.0, &a.tree());
    assert_same(&before.1, &world.hub().tree());
    SOUND.to(&a, &world).ok(&["push"]);
    assert_same(&a.tree(), &world.hub().tree());
}

fn is_there(pid: &str) -> bool {
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    test_kill_process(pid).is_ok()
}

#[test]
fn a_hub_process_that_does_not_end_is_killed() {
    let world = Sandbox::new();
    let a = about_to_push(&world);
    let note = world.dir("pid").0;
    let stays = format!(
        "-e \"sh -c 'echo $$ > {}; {RSYN} serve --stdio; exec sleep 60'\"",
        note.display()
    );
    let start = Instant::now();

    let run = a.clone().with("RSYN_OPTIONS", stays).rsyn(&["push"]);

    assert_eq!(run.code, 0, "{}", run.all());
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(!is_there(&world.dir("").text("pid")));
    assert_same(&a.tree(), &world.hub().tree());
}

/// Starts a push in a process group of its own, as a terminal does.
fn start(a: &Machine) -> Child {
    a.command(&["push"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Waits until the hub has begun to change its tree.
fn wait_for_commit(world: &Sandbox, child: &mut Child) -> bool {
    let txn = world.hub().at(".rsyn/txn");
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let begun = std::fs::read_dir(&txn).into_iter().flatten().flatten();
        if begun
            .into_iter()
            .any(|entry| entry.path().join("PREPARED").exists())
        {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < until, "no commit began");
    }
}

#[test]
fn control_c_during_the_commit_of_the_hub_ends_old_or_new_and_says_which() {
    let world = Sandbox::new();
    let a = project(&world, "a");
    a.write("f", "1");
    // A directory that is there has each file moved into it by itself, which takes its time.
    for n in 0..9 {
        a.write(format!("d{n}/there"), "1");
    }
    SOUND.to(&a, &world).ok(&["push"]);
    passed(&world);
    let old = world.hub().tree();
    for n in 0..1500 {
        a.write(format!("d{}/{n}", n % 9), format!("new {n}"));
    }
    a.write("f", "2");

    let mut child = start(&SOUND.to(&a, &world));
    assert!(
        wait_for_commit(&world, &mut child),
        "the commit was over before it was seen"
    );
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();

    match output.status.code() {
        Some(0) => assert_same(&a.tree(), &world.hub().tree()),
        Some(130) if said.contains("nothing was changed") => {
            assert_same(&old, &world.hub().tree());
        }
        Some(5) => assert!(said.contains("told to commit"), "{said}"),
        code => panic!("{code:?}: {said}"),
    }
    SOUND.to(&a, &world).ok(&["push"]);
    assert_same(&a.tree(), &world.hub().tree());
}
