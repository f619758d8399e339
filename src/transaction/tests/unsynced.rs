//! A modelled disk that has forgotten what was not synced.
//!
//! A [`Recorder`] looks at a tree before each call that changes it, and knows from the differences what each call did:
//! names that changed together, content, attributes. A sync makes some of it durable. When the power fails, any
//! part of the rest may have reached the disk: [`Recorder::forget`] leaves the tree so, made of the same inodes.
//!
//! What the model takes for granted: a rename is whole or did not happen, calls on one name or one object are kept in
//! their order, and an object loses its last name only after what was inside has gone. Nothing else is in order.
//! A sync of a directory makes its names durable, and so the whole of each rename that changed one of them; a sync of
//! a file makes its content and attributes durable, not its name. No call syncs a link: its attributes go with its names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::set_mtime;
use crate::model::Mtime;

/// Random numbers from a seed (splitmix64, <https://prng.di.unimi.it/splitmix64.c>).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

/// An inode, by a number of our own: the system's are used again.
type Number = usize;
const TOP: Number = 0;

/// A name in a directory.
type Name = (Number, OsString);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    Dir,
    File(Vec<u8>),
    Link(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inode {
    body: Body,
    mode: u32,
    /// Of a directory it says nothing: names that come and go set it.
    mtime: Option<Mtime>,
}

impl Inode {
    fn read(path: &Path, meta: &fs::Metadata) -> Self {
        let mtime = Mtime {
            secs: meta.mtime(),
            nanos: u32::try_from(meta.mtime_nsec()).unwrap(),
        };
        let body = if meta.is_dir() {
            Body::Dir
        } else if meta.is_symlink() {
            Body::Link(fs::read_link(path).unwrap())
        } else {
            Body::File(fs::read(path).unwrap())
        };
        Self {
            mtime: (body != Body::Dir).then_some(mtime),
            mode: meta.mode() & 0o7777,
            body,
        }
    }

    /// As it was made: what was written into it came later.
    fn at_birth(&self) -> Self {
        let body = match &self.body {
            Body::File(_) => Body::File(vec![]),
            other => other.clone(),
        };
        Self {
            body,
            ..self.clone()
        }
    }
}

/// A tree, by inodes.
#[derive(Default)]
struct Image {
    names: BTreeMap<Name, Number>,
    inodes: BTreeMap<Number, Inode>,
}

/// What a call did.
enum Effect {
    /// Names that changed together, with what each stands for now.
    Names(Vec<(Name, Option<Number>)>),
    Content(Number, Vec<u8>),
    Attributes(Number, u32, Option<Mtime>),
}

struct Op {
    effect: Effect,
    /// Ops without which this one cannot be on the disk.
    after: Vec<usize>,
    /// A sync of any of these makes it durable: directories whose names it changed, or the inode. Empty once it is.
    unsynced: BTreeSet<Number>,
}

/// What the power failure takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    /// One op and what builds on it.
    One,
    /// Each op by itself, in so many cases of eight.
    Each(usize),
}

impl Loss {
    pub(super) fn random(random: &mut Random) -> Self {
        match random.below(2) {
            0 => Self::One,
            _ => Self::Each([1, 4, 7][random.below(3)]),
        }
    }
}

/// What was taken.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lost {
    pub(super) ops: usize,
    pub(super) torn: usize,
}

/// Sees what happens below a directory. Its first look is of what is on the disk.
pub(super) struct Recorder {
    top: PathBuf,
    /// Which inodes of the system are there, and their numbers.
    numbers: HashMap<u64, Number>,
    next: Number,
    start: Image,
    now: Image,
    ops: Vec<Op>,
}

impl Recorder {
    pub(super) fn new(top: &Path) -> Self {
        let mut recorder = Self {
            top: top.to_owned(),
            numbers: HashMap::new(),
            next: TOP,
            start: Image::default(),
            now: Image::default(),
            ops: vec![],
        };
        recorder.start = recorder.read();
        recorder.now = recorder.read();
        recorder
    }

    /// Takes note of what happened since the last look, and of a sync that comes now.
    pub(super) fn before(&mut self, verb: &str, path: &[u8]) {
        self.look();
        match verb {
            // A sync of what is not there fails, and syncs nothing.
            "sync" => {
                if let Some(number) = self.find(path) {
                    self.synced(|at| at == number);
                }
            }
            "sync the file system of" => self.synced(|_| true),
            _ => {}
        }
    }

    fn find(&self, path: &[u8]) -> Option<Number> {
        let mut names = path.split(|b| *b == b'/').filter(|name| !name.is_empty());
        names.try_fold(TOP, |dir, name| {
            let name = (dir, OsStr::from_bytes(name).to_owned());
            self.now.names.get(&name).copied()
        })
    }

    fn read(&mut self) -> Image {
        let mut image = Image::default();
        let mut there = HashMap::new();
        let top = self.top.clone();
        self.read_at(&top, &mut image, &mut there);
        self.numbers = there;
        image
    }

    fn read_at(
        &mut self,
        path: &Path,
        image: &mut Image,
        there: &mut HashMap<u64, Number>,
    ) -> Number {
        let meta = fs::symlink_metadata(path).unwrap();
        let known = there.get(&meta.ino()).or(self.numbers.get(&meta.ino()));
        let number = known.copied().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        there.insert(meta.ino(), number);
        image.inodes.insert(number, Inode::read(path, &meta));
        if meta.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                let name = entry.unwrap().file_name();
                let inside = self.read_at(&path.join(&name), image, there);
                image.names.insert((number, name), inside);
            }
        }
        number
    }

    fn look(&mut self) {
        let after = self.read();
        let before = std::mem::take(&mut self.now);
        let all: BTreeSet<_> = before.names.keys().chain(after.names.keys()).collect();
        let changed: Vec<_> = all
            .into_iter()
            .filter(|name| before.names.get(*name) != after.names.get(*name))
            .map(|name| (name.clone(), after.names.get(name).copied()))
            .collect();
        if !changed.is_empty() {
            self.note_names(&before, changed);
        }
        for (number, inode) in &after.inodes {
            let old = before.inodes.get(number).cloned().unwrap_or_else(|| {
                let born = inode.at_birth();
                self.start.inodes.insert(*number, born.clone());
                born
            });
            self.note_inode((*number, &after), &old, inode);
        }
        self.now = after;
    }

    fn note_names(&mut self, before: &Image, changed: Vec<(Name, Option<Number>)>) {
        let objects_of = |names: &[(Name, Option<Number>)]| -> BTreeSet<Number> {
            let old = names.iter().filter_map(|(name, _)| before.names.get(name));
            let new = names.iter().filter_map(|(_, new)| new.as_ref());
            old.chain(new).copied().collect()
        };
        let objects = objects_of(&changed);
        let keys: BTreeSet<_> = changed.iter().map(|(name, _)| name).collect();
        let gone: BTreeSet<_> = {
            let stays = |n: &Number| changed.iter().any(|(_, new)| *new == Some(*n));
            objects.iter().filter(|n| !stays(n)).collect()
        };
        let builds_on = |op: &Op| match &op.effect {
            Effect::Names(names) => names.iter().any(|(name, new)| {
                keys.contains(name)
                    || new.is_some_and(|n| objects.contains(&n))
                    || gone.contains(&name.0)
            }),
            _ => false,
        };
        let after = (0..self.ops.len()).filter(|at| builds_on(&self.ops[*at]));
        self.ops.push(Op {
            after: after.collect(),
            unsynced: changed.iter().map(|((dir, _), _)| *dir).collect(),
            effect: Effect::Names(changed),
        });
    }

    fn note_inode(&mut self, (number, image): (Number, &Image), old: &Inode, new: &Inode) {
        if let (Body::File(was), Body::File(is)) = (&old.body, &new.body)
            && was != is
        {
            self.note(&[number], Effect::Content(number, is.clone()));
        }
        if (old.mode, old.mtime) != (new.mode, new.mtime) {
            let effect = Effect::Attributes(number, new.mode, new.mtime);
            if matches!(new.body, Body::Link(_)) {
                // No call syncs a link itself: what is known of it comes with its names.
                let names = image.names.iter().filter(|(_, at)| **at == number);
                let dirs: Vec<_> = names.map(|((dir, _), _)| *dir).collect();
                self.note(&dirs, effect);
            } else {
                self.note(&[number], effect);
            }
        }
    }

    /// An op on one inode comes after those of its kind.
    fn note(&mut self, synced_by: &[Number], effect: Effect) {
        let same = |op: &Op| match (&op.effect, &effect) {
            (Effect::Content(other, _), Effect::Content(number, _))
            | (Effect::Attributes(other, ..), Effect::Attributes(number, ..)) => other == number,
            _ => false,
        };
        let after = (0..self.ops.len()).filter(|at| same(&self.ops[*at]));
        self.ops.push(Op {
            after: after.collect(),
            unsynced: synced_by.iter().copied().collect(),
            effect,
        });
    }

    fn synced(&mut self, is_synced: impl Fn(Number) -> bool) {
        for op in &mut self.ops {
            if op.unsynced.iter().any(|number| is_synced(*number)) {
                op.unsynced.clear();
            }
        }
        // What something durable builds on is durable.
        for at in (0..self.ops.len()).rev() {
            if self.ops[at].unsynced.is_empty() {
                for before in self.ops[at].after.clone() {
                    self.ops[before].unsynced.clear();
                }
            }
        }
    }

    /// Lets the power fail: leaves the tree as a disk may have it that lost some of what was not synced.
    pub(super) fn forget(&mut self, loss: Loss, random: &mut Random) -> Lost {
        self.look();
        let kept = self.kept(loss, random);
        let mut lost = Lost {
            ops: kept.iter().filter(|kept| !**kept).count(),
            torn: 0,
        };
        let mut target = std::mem::take(&mut self.start);
        let mut torn = BTreeSet::new();
        for (op, kept) in self.ops.iter().zip(kept) {
            match &op.effect {
                Effect::Names(names) if kept => {
                    for (name, new) in names {
                        match new {
                            Some(number) => target.names.insert(name.clone(), *number),
                            None => target.names.remove(name),
                        };
                    }
                }
                Effect::Attributes(number, mode, mtime) if kept => {
                    let inode = target.inodes.get_mut(number).unwrap();
                    (inode.mode, inode.mtime) = (*mode, *mtime);
                }
                Effect::Content(number, bytes) => {
                    // The first write that is lost may have come in part.
                    let in_part = !kept && torn.insert(*number) && random.below(2) == 0;
                    lost.torn += usize::from(in_part);
                    let bytes = match (kept, in_part) {
                        (true, _) => bytes.clone(),
                        (_, true) => tear(bytes, random),
                        _ => continue,
                    };
                    target.inodes.get_mut(number).unwrap().body = Body::File(bytes);
                }
                _ => {}
            }
        }
        Builder::new(self).build(&target);
        lost
    }

    fn kept(&self, loss: Loss, random: &mut Random) -> Vec<bool> {
        let open: Vec<_> = (0..self.ops.len())
            .filter(|at| !self.ops[*at].unsynced.is_empty())
            .collect();
        let one = (!open.is_empty()).then(|| open[random.below(open.len().max(1))]);
        let mut kept: Vec<bool> = vec![];
        for (at, op) in self.ops.iter().enumerate() {
            let stands = op.after.iter().all(|before| kept[*before]);
            let falls = match loss {
                _ if op.unsynced.is_empty() => false,
                Loss::One => one == Some(at),
                Loss::Each(of_eight) => random.below(8) < of_eight,
            };
            kept.push(stands && !falls);
        }
        kept
    }
}

/// A part of a write: cut short, or with zeros where the rest shall be.
fn tear(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let arrived = random.below(bytes.len() + 1);
    let mut torn = bytes[..arrived].to_vec();
    if random.below(2) == 0 {
        torn.resize(bytes.len(), 0);
    }
    torn
}

/// Makes a tree out of the inodes of another.
struct Builder<'a> {
    recorder: &'a Recorder,
    /// Where inodes wait that have no name.
    bank: tempfile::TempDir,
    /// Where an inode got its first name.
    placed: BTreeMap<Number, PathBuf>,
}

impl<'a> Builder<'a> {
    fn new(recorder: &'a Recorder) -> Self {
        let beside = recorder.top.parent().unwrap();
        Self {
            recorder,
            bank: tempfile::tempdir_in(beside).unwrap(),
            placed: BTreeMap::new(),
        }
    }

    fn banked(&self, number: Number) -> PathBuf {
        self.bank.path().join(number.to_string())
    }

    fn build(mut self, target: &Image) {
        self.take_apart(TOP, &self.recorder.top);
        let top = self.recorder.top.clone();
        self.fill(TOP, &top, target);
        let open = Permissions::from_mode(0o700);
        for left in fs::read_dir(self.bank.path()).unwrap() {
            let left = left.unwrap();
            if left.file_type().unwrap().is_dir() {
                fs::set_permissions(left.path(), open.clone()).unwrap();
            }
        }
    }

    fn take_apart(&self, dir: Number, path: &Path) {
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        for (name, number) in inside(&self.recorder.now, dir) {
            let (at, to) = (path.join(name), self.banked(*number));
            if self.recorder.now.inodes[number].body == Body::Dir {
                self.take_apart(*number, &at);
            }
            if fs::symlink_metadata(&to).is_ok() {
                fs::remove_file(at).unwrap();
            } else {
                fs::rename(at, to).unwrap();
            }
        }
    }

    fn fill(&mut self, dir: Number, path: &Path, target: &Image) {
        for (name, number) in inside(target, dir) {
            let at = path.join(name);
            let inode = &target.inodes[number];
            if let Some(other) = self.placed.get(number) {
                assert!(inode.body != Body::Dir, "a directory with two names");
                fs::hard_link(other, &at).unwrap();
                continue;
            }
            self.placed.insert(*number, at.clone());
            if fs::rename(self.banked(*number), &at).is_err() {
                // It was gone for good in the meantime.
                match &inode.body {
                    Body::Dir => fs::create_dir(&at).unwrap(),
                    Body::File(_) => fs::write(&at, []).unwrap(),
                    Body::Link(to) => symlink(to, &at).unwrap(),
                }
            }
            if inode.body == Body::Dir {
                self.fill(*number, &at, target);
            }
            dress(&at, inode);
        }
        if dir == TOP {
            dress(path, &target.inodes[&TOP]);
        }
    }
}

fn inside(image: &Image, dir: Number) -> impl Iterator<Item = (&OsString, &Number)> {
    let from = (dir, OsString::new());
    let names = image.names.range(from..);
    names
        .take_while(move |((at, _), _)| *at == dir)
        .map(|((_, name), number)| (name, number))
}

/// Gives an object its content and attributes.
fn dress(path: &Path, inode: &Inode) {
    let mode = Permissions::from_mode(inode.mode);
    match &inode.body {
        Body::Link(_) => {}
        Body::Dir => fs::set_permissions(path, mode).unwrap(),
        Body::File(bytes) => {
            if fs::read(path).ok().as_ref() != Some(bytes) {
                fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
                fs::write(path, bytes).unwrap();
            }
            fs::set_permissions(path, mode).unwrap();
        }
    }
    if let Some(mtime) = inode.mtime {
        set_mtime(path, mtime);
    }
}
