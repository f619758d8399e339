//! Files that grow and shrink while they are read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Machine, Sandbox, noise};

const FULL: usize = 6 * 1024 * 1024;

/// Pushes while `move_on` changes the length of `file`, whose content is always a beginning of the same noise. Whatever
/// arrives must be such a beginning too, of a length that the file had.
fn push_while(mut move_on: impl FnMut(&File, u64) + Send) {
    let world = Sandbox::new();
    let a = world.project("a");
    let content = noise(FULL, 9);
    a.write("file", &content[..FULL / 2]);
    a.ok(&["push"]);

    let over = AtomicBool::new(false);
    let file = File::options().write(true).open(a.at("file")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 0.. {
                move_on(&file, step);
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let _stop = Stop(&over);
        let arrived = (0..5)
            .filter(|_| push(&a, &content, &world.hub().0))
            .count();
        eprintln!("{arrived} of 5 pushes found a moment of rest");
    });

    a.ok(&["push"]);
    assert_eq!(world.hub().read("file"), a.read("file"));
}

/// Ends the writer, also where an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One push; whether it brought the file. What the hub has is a beginning of `content` in any case.
fn push(a: &Machine, content: &[u8], hub: &std::path::Path) -> bool {
    let run = a.rsyn(&["push"]);
    assert!(matches!(run.code, 0 | 7), "{}: {}", run.code, run.all());
    let there = std::fs::read(hub.join("file")).unwrap();
    assert!(
        content.starts_with(&there),
        "the hub holds what never was: {} bytes",
        there.len()
    );
    run.code == 0
}

#[test]
fn a_file_that_grows_while_it_is_read_arrives_as_it_once_was() {
    let content = noise(FULL, 9);
    push_while(move |file, step| {
        let at = FULL / 2 + step as usize * 512;
        if let Some(part) = content.get(at..at + 512) {
            file.write_all_at(part, at as u64).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_micros(300));
    });
}

#[test]
fn a_file_that_shrinks_and_grows_while_it_is_read_arrives_as_it_once_was() {
    let content = noise(FULL, 9);
    push_while(move |file, step| {
        let middle = FULL / 2;
        if step % 2 == 0 {
            file.set_len(middle as u64 / 3).unwrap();
        } else {
            let from = middle / 3;
            file.write_all_at(&content[from..middle], from as u64)
                .unwrap();
        }
        std::thread::sleep(std::time::Duration::from_micros(700));
    });
}
