//! A world that can be put back to where it was: a hub, machines, and what stood in all of them at the start.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::strace;
use crate::support::{Dir, Machine, RSYN, Run, Sandbox, Tree};

/// Roots that a scenario can have; each may be missing.
pub const ROOTS: [&str; 3] = ["a", "b", "hub"];

/// What stands in each root.
pub type Trees = BTreeMap<&'static str, Tree>;

/// Which process is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that the user started.
    Client,
    /// The one on the hub.
    Hub,
}

/// A sandbox whose hub is behind a link that does nothing but start it.
pub struct World {
    pub sandbox: Sandbox,
}

impl World {
    /// Below `dir`, or the temporary directory.
    pub fn new(dir: Option<&Path>) -> Self {
        let sandbox = dir.map_or_else(Sandbox::new, Sandbox::new_in);
        let top = sandbox.dir("");
        top.write(
            "link",
            "#!/bin/sh\nfor last; do :; done\nexec sh -c \"$last\"\n",
        );
        top.chmod("link", 0o755);
        Self { sandbox }
    }

    /// The directory of all.
    pub fn top(&self) -> Dir {
        self.sandbox.dir("")
    }

    /// How this machine is to reach the hub.
    pub fn remote(&self) -> String {
        format!("hub:{}", self.sandbox.hub().text_path())
    }

    /// A machine that reaches the hub over `link`.
    pub fn machine(&self, name: &str) -> Machine {
        let options = format!("-e '{}'", self.top().at("link").display());
        self.sandbox.machine(name).with("RSYN_OPTIONS", options)
    }

    /// A machine with a project.
    pub fn project(&self, name: &str) -> Machine {
        let machine = self.machine(name);
        machine.write("rsyn.toml", format!("remote = \"{}\"\n", self.remote()));
        machine.set_mtime("rsyn.toml", 1_400_000_000_000_000_000);
        machine
    }

    /// Takes the roots as they are now for the start.
    pub fn keep(&self) {
        self.top().mkdir("start");
        for root in ROOTS {
            if self.top().has(root) {
                copy(
                    &self.top().at(root),
                    &self.top().at(format!("start/{root}")),
                );
            }
        }
    }

    /// Puts the roots back to the start. A root and its state stay the same directories: copies of them would be other
    /// roots, which know nothing of what is missing there.
    pub fn put_back(&self) {
        for root in ROOTS {
            let (at, kept) = (self.top().at(root), self.top().at(format!("start/{root}")));
            if !kept.is_dir() {
                if self.top().has(root) {
                    self.top().remove(root);
                }
                continue;
            }
            let state = kept.join(".rsyn");
            empty(&at, state.is_dir());
            if state.is_dir() {
                empty(&at.join(".rsyn"), false);
            }
            copy(&kept.join("."), &at);
        }
    }

    /// What stands in the roots now.
    pub fn trees(&self) -> Trees {
        ROOTS
            .into_iter()
            .map(|root| (root, self.sandbox.dir(root).tree()))
            .collect()
    }

    /// The roots that have a state.
    pub fn states(&self) -> Vec<&'static str> {
        let has_id = |root: &&str| self.top().has(format!("{root}/.rsyn"));
        ROOTS.into_iter().filter(has_id).collect()
    }

    /// The log of the strace at `side`.
    pub fn log(&self, side: Side) -> PathBuf {
        strace::log_in(&self.top().0, &format!("log-{side:?}"))
    }

    /// Runs `args` in `cwd`, with strace and these options at one side.
    pub fn run(&self, cwd: &Path, args: &[&str], side: Side, options: &[String]) -> Run {
        let mut machine = self.machine("a");
        let command = match side {
            Side::Client => strace::traced(&machine.command_in(cwd, args), options),
            Side::Hub => {
                let words = options.join(" ");
                machine = machine.with(
                    "RSYN_REMOTE_COMMAND",
                    format!("strace {words} {RSYN} serve --stdio"),
                );
                machine.command_in(cwd, args)
            }
        };
        finish(command, args)
    }
}

/// Runs a command to the end of all processes that it started: a hub may outlive a client that was killed.
pub fn finish(mut command: Command, args: &[&str]) -> Run {
    let child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let group = child.id();
    let output = child.wait_with_output().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while is_alive(group) {
        assert!(Instant::now() < until, "a process of {args:?} does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: output.stderr,
        line: args.join(" "),
    }
}

/// Whether a process of this group lives.
fn is_alive(group: u32) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter(|e| e.file_name().as_encoded_bytes()[0].is_ascii_digit());
    stats
        .filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok())
        .any(|stat| {
            // After the name, which stands in brackets: state, parent, group.
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let words: Vec<&str> = rest.split_whitespace().collect();
            words.first().is_some_and(|state| *state != "Z")
                && words.get(2) == Some(&group.to_string().as_str())
        })
}

/// Removes all that is inside a directory, which is made if it is not there; not the state directory, if that stays.
fn empty(dir: &Path, state_stays: bool) {
    std::fs::create_dir_all(dir).unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name();
        if !(state_stays && name == ".rsyn") {
            Dir(dir.to_owned()).remove(std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str()));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success(), "cannot copy {}", from.display());
}
