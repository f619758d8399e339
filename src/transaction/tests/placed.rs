//! Stats that vouch for what was placed.

use std::cell::Cell;

use super::*;
use crate::disk::Stat;

fn scene() -> Scene {
    let old = tree([
        ("changed", F("old", 0o644)),
        ("gone", F("gone", 0o644)),
        ("remoded", F("same", 0o644)),
    ]);
    let new = tree([
        ("changed", F("new content", 0o644)),
        ("dir", D(0o755)),
        ("dir/added", F("added", 0o600)),
        ("link", L("target")),
        ("remoded", F("same", 0o600)),
    ]);
    Scene::new(&old, &new)
}

/// Commits all changes of `scene`, and calls `meanwhile` before each move and after the last.
fn commit_all(scene: &Scene, changes: Vec<Change>, meanwhile: &dyn Fn()) -> Vec<(RelPath, Stat)> {
    let staging = scene.stage(&changes).unwrap();
    commit_staged(scene, staging, changes, meanwhile)
}

fn commit_staged(
    scene: &Scene,
    staging: Staging,
    changes: Vec<Change>,
    meanwhile: &dyn Fn(),
) -> Vec<(RelPath, Stat)> {
    let watch = || {
        meanwhile();
        false
    };
    let committed = super::commit_with(scene, staging, changes, &watch);
    committed.unwrap().placed
}

fn names(placed: &[(RelPath, Stat)]) -> Vec<&str> {
    let paths = placed.iter().map(|(path, _)| path.as_bytes());
    paths
        .map(|path| std::str::from_utf8(path).unwrap())
        .collect()
}

#[test]
fn files_that_were_placed_are_told_with_their_stats() {
    let scene = scene();
    let placed = commit_all(&scene, scene.changes(), &|| {});
    assert_eq!(names(&placed), ["changed", "dir/added"]);
    for (path, stat) in &placed {
        assert_eq!(scene.root.stat(path).unwrap().as_ref(), Some(stat));
    }
}

#[test]
fn a_file_that_somebody_wrote_into_right_after_its_move_is_not_vouched_for() {
    let scene = scene();
    let (path, length) = (scene.path("changed"), "new content".len());
    let is_done = Cell::new(false);
    let edit = || {
        if !is_done.get() && std::fs::read(&path).unwrap().len() == length {
            std::fs::write(&path, "EDIT AT ONCE").unwrap();
            std::fs::write(&path, "NEW CONTENT").unwrap();
            is_done.set(true);
        }
    };
    let placed = commit_all(&scene, scene.changes(), &edit);
    assert!(is_done.get());
    assert_eq!(scene.read("changed"), "NEW CONTENT");
    assert_eq!(names(&placed), ["dir/added"]);
}

#[test]
fn another_file_with_the_same_size_and_mtime_is_not_vouched_for() {
    let scene = scene();
    let (path, wanted) = (scene.path("changed"), mtime_of("new content"));
    let is_done = Cell::new(false);
    let swap = || {
        if !is_done.get() && std::fs::read(&path).unwrap().len() == "new content".len() {
            let other = scene.path("other");
            std::fs::write(&other, "NEW CONTENT").unwrap();
            std::fs::rename(&other, &path).unwrap();
            set_mtime(&path, wanted);
            is_done.set(true);
        }
    };
    let placed = commit_all(&scene, scene.changes(), &swap);
    assert!(is_done.get());
    assert_eq!(names(&placed), ["dir/added"]);
}

/// Its mtime would be the same if somebody had written into it.
#[test]
fn a_file_whose_mtime_lies_in_the_time_of_the_moves_is_not_vouched_for() {
    let scene = scene();
    let mut changes = scene.changes();
    let soon = std::time::SystemTime::now() + std::time::Duration::from_millis(300);
    let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap();
    let changed = changes.iter_mut().find(|c| c.path.name() == b"changed");
    let Some(NewNode {
        node: Node::File { mtime, .. },
        ..
    }) = changed.and_then(|changed| changed.new.as_mut())
    else {
        panic!("there is such a file");
    };
    *mtime = Mtime {
        secs: i64::try_from(soon.as_secs()).unwrap(),
        nanos: soon.subsec_nanos(),
    };
    let staging = scene.stage(&changes).unwrap();
    let linger = || std::thread::sleep(std::time::Duration::from_millis(100));
    let placed = commit_staged(&scene, staging, changes, &linger);
    assert_eq!(names(&placed), ["dir/added"]);
}

#[test]
fn whoever_writes_later_leaves_another_ctime_behind_whatever_mtime_is_set() {
    for _ in 0..50 {
        let scene = scene();
        let placed = commit_all(&scene, scene.changes(), &|| {});
        let (path, stat) = &placed[0];
        std::fs::write(scene.path("changed"), "NEW CONTENT").unwrap();
        set_mtime(&scene.path("changed"), mtime_of("new content"));
        let after = scene.root.stat(path).unwrap().unwrap();
        assert_eq!((after.ino, after.mtime), (stat.ino, stat.mtime));
        assert!(after.ctime > stat.ctime, "{after:?} after {stat:?}");
    }
}
