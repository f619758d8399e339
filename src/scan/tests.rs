//! Files whose content is not what the index says.
#![expect(
    clippy::disallowed_methods,
    reason = "tests prepare files by other means"
)]

use super::*;
use crate::model::Digest;

/// Scans with an index that knows the file `f` by its present stat and the content `known`, and by the name `name`.
fn scan_with(name: &str, known: &[u8], trust: bool) -> Scan {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("f"), "content").unwrap();
    let root = Root::open(temp.path()).unwrap();
    let path = RelPath::new(&b"f"[..]).unwrap();
    let stat = root.stat(&path).unwrap().unwrap();
    let later = stat.ctime.secs + 100;
    let known_as = RelPath::new(name.as_bytes()).unwrap();
    let line = (&known_as, Stamp::of(&stat), Digest::of(known));
    let index = Index::new(root.dev(), [line]);
    let request = Request {
        excludes: &|_, _| false,
        index: &index,
        trust,
        now_secs: later,
        progress: &Progress::default(),
        interrupted: &AtomicBool::new(false),
        contents: true,
    };
    scan(&root, &request).unwrap()
}

#[test]
fn content_that_rotted_under_an_unchanged_stat_is_a_problem_where_it_is_read() {
    let rotten = scan_with("f", b"other", false);
    assert_eq!(rotten.altered().count(), 1);
    let node = rotten.tree.entries().next().unwrap().node.clone();
    assert_eq!(node.digest(), Some(Digest::of(b"content")));

    assert_eq!(scan_with("f", b"content", false).altered().count(), 0);
    let believed = scan_with("f", b"other", true);
    assert_eq!(believed.altered().count(), 0);
    assert_eq!(
        believed.tree.entries().next().unwrap().node.digest(),
        Some(Digest::of(b"other"))
    );
}

#[test]
fn file_in_a_renamed_directory_is_known_by_its_inode_and_its_rot_is_noticed() {
    let believed = scan_with("before/g", b"other", true);
    let digest = believed.tree.entries().next().unwrap().node.digest();
    assert_eq!(digest, Some(Digest::of(b"other")));
    assert!(!believed.is_indexed(), "the index has another name for it");

    assert_eq!(scan_with("before/g", b"other", false).altered().count(), 1);
    assert_eq!(
        scan_with("before/g", b"content", false).altered().count(),
        0
    );
}

#[test]
fn what_a_transaction_placed_is_in_the_index_at_once_and_stays_in_it() {
    let temp = tempfile::tempdir().unwrap();
    let root = Root::open(temp.path()).unwrap();
    let scan_with = |index: &Index| {
        let request = Request {
            excludes: &|_, _| false,
            index,
            trust: true,
            now_secs: 0,
            progress: &Progress::default(),
            interrupted: &AtomicBool::new(false),
            contents: true,
        };
        scan(&root, &request).unwrap()
    };
    for name in ["kept", "placed", "written"] {
        std::fs::write(temp.path().join(name), name).unwrap();
    }
    let young = scan_with(&Index::default());
    assert_eq!(young.index().files(), 0, "by the clock, all were just made");
    let tree = young.tree.clone();
    let placed = RelPath::new(*b"placed").unwrap();
    let stat = root.stat(&placed).unwrap().unwrap();
    let after = young.followed_by(tree, &[(placed.clone(), stat)]);
    let index = after.index();
    assert_eq!(index.files(), 1);
    assert_eq!(index.digest(&placed, &stat), Some(Digest::of(b"placed")));

    // The next scan believes it, and does not forget it for being young.
    let next = scan_with(&index);
    assert!(next.is_indexed());
    assert_eq!(
        next.index().digest(&placed, &stat),
        Some(Digest::of(b"placed"))
    );
}
