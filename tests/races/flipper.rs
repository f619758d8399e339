//! Somebody swaps a directory with a link to the outside, over and over, while runs read and write below it:
//! nothing outside is touched, and nothing of it travels.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::support::{Dir, Sandbox, Touch};
use crate::{contents, times};

const SECRET: &[u8] = b"nobody may see this";

/// Tells the flipper what to do, and is told.
#[derive(Default)]
struct Signal {
    over: AtomicBool,
    wait: AtomicBool,
    waits: AtomicBool,
}

impl Signal {
    /// Does `look` while the directory stands in its place: looking goes through the same paths.
    fn at_rest<T>(&self, look: impl FnOnce() -> T) -> T {
        self.wait.store(true, Ordering::SeqCst);
        while !self.waits.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let seen = look();
        self.wait.store(false, Ordering::SeqCst);
        while self.waits.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        seen
    }
}

/// Ends the flipper also where a test fails.
struct End<'a>(&'a Signal);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

/// Swaps `one` and `other` until it is over; gives how often.
fn flip(one: &Dir, other: &Dir, signal: &Signal) -> u64 {
    let swap = || renameat_with(CWD, &one.0, CWD, &other.0, RenameFlags::EXCHANGE).is_ok();
    let put_right = || {
        if one.0.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
            swap();
        }
    };
    let mut swaps = 0;
    while !signal.over.load(Ordering::SeqCst) {
        if signal.wait.load(Ordering::SeqCst) {
            put_right();
            signal.waits.store(true, Ordering::SeqCst);
            while signal.wait.load(Ordering::SeqCst) && !signal.over.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            signal.waits.store(false, Ordering::SeqCst);
        }
        swaps += u64::from(swap());
    }
    put_right();
    swaps
}

struct World {
    sandbox: Sandbox,
    outside: Touch,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let outside = sandbox.dir("outside");
        for name in ["d/0", "d/1", "0", "1", "e/0", "secret"] {
            outside.write(name, SECRET);
        }
        Self {
            outside: outside.touch(),
            sandbox,
        }
    }

    /// Nothing outside is another, and none of it is on either side, its state included.
    #[track_caller]
    fn is_safe(&self, what: &str) {
        assert!(
            self.sandbox.dir("outside").touch() == self.outside,
            "{what}: outside was touched"
        );
        for side in ["a", "hub"] {
            let holds = contents(&self.sandbox.dir(side))
                .iter()
                .any(|content| content == SECRET);
            assert!(!holds, "{what}: what is outside came into {side}");
        }
    }
}

/// Runs with the flipper at `depth` directories below the root of `side`.
fn attack(side: &str, depth: usize, rounds: usize, runs: &AtomicU64, told: &AtomicU64) -> u64 {
    let world = World::new();
    let a = world.sandbox.project("a");
    let above = vec!["t"; depth - 1].join("/");
    let at = |name: &str| {
        if above.is_empty() {
            name.to_owned()
        } else {
            format!("{above}/{name}")
        }
    };
    for name in ["d/0", "d/1", "d/e/0"] {
        a.write(at(name), format!("first {name}"));
    }
    a.ok(&["push"]);
    let attacked = world.sandbox.dir(side);
    attacked.link(at("swap"), world.sandbox.dir("outside").text_path());
    let signal = Signal::default();
    std::thread::scope(|scope| {
        let (one, other) = (Dir(attacked.at(at("d"))), Dir(attacked.at(at("swap"))));
        let signal = &signal;
        let end = End(signal);
        let flipper = scope.spawn(move || flip(&one, &other, signal));
        for round in 0..rounds {
            let from = if round % 2 == 0 {
                &world.sandbox.hub()
            } else {
                &*a
            };
            if side != if round % 2 == 0 { "hub" } else { "a" } {
                // A link may have come by then, as what it is; this test must not write through it.
                if from
                    .at(at("d"))
                    .symlink_metadata()
                    .is_ok_and(|meta| meta.is_symlink())
                {
                    from.remove(at("d"));
                }
                for name in [
                    "d/0".to_owned(),
                    "d/e/0".to_owned(),
                    format!("d/new {round}"),
                ] {
                    from.write(at(&name), format!("round {round}"));
                }
            }
            let path = at("d/0");
            let verbs: [&[&str]; 6] = [
                // The partner of the swap does not travel itself.
                &["pull", "-y", "--force", "--exclude", "swap"],
                &["push", "-y", "--force", "--exclude", "swap"],
                &["sync", "-y", "--force", "--exclude", "swap"],
                &["rollback", "-y"],
                &["restore", &path, "-y"],
                &["rollback", "-y", "--remote"],
            ];
            for verb in verbs {
                let run = a.rsyn(verb);
                assert!(
                    run.code >= 0 && !run.all().contains("panicked"),
                    "{verb:?}: {}",
                    run.all()
                );
                runs.fetch_add(1, Ordering::Relaxed);
                told.fetch_add((run.code != 0).into(), Ordering::Relaxed);
                let what = format!(
                    "{side}, depth {depth}, round {round}, {verb:?}: {}",
                    run.all()
                );
                signal.at_rest(|| world.is_safe(&what));
            }
        }
        drop(end);
        flipper.join().unwrap()
    })
}

#[test]
fn a_directory_that_turns_into_a_link_and_back_leads_nobody_outside() {
    let (runs, told) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut swaps = 0;
    for depth in [1, 3] {
        for side in ["a", "hub"] {
            swaps += attack(side, depth, times(2), &runs, &told);
        }
    }
    let (runs, told) = (runs.into_inner(), told.into_inner());
    println!("{runs} runs during {swaps} swaps; {told} of them met one and said so");
    assert!(swaps > runs && told > 0, "the race was not hit");
}
