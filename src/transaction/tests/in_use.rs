//! A program opens a file in the moment before it is moved: all is taken back, and it has the file that is in the tree.

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::disk::fault;

/// A program that is stopped at the end of a test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A shell that has `path` open for writing.
fn opens(path: &Path) -> Program {
    let script = format!("exec 7>>'{}'; echo; exec sleep 60", path.display());
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &script]).stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    Program(child)
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_is_opened_right_before_its_move_goes_back_to_its_program() {
    let old = tree([("a", F("1", 0o644)), ("b", F("four", 0o644))]);
    let news = [
        tree([("a", F("one", 0o644)), ("b", F("two!", 0o644))]),
        tree([("a", F("one", 0o644))]),
    ];
    for new in &news {
        let scene = Scene::new(&old, new);
        let lock = scene.lock();
        let path = scene.path("b");
        let ino = std::fs::metadata(&path).unwrap().ino();
        let program = std::rc::Rc::new(std::cell::RefCell::new(None));
        let started = std::rc::Rc::clone(&program);
        let opened = path.clone();
        let hook: fault::Hook = Box::new(move |verb, _| {
            // PREPARED is written: the check before the moves is over.
            let is_move = verb == "replace" || verb == "move";
            if is_move && started.borrow().is_none() {
                *started.borrow_mut() = Some(opens(&opened));
            }
            Ok(())
        });
        let result = fault::with_hook(hook, || scene.run(&lock));
        let Err(CommitError::InUse { held }) = result else {
            panic!("{result:?}")
        };
        assert!(program.borrow().is_some());
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].path.as_bytes(), b"b");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), ino);
        assert_eq!(scene.listing(), listing_of(&old));

        drop(program.take());
        scene.run(&lock).unwrap();
        assert_eq!(scene.listing(), listing_of(new));
    }
}
