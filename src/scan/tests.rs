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
    let index = Index::new(root.dev(), [line], later);
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
    let node = rotten.tree.entries()[0].node.clone();
    assert_eq!(node.digest(), Some(Digest::of(b"content")));

    assert_eq!(scan_with("f", b"content", false).altered().count(), 0);
    let believed = scan_with("f", b"other", true);
    assert_eq!(believed.altered().count(), 0);
    assert_eq!(
        believed.tree.entries()[0].node.digest(),
        Some(Digest::of(b"other"))
    );
}

#[test]
fn file_in_a_renamed_directory_is_known_by_its_inode_and_its_rot_is_noticed() {
    let believed = scan_with("before/g", b"other", true);
    let digest = believed.tree.entries()[0].node.digest();
    assert_eq!(digest, Some(Digest::of(b"other")));
    assert!(!believed.is_indexed(), "the index has another name for it");

    assert_eq!(scan_with("before/g", b"other", false).altered().count(), 1);
    assert_eq!(
        scan_with("before/g", b"content", false).altered().count(),
        0
    );
}
