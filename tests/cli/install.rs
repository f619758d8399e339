//! `setup --install` by way of a command in place of ssh: the program on the hub is the old one, the new one, or none.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Dir, Machine, Sandbox};

/// A hub that is reached by a command: it runs what it is told in a home of its own, and does `harm` to what comes in.
struct Reached {
    world: Sandbox,
    machine: Machine,
    home: Dir,
}

impl Reached {
    fn new() -> Self {
        let world = Sandbox::new();
        let machine = world.project("a");
        machine.write("f", "x");
        let home = world.dir("far");
        home.mkdir("srv");
        let reached = Self {
            world,
            machine,
            home,
        };
        reached.does("exec");
        reached
    }

    /// The way to the hub, on which `run` comes before the command that takes the program.
    fn does(&self, run: &str) {
        let home = self.home.text_path();
        let script = format!(
            "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done; shift 2\n\
             cd {home} || exit 9; HOME={home}; PATH=/usr/bin:/bin; export HOME PATH\n\
             case \"$1\" in *.part*) {run} sh -c \"$1\";; *) exec sh -c \"$1\";; esac\n"
        );
        let bin = self.world.dir("bin");
        bin.write("reach", script);
        bin.chmod("reach", 0o755);
    }

    fn setup(&self, install: bool) -> crate::support::Run {
        let words = self.world.dir("bin").at("reach").display().to_string();
        let mut command = self
            .machine
            .command(&["setup", "-e", &words, "--port", "7"]);
        command.arg("host:srv").env_remove("RSYN_REMOTE_COMMAND");
        if install {
            command.arg("--install");
        }
        let output = command.output().unwrap();
        crate::support::Run {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: output.stderr,
            line: "setup".to_owned(),
        }
    }

    fn program(&self) -> Option<Vec<u8>> {
        let at = self.home.at(".local/bin/rsyn");
        at.exists().then(|| std::fs::read(at).unwrap())
    }

    /// What lies in the directory of the program.
    fn names(&self) -> Vec<String> {
        self.home.names(".local/bin")
    }
}

fn this_program() -> Vec<u8> {
    std::fs::read(env!("CARGO_BIN_EXE_rsyn")).unwrap()
}

#[test]
fn an_install_goes_the_way_that_reaches_the_hub_and_is_this_very_program() {
    let hub = Reached::new();
    hub.setup(false).exits(1).says("not installed");
    hub.setup(true).exits(0).says("is now at ~/.local/bin/rsyn");
    assert!(hub.program() == Some(this_program()));
    assert_eq!(hub.names(), ["rsyn"]);
    let mode = std::fs::metadata(hub.home.at(".local/bin/rsyn")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o755);
    hub.setup(true).exits(0).says_no("is now at");
}

#[test]
fn what_arrives_cut_or_changed_never_takes_the_place_of_what_is_there() {
    let hub = Reached::new();
    let whole = this_program().len();
    let old = b"#!/bin/sh\nexit 3\n".to_vec();
    let harms = [
        // The end of a connection looks like the end of the program.
        (None, "head -c 0".to_owned()),
        (Some(&old), "head -c 70000".to_owned()),
        (Some(&old), format!("head -c {}", whole - 1)),
        // One byte is another one, or too many.
        (
            Some(&old),
            format!(
                "(head -c {}; head -c 1 | tr '\\000-\\377' '\\001-\\377\\000'; cat)",
                whole / 2
            ),
        ),
        (None, "(cat; echo)".to_owned()),
    ];
    for (before, harm) in harms {
        let at = hub.home.at(".local/bin/rsyn");
        if at.exists() {
            std::fs::remove_file(at).unwrap();
        }
        if let Some(old) = before {
            hub.home.write(".local/bin/rsyn", old);
            hub.home.chmod(".local/bin/rsyn", 0o755);
        }
        hub.does(&format!("{harm} |"));
        hub.setup(true).exits(1).says("arrived damaged");
        assert!(hub.program().as_ref() == before, "{harm}");
        assert!(hub.names().iter().all(|name| name == "rsyn"), "{harm}");
    }
}

#[test]
fn an_install_that_is_killed_leaves_the_old_program_and_the_next_one_clears_up() {
    let hub = Reached::new();
    let old = b"#!/bin/sh\nexit 3\n".to_vec();
    hub.home.write(".local/bin/rsyn", &old);
    hub.home.chmod(".local/bin/rsyn", 0o755);
    for seconds in ["0.02", "0.1", "0.3"] {
        hub.does(&format!("exec timeout -s KILL {seconds}"));
        hub.setup(true);
        let now = hub.program().unwrap();
        assert!(now == old || now == this_program());
    }
    hub.does("exec");
    hub.setup(true).exits(0);
    assert!(hub.program() == Some(this_program()));
    assert_eq!(hub.names(), ["rsyn"]);
}

#[test]
fn a_broken_program_on_the_hub_is_known_as_such_and_replaced() {
    let hub = Reached::new();
    let whole = this_program();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for broken in [&whole[..0], &whole[..100], &whole[..60_000]] {
        hub.home.write(".local/bin/rsyn", broken);
        hub.home.chmod(".local/bin/rsyn", 0o755);
        let run = hub.setup(false).exits(1);
        run.says("does not run").says("setup --install");
        hub.setup(true).exits(0);
        assert!(hub.program().as_ref() == Some(&whole));
    }
    // What runs all the same, so far.
    let mut longer = whole.clone();
    longer.push(0);
    hub.home.write(".local/bin/rsyn", &longer);
    hub.home.chmod(".local/bin/rsyn", 0o755);
    let run = hub.setup(false).exits(0);
    run.says("is not this program").says("setup --install");
    for broken in [longer, flipped] {
        hub.home.write(".local/bin/rsyn", broken);
        hub.home.chmod(".local/bin/rsyn", 0o755);
        hub.setup(true).exits(0);
        assert!(hub.program().as_ref() == Some(&whole));
    }
    hub.setup(false).exits(0).says_no("is not this program");
}
