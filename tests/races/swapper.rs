//! Somebody swaps every component on the way to a served root with a link to the outside, and makes links where roots
//! would be made, while a restricted key tries every verb: nothing outside is told of, read or written.
//!
//! `RSYN_SWAPS` is the number of tries; `make swaps` takes 100,000.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::Random;
use crate::support::{Machine, RSYN, Sandbox};

/// Name and content that are only outside.
const SECRET: &str = "name-that-nobody-may-see";

/// Directories on the way to the root; each has a link beside it that leads to the same place outside.
const WAY: [&str; 3] = ["p", "p/q", "p/q/root"];

/// Removes a link or a root that was made, never through the link.
fn clear(path: &std::path::Path) {
    if std::fs::remove_file(path).is_err() {
        drop(std::fs::remove_dir_all(path));
    }
}

struct World {
    sandbox: Sandbox,
    over: AtomicBool,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let (served, outside) = (sandbox.dir("served"), sandbox.dir("outside"));
        served.write("p/q/root/f", "1");
        for way in WAY {
            outside.write(format!("{way}/{SECRET}"), SECRET);
            served.link(format!("{way}.swap"), outside.dir(way).text_path());
        }
        let key = format!(
            "#!/bin/sh\nexec '{RSYN}' serve --stdio --restrict '{}'\n",
            served.text_path()
        );
        sandbox.dir("").write("key", key);
        sandbox.dir("").chmod("key", 0o755);
        Self {
            sandbox,
            over: AtomicBool::new(false),
        }
    }

    /// Swaps until it is over; gives how often.
    fn swap(&self) -> u64 {
        let served = self.sandbox.dir("served");
        let outside = self.sandbox.dir("outside/p/q/root");
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut swaps = 0;
        while !self.over.load(Ordering::Relaxed) {
            let way = WAY[usize::try_from(random.below(3)).unwrap()];
            let link = format!("{way}.swap");
            swaps += u64::from(
                renameat_with(
                    CWD,
                    served.at(way),
                    CWD,
                    served.at(&link),
                    RenameFlags::EXCHANGE,
                )
                .is_ok(),
            );
            let new = served.at("new");
            match random.below(8) {
                // Fails where something stands there.
                0..3 => swaps += u64::from(std::os::unix::fs::symlink(&outside.0, &new).is_ok()),
                // Never through the link.
                3 => drop(std::fs::remove_file(&new)),
                4 => {
                    // Few are kept: hundreds of thousands would fill the disk.
                    let old = served.at(format!("old{}", swaps % 64));
                    clear(&old);
                    renameat_with(CWD, &new, CWD, old, RenameFlags::NOREPLACE).ok();
                }
                _ => {}
            }
            // A session sees hundreds of swaps all the same, and has a processor to itself.
            std::thread::sleep(Duration::from_micros(10));
        }
        swaps
    }
}

/// Ends the swapper also where a test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One verb against a root that is being swapped; its output.
fn attempt(world: &World, a: &Machine, random: &mut Random, n: u64) -> (i32, String) {
    let top = world.sandbox.dir("");
    let (key, served) = (top.dir("key"), top.dir("served"));
    let key = key.text_path();
    let root = [
        "p/q/root",
        "new",
        "p/q/fresh",
        "p/fresh/deep",
        "p/q",
        "new/deep",
    ];
    let root = root[usize::try_from(random.below(6)).unwrap()];
    let remote = format!("h:{}/{root}", served.text_path());
    let named = format!("--remote={remote}");
    a.write("mine", format!("{n}"));
    let forced = ["-y", "--force", "-v", "-e", key];
    let run = match random.below(10) {
        0 | 1 => a.rsyn(&[&["push", &remote][..], &forced].concat()),
        2 => a.rsyn(&[&["push", "--mirror", &remote][..], &forced].concat()),
        3 => a.rsyn(&[&["pull", "-n", &remote][..], &forced].concat()),
        4 => a.rsyn(&[&["sync", &remote][..], &forced].concat()),
        5 => a.rsyn(&["status", "-v", &remote, "-e", key]),
        6 => a.rsyn(&["verify", &named, "-e", key]),
        7 => a.rsyn(&["rollback", "-y", &named, "-e", key]),
        8 => a.rsyn(&["snapshots", &named, "-e", key]),
        _ => {
            let run = a.run_in(&top.0, &["clone", "-e", key, &remote, "cloned"]);
            let cloned = top.dir("cloned");
            if top.has("cloned") {
                assert!(!cloned.has(SECRET), "a clone brought what is outside");
                std::fs::remove_dir_all(&cloned.0).unwrap();
            }
            run
        }
    };
    (run.code, format!("{}: {}", run.line, run.all()))
}

#[test]
fn no_swap_leads_a_restricted_key_out_of_its_directory() {
    let tries = std::env::var("RSYN_SWAPS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(60);
    let world = World::new();
    let a = world.sandbox.machine("a");
    a.write(".rsync-exclude", "");
    let outside = world.sandbox.dir("outside");
    let before = outside.touch();
    let (mut done, mut refused) = (0, 0);
    let swaps = std::thread::scope(|scope| {
        let end = End(&world.over);
        let swapper = scope.spawn(|| world.swap());
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for n in 0..tries {
            let (code, said) = attempt(&world, &a, &mut random, n);
            assert!(code >= 0 && !said.contains("panicked"), "{said}");
            assert!(!said.contains(SECRET), "told of what is outside: {said}");
            assert!(!a.has(SECRET), "brought what is outside: {said}");
            assert!(outside.touch() == before, "touched what is outside: {said}");
            if code == 0 {
                done += 1;
            } else {
                refused += 1;
            }
            if n % 5000 == 4999 {
                println!("{} of {tries} tries", n + 1);
            }
        }
        drop(end);
        swapper.join().unwrap()
    });
    println!("{tries} tries during {swaps} swaps: {done} done, {refused} refused");
    assert!(
        swaps > tries && done > 0 && refused > 0,
        "the race was not hit"
    );
}
