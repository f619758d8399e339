//! A file that travels with a project was written by whoever may write to the hub: it can neither make this
//! machine run a command nor lift its guards.

use crate::support::{Machine, Sandbox, assert_untouched};

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
