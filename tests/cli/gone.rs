//! Hubs whose client goes away, and hubs that tell more than is granted.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::Sandbox;

/// Larger than what can be hashed in the time that a session has to end.
const HOLE_BYTES: u64 = 1 << 40;

#[test]
fn a_hub_whose_client_is_gone_ends_within_a_second_in_the_middle_of_its_scan() {
    let world = Sandbox::new();
    let hub = world.hub();
    hub.write("large", "");
    let large = std::fs::File::options().write(true).open(hub.at("large"));
    large.unwrap().set_len(HOLE_BYTES).unwrap();
    let root: String = hub
        .text_path()
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect();
    let hello = serde_json::json!({
        "protocol": {"min": 1, "max": 1}, "root": root, "machine_id": "x", "purpose": "pull", "own_rules": true
    })
    .to_string();
    let a = world.machine("a");
    let mut command = a.command(&["serve", "--stdio"]);
    let mut child = command
        .current_dir(&world.home().0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let len = u32::try_from(hello.len()).unwrap();
    stdin.write_all(&len.to_le_bytes()).unwrap();
    stdin.write_all(hello.as_bytes()).unwrap();
    // Its Hello: the scan begins.
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 20])
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it scans");
    let start = Instant::now();
    drop((stdin, child.stdout.take()));
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it goes on");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = start.elapsed();
    // A busy machine gets some more.
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_hub_tells_no_more_than_is_granted_and_than_it_told_before() {
    let world = Sandbox::new();
    let hub = world.hub();
    for number in 0..1500 {
        hub.write(format!("f{number}"), "");
    }
    let a = world.project("a");
    let refused = a.rsyn(&["pull", "--max-tree", "100kB"]).exits(4);
    refused.says("--max-tree").says("nothing was changed");
    assert!(!a.has("f0"));
    a.rsyn(&["status", "--max-tree", "100kB"]).exits(4);
    a.ok(&["pull", "--max-tree", "1MB"]);
    for number in 1500..2000 {
        hub.write(format!("f{number}"), "");
    }
    a.ok(&["pull", "--max-tree", "1"]);
    assert!(a.has("f1999"));
    let travels = a.text("rsyn.toml") + "options = \"--max-tree 1TB\"\n";
    a.write("rsyn.toml", travels);
    a.rsyn(&["pull"]).exits(2).says("--max-tree");
}

#[test]
fn long_lists_of_plain_rules_are_no_work() {
    let world = Sandbox::new();
    let a = world.project("a");
    let deep = format!(
        "a long name of a directory/{}",
        "another long name/".repeat(3)
    );
    for number in 0..1500 {
        a.write(format!("{deep}{number}"), "");
    }
    let rules = (0..6000).map(|n| format!("vendor{n}/build\nvendor{n}/**\n/out{n}/*.o\n"));
    a.write(".rsync-exclude", rules.collect::<String>());
    a.ok(&["list"]);
}

#[test]
fn rules_that_would_take_for_ever_are_refused_by_name_on_either_side() {
    let world = Sandbox::new();
    let a = world.project("a");
    let deep = ["a".repeat(250).as_str()].repeat(14).join("/");
    for number in 0..5 {
        a.write(format!("{deep}/{}{number}", "a".repeat(200)), "");
    }
    let pattern = format!("**{}", "a*".repeat(90));
    let write = |end: &str| {
        let rules = format!("{pattern}{end}\n").repeat(4000);
        a.write(".rsync-exclude", rules);
    };
    // Each is out by its end, which costs nothing.
    write("**b");
    a.ok(&["list"]);
    write("**[b-y]");
    for verb in [&["list"][..], &["push", "-y"]] {
        let run = a.rsyn(verb).exits(2);
        run.says("take too long")
            .says(".rsync-exclude line")
            .says("simpler");
    }
    assert!(!world.hub().has(&deep));
}
