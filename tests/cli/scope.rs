//! What is out of scope: excluded paths, special files. It is never deleted, and never takes anything along.

use std::os::unix::net::UnixListener;

use crate::sides::both_ways;
use crate::support::Sandbox;

#[test]
fn excluded_paths_do_not_travel() {
    both_ways(&["f"], |s| {
        s.machine
            .write(".rsync-exclude", "*.log\n/build/\n+ keep.tmp\n*.tmp\n");
        s.machine.ok(&["push"]);
        for path in ["a.log", "sub/b.log", "build/out", "x.tmp"] {
            s.theirs.write(path, "theirs");
        }
        s.theirs.write("keep.tmp", "theirs");
        s.theirs.write("sub/build/in", "theirs");
        s.does(
            &[
                "create keep.tmp",
                "create sub",
                "create sub/build",
                "create sub/build/in",
            ],
            &[],
        );
    });
}

#[test]
fn excluded_paths_of_ours_are_never_deleted() {
    both_ways(&["f", "dir/in scope"], |s| {
        s.machine.write(".rsync-exclude", "*.log\n");
        s.machine.ok(&["push"]);
        s.ours.write("dir/a.log", "precious");
        s.theirs.remove("dir");

        s.does(&["delete dir/in scope"], &["excluded_inside dir"]);
        assert_eq!(s.ours.text("dir/a.log"), "precious");
        s.run(&["--mirror"]).exits(0);
        assert_eq!(s.ours.text("dir/a.log"), "precious");
    });
}

#[test]
fn a_path_that_becomes_excluded_is_deleted_nowhere() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("data/big.bin", "1");
    a.write("data/f", "1");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");

    a.write(".rsync-exclude", "*.bin\n");
    a.ok(&["push"]);
    a.remove("data/big.bin");
    let push = a.ok(&["push", "--json"]);
    assert_eq!(push.actions(), [""; 0]);
    b.ok(&["sync"]);

    assert!(world.hub().has("data/big.bin"));
    assert!(b.has("data/big.bin"));
}

#[test]
fn a_directory_that_becomes_excluded_is_deleted_nowhere() {
    both_ways(&["build/out", "f"], |s| {
        s.machine.write(".rsync-exclude", "/build/\n");
        s.machine.ok(&["push"]);
        s.theirs.remove("build");
        s.does(&[], &[]);
        assert!(s.ours.has("build/out"));
    });
}

#[test]
fn exclude_and_include_of_the_command_line_come_first_and_in_order() {
    both_ways(&["f"], |s| {
        for file in ["a.x", "b.x", "c.y"] {
            s.theirs.write(file, "1");
        }
        let dry = |more: &[&str]| s.run(&[&["-n"], more].concat()).exits(0).actions();
        assert_eq!(dry(&["--exclude", "*.x"]), ["create c.y"]);
        let kept = ["create b.x", "create c.y"];
        assert_eq!(dry(&["--include", "b.x", "--exclude", "*.x"]), kept);
        assert_eq!(
            dry(&["--exclude", "*.x", "--include", "b.x"]),
            ["create c.y"]
        );
        s.machine.write("/rules".trim_start_matches('/'), "*.y\n");
        let from = s.machine.at("rules");
        let run = dry(&[
            "--exclude",
            "rules",
            "--exclude-from",
            from.to_str().unwrap(),
        ]);
        assert_eq!(run, ["create a.x", "create b.x"]);
    });
}

#[test]
fn excludes_of_the_configuration_hold() {
    both_ways(&["f"], |s| {
        let config = format!("exclude = [\"*.iso\"]\n{}", s.machine.text("rsyn.toml"));
        s.machine.write("rsyn.toml", config);
        s.machine.ok(&["push"]);
        s.theirs.write("a.iso", "1");
        s.does(&[], &[]);
    });
}

#[test]
fn special_files_are_named_and_not_taken_for_deletions() {
    both_ways(&["was a file", "dir/f"], |s| {
        s.theirs.remove("was a file");
        s.theirs.fifo("was a file");
        s.theirs.fifo("fifo");
        let _socket = UnixListener::bind(s.theirs.at("dir/sock")).unwrap();

        let run = s.does(&[], &[]);

        assert_eq!(s.ours.text("was a file"), "was a file");
        let warnings = run.json()["warnings"].to_string();
        for name in ["was a file", "fifo", "dir/sock"] {
            assert!(warnings.contains(name), "{name} is not in {warnings}");
        }
        assert!(warnings.contains("skipped"), "{warnings}");
    });
}

#[test]
fn a_special_file_of_ours_stays_where_theirs_has_a_file() {
    both_ways(&["f"], |s| {
        s.ours.fifo("pipe");
        s.theirs.write("pipe", "content");
        s.does(&[], &[]);
        assert!(
            !std::fs::symlink_metadata(s.ours.at("pipe"))
                .unwrap()
                .is_file()
        );
    });
}

#[test]
fn a_directory_with_a_special_file_inside_stays() {
    both_ways(&["dir/f", "g"], |s| {
        s.ours.fifo("dir/pipe");
        s.theirs.remove("dir");
        s.does(&["delete dir/f"], &["excluded_inside dir"]);
        assert!(s.ours.has("dir/pipe"));
    });
}

#[test]
fn the_state_directory_never_travels() {
    both_ways(&["f"], |s| {
        s.theirs.write("sub/.rsyn/x", "1");
        s.theirs.write("new", "1");
        s.run(&[]).exits(0);
        let ids = [&s.ours, &s.theirs].map(|d| d.read(".rsyn/id"));
        assert_ne!(ids[0], ids[1]);
    });
}
