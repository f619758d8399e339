//! Trees as these tests read them, with code of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::model::{Digest, Node};
use crate::plan::Plan;

/// What stands at a path. Links have no mtime here: nothing sets one by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Dir(u32),
    File(u32, (i64, u32), Digest),
    Link(Digest),
}

/// Path to object, without the state.
pub(super) type Tree = BTreeMap<Vec<u8>, Seen>;

impl Seen {
    /// What must not be lost: a directory alone is nothing.
    pub(super) fn content(&self) -> Option<Digest> {
        match self {
            Self::Dir(_) => None,
            Self::File(_, _, content) | Self::Link(content) => Some(*content),
        }
    }

    fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Dir { mode } => Some(Self::Dir(mode.bits().into())),
            Node::File {
                digest,
                mode,
                mtime,
                ..
            } => Some(Self::File(
                mode.bits().into(),
                (mtime.secs, mtime.nanos),
                *digest,
            )),
            Node::Symlink { target, .. } => Some(Self::Link(of_link(target))),
            Node::Skipped(_) => None,
        }
    }
}

fn of_link(target: &[u8]) -> Digest {
    Digest::of(&[b"link to ", target].concat())
}

/// Whether a difference of the two is one that a sync carries.
pub(super) fn same(a: Option<&Seen>, b: Option<&Seen>) -> bool {
    match (a, b) {
        (Some(Seen::File(mode, _, content)), Some(Seen::File(other, _, same))) => {
            (mode, content) == (other, same)
        }
        (a, b) => a == b,
    }
}

/// The tree at `root`; nothing if there is none.
pub(super) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    read_below(root, &[], &mut tree);
    tree
}

fn read_below(root: &Path, above: &[u8], tree: &mut Tree) {
    let Ok(entries) = fs::read_dir(root) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if above.is_empty() && name == ".rsyn" {
            continue;
        }
        let mut path = above.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        let (seen, is_dir) = look_at(&entry.path());
        if is_dir {
            read_below(&entry.path(), &path, tree);
        }
        tree.insert(path, seen);
    }
}

fn look_at(path: &Path) -> (Seen, bool) {
    let meta = fs::symlink_metadata(path).unwrap();
    let mode = meta.mode() & 0o7777;
    if meta.is_dir() {
        return (Seen::Dir(mode), true);
    }
    if meta.is_symlink() {
        let target = fs::read_link(path).unwrap();
        return (Seen::Link(of_link(target.as_os_str().as_bytes())), false);
    }
    let mtime = (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap());
    let content = Digest::of(&fs::read(path).unwrap());
    (Seen::File(mode, mtime, content), false)
}

/// All contents below a directory.
pub(super) fn contents(dir: &Path) -> BTreeSet<Digest> {
    let mut tree = Tree::new();
    read_below(dir, b"below", &mut tree);
    tree.values().filter_map(Seen::content).collect()
}

/// Names in a directory; none if there is no such.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The tree once `plan` was carried out.
pub(super) fn after(tree: &Tree, plan: &Plan) -> Tree {
    let mut after = tree.clone();
    for action in &plan.actions {
        let path = action.path.as_bytes().to_vec();
        match action.new.as_ref().and_then(Seen::of) {
            Some(seen) => after.insert(path, seen),
            None => after.remove(&path),
        };
    }
    // A directory that holds what stays, stays.
    for (path, seen) in tree {
        let below = [path.as_slice(), b"/"].concat();
        if matches!(seen, Seen::Dir(_)) && after.keys().any(|p| p.starts_with(&below)) {
            after.entry(path.clone()).or_insert_with(|| seen.clone());
        }
    }
    after
}

/// The tree in a few letters.
pub(super) fn digest(tree: &Tree) -> String {
    let mut text = String::new();
    for (path, seen) in tree {
        writeln!(text, "{} {seen:?}", path.escape_ascii()).unwrap();
    }
    Digest::of(text.as_bytes()).to_string()[..8].to_owned()
}

/// Both trees where they differ.
pub(super) fn difference(a: &Tree, b: &Tree) -> String {
    let paths: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let mut text = String::new();
    for path in paths {
        let (a, b) = (a.get(path), b.get(path));
        if a != b {
            writeln!(text, "  {}: {a:?} | {b:?}", path.escape_ascii()).unwrap();
        }
    }
    text
}

/// A copy with modes and mtimes, as a backup makes it. Sockets and the like there are none.
pub(super) fn copy(from: &Path, to: &Path) {
    let meta = fs::symlink_metadata(from).unwrap();
    if meta.is_symlink() {
        return symlink(fs::read_link(from).unwrap(), to).unwrap();
    }
    if meta.is_dir() {
        fs::create_dir(to).unwrap();
        for name in names(from) {
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::copy(from, to).unwrap();
        let nanos = u32::try_from(meta.mtime_nsec()).unwrap();
        let since = Duration::new(u64::try_from(meta.mtime()).unwrap(), nanos);
        let file = fs::File::options().write(true).open(to);
        // A file that nobody may write keeps the time of its copy; users here make none.
        file.unwrap().set_modified(UNIX_EPOCH + since).unwrap();
    }
    fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777)).unwrap();
}

/// Removes whatever stands there.
pub(super) fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}
