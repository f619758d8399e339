//! Another program works in the tree at the worst moments. Whatever it wrote is still there afterwards.

use std::fs::OpenOptions;
use std::io::Write;

use super::*;
use crate::disk::fault;

/// Runs the scene with `edit` right before the call `verb path` (the `nth` such, from 0).
fn run_with_edit(
    scene: &Scene,
    lock: &Lock,
    (verb, path, nth): (&'static str, &'static str, usize),
    mut edit: impl FnMut(&Path) + 'static,
) -> Result<Committed, CommitError> {
    let top = scene.temp.path().to_owned();
    let mut seen = 0;
    let hook: fault::Hook = Box::new(move |v, p| {
        if v == verb && p == path.as_bytes() {
            if seen == nth {
                edit(&top);
            }
            seen += 1;
        }
        Ok(())
    });
    fault::with_hook(hook, || scene.run(lock))
}

type NamedEdit = (&'static str, fn(&Path));

/// As an editor saves: a new file, renamed over the old one.
fn save(path: &Path, content: &str) {
    let temp = path.with_extension("swp");
    std::fs::write(&temp, content).unwrap();
    std::fs::rename(&temp, path).unwrap();
}

fn fails_later(rows: &[(&'static str, Obj)]) -> Tree {
    // `z` exists though nothing is expected there: the last step fails and all is undone.
    rows.iter()
        .cloned()
        .chain([("z", F("planned", 0o644))])
        .collect()
}

fn stale_paths(result: &Result<Committed, CommitError>) -> Vec<String> {
    match result {
        Err(CommitError::Stale { paths }) => paths
            .iter()
            .map(|p| String::from_utf8(p.as_bytes().to_vec()).unwrap())
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn attention(result: &Result<Committed, CommitError>) -> &[Attention] {
    match result {
        Err(CommitError::Attention { attention, .. }) => attention,
        other => panic!("{other:?}"),
    }
}

fn no_trace(scene: &Scene, lock: &Lock) {
    assert!(!scene.base_is_new());
    for part in ["txn", "trash", "snap"] {
        assert_eq!(scene.left_in(part), 0, "{part}");
    }
    assert!(scene.recover(lock).unwrap().is_nothing());
}

#[test]
fn an_edit_right_before_the_exchange_stays_in_place_and_undoes_everything() {
    let edits: [NamedEdit; 4] = [
        ("save by rename", |top| save(&top.join("b"), "MINE")),
        ("rewrite", |top| {
            std::fs::write(top.join("b"), "MINE").unwrap();
        }),
        ("same size, mtime put back", |top| {
            let path = top.join("b");
            std::fs::write(&path, "MINE").unwrap();
            set_mtime(&path, mtime_of("four"));
        }),
        ("append", |top| {
            let mut file = OpenOptions::new().append(true).open(top.join("b")).unwrap();
            file.write_all(b"MINE").unwrap();
        }),
    ];
    let old = tree([
        ("a", F("1", 0o644)),
        ("b", F("four", 0o644)),
        ("c", F("3", 0o644)),
    ]);
    let news = [
        tree([
            ("a", F("one", 0o644)),
            ("b", F("two!", 0o644)),
            ("c", F("three", 0o644)),
        ]),
        tree([("a", F("one", 0o644)), ("c", F("three", 0o644))]),
        tree([
            ("a", F("one", 0o644)),
            ("b", D(0o755)),
            ("b/x", F("x", 0o644)),
        ]),
    ];
    for (name, edit) in edits {
        for new in &news {
            let scene = Scene::new(&old, new);
            let lock = scene.lock();
            let verb = if new.contains_key("b") {
                "replace"
            } else {
                "move"
            };
            let hooked = fault_path(&scene, verb, "b");
            let result = run_with_hooked(&scene, &lock, verb, hooked, edit);
            assert_eq!(stale_paths(&result), ["b"], "{name}");
            assert!(scene.read("b").contains("MINE"), "{name}");
            let mut now = scene.listing();
            now.remove("b");
            let mut before = listing_of(&old);
            before.remove("b");
            assert_eq!(now, before, "{name}");
            no_trace(&scene, &lock);
        }
    }
}

/// The path that a hook sees for the move of `path`: the target of the rename.
fn fault_path(scene: &Scene, verb: &str, path: &str) -> Vec<u8> {
    if verb == "replace" {
        return path.as_bytes().to_vec();
    }
    // A displaced object goes to `old/<index of its change>`.
    let changes = scene.changes();
    let at = changes
        .iter()
        .position(|c| c.path.as_bytes() == path.as_bytes())
        .unwrap();
    format!("/old/{at}").into_bytes()
}

fn run_with_hooked(
    scene: &Scene,
    lock: &Lock,
    verb: &'static str,
    path_end: Vec<u8>,
    edit: fn(&Path),
) -> Result<Committed, CommitError> {
    let top = scene.temp.path().to_owned();
    let mut done = false;
    let hook: fault::Hook = Box::new(move |v, p| {
        if v == verb && p.ends_with(&path_end) && !done {
            done = true;
            edit(&top);
        }
        Ok(())
    });
    let result = fault::with_hook(hook, || scene.run(lock));
    assert!(
        result.is_err(),
        "the hook was not reached, or the edit was not seen"
    );
    result
}

#[test]
fn a_file_made_right_before_ours_is_placed_stays() {
    let scene = Scene::new(
        &tree([("a", F("1", 0o644))]),
        &tree([("a", F("one", 0o644)), ("b", F("planned", 0o644))]),
    );
    let lock = scene.lock();
    let edit = |top: &Path| std::fs::write(top.join("b"), "MINE").unwrap();
    let result = run_with_edit(&scene, &lock, ("move", "b", 0), edit);
    assert_eq!(stale_paths(&result), ["b"]);
    assert_eq!(
        (scene.read("a"), scene.read("b")),
        ("1".into(), "MINE".into())
    );
    no_trace(&scene, &lock);
}

#[test]
fn a_file_removed_right_before_the_exchange_stays_removed() {
    let scene = Scene::new(
        &tree([("a", F("1", 0o644)), ("b", F("2", 0o644))]),
        &tree([("a", F("one", 0o644)), ("b", F("two", 0o644))]),
    );
    let lock = scene.lock();
    let edit = |top: &Path| std::fs::remove_file(top.join("b")).unwrap();
    let result = run_with_edit(&scene, &lock, ("replace", "b", 0), edit);
    assert_eq!(stale_paths(&result), ["b"]);
    assert_eq!(scene.read("a"), "1");
    assert_eq!(scene.listing().len(), 1);
    no_trace(&scene, &lock);
}

#[test]
fn a_file_put_into_a_directory_right_before_it_goes_keeps_the_directory() {
    let scene = Scene::new(
        &tree([("d", D(0o755)), ("n", F("n", 0o644))]),
        &tree([("n", F("m", 0o644))]),
    );
    let lock = scene.lock();
    let top = scene.temp.path().to_owned();
    let hook: fault::Hook = Box::new(move |verb, path| {
        if verb == "move" && path.ends_with(b"/old/0") {
            std::fs::write(top.join("d/stranger"), "MINE").unwrap();
        }
        Ok(())
    });
    let committed = fault::with_hook(hook, || scene.run(&lock)).unwrap();
    assert_eq!(committed.kept_dirs.len(), 1);
    assert_eq!(scene.read("d/stranger"), "MINE");
}

#[test]
fn a_chmod_right_before_ours_wins() {
    let scene = Scene::new(&tree([("a", F("1", 0o644))]), &tree([("a", F("1", 0o755))]));
    let lock = scene.lock();
    let edit = |top: &Path| {
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(top.join("a"), mode).unwrap();
    };
    let result = run_with_edit(&scene, &lock, ("change the mode of", "a", 0), edit);
    assert_eq!(stale_paths(&result), ["a"]);
    assert_eq!(
        std::fs::metadata(scene.path("a")).unwrap().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_directory_moved_away_while_it_is_filled_is_noticed_before_the_decision() {
    let scene = Scene::new(
        &tree([("d", D(0o755)), ("d/x", F("x", 0o644))]),
        &tree([
            ("d", D(0o755)),
            ("d/x", F("new x", 0o644)),
            ("d/y", F("y", 0o644)),
        ]),
    );
    let lock = scene.lock();
    let edit = |top: &Path| {
        std::fs::rename(top.join("d"), top.join("moved")).unwrap();
        symlink("/", top.join("d")).unwrap();
    };
    let result = run_with_edit(&scene, &lock, ("move", "d/y", 0), edit);
    assert!(result.is_err(), "{result:?}");
    assert!(!scene.base_is_new());
    // The old version of `d/x` is not lost: the way back was gone, so it is at the top.
    let kept: Vec<_> = attention(&result)
        .iter()
        .filter_map(|a| a.copy.clone())
        .collect();
    assert!(
        kept.iter()
            .any(|copy| { scene.read(std::str::from_utf8(copy.as_bytes()).unwrap()) == "x" })
    );
}

#[test]
fn a_directory_replaced_by_another_while_it_is_filled_is_noticed_as_well() {
    let scene = Scene::new(
        &tree([("d", D(0o755)), ("d/x", F("x", 0o644))]),
        &tree([
            ("d", D(0o755)),
            ("d/x", F("new x", 0o644)),
            ("d/y", F("y", 0o644)),
        ]),
    );
    let lock = scene.lock();
    let edit = |top: &Path| {
        std::fs::rename(top.join("d"), top.join("moved")).unwrap();
        std::fs::create_dir(top.join("d")).unwrap();
    };
    let result = run_with_edit(&scene, &lock, ("move", "d/y", 0), edit);
    assert_eq!(stale_paths(&result), ["d"]);
    assert!(!scene.base_is_new());
    assert_eq!(scene.read("d/x"), "x");
}

// The three traps of an undo.

#[test]
fn trap_a_a_save_right_before_the_exchange_back_is_kept_beside_the_old_version() {
    let old = tree([("a", F("old", 0o644))]);
    let scene = Scene::new(&old, &fails_later(&[("a", F("planned", 0o644))]));
    let lock = scene.lock();
    let top = scene.temp.path().to_owned();
    let mut replaced = 0;
    let hook: fault::Hook = Box::new(move |verb, path| {
        match (verb, path) {
            ("move", b"z") => std::fs::write(top.join("z"), "in the way").unwrap(),
            ("replace", b"a") => {
                replaced += 1;
                if replaced == 2 {
                    save(&top.join("a"), "NEWER");
                }
            }
            _ => {}
        }
        Ok(())
    });
    let result = fault::with_hook(hook, || scene.run(&lock));
    let [what] = attention(&result) else {
        panic!("{result:?}")
    };
    assert_eq!(what.why, Why::NewerKept);
    let copy = std::str::from_utf8(what.copy.as_ref().unwrap().as_bytes()).unwrap();
    assert_eq!(
        (scene.read("a"), scene.read(copy)),
        ("old".into(), "NEWER".into())
    );
    assert!(copy.starts_with("a.rsyn-kept-"), "{copy}");
    no_trace(&scene, &lock);
}

#[test]
fn trap_b_an_edit_of_our_new_file_before_the_undo_is_kept() {
    let edits: [fn(&Path); 2] = [
        |path| std::fs::write(path, "EDITED").unwrap(),
        |path| {
            std::fs::write(path, "PLANNED").unwrap();
            set_mtime(path, mtime_of("planned"));
        },
    ];
    for edit in edits {
        let old = tree([("a", F("old", 0o644))]);
        let new = fails_later(&[("a", F("planned", 0o644)), ("b", F("planned", 0o644))]);
        let scene = Scene::new(&old, &new);
        let lock = scene.lock();
        let result = run_with_edit(&scene, &lock, ("move", "z", 0), move |top| {
            edit(&top.join("a"));
            edit(&top.join("b"));
            std::fs::write(top.join("z"), "in the way").unwrap();
        });
        let copies: Vec<_> = attention(&result)
            .iter()
            .map(|a| std::str::from_utf8(a.copy.as_ref().unwrap().as_bytes()).unwrap())
            .collect();
        assert!(copies[0].starts_with("a.rsyn-kept-") && copies[1].starts_with("b.rsyn-kept-"));
        for copy in copies {
            assert!(["EDITED", "PLANNED"].contains(&&*scene.read(copy)));
        }
        assert_eq!(scene.read("a"), "old");
        assert!(!scene.path("b").exists());
        no_trace(&scene, &lock);
    }
}

#[test]
fn what_comes_into_our_new_directory_after_the_undo_has_looked_at_it_is_kept() {
    let scene = Scene::new(&tree([]), &fails_later(&[("d", D(0o755))]));
    let lock = scene.lock();
    // A program that found the directory in the tree, and came in after it was moved back.
    let mut found = None;
    let top = scene.temp.path().to_owned();
    let hook: fault::Hook = Box::new(move |verb, path| {
        match (verb, path) {
            ("move", b"z") => {
                found = Some(Root::open(&top.join("d")).unwrap());
                std::fs::write(top.join("z"), "in the way").unwrap();
            }
            ("remove", path) if path.ends_with(b"/new/0") => {
                let dir = found.take().unwrap();
                dir.top()
                    .create_file(b"mine")
                    .unwrap()
                    .write_all(b"MINE")
                    .unwrap();
            }
            _ => {}
        }
        Ok(())
    });
    let result = fault::with_hook(hook, || scene.run(&lock));
    let [what] = attention(&result) else {
        panic!("{result:?}")
    };
    assert_eq!(what.why, Why::NewerKept);
    let copy = std::str::from_utf8(what.copy.as_ref().unwrap().as_bytes()).unwrap();
    assert_eq!(scene.read(&format!("{copy}/mine")), "MINE");
    no_trace(&scene, &lock);
}

#[test]
fn trap_c_another_file_with_the_inode_number_of_ours_is_kept() {
    let old = tree([("a", F("old", 0o644))]);
    let new = fails_later(&[("a", F("planned", 0o644)), ("b", F("planned", 0o644))]);
    let mut reused = 0;
    for _ in 0..10 {
        let scene = Scene::new(&old, &new);
        let lock = scene.lock();
        let result = run_with_edit(&scene, &lock, ("move", "z", 0), |top| {
            // A birth time has the grain of the kernel's tick.
            std::thread::sleep(std::time::Duration::from_millis(20));
            for name in ["a", "b"] {
                let path = top.join(name);
                let ino = std::fs::metadata(&path).unwrap().ino();
                std::fs::remove_file(&path).unwrap();
                std::fs::write(&path, "MINE").unwrap();
                if std::fs::metadata(&path).unwrap().ino() == ino {
                    std::fs::write(top.join("reused"), "").unwrap();
                }
            }
            std::fs::write(top.join("z"), "in the way").unwrap();
        });
        reused += usize::from(scene.path("reused").exists());
        assert!(!attention(&result).is_empty());
        assert_eq!(
            (scene.read("a"), scene.read("b")),
            ("MINE".into(), "MINE".into())
        );
        let mine = scene
            .listing()
            .values()
            .filter(|line| line.contains("MINE"))
            .count();
        let old = scene
            .listing()
            .values()
            .filter(|line| line.contains("old"))
            .count();
        assert_eq!((mine, old), (2, 1), "{:#?}", scene.listing());
        no_trace(&scene, &lock);
    }
    eprintln!("inode numbers were reused in {reused} of 10 runs");
}

/// Stops right after all moves, edits, and recovers.
fn recover_after_edit(scene: &Scene, edit: impl FnOnce(&Path)) -> Recovery {
    let lock = scene.lock();
    let mut down = false;
    let hook: fault::Hook = Box::new(move |verb, path| {
        down |= verb == "create" && path.windows(9).any(|w| w == b"COMMITTED");
        if down {
            Err(std::io::Error::other("injected crash"))
        } else {
            Ok(())
        }
    });
    let result = fault::with_hook(hook, || scene.run(&lock));
    assert!(
        matches!(result, Err(CommitError::Unsettled { .. })),
        "{result:?}"
    );
    assert_eq!(scene.listing(), listing_of(&scene.new));
    edit(scene.temp.path());
    let recovery = scene.recover(&lock).unwrap();
    no_trace(scene, &lock);
    recovery
}

#[test]
fn what_was_edited_between_crash_and_recovery_is_still_there() {
    let old = tree([
        ("deleted", F("deleted", 0o644)),
        ("dir", D(0o755)),
        ("dir/in", F("inside", 0o644)),
        ("replaced", F("old", 0o644)),
    ]);
    let new = tree([
        ("created", F("created", 0o644)),
        ("made", D(0o755)),
        ("made/in", F("inside made", 0o644)),
        ("replaced", F("replaced", 0o644)),
    ]);
    let scene = Scene::new(&old, &new);
    let recovery = recover_after_edit(&scene, |top| {
        std::fs::write(top.join("created"), "EDIT 1").unwrap();
        save(&top.join("replaced"), "EDIT 2");
        std::fs::write(top.join("deleted"), "EDIT 3").unwrap();
        std::fs::write(top.join("dir"), "EDIT 4").unwrap();
        std::fs::write(top.join("made/stranger"), "EDIT 5").unwrap();
    });
    assert!(recovery.attention.len() >= 5, "{:#?}", recovery.attention);
    let all = format!("{:#?}", scene.listing());
    for content in [
        "EDIT 1",
        "EDIT 2",
        "EDIT 3",
        "EDIT 4",
        "EDIT 5",
        "\"deleted",
        "inside",
        "old",
    ] {
        assert!(all.contains(content), "{content}: {all}");
    }
    assert_eq!(scene.read("replaced"), "EDIT 2");
    assert_eq!(scene.read("deleted"), "EDIT 3");
    assert_eq!(scene.read("made/stranger"), "EDIT 5");
    assert!(!scene.path("made/in").exists());
}

#[test]
fn what_was_removed_between_crash_and_recovery_is_the_old_version_again() {
    let old = tree([("a", F("old", 0o644)), ("b", F("deleted", 0o644))]);
    let scene = Scene::new(
        &old,
        &tree([("a", F("new!", 0o644)), ("c", F("created", 0o644))]),
    );
    let recovery = recover_after_edit(&scene, |top| {
        std::fs::remove_file(top.join("a")).unwrap();
        std::fs::remove_file(top.join("c")).unwrap();
    });
    assert!(recovery.attention.is_empty());
    assert_eq!(scene.listing(), listing_of(&old));
}

#[test]
fn a_program_that_goes_on_writing_into_a_replaced_file_is_reported_and_its_bytes_are_kept() {
    for keep_snapshot in [true, false] {
        for cut in [false, true] {
            late_bytes_are_kept(keep_snapshot, cut);
        }
    }
}

/// The program writes in the moment of the decision; with `cut`, the run ends there and a recovery goes on.
fn late_bytes_are_kept(keep_snapshot: bool, cut: bool) {
    let old = tree([("log", F("line\n", 0o644)), ("other", F("x", 0o644))]);
    let mut scene = Scene::new(&old, &tree([("log", F("replaced\n", 0o644))]));
    scene.keep_snapshot = keep_snapshot;
    let path = RelPath::new(*b"log").unwrap();
    let lock = scene.lock();
    let mut log = OpenOptions::new()
        .append(true)
        .open(scene.path("log"))
        .unwrap();
    let hook: fault::Hook = Box::new(move |verb, path| {
        if verb == "overwrite" && path.ends_with(b"COMMITTED") {
            log.write_all(b"late\n").unwrap();
        }
        match cut && path.ends_with(b"base") {
            true => Err(std::io::Error::other("cut")),
            false => Ok(()),
        }
    });
    let committed = fault::with_hook(hook, || scene.run(&lock));
    let id = match committed {
        Ok(committed) => {
            assert!(!cut);
            assert_eq!(committed.late_writes, std::slice::from_ref(&path));
            committed.snapshot.unwrap()
        }
        Err(e) => {
            assert!(matches!(e, CommitError::Unfinished { .. }), "{e}");
            let recovery = scene.recover(&lock).unwrap();
            let (id, late) = recovery.late_writes.into_iter().next().unwrap();
            assert_eq!(late, path);
            id
        }
    };
    assert_eq!(scene.read("log"), "replaced\n");
    assert_eq!(read_old(&scene, &id, "log").unwrap(), "line\nlate\n");
}
