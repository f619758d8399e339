//! Real processes die by SIGKILL at random moments of a commit; what they leave is recovered.
//!
//! The unit tests stop the engine before each of its calls; here nothing of it is simulated: the kernel
//! closes handles and frees locks, and syncs are real.
#![expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rsyn::disk::{Holder, Lock, Root, durable};
use rsyn::model::{Digest, Mode, Mtime, Node, RelPath};
use rsyn::transaction::{
    Change, CommitError, Committed, Expected, Label, NewNode, Recovery, Request, Staging, commit,
    inverse, recover, snapshots, state_dir,
};

/// Tells the child process which root to work on.
const ROOT: &str = "RSYN_TEST_CRASH_ROOT";
const FILES: usize = 120;
const ROUNDS: u32 = 24;
const MTIME: Mtime = Mtime {
    secs: 1_500_000_000,
    nanos: 7,
};

/// Path to content; `None` is a directory.
type Tree = BTreeMap<String, Option<String>>;

fn old_tree() -> Tree {
    (0..FILES)
        .flat_map(|n| {
            let dir = format!("d{}", n % 7);
            [
                (format!("{dir}/f{n}"), Some(format!("old {n}"))),
                (dir, None),
            ]
        })
        .collect()
}

/// A third of the files is replaced, a third deleted with whole directories, and as many are new.
fn new_tree() -> Tree {
    let mut tree = old_tree();
    tree.retain(|path, _| !path.starts_with("d1") && !path.starts_with("d2"));
    for n in 0..FILES {
        match n % 3 {
            0 => drop(
                tree.get_mut(&format!("d{}/f{n}", n % 7))
                    .map(|c| *c = Some(format!("new {n}"))),
            ),
            1 => {
                tree.insert("deep".into(), None);
                tree.insert("deep/er".into(), None);
                tree.insert(format!("deep/er/n{n}"), Some("x".repeat(n * 100)));
            }
            _ => {}
        }
    }
    tree.insert("d3/f3".into(), None);
    tree.insert(
        "d3/f3/inside".into(),
        Some("a file became a directory".into()),
    );
    tree
}

fn node(content: Option<&String>) -> Node {
    match content {
        None => Node::Dir {
            mode: Mode::from(0o755),
        },
        Some(text) => Node::File {
            size: text.len() as u64,
            digest: Digest::of(text.as_bytes()),
            mode: Mode::from(0o644),
            mtime: MTIME,
        },
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

fn lock(root: &Root) -> Lock {
    let holder = Holder {
        pid: 1,
        machine: String::new(),
        verb: String::new(),
        since: 0,
    };
    Lock::exclusive(&state_dir(root).unwrap(), &holder).unwrap()
}

fn write_base(root: &Root, payload: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(durable::replace(&state_dir(root)?, b"base", payload)?)
}

/// Changes the tree from `old` to `new`, whichever way round.
fn run(top: &Path, old: &Tree, new: &Tree) -> Result<Committed, CommitError> {
    let root = Root::open(top).unwrap();
    let staging = Staging::begin(&root).unwrap();
    let mut changes = Vec::new();
    let paths: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for (slot, name) in (0..).zip(paths) {
        let (was, will) = (old.get(name), new.get(name));
        if was == will {
            continue;
        }
        match will {
            None => {}
            Some(None) => staging.dir(slot, Mode::from(0o755)).unwrap(),
            Some(Some(text)) => {
                let digest = Digest::of(text.as_bytes());
                let mut file = staging.file(slot, digest, text.len() as u64).unwrap();
                file.append(text.as_bytes()).unwrap();
                file.finish(Mode::from(0o644), MTIME).unwrap();
            }
        }
        let expected = |content: &Option<String>| Expected::new(node(content.as_ref()), None);
        let new = will.map(|c| NewNode {
            node: node(c.as_ref()),
            slot: Some(slot),
        });
        changes.push(Change {
            path: path(name),
            old: was.map(expected),
            new,
        });
    }
    let request = Request {
        changes,
        payload: b"new".to_vec(),
        label: Label::default(),
        keep_snapshot: true,
        consumes: None,
        interrupted: &|| false,
    };
    commit(&root, &lock(&root), staging, request, &mut |_, base| {
        write_base(&root, base)
    })
}

fn recover_here(top: &Path) -> Recovery {
    let root = Root::open(top).unwrap();
    let lock = lock(&root);
    recover(&root, &lock, &mut |_, base| write_base(&root, base)).unwrap()
}

fn put_tree(top: &Path, tree: &Tree) {
    for (name, content) in tree {
        match content {
            None => std::fs::create_dir(top.join(name)).unwrap(),
            Some(text) => std::fs::write(top.join(name), text).unwrap(),
        }
    }
}

fn read_tree(top: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut todo: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            if name == ".rsyn" {
                continue;
            }
            if path.is_dir() {
                todo.push(path);
                tree.insert(name, None);
            } else {
                tree.insert(name, Some(std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    tree
}

/// Also what the child processes of the other tests run, on the root they are given.
#[test]
fn a_commit_in_a_process_of_its_own_gives_the_new_tree() {
    // A child makes nothing of its own: it would not live to clean it up.
    let own = std::env::var_os(ROOT)
        .is_none()
        .then(|| tempfile::tempdir().unwrap());
    let top = match &own {
        Some(temp) => {
            put_tree(temp.path(), &old_tree());
            temp.path().to_owned()
        }
        None => PathBuf::from(std::env::var_os(ROOT).unwrap()),
    };
    run(&top, &old_tree(), &new_tree()).unwrap();
    assert_eq!(read_tree(&top), new_tree());
}

fn start_commit(top: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_commit_in_a_process_of_its_own_gives_the_new_tree",
        ])
        .env(ROOT, top)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// When to kill.
#[derive(Debug, Clone, Copy)]
enum When {
    /// So long after the start.
    AfterStart(Duration),
    /// So long after moves may have begun.
    AfterPrepared(Duration),
}

/// Starts the commit in a child and kills it. Returns whether it had finished.
fn commit_and_kill(top: &Path, when: When) -> bool {
    let mut child = start_commit(top);
    match when {
        When::AfterStart(patience) => std::thread::sleep(patience),
        When::AfterPrepared(patience) => {
            while child.try_wait().unwrap().is_none() && !is_prepared(top) {}
            std::thread::sleep(patience);
        }
    }
    let finished = child
        .try_wait()
        .unwrap()
        .is_some_and(|status| status.success());
    child.kill().unwrap();
    child.wait().unwrap();
    finished
}

fn is_prepared(top: &Path) -> bool {
    let Ok(transactions) = std::fs::read_dir(top.join(".rsyn/txn")) else {
        return false;
    };
    transactions
        .flatten()
        .any(|entry| entry.path().join("PREPARED").exists())
}

#[test]
fn a_commit_killed_at_any_moment_is_recovered_to_the_old_or_the_new_tree() {
    let whole = {
        let temp = tempfile::tempdir().unwrap();
        put_tree(temp.path(), &old_tree());
        let start = Instant::now();
        assert!(start_commit(temp.path()).wait().unwrap().success());
        start.elapsed()
    };
    let mut endings = BTreeMap::<&str, u32>::new();
    for round in 0..ROUNDS {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path();
        put_tree(top, &old_tree());
        let fraction = whole * (round / 2) / ROUNDS;
        let when = match round % 2 {
            0 => When::AfterStart(2 * fraction),
            _ => When::AfterPrepared(fraction / 2),
        };
        let finished = commit_and_kill(top, when);
        let recovery = recover_here(top);
        let tree = read_tree(top);
        let is_new = tree == new_tree();
        assert!(
            is_new || tree == old_tree(),
            "round {round}, {when:?}: {recovery:?}: {tree:#?}"
        );
        assert!(is_new || !finished, "round {round}");
        assert!(recovery.attention.is_empty(), "round {round}: {recovery:?}");
        assert_eq!(top.join(".rsyn/base").exists(), is_new, "round {round}");
        assert!(recover_here(top).is_nothing(), "round {round}");
        let what = match (
            &recovery.undone,
            recovery.finished.is_empty(),
            recovery.discarded,
        ) {
            (Some(_), ..) => "undone",
            (None, false, _) => "finished",
            (None, true, 0) => "nothing to do",
            (None, true, _) => "put away",
        };
        *endings.entry(what).or_default() += 1;
        try_again(top, is_new);
    }
    eprintln!("{endings:?}");
    assert!(
        endings.len() > 1,
        "the kills always hit the same state: {endings:?}"
    );
}

/// Whatever the state was, the next sync works, and so does taking it back.
fn try_again(top: &Path, is_new: bool) {
    let (now, then) = if is_new {
        (new_tree(), old_tree())
    } else {
        (old_tree(), new_tree())
    };
    let committed = run(top, &now, &then).unwrap();
    assert_eq!(read_tree(top), then);
    let root = Root::open(top).unwrap();
    let newest = snapshots(&root).unwrap().remove(0).id;
    assert_eq!(Some(&newest), committed.snapshot.as_ref());
    let inverse = inverse(&root, &newest).unwrap();
    let staging = Staging::begin(&root).unwrap();
    inverse.stage(&root, &staging).unwrap();
    let request = Request {
        changes: inverse.changes,
        payload: b"back".to_vec(),
        label: Label::default(),
        keep_snapshot: true,
        consumes: Some(inverse.consumes),
        interrupted: &|| false,
    };
    commit(&root, &lock(&root), staging, request, &mut |_, base| {
        write_base(&root, base)
    })
    .unwrap();
    assert_eq!(read_tree(top), now);
}
