//! The power fails, or a call does, at every mutating call of every operation.

use std::ffi::OsStr;

use super::*;
use crate::disk::fault;
use crate::transaction::{area::Area, journal};

/// Old or new, nothing between, nothing left; and the base says the same as the tree.
pub(super) fn check_old_or_new(scene: &Scene, lock: &Lock, context: &str) {
    let recovery = scene
        .recover(lock)
        .unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(
        recovery.attention.is_empty(),
        "{context}: {:?}",
        recovery.attention
    );
    let now = scene.listing();
    let is_new = now == listing_of(&scene.new);
    assert!(
        is_new || now == listing_of(&scene.old),
        "{context}: {now:#?}"
    );
    if scene.old != scene.new {
        assert_eq!(is_new, scene.base_is_new(), "{context}");
    }
    for part in ["txn", "trash"] {
        assert_eq!(scene.left_in(part), 0, "{context}: {part}");
    }
    assert_eq!(
        scene.left_in("snap"),
        usize::from(is_new && scene.keep_snapshot),
        "{context}"
    );
    assert!(!scene.shares_with_snapshots(), "{context}");
    let state_files = std::fs::read_dir(scene.path(".rsyn")).unwrap().count();
    assert_eq!(
        state_files,
        5 + usize::from(scene.base_is_new()),
        "{context}"
    );
    assert!(scene.recover(lock).unwrap().is_nothing(), "{context}");
    assert_eq!(scene.listing(), now, "{context}");
}

#[test]
fn after_a_crash_at_any_call_recovery_gives_the_old_or_the_new_tree() {
    let mut points = 0;
    for (name, old, new) in scenarios() {
        for keep_snapshot in [true, false] {
            if !keep_snapshot && name != "everything at once" {
                continue;
            }
            for at in 0.. {
                let mut scene = Scene::new(&old, &new);
                scene.keep_snapshot = keep_snapshot;
                let lock = scene.lock();
                let (result, calls) = fault::crash_at(at, || scene.run(&lock));
                let context = format!("{name}, crash at {at} of {calls}");
                check_old_or_new(&scene, &lock, &context);
                if result.is_ok() {
                    assert_eq!(scene.listing(), listing_of(&new), "{context}");
                }
                if calls <= at {
                    assert!(result.is_ok(), "{context}");
                    break;
                }
                points += 1;
            }
        }
    }
    assert!(points > 800, "{points}");
}

/// What the journal remembers gets another number of a file system, as a mount after a crash may give it.
fn mount_elsewhere(scene: &Scene) {
    let txn = Area::open(&scene.root).unwrap().txn;
    for entry in txn.list().unwrap() {
        let home = txn.open_dir(&entry.name).unwrap();
        if let Ok(plan) = journal::read_plan(&home) {
            home.remove_file(journal::PLAN).unwrap();
            let elsewhere = home.dev() ^ 1;
            journal::write_plan(&home, &plan.on_device(elsewhere)).unwrap();
        }
    }
}

#[test]
fn after_a_crash_and_a_mount_under_another_number_recovery_gives_the_old_or_the_new_tree() {
    let (old, new) = everything();
    for at in 0.. {
        let scene = Scene::new(&old, &new);
        let lock = scene.lock();
        let (_, calls) = fault::crash_at(at, || scene.run(&lock));
        mount_elsewhere(&scene);
        check_old_or_new(&scene, &lock, &format!("crash at {at} of {calls}"));
        if calls <= at {
            assert!(at > 50, "{at}");
            break;
        }
    }
}

#[test]
fn a_crash_during_recovery_is_recovered_from_as_well() {
    let mut points = 0;
    for (name, old, new) in scenarios() {
        let whole = {
            let scene = Scene::new(&old, &new);
            let lock = scene.lock();
            fault::crash_at(usize::MAX, || scene.run(&lock)).1
        };
        // From where moves are under way, a sample: each call of the recovery comes up after some.
        for at in (whole / 3..whole).step_by(2) {
            for second in (at % 7..).step_by(7) {
                let scene = Scene::new(&old, &new);
                let lock = scene.lock();
                drop(fault::crash_at(at, || scene.run(&lock)));
                let (_, calls) = fault::crash_at(second, || scene.recover(&lock));
                check_old_or_new(
                    &scene,
                    &lock,
                    &format!("{name}, crash at {at}, then {second}"),
                );
                points += 1;
                if calls <= second {
                    break;
                }
            }
        }
    }
    assert!(points > 800, "{points}");
}

#[test]
fn a_failed_call_is_undone_at_once_or_told_to_be_pending() {
    let (old, new) = everything();
    for (errno, forever) in [
        (28, false),
        (5, false),
        (28, true),
        (13, false),
        (22, false),
    ] {
        for at in 0.. {
            let scene = Scene::new(&old, &new);
            let lock = scene.lock();
            let count = std::rc::Rc::new(std::cell::Cell::new(0));
            let calls = std::rc::Rc::clone(&count);
            let hook: fault::Hook = Box::new(move |_, _| {
                let call = count.replace(count.get() + 1);
                let fails = if forever { call >= at } else { call == at };
                if fails {
                    Err(std::io::Error::from_raw_os_error(errno))
                } else {
                    Ok(())
                }
            });
            let result = fault::with_hook(hook, || scene.run(&lock));
            let context = format!("errno {errno} at {at}, then {result:?}");
            let now = scene.listing();
            match &result {
                Ok(_) | Err(CommitError::Unfinished { .. }) => {
                    assert_eq!(now, listing_of(&new), "{context}");
                }
                Err(CommitError::Unsettled { .. }) => assert!(forever, "{context}"),
                Err(_) => assert_eq!(now, listing_of(&old), "{context}"),
            }
            check_old_or_new(&scene, &lock, &context);
            if calls.get() <= at {
                assert!(result.is_ok());
                break;
            }
        }
    }
}

#[test]
fn a_decision_that_could_not_be_synced_is_withdrawn_before_anything_is_taken_back() {
    let (old, new) = everything();
    for later in 0.. {
        let scene = Scene::new(&old, &new);
        let lock = scene.lock();
        let (mut decided, mut after, mut done) = (false, 0, false);
        let reached = std::rc::Rc::new(std::cell::Cell::new(false));
        let crashed = std::rc::Rc::clone(&reached);
        let hook: fault::Hook = Box::new(move |verb, path| {
            if done {
                after += 1;
                if after > later {
                    reached.set(true);
                    return Err(std::io::Error::other("injected crash"));
                }
            }
            // The sync right after the marker got its name fails, and the power some calls later.
            if decided && !done {
                done = true;
                return Err(std::io::Error::from_raw_os_error(5));
            }
            decided |= verb == "overwrite" && path.ends_with(b"COMMITTED");
            Ok(())
        });
        fault::with_hook(hook, || scene.run(&lock)).unwrap_err();
        check_old_or_new(
            &scene,
            &lock,
            &format!("crash {later} calls after the failed sync"),
        );
        if !crashed.get() {
            assert!(later > 20);
            break;
        }
    }
}

/// A file system that cannot exchange or rename without replacing.
fn plain_renames(verb: &str) -> std::io::Result<()> {
    match verb {
        "replace" | "move" => Err(std::io::Error::from_raw_os_error(22)),
        _ => Ok(()),
    }
}

#[test]
fn without_exchange_every_operation_works_by_steps() {
    for (name, old, new) in scenarios() {
        let scene = Scene::new(&old, &new);
        let lock = scene.lock();
        let hook: fault::Hook = Box::new(|verb, path| {
            // Directories of our own are moved by the same call; those have no other way.
            if path.starts_with(b".rsyn/snap") || path.starts_with(b".rsyn/trash") {
                return Ok(());
            }
            plain_renames(verb)
        });
        fault::with_hook(hook, || scene.run(&lock)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(scene.listing(), listing_of(&new), "{name}");
    }
}

#[test]
fn without_exchange_a_crash_at_any_call_gives_the_old_or_the_new_tree() {
    for (name, old, new) in scenarios() {
        for at in 0.. {
            let scene = Scene::new(&old, &new);
            let lock = scene.lock();
            let count = std::rc::Rc::new(std::cell::Cell::new(0));
            let calls = std::rc::Rc::clone(&count);
            let hook = move |verb: &'static str, path: &[u8]| {
                if count.replace(count.get() + 1) >= at {
                    return Err(std::io::Error::other("injected crash"));
                }
                let ours = path.starts_with(b".rsyn/snap") || path.starts_with(b".rsyn/trash");
                if ours { Ok(()) } else { plain_renames(verb) }
            };
            let result = fault::with_hook(Box::new(hook), || scene.run(&lock));
            check_old_or_new(&scene, &lock, &format!("{name}, by steps, crash at {at}"));
            if calls.get() <= at {
                result.unwrap();
                break;
            }
        }
    }
}

/// A file system that moves no directory of the old tree, as overlayfs those of a lower layer.
fn no_moving_of_old_dirs(
    scene: &Scene,
) -> impl FnMut(&str, &[u8]) -> std::io::Result<()> + 'static {
    let changes = scene.changes();
    let was_dir = |change: &Change| change.old.as_ref().is_some_and(|old| old.node.is_dir());
    let dirs: Vec<_> = changes
        .iter()
        .filter(|c| was_dir(c))
        .map(|c| c.path.clone())
        .collect();
    let asides: Vec<_> = (0..changes.len())
        .filter(|n| was_dir(&changes[*n]))
        .collect();
    let top = scene.temp.path().to_owned();
    let inos: Vec<_> = dirs
        .iter()
        .map(|dir| {
            std::fs::metadata(top.join(OsStr::from_bytes(dir.as_bytes())))
                .unwrap()
                .ino()
        })
        .collect();
    move |verb, path| {
        let ours = |end: &[u8]| path.starts_with(b".rsyn/txn/") && path.ends_with(end);
        let is_old = |dir: &RelPath| {
            let there = std::fs::metadata(top.join(OsStr::from_bytes(dir.as_bytes())));
            there.is_ok_and(|meta| inos.contains(&meta.ino()))
        };
        let moves_old = match verb {
            "replace" => dirs.iter().any(|dir| dir.as_bytes() == path && is_old(dir)),
            "move" => {
                ours(b".pin") && dirs.iter().any(is_old)
                    || asides.iter().any(|n| ours(format!("/old/{n}").as_bytes()))
            }
            _ => false,
        };
        if moves_old {
            Err(std::io::Error::from_raw_os_error(18))
        } else {
            Ok(())
        }
    }
}

#[test]
fn where_no_old_directory_can_be_moved_an_empty_one_stands_in() {
    let with_dirs = |old: &Tree| old.values().any(|obj| matches!(obj, D(_)));
    for (name, old, new) in scenarios().into_iter().filter(|(_, old, _)| with_dirs(old)) {
        for at in 0.. {
            let scene = Scene::new(&old, &new);
            let lock = scene.lock();
            let count = std::rc::Rc::new(std::cell::Cell::new(0));
            let calls = std::rc::Rc::clone(&count);
            let mut overlay = no_moving_of_old_dirs(&scene);
            let hook = move |verb: &'static str, path: &[u8]| {
                if count.replace(count.get() + 1) >= at {
                    return Err(std::io::Error::other("injected crash"));
                }
                overlay(verb, path)
            };
            let result = fault::with_hook(Box::new(hook), || scene.run(&lock));
            check_old_or_new(&scene, &lock, &format!("{name}, overlay, crash at {at}"));
            if calls.get() <= at {
                result.unwrap();
                break;
            }
        }
    }
}

#[test]
fn an_undo_that_may_move_nothing_any_more_is_finished_by_the_recovery() {
    for (name, old, new) in scenarios() {
        for at in 0.. {
            let scene = Scene::new(&old, &new);
            let lock = scene.lock();
            let count = std::rc::Rc::new(std::cell::Cell::new(0));
            let calls = std::rc::Rc::clone(&count);
            let hook = move |verb: &'static str, _: &[u8]| {
                let is_late = count.replace(count.get() + 1) >= at;
                if is_late && matches!(verb, "replace" | "move") {
                    return Err(std::io::Error::from_raw_os_error(18));
                }
                Ok(())
            };
            let result = fault::with_hook(Box::new(hook), || scene.run(&lock));
            check_old_or_new(&scene, &lock, &format!("{name}, no moves from {at} on"));
            if calls.get() <= at {
                result.unwrap();
                break;
            }
        }
    }
}

#[test]
fn a_file_system_is_asked_whether_it_can_exchange() {
    let scene = Scene::new(&tree([]), &tree([]));
    assert!(has_full_guarantee(&scene.root).unwrap());
    let hook: fault::Hook = Box::new(|verb, _| plain_renames(verb));
    assert!(!fault::with_hook(hook, || has_full_guarantee(&scene.root)).unwrap());
    let hook: fault::Hook = Box::new(|verb, _| plain_renames(verb));
    assert!(fault::with_hook(hook, || can_replace(&scene.root)).unwrap());
    // The second object of this name is a second name.
    let mut made = 0;
    let hook: fault::Hook = Box::new(move |verb, path| {
        made += usize::from(verb == "create" && path.ends_with(b"probe-b"));
        match made == 2 && verb == "create" {
            true => Err(std::io::Error::from_raw_os_error(1)),
            false => plain_renames(verb),
        }
    });
    assert!(!fault::with_hook(hook, || can_replace(&scene.root)).unwrap());
    assert_eq!(scene.left_in("trash"), 0);
}

#[test]
fn an_undo_is_on_the_disk_before_its_journal_ends() {
    let (old, new) = everything();
    let scene = Scene::new(&old, &new);
    let lock = scene.lock();
    let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let calls = std::rc::Rc::clone(&log);
    let hook: fault::Hook = Box::new(move |verb, path| {
        let path = String::from_utf8(path.to_vec()).unwrap();
        let decides = verb == "overwrite" && path.ends_with("COMMITTED");
        log.borrow_mut().push(format!("{verb} {path}"));
        if decides {
            Err(std::io::Error::from_raw_os_error(5))
        } else {
            Ok(())
        }
    });
    fault::with_hook(hook, || scene.run(&lock)).unwrap_err();
    let calls = calls.borrow();
    let place = |what: &str| calls.iter().rposition(|call| call.ends_with(what)).unwrap();
    let failed = place("/COMMITTED");
    let ended = place("/PREPARED");
    assert!(calls[ended].starts_with("remove") && failed < ended);
    let dirs = [
        "sync src",
        "sync docs",
        "sync vendor",
        "sync bin/run",
        "sync ",
    ];
    // Directories of ours are removed only when nothing depends on their names any more.
    let is_removal = |call: &str| call.starts_with("remove .rsyn/txn/") && call.contains("/new/");
    let removed = failed
        + calls[failed..]
            .iter()
            .position(|call| is_removal(call))
            .unwrap();
    let moved = (failed..removed)
        .rev()
        .find(|at| !calls[*at].starts_with("sync"))
        .unwrap();
    for dir in dirs {
        // A directory that is closed last of all is synced once more then.
        let before = calls[..removed].iter();
        let synced = before.rev().position(|call| call == dir).unwrap();
        assert!(moved < removed - 1 - synced, "{dir}: {calls:#?}");
    }
    let closed = place("change the mode of vendor");
    assert!(removed < closed && closed < ended);
    assert!(calls[closed..ended].contains(&"sync vendor".to_owned()));
    assert!(calls[ended + 1].starts_with("sync .rsyn/txn/"));
}

#[test]
fn the_order_of_syncs_is_the_one_that_a_power_cut_needs() {
    let (old, new) = everything();
    let scene = Scene::new(&old, &new);
    let lock = scene.lock();
    let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let calls = std::rc::Rc::clone(&log);
    let hook: fault::Hook = Box::new(move |verb, path| {
        let path = String::from_utf8(path.to_vec()).unwrap();
        log.borrow_mut().push(format!("{verb} {path}"));
        Ok(())
    });
    let id = fault::with_hook(hook, || scene.run(&lock)).unwrap().txn_id;
    let calls = calls.borrow();
    let home = format!(".rsyn/txn/{id}");
    let first = |what: &str| {
        let found = calls.iter().position(|call| call.starts_with(what));
        found.unwrap_or_else(|| panic!("no {what} in {calls:#?}"))
    };
    let last = |what: &str| {
        let found = calls.iter().rposition(|call| call.starts_with(what));
        found.unwrap_or_else(|| panic!("no {what} in {calls:#?}"))
    };
    let is_tree = |call: &&String| {
        let path = call.rsplit(' ').next().unwrap_or_default();
        ["move", "replace", "change"]
            .iter()
            .any(|v| call.starts_with(v))
            && !path.starts_with(".rsyn")
    };
    let first_move = calls.iter().position(|call| is_tree(&call)).unwrap();
    let last_move = calls.iter().rposition(|call| is_tree(&call)).unwrap();
    let staged = calls
        .iter()
        .filter(|call| call.starts_with(&format!("sync {home}/new/")))
        .count();

    assert!(staged >= 6, "{calls:#?}");
    let prepared = first(&format!("create {home}/PREPARED"));
    assert!(first(&format!("sync {home}/new")) < first(&format!("create {home}/plan")));
    assert!(first(&format!("sync {home}/plan")) < prepared);
    assert!(prepared < first(&format!("sync {home}/PREPARED")));
    let syncs_home = |call: &String| *call == format!("sync {home}");
    let plan_named = calls.iter().position(syncs_home).unwrap();
    assert!(first(&format!("sync {home}/plan")) < plan_named && plan_named < prepared);
    let marker_named = prepared + calls[prepared..].iter().position(syncs_home).unwrap();
    assert!(marker_named < first_move);
    assert!(first("sync .rsyn/txn") < first_move);
    let decided = first(&format!("overwrite {home}/COMMITTED"));
    // `bin/run` and `extra/deep` got other permission bits, `vendor` was emptied and displaced.
    let vendor = format!("sync {home}/old/");
    assert!(calls.iter().any(|call| call.starts_with(&vendor)));
    // `extra` is new: what is inside came with it, and is on the disk before it is moved.
    let extra = RelPath::new(*b"extra").unwrap();
    let slot = scene.changes().into_iter().find(|c| c.path == extra);
    let slot = slot.unwrap().new.unwrap().slot.unwrap();
    let filled = last(&format!("create {home}/new/{slot}/"));
    let carrier = format!("sync {home}/new/{slot}");
    let kept = calls.iter().position(|call| *call == carrier).unwrap();
    assert!(filled < kept && kept < prepared);
    let synced = [
        "sync src",
        "sync notes",
        "sync bin/run",
        "sync extra/deep",
        "sync ",
    ];
    for dir in synced {
        let synced = calls.iter().rposition(|call| *call == dir).unwrap();
        assert!(last_move < synced && synced < decided, "{dir}: {calls:#?}");
    }
    let base = last("overwrite .rsyn/base");
    assert!(decided < base && base < first(&format!("move .rsyn/snap/{id}")));
    assert!(first(&format!("move .rsyn/snap/{id}")) < last("sync .rsyn/snap"));
}
