//! Directories that their owner may not write into, for an owner who is not root.

use super::*;
use crate::disk::fault;

/// What an ordinary user may not do, whoever runs the test: bring a name into a directory without `w`.
fn ordinary(top: PathBuf) -> fault::Hook {
    Box::new(move |verb, path| {
        let brings = ["create", "move", "replace", "make the directory"].contains(&verb);
        let dir = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => top.join(std::ffi::OsStr::from_bytes(&path[..at])),
            None => top.clone(),
        };
        let is_closed = std::fs::metadata(dir).is_ok_and(|dir| dir.mode() & 0o200 == 0);
        match brings && is_closed {
            true => Err(std::io::ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        }
    })
}

/// The commit of this scene is stopped before call `at`, which is not reached if it is done before.
fn stopped(at: usize) -> (Scene, Lock, bool) {
    let old = tree([("ro", D(0o555)), ("ro/f", F("old", 0o644))]);
    let new = tree([("ro", D(0o500)), ("ro/f", F("of the hub", 0o644))]);
    let scene = Scene::new(&old, &new);
    let lock = scene.lock();
    let (_, calls) = fault::crash_at(at, || scene.run(&lock));
    (scene, lock, at < calls)
}

#[test]
fn an_edit_in_a_closed_directory_after_a_crash_is_kept_beside_it() {
    let mut kept = 0;
    for at in 0.. {
        let (scene, lock, is_stopped) = stopped(at);
        if !is_stopped {
            break;
        }
        std::fs::write(scene.path("ro/f"), "edited since").unwrap();
        let top = scene.temp.path().to_owned();
        let recovery = fault::with_hook(ordinary(top), || scene.recover(&lock))
            .unwrap_or_else(|e| panic!("crash at {at}: {e}"));
        let mode = scene.listing()["ro"].clone();
        let is_new = scene.base_is_new();
        let closed = if is_new { "500" } else { "555" };
        assert!(mode.contains(closed), "crash at {at}: {mode}");
        let found = walk(&scene.path("ro"));
        let has_edit = |path: &PathBuf| std::fs::read(path).unwrap() == b"edited since";
        assert!(found.iter().any(has_edit), "crash at {at}: {found:?}");
        kept += recovery.attention.len();
    }
    assert!(kept > 3, "{kept}");
}

#[test]
fn a_recovery_that_is_stopped_goes_on_to_close_the_directories() {
    let (_, whole) = {
        let (scene, lock, _) = stopped(usize::MAX);
        fault::crash_at(usize::MAX, || scene.recover(&lock))
    };
    let mut points = 0;
    for at in 0.. {
        for second in 0.. {
            let (scene, lock, is_stopped) = stopped(at);
            if !is_stopped {
                assert!(points > 3 * whole, "{points} of {whole}");
                return;
            }
            std::fs::write(scene.path("ro/f"), "edited since").unwrap();
            let (_, calls) = fault::crash_at(second, || scene.recover(&lock));
            let top = scene.temp.path().to_owned();
            fault::with_hook(ordinary(top), || scene.recover(&lock))
                .unwrap_or_else(|e| panic!("crash at {at}, then {second}: {e}"));
            let mode = scene.listing()["ro"].clone();
            let is_closed = mode.contains("555") || mode.contains("500");
            assert!(is_closed, "crash at {at}, then {second}: {mode}");
            points += 1;
            if calls <= second {
                break;
            }
        }
    }
}
