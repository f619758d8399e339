//! Disks that lie: one byte of one state file is another, and status, dry runs, recovery and a sync either notice
//! or are not misled. Nothing is deleted or replaced because of what a damaged file says.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sample;
use crate::support::{Dir, Machine, Run, Sandbox, Tree, noise};

/// A machine and a hub that differ in every way.
struct World {
    sandbox: Sandbox,
    a: Machine,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let a = sandbox.project("a");
        for name in [
            "kept",
            "gone here",
            "gone there",
            "edited here",
            "edited there",
            "both",
        ] {
            a.write(name, format!("{name}, first"));
        }
        for number in 0..12 {
            a.write(format!("d/{number}"), format!("{number}"));
        }
        a.write("big", noise(3 << 19, 1));
        a.ok(&["push"]);
        a.write("kept", "kept, second");
        a.ok(&["push"]);
        a.write("d/0", "second");
        a.ok(&["sync"]);
        let hub = sandbox.hub();
        a.remove("gone here");
        hub.remove("gone there");
        a.write("edited here", "edited here, second");
        hub.write("edited there", "edited there, second");
        a.append("big", "more");
        Self { sandbox, a }
    }

    fn hub(&self) -> Dir {
        self.sandbox.hub()
    }

    fn trees(&self) -> [Tree; 2] {
        [self.a.tree(), self.hub().tree()]
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.sandbox.dir(from).0, self.sandbox.dir(to).0);
        drop(std::fs::remove_dir_all(&to));
        assert!(
            Command::new("cp")
                .arg("-a")
                .args([from, to])
                .status()
                .unwrap()
                .success()
        );
    }
}

/// Files of a state directory that the program wrote and will read again.
fn state_files(root: &Dir) -> Vec<String> {
    let read = |path: &Vec<u8>| {
        let name = String::from_utf8_lossy(path).into_owned();
        let in_state = name.starts_with(".rsyn/") && root.at(path).is_file();
        // Contents in snapshots and transfers are no state: they are verified by their digests where they are used.
        let is_content =
            name.contains("/old/") || name.contains("/new/") || name.contains("/partial/");
        let is_for_people = name.ends_with(".gitignore") || name.ends_with("log.jsonl");
        (in_state && !is_content && !is_for_people).then_some(name)
    };
    root.touch().keys().filter_map(read).collect()
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << (at % 8);
    bytes
}

#[track_caller]
fn behaved(run: &Run, name: &str) {
    let said = run.all();
    assert!(
        run.code >= 0 && run.code != 101 && !said.contains("panicked"),
        "{name}: {} {said}",
        run.code
    );
    assert!(
        run.code == 0 || !said.trim().is_empty(),
        "{name}: code {} without a word",
        run.code
    );
}

/// What a run would do to files that are there: `delete …` and `update …`.
fn harm(run: &Run) -> BTreeSet<String> {
    let Ok(told) = serde_json::from_slice::<Value>(&run.stdout) else {
        return BTreeSet::new();
    };
    let actions = told["actions"].as_array().cloned().unwrap_or_default();
    let words = actions.iter().map(|a| {
        format!(
            "{} {}",
            a["action"].as_str().unwrap(),
            a["path"].as_str().unwrap()
        )
    });
    words
        .filter(|words| !words.starts_with("create") && !words.starts_with("mkdir"))
        .collect()
}

/// All contents that either side holds, in its tree or its snapshots.
fn contents(world: &World) -> BTreeSet<Vec<u8>> {
    let of = |dir: &Dir| -> Vec<Vec<u8>> {
        let files = dir
            .touch()
            .into_keys()
            .filter(|at| dir.at(at).symlink_metadata().unwrap().is_file());
        files.map(|at| dir.read(at)).collect()
    };
    of(&world.a).into_iter().chain(of(&world.hub())).collect()
}

/// Looks with one byte flipped; gives whether anything was noticed.
fn look(world: &World, name: &str, right: &[BTreeSet<String>; 2], trees: &[Tree; 2]) -> bool {
    let a = &world.a;
    let status = a.rsyn(&["status", "--json"]);
    behaved(&status, name);
    let mut noticed = status.code != 0 || status.all().contains("damaged");
    for (verb, right) in ["pull", "push"].iter().zip(right) {
        let run = a.rsyn(&[verb, "--dry-run", "--json"]);
        behaved(&run, name);
        let more: Vec<_> = harm(&run).difference(right).cloned().collect();
        assert!(more.is_empty(), "{name}: {verb} would {more:?}");
        noticed |= run.code != 0 || harm(&run) != *right || run.all().contains("damaged");
    }
    behaved(&a.rsyn(&["recover"]), name);
    assert!(
        world.trees() == *trees,
        "{name}: a tree was changed by looking"
    );
    noticed
}

/// The trees of both sides before a real sync.
fn held(trees: &[Tree; 2]) -> BTreeSet<Vec<u8>> {
    let content = |seen: &crate::support::tree::Seen| match seen {
        crate::support::tree::Seen::File(_, _, content) => Some(content.clone()),
        _ => None,
    };
    trees
        .iter()
        .flat_map(|tree| tree.values().filter_map(content))
        .collect()
}

#[test]
fn a_flipped_byte_of_any_state_file_misleads_nobody() {
    let counts = std::sync::Mutex::new((0, 0, 0));
    sample::in_two(|part| {
        let world = World::new();
        let trees = world.trees();
        let right =
            ["pull", "push"].map(|verb| harm(&world.a.rsyn(&[verb, "--dry-run", "--json"])));
        assert!(
            right[0].contains("delete gone there") && right[1].contains("delete gone here"),
            "{right:?}"
        );
        world.copy("a", "kept-a");
        world.copy("hub", "kept-hub");
        let mut flips = Vec::new();
        for (side, root) in [("a", &*world.a), ("hub", &world.hub())] {
            for file in state_files(root) {
                flips.extend((0..root.read(&file).len()).map(|at| (side, file.clone(), at)));
            }
        }
        for (number, (side, file, at)) in part.sparse(flips).into_iter().enumerate() {
            let name = format!("{side}/{file}, byte {at}");
            let root = world.sandbox.dir(side);
            let bytes = root.read(&file);
            root.write(&file, flipped(&bytes, at));
            let noticed = look(&world, &name, &right, &trees);
            let mut synced = 0;
            if number % 6 == 0 {
                let before = held(&trees);
                let run = world.a.rsyn(&["sync", "-y", "--on-conflict", "both"]);
                behaved(&run, &name);
                let lost = before.difference(&contents(&world)).count();
                assert_eq!(lost, 0, "{name}: a sync lost something: {}", run.all());
                for root in [&*world.a, &world.hub()] {
                    assert!(
                        root.has("kept") && root.has("edited here") && root.has("edited there"),
                        "{name}"
                    );
                }
                synced = 1;
            }
            world.copy("kept-a", "a");
            world.copy("kept-hub", "hub");
            let mut counts = counts.lock().unwrap();
            *counts = (
                counts.0 + 1,
                counts.1 + usize::from(noticed),
                counts.2 + synced,
            );
        }
    });
    let (flips, noticed, synced) = *counts.lock().unwrap();
    println!("state: {flips} flips, {noticed} of them noticed, {synced} followed by a sync");
}

/// Names below a directory of transactions that hold this marker.
fn has_marker(root: &Path, marker: &str) -> bool {
    let entries = std::fs::read_dir(root.join(".rsyn/txn"))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .into_iter()
        .any(|entry| entry.path().join(marker).exists())
}

/// A machine whose pull was killed when `marker` stood, with the trees before and after; `None` if it was done
/// too soon.
fn killed_at(marker: &str) -> Option<(Sandbox, Machine, [Tree; 2])> {
    let sandbox = Sandbox::new();
    let a = sandbox.project("a");
    for number in 0..60 {
        a.write(
            format!("d{}/{number}", number % 5),
            format!("{number}, first"),
        );
    }
    a.ok(&["push"]);
    let hub = sandbox.hub();
    for number in 0..60 {
        match number % 3 {
            0 => hub.write(
                format!("d{}/{number}", number % 5),
                format!("{number}, second"),
            ),
            1 => hub.remove(format!("d{}/{number}", number % 5)),
            _ => hub.write(
                format!("new{}/{number}", number % 4),
                format!("{number}, new"),
            ),
        }
    }
    let (old, new) = (a.tree(), hub.tree());
    let mut child = a
        .command(&["pull", "-y", "--force"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !has_marker(&a.0, marker) && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    has_marker(&a.0, marker).then_some((sandbox, a, [old, new]))
}

/// Flips bytes of the journal of an interrupted pull, one at a time; then lets it be recovered as it was.
fn flips_of_a_journal(marker: &str) -> usize {
    let found = (0..60).find_map(|_| killed_at(marker));
    let (_sandbox, a, trees) =
        found.unwrap_or_else(|| panic!("no pull could be killed at {marker}"));
    let txn = a.names(".rsyn/txn").remove(0);
    let stuck = a.tree();
    let mut flips = Vec::new();
    for file in ["plan", "PREPARED", "COMMITTED"] {
        let path = format!(".rsyn/txn/{txn}/{file}");
        if a.has(&path) {
            flips.extend((0..a.read(&path).len()).map(|at| (path.clone(), at)));
        }
    }
    let mut cases = 0;
    for (path, at) in sample::some(flips, 20) {
        let name = format!("{path}, byte {at}, killed at {marker}");
        let bytes = a.read(&path);
        a.write(&path, flipped(&bytes, at));
        for verb in [
            &["recover"][..],
            &["pull", "-y"],
            &["status"],
            &["pull", "--dry-run"],
        ] {
            let run = a.rsyn(verb);
            behaved(&run, &name);
            assert!(
                a.tree() == stuck,
                "{name}: {verb:?} changed the tree: {}",
                run.all()
            );
            assert!(
                run.code != 0 || !run.all().contains("in step"),
                "{name}: {}",
                run.all()
            );
        }
        let refused = a.rsyn(&["recover"]).exits(6);
        // A byte of its version makes it one of another version.
        let named = refused.all().contains("damaged") || refused.all().contains("has version");
        assert!(named, "{name}: {}", refused.all());
        a.write(&path, &bytes);
        cases += 1;
    }
    a.ok(&["recover"]);
    assert!(
        trees.contains(&a.tree()),
        "killed at {marker}: neither the old nor the new tree"
    );
    cases
}

#[test]
fn a_flipped_byte_of_the_journal_of_an_interrupted_pull_is_not_believed() {
    for marker in ["PREPARED", "COMMITTED"] {
        println!(
            "journal, killed at {marker}: {} flips, all refused",
            flips_of_a_journal(marker)
        );
    }
}
