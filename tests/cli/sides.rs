//! A pull and a push told as one story: `ours` is the side that is written, `theirs` the one that is read.

use crate::support::{Dir, Machine, Run, Sandbox, assert_same};

/// Two sides in step, and the verb that brings theirs to ours.
pub struct Sides {
    pub world: Sandbox,
    pub machine: Machine,
    pub verb: &'static str,
    pub ours: Dir,
    pub theirs: Dir,
}

impl Sides {
    /// Both sides agree on `files`, whose content is their name.
    pub fn agreed(verb: &'static str, files: &[&str]) -> Self {
        let world = Sandbox::new();
        let machine = world.project("a");
        for file in files {
            machine.write(file, file);
        }
        machine.ok(&["push"]);
        Self::of(world, machine, verb)
    }

    /// Both sides are there and were never synced.
    pub fn strangers(verb: &'static str) -> Self {
        let world = Sandbox::new();
        let machine = world.project("a");
        world.hub().write("rsyn.toml", machine.read("rsyn.toml"));
        Self::of(world, machine, verb)
    }

    fn of(world: Sandbox, machine: Machine, verb: &'static str) -> Self {
        let (here, hub) = ((*machine).clone(), world.hub());
        let (ours, theirs) = match verb {
            "pull" => (here, hub),
            _ => (hub, here),
        };
        Self {
            world,
            machine,
            verb,
            ours,
            theirs,
        }
    }

    /// Runs the verb with `more` arguments; JSON on stdout.
    pub fn run(&self, more: &[&str]) -> Run {
        self.machine.rsyn(&[&[self.verb, "--json"], more].concat())
    }

    /// Runs the verb and expects exactly these actions and kept paths.
    #[track_caller]
    pub fn does(&self, actions: &[&str], kept: &[&str]) -> Run {
        let run = self.run(&[]).exits(0);
        assert_eq!(run.actions(), actions, "{} does", self.verb);
        assert_eq!(run.kept(), kept, "{} keeps", self.verb);
        run
    }

    /// The reason for a path that changed on ours alone.
    pub fn alone(&self) -> &'static str {
        match self.verb {
            "pull" => "ahead",
            _ => "behind",
        }
    }

    /// `alone` with a path, as [`Run::kept`] tells it.
    pub fn alone_at(&self, path: &str) -> String {
        format!("{} {path}", self.alone())
    }

    /// The name of the side that is read.
    pub fn their_name(&self) -> &'static str {
        match self.verb {
            "pull" => "remote",
            _ => "local",
        }
    }

    /// The name of the side that is written.
    pub fn our_name(&self) -> &'static str {
        match self.verb {
            "pull" => "local",
            _ => "remote",
        }
    }

    /// Both sides hold the same, and a further sync has nothing to do.
    #[track_caller]
    pub fn are_in_step(&self) {
        assert_same(&self.ours.tree(), &self.theirs.tree());
        let run = self.machine.ok(&["sync", "--json"]);
        assert_eq!(run.result(), "nothing_to_do", "{}", run.out());
    }
}

/// Tells a story for a pull and for a push, from sides that agree on `files`.
pub fn both_ways(files: &[&str], story: impl Fn(&Sides)) {
    for verb in ["pull", "push"] {
        story(&Sides::agreed(verb, files));
    }
}
