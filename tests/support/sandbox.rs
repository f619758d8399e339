//! A world of its own: a home, machines with a project each, a hub.

use std::ffi::OsString;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};

use super::dir::{Dir, make_removable};
use super::{RSYN, Run};

/// A temporary directory with all that a test needs; removed when dropped.
pub struct Sandbox {
    temp: tempfile::TempDir,
}

impl Sandbox {
    /// An empty world: `home/` is there, nothing else.
    pub fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// The same below `dir`.
    pub fn new_in(dir: &Path) -> Self {
        let temp = tempfile::Builder::new()
            .prefix("rsyn-e2e-")
            .tempdir_in(dir)
            .unwrap();
        for name in ["home", "tmp"] {
            std::fs::create_dir(temp.path().join(name)).unwrap();
        }
        Self { temp }
    }

    /// A directory in it.
    pub fn dir(&self, name: &str) -> Dir {
        Dir(self.temp.path().join(name))
    }

    /// The home of all machines.
    pub fn home(&self) -> Dir {
        self.dir("home")
    }

    /// The root on the hub; not there before the first push.
    pub fn hub(&self) -> Dir {
        self.dir("hub")
    }

    /// A machine with an empty directory where its project will be.
    pub fn machine(&self, name: &str) -> Machine {
        let root = self.dir(name);
        std::fs::create_dir_all(&root.0).unwrap();
        Machine {
            name: name.to_owned(),
            world: self.dir(""),
            root,
            variables: vec![],
        }
    }

    /// A machine with a project whose `rsyn.toml` names the hub.
    pub fn project(&self, name: &str) -> Machine {
        let machine = self.machine(name);
        let config = format!("remote = \"{}\"\n", self.hub().text_path());
        machine.write("rsyn.toml", config);
        machine
    }

    /// A machine that cloned the hub.
    pub fn clone_of_hub(&self, name: &str) -> Machine {
        let machine = self.machine(name);
        let hub = self.hub();
        machine
            .run_in(&self.dir("").0, &["clone", hub.text_path(), name])
            .exits(0);
        machine
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        make_removable(self.temp.path());
    }
}

/// A machine: a name, a project directory, an environment with nothing of the real one but PATH.
#[derive(Clone)]
pub struct Machine {
    /// Its name.
    pub name: String,
    root: Dir,
    world: Dir,
    variables: Vec<(String, OsString)>,
}

impl Deref for Machine {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        &self.root
    }
}

impl Machine {
    /// The same machine with one more variable in its environment.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((key.to_owned(), value.into()));
        self
    }

    /// The program with its environment, in the directory `cwd`.
    pub fn command_in(&self, cwd: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(RSYN);
        command
            .args(args)
            .current_dir(cwd)
            .env_clear()
            .env("HOME", self.world.at("home"))
            .env("TMPDIR", self.world.at("tmp"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RSYN_REMOTE_COMMAND", format!("{RSYN} serve --stdio"))
            .env("RSYN_MACHINE", &self.name)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// The program with its environment, in the project.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_in(&self.root.0, args)
    }

    /// Runs it in `cwd` to its end.
    pub fn run_in(&self, cwd: &Path, args: &[&str]) -> Run {
        let output = self.command_in(cwd, args).output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: output.stderr,
            line: args.join(" "),
        }
    }

    /// Runs it in the project to its end.
    pub fn rsyn(&self, args: &[&str]) -> Run {
        self.run_in(&self.root.0, args)
    }

    /// Runs it in the project and expects exit code 0.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Run {
        self.rsyn(args).exits(0)
    }
}
