//! Trees before and after, and a run of the whole protocol between them.
#![expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]

mod carried;
mod closed;
mod crash;
mod editor;
mod editors;
mod group;
mod in_use;
mod late;
mod linked;
mod ops;
mod placed;
mod power;
mod races;
mod renamed;
mod rollback;
mod staging;
mod unsynced;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::disk::{Holder, Lock, Root};
use crate::model::{Digest, Mode, Mtime};

/// What stands at a path of a test tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obj {
    File(&'static str, u16),
    Dir(u16),
    Link(&'static str),
}
pub(super) use Obj::{Dir as D, File as F, Link as L};

/// Path to object.
pub(super) type Tree = BTreeMap<&'static str, Obj>;

pub(super) fn tree<const N: usize>(rows: [(&'static str, Obj); N]) -> Tree {
    rows.into_iter().collect()
}

/// Content and mtime go together, so that a listing shows a wrong mtime, too.
fn mtime_of(content: &str) -> Mtime {
    Mtime {
        secs: 1_500_000_000 + i64::try_from(content.len()).unwrap(),
        nanos: 123_456_789,
    }
}

impl Obj {
    pub(super) fn node(&self) -> Node {
        match self {
            F(content, mode) => Node::File {
                size: content.len() as u64,
                digest: Digest::of(content.as_bytes()),
                mode: Mode::from(*mode),
                mtime: mtime_of(content),
            },
            D(mode) => Node::Dir {
                mode: Mode::from(*mode),
            },
            L(target) => Node::Symlink {
                target: target.as_bytes().into(),
                mtime: mtime_of(target),
            },
        }
    }
}

/// A line per object outside of the state directory: kind, mode, mtime, content.
pub(super) type Listing = BTreeMap<String, String>;

pub(super) fn listing_of(tree: &Tree) -> Listing {
    let line = |obj: &Obj| match obj {
        F(content, mode) => format!("file {mode:o} {:?} {content:?}", mtime_of(content)),
        D(mode) => format!("dir {mode:o}"),
        L(target) => format!("link {:?} {target:?}", mtime_of(target)),
    };
    tree.iter()
        .map(|(path, obj)| ((*path).to_owned(), line(obj)))
        .collect()
}

pub(super) fn listing(top: &Path) -> Listing {
    let mut found = Listing::new();
    let mut todo: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            if name == ".rsyn" {
                continue;
            }
            let mtime = Mtime {
                secs: meta.mtime(),
                nanos: u32::try_from(meta.mtime_nsec()).unwrap(),
            };
            let mode = meta.mode() & 0o7777;
            let line = if meta.is_dir() {
                todo.push(path);
                format!("dir {mode:o}")
            } else if meta.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                format!("link {mtime:?} {:?}", target.to_str().unwrap())
            } else {
                let content = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
                format!("file {mode:o} {mtime:?} {content:?}")
            };
            found.insert(name, line);
        }
    }
    found
}

/// A root with a tree in it, and the changes towards another one.
pub(super) struct Scene {
    pub(super) temp: tempfile::TempDir,
    pub(super) root: Root,
    pub(super) old: Tree,
    pub(super) new: Tree,
    /// Whether the scan's `lstat` goes with the preconditions.
    pub(super) with_seen: bool,
    pub(super) keep_snapshot: bool,
}

impl Scene {
    pub(super) fn new(old: &Tree, new: &Tree) -> Self {
        let temp = tempfile::tempdir().unwrap();
        put_tree(temp.path(), old);
        let root = Root::open(temp.path()).unwrap();
        let (old, new) = (old.clone(), new.clone());
        let scene = Self {
            temp,
            root,
            old,
            new,
            with_seen: true,
            keep_snapshot: true,
        };
        assert_eq!(scene.listing(), listing_of(&scene.old));
        scene
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.temp.path().join(path)
    }

    pub(super) fn listing(&self) -> Listing {
        listing(self.temp.path())
    }

    pub(super) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    pub(super) fn lock(&self) -> Lock {
        std::fs::create_dir_all(self.path(".rsyn")).unwrap();
        let state = self.root.top().open_dir(b".rsyn").unwrap();
        let holder = Holder {
            pid: 1,
            machine: String::new(),
            verb: String::new(),
            since: 0,
        };
        Lock::exclusive(&state, &holder).unwrap()
    }

    /// The changes from `old` to `new`.
    pub(super) fn changes(&self) -> Vec<Change> {
        let paths: std::collections::BTreeSet<_> = self.old.keys().chain(self.new.keys()).collect();
        let mut changes = Vec::new();
        for (slot, path) in (0..).zip(paths) {
            let (old, new) = (self.old.get(path), self.new.get(path));
            if old == new {
                continue;
            }
            let path = RelPath::new(path.as_bytes()).unwrap();
            let seen = self.root.stat(&path).unwrap().filter(|_| self.with_seen);
            let same_content = |old: Option<&Obj>, new: &Obj| {
                old.is_some_and(|o| o.node().same_content(&new.node()))
            };
            changes.push(Change {
                path,
                old: old.map(|old| Expected::new(old.node(), seen)),
                new: new.map(|new| NewNode {
                    node: new.node(),
                    slot: (!same_content(old, new)).then_some(slot),
                }),
            });
        }
        changes
    }

    pub(super) fn stage(&self, changes: &[Change]) -> Result<Staging, StageError> {
        let staging = Staging::begin(&self.root)?;
        staging.arrange(changes.iter().filter_map(super::carried::arrival));
        let renamed = renamed(changes);
        for change in changes {
            let Some(NewNode {
                node,
                slot: Some(slot),
            }) = &change.new
            else {
                continue;
            };
            let path = std::str::from_utf8(change.path.as_bytes()).unwrap();
            match (node, &self.new[path]) {
                (
                    Node::File {
                        mode,
                        mtime,
                        digest,
                        size,
                    },
                    F(content, _),
                ) => {
                    if let Some(from) = renamed.get(slot)
                        && staging.rename(*slot, &self.root, (from, &change.path), node)?
                    {
                        continue;
                    }
                    // Either way to stage a file is used.
                    if slot % 2 == 0 {
                        let content = content.as_bytes();
                        staging.stager().file(*slot, node.clone(), content)?;
                        continue;
                    }
                    let mut file = staging.file(*slot, *digest, *size)?;
                    file.append(content.as_bytes())?;
                    file.finish(*mode, *mtime)?;
                }
                (Node::Dir { mode }, _) => staging.dir(*slot, *mode)?,
                (Node::Symlink { target, mtime }, _) => staging.symlink(*slot, target, *mtime)?,
                other => panic!("{other:?}"),
            }
        }
        Ok(staging)
    }

    /// Stages and commits all changes. The base is a file that holds the payload.
    pub(super) fn run(&self, lock: &Lock) -> Result<Committed, CommitError> {
        let changes = self.changes();
        let staging = self.stage(&changes)?;
        self.commit(lock, staging, changes, None)
    }

    pub(super) fn commit(
        &self,
        lock: &Lock,
        staging: Staging,
        changes: Vec<Change>,
        consumes: Option<TxnId>,
    ) -> Result<Committed, CommitError> {
        let request = Request {
            changes,
            payload: b"new base".to_vec(),
            label: Label {
                verb: "pull".into(),
                when: 1_700_000_000,
                ..Label::default()
            },
            keep_snapshot: self.keep_snapshot,
            consumes,
            interrupted: &|| false,
        };
        commit(&self.root, lock, staging, request, &mut |id, payload| {
            self.finish(id, payload)
        })
    }

    pub(super) fn finish(
        &self,
        _: &TxnId,
        payload: &[u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let state = self.root.top().open_dir(b".rsyn")?;
        Ok(crate::disk::durable::replace(&state, b"base", payload)?)
    }

    pub(super) fn recover(&self, lock: &Lock) -> Result<Recovery, CommitError> {
        recover(&self.root, lock, &mut |id, payload| {
            self.finish(id, payload)
        })
    }

    pub(super) fn base_is_new(&self) -> bool {
        self.path(".rsyn/base").exists()
    }

    /// Whether an object of the tree has a second name in a snapshot, which would change with it.
    pub(super) fn shares_with_snapshots(&self) -> bool {
        let paths = walk(self.temp.path()).into_iter().filter(|p| !p.is_dir());
        let inode = |path: &PathBuf| std::fs::symlink_metadata(path).unwrap().ino();
        let (kept, tree): (Vec<_>, Vec<_>) =
            paths.partition(|path| path.starts_with(self.path(".rsyn/snap")));
        let kept: std::collections::BTreeSet<_> = kept.iter().map(inode).collect();
        tree.iter().any(|path| kept.contains(&inode(path)))
    }

    /// Names left in a part of the state directory.
    pub(super) fn left_in(&self, part: &str) -> usize {
        std::fs::read_dir(self.path(".rsyn").join(part)).map_or(0, Iterator::count)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Read-only directories would keep an unprivileged test from cleaning up.
        for (path, line) in self.listing() {
            if line.starts_with("dir") {
                let open = std::fs::Permissions::from_mode(0o700);
                std::fs::set_permissions(self.path(&path), open).unwrap();
            }
        }
    }
}

/// Everything below `top`, links not followed.
pub(super) fn walk(top: &Path) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![top.to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                todo.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

fn put_tree(top: &Path, tree: &Tree) {
    for (path, obj) in tree {
        put(&top.join(path), obj);
    }
    // Deepest first, when the children are there.
    for (path, obj) in tree.iter().rev() {
        if let D(mode) = obj {
            let mode = std::fs::Permissions::from_mode((*mode).into());
            std::fs::set_permissions(top.join(path), mode).unwrap();
        }
    }
}

pub(super) fn put(path: &Path, obj: &Obj) {
    match obj {
        F(content, mode) => {
            std::fs::write(path, content).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode((*mode).into()))
                .unwrap();
            set_mtime(path, mtime_of(content));
        }
        D(_) => std::fs::create_dir(path).unwrap(),
        L(target) => {
            symlink(target, path).unwrap();
            set_mtime(path, mtime_of(target));
        }
    }
}

pub(super) fn set_mtime(path: &Path, mtime: Mtime) {
    let dir = Root::open(path.parent().unwrap()).unwrap();
    dir.top()
        .set_mtime(path.file_name().unwrap().as_bytes(), mtime)
        .unwrap();
}

/// The old version of a file that the snapshot `id` keeps.
pub(super) fn read_old(scene: &Scene, id: &TxnId, path: &str) -> Result<String, RestoreError> {
    let path = RelPath::new(path.as_bytes()).unwrap();
    let mut content = Vec::new();
    old_versions(&scene.root, Some(id), &path)?.read(&scene.root, &path, &mut content)?;
    Ok(String::from_utf8(content).unwrap())
}

/// The slots of files that come to where nothing stands, as they are, from paths that they leave.
pub(super) fn renamed(changes: &[Change]) -> BTreeMap<u32, RelPath> {
    let goes = |change: &&Change| change.new.is_none();
    let mut gone: Vec<_> = changes.iter().filter(goes).collect();
    let mut find = |change: &Change| {
        let new = change.new.as_ref().filter(|_| change.old.is_none())?;
        let same = |gone: &&Change| gone.old.as_ref().is_some_and(|old| old.node == new.node);
        let at = gone.iter().position(same)?;
        Some((new.slot?, gone.remove(at).path.clone()))
    };
    changes.iter().filter_map(&mut find).collect()
}

/// Commits, and asks `interrupted` between moves.
pub(super) fn commit_with(
    scene: &Scene,
    staging: Staging,
    changes: Vec<Change>,
    interrupted: &dyn Fn() -> bool,
) -> Result<Committed, CommitError> {
    let request = Request {
        changes,
        payload: Vec::new(),
        label: Label::default(),
        keep_snapshot: true,
        consumes: None,
        interrupted,
    };
    let finish = &mut |id: &TxnId, payload: &[u8]| scene.finish(id, payload);
    commit(&scene.root, &scene.lock(), staging, request, finish)
}

/// Every kind of operation, each with its name.
pub(super) fn scenarios() -> Vec<(&'static str, Tree, Tree)> {
    let none = || tree([("stays", F("unchanged", 0o644))]);
    let with = |rows: &[(&'static str, Obj)]| {
        let mut tree = none();
        tree.extend(rows.iter().cloned());
        tree
    };
    let a = || with(&[("a", F("one", 0o644))]);
    let filled = with(&[
        ("a", D(0o755)),
        ("a/x", F("x", 0o600)),
        ("a/s", D(0o700)),
        ("a/s/y", L("z")),
    ]);
    vec![
        ("create a file", none(), a()),
        ("replace a file", a(), with(&[("a", F("another", 0o755))])),
        ("delete a file", a(), none()),
        (
            "change the mode of a file",
            a(),
            with(&[("a", F("one", 0o400))]),
        ),
        ("create an empty file", none(), with(&[("a", F("", 0o600))])),
        ("create a link", none(), with(&[("a", L("/nowhere"))])),
        (
            "replace a link",
            with(&[("a", L("here"))]),
            with(&[("a", L("there!"))]),
        ),
        ("delete a link", with(&[("a", L("here"))]), none()),
        ("a file becomes a link", a(), with(&[("a", L("x"))])),
        ("a link becomes a file", with(&[("a", L("x"))]), a()),
        ("create a filled directory", none(), filled.clone()),
        ("delete a filled directory", filled.clone(), none()),
        ("a file becomes a filled directory", a(), filled.clone()),
        ("a filled directory becomes a file", filled.clone(), a()),
        (
            "a link becomes a filled directory",
            with(&[("a", L("."))]),
            filled.clone(),
        ),
        (
            "a filled directory becomes a link",
            filled.clone(),
            with(&[("a", L("b"))]),
        ),
        (
            "change the mode of a directory",
            with(&[("a", D(0o755))]),
            with(&[("a", D(0o500))]),
        ),
        (
            "fill a read-only directory",
            with(&[("a", D(0o555))]),
            with(&[("a", D(0o500)), ("a/x", F("x", 0o444))]),
        ),
        (
            "create a read-only directory",
            none(),
            with(&[("a", D(0o555)), ("a/b", D(0o555)), ("a/b/x", F("x", 0o444))]),
        ),
        (
            "delete a read-only directory",
            with(&[("a", D(0o555)), ("a/b", D(0o555)), ("a/b/x", F("x", 0o444))]),
            none(),
        ),
        ("rename a file", a(), with(&[("b", F("one", 0o644))])),
        (
            "rename a file and replace another",
            with(&[("a", F("one", 0o400)), ("c", F("two", 0o644))]),
            with(&[("b", F("one", 0o400)), ("c", F("three", 0o644))]),
        ),
        (
            "rename a filled directory",
            filled.clone(),
            with(&[
                ("b", D(0o755)),
                ("b/t", D(0o700)),
                ("b/t/y", L("z")),
                ("b/x", F("x", 0o600)),
            ]),
        ),
        (
            "move files out of a read-only directory into another",
            with(&[
                ("a", D(0o555)),
                ("a/x", F("x", 0o444)),
                ("a/y", F("y", 0o600)),
                ("b", D(0o555)),
            ]),
            with(&[
                ("a", D(0o500)),
                ("b", D(0o555)),
                ("b/x", F("x", 0o444)),
                ("b/z", F("y", 0o600)),
            ]),
        ),
        (
            "a file goes into a directory of its name",
            with(&[("a", F("one", 0o644)), ("b", F("two", 0o644))]),
            with(&[("a", D(0o755)), ("a/b", F("two", 0o644))]),
        ),
        ("everything at once", everything().0, everything().1),
    ]
}

fn everything() -> (Tree, Tree) {
    let old = tree([
        ("bin", D(0o755)),
        ("bin/run", F("run", 0o644)),
        ("docs", D(0o755)),
        ("docs/a.md", F("chapter a", 0o644)),
        ("docs/old", D(0o750)),
        ("docs/old/x", F("x", 0o600)),
        ("docs/old/y", L("x")),
        ("latest", L("v1")),
        ("notes", F("some notes", 0o644)),
        ("same", F("same", 0o644)),
        ("src", D(0o755)),
        ("src/lib", F("library", 0o644)),
        ("vendor", D(0o555)),
        ("vendor/code", F("vendored", 0o444)),
    ]);
    let new = tree([
        ("bin", D(0o755)),
        ("bin/run", F("run", 0o755)),
        ("docs", F("docs are a file now", 0o644)),
        ("extra", D(0o700)),
        ("extra/deep", D(0o500)),
        ("extra/deep/file", F("deep", 0o400)),
        ("latest", L("v2!")),
        ("notes", D(0o755)),
        ("notes/today", F("notes of today", 0o644)),
        ("same", F("same", 0o644)),
        ("src", D(0o750)),
        ("src/lib", F("library, improved", 0o644)),
        ("src/main", F("main", 0o644)),
    ]);
    (old, new)
}
