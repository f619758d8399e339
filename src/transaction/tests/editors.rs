//! Editors that save without pause into the paths which a commit, a rollback or a recovery replaces, each in one of
//! five styles. After each run every text that stood in the tree before, or was saved meanwhile, and was not
//! overwritten or removed by the editor itself, is in the tree or in a snapshot. One exception cannot be helped, and is
//! counted: a text that is written into an open file after an undo has taken that file back and looked at it.
//!
//! A race is a save that ended between the begin and the end of a run. `RSYN_EDITOR_RACES` sets how many there are of
//! each style (a small sample by default); a file system in memory is faster, and is taken where there is one.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::editor::{
    Deed, Editor, FILES, Held, Seen, Style, Task, Thing, Token, Window, held_after, held_in, look,
    moved, new_token, number_of, path_of, tokens,
};
use super::rollback::roll_back;
use super::unsynced::Random;
use super::*;
use crate::disk::fault;

/// Each so manieth path stays out of a run.
const LEFT_OUT: usize = 6;
/// Races of each style in every test run.
const SAMPLE: u64 = 400;
/// A style that takes longer for a race is stuck.
const PATIENCE: Duration = Duration::from_millis(200);
/// What has grown beyond this is removed between two runs.
const MAX_TEXT_BYTES: usize = 2048;

/// What the runs of one style met.
#[derive(Debug, Default)]
struct Met {
    races: u64,
    /// Those at a path that the run was to change.
    at_changed: u64,
    runs: u64,
    carried_out: u64,
    refused: u64,
    /// Of the refused: those that left a second file.
    kept_beside: u64,
    rolled_back: u64,
    /// Files that a run took from one path to another, or was to.
    moved: usize,
    killed: u64,
    /// Saves that ended in a replaced file, which is in the snapshot.
    late_writes: usize,
    /// Saves that ended in a new file that was taken back.
    into_taken_back: u64,
}

impl Met {
    /// Whether there were runs of each kind, which a small sample on a busy machine needs more races for.
    fn is_of_all_kinds(&self) -> bool {
        [
            self.carried_out,
            self.refused,
            self.rolled_back,
            self.killed,
        ]
        .iter()
        .all(|n| *n > 0)
    }
}

/// In which state a run has left what the editor did not touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Old,
    New,
    /// One of both, wherever it was killed.
    Either,
}

/// A root in which runs and an editor meet.
struct Arena {
    scene: Scene,
    lock: Lock,
    random: Random,
    tasks: mpsc::Sender<Task>,
    done: mpsc::Receiver<Vec<Deed>>,
    /// Calls that change the disk in the last run, to spread the begin of the saves over the next one.
    calls: usize,
    met: Met,
}

impl Arena {
    /// A run with `saves` saves in it that begin at one of its calls; from call `killed_at` on all calls fail.
    fn race<T>(
        &mut self,
        saves: usize,
        killed_at: usize,
        run: impl FnOnce(&Self, &dyn Fn()) -> T,
    ) -> (T, Vec<Deed>) {
        let window = Arc::new(Window::default());
        self.tasks
            .send(Task {
                window: Arc::clone(&window),
                saves,
            })
            .unwrap();
        let opens_at = self.random.below(self.calls + self.calls / 8 + 1);
        let calls = std::rc::Rc::new(std::cell::Cell::new(0));
        let is_dead = std::rc::Rc::new(std::cell::Cell::new(true));
        let hook: fault::Hook = {
            let (calls, is_dead, window) = (calls.clone(), is_dead.clone(), Arc::clone(&window));
            Box::new(move |_, path| {
                let call = calls.replace(calls.get() + 1);
                if let Some(number) = number_of(path) {
                    window.front.store(number, Ordering::SeqCst);
                }
                if call >= opens_at && !window.is_open.swap(true, Ordering::SeqCst) {
                    // Where there is one processor only, the editor would come too late.
                    std::thread::yield_now();
                }
                if is_dead.get() && call >= killed_at {
                    return Err(std::io::Error::other("killed"));
                }
                Ok(())
            })
        };
        let revive = || is_dead.set(false);
        let result = fault::with_hook(hook, || run(self, &revive));
        window.is_over.store(true, Ordering::SeqCst);
        self.calls = calls.get().max(1);
        (result, self.done.recv().unwrap())
    }
}

/// Another tree: most paths get another text, some go, come, change their kind, or move.
fn news(old: &Seen, random: &mut Random) -> Seen {
    let mut new = old.clone();
    let text = |random: &mut Random| {
        let filler = "x".repeat(random.below(200));
        Thing::new(Some(format!("{filler}<{}>", new_token()).into_bytes()))
    };
    for number in (0..FILES).filter(|number| number % LEFT_OUT != 0) {
        let path = path_of(number);
        new.retain(|at, _| number_of(at.as_bytes()) != Some(number));
        match (random.below(10), old.contains_key(&path)) {
            (0, true) => {}
            (1, _) => {
                new.insert(format!("{path}/in"), text(random));
                new.insert(path, Thing::new(None));
            }
            _ => {
                new.insert(path, text(random));
            }
        }
    }
    let is_file = |(path, thing): &(&String, &Thing)| {
        let is_whole = number_of(path.as_bytes()).is_some_and(|n| **path == path_of(n));
        is_whole && thing.text.is_some()
    };
    let gone: Vec<_> = old
        .iter()
        .filter(is_file)
        .filter(|(path, _)| !new.contains_key(*path))
        .collect();
    let came: Vec<_> = new
        .iter()
        .filter(is_file)
        .filter(|(path, _)| !old.contains_key(*path))
        .collect();
    let moves: Vec<_> = gone
        .into_iter()
        .zip(came)
        .map(|((_, from), (to, _))| (to.clone(), from.clone()))
        .collect();
    new.extend(moves);
    new
}

impl Arena {
    fn top(&self) -> &Path {
        self.scene.temp.path()
    }

    /// The changes from `old`, which is what stands there, to `new`.
    fn changes(&self, old: &Seen, new: &Seen) -> Vec<Change> {
        let paths: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let text_at = |seen: &Seen, path: &str| seen.get(path).map(|thing| thing.text.clone());
        let changed = paths
            .into_iter()
            .filter(|path| text_at(old, path) != text_at(new, path));
        (0..)
            .zip(changed)
            .map(|(slot, path)| Change {
                old: old.get(path).map(|thing| self.expected(path, thing)),
                new: new.get(path).map(|thing| NewNode {
                    node: self.node_that_comes(old, thing),
                    slot: Some(slot),
                }),
                path: RelPath::new(path.as_bytes()).unwrap(),
            })
            .collect()
    }

    /// One that is moved comes as it is.
    fn node_that_comes(&self, old: &Seen, thing: &Thing) -> Node {
        let is_it = |was: &&(&String, &Thing)| was.1.ino == thing.ino;
        match old.iter().find(|was| is_it(&was)) {
            Some((from, _)) => self.expected(from, thing).node,
            None => node_of(thing, None),
        }
    }

    fn expected(&self, path: &str, thing: &Thing) -> Box<Expected> {
        let seen = self
            .scene
            .root
            .stat(&RelPath::new(path.as_bytes()).unwrap())
            .unwrap();
        Expected::new(node_of(thing, seen.as_ref()), seen)
    }

    fn stage(&self, changes: &[Change], new: &Seen) -> Staging {
        let staging = Staging::begin(&self.scene.root).unwrap();
        staging.arrange(changes.iter().filter_map(super::super::carried::arrival));
        let renamed = renamed(changes);
        for change in changes {
            let Some(NewNode {
                node,
                slot: Some(slot),
            }) = &change.new
            else {
                continue;
            };
            let thing = &new[std::str::from_utf8(change.path.as_bytes()).unwrap()];
            match (node, &thing.text) {
                (
                    Node::File {
                        digest,
                        size,
                        mode,
                        mtime,
                    },
                    Some(text),
                ) => {
                    if let Some(from) = renamed.get(slot)
                        && staging
                            .rename(*slot, &self.scene.root, (from, &change.path), node)
                            .unwrap()
                    {
                        continue;
                    }
                    let mut file = staging.file(*slot, *digest, *size).unwrap();
                    file.append(text).unwrap();
                    file.finish(*mode, *mtime).unwrap();
                }
                (Node::Dir { mode }, _) => staging.dir(*slot, *mode).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        staging
    }

    /// One run, with an editor at work; what it may have lost is looked for.
    fn round(&mut self, number: u64) {
        let old = look(self.top());
        let new = news(&old, &mut self.random);
        let changes = self.changes(&old, &new);
        let saves = match self.random.below(2) {
            0 => 1 + self.random.below(4),
            _ => 1 + self.random.below(64),
        };
        match number % 3 {
            0 => self.commits(saves, changes, &old, &new),
            1 => self.is_killed(saves, changes, &old, &new),
            _ => self.rolls_back(saves, changes, &old, &new),
        }
        self.tidy();
    }

    fn commits(&mut self, saves: usize, changes: Vec<Change>, old: &Seen, new: &Seen) {
        let staging = self.stage(&changes, new);
        let run =
            |arena: &Self, _: &dyn Fn()| arena.scene.commit(&arena.lock, staging, changes, None);
        let (result, deeds) = self.race(saves, usize::MAX, run);
        let left = self.settle(&result);
        self.judge(
            held_in(old),
            &deeds,
            &HashSet::new(),
            (old, new, left),
            &result,
        );
    }

    /// Killed anywhere, and recovered at once.
    fn is_killed(&mut self, saves: usize, changes: Vec<Change>, old: &Seen, new: &Seen) {
        let staging = self.stage(&changes, new);
        let killed_at = self.random.below(self.calls);
        let run = |arena: &Self, revive: &dyn Fn()| {
            let result = arena.scene.commit(&arena.lock, staging, changes, None);
            revive();
            (result, arena.scene.recover(&arena.lock))
        };
        let ((result, recovery), deeds) = self.race(saves, killed_at, run);
        self.met.killed += u64::from(result.is_err());
        let left = match &recovery {
            Ok(recovery) if recovery.undone.is_some() => Left::Old,
            Ok(recovery) if !recovery.finished.is_empty() => Left::New,
            _ => Left::Either,
        };
        self.settle(&result);
        self.judge(
            held_in(old),
            &deeds,
            &HashSet::new(),
            (old, new, left),
            &(result, recovery),
        );
    }

    /// A run that may be raced a little, and then its rollback.
    fn rolls_back(&mut self, saves: usize, changes: Vec<Change>, old: &Seen, new: &Seen) {
        let staging = self.stage(&changes, new);
        let before = self.random.below(3);
        let run =
            |arena: &Self, _: &dyn Fn()| arena.scene.commit(&arena.lock, staging, changes, None);
        let (result, deeds) = self.race(before, usize::MAX, run);
        let left = self.settle(&result);
        let held = self.judge(
            held_in(old),
            &deeds,
            &HashSet::new(),
            (old, new, left),
            &result,
        );
        let Ok(committed) = result else {
            return;
        };
        let touched = deeds.iter().map(Deed::number).collect();
        let new = look(self.top());
        let held = [held, held_in(&new)].concat();
        let run =
            |arena: &Self, _: &dyn Fn()| roll_back(&arena.scene, &arena.lock, &committed.txn_id);
        let (result, deeds) = self.race(saves, usize::MAX, run);
        let left = self.settle(&result);
        self.met.rolled_back += u64::from(result.is_ok());
        self.judge(held, &deeds, &touched, (&new, old, left), &result);
    }

    /// Recovers what a run could not settle itself, and takes note of how it ended.
    fn settle(&mut self, result: &Result<Committed, CommitError>) -> Left {
        self.met.runs += 1;
        // A run that the editor got in the way of too badly is recovered in peace.
        let recovery = self.scene.recover(&self.lock).unwrap();
        match result {
            Ok(committed) => {
                self.met.carried_out += 1;
                self.met.late_writes += committed.late_writes.len();
                assert!(recovery.is_nothing(), "{recovery:?} after {committed:?}");
                return Left::New;
            }
            Err(CommitError::Attention { .. }) => self.met.kept_beside += 1,
            Err(_) => {}
        }
        self.met.refused += 1;
        if recovery.finished.is_empty() {
            Left::Old
        } else {
            Left::New
        }
    }

    /// All that must be there is there, and what the editor did not touch is as before the run or as after it.
    fn judge(
        &mut self,
        mut held: Vec<Held>,
        deeds: &[Deed],
        touched_before: &HashSet<usize>,
        (old, new, left): (&Seen, &Seen, Left),
        result: &dyn std::fmt::Debug,
    ) -> Vec<Held> {
        let now = look(self.top());
        let kept = look(&self.scene.path(".rsyn/snap"));
        let found: HashSet<_> = [&now, &kept]
            .into_iter()
            .flat_map(held_in)
            .map(|h| h.token)
            .collect();
        let late: HashSet<_> = self.written_into_what_was_taken_back();
        let moved = moved(old, new);
        self.met.moved += moved.len();
        for (from, to) in &moved {
            for held in held.iter_mut().filter(|held| held.numbers.contains(from)) {
                held.numbers.push(*to);
            }
        }
        let held = held_after(held, deeds);
        for what in held.iter().filter(|what| !found.contains(&what.token)) {
            assert!(
                late.contains(&what.token),
                "{what:?} is lost\n{result:#?}\n{deeds:?}"
            );
            self.met.into_taken_back += 1;
        }
        let mut touched: HashSet<_> = deeds
            .iter()
            .map(Deed::number)
            .chain(touched_before.iter().copied())
            .collect();
        for (from, to) in moved {
            // What is written at one of the names is found at the other, wherever the run ended.
            if touched.contains(&from) || touched.contains(&to) {
                touched.extend([from, to]);
            }
        }
        self.old_or_new(&touched, (old, new, left), &now, result);
        self.count(deeds, old, new);
        held
    }

    /// What follows the staged text in files that were in the tree for a moment: an editor had opened them there, and
    /// wrote after they had been taken back and looked at. No call tells who has a file open, so such a text is in the
    /// remains.
    fn written_into_what_was_taken_back(&self) -> HashSet<Token> {
        let remains = look(&self.scene.path(".rsyn/partial"));
        let texts = remains.values().filter_map(|thing| thing.text.as_deref());
        texts.flat_map(|text| tokens(text).skip(1)).collect()
    }

    fn old_or_new(
        &self,
        touched: &HashSet<usize>,
        (old, new, left): (&Seen, &Seen, Left),
        now: &Seen,
        result: &dyn std::fmt::Debug,
    ) {
        let untouched = |seen: &Seen| -> BTreeMap<String, Option<Vec<u8>>> {
            let of_runs = |path: &str| {
                number_of(path.as_bytes()).is_some_and(|number| !touched.contains(&number))
            };
            let rows = seen.iter().filter(|(path, _)| of_runs(path));
            rows.map(|(path, thing)| (path.clone(), thing.text.clone()))
                .collect()
        };
        let (old, new, now) = (untouched(old), untouched(new), untouched(now));
        let fits = match left {
            Left::Old => now == old,
            Left::New => now == new,
            Left::Either => now == old || now == new,
        };
        assert!(
            fits,
            "not {left:?} after {result:#?}:\nold {old:?}\nnew {new:?}\nnow {now:?}"
        );
    }

    fn count(&mut self, deeds: &[Deed], old: &Seen, new: &Seen) {
        let text_at = |seen: &Seen, path: &str| seen.get(path).map(|thing| thing.text.clone());
        for deed in deeds {
            if let Deed::Saved {
                number,
                in_time: true,
                ..
            } = deed
            {
                let path = path_of(*number);
                self.met.races += 1;
                self.met.at_changed += u64::from(text_at(old, &path) != text_at(new, &path));
            }
        }
    }

    /// Between two runs: no snapshot, no remains, nothing that piles up.
    fn tidy(&mut self) {
        let all = Kept {
            newest: 0,
            younger_than_secs: 0,
            max_bytes: None,
        };
        prune(&self.scene.root, &self.lock, all, i64::MAX).unwrap();
        for name in fs::read_dir(self.scene.path(".rsyn/partial")).unwrap() {
            fs::remove_file(name.unwrap().path()).unwrap();
        }
        for (path, thing) in look(self.top()) {
            // A run makes room at its own paths alone.
            let is_ours = |number| number % LEFT_OUT != 0 || path == path_of(number);
            let is_stranger = path.len() > 2 && !number_of(path.as_bytes()).is_some_and(is_ours);
            let is_long = thing
                .text
                .as_ref()
                .is_some_and(|text| text.len() > MAX_TEXT_BYTES);
            if !self.scene.path(&path).exists() {
                // Gone with its directory.
            } else if is_stranger && thing.text.is_none() {
                fs::remove_dir_all(self.scene.path(&path)).unwrap();
            } else if is_stranger || is_long {
                fs::remove_file(self.scene.path(&path)).unwrap();
            }
        }
    }
}

fn node_of(thing: &Thing, stat: Option<&crate::disk::Stat>) -> Node {
    let mode = |default| Mode::from(stat.map_or(default, |stat| stat.mode));
    match &thing.text {
        None => Node::Dir { mode: mode(0o755) },
        Some(text) => Node::File {
            size: text.len() as u64,
            digest: Digest::of(text),
            mode: mode(0o644),
            mtime: stat.map_or(mtime_of("news"), |stat| stat.mtime),
        },
    }
}

/// A file system in memory if there is one, unless the user has chosen a place.
fn fast_place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_none() && memory.is_dir() {
        return memory.to_owned();
    }
    std::env::temp_dir()
}

fn races() -> u64 {
    std::env::var("RSYN_EDITOR_RACES").map_or(SAMPLE, |text| text.parse().unwrap())
}

fn hammer(style: Style) -> Met {
    let mut scene = Scene::new(&tree([]), &tree([]));
    scene.temp = tempfile::tempdir_in(fast_place()).unwrap();
    scene.root = Root::open(scene.temp.path()).unwrap();
    let top = scene.temp.path().to_owned();
    for number in 0..FILES {
        fs::create_dir_all(top.join(path_of(number)).parent().unwrap()).unwrap();
        fs::write(top.join(path_of(number)), format!("<{}>", new_token())).unwrap();
    }
    let ((tasks, task), (doing, done)) = (mpsc::channel(), mpsc::channel());
    let editor = Editor {
        top,
        style,
        random: Random(style as u64),
        deeds: Vec::new(),
    };
    std::thread::scope(|scope| {
        scope.spawn(move || editor.serve(&task, &doing));
        let lock = scene.lock();
        let random = Random(100 + style as u64);
        let mut arena = Arena {
            scene,
            lock,
            random,
            tasks,
            done,
            calls: 1,
            met: Met::default(),
        };
        let (start, patience) = (Instant::now(), PATIENCE * u32::try_from(races()).unwrap());
        let mut number = 0;
        while arena.met.races < races() || !arena.met.is_of_all_kinds() {
            arena.round(number);
            number += 1;
            assert!(start.elapsed() < patience, "{style:?}: {:?}", arena.met);
        }
        eprintln!(
            "{style:?}, {:.1} s: {:?}",
            start.elapsed().as_secs_f64(),
            arena.met
        );
        arena.met
    })
}

/// Nothing is lost, and most saves were at paths that the run was to change.
fn nothing_is_lost(style: Style) {
    let met = hammer(style);
    assert!(met.at_changed * 2 > met.races, "{met:?}");
    assert!(met.moved > 0, "{met:?}");
    assert!(met.into_taken_back * 100 <= met.races, "{met:?}");
}

#[test]
fn an_editor_that_saves_in_place_loses_nothing_to_a_run() {
    nothing_is_lost(Style::InPlace);
}

#[test]
fn an_editor_that_saves_by_a_rename_loses_nothing_to_a_run() {
    nothing_is_lost(Style::TempAndRename);
}

#[test]
fn an_editor_that_appends_loses_nothing_to_a_run() {
    nothing_is_lost(Style::Append);
}

#[test]
fn an_editor_that_deletes_and_creates_loses_nothing_to_a_run() {
    nothing_is_lost(Style::DeleteAndCreate);
}

#[test]
fn an_editor_that_puts_a_directory_in_place_of_a_file_loses_nothing_to_a_run() {
    nothing_is_lost(Style::Directory);
}
