//! Programs that go on writing into what was replaced, long after: nothing of it is pruned.

use std::fs::{File, OpenOptions};
use std::io::Write;

use super::rollback::roll_back;
use super::*;

const NOTHING_STAYS: Kept = Kept {
    newest: 0,
    younger_than_secs: 0,
    max_bytes: None,
};

fn append_to(scene: &Scene, path: &str) -> File {
    OpenOptions::new()
        .append(true)
        .open(scene.path(path))
        .unwrap()
}

fn pruned(scene: &Scene, lock: &Lock) -> Pruned {
    prune(&scene.root, lock, NOTHING_STAYS, 1_700_000_000).unwrap()
}

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

#[test]
fn what_was_written_late_is_put_beside_its_path_before_its_snapshot_goes() {
    let old = tree([
        ("d", D(0o755)),
        ("d/gone", F("gone\n", 0o644)),
        ("log", F("line\n", 0o644)),
        ("quiet", F("quiet\n", 0o644)),
    ]);
    let new = tree([
        ("log", F("replaced\n", 0o644)),
        ("quiet", F("louder\n", 0o644)),
    ]);
    let scene = Scene::new(&old, &new);
    let lock = scene.lock();
    let (mut log, mut gone) = (append_to(&scene, "log"), append_to(&scene, "d/gone"));
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    log.write_all(b"late\n").unwrap();
    gone.write_all(b"late, too\n").unwrap();

    let pruned = pruned(&scene, &lock);

    assert_eq!(pruned.ids, std::slice::from_ref(&id));
    let end = format!(".rsyn-kept-{}", &id.as_str()[..8]);
    // The directory is gone, so that it comes to the nearest one that is there.
    let [beside_log, beside_gone] = [format!("log{end}"), format!("gone{end}")];
    let mut told: Vec<_> = pruned
        .late_writes
        .into_iter()
        .map(|l| (l.path, l.copy))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            (path("d/gone"), Some(path(&beside_gone))),
            (path("log"), Some(path(&beside_log)))
        ]
    );
    // The program has it open still.
    log.write_all(b"later\n").unwrap();
    assert_eq!(scene.read(&beside_log), "line\nlate\nlater\n");
    assert_eq!(scene.read(&beside_gone), "gone\nlate, too\n");
    assert_eq!(scene.read("log"), "replaced\n");
    assert_eq!(scene.listing().len(), 4);
    assert_eq!((scene.left_in("snap"), scene.left_in("trash")), (0, 0));
}

#[test]
fn a_write_that_puts_size_and_time_back_is_noticed() {
    let old = tree([("log", F("line\n", 0o644))]);
    let scene = Scene::new(&old, &tree([("log", F("replaced\n", 0o644))]));
    let lock = scene.lock();
    let log = append_to(&scene, "log");
    scene.run(&lock).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::os::unix::fs::FileExt::write_all_at(&log, b"LINE\n", 0).unwrap();
    let was = mtime_of("line\n");
    let was = std::time::UNIX_EPOCH
        + std::time::Duration::new(u64::try_from(was.secs).unwrap(), was.nanos);
    log.set_modified(was).unwrap();
    assert_eq!(pruned(&scene, &lock).late_writes.len(), 1);
}

#[test]
fn an_attribute_that_was_changed_late_is_no_late_write() {
    let old = tree([("log", F("line\n", 0o644))]);
    let scene = Scene::new(&old, &tree([("log", F("replaced\n", 0o644))]));
    let lock = scene.lock();
    let log = append_to(&scene, "log");
    scene.run(&lock).unwrap();
    log.set_modified(std::time::SystemTime::now()).unwrap();
    log.set_permissions(std::fs::Permissions::from_mode(0o600))
        .unwrap();
    let pruned = pruned(&scene, &lock);
    assert_eq!((pruned.ids.len(), pruned.late_writes), (1, vec![]));
    assert_eq!(scene.listing(), listing_of(&scene.new));
}

#[test]
fn a_file_that_was_made_in_a_directory_after_it_was_deleted_is_put_beside_it() {
    let old = tree([("d", D(0o755)), ("x", F("x", 0o644))]);
    let scene = Scene::new(&old, &tree([("x", F("x", 0o644))]));
    let lock = scene.lock();
    let held = scene.root.dir(&path("d")).unwrap();
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    held.create_file(b"late")
        .unwrap()
        .write_all(b"late")
        .unwrap();
    let pruned = pruned(&scene, &lock);
    let copy = pruned.late_writes[0].copy.clone().unwrap();
    assert_eq!(copy, path(&format!("d.rsyn-kept-{}", &id.as_str()[..8])));
    let inside = copy.join(b"late").unwrap();
    assert_eq!(
        scene.read(std::str::from_utf8(inside.as_bytes()).unwrap()),
        "late"
    );
}

#[test]
fn a_snapshot_stays_as_long_as_what_was_written_late_has_no_other_place() {
    let old = tree([("log", F("line\n", 0o644))]);
    let scene = Scene::new(&old, &tree([("log", F("replaced\n", 0o644))]));
    let lock = scene.lock();
    let mut log = append_to(&scene, "log");
    let id = scene.run(&lock).unwrap().snapshot.unwrap();
    log.write_all(b"late\n").unwrap();
    let refuse: crate::disk::fault::Hook = Box::new(|verb, path| match verb {
        "move" if path.starts_with(b"log.rsyn-kept") => Err(std::io::Error::other("no")),
        _ => Ok(()),
    });
    let pruned = crate::disk::fault::with_hook(refuse, || pruned(&scene, &lock));
    assert_eq!(pruned.ids, []);
    let late = LateWrite {
        id: id.clone(),
        path: path("log"),
        copy: None,
    };
    assert_eq!(pruned.late_writes, [late]);
    assert_eq!(read_old(&scene, &id, "log").unwrap(), "line\nlate\n");
    roll_back(&scene, &lock, &id).unwrap();
    assert_eq!(scene.read("log"), "line\nlate\n");
}

#[test]
fn a_crash_at_any_call_of_a_pruning_loses_nothing_that_was_written_late() {
    let old = tree([("log", F("line\n", 0o644))]);
    for at in 0.. {
        let scene = Scene::new(&old, &tree([("log", F("replaced\n", 0o644))]));
        let lock = scene.lock();
        let mut log = append_to(&scene, "log");
        scene.run(&lock).unwrap();
        log.write_all(b"late\n").unwrap();
        let prune = || prune(&scene.root, &lock, NOTHING_STAYS, 1_700_000_000);
        let (_, calls) = crate::disk::fault::crash_at(at, prune);
        scene.recover(&lock).unwrap();
        pruned(&scene, &lock);
        let kept = scene
            .listing()
            .into_values()
            .filter(|line| line.contains("late"));
        assert_eq!(
            kept.count(),
            1,
            "crash at {at} of {calls}: {:#?}",
            scene.listing()
        );
        assert_eq!((scene.left_in("snap"), scene.left_in("trash")), (0, 0));
        if calls <= at {
            break;
        }
    }
}
