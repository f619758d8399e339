//! Which files of a scanned tree programs use, and which of its databases have others of their files beside them.

use std::collections::{HashMap, HashSet};

use super::local::Local;
use crate::disk::Root;
use crate::model::database::{has_size_of_one, main_of};
use crate::model::{Node, RelPath};
use crate::protocol::message::Usage;
use crate::scan::Scan;
use crate::transaction::{Programs, is_database};

/// A log or journal that begins with this byte holds nothing.
const ERASED: u8 = 0;

/// The usages of the files of `scan`, in path order, as they are at this moment.
#[must_use]
pub fn usages(local: &Local, scan: &Scan) -> Vec<Usage> {
    let root = &*local.root;
    let inodes: HashSet<u64> = scan.files().map(|(_, ino)| ino).collect();
    let programs = Programs::at_work(root, &inodes);
    let held = programs.held(root, scan.files());
    let in_use = held.into_iter().map(|held| Usage {
        path: held.path,
        program: held.program,
        pid: held.pid,
        is_database: held.is_database,
        is_unfinished: false,
    });
    let mut usages: Vec<_> = in_use.chain(at_rest(root, scan)).collect();
    // Of a path that is there twice, the one with its program comes first.
    usages.sort_by(|a, b| (&a.path, !a.is_in_use()).cmp(&(&b.path, !b.is_in_use())));
    usages.dedup_by(|second, first| {
        let is_same = second.path == first.path;
        first.is_unfinished |= is_same && second.is_unfinished;
        is_same
    });
    usages
}

/// The databases of the tree, in path order. Only files of a size that one can have are looked at.
pub fn databases(local: &Local, scan: &Scan) -> Vec<RelPath> {
    let files = scan.tree.entries();
    let may_be = files
        .filter(|entry| matches!(entry.node, Node::File { size, .. } if has_size_of_one(size)));
    let databases = may_be.filter(|entry| is_database(&local.root, &entry.path));
    databases.map(|entry| entry.path.clone()).collect()
}

/// The databases of the tree that have others of their files beside them, and those files.
fn at_rest(root: &Root, scan: &Scan) -> Vec<Usage> {
    let mut unfinished: HashMap<RelPath, bool> = HashMap::new();
    let mut beside = Vec::new();
    for entry in scan.tree.entries() {
        let Some((main, suffix)) = main_of(&entry.path) else {
            continue;
        };
        if matches!(scan.tree.get(&main), Some(Node::File { .. })) && is_database(root, &main) {
            beside.push(entry.path.clone());
            *unfinished.entry(main).or_default() |=
                suffix != "-shm" && holds_more(root, &entry.path);
        }
    }
    let usage = |path, is_unfinished| Usage {
        path,
        program: String::new(),
        pid: 0,
        is_database: true,
        is_unfinished,
    };
    let beside = beside.into_iter().map(|path| usage(path, false));
    let main = unfinished.into_iter().map(|(path, is)| usage(path, is));
    beside.chain(main).collect()
}

/// Whether a log or journal holds anything. One that cannot be read may.
fn holds_more(root: &Root, path: &RelPath) -> bool {
    let Ok((mut file, stat)) = root.open_file(path) else {
        return true;
    };
    let mut first = [ERASED];
    let read = crate::disk::read_some(&mut file, &mut first);
    stat.size > 0 && read.is_ok() && first != [ERASED]
}
