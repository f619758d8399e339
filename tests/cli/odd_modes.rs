//! Directories that lack a bit of their owner: what a dry run shows is what the run does, for an ordinary user.
//!
//! `RSYN_MODES` sets how many pairs of trees (default 24), `RSYN_MODES_SEED` the first seed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::{Machine, Run, Sandbox};

/// Who runs the program where the test is root, who may do everything.
const ORDINARY: u32 = 1000;
const DIR_MODES: [u32; 20] = [
    0o755, 0o755, 0o755, 0o700, 0o555, 0o500, 0o444, 0o400, 0o644, 0o600, 0o311, 0o100, 0o111,
    0o300, 0o200, 0o333, 0o000, 0o711, 0o750, 0o577,
];
const FILE_MODES: [u32; 8] = [0o644, 0o644, 0o644, 0o600, 0o444, 0o400, 0o200, 0o000];
const DIRS: [&str; 4] = ["d", "d/e", "d/e/f", "g"];
const FILES: [&str; 9] = [
    "a", "d/a", "d/b", "d/e/a", "d/e/b", "d/e/f/a", "g/a", "g/b", "h",
];

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Path to permission bits, and of a file its content.
type Tree = BTreeMap<&'static str, (u32, Option<u8>)>;

fn grow(random: &mut Random, tree: &mut Tree) {
    for dir in DIRS {
        if random.below(3) > 0 {
            tree.insert(dir, (random.pick(&DIR_MODES), None));
        } else if random.below(3) == 0 {
            tree.remove(dir);
        }
    }
    for file in FILES {
        match random.below(4) {
            0 => drop(tree.remove(file)),
            1 => {}
            _ => {
                let content = b"xyz"[random.below(3)];
                tree.insert(file, (random.pick(&FILE_MODES), Some(content)));
            }
        }
    }
    // A file where the other side may have a directory.
    if random.below(8) == 0 {
        tree.insert("d/e", (0o644, Some(b'f')));
    }
    // Parents come before what is inside.
    let mut dirs = Vec::new();
    tree.retain(|path, (_, content)| {
        let stays = path
            .rsplit_once('/')
            .is_none_or(|(dir, _)| dirs.contains(&dir));
        if stays && content.is_none() {
            dirs.push(*path);
        }
        stays
    });
}

/// Makes what stands below `top` the same as `tree`, all of it owned by who runs the program.
fn put(top: &Path, tree: &Tree) {
    fs::create_dir_all(top).unwrap();
    crate::support::make_removable(top);
    for path in DIRS.iter().chain(&FILES) {
        let (at, want) = (top.join(path), tree.get(path));
        let Ok(there) = fs::symlink_metadata(&at) else {
            continue;
        };
        let stays = want.is_some_and(|(_, content)| content.is_none() == there.is_dir());
        match stays {
            true => {}
            false if there.is_dir() => fs::remove_dir_all(&at).unwrap(),
            false => fs::remove_file(&at).unwrap(),
        }
    }
    for (path, (_, content)) in tree {
        let at = top.join(path);
        match content {
            None => fs::create_dir_all(&at).unwrap(),
            // What has its content keeps its time.
            Some(content) if fs::read(&at).is_ok_and(|there| there == [*content]) => {}
            Some(content) => fs::write(&at, [*content]).unwrap(),
        }
    }
    for (path, (mode, _)) in tree.iter().rev() {
        fs::set_permissions(top.join(path), fs::Permissions::from_mode(*mode)).unwrap();
    }
    give_away(top);
}

fn give_away(top: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    lchown(top, Some(ORDINARY), Some(ORDINARY)).unwrap();
    if fs::symlink_metadata(top).unwrap().is_dir() {
        for entry in fs::read_dir(top).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

fn run(machine: &Machine, args: &[&str]) -> Run {
    let mut command = machine.command(args);
    if rustix::process::geteuid().is_root() {
        command.uid(ORDINARY).gid(ORDINARY);
    }
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: output.stderr,
        line: args.join(" "),
    }
}

/// What is at each path: permission bits, and of a file its content. Root sees all; others open it up first.
fn look(top: &Path) -> BTreeMap<String, (u32, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    for path in DIRS.iter().chain(&FILES) {
        let Ok(there) = fs::symlink_metadata(top.join(path)) else {
            continue;
        };
        let content = there
            .is_file()
            .then(|| fs::read(top.join(path)).unwrap_or_default());
        found.insert((*path).to_owned(), (there.mode() & 0o777, content));
    }
    found
}

/// One pair of trees; gives whether the run changed anything.
fn try_one(seed: u64) -> bool {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..8 {
        random.below(2);
    }
    let world = Sandbox::new();
    let (a, hub) = (world.project("a"), world.hub());
    let [mut here, mut there] = [Tree::new(), Tree::new()];
    if random.below(2) == 0 {
        let mut both = Tree::new();
        grow(&mut random, &mut both);
        both.values_mut().for_each(|what| what.0 |= 0o700);
        put(&a.0, &both);
        give_away(&world.dir("").0);
        assert_eq!(run(&a, &["push", "-y"]).code, 0, "seed {seed}");
        (here, there) = (both.clone(), both);
    }
    grow(&mut random, &mut here);
    grow(&mut random, &mut there);
    put(&a.0, &here);
    put(&hub.0, &there);
    give_away(&world.dir("").0);
    let verb = random.pick(&["push", "pull", "sync", "sync"]);
    let more = random.pick(&[&[][..], &[], &["--mirror"], &["--no-delete"]]);
    let more = if verb == "sync" { &[][..] } else { more };
    let args = |dry: &[&'static str]| [&[verb, "-y", "--json", "--force"][..], more, dry].concat();

    let before = [look(&a.0), look(&hub.0)];
    let dry = run(&a, &args(&["-n"]));
    assert_eq!(
        before,
        [look(&a.0), look(&hub.0)],
        "seed {seed}: the dry run changed something"
    );
    let done = run(&a, &args(&[]));
    let story = || {
        let dry = (dry.code, dry.all());
        format!(
            "seed {seed}: {:?}\nhere {here:?}\nthere {there:?}\ndry run {} {}\nrun {} {}",
            args(&[]),
            dry.0,
            dry.1,
            done.code,
            done.all()
        )
    };
    assert_eq!(dry.code, done.code, "{}", story());
    if done.code != 0 {
        assert_eq!(before, [look(&a.0), look(&hub.0)], "{}", story());
        return false;
    }
    assert_eq!(dry.actions(), done.actions(), "{}", story());
    assert_eq!(dry.json()["kept"], done.json()["kept"], "{}", story());
    !done.actions().is_empty()
}

#[test]
fn a_dry_run_shows_what_the_run_does_whatever_bits_directories_lack() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |v| v.parse().unwrap());
    let first: u64 = number("RSYN_MODES_SEED", 1);
    let many: u64 = number("RSYN_MODES", 24);
    let (next, changed) = (AtomicU64::new(first), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + many {
                        break;
                    }
                    changed.fetch_add(u64::from(try_one(seed)), Ordering::Relaxed);
                }
            });
        }
    });
    let changed = changed.into_inner();
    assert!(
        changed > many / 3,
        "only {changed} of {many} runs changed anything"
    );
}
