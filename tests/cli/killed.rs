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
