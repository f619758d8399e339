//! Files with other names: what a snapshot keeps of them is its own.

use super::rollback::roll_back;
use super::*;
use crate::disk::fault;

/// What can happen to the path `f`, which has another name `g`.
fn fates() -> Vec<(&'static str, Tree)> {
    let with = |rows: &[(&'static str, Obj)]| {
        let mut tree = tree([("g", F("old", 0o644)), ("o", F("other", 0o644))]);
        tree.extend(rows.iter().cloned());
        tree
    };
    vec![
        ("replaced", with(&[("f", F("new content", 0o644))])),
        ("deleted", with(&[])),
        ("other bits", with(&[("f", F("old", 0o600))])),
        ("a link", with(&[("f", L("nowhere"))])),
        (
            "a directory",
            with(&[("f", D(0o755)), ("f/x", F("x", 0o644))]),
        ),
    ]
}

fn scene(new: &Tree) -> Scene {
    let old = tree([
        ("f", F("old", 0o644)),
        ("g", F("old", 0o644)),
        ("o", F("other", 0o644)),
    ]);
    let scene = Scene::new(&old, new);
    std::fs::remove_file(scene.path("g")).unwrap();
    std::fs::hard_link(scene.path("f"), scene.path("g")).unwrap();
    scene
}

#[test]
fn an_edit_of_another_name_does_not_change_what_a_snapshot_has() {
    for (name, new) in fates() {
        for with_seen in [true, false] {
            let mut scene = scene(&new);
            scene.with_seen = with_seen;
            let lock = scene.lock();
            let committed = scene.run(&lock).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(committed.late_writes.is_empty(), "{name}");
            assert!(!scene.shares_with_snapshots(), "{name}");
            let id = committed.snapshot.unwrap();
            std::fs::write(scene.path("g"), "edited in place").unwrap();
            assert_eq!(read_old(&scene, &id, "f").unwrap(), "old", "{name}");

            roll_back(&scene, &lock, &id).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(scene.read("f"), "old", "{name}");
            assert_eq!(scene.listing()["f"], listing_of(&scene.old)["f"], "{name}");
            assert_eq!(scene.read("g"), "edited in place", "{name}");
            assert!(!scene.shares_with_snapshots(), "{name}");
        }
    }
}

#[test]
fn a_crash_at_any_call_leaves_no_snapshot_that_shares_a_file_with_the_tree() {
    for (name, new) in fates() {
        for at in 0.. {
            let scene = scene(&new);
            let lock = scene.lock();
            let (result, calls) = fault::crash_at(at, || scene.run(&lock));
            let context = format!("{name}, crash at {at} of {calls}");
            let recovery = scene
                .recover(&lock)
                .unwrap_or_else(|e| panic!("{context}: {e}"));
            assert!(recovery.attention.is_empty(), "{context}");
            assert!(recovery.late_writes.is_empty(), "{context}");
            let now = scene.listing();
            let done = now == listing_of(&scene.new);
            assert!(done || now == listing_of(&scene.old), "{context}: {now:#?}");
            assert!(!scene.shares_with_snapshots(), "{context}");
            if done {
                std::fs::write(scene.path("g"), "edited in place").unwrap();
                let id = snapshots(&scene.root).unwrap()[0].id.clone();
                assert_eq!(read_old(&scene, &id, "f").unwrap(), "old", "{context}");
            }
            if calls <= at {
                assert!(result.is_ok(), "{context}");
                break;
            }
        }
    }
}

#[test]
fn names_that_all_go_need_no_copy_and_come_back_as_one_file() {
    let scene = scene(&tree([
        ("f", F("new content", 0o644)),
        ("o", F("other", 0o644)),
    ]));
    let lock = scene.lock();
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    assert!(!scene.shares_with_snapshots());
    roll_back(&scene, &lock, &id).unwrap();
    let ino = |path| std::fs::metadata(scene.path(path)).unwrap().ino();
    assert_eq!(ino("f"), ino("g"));
    assert_eq!(scene.listing(), listing_of(&scene.old));
}

#[test]
fn a_file_that_gets_another_name_while_it_is_replaced_ends_the_run() {
    let scene = scene(&fates()[0].1);
    let lock = scene.lock();
    std::fs::remove_file(scene.path("g")).unwrap();
    let top = scene.temp.path().to_owned();
    let hook: fault::Hook = Box::new(move |verb, path| {
        if verb == "create" && path.ends_with(b"PREPARED") {
            std::fs::hard_link(top.join("f"), top.join("g")).unwrap();
        }
        Ok(())
    });
    let changes = scene.changes();
    let changes = changes
        .into_iter()
        .filter(|c| c.path.as_bytes() == b"f")
        .collect::<Vec<_>>();
    let staging = scene.stage(&changes).unwrap();
    let ended = fault::with_hook(hook, || scene.commit(&lock, staging, changes, None));
    let Err(CommitError::Stale { paths }) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(paths, [RelPath::new(*b"f").unwrap()]);
    assert_eq!(scene.listing(), listing_of(&scene.old));
}
