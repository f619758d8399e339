//! What is printed: JSON that scripts can rely on, and no byte that a terminal obeys.

use crate::support::{Machine, Run, Sandbox};

fn is_of_the_contract(run: &Run, command: &str) {
    let json = run.json();
    assert_eq!(json["schema"], 1, "{command}");
    assert_eq!(json["command"], command);
    let results = ["ok", "nothing_to_do", "dry_run", "stopped", "failed"];
    assert!(
        results.contains(&json["result"].as_str().unwrap()),
        "{json}"
    );
    let lines = run.out().trim_end().lines().count();
    assert_eq!(lines, 1, "{command}: one object and nothing else");
}

#[test]
fn every_command_prints_one_object_with_the_fixed_keys() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    let hub = world.hub();
    hub.write("f", "2");
    let commands: [&[&str]; 13] = [
        &["setup"],
        &["status"],
        &["diff"],
        &["pull", "-n"],
        &["pull"],
        &["push"],
        &["sync"],
        &["list"],
        &["why", "f"],
        &["log"],
        &["snapshots"],
        &["recover"],
        &["rollback", "-y"],
    ];
    for command in commands {
        let run = a.ok(&[command, &["--json"]].concat());
        is_of_the_contract(&run, command[0]);
        assert!(run.stderr.is_empty(), "{command:?}: {}", run.err());
    }
    let clone = a.run_in(&world.dir("").0, &["clone", hub.text_path(), "c", "--json"]);
    is_of_the_contract(&clone.exits(0), "clone");
}

#[test]
fn a_sync_tells_every_key_of_the_contract() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    world.hub().write("f", "12345");
    a.write("mine", "1");

    let json = a.ok(&["pull", "--json"]).json();

    let keys = |value: &serde_json::Value| {
        let keys = value.as_object().unwrap().keys().cloned();
        let mut keys: Vec<String> = keys.collect();
        keys.sort();
        keys
    };
    let sorted = |words: &str| {
        let mut words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        words.sort();
        words
    };
    assert_eq!(
        keys(&json),
        sorted(
            "schema command result direction remote dry_run actions kept summary snapshot snapshots digest skipped warnings"
        )
    );
    assert_eq!(
        keys(&json["actions"][0]),
        sorted("path path_bytes kind action side reason size old_size conflict")
    );
    assert_eq!(
        keys(&json["kept"][0]),
        sorted("path path_bytes reason conflict program")
    );
    assert_eq!(
        keys(&json["summary"]),
        sorted(
            "create update delete meta conflicts kept bytes_total bytes_sent bytes_received literal_bytes matched_bytes"
        )
    );
    let action = &json["actions"][0];
    assert_eq!(action["path"], "f");
    assert_eq!(action["kind"], "file");
    assert_eq!(action["side"], "local");
    assert_eq!(
        (&action["size"], &action["old_size"]),
        (&5.into(), &1.into())
    );
    assert_eq!(json["direction"], "pull");
    assert_eq!(json["remote"], world.hub().text_path());
    assert_eq!(json["digest"]["local"].as_str().unwrap().len(), 64);
}

#[test]
fn a_name_that_is_no_text_is_told_in_bytes() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write(b"x\xff", "1");
    let json = a.ok(&["push", "-n", "--json"]).json();
    let action = &json["actions"][1];
    assert_eq!(action["path"], "x\u{fffd}");
    assert_eq!(action["path_bytes"], "78ff");
}

/// A project in which names, link targets, conflicts, special files and old versions carry escape sequences.
fn hostile(world: &Sandbox) -> Machine {
    let a = world.project("a");
    let hub = world.hub();
    let evil = |name: &str| format!("{name}\x1b[31m\x07\r\u{9b}2J\u{202e}");
    for name in ["changed", "gone", "both", "mode"] {
        a.write(evil(name), "1\n");
    }
    a.write(evil(".rsync-exclude"), "");
    a.ok(&["push"]);
    a.write(evil("both"), "mine\x1b[2J\n");
    a.write(evil("mine"), "1");
    a.write(evil("excluded.log"), "1");
    a.write(".rsync-exclude", "*.log*\n");
    hub.write(evil("changed"), "2\x1b[2J\n");
    hub.write(evil("both"), "theirs\x07\n");
    hub.remove(evil("gone"));
    hub.chmod(evil("mode"), 0o600);
    hub.write(evil("new dir/new"), "1");
    hub.link(evil("link"), "target\x1b]0;title\x07");
    hub.fifo(evil("pipe"));
    a
}

#[track_caller]
fn is_clean(run: &Run) {
    for text in [run.out(), run.err()] {
        let bad = text.chars().find(|c| {
            (c.is_control() && *c != '\n' && *c != '\t')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert!(
            bad.is_none(),
            "{bad:?} in the output of {}: {text:?}",
            run.line
        );
    }
    assert!(std::str::from_utf8(&run.stdout).is_ok());
}

#[test]
fn no_byte_that_a_terminal_obeys_reaches_it() {
    let world = Sandbox::new();
    let a = hostile(&world);
    let log = "excluded.log\x1b[31m\x07\r\u{9b}2J\u{202e}";
    let commands: [&[&str]; 24] = [
        &["status", "-v"],
        &["status", "-v", "--json"],
        &["diff"],
        &["diff", "--push"],
        &["diff", "--json"],
        &["pull", "-n", "-v"],
        &["pull", "-n", "-i"],
        &["pull", "-n", "--diff"],
        &["pull", "--json", "-n"],
        &["push", "-n", "-v", "--stats"],
        &["sync", "-n", "--max-delete", "0"],
        &["pull", "--on-conflict", "block"],
        &["list"],
        &["list", "--json"],
        &["why", log],
        &["why", log, "--json"],
        &["pull", "evil\x1b[31m:/p\x07", "-n"],
        &["pull", "--exclude", "[\x1b[31m", "-n"],
        &["pull", "--only", "../\x1b[31m"],
        &["pull", "-v", "--progress"],
        &["log"],
        &["snapshots"],
        &["rollback", "-y"],
        &["setup", "no\x1b[31msuch:/p"],
    ];
    for command in commands {
        is_clean(&a.rsyn(command));
    }
}

#[test]
fn no_byte_that_a_terminal_obeys_reaches_it_from_settings_of_others() {
    let world = Sandbox::new();
    let a = world.project("a").with("RSYN_MACHINE", "evil\x1b[31m\x07");
    a.write("f", "1");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    is_clean(&b.rsyn(&["status"]));
    is_clean(&b.run_in(&world.hub().0, &["log"]));
    is_clean(&b.run_in(&world.hub().0, &["snapshots"]));
    for settings in [
        "machine = \"x\\u001b[31m\"\n",
        "rem\\u001bote = 1\n",
        "\x1b[31m = 1\n",
        "[remotes.\"\\u001b[31m\"]\nurl = \"\\u001b:/p\"\n",
        "options = \"--no-such-\\u001b[31m\"\n",
        "[[conflict]]\npaths = \"*\"\npolicy = \"\\u001b[31m\"\n",
        "exclude = [\"[\\u001b[31m\"]\n",
        "[safety]\nmax_delete = \"\\u001b[31m\"\n",
        "remote = \"\\u001b[31m:/p\"\n",
    ] {
        b.write("rsyn.toml", settings);
        for command in ["setup", "status", "pull"] {
            is_clean(&b.rsyn(&[command]));
        }
    }
}

#[test]
fn itemized_lines_read_as_those_of_rsync() {
    let world = Sandbox::new();
    let a = world.project("a");
    for name in ["changed", "gone", "mode"] {
        a.write(name, name);
    }
    a.ok(&["push"]);
    let hub = world.hub();
    hub.write("changed", "longer than before");
    hub.set_mtime("changed", 2_000_000_000_000_000_000);
    hub.remove("gone");
    hub.chmod("mode", 0o600);
    hub.write("new/f", "1");
    let out = a.ok(&["pull", "-n", "-i"]).out();
    for line in [
        ">fcst...... changed",
        "*deleting   gone",
        ".f...p..... mode",
        "cd+++++++++ new/",
        ">f+++++++++ new/f",
    ] {
        assert!(out.lines().any(|l| l == line), "{line} is not in\n{out}");
    }
}

#[test]
fn colours_appear_only_where_they_are_forced() {
    let world = Sandbox::new();
    let a = world.project("a");
    let failing = |machine: &Machine| machine.rsyn(&["pull"]).exits(2).err();
    assert!(!failing(&a).contains('\x1b'));
    let forced = a.clone().with("CLICOLOR_FORCE", "1");
    assert!(failing(&forced).contains('\x1b'));
    assert!(!failing(&forced.with("NO_COLOR", "1")).contains('\x1b'));
}
