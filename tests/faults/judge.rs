//! What must hold after a fault: old or new, nothing lost, nothing left behind, and the next sync goes on.

use std::collections::BTreeMap;

use crate::scenarios::{Again, Scenario};
use crate::strace::{self, Point};
use crate::support::tree::Seen;
use crate::support::{Run, Touch};
use crate::world::{Trees, World};

/// A world in its scenario, with what the trees are before and after.
pub struct Stage<'a> {
    pub scenario: &'a Scenario,
    pub world: World,
    pub old: Trees,
    pub new: Trees,
}

/// What is wrong, in words.
pub type Verdict = Result<(), String>;

/// Stops with words if something does not hold.
macro_rules! hold {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use hold;

impl<'a> Stage<'a> {
    /// Makes the world and sees what the command does to it when nothing goes wrong.
    pub fn new(scenario: &'a Scenario) -> Self {
        Self::in_dir(scenario, None)
    }

    /// The same below `dir`.
    pub fn in_dir(scenario: &'a Scenario, dir: Option<&std::path::Path>) -> Self {
        let world = World::new(dir);
        (scenario.build)(&world);
        world.keep();
        let none = Trees::new();
        let mut stage = Self {
            scenario,
            world,
            old: none.clone(),
            new: none,
        };
        stage.reset();
        stage.old = stage.trees();
        stage.strike(&strace::notes(&stage.notes())).exits(0);
        stage.new = stage.trees();
        stage
    }

    /// What the struck side called in the run in which nothing went wrong.
    pub fn notes(&self) -> std::path::PathBuf {
        self.world.top().at("notes")
    }

    /// Puts everything back to before the command.
    pub fn reset(&self) {
        self.world.put_back();
        (self.scenario.then)(&self.world);
    }

    /// Runs the command with these options of strace at the side that is struck.
    pub fn strike(&self, options: &[String]) -> Run {
        let Scenario {
            args,
            side,
            outside,
            ..
        } = *self.scenario;
        let cwd = if outside {
            self.world.top()
        } else {
            self.world.sandbox.dir("a")
        };
        let quiet = [
            "-o".to_owned(),
            "/dev/null".to_owned(),
            "-e".to_owned(),
            "trace=none".to_owned(),
        ];
        self.world.run(
            &cwd.0,
            args,
            side,
            if options.is_empty() { &quiet } else { options },
        )
    }

    /// The trees, with the mtimes that a run of this scenario determines.
    pub fn trees(&self) -> Trees {
        let mut trees = self.world.trees();
        if self.scenario.makes_files {
            for seen in trees.values_mut().flat_map(BTreeMap::values_mut) {
                if let Seen::File(_, mtime, _) = seen {
                    *mtime = 0;
                }
            }
        }
        trees
    }

    /// The points of the command at these calls, in its order.
    pub fn points(&self, calls: &[&str]) -> Vec<Point> {
        strace::points(&self.notes(), calls)
    }

    /// Recovers each root, twice; the second time nothing is done.
    pub fn recover(&self) -> Verdict {
        for root in self.world.states() {
            let dir = self.world.sandbox.dir(root);
            let machine = self.world.machine("a");
            let first = machine.run_in(&dir.0, &["recover"]);
            hold!(
                first.code == 0,
                "recover in {root} ends with {}: {}",
                first.code,
                first.all()
            );
            let before = user_part(&dir.touch());
            let second = machine.run_in(&dir.0, &["recover"]);
            hold!(
                second.code == 0,
                "the second recover in {root} ends with {}",
                second.code
            );
            hold!(
                second.all().contains("nothing to recover"),
                "the second recover in {root}: {}",
                second.all()
            );
            hold!(
                before == user_part(&dir.touch()),
                "the second recover in {root} touched the tree"
            );
        }
        Ok(())
    }

    /// Every root is old or new, by itself, and new if the run said that all went well. Says whether all are new.
    pub fn old_or_new(&self, succeeded: bool) -> Result<bool, String> {
        let now = self.trees();
        let mut all_new = true;
        for (root, tree) in &now {
            let (old, new) = (&self.old[root], &self.new[root]);
            let mixture = mixture(tree, old, new);
            let is_whole = tree == old || tree == new;
            let by_path = self.scenario.makes_files && !mixture.contains("strange");
            hold!(is_whole || by_path, "{root} is mixed: {mixture}");
            hold!(tree == new || !succeeded, "{root} is old after exit 0");
            all_new &= tree == new;
        }
        Ok(all_new)
    }

    /// Every path is old or new, by itself.
    pub fn each_path_old_or_new(&self) -> Verdict {
        for (root, tree) in &self.trees() {
            let mixture = mixture(tree, &self.old[root], &self.new[root]);
            hold!(!mixture.contains("strange"), "{root} is strange: {mixture}");
        }
        Ok(())
    }

    /// Nothing is left of the transaction or of a file that was half written.
    pub fn no_litter(&self) -> Verdict {
        for root in self.world.states() {
            let state = self.world.sandbox.dir(root).dir(".rsyn");
            for part in ["txn", "trash"] {
                let names = if state.has(part) {
                    state.names(part)
                } else {
                    vec![]
                };
                hold!(names.is_empty(), "{root}/.rsyn/{part} holds {names:?}");
            }
            let touch = state.touch();
            let temp = touch
                .keys()
                .find(|path| path.windows(5).any(|w| w == b".tmp-"));
            hold!(
                temp.is_none(),
                "{root}/.rsyn holds {}",
                temp.unwrap().escape_ascii()
            );
        }
        Ok(())
    }

    /// At most two runs later all is new, and a further sync has nothing to do.
    pub fn converges(&self, all_new: bool) -> Verdict {
        if !(all_new && self.scenario.again == Again::UnlessDone) {
            let first = self.strike(&[]);
            if first.code != 0 {
                let second = self.strike(&[]);
                hold!(
                    second.code == 0,
                    "two more runs fail: {} then {}",
                    first.all(),
                    second.all()
                );
            }
            let now = self.trees();
            let strange = now.iter().find(|(root, tree)| self.new[*root] != **tree);
            hold!(
                strange.is_none(),
                "{} is not new after one more run",
                strange.unwrap().0
            );
        }
        let verb = self.scenario.args[0];
        if ["pull", "push", "sync"].contains(&verb) {
            let third = self.world.machine("a").rsyn(&[verb, "--json"]);
            hold!(third.code == 0, "a further {verb} fails: {}", third.all());
            hold!(
                third.result() == "nothing_to_do",
                "a further {verb} does something: {}",
                third.all()
            );
        }
        self.no_litter()
    }

    /// Undoing gives the old trees again: whatever was displaced is in the snapshot.
    pub fn undoes(&self) -> Verdict {
        let undo: &[&str] = match self.scenario.args[0] {
            "pull" => &["rollback", "-y"],
            "push" => &["rollback", "--remote", "-y"],
            _ => return Ok(()),
        };
        if self.old == self.new || self.scenario.name.starts_with("first push") {
            return Ok(());
        }
        let run = self.world.machine("a").rsyn(undo);
        hold!(run.code == 0, "{undo:?} fails: {}", run.all());
        let now = self.trees();
        let strange = now.iter().find(|(root, tree)| self.old[*root] != **tree);
        hold!(
            strange.is_none(),
            "{} is not old after {undo:?}",
            strange.unwrap().0
        );
        Ok(())
    }
}

/// What of a picture is not state.
fn user_part(touch: &Touch) -> Touch {
    let ours = touch.iter().filter(|(path, _)| !path.starts_with(b".rsyn"));
    ours.map(|(path, marks)| (path.clone(), *marks)).collect()
}

fn mixture(
    now: &crate::support::Tree,
    old: &crate::support::Tree,
    new: &crate::support::Tree,
) -> String {
    let paths: std::collections::BTreeSet<_> =
        now.keys().chain(old.keys()).chain(new.keys()).collect();
    let word = |path: &Vec<u8>| {
        let (now, old, new) = (now.get(path), old.get(path), new.get(path));
        let what = match (now == old, now == new) {
            (true, true) => return None,
            (true, false) => "old",
            (false, true) => "new",
            (false, false) => "strange",
        };
        Some(format!("{} {what}", path.escape_ascii()))
    };
    paths
        .into_iter()
        .filter_map(word)
        .collect::<Vec<_>>()
        .join(", ")
}
