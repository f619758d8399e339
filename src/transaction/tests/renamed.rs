//! Files that are moved instead of copied.

use super::rollback::roll_back;
use super::*;
use crate::disk::fault;
use crate::transaction::journal::PREPARED;

fn ino(scene: &Scene, path: &str) -> u64 {
    std::fs::metadata(scene.path(path)).unwrap().ino()
}

fn nlink(scene: &Scene, path: &str) -> u64 {
    std::fs::metadata(scene.path(path)).unwrap().nlink()
}

/// `a` becomes `b/c`, in a new directory.
fn rename() -> Scene {
    let old = tree([("a", F("content", 0o640))]);
    let new = tree([("b", D(0o755)), ("b/c", F("content", 0o640))]);
    Scene::new(&old, &new)
}

/// Whether a part of the state directory holds a file with just this content.
fn holds(scene: &Scene, part: &str, content: &str) -> bool {
    let mut files = walk(&scene.path(".rsyn").join(part))
        .into_iter()
        .filter(|p| p.is_file());
    files.any(|file| std::fs::read(file).unwrap() == content.as_bytes())
}

#[test]
fn a_renamed_file_stays_the_same_object_and_no_snapshot_shares_it() {
    for keep_snapshot in [true, false] {
        let mut scene = rename();
        scene.keep_snapshot = keep_snapshot;
        let lock = scene.lock();
        let before = ino(&scene, "a");
        let committed = scene.run(&lock).unwrap();
        assert_eq!(scene.listing(), listing_of(&scene.new));
        assert_eq!((ino(&scene, "b/c"), nlink(&scene, "b/c")), (before, 1));
        assert_eq!(committed.snapshot.is_some(), keep_snapshot);
        assert!(!holds(&scene, "snap", "content"));
        // The stat that vouches for it is the one that it has.
        let path = RelPath::new(*b"b/c").unwrap();
        let stat = scene.root.stat(&path).unwrap().unwrap();
        let vouched: Vec<_> = committed
            .placed
            .iter()
            .filter(|(p, _)| *p == path)
            .collect();
        assert!(vouched.len() == 1 && stat.untouched_since(&vouched[0].1));
    }
}

#[test]
fn what_is_not_just_moved_is_staged_another_way() {
    let scene = rename();
    let [from, to] = [*b"a", *b"b"].map(|name| RelPath::new(name).unwrap());
    let node = F("content", 0o640).node();
    let staging = Staging::begin(&scene.root).unwrap();
    let is_renamed = |node: &Node| {
        let taken = staging.rename(7, &scene.root, (&from, &to), node).unwrap();
        let named = scene
            .path(".rsyn/txn")
            .join(staging.id().as_str())
            .join("new");
        assert_eq!(
            std::fs::read_dir(named).unwrap().count(),
            usize::from(taken)
        );
        taken
    };
    // Another content of that length and mtime, other bits, another mtime.
    let at = mtime_of("content");
    std::fs::write(scene.path("a"), "CONTENT").unwrap();
    set_mtime(&scene.path("a"), at);
    assert!(!is_renamed(&node));
    std::fs::write(scene.path("a"), "content").unwrap();
    assert!(!is_renamed(&node));
    set_mtime(&scene.path("a"), at);
    assert!(!is_renamed(&F("content", 0o600).node()));
    std::fs::set_permissions(scene.path("a"), std::fs::Permissions::from_mode(0o4640)).unwrap();
    assert!(!is_renamed(&node));
    std::fs::set_permissions(scene.path("a"), std::fs::Permissions::from_mode(0o640)).unwrap();
    // Another name of its own.
    std::fs::hard_link(scene.path("a"), scene.path("hard")).unwrap();
    assert!(!is_renamed(&node));
    std::fs::remove_file(scene.path("hard")).unwrap();
    // A link in its place, a file system without second names.
    std::fs::rename(scene.path("a"), scene.path("x")).unwrap();
    symlink("x", scene.path("a")).unwrap();
    assert!(!is_renamed(&node));
    std::fs::rename(scene.path("x"), scene.path("a")).unwrap();
    let refuse: fault::Hook = Box::new(|verb, _| match verb {
        "create" => Err(std::io::Error::from_raw_os_error(1)),
        _ => Ok(()),
    });
    assert!(!fault::with_hook(refuse, || is_renamed(&node)));
    // A disk that takes both names for one.
    let one = (&from, &from);
    assert!(!staging.rename(7, &scene.root, one, &node).unwrap());
    assert!(is_renamed(&node));
    assert!(
        staging.rename(7, &scene.root, (&from, &to), &node).is_err(),
        "taken"
    );
}

#[test]
fn a_file_that_does_not_go_is_not_moved() {
    let stays: fn(&mut Change) -> bool = |_| false;
    let gets_other_bits: fn(&mut Change) -> bool = |change| {
        let node = F("content", 0o600).node();
        change.new = Some(NewNode { node, slot: None });
        true
    };
    for what in [stays, gets_other_bits] {
        let scene = rename();
        let mut changes = scene.changes();
        let staging = scene.stage(&changes).unwrap();
        changes.retain_mut(|change| change.path.as_bytes() != b"a" || what(change));
        let refused = scene.commit(&scene.lock(), staging, changes, None);
        let is_invalid = matches!(refused, Err(CommitError::Invalid { .. }));
        assert!(is_invalid, "{refused:?}");
        assert_eq!(scene.listing(), listing_of(&scene.old));
        assert_eq!(nlink(&scene, "a"), 1);
    }
}

#[test]
fn an_edit_before_the_commit_ends_it_and_stays() {
    let scene = rename();
    let changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    std::fs::write(scene.path("a"), "edited!").unwrap();
    let refused = scene.commit(&scene.lock(), staging, changes, None);
    let Err(CommitError::Stale { paths }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(paths, [RelPath::new(*b"a").unwrap()]);
    assert_eq!((&scene.read("a")[..], nlink(&scene, "a")), ("edited!", 1));
    assert!(
        !holds(&scene, "partial", "edited!"),
        "a second name is no remains"
    );
}

#[test]
fn an_edit_that_a_young_mtime_hides_ends_it_and_stays() {
    let scene = rename();
    let now = scene.lock().tell_time().unwrap();
    let Node::File {
        size, digest, mode, ..
    } = F("content", 0o640).node()
    else {
        panic!()
    };
    let node = Node::File {
        size,
        digest,
        mode,
        mtime: now,
    };
    set_mtime(&scene.path("a"), now);
    let mut changes = scene.changes();
    for change in &mut changes {
        if change.path.as_bytes() == b"a" {
            change.old.as_mut().unwrap().node = node.clone();
        } else if let Some(new) = change.new.as_mut().filter(|new| !new.node.is_dir()) {
            new.node = node.clone();
        }
    }
    let staging = scene.stage(&changes).unwrap();
    let file = scene.path("a");
    let hook: fault::Hook = Box::new(move |_, path| {
        if path.ends_with(PREPARED) {
            std::fs::write(&file, "CONTENT").unwrap();
            set_mtime(&file, now);
        }
        Ok(())
    });
    let refused = fault::with_hook(hook, || scene.commit(&scene.lock(), staging, changes, None));
    assert!(
        matches!(refused, Err(CommitError::Stale { .. })),
        "{refused:?}"
    );
    assert_eq!((&scene.read("a")[..], nlink(&scene, "a")), ("CONTENT", 1));
    assert!(!scene.path("b").exists());
}

/// Lets another program `act` after the last move; then the decision fails.
fn undecided(act: impl Fn() + 'static) -> fault::Hook {
    let mut is_over = false;
    Box::new(move |verb, path| {
        if is_over || verb != "overwrite" || !path.ends_with(b"COMMITTED") {
            return Ok(());
        }
        is_over = true;
        act();
        Err(std::io::Error::other("no room"))
    })
}

#[test]
fn what_is_written_into_it_while_it_is_moved_comes_back_with_its_old_name() {
    // The write goes to the new name, right before the decision, which then fails.
    let scene = rename();
    let file = scene.path("b/c");
    let hook = undecided(move || std::fs::write(&file, "written!").unwrap());
    fault::with_hook(hook, || scene.run(&scene.lock())).unwrap_err();
    assert_eq!((&scene.read("a")[..], nlink(&scene, "a")), ("written!", 1));
    assert_eq!(scene.listing().len(), 1, "{:?}", scene.listing());
}

#[test]
fn an_undo_brings_it_back_also_when_its_new_name_was_removed_or_taken() {
    for replacement in [None, Some("mine")] {
        let scene = rename();
        let file = scene.path("b/c");
        let hook = undecided(move || {
            std::fs::remove_file(&file).unwrap();
            if let Some(text) = replacement {
                std::fs::write(&file, text).unwrap();
            }
        });
        fault::with_hook(hook, || scene.run(&scene.lock())).unwrap_err();
        assert_eq!((&scene.read("a")[..], nlink(&scene, "a")), ("content", 1));
        let left = scene.listing();
        let mine = left.iter().any(|(_, line)| line.contains("mine"));
        assert_eq!(mine, replacement.is_some(), "{left:?}");
    }
}

#[test]
fn the_snapshot_has_it_when_its_new_name_is_gone_before_the_old_one_is_let_go() {
    let scene = rename();
    let file = scene.path("b/c");
    let hook: fault::Hook = Box::new(move |verb, path| {
        if verb == "overwrite" && path.ends_with(b"COMMITTED") {
            std::fs::remove_file(&file).unwrap();
        }
        Ok(())
    });
    let committed = fault::with_hook(hook, || scene.run(&scene.lock())).unwrap();
    let id = committed.snapshot.unwrap();
    assert_eq!(read_old(&scene, &id, "a").unwrap(), "content");
}

#[test]
fn the_old_version_is_found_where_it_was_moved_to_as_long_as_it_is_that() {
    let scene = rename();
    let lock = scene.lock();
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    assert_eq!(read_old(&scene, &id, "a").unwrap(), "content");
    std::fs::write(scene.path("b/c"), "edited!").unwrap();
    let refused = read_old(&scene, &id, "a");
    assert!(
        matches!(refused, Err(RestoreError::Renamed(..))),
        "{refused:?}"
    );
    // Replaced by a sync, it is in the snapshot of that one.
    put(&scene.path("b/c"), &F("content", 0o640));
    let again = Scene {
        old: scene.new.clone(),
        new: tree([("b", D(0o755)), ("b/c", F("newer", 0o640))]),
        temp: tempfile::tempdir().unwrap(),
        root: Root::open(scene.temp.path()).unwrap(),
        with_seen: true,
        keep_snapshot: true,
    };
    let changes = again.changes();
    let staging = again.stage(&changes).unwrap();
    scene.commit(&lock, staging, changes, None).unwrap();
    assert_eq!(read_old(&scene, &id, "a").unwrap(), "content");
}

#[test]
fn a_rollback_moves_it_back_and_refuses_when_it_was_edited_since() {
    let scene = rename();
    let lock = scene.lock();
    let before = ino(&scene, "a");
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    let undone = roll_back(&scene, &lock, &id).unwrap();
    assert_eq!(scene.listing(), listing_of(&scene.old));
    assert_eq!((ino(&scene, "a"), nlink(&scene, "a")), (before, 1));
    let id = undone.snapshot.unwrap();
    let redone = roll_back(&scene, &lock, &id).unwrap().snapshot.unwrap();
    assert_eq!((ino(&scene, "b/c"), nlink(&scene, "b/c")), (before, 1));
    std::fs::write(scene.path("b/c"), "edited!").unwrap();
    let changed = inverse(&scene.root, &redone).unwrap();
    let changed = changed.changed_since(&scene.root).unwrap();
    assert_eq!(changed, [RelPath::new(*b"b/c").unwrap()]);
    assert!(roll_back(&scene, &lock, &redone).is_err());
    assert_eq!(scene.read("b/c"), "edited!");
}

#[test]
fn a_kill_between_the_decision_and_the_end_lets_the_old_name_go() {
    let scene = rename();
    let lock = scene.lock();
    let hook: fault::Hook = Box::new(|_, path| match path.ends_with(b"base") {
        true => Err(std::io::Error::other("killed")),
        false => Ok(()),
    });
    // The old name is back as after a power cut that kept the decision alone.
    fault::with_hook(hook, || scene.run(&lock)).unwrap_err();
    let txn = std::fs::read_dir(scene.path(".rsyn/txn"))
        .unwrap()
        .next()
        .unwrap();
    std::fs::hard_link(scene.path("b/c"), txn.unwrap().path().join("old/0")).unwrap();
    scene.recover(&lock).unwrap();
    assert_eq!(
        (scene.listing(), nlink(&scene, "b/c")),
        (listing_of(&scene.new), 1)
    );
}
