//! New directories that are moved with all that is inside.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::super::carried::arrival;
use super::*;
use crate::disk::fault;

fn made() -> Tree {
    tree([
        ("made", D(0o755)),
        ("made/a", F("first", 0o644)),
        ("made/b", F("second", 0o600)),
        ("made/link", L("a")),
        ("made/sub", D(0o555)),
        ("made/sub/c", F("third", 0o400)),
        ("stays", F("unchanged", 0o644)),
    ])
}

fn scene() -> Scene {
    Scene::new(&tree([("stays", F("unchanged", 0o644))]), &made())
}

fn find<'a>(changes: &'a mut [Change], path: &str) -> &'a mut Change {
    let is_it = |c: &&mut Change| c.path.as_bytes() == path.as_bytes();
    changes.iter_mut().find(is_it).unwrap()
}

fn slot_of(changes: &mut [Change], path: &str) -> u32 {
    find(changes, path).new.as_ref().unwrap().slot.unwrap()
}

/// The directory of `made` while it is staged.
fn staged_dir(scene: &Scene, staging: &Staging, changes: &mut [Change]) -> PathBuf {
    let slot = slot_of(changes, "made");
    scene.path(&format!(".rsyn/txn/{}/new/{slot}", staging.id()))
}

/// Without these paths and what is below them.
fn without(mut tree: Tree, gone: &[&str]) -> Tree {
    tree.retain(|path, _| !gone.iter().any(|gone| Path::new(path).starts_with(gone)));
    tree
}

#[test]
fn what_comes_into_a_new_directory_is_moved_with_it() {
    let scene = scene();
    let lock = scene.lock();
    let moves = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&moves);
    let hook: fault::Hook = Box::new(move |verb, path| {
        if verb == "move" && !path.starts_with(b".rsyn") {
            seen.borrow_mut()
                .push(String::from_utf8(path.to_vec()).unwrap());
        }
        Ok(())
    });
    let committed = fault::with_hook(hook, || scene.run(&lock)).unwrap();
    assert_eq!(*moves.borrow(), ["made"]);
    assert_eq!(scene.listing(), listing_of(&made()));
    let inverse = inverse(&scene.root, &committed.txn_id).unwrap();
    let staging = Staging::begin(&scene.root).unwrap();
    inverse.stage(&scene.root, &staging).unwrap();
    let Inverse {
        changes, consumes, ..
    } = inverse;
    scene
        .commit(&lock, staging, changes, Some(consumes))
        .unwrap();
    assert_eq!(scene.listing(), listing_of(&scene.old));
}

/// Until then its name tells its digest, by which the next attempt finds it.
#[test]
fn a_large_file_comes_into_its_new_directory_by_itself() {
    let large: &'static str = "large".repeat(20_000).leak();
    let new = tree([
        ("made", D(0o755)),
        ("made/large", F(large, 0o644)),
        ("made/small", F("small", 0o644)),
    ]);
    let scene = Scene::new(&tree([]), &new);
    let mut changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    let dir = staged_dir(&scene, &staging, &mut changes);
    assert!(dir.join("small").exists() && !dir.join("large").exists());
    let committed = scene.commit(&scene.lock(), staging, changes, None).unwrap();
    assert_eq!(scene.listing(), listing_of(&new));
    assert_eq!(committed.placed.len(), 2);
}

#[test]
fn nothing_that_is_not_planned_comes_with_a_directory() {
    let scene = scene();
    let mut changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    let dir = staged_dir(&scene, &staging, &mut changes);
    std::fs::write(dir.join("stranger"), "of an attempt that failed").unwrap();
    std::fs::create_dir(dir.join("sub/strange")).unwrap();
    std::fs::write(dir.join("sub/strange/file"), "").unwrap();
    staging.sync().unwrap();
    let slot = slot_of(&mut changes, "made");
    let last = Rc::new(RefCell::new(String::new()));
    let seen = Rc::clone(&last);
    let synced = Rc::new(Cell::new(false));
    let is_synced = Rc::clone(&synced);
    let hook: fault::Hook = Box::new(move |verb, path| {
        let path = String::from_utf8(path.to_vec()).unwrap();
        match (verb, path.rsplit('/').next().unwrap()) {
            ("remove", "stranger") => *seen.borrow_mut() = path,
            ("sync", name) if name == slot.to_string() => is_synced.set(!seen.borrow().is_empty()),
            ("create", "plan") => assert!(is_synced.get(), "what was removed could come back"),
            _ => {}
        }
        Ok(())
    });
    let lock = scene.lock();
    fault::with_hook(hook, || scene.commit(&lock, staging, changes, None)).unwrap();
    assert!(!last.borrow().is_empty() && synced.get());
    assert_eq!(scene.listing(), listing_of(&made()));
}

#[test]
fn a_file_that_was_not_finished_does_not_stay_in_its_directory() {
    let scene = scene();
    let mut changes = scene.changes();
    let staging = Staging::begin(&scene.root).unwrap();
    staging.arrange(changes.iter().filter_map(arrival));
    let dir = staged_dir(&scene, &staging, &mut changes);
    staging
        .dir(slot_of(&mut changes, "made"), Mode::from(0o755))
        .unwrap();
    let slot = slot_of(&mut changes, "made/b");
    let begin = || staging.file(slot, Digest::of(b"second"), 6).unwrap();
    let mut half = begin();
    half.append(b"sec").unwrap();
    assert!(dir.join("b").exists());
    drop(half);
    assert!(!dir.join("b").exists());
    let mut wrong = begin();
    wrong.append(b"secret").unwrap();
    assert!(wrong.finish(Mode::from(0o600), mtime_of("x")).is_err());
    assert!(!dir.join("b").exists());
    let mut whole = begin();
    whole.append(b"second").unwrap();
    whole.finish(Mode::from(0o600), mtime_of("x")).unwrap();
    assert!(dir.join("b").exists());
}

#[test]
fn what_was_staged_and_is_not_asked_for_does_not_come() {
    for gone in [
        &["made/a"][..],
        &["made/sub"],
        &["made/link", "made/sub/c"],
        &["made"],
    ] {
        let scene = scene();
        let mut changes = scene.changes();
        let staging = scene.stage(&changes).unwrap();
        let wanted = without(made(), gone);
        changes.retain(|c| wanted.contains_key(std::str::from_utf8(c.path.as_bytes()).unwrap()));
        scene.commit(&scene.lock(), staging, changes, None).unwrap();
        assert_eq!(scene.listing(), listing_of(&wanted), "{gone:?}");
    }
}

#[test]
fn an_object_comes_to_the_path_of_its_change_wherever_it_was_staged() {
    let scene = scene();
    let mut changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    for (from, to) in [
        ("made/a", "made/z"),
        ("made/b", "elsewhere"),
        ("made/sub", "made/tub"),
    ] {
        find(&mut changes, from).path = RelPath::new(to.as_bytes()).unwrap();
    }
    find(&mut changes, "made/sub/c").path = RelPath::new(*b"made/tub/c").unwrap();
    scene.commit(&scene.lock(), staging, changes, None).unwrap();
    let mut expected = without(made(), &["made/a", "made/b", "made/sub"]);
    for (from, to) in [
        ("made/a", "made/z"),
        ("made/b", "elsewhere"),
        ("made/sub", "made/tub"),
        ("made/sub/c", "made/tub/c"),
    ] {
        expected.insert(to, made()[from].clone());
    }
    assert_eq!(scene.listing(), listing_of(&expected));
}

#[test]
fn an_object_that_is_missing_from_its_directory_is_noticed_before_anything_moves() {
    let scene = scene();
    let mut changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    let dir = staged_dir(&scene, &staging, &mut changes);
    std::fs::remove_file(dir.join("b")).unwrap();
    let result = scene.commit(&scene.lock(), staging, changes, None);
    let missing = matches!(result, Err(CommitError::Stage(StageError::NoObject(_))));
    assert!(missing, "{result:?}");
    assert_eq!(scene.listing(), listing_of(&scene.old));
}

#[test]
fn an_attempt_that_was_given_up_or_killed_leaves_its_small_files_to_the_next() {
    for killed in [false, true] {
        let scene = scene();
        let changes = scene.changes();
        let stage = || scene.stage(&changes).unwrap();
        if killed {
            let staging = stage();
            // Its process is gone without a word: nothing of it is cleaned up.
            fault::crash_at(0, || drop(staging));
            assert_eq!(scene.left_in("partial"), 0);
            assert_eq!(scene.recover(&scene.lock()).unwrap().discarded, 1);
        } else {
            stage().abort().unwrap();
        }
        let staging = Staging::begin(&scene.root).unwrap();
        for content in ["first", "second", "third"] {
            let here = staging.resume_len(Digest::of(content.as_bytes())).unwrap();
            assert_eq!(here, Some(content.len() as u64), "{content}, {killed}");
        }
        assert_eq!(scene.left_in("partial"), 3);
    }
}

#[test]
fn what_others_did_in_a_new_directory_survives_its_undo() {
    let scene = scene();
    let changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    let is_done = Cell::new(false);
    let meddle = || {
        let is_there = scene.path("made").exists();
        if is_there && !is_done.replace(true) {
            std::fs::write(scene.path("made/a"), "an edit").unwrap();
            std::fs::remove_file(scene.path("made/b")).unwrap();
            std::fs::write(scene.path("made/b"), "a stranger").unwrap();
            std::fs::write(scene.path("made/new"), "another").unwrap();
        }
        is_there
    };
    let result = commit_with(&scene, staging, changes, &meddle);
    assert!(
        matches!(result, Err(CommitError::Attention { .. })),
        "{result:?}"
    );
    let left = scene.listing();
    let names: Vec<_> = left.keys().map(String::as_str).collect();
    let [made, kept, b, new, "stays"] = names[..] else {
        panic!("{names:?}");
    };
    assert_eq!([made, b, new], ["made", "made/b", "made/new"]);
    assert!(kept.starts_with("made/a.rsyn-kept-"), "{kept}");
    assert_eq!(scene.read(kept), "an edit");
    assert_eq!([scene.read(b), scene.read(new)], ["a stranger", "another"]);
    assert_eq!((scene.left_in("txn"), scene.left_in("trash")), (0, 0));
}

#[test]
fn a_directory_of_others_in_the_very_moment_is_left_alone_and_nothing_comes_beside_it() {
    let scene = scene();
    let path = scene.path("made");
    let hook: fault::Hook = Box::new(move |verb, name| {
        if (verb, name) == ("move", b"made") {
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("a"), "theirs").unwrap();
        }
        Ok(())
    });
    let lock = scene.lock();
    let result = fault::with_hook(hook, || scene.run(&lock));
    assert!(
        matches!(result, Err(CommitError::Stale { .. })),
        "{result:?}"
    );
    let names: Vec<_> = scene.listing().into_keys().collect();
    assert_eq!(names, ["made", "made/a", "stays"]);
    assert_eq!(scene.read("made/a"), "theirs");
    assert_eq!((scene.left_in("txn"), scene.left_in("partial")), (0, 3));
}

#[test]
fn files_are_vouched_for_without_a_look_until_somebody_writes_into_them() {
    let scene = scene();
    let changes = scene.changes();
    let staging = scene.stage(&changes).unwrap();
    // The clock of the file system has to tick before the first move.
    std::thread::sleep(Duration::from_millis(30));
    let is_done = Cell::new(false);
    let edit = || {
        if scene.path("made").exists() && !is_done.replace(true) {
            std::fs::write(scene.path("made/a"), "FIRST").unwrap();
            set_mtime(&scene.path("made/a"), mtime_of("first"));
        }
        false
    };
    let committed = commit_with(&scene, staging, changes, &edit).unwrap();
    assert!(is_done.get());
    assert_eq!(committed.placed.len(), 3);
    for (path, stat) in &committed.placed {
        let now = scene.root.stat(path).unwrap().unwrap();
        let is_edited = path.as_bytes() == b"made/a";
        assert_eq!(now.untouched_since(stat), !is_edited, "{path:?}");
        assert_eq!(now == *stat, !is_edited, "{path:?}");
    }
}
