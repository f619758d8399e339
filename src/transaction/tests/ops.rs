//! Each kind of operation without trouble, and what is refused before anything moves.

use super::*;
use crate::disk::fault;

#[test]
fn every_operation_gives_exactly_the_new_tree() {
    for (name, old, new) in scenarios() {
        for with_seen in [true, false] {
            let mut scene = Scene::new(&old, &new);
            scene.with_seen = with_seen;
            let lock = scene.lock();
            let committed = scene.run(&lock).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(scene.listing(), listing_of(&new), "{name}");
            assert_eq!(committed.snapshot.as_ref(), Some(&committed.txn_id));
            assert!(
                committed.kept_dirs.is_empty() && committed.late_writes.is_empty(),
                "{name}"
            );
            assert!(scene.base_is_new());
            assert_eq!(
                (scene.left_in("txn"), scene.left_in("trash")),
                (0, 0),
                "{name}"
            );
            assert!(scene.recover(&lock).unwrap().is_nothing());
        }
    }
}

#[test]
fn without_a_snapshot_nothing_is_left() {
    for (name, old, new) in scenarios() {
        let mut scene = Scene::new(&old, &new);
        scene.keep_snapshot = false;
        let lock = scene.lock();
        assert_eq!(scene.run(&lock).unwrap().snapshot, None);
        assert_eq!(scene.listing(), listing_of(&new), "{name}");
        for part in ["txn", "trash", "snap", "partial"] {
            assert_eq!(scene.left_in(part), 0, "{name}: {part}");
        }
    }
}

#[test]
fn no_changes_still_remember_the_agreement() {
    let same = tree([("a", F("one", 0o644))]);
    let scene = Scene::new(&same, &same);
    let lock = scene.lock();
    assert_eq!(scene.run(&lock).unwrap().snapshot, None);
    assert!(scene.base_is_new());
    assert_eq!(scene.left_in("txn"), 0);
}

#[test]
fn every_path_that_is_not_as_planned_is_named_and_nothing_changes() {
    let old = tree([
        ("content", F("planned", 0o644)),
        ("gone", F("planned", 0o644)),
        ("mode", F("planned", 0o644)),
        ("link", L("planned")),
        ("kind", F("planned", 0o644)),
        ("fine", F("planned", 0o644)),
    ]);
    let scene = Scene::new(&old, &tree([("new", F("new", 0o644)), ("sub", D(0o755))]));
    let lock = scene.lock();
    let changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    std::fs::write(scene.path("content"), "CHANGED").unwrap();
    std::fs::remove_file(scene.path("gone")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(scene.path("mode"), mode).unwrap();
    std::fs::remove_file(scene.path("link")).unwrap();
    symlink("other", scene.path("link")).unwrap();
    std::fs::remove_file(scene.path("kind")).unwrap();
    std::fs::create_dir(scene.path("kind")).unwrap();
    std::fs::write(scene.path("new"), "mine").unwrap();
    let before = scene.listing();

    let Err(CommitError::Stale { paths }) = scene.commit(&lock, staging, changes, None) else {
        panic!("must be refused")
    };

    let named: Vec<_> = paths
        .iter()
        .map(|p| std::str::from_utf8(p.as_bytes()).unwrap())
        .collect();
    assert_eq!(named, ["content", "gone", "kind", "link", "mode", "new"]);
    assert_eq!(scene.listing(), before);
    assert_eq!(scene.left_in("txn"), 0);
}

#[test]
fn an_untouched_file_is_not_read_again_and_a_touched_one_is_if_its_content_is_the_same() {
    let old = tree([("a", F("same", 0o644))]);
    let scene = Scene::new(&old, &tree([("a", F("other", 0o644))]));
    let lock = scene.lock();
    let changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    std::fs::write(scene.path("a"), "same").unwrap();
    scene.commit(&lock, staging, changes, None).unwrap();
    assert_eq!(scene.read("a"), "other");
}

#[test]
fn a_parent_that_became_a_link_is_stale_and_nothing_is_written_through_it() {
    let old = tree([("d", D(0o755)), ("d/x", F("x", 0o644))]);
    let new = tree([
        ("d", D(0o755)),
        ("d/x", F("y!", 0o644)),
        ("d/z", F("z", 0o644)),
    ]);
    let scene = Scene::new(&old, &new);
    let outside = tempfile::tempdir().unwrap();
    put(&outside.path().join("x"), &F("x", 0o644));
    let lock = scene.lock();
    let changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    std::fs::rename(scene.path("d"), scene.path("moved")).unwrap();
    symlink(outside.path(), scene.path("d")).unwrap();
    let result = scene.commit(&lock, staging, changes, None);
    assert!(matches!(result, Err(CommitError::Stale { paths }) if paths.len() == 2));
    assert_eq!(listing(outside.path()).len(), 1);
    assert_eq!(
        std::fs::read_to_string(outside.path().join("x")).unwrap(),
        "x"
    );
}

#[test]
fn changes_that_make_no_tree_are_refused() {
    let old = tree([("d", D(0o755)), ("f", F("f", 0o644))]);
    let scene = Scene::new(&old, &old);
    let lock = scene.lock();
    let path = |p: &str| RelPath::new(p.as_bytes()).unwrap();
    let make = |p: &str| Change {
        path: path(p),
        old: None,
        new: Some(NewNode {
            node: F("n", 0o644).node(),
            slot: Some(0),
        }),
    };
    let go = |p: &str, obj: Obj| Change {
        path: path(p),
        old: Some(Expected::new(obj.node(), None)),
        new: None,
    };
    let unstaged = Change {
        path: path("f"),
        old: Some(Expected::new(F("f", 0o644).node(), None)),
        new: Some(NewNode {
            node: F("other", 0o644).node(),
            slot: None,
        }),
    };
    let plans = [
        vec![make("n"), make("n")],
        vec![go("d", D(0o755)), make("d/n")],
        vec![make("n"), make("n/n")],
        vec![unstaged],
    ];
    for changes in plans {
        let staging = Staging::begin(&scene.root).unwrap();
        let mut file = staging.file(0, Digest::of(b"n"), 1).unwrap();
        file.append(b"n").unwrap();
        let Node::File { mode, mtime, .. } = F("n", 0o644).node() else {
            unreachable!()
        };
        file.finish(mode, mtime).unwrap();
        let result = scene.commit(&lock, staging, changes.clone(), None);
        assert!(
            matches!(result, Err(CommitError::Invalid { .. })),
            "{changes:?}: {result:?}"
        );
    }
    let staging = Staging::begin(&scene.root).unwrap();
    let result = scene.commit(&lock, staging, vec![make("n")], None);
    assert!(matches!(
        result,
        Err(CommitError::Stage(StageError::NoObject(0)))
    ));
    assert_eq!(scene.listing(), listing_of(&old));
}

#[test]
fn a_directory_with_something_unplanned_inside_stays_and_is_reported() {
    let old = tree([
        ("d", D(0o755)),
        ("d/planned", F("x", 0o644)),
        ("d/sub", D(0o555)),
        ("d/sub/y", F("y", 0o644)),
    ]);
    let scene = Scene::new(&old, &tree([("n", F("n", 0o644))]));
    let set = |mode| std::fs::set_permissions(scene.path("d/sub"), PermissionsExt::from_mode(mode));
    set(0o755).unwrap();
    std::fs::write(scene.path("d/sub/stranger"), "precious").unwrap();
    set(0o555).unwrap();
    let lock = scene.lock();
    let committed = scene.run(&lock).unwrap();
    assert_eq!(committed.kept_dirs.len(), 2);
    assert_eq!(scene.read("d/sub/stranger"), "precious");
    let names: Vec<_> = scene.listing().into_keys().collect();
    assert_eq!(names, ["d", "d/sub", "d/sub/stranger", "n"]);
    assert_eq!(scene.listing()["d/sub"], "dir 555");
}

#[test]
fn a_file_does_not_take_the_place_of_a_directory_with_something_unplanned_inside() {
    let old = tree([("d", D(0o755)), ("d/planned", F("x", 0o644))]);
    let scene = Scene::new(&old, &tree([("d", F("file", 0o644))]));
    std::fs::write(scene.path("d/stranger"), "precious").unwrap();
    let lock = scene.lock();
    let before = scene.listing();
    // Not for a moment: the stranger does not even lose its path while it is looked at.
    let hook: fault::Hook = Box::new(|verb, path| {
        assert!((verb, path) != ("replace", b"d"));
        Ok(())
    });
    let result = fault::with_hook(hook, || scene.run(&lock));
    assert!(
        matches!(result, Err(CommitError::Stale { .. })),
        "{result:?}"
    );
    assert_eq!(scene.listing(), before);
}

#[test]
fn an_interruption_between_moves_takes_everything_back() {
    let (old, new) = everything();
    for at in 0.. {
        let scene = Scene::new(&old, &new);
        let changes = scene.changes();
        let staging = scene.stage(&changes).unwrap();
        let asked = std::cell::Cell::new(0);
        let interrupted = || asked.replace(asked.get() + 1) == at;
        let result = commit_with(&scene, staging, changes, &interrupted);
        if result.is_ok() {
            assert!(at > 10);
            break;
        }
        assert!(
            matches!(result, Err(CommitError::Interrupted)),
            "{result:?}"
        );
        assert_eq!(scene.listing(), listing_of(&old), "{at}");
        assert_eq!(scene.left_in("txn"), 0);
        assert!(!scene.base_is_new());
    }
}

#[test]
fn a_reader_lock_is_not_enough() {
    let old = tree([("a", F("a", 0o644))]);
    let scene = Scene::new(&old, &tree([]));
    drop(scene.lock());
    let state = scene.root.top().open_dir(b".rsyn").unwrap();
    let lock = Lock::shared(&state).unwrap();
    assert!(matches!(scene.run(&lock), Err(CommitError::NotLocked)));
    assert!(matches!(scene.recover(&lock), Err(CommitError::NotLocked)));
}

#[test]
fn setgid_of_a_directory_survives_and_comes_to_directories_that_are_made_inside() {
    let old = tree([("d", D(0o755)), ("e", D(0o755))]);
    let new = tree([("d", D(0o700)), ("d/new", D(0o755)), ("e", D(0o755))]);
    let scene = Scene::new(&old, &new);
    let mode = std::fs::Permissions::from_mode(0o2755);
    std::fs::set_permissions(scene.path("d"), mode).unwrap();
    let lock = scene.lock();
    scene.run(&lock).unwrap();
    assert_eq!(scene.listing()["d"], "dir 2700");
    assert_eq!(scene.listing()["d/new"], "dir 2755");
    assert_eq!(scene.listing()["e"], "dir 755");
}

#[test]
fn a_parent_that_cannot_be_written_is_told_before_anything_moves() {
    let old = tree([
        ("a", F("1", 0o644)),
        ("d", D(0o755)),
        ("d/x", F("2", 0o644)),
    ]);
    let new = tree([
        ("a", F("one", 0o644)),
        ("d", D(0o755)),
        ("d/x", F("two", 0o644)),
    ]);
    let scene = Scene::new(&old, &new);
    let lock = scene.lock();
    let moves = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = std::rc::Rc::clone(&moves);
    let hook: fault::Hook = Box::new(move |verb, path| match (verb, path) {
        ("write into", b"d") => Err(std::io::Error::from_raw_os_error(13)),
        ("replace", _) => {
            counted.set(counted.get() + 1);
            Ok(())
        }
        _ => Ok(()),
    });
    let error = fault::with_hook(hook, || scene.run(&lock)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write into d: Permission denied (os error 13)"
    );
    assert_eq!((moves.get(), scene.listing()), (0, listing_of(&old)));
}
