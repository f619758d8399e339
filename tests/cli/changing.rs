//! Files that programs write, make and delete while a sync runs: each is carried whole or left with a warning, and the rest
//! goes on.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::support::{Dir, Machine, Sandbox};

/// A program that works in the tree until it is dropped.
struct Busy {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    fn new(mut work: impl FnMut(u64) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut round = 0;
            while !stopped.load(Ordering::Relaxed) {
                work(round);
                round += 1;
            }
        });
        let thread = Some(thread);
        Self { stop, thread }
    }

    /// Appends to a file without a rest; it has begun when this returns.
    fn appends(path: PathBuf) -> Self {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        let mut append = move || file.write_all(&[b'x'; 2000]).unwrap();
        append();
        Self::new(move |_| {
            append();
            std::thread::sleep(std::time::Duration::from_micros(200));
        })
    }

    /// Makes files and deletes them soon after.
    fn makes_and_deletes(dir: &Dir) -> Self {
        let dir = dir.clone();
        Self::new(move |round| {
            dir.write(format!("t/{round}.tmp"), "short-lived");
            std::thread::sleep(std::time::Duration::from_micros(500));
            if let Some(old) = round.checked_sub(20) {
                dir.remove(format!("t/{old}.tmp"));
            }
        })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A tree that a program works in, and a run that carries `work` from there.
fn worlds() -> [(Sandbox, Dir, Machine, &'static str); 2] {
    ["push", "pull"].map(|verb| {
        let world = Sandbox::new();
        let a = world.project("a");
        a.write("work", "0");
        for n in 0..60 {
            a.write(format!("t/stays.{n}"), "");
        }
        a.ok(&["push"]);
        match verb {
            "push" => (world, (*a).clone(), a, verb),
            _ => {
                let (hub, b) = (world.hub(), world.clone_of_hub("b"));
                (world, hub, b, verb)
            }
        }
    })
}

#[test]
fn a_file_that_never_rests_is_left_with_a_warning_and_the_rest_goes_on() {
    for (_world, read, machine, verb) in worlds() {
        for is_synced in [false, true] {
            if is_synced {
                read.write("grows", "start");
                machine.ok(&[verb]);
            }
            let busy = Busy::appends(read.at("grows"));
            for round in 0..5 {
                read.write("work", format!("{verb} {is_synced} {round}"));
                let run = machine.ok(&[verb, "--json"]);
                let actions = run.actions();
                assert!(actions.contains(&"update work".to_owned()), "{actions:?}");
                let is_carried = actions.iter().any(|action| action.ends_with(" grows"));
                let is_told = run.err().contains("grows");
                assert_ne!(is_carried, is_told, "{}", run.all());
            }
            drop(busy);
            machine.ok(&[verb]).says("grows");
            machine.ok(&[verb]).says("nothing to do");
        }
    }
}

#[test]
fn files_that_come_and_go_meanwhile_end_no_run() {
    for (_world, read, machine, verb) in worlds() {
        let _busy = Busy::makes_and_deletes(&read);
        for round in 0..5 {
            read.write("work", format!("{verb} {round}"));
            let run = machine.ok(&[verb, "--json"]);
            assert!(run.actions().contains(&"update work".to_owned()));
        }
    }
}
