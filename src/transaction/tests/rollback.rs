//! Snapshots, their inverse, and pruning.

use super::*;
use crate::disk::fault;

pub(super) fn roll_back(scene: &Scene, lock: &Lock, id: &TxnId) -> Result<Committed, CommitError> {
    let inverse = inverse(&scene.root, id)?;
    let staging = Staging::begin(&scene.root)?;
    inverse.stage(&scene.root, &staging)?;
    scene.commit(lock, staging, inverse.changes, Some(inverse.consumes))
}

fn inodes(scene: &Scene) -> BTreeMap<String, u64> {
    let ino = |path: &String| std::fs::symlink_metadata(scene.path(path)).unwrap().ino();
    let listing = scene.listing();
    let files = listing.iter().filter(|(_, line)| !line.starts_with("dir"));
    files.map(|(path, _)| (path.clone(), ino(path))).collect()
}

#[test]
fn a_rollback_brings_back_the_old_tree_with_its_own_files_and_can_be_rolled_back() {
    for (name, old, new) in scenarios() {
        let scene = Scene::new(&old, &new);
        let lock = scene.lock();
        let before = inodes(&scene);
        let first = scene.run(&lock).unwrap().snapshot.unwrap();
        let after = inodes(&scene);

        let back = roll_back(&scene, &lock, &first).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(scene.listing(), listing_of(&old), "{name}");
        assert_eq!(inodes(&scene), before, "{name}");
        let second = back.snapshot.unwrap();
        let left: Vec<_> = snapshots(&scene.root)
            .unwrap()
            .into_iter()
            .map(|s| s.id)
            .collect();
        assert_eq!(left, std::slice::from_ref(&second), "{name}");

        roll_back(&scene, &lock, &second).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(scene.listing(), listing_of(&new), "{name}");
        assert_eq!(inodes(&scene), after, "{name}");
        for path in after.keys() {
            let links = std::fs::symlink_metadata(scene.path(path)).unwrap().nlink();
            assert_eq!(links, 1, "{name}: {path} is still shared with a snapshot");
        }
    }
}

#[test]
fn a_crash_at_any_call_of_a_rollback_leaves_it_done_or_not_done() {
    for (name, old, new) in scenarios() {
        for at in 0.. {
            let scene = Scene::new(&old, &new);
            let lock = scene.lock();
            let id = scene.run(&lock).unwrap().snapshot.unwrap();
            let (result, calls) = fault::crash_at(at, || roll_back(&scene, &lock, &id));
            let context = format!("{name}, crash at {at} of {calls}");
            let recovery = scene
                .recover(&lock)
                .unwrap_or_else(|e| panic!("{context}: {e}"));
            assert!(
                recovery.attention.is_empty(),
                "{context}: {:?}",
                recovery.attention
            );
            let now = scene.listing();
            let done = now == listing_of(&old);
            assert!(done || now == listing_of(&new), "{context}: {now:#?}");
            assert!(done || result.is_err(), "{context}");
            let left: Vec<_> = snapshots(&scene.root)
                .unwrap()
                .into_iter()
                .map(|s| s.id)
                .collect();
            assert_eq!((left.len(), left.contains(&id)), (1, !done), "{context}");
            // Whichever it is, the other tree is one rollback away.
            roll_back(&scene, &lock, &left[0]).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(
                scene.listing(),
                listing_of(if done { &new } else { &old }),
                "{context}"
            );
            if calls <= at {
                assert!(result.is_ok(), "{context}");
                break;
            }
        }
    }
}

#[test]
fn a_rollback_refuses_naming_the_paths_that_changed_since() {
    let old = tree([
        ("a", F("1", 0o644)),
        ("b", F("2", 0o644)),
        ("c", F("3", 0o644)),
    ]);
    let scene = Scene::new(
        &old,
        &tree([("a", F("one", 0o644)), ("b", F("two", 0o644))]),
    );
    let lock = scene.lock();
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    std::fs::write(scene.path("b"), "my work").unwrap();
    std::fs::write(scene.path("c"), "my own c").unwrap();
    let before = scene.listing();
    let named = [RelPath::new(*b"b").unwrap(), RelPath::new(*b"c").unwrap()];
    assert_eq!(
        inverse(&scene.root, &id)
            .unwrap()
            .changed_since(&scene.root)
            .unwrap(),
        named
    );
    let Err(CommitError::Stale { paths }) = roll_back(&scene, &lock, &id) else {
        panic!("must be refused")
    };
    assert_eq!(paths, named);
    assert_eq!(scene.listing(), before);
    assert_eq!(snapshots(&scene.root).unwrap().len(), 1);
}

#[test]
fn what_was_written_late_into_an_old_version_comes_back_with_it() {
    let scene = Scene::new(
        &tree([("a", F("old", 0o644))]),
        &tree([("a", F("new", 0o644))]),
    );
    let lock = scene.lock();
    let mut open = std::fs::OpenOptions::new()
        .append(true)
        .open(scene.path("a"))
        .unwrap();
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    std::io::Write::write_all(&mut open, b" and late").unwrap();
    roll_back(&scene, &lock, &id).unwrap();
    assert_eq!(scene.read("a"), "old and late");
}

#[test]
fn a_kept_directory_is_no_part_of_the_inverse() {
    let old = tree([("d", D(0o755)), ("d/x", F("x", 0o644))]);
    let scene = Scene::new(&old, &tree([("n", F("n", 0o644))]));
    std::fs::write(scene.path("d/stranger"), "mine").unwrap();
    let lock = scene.lock();
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    roll_back(&scene, &lock, &id).unwrap();
    let names: Vec<_> = scene.listing().into_keys().collect();
    assert_eq!(names, ["d", "d/stranger", "d/x"]);
}

/// As a mapping or a failing disk does it: other bytes, the same stat.
fn alter(path: &Path, content: &str) {
    let was = std::fs::metadata(path).unwrap();
    std::fs::write(path, content).unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().len(), was.len());
    let nanos = u32::try_from(was.mtime_nsec()).unwrap();
    set_mtime(
        path,
        Mtime {
            secs: was.mtime(),
            nanos,
        },
    );
}

/// A tree in which a sync changed paths in every way, and the snapshot of that sync.
fn changed_in_every_way() -> (Scene, Lock, TxnId) {
    let old = tree([
        ("d", D(0o755)),
        ("d/x", F("old x", 0o644)),
        ("gone", F("old gone", 0o644)),
        ("long", F("old long", 0o644)),
        ("mode", F("the same", 0o644)),
        ("moved", F("old moved", 0o644)),
        ("other", F("old other", 0o644)),
        ("to dir", F("old to dir", 0o644)),
    ]);
    let new = tree([
        ("here", F("old moved", 0o644)),
        ("long", F("the new long", 0o644)),
        ("made", F("the new made", 0o644)),
        ("mode", F("the same", 0o600)),
        ("other", F("the new other", 0o644)),
        ("to dir", D(0o755)),
        ("to dir/y", F("the new y", 0o644)),
    ]);
    let scene = Scene::new(&old, &new);
    let lock = scene.lock();
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    (scene, lock, id)
}

#[test]
fn an_old_version_that_was_altered_comes_beside_its_path_and_the_rest_comes_back() {
    for altered in ["d/x", "gone", "long", "other", "to dir"] {
        let (scene, lock, id) = changed_in_every_way();
        let content = format!("old {}", altered.trim_start_matches("d/"));
        let kept = walk(&scene.path(&format!(".rsyn/snap/{id}")));
        let is_it =
            |path: &&PathBuf| path.is_file() && std::fs::read(path).unwrap() == content.as_bytes();
        alter(kept.iter().find(is_it).unwrap(), &content.to_uppercase());

        let inverse = inverse(&scene.root, &id).unwrap();
        let copy = format!("{altered}.rsyn-old-{}", &id.as_str()[..8]);
        let left = Left {
            path: RelPath::new(altered.as_bytes()).unwrap(),
            reason: crate::transaction::Reason::InSnapshot,
            copy: Some(RelPath::new(copy.as_bytes()).unwrap()),
        };
        assert_eq!(inverse.left, [left]);
        assert_eq!(inverse.changed_since(&scene.root).unwrap(), []);
        roll_back(&scene, &lock, &id).unwrap_or_else(|e| panic!("{altered}: {e}"));

        assert_eq!(scene.read(&copy), content.to_uppercase());
        let mut expected = listing_of(&scene.old);
        expected.remove(altered);
        let stays = listing_of(&scene.new).remove(altered);
        expected.extend(stays.map(|line| (altered.to_owned(), line)));
        let mut now = scene.listing();
        now.remove(&copy);
        assert_eq!(now, expected, "{altered}");
    }
}

#[test]
fn a_file_that_was_altered_since_stays_and_the_rest_comes_back() {
    let rows = [
        ("here", None, vec!["here", "moved"]),
        ("long", Some("old long"), vec!["long"]),
        ("made", None, vec!["made"]),
        ("mode", None, vec!["mode"]),
        ("other", Some("old other"), vec!["other"]),
    ];
    for (altered, beside, stay) in rows {
        let (scene, lock, id) = changed_in_every_way();
        let content = scene.read(altered).to_uppercase();
        alter(&scene.path(altered), &content);
        let before = scene.listing();

        let inverse = inverse(&scene.root, &id).unwrap();
        let left: Vec<_> = inverse.left.iter().map(|left| left.path.clone()).collect();
        let paths = stay.iter().map(|p| RelPath::new(p.as_bytes()).unwrap());
        assert_eq!(left, paths.collect::<Vec<_>>(), "{altered}");
        assert_eq!(inverse.changed_since(&scene.root).unwrap(), []);
        roll_back(&scene, &lock, &id).unwrap_or_else(|e| panic!("{altered}: {e}"));

        let copy = format!("{altered}.rsyn-old-{}", &id.as_str()[..8]);
        let found = beside.map(|_| scene.read(&copy));
        assert_eq!(found.as_deref(), beside, "{altered}");
        let mut now = scene.listing();
        now.remove(&copy);
        let mut expected = listing_of(&scene.old);
        for path in stay {
            expected.remove(path);
            expected.extend(before.get(path).map(|line| (path.to_owned(), line.clone())));
        }
        assert_eq!(now, expected, "{altered}");
    }
}

#[test]
fn every_damaged_byte_of_a_plan_is_noticed_and_nothing_is_touched() {
    let scene = Scene::new(
        &tree([("a", F("old", 0o644))]),
        &tree([("a", F("new", 0o644))]),
    );
    let lock = scene.lock();
    // Stop before the decision, with the moves done.
    let hook: fault::Hook = Box::new(|_, path| {
        let decided = path.windows(9).any(|w| w == b"COMMITTED");
        if decided {
            Err(std::io::Error::other("injected crash"))
        } else {
            Ok(())
        }
    });
    let mut down = false;
    let mut hook = hook;
    let sticky: fault::Hook = Box::new(move |verb, path| {
        down |= hook(verb, path).is_err();
        if down {
            Err(std::io::Error::other("injected crash"))
        } else {
            Ok(())
        }
    });
    drop(fault::with_hook(sticky, || scene.run(&lock)));
    let id = std::fs::read_dir(scene.path(".rsyn/txn"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let plan = id.path().join("plan");
    let bytes = std::fs::read(&plan).unwrap();
    let before = scene.listing();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&plan, &damaged).unwrap();
        let result = scene.recover(&lock);
        assert!(
            matches!(result, Err(CommitError::Damaged(_))),
            "byte {at}: {result:?}"
        );
    }
    for len in 0..bytes.len() {
        std::fs::write(&plan, &bytes[..len]).unwrap();
        assert!(scene.recover(&lock).is_err(), "{len} bytes");
    }
    assert_eq!(scene.listing(), before);
    std::fs::write(&plan, &bytes).unwrap();
    assert_eq!(pending(&scene.root).unwrap(), Some(PendingKind::Undo));
    let changes = scene.changes();
    let staging = Staging::begin(&scene.root).unwrap();
    let result = scene.commit(&lock, staging, changes, None);
    assert!(
        matches!(result, Err(CommitError::RecoveryPending)),
        "{result:?}"
    );
    scene.recover(&lock).unwrap();
    assert_eq!(scene.listing(), listing_of(&scene.old));
    assert_eq!(pending(&scene.root).unwrap(), None);
}

fn commit_content(scene: &Scene, lock: &Lock, old: &str, new: &'static str, when: i64) -> TxnId {
    let node = F(new, 0o644).node();
    let staging = Staging::begin(&scene.root).unwrap();
    let Node::File {
        digest,
        size,
        mode,
        mtime,
    } = node
    else {
        unreachable!()
    };
    let mut file = staging.file(0, digest, size).unwrap();
    file.append(new.as_bytes()).unwrap();
    file.finish(mode, mtime).unwrap();
    let mut expected = node.clone();
    if let Node::File { digest, size, .. } = &mut expected {
        (*digest, *size) = (Digest::of(old.as_bytes()), old.len() as u64);
    }
    let change = Change {
        path: RelPath::new(*b"a").unwrap(),
        old: Some(Expected::new(expected, None)),
        new: Some(NewNode {
            node,
            slot: Some(0),
        }),
    };
    let request = Request {
        changes: vec![change],
        payload: Vec::new(),
        label: Label {
            verb: "pull".into(),
            when,
            ..Label::default()
        },
        keep_snapshot: true,
        consumes: None,
        interrupted: &|| false,
    };
    let committed = commit(&scene.root, lock, staging, request, &mut |_, _| Ok(()));
    committed.unwrap().snapshot.unwrap()
}

#[test]
fn snapshots_are_listed_newest_first_whatever_the_clock_says_and_pruned_by_age_count_and_size() {
    const DAY: i64 = 24 * 3600;
    let one = tree([("a", F("0", 0o644))]);
    let scene = Scene::new(&one, &one);
    let lock = scene.lock();
    let contents = ["0", "11", "222", "3333", "44444", "555555"];
    // The clock was wrong at the third one.
    let when = [28 * DAY, 29 * DAY, 400 * DAY, 31 * DAY, 32 * DAY];
    let ids: Vec<_> = (0..5)
        .map(|n| commit_content(&scene, &lock, contents[n], contents[n + 1], when[n]))
        .collect();
    let listed = || snapshots(&scene.root).unwrap();
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(
        listed().into_iter().map(|s| s.id).collect::<Vec<_>>(),
        newest_first
    );
    assert_eq!(
        (listed()[0].bytes, listed()[0].changes, listed()[0].when),
        (5, 1, 32 * DAY)
    );

    let all_stay = Kept {
        newest: 10,
        younger_than_secs: 0,
        max_bytes: Some(0),
    };
    assert!(
        prune(&scene.root, &lock, all_stay, 40 * DAY)
            .unwrap()
            .ids
            .is_empty()
    );
    let by_age = Kept {
        newest: 1,
        younger_than_secs: 3 * DAY,
        max_bytes: None,
    };
    let not_so_old = Kept {
        younger_than_secs: 4 * DAY,
        ..by_age
    };
    let leap = prune(&scene.root, &lock, not_so_old, 530 * DAY).unwrap();
    assert_eq!(leap.ids, [], "one wrong clock makes nothing old");
    let pruned = prune(&scene.root, &lock, by_age, 33 * DAY).unwrap();
    assert_eq!(pruned.ids, [ids[0].clone()]);
    assert_eq!(pruned.bytes, 1);
    let by_size = Kept {
        newest: 1,
        younger_than_secs: 100 * DAY,
        max_bytes: Some(9),
    };
    let pruned = prune(&scene.root, &lock, by_size, 33 * DAY).unwrap();
    assert_eq!(pruned.ids, [ids[2].clone(), ids[1].clone()]);
    let young_stay = Kept {
        newest: 0,
        younger_than_secs: 0,
        max_bytes: Some(0),
    };
    assert_eq!(
        prune(
            &scene.root,
            &lock,
            Kept {
                younger_than_secs: DAY,
                ..young_stay
            },
            33 * DAY
        )
        .unwrap()
        .ids,
        [ids[3].clone()]
    );
    assert_eq!(listed().len(), 1);
    assert_eq!(scene.left_in("trash"), 0);
    assert_eq!(scene.read("a"), "555555");
}

#[test]
fn one_path_can_be_read_from_a_snapshot() {
    let old = tree([
        ("a", F("old a", 0o644)),
        ("m", F("mode", 0o644)),
        ("same", F("s", 0o644)),
    ]);
    let new = tree([
        ("m", F("mode", 0o755)),
        ("n", F("n", 0o644)),
        ("same", F("s", 0o644)),
    ]);
    let scene = Scene::new(&old, &new);
    let lock = scene.lock();
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    let read = |path: &str| read_old(&scene, &id, path);
    assert_eq!(read("a").unwrap(), "old a");
    assert!(matches!(read("m"), Err(RestoreError::NoContent(_))));
    for none in ["n", "same"] {
        assert!(matches!(read(none), Err(RestoreError::NotInSnapshot(..))));
    }
    let unknown = TxnId::parse("0123456789abcdef").unwrap();
    assert!(read_old(&scene, &unknown, "a").is_err());
}

#[test]
fn an_id_is_sixteen_hexadecimal_digits() {
    for bad in [
        "",
        "..",
        "0123456789abcde",
        "0123456789ABCDEF",
        "0123456789abcde/",
        "0123456789abcdef0",
    ] {
        assert_eq!(TxnId::parse(bad), None, "{bad}");
    }
    assert!(TxnId::parse("0123456789abcdef").is_some());
}
