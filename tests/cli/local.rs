//! Verbs about this machine: `list`, `why`, `log`, `recover`, `status`, `completions`, `man`.

use crate::support::Sandbox;

#[test]
fn list_names_what_is_in_scope_with_a_slash_after_directories() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write(".rsync-exclude", "*.log\n");
    a.write("dir/f", "1");
    a.write("dir/x.log", "1");
    a.link("link", "dir");
    let list = a.ok(&["list"]);
    assert_eq!(list.out(), ".rsync-exclude\ndir/\ndir/f\nlink\nrsyn.toml\n");
    a.ok(&["push"]);
    assert_eq!(a.ok(&["list"]).out(), list.out(), "no state is listed");
}

#[test]
fn list_with_null_gives_the_bytes_of_every_name() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write(b"new\nline \xff\x1b", "1");
    let list = a.ok(&["list", "--null"]);
    assert_eq!(list.stdout, b"new\nline \xff\x1b\0rsyn.toml\0");
    let shown = a.ok(&["list"]).out();
    assert_eq!(shown, "new\\nline \\xff\\u{1b}\nrsyn.toml\n");
}

#[test]
fn list_works_outside_of_any_project_with_rules_from_a_file() {
    let world = Sandbox::new();
    let a = world.machine("a");
    let dir = world.dir("plain");
    for path in ["keep/f", "skip.o", "sub/x.o", "sub/y"] {
        dir.write(path, "1");
    }
    world.dir("").write("rules", "*.o\n");
    let top = world.dir("").0;

    let run = a.run_in(&top, &["list", "--exclude-from", "rules", "plain"]);

    assert_eq!(run.exits(0).out(), "keep/\nkeep/f\nsub/\nsub/y\n");
    assert!(!dir.has(".rsyn"));
    a.run_in(&top, &["list", "--exclude", "sub/", "plain"])
        .exits(0)
        .says("skip.o")
        .says_no("sub");
}

#[test]
fn why_names_the_rule_the_file_and_the_line() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write(".rsync-exclude", "# comment\n+ keep.log\n*.log\n/build/\n");
    a.mkdir("build");

    let run = a.rsyn(&["why", "sub/x.log", "--json"]).exits(1).json();
    let path = &run["paths"][0];
    assert_eq!(path["included"], false);
    assert_eq!(path["rule"], "*.log");
    assert_eq!(path["file"], ".rsync-exclude");
    assert_eq!(path["line"], 3);

    a.rsyn(&["why", "sub/x.log"])
        .exits(1)
        .says("excluded")
        .says("line 3");
    a.ok(&["why", "keep.log"]).says("in scope").says("line 2");
    a.ok(&["why", "other"]).says("no rule");
    a.rsyn(&["why", "build/deep/f"]).exits(1).says("build/");
    a.rsyn(&["why", "other", "x.log"]).exits(1);
    a.rsyn(&["why", "x.y", "--exclude", "*.y"])
        .exits(1)
        .says("--exclude");
    a.rsyn(&["why", "../outside"]).exits(2);
}

#[test]
fn the_log_tells_every_sync_newest_first() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.ok(&["log"]).says("no sync yet");
    a.write("f", "1");
    a.ok(&["push"]);
    world.hub().write("f", "2");
    a.ok(&["pull"]);
    a.ok(&["rollback", "-y"]);
    a.ok(&["pull"]);
    a.write("f", "3");
    world.hub().write("f", "4");
    a.rsyn(&["pull", "--on-conflict", "block"]).exits(3);

    let json = a.ok(&["log", "--json"]).json();
    let told: Vec<_> = json["syncs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            format!(
                "{} {}",
                s["verb"].as_str().unwrap(),
                s["result"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "pull stopped",
            "pull nothing_to_do",
            "rollback ok",
            "pull ok",
            "push ok"
        ]
    );
    assert_eq!(json["syncs"][3]["update"], 1);
    assert_eq!(json["syncs"][4]["create"], 2);
    let one = a.ok(&["log", "-n", "1", "--json"]).json();
    assert_eq!(one["syncs"].as_array().unwrap().len(), 1);
    a.ok(&["log"]).says("rollback").says("snapshot");
}

#[test]
fn the_hub_logs_who_pushed() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    let nobody = world.machine("nobody");
    let json = nobody.run_in(&world.hub().0, &["log", "--json"]).json();
    assert_eq!(json["syncs"][0]["verb"], "push");
    assert_eq!(json["syncs"][0]["peer"], "a");
}

#[test]
fn a_forced_run_is_logged_as_one() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push", "--force"]);
    a.ok(&["log"]).says("--force");
}

#[test]
fn recover_has_nothing_to_do_after_a_clean_run() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.ok(&["recover"]).says("nothing to recover");
    assert!(!a.has(".rsyn"));
    a.ok(&["push"]);
    let json = a.ok(&["recover", "--json"]);
    assert_eq!(json.result(), "nothing_to_do");
}

#[test]
fn status_counts_what_is_ahead_behind_and_conflicting() {
    let world = Sandbox::new();
    let a = world.project("a");
    for file in ["f", "g", "h"] {
        a.write(file, "1");
    }
    a.ok(&["push"]);
    let hub = world.hub();
    let status = a.ok(&["status", "--check", "--json"]).json();
    assert_eq!(status["in_step"], true);
    assert_eq!(status["digest"]["local"], status["digest"]["remote"]);
    a.ok(&["status"]).says("in step");

    a.write("f", "2");
    a.write("new", "1");
    hub.write("g", "2");
    a.write("h", "mine");
    hub.write("h", "theirs");
    let status = a.rsyn(&["status", "--check", "--json"]).exits(1).json();

    assert_eq!(status["in_step"], false);
    assert_eq!(status["ahead"], 2);
    assert_eq!(status["behind"], 1);
    assert_eq!(status["conflicts"], 1);
    assert_ne!(status["digest"]["local"], status["digest"]["remote"]);
    assert_eq!(status["machines"][0]["name"], "a");
    a.ok(&["status", "-v"]).says("2 ahead").says("new");
}

#[test]
fn status_offline_asks_the_hub_nothing() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.ok(&["push"]);
    std::fs::remove_dir_all(world.hub().0).unwrap();
    let status = a.ok(&["status", "--offline", "--check", "--json"]).json();
    assert!(status["in_step"].is_null());
    assert_eq!(status["last_run"]["verb"], "push");
    a.rsyn(&["status"]).exits(4);
}

#[test]
fn status_of_a_project_that_was_never_synced_tells_all_of_it_ahead() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    let status = a.rsyn(&["status", "--check", "--json"]).exits(1).json();
    assert_eq!(status["ahead"], 2);
    assert!(status["last_sync"].is_null());
    assert!(!a.has(".rsyn") && !world.dir("").has("hub"));
}

#[test]
fn status_names_the_machines_that_synced() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    b.ok(&["pull"]);
    let status = a.ok(&["status", "--json"]).json();
    let mut names: Vec<_> = status["machines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn completions_are_printed_for_every_shell() {
    let world = Sandbox::new();
    let a = world.machine("a");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        a.ok(&["completions", shell]).says("rollback");
    }
}

#[test]
fn the_manual_page_is_roff() {
    let world = Sandbox::new();
    let man = world.machine("a").ok(&["man"]);
    assert!(man.out().contains(".TH rsyn 1"), "{}", man.out());
}

#[test]
fn a_reader_that_is_gone_is_no_error() {
    use std::process::Stdio;
    let world = Sandbox::new();
    let a = world.project("a");
    for i in 0..3000 {
        a.write(format!("a file with a rather long name {i}"), "");
    }
    let mut child = a
        .command(&["list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{:?}", output.stderr);
}
