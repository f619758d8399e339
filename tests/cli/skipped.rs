//! What is not carried though nothing excludes it is said, counted and seen by `--check`.

use crate::support::Sandbox;

/// A file that nobody but root can read; `false` where this user is root.
fn hide(dir: &crate::support::Dir, path: &str) -> bool {
    dir.chmod(path, 0o000);
    std::fs::read(dir.at(path)).is_err()
}

#[test]
fn a_file_that_is_not_carried_is_said_even_when_quiet_and_counted_everywhere() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("ok", "1");
    a.write("app.env", "S=1");
    a.ok(&["push"]);
    a.ok(&["status", "--check"]);
    // A name that no tree carries stands in for a file that cannot be read, where the user is root.
    let name = match hide(&a, "app.env") {
        true => "app.env",
        false => {
            a.write("d/.RSYN", "1");
            a.chmod("app.env", 0o600);
            ".RSYN"
        }
    };
    for verb in ["push", "pull", "sync"] {
        a.ok(&[verb, "-q"]).says("warning").says(name);
        assert_eq!(a.ok(&[verb, "--json"]).json()["skipped"], 1, "{verb}");
    }
    let status = a.rsyn(&["status", "--check"]).exits(1);
    status.says("in step, but 1 skipped");
    assert_eq!(a.ok(&["status", "--json"]).json()["skipped"], 1);
    a.ok(&["log", "-n", "1"]).says("1 skipped");
    assert_eq!(a.ok(&["log", "--json"]).json()["syncs"][0]["skipped"], 1);
}

#[test]
fn of_many_of_one_kind_ten_are_named() {
    let world = Sandbox::new();
    let a = world.project("a");
    for n in 0..40 {
        a.fifo(format!("p{n:02}"));
    }
    let run = a.ok(&["push"]);
    assert_eq!(run.err().matches("FIFO").count(), 11, "{}", run.err());
    run.says("30 more paths here are sockets, FIFOs or devices");
    a.ok(&["push", "-q"]).says_no("FIFO");
    let lines = |run: crate::support::Run| run.all().matches("FIFO").count();
    assert_eq!(lines(a.ok(&["push", "-v"])), 40);
    assert_eq!(lines(a.ok(&["status"])), 11);
    let json = a.ok(&["push", "--json"]).json();
    assert_eq!(json["warnings"].as_array().unwrap().len(), 40);
    assert_eq!(json["skipped"], 0);
    a.ok(&["status", "--check"]);
}

#[test]
fn an_empty_hub_is_not_cloned_without_a_word() {
    let world = Sandbox::new();
    let hub = world.hub();
    let top = world.machine("top");
    hub.mkdir("");
    let target = world.dir("copy");
    for _ in 0..2 {
        top.rsyn(&["clone", hub.text_path(), target.text_path()])
            .exits(1)
            .says("nothing to clone");
        assert!(!world.dir("").has("copy"));
    }
}

#[test]
fn why_of_a_path_that_is_not_there_tells_both_readings() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write(".rsync-exclude", "dist/\n*.tmp\n");
    a.ok(&["why", "dist"])
        .says("dist as a file: in scope")
        .says("dist as a directory: excluded");
    a.rsyn(&["why", "dist/"]).exits(1).says("excluded");
    a.rsyn(&["why", "x.tmp"]).exits(1).says("x.tmp: excluded");
    a.ok(&["why", "new"]).says("new: in scope");
    assert_eq!(
        a.ok(&["why", "dist", "--json"]).json()["paths"][1]["included"],
        false
    );
    a.mkdir("dist");
    a.rsyn(&["why", "dist"]).exits(1);
}
