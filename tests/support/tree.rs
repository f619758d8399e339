//! Pictures of a tree: one of what is synchronised, one of everything that a write would leave a mark on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What is synchronised of an entry. A directory's mtime is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Permission bits, mtime in nanoseconds, content.
    File(u32, i128, Vec<u8>),
    /// Permission bits.
    Dir(u32),
    /// Target and mtime in nanoseconds.
    Link(Vec<u8>, i128),
    /// A FIFO, socket or device.
    Special,
}

/// Entries by path, without the state directory.
pub type Tree = BTreeMap<Vec<u8>, Seen>;

/// Inode, ctime, mtime, mode, length of every entry, the root itself and the state directory included.
pub type Touch = BTreeMap<Vec<u8>, (u64, i128, i128, u32, u64)>;

fn nanos(secs: i64, nanos: i64) -> i128 {
    i128::from(secs) * 1_000_000_000 + i128::from(nanos)
}

/// The synchronised tree below `root`; empty if there is none.
pub fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, b"", &mut |path, full, meta| {
        if path == b".rsyn" {
            return false;
        }
        let (mode, mtime) = (meta.mode() & 0o7777, nanos(meta.mtime(), meta.mtime_nsec()));
        let kind = meta.file_type();
        let seen = if kind.is_dir() {
            Seen::Dir(mode)
        } else if kind.is_symlink() {
            let target = fs::read_link(full).unwrap();
            Seen::Link(target.as_os_str().as_bytes().to_vec(), mtime)
        } else if kind.is_fifo() || kind.is_socket() {
            Seen::Special
        } else {
            Seen::File(mode, mtime, fs::read(full).unwrap())
        };
        tree.insert(path.to_vec(), seen);
        true
    });
    tree
}

/// Everything at and below `root`; empty if there is nothing.
pub fn touch(root: &Path) -> Touch {
    let mut touch = Touch::new();
    let mut note = |path: &[u8], meta: &fs::Metadata| {
        let ctime = nanos(meta.ctime(), meta.ctime_nsec());
        let mtime = nanos(meta.mtime(), meta.mtime_nsec());
        let marks = (meta.ino(), ctime, mtime, meta.mode(), meta.len());
        touch.insert(path.to_vec(), marks);
    };
    if let Ok(meta) = fs::symlink_metadata(root) {
        note(b"", &meta);
    }
    walk(root, b"", &mut |path, _, meta| {
        note(path, meta);
        true
    });
    touch
}

/// Calls `see` for each entry; one that answers `false` is not entered.
fn walk(dir: &Path, prefix: &[u8], see: &mut dyn FnMut(&[u8], &Path, &fs::Metadata) -> bool) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        let mut path = prefix.to_vec();
        if !prefix.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(entry.file_name().as_bytes());
        let meta = entry.metadata().unwrap();
        if see(&path, &entry.path(), &meta) && meta.is_dir() {
            walk(&entry.path(), &path, see);
        }
    }
}

fn differences<V: PartialEq + std::fmt::Debug>(
    left: &BTreeMap<Vec<u8>, V>,
    right: &BTreeMap<Vec<u8>, V>,
) -> String {
    let shown = |v: Option<&V>| {
        let mut text = format!("{v:?}");
        text.truncate(200);
        text
    };
    let paths: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let lines = paths
        .into_iter()
        .filter(|p| left.get(*p) != right.get(*p))
        .map(|p| {
            format!(
                "  {:?}: {} | {}\n",
                p.escape_ascii().to_string(),
                shown(left.get(p)),
                shown(right.get(p))
            )
        });
    lines.collect()
}

/// Both trees hold the same.
#[track_caller]
pub fn assert_same(left: &Tree, right: &Tree) {
    assert!(
        left == right,
        "the trees differ:\n{}",
        differences(left, right)
    );
}

/// Nothing was written between the two pictures, not even to be put back.
#[track_caller]
pub fn assert_untouched(before: &Touch, after: &Touch) {
    assert!(
        before == after,
        "something was written:\n{}",
        differences(before, after)
    );
}
