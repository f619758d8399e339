//! Mutants: the protocol of a commit, broken on purpose in one place, must not pass the tests.
//!
//! The default run looks only whether each place is still there. `make mutants` builds each mutant in a copy and runs
//! the tests until one fails: `RSYN_MUTANTS=all`, or a part of a name.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::support::{Dir, RSYN};

/// A text of a source file, and what takes its place.
type Edit = (&'static str, &'static str, &'static str);

struct Mutant {
    name: &'static str,
    edits: &'static [Edit],
}

const STAGE: &str = "src/transaction/stage.rs";
const CARRIED: &str = "src/transaction/carried.rs";
const PARTIAL: &str = "src/transaction/partial.rs";
const STAGED_FILE: &str = "src/transaction/staged_file.rs";
const COMMIT: &str = "src/transaction/commit.rs";
const WORK: &str = "src/transaction/work.rs";
const APPLY: &str = "src/transaction/apply.rs";
const FINISH: &str = "src/transaction/finish.rs";
const RECOVER: &str = "src/transaction/recover.rs";
const UNDO: &str = "src/transaction/undo.rs";
const PLACE: &str = "src/transaction/place.rs";
const CHECK: &str = "src/transaction/check.rs";
const ORDER: &str = "src/transaction/order.rs";
const JOURNAL: &str = "src/transaction/journal.rs";
const DURABLE: &str = "src/disk/durable.rs";
const LOCK: &str = "src/disk/lock.rs";
const BASE: &str = "src/state/base.rs";

const fn mutant(name: &'static str, edits: &'static [Edit]) -> Mutant {
    Mutant { name, edits }
}

const MUTANTS: &[Mutant] = &[
    // A sync is dropped.
    mutant(
        "staged files are not synced",
        &[(
            STAGE,
            "                .try_for_each(|object| self.sync_object(object))?;",
            "                .try_for_each(|object| { drop(object); Ok::<(), DiskError>(()) })?;",
        )],
    ),
    mutant(
        "many staged files are not synced",
        &[(
            STAGE,
            "            self.home.sync_filesystem()?;\n        } else {",
            "        } else {",
        )],
    ),
    mutant(
        "the directory of staged files is not synced",
        &[(
            STAGE,
            "        self.new.sync()?;\n        self.synced",
            "        self.synced",
        )],
    ),
    mutant(
        "state files and the plan are not synced",
        &[(
            DURABLE,
            "    file.write_all(bytes)?;\n    file.sync()\n}",
            "    Ok(file.write_all(bytes)?)\n}",
        )],
    ),
    mutant(
        "the name of a replaced state file is not synced",
        &[(
            DURABLE,
            "`sweep` finds what stays.\n        drop(dir.remove_file(&temp));\n        return Err(e);\n    }\n    dir.sync()\n}",
            "`sweep` finds what stays.\n        drop(dir.remove_file(&temp));\n        return Err(e);\n    }\n    Ok(())\n}",
        )],
    ),
    mutant(
        "PREPARED is not synced",
        &[(COMMIT, "    marker.sync()?;\n", "")],
    ),
    mutant(
        "the name of PREPARED is not synced",
        &[(
            COMMIT,
            "    marker.sync()?;\n    inner.home.sync()?;\n",
            "    marker.sync()?;\n",
        )],
    ),
    mutant(
        "the name of the plan is not synced before PREPARED",
        &[(
            COMMIT,
            "    // undoes.\n    inner.home.sync()?;\n",
            "    // undoes.\n",
        )],
    ),
    mutant(
        "the name of the transaction is not synced",
        &[(COMMIT, "    inner.area.txn.sync()?;\n", "")],
    ),
    mutant(
        "touched directories are not synced",
        &[(
            WORK,
            "                    if each {\n                        dir.sync()?;\n                    }",
            "                    drop(dir);",
        )],
    ),
    mutant(
        "many touched directories are not synced",
        &[(
            WORK,
            "            return Ok(work.home.sync_filesystem()?);",
            "            return Ok(());",
        )],
    ),
    mutant(
        "changed permission bits are not synced",
        &[(
            WORK,
            "            return Ok(work.home.sync_filesystem()?);\n        }\n        self.remoded\n            .iter()\n            .try_for_each(|path| sync_object(work, path))?;",
            "            return Ok(work.home.sync_filesystem()?);\n        }",
        )],
    ),
    mutant(
        "the directory of displaced objects is not synced",
        &[(WORK, "        Ok(work.old.sync()?)", "        Ok(())")],
    ),
    mutant(
        "the name of a snapshot is not synced",
        &[(
            FINISH,
            "            .rename_noreplace(id.name(), &area.snap, id.name())?;\n        area.snap.sync()?;",
            "            .rename_noreplace(id.name(), &area.snap, id.name())?;",
        )],
    ),
    mutant(
        "an undo is not synced",
        &[(
            UNDO,
            "    touched.sync_what_is_there(work)?;\n    // ORDER",
            "    drop(touched);\n    // ORDER",
        )],
    ),
    // Steps are swapped or left out.
    mutant(
        "PREPARED before the plan",
        &[
            (COMMIT, "    write_plan(&inner.home, plan)?;\n", ""),
            (
                COMMIT,
                "    marker.sync()?;\n",
                "    marker.sync()?;\n    write_plan(&inner.home, plan)?;\n",
            ),
        ],
    ),
    mutant(
        "no plan is written",
        &[(COMMIT, "    write_plan(&inner.home, plan)?;\n", "")],
    ),
    mutant(
        "moves before PREPARED",
        &[
            (
                COMMIT,
                "    let marker = inner.home.create_file(PREPARED)?;\n    marker.sync()?;\n",
                "    let marker = inner.home.create_file(b\"later\")?;\n",
            ),
            (
                COMMIT,
                "    let all = work.plan.body.steps.len();\n",
                "    let all = work.plan.body.steps.len();\n    let late = |()| { inner.home.create_file(PREPARED)?.sync() };\n",
            ),
            (
                COMMIT,
                "    applied\n        .touched\n",
                "    late(()).map_err(|e| take_back(work, inner, all, e.into()))?;\n    applied\n        .touched\n",
            ),
        ],
    ),
    mutant(
        "decided before the moves are synced",
        &[(
            COMMIT,
            "    applied\n        .touched\n",
            "    drop(write_committed(work.home, &applied.kept));\n    applied\n        .touched\n",
        )],
    ),
    mutant(
        "decided without a marker",
        &[(
            COMMIT,
            "    match write_committed(work.home, &applied.kept) {",
            "    match Ok::<(), DiskError>(()) {",
        )],
    ),
    mutant(
        "the base before the decision",
        &[(
            COMMIT,
            "    let kept = carry_out(",
            "    drop(finish(&inner.id, &plan.body.payload));\n    let kept = carry_out(",
        )],
    ),
    mutant(
        "the snapshot before the base",
        &[
            (FINISH, "    finish(id, &work.plan.body.payload)?;\n", ""),
            (
                FINISH,
                "    area.txn.sync()?;\n    Ok(match stays",
                "    area.txn.sync()?;\n    finish(id, &work.plan.body.payload)?;\n    Ok(match stays",
            ),
        ],
    ),
    mutant(
        "a failed decision is not withdrawn",
        &[(
            COMMIT,
            "    let gone = match work.home.remove_file(COMMITTED) {",
            "    let gone = match Ok::<(), DiskError>(()) {",
        )],
    ),
    mutant(
        "deleted instead of displaced",
        &[(
            APPLY,
            "        place(parent, leaf, self.work.old, &aside)?;\n        self.is_as_seen(change, before, self.work.old, aside)",
            "        parent.remove_file(leaf)?;\n        Ok(true)",
        )],
    ),
    mutant(
        "overwritten instead of swapped",
        &[(
            PLACE,
            "    match new.exchange(name, tree, tree_name) {",
            "    match new.rename_over(name, tree, tree_name) {",
        )],
    ),
    mutant(
        "directories leave before their children",
        &[(
            ORDER,
            "    steps.extend(goes);\n    steps[at..].reverse();",
            "    steps.extend(goes);",
        )],
    ),
    mutant(
        "an undo in the order of the moves",
        &[(
            UNDO,
            "    for step in steps.iter().rev() {",
            "    for step in &steps {",
        )],
    ),
    mutant(
        "an undo that believes the tree alone",
        &[(UNDO, "self.work.parent_wherever(", "self.work.parent(")],
    ),
    mutant(
        "an undo that ends its journal first",
        &[(
            COMMIT,
            "    let undone = undo(work, tried).and_then(|attention| {\n        end_undone(work)?;\n        Ok(attention)\n    });",
            "    let undone = end_undone(work).and_then(|()| undo(work, tried));",
        )],
    ),
    mutant(
        "a recovery that ends the journal first",
        &[(
            RECOVER,
            "    let attention = undo(&work, plan.body.steps.len())?;\n    end_undone(&work)?;",
            "    end_undone(&work)?;\n    let attention = undo(&work, plan.body.steps.len())?;",
        )],
    ),
    mutant(
        "a recovery that does nothing",
        &[(
            RECOVER,
            "        recover_one(root, &area, (&id, &home, kind), finish, &mut recovery)?;",
            "        let _ = (&id, &home, kind, &mut *finish, &mut recovery, recover_one);",
        )],
    ),
    mutant(
        "a recovery that undoes what was decided",
        &[(
            RECOVER,
            "        return Ok(Some(PendingKind::Finish));",
            "        return Ok(Some(PendingKind::Undo));",
        )],
    ),
    mutant(
        "a recovery that throws away what was displaced",
        &[
            (
                RECOVER,
                "            recovery.attention.extend(undo_prepared(root, home)?);",
                "            end_undone_of(home)?;\n            let _ = undo_prepared;",
            ),
            (
                RECOVER,
                "fn undo_prepared(",
                "fn end_undone_of(home: &Dir) -> Result<(), DiskError> {\n    home.remove_file(PREPARED)\n}\n\nfn undo_prepared(",
            ),
        ],
    ),
    mutant(
        "a journal that knows its disk by number",
        &[(
            JOURNAL,
            "?.on_device(home.dev()))",
            "?.on_device(home.dev() ^ 1))",
        )],
    ),
    // A look is skipped.
    mutant(
        "a replaced object is not looked at",
        &[(
            APPLY,
            "        self.is_as_seen(change, before, self.work.new, name)",
            "        Ok(true)",
        )],
    ),
    mutant(
        "a deleted object is not looked at",
        &[(
            APPLY,
            "        self.is_as_seen(change, before, self.work.old, aside)",
            "        Ok(true)",
        )],
    ),
    mutant(
        "a displaced content is not read",
        &[(
            APPLY,
            "        match content::still_has_content(dir, name, &unread.before.node)? {",
            "        match true {",
        )],
    ),
    // Each look alone stands for the other: without the first one, the second puts the directory back.
    mutant(
        "a directory with strangers is moved",
        &[
            (
                APPLY,
                "        if !parent.open_dir(leaf)?.is_empty()? {\n            return self.keep(index, before, parent, leaf);\n        }\n",
                "",
            ),
            (
                APPLY,
                "        if !old.open_dir(aside)?.is_empty()? {",
                "        if false {",
            ),
        ],
    ),
    mutant(
        "staged content is not verified",
        &[(
            STAGED_FILE,
            "        if got != self.digest || self.position() != self.size {",
            "        if self.position() != self.size {",
        )],
    ),
    mutant(
        "resumed content is not hashed",
        &[(STAGE, "        staged.hash_what_is_there()?;\n", "")],
    ),
    mutant(
        "preconditions are not looked at",
        &[(
            CHECK,
            "    if !stale.is_empty() {\n        return Err(CommitError::Stale { paths: stale });\n    }\n",
            "",
        )],
    ),
    mutant(
        "an undo throws away what others wrote",
        &[(
            UNDO,
            "        settle::settle(work, step, &mut touched, &mut attention)?;",
            "        let _ = (&mut touched, &mut attention, step, settle::settle);",
        )],
    ),
    mutant(
        "what comes late into a directory that was taken back is thrown away",
        &[(
            UNDO,
            "        settle::remove_dir(work, step, &mut touched, &mut attention)?;",
            "        let _ = (&mut touched, &mut attention, step, settle::remove_dir);",
        )],
    ),
    mutant(
        "late writes are not told",
        &[(
            COMMIT,
            "            late.push(change.path.clone());",
            "            let _: &mut Vec<RelPath> = &mut late;",
        )],
    ),
    mutant(
        "an interrupted sync is not noticed",
        &[(
            COMMIT,
            "    if recover::pending(root)?.is_some() {",
            "    if recover::pending(root)?.is_none() && false {",
        )],
    ),
    // A lock is not taken.
    mutant(
        "a commit without the lock",
        &[(
            COMMIT,
            "    if !lock.is_exclusive() {",
            "    if false && !lock.is_exclusive() {",
        )],
    ),
    // New directories that are moved with all that is inside.
    mutant(
        "an undo judges only what was tried, not what came with its directory",
        &[(
            UNDO,
            ".filter(|(n, step)| *n < tried || step.action == Action::Carried)",
            ".filter(|(n, _)| *n < tried)",
        )],
    ),
    mutant(
        "an undo leaves in a staged directory what is inside",
        &[(
            UNDO,
            "if step.action == Action::Carried && self.take_out(change)? {",
            "if step.action == Action::Carried && false && self.take_out(change)? {",
        )],
    ),
    mutant(
        "what is not planned comes with its directory",
        &[(COMMIT, "    inner.settle_carried(&request.changes)?;\n", "")],
    ),
    mutant(
        "what is not planned is taken out, and what nobody knows is not",
        &[(
            CARRIED,
            "                    open_up_and_remove(&dir, &entry.name)?;",
            "                    drop(open_up_and_remove);",
        )],
    ),
    mutant(
        "a staged directory is not synced again after something was removed from it",
        &[(CARRIED, "                    self.note_change();\n", "")],
    ),
    mutant(
        "staged directories are not synced",
        &[(
            STAGE,
            "            Node::Dir { .. } => dir.open_dir(&name)?.sync(),",
            "            Node::Dir { .. } => Ok(()),",
        )],
    ),
    mutant(
        "what was staged inside directories is lost to the next attempt",
        &[(
            PARTIAL,
            "salvage_dir(&dir.open_dir(&entry.name)?, partial, digest_of_content)?;",
            "false;",
        )],
    ),
    mutant(
        "the lock is not taken",
        &[(
            LOCK,
            "        match flock(&file, how) {",
            "        match Ok::<_, Errno>(drop(how)) {",
        )],
    ),
    mutant(
        "a staging is not claimed",
        &[(
            STAGE,
            "        if lock::claim(&home)? && area",
            "        if area",
        )],
    ),
    mutant(
        "a base that is written again moves on",
        &[(
            BASE,
            "        if old.as_ref().is_some_and(|b| b.transaction == transaction) {",
            "        if old.as_ref().is_some_and(|b| b.transaction == transaction && false) {",
        )],
    ),
];

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
