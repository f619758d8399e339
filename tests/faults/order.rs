//! The order of writes and syncs, read from what the program really called: what a power cut needs, and what no kill
//! can show.
//!
//! A model of the disk: whatever was written, or got a name, is *volatile* until its file or directory is synced.
//! The laws say what may be volatile at which moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use crate::judge::Stage;
use crate::scenarios::named;
use crate::strace::{self, Blow, Point};

/// A call that succeeded; paths are relative to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    /// A file was made.
    Create(String),
    /// A directory or a link was made: an empty one is part of the directory that holds it.
    Make(String),
    /// Content or attributes were written.
    Write(String),
    Sync(String),
    SyncAll,
    Rename {
        from: String,
        to: String,
        swaps: bool,
    },
    Remove(String),
    End,
}
use Event::{Create, End, Make, Remove, Rename, Sync, SyncAll, Write};

/// What a traced process did below `root`.
fn events(log: &Path, root: &Path) -> Vec<Event> {
    let lines = strace::own_lines(log);
    let events = lines
        .iter()
        .filter_map(|line| event(line, root.to_str().unwrap()));
    events.chain([End]).collect()
}

fn event(line: &str, root: &str) -> Option<Event> {
    let (call, rest) = line.split_once('(')?;
    let (inside, answer) = rest.rsplit_once(" = ")?;
    if answer.starts_with('-') || answer.starts_with('?') {
        return None;
    }
    let names = Names::of(inside, root);
    let first = |names: &Names| names.paths.first().cloned();
    match call {
        // Without O_EXCL: the lock and the log, which are there already and hold nothing that is needed.
        "openat" if inside.contains("O_EXCL") => names.at(0).map(Create),
        "mkdirat" => names.at(0).map(Make),
        "symlinkat" => Some(Make(join(names.paths.first()?, names.words.last()?))),
        "linkat" => names.at(1).map(Make),
        "write" | "pwrite64" | "ftruncate" | "fchmod" => first(&names).map(Write),
        "utimensat" => first(&names).map(Write),
        "fsync" => first(&names).map(Sync),
        "syncfs" => first(&names).map(|_| SyncAll),
        "renameat2" => Some(Rename {
            from: names.at(0)?,
            to: names.at(1)?,
            swaps: inside.contains("RENAME_EXCHANGE"),
        }),
        "unlinkat" => names.at(0).map(Remove),
        _ => None,
    }
}

/// Paths of handles below the root, and the strings of a call, in their order.
struct Names {
    paths: Vec<String>,
    words: Vec<String>,
}

impl Names {
    fn of(inside: &str, root: &str) -> Self {
        let mut names = Self {
            paths: vec![],
            words: vec![],
        };
        let mut rest = inside;
        while let Some(at) = rest.find(['<', '"']) {
            let (open, after) = (rest.as_bytes()[at], &rest[at + 1..]);
            let end = after
                .find(if open == b'<' { '>' } else { '"' })
                .unwrap_or(after.len());
            let text = &after[..end];
            if open == b'"' {
                names.words.push(text.to_owned());
            } else if let Some(below) = text.strip_prefix(root)
                && (below.is_empty() || below.starts_with('/'))
            {
                names.paths.push(below.trim_start_matches('/').to_owned());
            }
            rest = after.get(end + 1..).unwrap_or_default();
        }
        names
    }

    /// The `n`th name in the `n`th directory.
    fn at(&self, n: usize) -> Option<String> {
        Some(join(self.paths.get(n)?, self.words.get(n)?))
    }
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}

fn parent(path: &str) -> String {
    path.rsplit_once('/')
        .map_or(String::new(), |(dir, _)| dir.to_owned())
}

fn is_below(path: &str, dir: &str) -> bool {
    path == dir
        || path
            .strip_prefix(dir)
            .is_some_and(|rest| dir.is_empty() || rest.starts_with('/'))
}

/// The disk after some events.
#[derive(Default)]
struct Disk {
    volatile: BTreeSet<String>,
    prepared: bool,
    decided: bool,
    findings: Vec<String>,
}

const STATE: &str = ".rsyn";

impl Disk {
    /// Laws that a commit broke.
    fn broken(events: &[Event]) -> Vec<String> {
        let mut disk = Self::default();
        for event in events {
            disk.judge(event);
            disk.step(event);
        }
        disk.findings
    }

    /// What must be on the disk before `event`.
    fn judge(&mut self, event: &Event) {
        match event {
            Create(path) if path.ends_with("/PREPARED") => {
                // What it says is there, with the names by which it is found.
                let home = parent(path);
                self.demand(event, |p| {
                    is_aside(p) && p.contains("/new") || p.ends_with("/plan") || p == home
                });
            }
            Rename { to, .. } if to.ends_with("/COMMITTED") => {
                self.demand(event, |p| {
                    is_tree(p) || p.contains("/COMMITTED.tmp-") || is_aside(p)
                });
            }
            // A snapshot comes, or one that was taken back goes.
            Rename { from, to, .. } if [from, to].iter().any(|p| p.starts_with(".rsyn/snap/")) => {
                self.demand(event, |p| {
                    is_memory(p) || p.starts_with(".rsyn/txn/") && !is_aside(p)
                });
            }
            // An undo has to be on the disk before its journal ends.
            Remove(path) if path.ends_with("/PREPARED") => self.demand(event, is_tree),
            End => self.demand(event, |p| {
                is_tree(p) || is_memory(p) || [".rsyn/snap", ".rsyn/txn", STATE].contains(&p)
            }),
            event if changes_tree(event) => {
                if !self.prepared || self.decided {
                    self.findings.push(format!(
                        "{event:?} before the transaction is prepared, or after it is decided"
                    ));
                }
                self.demand(event, |p| {
                    p.starts_with(".rsyn/txn") && !is_aside(p) || p == STATE
                });
            }
            event if writes_memory(event) => {
                if !self.decided {
                    self.findings
                        .push(format!("{event:?} before the transaction is decided"));
                }
                self.demand(event, |p| {
                    is_tree(p) || p.starts_with(".rsyn/txn/") && !is_aside(p)
                });
            }
            _ => {}
        }
    }

    fn demand(&mut self, event: &Event, must_be_synced: impl Fn(&str) -> bool) {
        let loose: Vec<_> = self
            .volatile
            .iter()
            .filter(|path| must_be_synced(path))
            .collect();
        if !loose.is_empty() {
            self.findings
                .push(format!("{event:?} while {loose:?} is not on the disk"));
        }
    }

    fn step(&mut self, event: &Event) {
        match event {
            Create(path) => {
                self.prepared |= path.ends_with("/PREPARED");
                self.volatile.extend([path.clone(), parent(path)]);
            }
            Make(path) => drop(self.volatile.insert(parent(path))),
            Write(path) => drop(self.volatile.insert(path.clone())),
            Sync(path) => drop(self.volatile.remove(path)),
            SyncAll => self.volatile.clear(),
            Remove(path) => {
                self.volatile.retain(|p| !is_below(p, path));
                self.volatile.insert(parent(path));
            }
            Rename { from, to, swaps } => {
                self.decided |= to.ends_with("/COMMITTED");
                let moved = |p: &String| {
                    if is_below(p, from) {
                        format!("{to}{}", &p[from.len()..])
                    } else if *swaps && is_below(p, to) {
                        format!("{from}{}", &p[to.len()..])
                    } else {
                        p.clone()
                    }
                };
                self.volatile = self.volatile.iter().map(moved).collect();
                self.volatile.extend([parent(from), parent(to)]);
            }
            End => {}
        }
    }
}

fn is_tree(path: &str) -> bool {
    !is_below(path, STATE)
}

/// The directories of displaced and staged objects, which change while the moves are under way.
fn is_aside(path: &str) -> bool {
    path.starts_with(".rsyn/txn/") && (path.contains("/old") || path.contains("/new"))
}

/// What both sides agreed on.
fn is_memory(path: &str) -> bool {
    path.starts_with(".rsyn/peers") || path.starts_with(".rsyn/hub.")
}

fn changes_tree(event: &Event) -> bool {
    match event {
        Create(path) | Make(path) | Write(path) | Remove(path) => is_tree(path),
        Rename { from, to, .. } => is_tree(from) || is_tree(to),
        Sync(_) | SyncAll | End => false,
    }
}

fn writes_memory(event: &Event) -> bool {
    matches!(event, Create(path) if is_memory(path))
}

/// What a run of the scenario does on the side that is written, from the beginning of its transaction: what was
/// remembered before is not of it.
fn transaction_of(name: &str) -> Vec<Event> {
    let scenario = named(name);
    let stage = Stage::new(&scenario);
    let root = match scenario.side {
        crate::world::Side::Client => stage.world.sandbox.dir("a"),
        crate::world::Side::Hub => stage.world.sandbox.hub(),
    };
    let events = events(&stage.notes(), &root.0);
    let start = events
        .iter()
        .position(|e| matches!(e, Make(path) if path.starts_with(".rsyn/txn/")));
    events[start.unwrap_or_else(|| panic!("{name}: no transaction in {events:#?}"))..].to_vec()
}

/// Everything that a run remembers is on the disk when it ends: also what it made for the first time.
#[test]
fn a_first_sync_leaves_nothing_that_a_power_cut_takes_away() {
    strace_or_skip!();
    for (name, root) in [
        ("first push, client struck", "a"),
        ("first push", "hub"),
        ("clone", "b"),
        ("pull", "a"),
    ] {
        let scenario = named(name);
        let stage = Stage::new(&scenario);
        let mut disk = Disk::default();
        let all = events(&stage.notes(), &stage.world.sandbox.dir(root).0);
        all.iter().for_each(|event| disk.step(event));
        let needless =
            |path: &String| [".rsyn/trash", ".rsyn/partial", ".rsyn/lock"].contains(&path.as_str());
        let loose: Vec<_> = disk
            .volatile
            .iter()
            .filter(|path| !needless(path))
            .collect();
        assert!(
            all.len() > 10 && loose.is_empty(),
            "{name}: {loose:?} is not on the disk"
        );
    }
}

const COMMITS: [&str; 5] = [
    "pull",
    "push",
    "rollback",
    "rollback of the hub",
    "pull: 300 files",
];

/// What each of [`COMMITS`] does: seen once, for all laws.
static TRANSACTIONS: LazyLock<BTreeMap<&str, Vec<Event>>> = LazyLock::new(|| {
    let transaction = |name| (name, transaction_of(name));
    COMMITS.into_iter().map(transaction).collect()
});

#[test]
fn a_commit_waits_for_the_disk_where_a_power_cut_needs_it() {
    strace_or_skip!();
    for (name, events) in &*TRANSACTIONS {
        let syncs = events
            .iter()
            .filter(|e| matches!(e, Sync(_) | SyncAll))
            .count();
        let moves = events.iter().filter(|e| changes_tree(e)).count();
        assert!(syncs >= 8 && moves >= 10, "{name}: {events:#?}");
        let broken = Disk::broken(events);
        assert!(broken.is_empty(), "{name}:\n{}", broken.join("\n"));
    }
}

#[test]
fn the_laws_miss_no_sync_that_is_dropped_and_no_steps_that_are_swapped() {
    strace_or_skip!();
    for (name, events) in &*TRANSACTIONS {
        let decided = events
            .iter()
            .position(|e| matches!(e, Rename { to, .. } if to.ends_with("/COMMITTED")));
        let (mut missed, mut tried) = (Vec::new(), 0);
        for at in (0..decided.unwrap() + 2).filter(|at| does_something(events, *at)) {
            tried += 1;
            if Disk::broken(&without(events, at)).is_empty() {
                missed.push(&events[at]);
            }
        }
        // Seven where one sync of the file system stands for those of many objects.
        assert!(
            tried >= 7 && missed.is_empty(),
            "{name}: nobody misses {missed:#?} of {tried}"
        );
        for (what, is_it) in MARKS {
            let Some(at) = events.iter().position(is_it) else {
                assert!(
                    name.starts_with("rollback") && what == "the base",
                    "{name}: no {what}"
                );
                continue;
            };
            let first_move = events.iter().position(changes_tree).unwrap();
            let mut swapped = events.clone();
            let mark = swapped.remove(at);
            swapped.insert(if at < first_move { first_move } else { 0 }, mark);
            assert!(
                !Disk::broken(&swapped).is_empty(),
                "{name}: {what} may stand elsewhere"
            );
        }
    }
}

/// Whether there is a sync at `at` of something that is not on the disk yet.
fn does_something(events: &[Event], at: usize) -> bool {
    let mut disk = Disk::default();
    events[..at].iter().for_each(|event| disk.step(event));
    match &events[at] {
        Sync(path) => disk.volatile.contains(path),
        SyncAll => !disk.volatile.is_empty(),
        _ => false,
    }
}

/// The events without the sync at `at`, and without the same one done once more in the same row of syncs.
fn without(events: &[Event], at: usize) -> Vec<Event> {
    let is_sync = |e: &Event| matches!(e, Sync(_) | SyncAll);
    let begin = events[..at]
        .iter()
        .rposition(|e| !is_sync(e))
        .map_or(0, |n| n + 1);
    let end = events[at..]
        .iter()
        .position(|e| !is_sync(e))
        .map_or(events.len(), |n| at + n);
    let kept = |(n, e): &(usize, &Event)| !(begin..end).contains(n) || **e != events[at];
    events
        .iter()
        .enumerate()
        .filter(kept)
        .map(|(_, e)| e.clone())
        .collect()
}

type Mark = (&'static str, fn(&Event) -> bool);
const MARKS: [Mark; 3] = [
    (
        "PREPARED",
        |e| matches!(e, Create(path) if path.ends_with("/PREPARED")),
    ),
    (
        "COMMITTED",
        |e| matches!(e, Rename { to, .. } if to.ends_with("/COMMITTED")),
    ),
    ("the base", writes_memory),
];

#[test]
fn an_undo_is_on_the_disk_before_its_journal_ends() {
    strace_or_skip!();
    let scenario = named("pull");
    let stage = Stage::new(&scenario);
    let renames = stage.points(&["renameat2"]);
    stage.reset();
    // In the middle of the moves.
    let point: &Point = &renames[renames.len() / 2];
    let log = stage.world.log(scenario.side);
    stage.strike(&Blow::Kill.options(point, &log));
    assert!(strace::has_hit(&log));
    let a = stage.world.sandbox.dir("a");
    assert!(
        stage.old_or_new(false).is_err(),
        "the kill was to leave a mixed tree"
    );

    let recover = stage.world.machine("a").command(&["recover"]);
    let run = crate::world::finish(strace::traced(&recover, &strace::notes(&log)), &["recover"]);

    assert!(run.exits(0).says("undone").code == 0 && stage.old_or_new(false) == Ok(false));
    let mut events = events(&log, &a.0);
    // The journal that is undone was prepared by the process that died.
    events.insert(0, Create(".rsyn/txn/0/PREPARED".into()));
    events.insert(1, SyncAll);
    events.retain(|e| *e != End);
    assert!(
        events.iter().filter(|e| changes_tree(e)).count() >= 3,
        "{events:#?}"
    );
    assert_eq!(Disk::broken(&events), [""; 0]);
    let ended = events
        .iter()
        .position(|e| matches!(e, Remove(path) if path.ends_with("/PREPARED")))
        .unwrap();
    let syncs: Vec<_> = (0..ended)
        .filter(|at| matches!(&events[*at], Sync(path) if is_tree(path)))
        .collect();
    assert!(syncs.len() >= 2, "{events:#?}");
    for at in syncs {
        assert!(
            !Disk::broken(&without(&events, at)).is_empty(),
            "nobody misses {:?}",
            events[at]
        );
    }
}
