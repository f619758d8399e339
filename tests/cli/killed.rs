//! A run that was killed is in the log like any other.

use std::time::{Duration, Instant};

use crate::support::Sandbox;

#[test]
fn a_killed_run_is_in_the_log_before_and_after_the_next_one() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "content");
    a.ok(&["push"]);

    let silent_hub = "sh -c 'exec sleep 60' --";
    let mut command =
        a.clone()
            .with("RSYN_REMOTE_COMMAND", silent_hub)
            .command(&["push", "--timeout", "50"]);
    let mut child = command.spawn().unwrap();
    let begin = Instant::now();
    while a.read(".rsyn/lock").is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let touched = a.touch();
    let results = |run: &str| -> Vec<String> {
        let json = a.ok(&[run, "--json"]).json();
        let syncs = json["syncs"].as_array().unwrap();
        syncs
            .iter()
            .map(|s| format!("{} {}", s["verb"], s["result"]).replace('"', ""))
            .collect()
    };
    assert_eq!(results("log"), ["push killed", "push ok"]);
    a.ok(&["status", "--offline"]).says("killed");
    crate::support::assert_untouched(&touched, &a.touch());

    a.ok(&["push"]);
    let after = ["push nothing_to_do", "push killed", "push ok"];
    assert_eq!(results("log"), after);
    a.ok(&["log"]).says("was killed or the machine stopped");
}

#[test]
fn status_beside_a_run_says_who_runs_and_calls_nothing_interrupted() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.ok(&["push"]);
    world
        .hub()
        .write("large", crate::support::noise(3_000_000, 1));
    let status = |args: &[&str]| a.ok(&[&["status"], args].concat());
    assert!(status(&["--offline", "--json"]).json()["running"].is_null());
    let mut child = a
        .command(&["pull", "-q", "--bwlimit", "100"])
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let is_staging = || a.has(".rsyn/txn") && !a.names(".rsyn/txn").is_empty();
    while !is_staging() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    for more in [&["--offline"][..], &[]] {
        let run = status(more).says(&format!("pull (pid {} on a)", child.id()));
        run.says("running ")
            .says_no("interrupted")
            .says_no("killed");
        let json = status(&[more, &["--json"]].concat()).json();
        assert_eq!(json["running"]["pid"], child.id());
        assert!(json["running"]["since"].as_i64().unwrap() > 1_700_000_000);
        assert_eq!(json["recovery_pending"], false);
    }
    a.ok(&["log"]).says_no("killed");
    assert!(child.try_wait().unwrap().is_none(), "it was over too soon");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(status(&["--offline", "--json"]).json()["running"].is_null());
    a.ok(&["log"]).says("killed");

    // The lock of a run in another pid namespace, whose process id is none here.
    let word = serde_json::json!({
        "pid": 4_000_000_000_u32, "machine": "a", "verb": "pull", "since": 1_700_000_000, "pids": "pid:[1]"
    });
    a.write(".rsyn/lock", word.to_string());
    status(&["--offline"])
        .says("cannot be known")
        .says_no("interrupted");
    let json = status(&["--offline", "--json"]).json();
    assert_eq!(json["running"]["known"], false);
}

/// Interrupts a run, which ends within two seconds as one that was.
#[track_caller]
fn ends_by_signal(child: &mut std::process::Child) {
    let signalled = Instant::now();
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let took = signalled.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_signal_ends_the_wait_for_a_hub_that_says_nothing() {
    let world = Sandbox::new();
    let a = world.project("a");
    // The second one leaves a process behind that holds its streams open.
    for silent in ["sh -c 'exec sleep 5' --", "sh -c 'sleep 5; true' --"] {
        for verb in ["status", "push", "setup"] {
            let mut child = a.command(&[verb, "-e", silent, "host:/x"]).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(700));
            assert!(child.try_wait().unwrap().is_none(), "{verb}");
            ends_by_signal(&mut child);
        }
    }
}

#[test]
fn a_signal_ends_a_slow_push_to_a_path_at_once_and_the_hub_is_as_before() {
    for bytes in [400_000, 3_000_000] {
        let world = Sandbox::new();
        let a = world.project("a");
        a.ok(&["push"]);
        let before = world.hub().tree();
        a.write("large", crate::support::noise(bytes, 1));
        let mut child = a
            .command(&["push", "-q", "--bwlimit", "40"])
            .spawn()
            .unwrap();
        let begin = Instant::now();
        let hub = world.hub();
        while !hub.has(".rsyn/txn") || hub.names(".rsyn/txn").is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(20), "it never began");
            std::thread::sleep(Duration::from_millis(5));
        }
        // By now all is queued, and the order to commit with it.
        std::thread::sleep(Duration::from_millis(700));
        ends_by_signal(&mut child);
        crate::support::assert_same(&before, &hub.tree());
    }
}
