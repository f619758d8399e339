//! A file that travels with a project was written by whoever may write to the hub: it can neither make this
//! machine run a command nor lift its guards.

use crate::support::{Dir, Machine, Sandbox, assert_untouched};

/// A project with a planted command that would leave `ran` in the sandbox.
struct Planted {
    world: Sandbox,
    machine: Machine,
    command: String,
}

impl Planted {
    fn new() -> Self {
        let world = Sandbox::new();
        let machine = world.machine("a");
        let command = world.dir("evil.sh");
        world.dir("").write(
            "evil.sh",
            format!("#!/bin/sh\ntouch '{}'\n", world.dir("ran").text_path()),
        );
        world.dir("").chmod("evil.sh", 0o755);
        machine.write(".rsync-exclude", "");
        // A host that only the planted command would ever be asked for.
        machine.write(".env", "RSYN_REMOTE=nobody@127.0.0.1:/nowhere\n");
        Self {
            world,
            machine,
            command: command.text_path().to_owned(),
        }
    }

    #[track_caller]
    fn is_refused(&self, verb: &str) {
        let before = self.machine.touch();
        self.machine
            .rsyn(&[verb])
            .exits(2)
            .says("travels with the project");
        assert!(!self.world.dir("").has("ran"), "the command ran");
        assert_untouched(&before, &self.machine.touch());
    }
}

#[test]
fn a_planted_command_runs_where_the_user_names_it() {
    // Proves that the plant of the other tests would be seen.
    let planted = Planted::new();
    planted
        .machine
        .rsyn(&["pull", "-e", &planted.command])
        .exits(5);
    assert!(planted.world.dir("").has("ran"));
}

#[test]
fn options_that_travel_name_no_command_and_lift_no_guard() {
    let planted = Planted::new();
    let command = &planted.command;
    let options = [
        format!("-e {command}"),
        format!("-e{command}"),
        format!("-z --ssh-command={command}"),
        format!("-F {command}"),
        format!("-vF{command}"),
        format!("--ssh-config={command}"),
        format!("--ssh-command {command}"),
        "--mirror".to_owned(),
        "--no-snapshot".to_owned(),
        "--max-delete=100%".to_owned(),
        "--on-conflict local".to_owned(),
        "--only x".to_owned(),
        "--port 2222".to_owned(),
        "--persist".to_owned(),
        "--no-delete".to_owned(),
        "--exclude x".to_owned(),
        "--include=x".to_owned(),
        "-n".to_owned(),
        "-vn".to_owned(),
        "--dry-run".to_owned(),
        "-q".to_owned(),
        "--quiet".to_owned(),
        "--no-progress".to_owned(),
        "--json".to_owned(),
        "--exclude-from /etc/passwd".to_owned(),
        "--force".to_owned(),
        "-y".to_owned(),
        "-vy".to_owned(),
        "--yes".to_owned(),
        "elsewhere:/p".to_owned(),
        "-- elsewhere:/p".to_owned(),
    ];
    let env = planted.machine.text(".env");
    for option in &options {
        for key in ["RSYN_OPTIONS", "AMPLIFIER_SYNC_OPTIONS"] {
            planted
                .machine
                .write(".env", format!("{env}{key}=\"{option}\"\n"));
            for verb in ["pull", "push", "sync"] {
                planted.is_refused(verb);
            }
        }
        planted.machine.write(".env", &env);
        planted
            .machine
            .write("rsyn.toml", format!("options = {option:?}\n"));
        planted.is_refused("pull");
        planted.machine.remove("rsyn.toml");
    }
}

#[test]
fn commands_in_rsyn_toml_are_refused_by_every_verb() {
    let planted = Planted::new();
    for key in ["ssh_command", "ssh_config", "remote_command"] {
        planted
            .machine
            .write("rsyn.toml", format!("{key} = \"{}\"\n", planted.command));
        for verb in ["pull", "push", "sync", "status", "diff", "setup"] {
            planted.is_refused(verb);
        }
    }
}

#[test]
fn a_remote_command_in_dotenv_is_no_setting() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write(
        ".env",
        "RSYN_REMOTE_COMMAND=evil\nRSYN_SSH_COMMAND=evil\nHOME=/evil\nPATH=/evil\n",
    );
    a.ok(&["push"]);
    a.ok(&["setup"]).says_no("evil");
}

#[test]
fn a_remote_that_looks_like_an_option_is_refused_wherever_it_stands() {
    let world = Sandbox::new();
    let a = world.project("a");
    // Without a slash: one before the colon would make it a path.
    for remote in [
        "-oProxyCommand=touch ran:/p",
        "x@-oProxyCommand=touch ran:/p",
        "-oProxyCommand=touch ran@host:/p",
        "-l@-oProxyCommand=touch ran:/p",
        "ssh://-oProxyCommand=touch%20ran/p",
        "ssh://x@-oProxyCommand=touch%20ran/p",
        "ssh://-oProxyCommand=touch%20ran@host/p",
    ] {
        let before = a.touch();
        a.rsyn(&["pull", "--", remote]).exits(2);
        a.rsyn(&["clone", "--", remote, "new"]).exits(2);
        a.rsyn(&["setup", "--", remote]).exits(1);
        a.clone()
            .with("RSYN_REMOTE", remote)
            .rsyn(&["push"])
            .exits(2);
        assert_untouched(&before, &a.touch());
    }
}

#[test]
fn a_clone_runs_no_command_that_the_hub_holds() {
    let planted = Planted::new();
    let hub = planted.world.hub();
    hub.write(
        "rsyn.toml",
        format!("ssh_command = \"{}\"\n", planted.command),
    );
    hub.write(".env", format!("RSYN_OPTIONS=\"-e {}\"\n", planted.command));
    hub.write("f", "1");
    let b = planted.world.machine("b");

    b.run_in(&planted.world.dir("").0, &["clone", hub.text_path(), "b"]);
    b.rsyn(&["pull"]).exits(2);

    assert!(!planted.world.dir("").has("ran"));
}

/// A machine that cloned the hub, which then holds what somebody planted.
fn with_planted(file: &str, text: &str) -> (Sandbox, Machine) {
    let world = Sandbox::new();
    let hub = world.hub();
    hub.write(".rsync-exclude", "");
    hub.write("f", "1");
    let a = world.clone_of_hub("a");
    hub.write(file, text);
    a.ok(&["pull"]);
    assert_eq!(a.text(file), text);
    (world, a)
}

#[test]
fn options_that_only_show_more_may_travel() {
    let options =
        "-v -i --stats --progress --diff -c -z -W --bwlimit=9000 --timeout 30 -h -artpl --delete";
    let (world, a) = with_planted(".env", &format!("RSYN_OPTIONS={options}\n"));
    a.write("g", "1");
    a.ok(&["push", "-y"]);
    assert!(world.hub().has("g"));
}

#[test]
fn a_pulled_remote_takes_the_place_of_none_that_this_machine_has() {
    let elsewhere = Sandbox::new();
    let other = elsewhere.hub();
    for (file, text) in [
        (".env", format!("RSYN_REMOTE={}\n", other.text_path())),
        (
            ".env",
            format!("AMPLIFIER_SYNC_REMOTE={}\n", other.text_path()),
        ),
        ("rsyn.toml", format!("remote = {:?}\n", other.text_path())),
    ] {
        let (world, a) = with_planted(file, &text);
        a.write("work", "1");
        a.ok(&["push"]);
        assert!(world.hub().has("work") && !other.has("work"), "{file}");
        a.ok(&["setup"])
            .says("proposes another one, and is not followed");
        a.ok(&["status"]).says("this machine goes on with");
    }
}

#[test]
fn the_remote_of_init_and_of_the_first_sync_stays_the_one_of_this_machine() {
    for how in ["init", "rsyn.toml", ".env"] {
        let world = Sandbox::new();
        let (hub, other) = (world.hub(), world.dir("other"));
        let a = world.machine("a");
        match how {
            "init" => drop(a.ok(&["init", hub.text_path()])),
            "rsyn.toml" => a.write(how, format!("remote = {:?}\n", hub.text_path())),
            _ => a.write(how, format!("RSYN_REMOTE={}\n", hub.text_path())),
        }
        a.write(".rsync-exclude", "");
        a.write("f", "1");
        let first = a.ok(&["push"]);
        if how != "init" {
            first.says("comes with the project and names the hub");
        }
        a.write(".env", format!("RSYN_REMOTE={}\n", other.text_path()));
        a.write("rsyn.toml", format!("remote = {:?}\n", other.text_path()));
        a.ok(&["push"]).says_no("comes with the project");
        assert!(!other.has("f"), "{how}");
    }
}

#[test]
fn a_machine_that_only_ever_typed_its_hub_is_led_to_no_other() {
    let world = Sandbox::new();
    let (hub, other) = (world.hub(), world.dir("other"));
    let a = world.machine("a");
    a.write(".rsync-exclude", "");
    a.ok(&["push", hub.text_path()]);
    a.write("rsyn.toml", format!("remote = {:?}\n", other.text_path()));
    for run in [
        &["push"][..],
        &["pull"],
        &["sync"],
        &["push", "-n"],
        &["sync", "--dry-run"],
        &["push", "-y"],
    ] {
        a.rsyn(run).exits(4).says("synced with another one before");
    }
    assert!(!world.dir("").has("other"));
    a.ok(&["push", other.text_path()]);
    a.ok(&["push"]);
}

#[test]
fn no_name_that_comes_with_the_project_stands_for_a_remote_written_in_full() {
    let world = Sandbox::new();
    let (hub, other) = (world.hub(), world.dir("other"));
    let a = world.machine("a");
    a.write(".rsync-exclude", "");
    let name = hub.text_path();
    a.write(
        "rsyn.toml",
        format!("[remotes.{name:?}]\nurl = {:?}\n", other.text_path()),
    );
    a.ok(&["push", name]);
    assert!(hub.has("rsyn.toml") && !world.dir("").has("other"));
}

#[test]
fn settings_of_this_machine_stay_readable_whatever_their_form() {
    let world = Sandbox::new();
    let a = world.machine("a");
    a.write(".rsync-exclude", "");
    let (b, c) = (world.dir("b"), world.dir("c"));
    a.write(
        ".rsyn/config.toml",
        format!("remotes = {{ b = {{ url = {:?} }} }}\n", b.text_path()),
    );
    a.write(
        "rsyn.toml",
        format!("[remotes.c]\nurl = {:?}\n", c.text_path()),
    );
    a.ok(&["push", "c"]);
    a.ok(&["push", "b"]);
    a.ok(&["push", "c"]);
}

#[test]
fn a_named_remote_stays_what_it_was_at_its_first_use() {
    let world = Sandbox::new();
    let a = world.project("a");
    let named = |url: &Dir| {
        format!(
            "remote = {:?}\n[remotes.backup]\nurl = {:?}\n",
            world.hub().text_path(),
            url.text_path()
        )
    };
    let (backup, other) = (world.dir("backup"), world.dir("other"));
    a.write("rsyn.toml", named(&backup));
    a.ok(&["push", "backup"]).says("comes with the project");
    a.write("rsyn.toml", named(&other));
    a.ok(&["push", "backup", "-y"]);
    assert!(backup.has("rsyn.toml") && !other.has("rsyn.toml"));
}

#[test]
fn no_file_of_the_project_names_a_private_place_of_this_machine() {
    let world = Sandbox::new();
    let home = world.home();
    home.write(".ssh/authorized_keys", "owner");
    home.write("documents/letter", "private");
    let project = world.project("project");
    project.ok(&["push"]);
    let before = (home.touch(), project.touch());
    world.dir("").link("innocent", home.dir(".ssh").text_path());
    let places = [
        home.dir(".ssh"),
        home.dir(".ssh/new"),
        home.dir("documents"),
        home.dir(""),
        world.dir("innocent"),
        world.dir("project"),
        world.dir("project/sub"),
        world.dir(""),
        Dir("/home".into()),
    ];
    for place in places {
        for file in [".env", "rsyn.toml"] {
            let a = world.machine("a");
            a.write(".rsync-exclude", "");
            a.write("authorized_keys", "evil");
            let text = match file {
                ".env" => format!("RSYN_REMOTE={}\n", place.text_path()),
                _ => format!("remote = {:?}\n", place.text_path()),
            };
            a.write(file, text);
            for verb in [
                &["push", "-y"][..],
                &["pull"],
                &["sync"],
                &["status"],
                &["push", "-n"],
            ] {
                let run = a.rsyn(verb);
                assert!(
                    [2, 4].contains(&run.code),
                    "{verb:?} {}: {}",
                    place.text_path(),
                    run.all()
                );
            }
            std::fs::remove_dir_all(a.at("")).unwrap();
        }
    }
    assert_untouched(&before.0, &home.touch());
    assert_untouched(&before.1, &project.touch());
    // Named by the user it is the user's own decision.
    let a = world.machine("a");
    a.write(".rsync-exclude", "");
    a.ok(&["push", "-y", home.dir("new hub").text_path()]);
}

#[test]
fn no_variable_of_this_machine_reaches_the_hub_through_a_pulled_file() {
    let (world, a) = with_planted(
        ".env",
        "RSYN_MACHINE=\"${RSYN_TOKEN}\"\nRSYN_REMOTE=$RSYN_TOKEN\n",
    );
    let a = a.with("RSYN_TOKEN", "tok-123").with("RSYN_MACHINE", "");
    a.write("g", "1");
    a.ok(&["push"]).says("the machine's name in .env");
    assert!(!world.hub().text(".rsyn/machines.json").contains("tok-123"));
}

#[test]
fn a_pulled_brake_only_brakes_more() {
    for (limit, brakes) in [
        ("\"100%\"", true),
        ("1000", true),
        ("0", true),
        ("\"100%\"", false),
    ] {
        let world = Sandbox::new();
        let hub = world.hub();
        hub.write(".rsync-exclude", "");
        hub.write("rsyn.toml", format!("[safety]\nmax_delete = {limit}\n"));
        for n in 0..20 {
            hub.write(format!("f{n}"), "1");
        }
        let a = world.clone_of_hub("a");
        for n in 0..15 {
            hub.remove(format!("f{n}"));
        }
        if !brakes {
            // This machine's own word lifts it.
            let own = a.text(".rsyn/config.toml");
            a.write(
                ".rsyn/config.toml",
                format!("{own}[safety]\nmax_delete = \"100%\"\n"),
            );
        }
        let run = a.rsyn(&["pull"]);
        assert_eq!(
            run.code,
            if brakes { 4 } else { 0 },
            "{limit}: {}",
            run.all()
        );
    }
}

#[test]
fn rules_that_hide_more_than_before_are_named() {
    let (world, a) = with_planted(".rsync-exclude", "work*\n/dir\n");
    a.write("work.txt", "1");
    a.write("dir/f", "1");
    a.ok(&["push", "-n"])
        .says("the exclude rules changed since the last sync");
    a.ok(&["push"]).says("now leave out \"dir\" and 1 more");
    a.write("g", "1");
    a.ok(&["push"]).says_no("the exclude rules changed");
    world.hub().write("rsyn.toml", "exclude = [\"g\"]\n");
    a.ok(&["pull"]);
    a.ok(&["push"]).says("now leave out \"g\"");
}

#[test]
fn settings_that_arrive_as_a_link_or_a_directory_stop_no_run() {
    for file in ["rsyn.toml", ".env", ".rsync-exclude"] {
        for kind in ["link", "directory"] {
            let world = Sandbox::new();
            let hub = world.hub();
            hub.write(".rsync-exclude", "secret\n");
            hub.write("f", "1");
            let a = world.clone_of_hub("a");
            a.write("secret", "1");
            if hub.has(file) {
                hub.remove(file);
            }
            match kind {
                "link" => hub.link(file, "f"),
                _ => hub.write(format!("{file}/x"), "1"),
            }
            a.ok(&["pull"]);
            a.write("new", "1");
            let run = a.ok(&["push"]);
            if file != ".rsync-exclude" {
                run.says("is no regular file and is passed over");
            }
            assert!(hub.has("new") && !hub.has("secret"), "{file} as a {kind}");
            if kind == "link" {
                hub.remove(file);
            } else {
                std::fs::remove_dir_all(hub.at(file)).unwrap();
            }
            hub.write(file, "");
            a.ok(&["pull"]);
            assert_eq!(a.text(file), "", "{file} as a {kind}");
        }
    }
}

#[test]
fn setup_marks_what_came_with_the_project() {
    let text = "options = \"-v\"\nexclude = [\"*.tmp\"]\n[remotes.b]\nurl = \"h:/b\"\n[safety]\nmax_delete = 5\n\
        [[conflict]]\npaths = \"*.log\"\npolicy = \"both\"\n";
    let (_world, a) = with_planted("rsyn.toml", text);
    let out = a.ok(&["setup"]).out();
    for line in ["-v (", "*.tmp (", "b = h:/b (", "5 (", "*.log: both ("] {
        let marked = out
            .lines()
            .any(|l| l.contains(line) && l.ends_with("rsyn.toml)  [came with the project]"));
        assert!(marked, "{line}: {out}");
    }
    assert!(
        !out.lines()
            .any(|l| l.starts_with("ok    remote ") && l.contains("came with")),
        "{out}"
    );
}
