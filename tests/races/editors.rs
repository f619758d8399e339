//! Editors that write into paths which a running pull or rollback replaces: what they wrote is in the tree or in a
//! snapshot afterwards.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Machine, Sandbox};
use crate::{Random, contents, times};

/// Files that each run replaces.
const FILES: u64 = 40;

/// How an editor saves.
#[derive(Debug, Clone, Copy)]
enum Style {
    InPlace,
    TempAndRename,
    Append,
    DeleteAndCreate,
    /// A directory with the text inside where the file was.
    Directory,
}

const STYLES: [Style; 5] = [
    Style::InPlace,
    Style::TempAndRename,
    Style::Append,
    Style::DeleteAndCreate,
    Style::Directory,
];

/// What an editor wrote.
struct Written {
    token: String,
    /// Whether its last write ended while the run was at work.
    during: bool,
}

/// Saves `token` at `path`; `None` if somebody was in the way and the save failed, as it may for any editor.
fn save(a: &Machine, style: Style, path: &str, token: &str) -> Option<()> {
    let full = a.at(path);
    match style {
        Style::InPlace => fs::write(&full, token).ok(),
        Style::TempAndRename => {
            let temp = full.with_extension("tmp");
            fs::write(&temp, token).ok()?;
            fs::rename(&temp, &full).ok()
        }
        Style::Append => {
            let mut file = fs::File::options().append(true).open(&full).ok()?;
            file.write_all(token.as_bytes()).ok()
        }
        Style::DeleteAndCreate => {
            fs::remove_file(&full).ok();
            let mut file = fs::File::options()
                .write(true)
                .create_new(true)
                .open(&full)
                .ok()?;
            file.write_all(token.as_bytes()).ok()
        }
        Style::Directory => {
            fs::remove_file(&full).ok();
            fs::create_dir(&full).ok()?;
            fs::write(full.join("inside"), token).ok()
        }
    }
}

fn path_of(number: u64) -> String {
    format!("d{}/{number}", number % 4)
}

/// Saves once into each of some files, at about the time when the run moves things.
fn edit_all(
    a: &Machine,
    style: Style,
    round: usize,
    over: &AtomicBool,
    random: &mut Random,
) -> Vec<Written> {
    let mut all = Vec::new();
    // Each path once: a second save would be right to overwrite the first.
    let mut numbers: Vec<u64> = (0..FILES).collect();
    for at in (1..numbers.len()).rev() {
        numbers.swap(at, usize::try_from(random.below(at as u64 + 1)).unwrap());
    }
    // In turns when the moves are about to begin, and while content still comes: the moves take a millisecond, which a
    // busy machine may not give to this thread.
    let sign = ["plan", "new"][round % 2];
    let begun = |a: &Machine| {
        let entries = fs::read_dir(a.at(".rsyn/txn"))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .into_iter()
            .any(|entry| entry.path().join(sign).exists())
    };
    while !begun(a) && !over.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
    for number in numbers {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let token = format!("<{style:?} {round} {number}>");
        if save(a, style, &path_of(number), &token).is_some() {
            all.push(Written {
                token,
                during: !over.load(Ordering::Relaxed),
            });
        }
        for _ in 0..random.below(2000) {
            std::hint::spin_loop();
        }
    }
    all
}

fn wait(mut child: Child) -> std::process::Output {
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "the run does not end");
        std::thread::sleep(Duration::from_micros(200));
    }
    child.wait_with_output().unwrap()
}

/// Starts a run and edits meanwhile; gives what was written, and how the run ended.
fn race(
    a: &Machine,
    args: &[&str],
    style: Style,
    round: usize,
    random: &mut Random,
) -> (Vec<Written>, i32, String) {
    let child = a
        .command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (over, a_) = (&over, &a);
        let editor = scope.spawn(move || edit_all(a_, style, round, over, random));
        let output = wait(child);
        over.store(true, Ordering::Relaxed);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            editor.join().unwrap(),
            output.status.code().unwrap_or(-1),
            said,
        )
    })
}

/// Where a token is afterwards.
fn all_found(a: &Machine, written: &[Written], what: &str) {
    let held = contents(a);
    for Written { token, .. } in written {
        let is_there = held.iter().any(|content| {
            content
                .windows(token.len())
                .any(|part| part == token.as_bytes())
        });
        assert!(is_there, "{what}: {token} is lost");
    }
}

/// What one style met.
#[derive(Default)]
struct Met {
    saved: usize,
    during: usize,
    committed: usize,
    refused: usize,
}

fn hammer(style: Style, rounds: usize) -> Met {
    let world = Sandbox::new();
    let a = world.project("a");
    let mut random = Random(0x1234_5678_9abc_def1 + style as u64);
    let mut met = Met::default();
    for number in 0..FILES {
        a.write(path_of(number), format!("base {number}"));
    }
    a.ok(&["push"]);
    for round in 0..rounds {
        // Back in step, then news from the hub for every file, some of them deletions.
        a.rsyn(&["pull", "--mirror", "-y", "--force"]).exits(0);
        for number in 0..FILES {
            let path = path_of(number);
            match (number + round as u64) % 5 {
                0 if world.hub().has(&path) => world.hub().remove(&path),
                _ => world.hub().write(&path, format!("news {round} {number}")),
            }
        }
        let rolls_back = round % 3 == 2;
        let args: &[&str] = if rolls_back {
            a.rsyn(&["pull", "-y", "--force"]).exits(0);
            &["rollback", "-y"]
        } else {
            &["pull", "-y", "--force"]
        };
        let (written, code, said) = race(&a, args, style, round, &mut random);
        assert!(!said.contains("panicked") && code >= 0, "{said}");
        all_found(
            &a,
            &written,
            &format!("{style:?}, round {round}, {args:?} ended with {code}: {said}"),
        );
        met.saved += written.len();
        met.during += written.iter().filter(|written| written.during).count();
        met.committed += usize::from(code == 0);
        met.refused += usize::from(code != 0);
        // An interrupted or failed run left nothing half done.
        a.rsyn(&["recover"]).exits(0);
        all_found(
            &a,
            &written,
            &format!("{style:?}, round {round}, after recover"),
        );
    }
    met
}

#[test]
fn what_editors_write_while_a_run_replaces_their_files_is_never_lost() {
    let rounds = times(6);
    std::thread::scope(|scope| {
        let halves = [&STYLES[..2], &STYLES[2..]];
        for styles in halves {
            scope.spawn(move || {
                for style in styles {
                    let met = hammer(*style, rounds);
                    println!(
                        "{style:?}: {rounds} runs ({} carried out, {} refused), {} saves, {} of them while a run was at work",
                        met.committed, met.refused, met.saved, met.during
                    );
                    assert!(met.during * 100 >= met.saved && met.during > 0, "{style:?}: the race was not hit");
                }
            });
        }
    });
}
