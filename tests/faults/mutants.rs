//! Mutants: the protocol of a commit, broken on purpose in one place, must not pass the tests.
//!
//! The default run looks only whether each place is still there. `make mutants` builds each mutant in a copy and runs
//! the tests until one fails: `RSYN_MUTANTS=all`, or a part of a name.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use self::table::{Edit, MUTANTS, Mutant};
use crate::support::{Dir, RSYN};

mod table;

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The file with the edit made.
fn edited(text: &str, (file, old, new): &Edit, name: &str) -> String {
    let found = text.matches(old).count();
    assert!(
        found == 1,
        "{name}: {found} times in {file}, not once:\n{old}"
    );
    text.replacen(old, new, 1)
}

#[test]
fn the_place_of_each_mutant_is_there_once() {
    let mut names: Vec<_> = MUTANTS.iter().map(|m| m.name).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() == MUTANTS.len() && names.len() >= 20);
    for Mutant { name, edits } in MUTANTS {
        let mut files = std::collections::BTreeMap::new();
        for edit in *edits {
            let read = || std::fs::read_to_string(project().join(edit.0)).unwrap();
            let text = files.entry(edit.0).or_insert_with(read);
            let after = edited(text, edit, name);
            assert_ne!(&after, text, "{name} changes nothing");
            *text = after;
        }
    }
}

/// Copies in which mutants live one after another: of the project, and of the rooms of the protocol alone, which are
/// built in a tenth of the time.
struct Copies {
    whole: Dir,
    rooms: Dir,
}

/// `transaction` and what it imports.
const ROOMS: [&str; 3] = ["model", "disk", "transaction"];

impl Copies {
    fn new(at: &Dir) -> Self {
        let (whole, rooms) = (at.dir("whole"), at.dir("rooms"));
        let names = std::fs::read_dir(project())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        whole.mkdir("");
        copy(
            names.filter(|path| !path.ends_with("target") && !path.ends_with(".git")),
            &whole.0,
        );
        rooms.mkdir("src");
        copy(
            ROOMS
                .map(|room| project().join("src").join(room))
                .into_iter(),
            &rooms.at("src"),
        );
        copy([project().join("Cargo.lock")].into_iter(), &rooms.0);
        let lib: String = ROOMS
            .iter()
            .map(|room| format!("pub mod {room};\n"))
            .collect();
        rooms.write("src/lib.rs", lib);
        // Benches are not of these rooms.
        let manifest = whole.text("Cargo.toml");
        let parts = manifest
            .split("\n\n")
            .filter(|part| !part.trim_start().starts_with("[[bench]]"));
        rooms.write("Cargo.toml", parts.collect::<Vec<_>>().join("\n\n"));
        Self { whole, rooms }
    }

    /// Makes the edits; gives what is to be written to take them back.
    fn apply(&self, mutant: &Mutant) -> Vec<(&Dir, &'static str, String)> {
        let copies = [&self.whole, &self.rooms];
        let mut before = Vec::new();
        for (edit, copy) in mutant
            .edits
            .iter()
            .flat_map(|edit| copies.map(|copy| (edit, copy)))
        {
            if copy.has(edit.0) {
                let text = copy.text(edit.0);
                copy.write(edit.0, edited(&text, edit, mutant.name));
                before.insert(0, (copy, edit.0, text));
            }
        }
        before
    }

    /// The test that fails, if one does.
    fn killer(&self, mutant: &Mutant) -> Option<String> {
        let in_rooms = |(file, ..): &Edit| self.rooms.has(file);
        if mutant.edits.iter().all(in_rooms) {
            must_build(&cargo(&self.rooms, &["--lib", "--no-run"]), mutant.name);
            let killer = failed_test(&cargo(&self.rooms, &["--lib"]));
            if killer.is_some() {
                return killer;
            }
        }
        must_build(
            &cargo(&self.whole, &["--test", "faults", "--no-run"]),
            mutant.name,
        );
        let rounds: [&[&str]; 4] = [
            &["--test", "faults", "--", "order::"],
            &["--test", "faults", "--", "kills::"],
            &["--test", "crash", "--test", "cli"],
            &[
                "--lib",
                "--",
                "transaction::",
                "disk::",
                "state::",
                "endpoint::",
            ],
        ];
        rounds
            .iter()
            .find_map(|args| failed_test(&cargo(&self.whole, args)))
    }
}

fn copy(what: impl Iterator<Item = PathBuf>, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .args(what)
            .arg(to)
            .status()
            .unwrap()
            .success()
    );
}

fn cargo(copy: &Dir, args: &[&str]) -> Output {
    let mut cargo = Command::new("timeout");
    cargo
        .args(["600", env!("CARGO"), "test", "--offline", "--no-fail-fast"])
        .args(args);
    cargo.current_dir(&copy.0).env("CARGO_TARGET_DIR", builds());
    cargo.env_remove("RSYN_MUTANTS").env("RUST_BACKTRACE", "0");
    // Built often, run once.
    cargo
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "none");
    cargo.output().unwrap()
}

/// Where mutants are built: beside what this test was built to.
fn builds() -> PathBuf {
    let profile = Path::new(RSYN).parent().unwrap();
    profile.parent().unwrap().join("mutants")
}

fn must_build(built: &Output, name: &str) {
    let words = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{name} does not build:\n{words}");
}

fn failed_test(output: &Output) -> Option<String> {
    if output.status.success() {
        return None;
    }
    // A busy machine is no proof against a mutant.
    assert!(
        output.status.code() != Some(124),
        "no end within ten minutes"
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_failed = |line: &&str| line.starts_with("test ") && line.ends_with("FAILED");
    let line = text
        .lines()
        .find(is_failed)
        .expect("a run that failed has a test that failed");
    Some(
        line["test ".len()..]
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned(),
    )
}

/// Only with `RSYN_MUTANTS`; what it proves in a default run is proved by the test above.
#[test]
fn each_mutant_fails_a_test() {
    let Ok(wanted) = std::env::var("RSYN_MUTANTS") else {
        eprintln!("mutants are built by `make mutants`");
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    let copies = Copies::new(&Dir(temp.path().to_owned()));
    let mut alive = Vec::new();
    let is_wanted = |m: &&Mutant| wanted == "all" || m.name.contains(&wanted);
    for mutant in MUTANTS.iter().filter(is_wanted) {
        let start = Instant::now();
        let before = copies.apply(mutant);
        let killer = copies.killer(mutant);
        for (copy, file, text) in before {
            copy.write(file, text);
        }
        let (word, by) = killer.map_or(("ALIVE ", String::new()), |by| {
            ("killed", format!("by {by}"))
        });
        eprintln!(
            "{word}  {:52} {:4} s  {by}",
            mutant.name,
            start.elapsed().as_secs()
        );
        if word != "killed" {
            alive.push(mutant.name);
        }
    }
    assert!(
        alive.is_empty(),
        "{} of {} mutants live: {alive:#?}",
        alive.len(),
        MUTANTS.len()
    );
}
