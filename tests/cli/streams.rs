//! Standard output that takes nothing, names and words that a terminal obeys, and few descriptors.

use std::fs::File;
use std::process::Stdio;

use crate::support::{Dir, Machine, Sandbox};

/// Verbs that print something, in a project that synced twice.
const PRINTING: &[&[&str]] = &[
    &["list"],
    &["list", "--null"],
    &["list", "--json"],
    &["log"],
    &["log", "--json"],
    &["status"],
    &["status", "--json"],
    &["diff"],
    &["diff", "--json"],
    &["why", "f"],
    &["snapshots"],
    &["verify"],
    &["setup"],
    &["pull", "--json"],
    &["pull", "-n"],
    &["rollback", "-n", "--json"],
    &["restore", "f", "-o", "-"],
    &["man"],
    &["completions", "bash"],
    &["--help"],
    &["--version"],
];

fn synced_twice(world: &Sandbox) -> Machine {
    let a = world.project("a");
    a.write("f", "one\n");
    a.ok(&["push"]);
    world.hub().write("f", "two, longer\n");
    a.ok(&["pull"]);
    world.hub().write("g", "three\n");
    a
}

/// Exit code and words on standard error of a run that prints to `out`.
fn printed_to(machine: &Machine, args: &[&str], out: impl Into<Stdio>) -> (i32, String) {
    let mut command = machine.command(args);
    let child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn a_result_that_standard_output_does_not_take_is_a_failure_that_is_told() {
    let world = Sandbox::new();
    let a = synced_twice(&world);
    for args in PRINTING {
        let full = File::options().write(true).open("/dev/full").unwrap();
        // It is there, and cannot be written: the standard library takes that for a success.
        let read_only = File::open("/dev/null").unwrap();
        for (out, why) in [(full, "No space left"), (read_only, "Bad file descriptor")] {
            let (code, said) = printed_to(&a, args, out);
            assert_eq!(code, 1, "{args:?} exits with 1\n{said}");
            assert!(
                said.contains("cannot write to standard output") && said.contains(why),
                "{args:?}\n{said}"
            );
        }
    }
}

#[test]
fn a_reader_that_is_gone_is_no_failure() {
    let world = Sandbox::new();
    let a = synced_twice(&world);
    for args in PRINTING {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, said) = printed_to(&a, args, writer);
        assert_eq!(code, 0, "{args:?}\n{said}");
        assert!(!said.contains("error"), "{args:?}\n{said}");
    }
}

#[test]
fn a_failure_keeps_its_code_where_nothing_can_be_printed() {
    let world = Sandbox::new();
    let a = world.project("a");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (code, said) = printed_to(&a, &["pull", "--json", "hub:/nowhere", "--port", "1"], full);
    assert!(code > 1, "{code} {said}");
}

/// What a terminal obeys or is misled by.
const RAW: &str = "\u{1b}[31m\u{9b}2J\u{7}\u{7f}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{200b}";

#[track_caller]
fn assert_harmless(text: &str) {
    let raw = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || RAW.contains(c) && !"[31m2J".contains(c)
    };
    assert!(!text.chars().any(raw), "{text:?}");
}

#[test]
fn nothing_that_a_terminal_obeys_is_printed_raw() {
    let world = Sandbox::new();
    let a = synced_twice(&world);
    let name = format!("name{RAW}");
    a.write(&name, "x");
    a.write(
        ".rsync-exclude",
        format!("x{RAW}*/**\n+ y{RAW}\n!{RAW}\n[{RAW}\n"),
    );
    let config = a.text("rsyn.toml");
    let verbs: Vec<Vec<&str>> = [
        &["list"][..],
        &["list", "--json"],
        &["why", &name],
        &["push", "-n"],
        &["push", "-y", "-v"],
        &["status", "-v"],
        &["diff"],
        &["log"],
        &["setup"],
        &["verify"],
        &["snapshots"],
        &["rollback", "-n", "-v"],
        &["restore", &name],
        &["restore", "f", "--from", &name],
        &["pull", &name],
        &[&name],
        &["pull", "--max-delete", &name],
        &["pull", "--only", &name],
        &["-C", &name, "status"],
    ]
    .map(<[&str]>::to_vec)
    .to_vec();
    for args in &verbs {
        assert_harmless(&a.rsyn(args).all());
    }
    // Settings with an error in the middle of such text.
    for broken in [
        format!("x{RAW} = \n"),
        format!("remote = \"{RAW}\n"),
        format!("{config}\n[conflicts]\n\"{RAW}\" = \"{RAW}\"\n"),
    ] {
        a.write("rsyn.toml", &broken);
        for args in &verbs {
            assert_harmless(&a.rsyn(args).all());
        }
    }
    a.write("rsyn.toml", &config);
    a.write(".env", format!("RSYN_OPTIONS='--{RAW}'\nRSYN_{RAW}=x\n"));
    for args in &verbs {
        assert_harmless(&a.rsyn(args).all());
    }
}

#[test]
fn the_holder_of_a_lock_and_the_words_of_a_hub_are_printed_harmless() {
    let world = Sandbox::new();
    let a = synced_twice(&world);
    let holder = serde_json::json!({
        "pid": 4_000_000_000_u32, "machine": RAW, "verb": RAW, "since": 1
    });
    a.write(".rsyn/lock", holder.to_string());
    for args in [
        &["log"][..],
        &["status"],
        &["log", "--json"],
        &["status", "--json"],
    ] {
        assert_harmless(&a.rsyn(args).all());
    }
    let hub = world.dir("bin");
    hub.write(
        "hub",
        format!("#!/bin/sh\nprintf '{RAW}'; printf '{RAW}' >&2; exit 7\n"),
    );
    hub.chmod("hub", 0o755);
    let words = hub.at("hub").display().to_string();
    for verb in ["pull", "status", "setup", "rollback"] {
        let mut args = vec![verb, "-e", &words];
        args.push(if verb == "rollback" {
            "--remote=host:p"
        } else {
            "host:p"
        });
        assert_harmless(&a.rsyn(&args).all());
    }
}

/// Runs rsyn with so many descriptors; the exit code and what it said.
fn limited(machine: &Machine, handles: u32, args: &[&str]) -> (i32, String) {
    let script = format!("ulimit -n {handles}; exec \"$0\" \"$@\"");
    let whole = machine.command(args);
    let mut command = std::process::Command::new("sh");
    let command = command.arg("-c").arg(script).arg(whole.get_program());
    command.args(whole.get_args());
    command.current_dir(&machine.0).env_clear();
    for (key, value) in whole.get_envs() {
        command.env(key, value.unwrap_or_default());
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn a_transfer_of_many_files_is_taken_up_again_with_few_descriptors() {
    let world = Sandbox::new();
    let (a, hub) = (world.project("a"), world.hub());
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    let content = |n: usize| crate::support::noise(2_000, n as u64 + 1);
    // What two interrupted transfers left: of half of the files all but the end, of the others everything.
    let leave = |root: &Dir| {
        for n in 0..400 {
            let name = blake3::hash(&content(n)).to_hex();
            let end = if n % 2 == 0 { 2_000 } else { 1_500 };
            root.write(format!(".rsyn/partial/{name}"), &content(n)[..end]);
        }
    };
    for n in 0..400 {
        a.write(format!("d{}/{n}", n % 7), content(n));
    }
    leave(&hub);
    let (code, said) = limited(&a, 100, &["push", "-q", "-y"]);
    assert_eq!(code, 0, "{said}");
    leave(&b);
    let (code, said) = limited(&b, 100, &["pull", "-q", "-y"]);
    assert_eq!(code, 0, "{said}");
    for n in 0..400 {
        assert_eq!(b.read(format!("d{}/{n}", n % 7)), content(n));
    }
    for root in [&hub, &*b] {
        assert!(
            root.names(".rsyn/partial").is_empty(),
            "the remains are used"
        );
    }
}

#[test]
fn a_deep_tree_needs_few_descriptors_and_too_few_end_the_run() {
    let world = Sandbox::new();
    let a = world.project("a");
    let mut path = String::new();
    for depth in 0..150 {
        path.push_str("a/");
        a.write(format!("{path}z/f"), depth.to_string());
    }
    for file in 0..200 {
        a.write(format!("many/{file}"), file.to_string());
    }
    let hub = world.hub();
    for handles in [18, 24, 30] {
        let (code, said) = limited(&a, handles, &["push", "-q", "-y"]);
        assert!(
            code != 0 && said.contains("Too many open files"),
            "{handles}: {code} {said}"
        );
        assert!(said.contains("ulimit -n"), "{said}");
        assert!(!hub.has("many/0"));
    }
    for args in [
        &["push", "-q", "-y"][..],
        &["pull", "-q"],
        &["status", "--check"],
    ] {
        let (code, said) = limited(&a, 100, args);
        assert_eq!(code, 0, "{args:?} {said}");
    }
    assert_eq!(hub.text(format!("{path}z/f")), "149");
    assert!(hub.has("many/199"));
}

#[test]
fn modes_are_what_was_asked_for_whatever_the_umask_takes_from_the_owner() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("d/f", "x");
    a.chmod("d", 0o750);
    a.chmod("d/f", 0o640);
    let run = |args: &[&str]| {
        let whole = a.command(args);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "umask 0277; exec \"$0\" \"$@\""]);
        command
            .arg(whole.get_program())
            .args(whole.get_args())
            .current_dir(&a.0)
            .env_clear();
        for (key, value) in whole.get_envs() {
            command.env(key, value.unwrap_or_default());
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run(&["push", "-q"]);
    let mode = |dir: &crate::support::Dir, path: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(dir.at(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    let hub = world.hub();
    assert_eq!(
        (mode(&hub, ""), mode(&hub, "d"), mode(&hub, "d/f")),
        (0o700, 0o750, 0o640)
    );
    for dir in [&hub, &*a] {
        assert_eq!(mode(dir, ".rsyn"), 0o700);
        assert_eq!(mode(dir, ".rsyn/id"), 0o600);
    }
    hub.write("d/f", "longer than it was");
    run(&["pull", "-q"]);
    run(&["rollback", "-y"]);
}

#[test]
fn a_relative_remote_begins_where_it_was_written() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("sub/f", "x");
    a.write("rsyn.toml", "remote = \"../in-settings\"\n");
    let sub = a.at("sub");
    a.run_in(&sub, &["push", "-q"]).exits(0);
    assert!(world.dir("in-settings").has("sub/f"));
    a.run_in(&sub, &["push", "-q", "../../typed"]).exits(0);
    assert!(world.dir("typed").has("sub/f"));
    let home = world.home();
    a.run_in(
        &home.0,
        &["-C", sub.to_str().unwrap(), "push", "-q", "../../by-c"],
    )
    .exits(0);
    assert!(world.dir("by-c").has("sub/f"));
    a.run_in(&home.0, &["-C", sub.to_str().unwrap(), "status", "--check"])
        .exits(0);
    assert!(!a.has("in-settings") && !a.has("sub/in-settings"));
}

#[test]
fn a_hub_behind_a_command_that_lies_in_the_project_is_refused_like_one_by_path() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("sub/f", "x");
    let bin = world.dir("bin");
    let script = "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done; exec sh -c \"$3\"\n";
    bin.write("reach", script);
    bin.chmod("reach", 0o755);
    let words = bin.at("reach").display().to_string();
    let inside = [a.at("hub"), a.at("sub"), a.at("sub/deeper/hub"), a.at("")];
    let around = a.0.parent().unwrap().to_owned();
    for path in inside.into_iter().chain([around]) {
        let remote = format!("host:{}", path.display());
        for verb in [&["push", "-y"][..], &["push", "-n"], &["pull"], &["status"]] {
            let args = [verb, &["-e", &words, &remote]].concat();
            a.rsyn(&args).exits(2).says("inside each other");
        }
        assert!(!a.has("hub") && !a.has("sub/.rsyn") && !a.has("sub/deeper"));
        assert!(!path.join(".rsyn").exists() || path == a.0);
    }
    let beside = world.dir("beside");
    let remote = format!("host:{}", beside.at("hub").display());
    beside.mkdir("");
    a.ok(&["push", "-y", "-e", &words, &remote]);
    assert!(beside.has("hub/sub/f"));
}
