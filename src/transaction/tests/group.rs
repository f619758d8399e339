//! The groups of what comes.

use std::os::unix::fs::{MetadataExt, chown};

use super::*;

/// A group that this user may give and that is not its own; `None` if there is none.
fn other_group() -> Option<u32> {
    let own = rustix::process::getegid().as_raw();
    if crate::transport::is_root() {
        return Some(own + 4321);
    }
    let groups = rustix::process::getgroups().ok()?;
    groups
        .iter()
        .map(|gid| gid.as_raw())
        .find(|gid| *gid != own)
}

fn scene() -> Scene {
    let old = tree([
        ("plain", D(0o755)),
        ("plain/file", F("old", 0o644)),
        ("shared", D(0o755)),
        ("shared/file", F("old", 0o644)),
        ("shared/moved", F("moves", 0o644)),
    ]);
    let new = tree([
        ("plain", D(0o755)),
        ("plain/dir", D(0o755)),
        ("plain/file", F("new content", 0o644)),
        ("plain/here", F("moves", 0o644)),
        ("plain/new", F("new", 0o644)),
        ("shared", D(0o755)),
        ("shared/a", D(0o755)),
        ("shared/a/b", D(0o555)),
        ("shared/a/b/new", F("new", 0o600)),
        ("shared/a/link", L("nowhere")),
        ("shared/file", F("new content", 0o640)),
        ("shared/new", F("new", 0o644)),
    ]);
    Scene::new(&old, &new)
}

fn group(scene: &Scene, path: &str) -> (u32, bool) {
    let meta = std::fs::symlink_metadata(scene.path(path)).unwrap();
    (meta.gid(), meta.mode() & 0o2000 != 0)
}

/// Gives `path` the group; a directory passes it on.
fn give(scene: &Scene, path: &str, gid: u32) {
    let path = scene.path(path);
    chown(&path, None, Some(gid)).unwrap();
    let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
    let setgid = if path.is_dir() { 0o2000 } else { 0 };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode | setgid)).unwrap();
}

#[test]
fn what_comes_gets_the_group_of_its_place() {
    let Some(other) = other_group() else {
        eprintln!("SKIPPED what_comes_gets_the_group_of_its_place: this user is in one group");
        return;
    };
    let own = rustix::process::getegid().as_raw();
    // The state directory may lie in such a directory, too.
    for root_is_shared in [false, true] {
        let scene = scene();
        give(&scene, "shared", other);
        give(&scene, "plain/file", other);
        let lock = scene.lock();
        if root_is_shared {
            give(&scene, ".rsyn", other);
        }
        // The bits of the directories are those that were planned for.
        let mut changes = scene.changes();
        changes.retain(|change| change.path.as_bytes() != b"shared");
        let staging = scene.stage(&changes).unwrap();
        let committed = scene.commit(&lock, staging, changes, None).unwrap();
        for path in ["shared/a", "shared/a/b"] {
            assert_eq!(group(&scene, path), (other, true), "{path}");
        }
        for path in [
            "shared/a/b/new",
            "shared/a/link",
            "shared/new",
            "plain/file",
        ] {
            assert_eq!(group(&scene, path), (other, false), "{path}");
        }
        // It had this user's group, and what moves takes its group along.
        for path in ["shared/file", "plain/new", "plain/dir", "plain/here"] {
            assert_eq!(group(&scene, path), (own, false), "{path}");
        }
        let placed = committed.placed.iter();
        for (path, stat) in placed {
            assert_eq!(
                scene.root.stat(path).unwrap().as_ref(),
                Some(stat),
                "{path:?}"
            );
        }
    }
}
