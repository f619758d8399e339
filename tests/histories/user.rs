//! A user who edits a tree, on a machine or on the hub, in the ways that file systems allow.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;

use crate::random::Random;
use crate::support::{Dir, noise};

/// Paths that users care for: few, so that they meet; odd, as bytes allow. `.skip` is excluded.
const PATHS: [&[u8]; 22] = [
    b"a",
    b"b.txt",
    b"with space",
    b"-n",
    b"line\nbreak",
    b"\xff\xfe not text",
    b"\xc3\xbcn\xc3\xaf.c",
    b"own.skip",
    b"big",
    b".hidden",
    b"*?[x]",
    b"d",
    b"d/a",
    b"d/b.txt",
    b"d/e",
    b"d/e/f",
    b"d/e/deep.skip",
    b"d/big",
    b"e",
    b"e/a",
    b"e/a/b",
    b"link",
];

const FILE_MODES: [u32; 4] = [0o644, 0o755, 0o600, 0o640];
const DIR_MODES: [u32; 3] = [0o755, 0o700, 0o750];

/// What users have made so far, so that each content is new or on purpose an old one.
#[derive(Default)]
pub struct Memory {
    made: u64,
    old: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Memory {
    fn content(&mut self, path: &[u8], random: &mut Random) -> Vec<u8> {
        let known: Vec<_> = self.old.iter().filter(|(p, _)| p == path).collect();
        if random.one_in(8) && !known.is_empty() {
            return random.of(&known).1.clone();
        }
        self.made += 1;
        let mut content = format!("content {}\n", self.made).into_bytes();
        if path.ends_with(b"big") {
            content.extend(noise(70_000 + random.below(150_000), self.made));
        }
        self.old.push((path.to_vec(), content.clone()));
        content
    }
}

fn is_dir(tree: &Dir, path: &[u8]) -> bool {
    fs::symlink_metadata(tree.at(path)).is_ok_and(|m| m.is_dir())
}

fn is_file(tree: &Dir, path: &[u8]) -> bool {
    fs::symlink_metadata(tree.at(path)).is_ok_and(|m| m.is_file())
}

fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|b| *b == b'/')?;
    Some(&path[..slash])
}

/// One edit; says what it was, or `None` if the path it chose has no room for it.
pub fn edit(tree: &Dir, memory: &mut Memory, random: &mut Random) -> Option<String> {
    // Small changes of big files are what deltas are for.
    let big: &[&[u8]] = &[b"big", b"d/big"];
    let is_for_delta = random.one_in(6);
    let path = *random.of(if is_for_delta { big } else { &PATHS });
    if !make_parents(tree, path) {
        return None;
    }
    let what = random.below(12);
    let done = match what {
        _ if is_for_delta && is_file(tree, path) => edit_in_place(tree, path, memory, random),
        0..=3 => write(tree, path, memory, random),
        4 | 5 => remove(tree, path),
        6 => mkdir(tree, path, random),
        7 => link(tree, path, memory),
        8 => chmod(tree, path, random),
        9 => touch(tree, path, random),
        10 => edit_in_place(tree, path, memory, random),
        _ => rename(tree, path, random),
    }?;
    Some(format!("{} \"{}\"", done, path.escape_ascii()))
}

/// Whether the directory of `path` is there, or could be made.
fn make_parents(tree: &Dir, path: &[u8]) -> bool {
    parent(path).is_none_or(|up| fs::create_dir_all(tree.at(up)).is_ok() && is_dir(tree, up))
}

fn clear(tree: &Dir, path: &[u8]) {
    if tree.has(path) {
        tree.remove(path);
    }
}

fn write(tree: &Dir, path: &[u8], memory: &mut Memory, random: &mut Random) -> Option<String> {
    let content = memory.content(path, random);
    // Most editors rename a new file into place, some write into the old one.
    if !is_file(tree, path) || random.one_in(2) {
        clear(tree, path);
    }
    tree.write(path, &content);
    if random.one_in(3) {
        tree.chmod(path, *random.of(&FILE_MODES));
    }
    let first = content.split(|b| *b == b'\n').next().unwrap_or_default();
    Some(format!("writes {} to", first.escape_ascii()))
}

fn remove(tree: &Dir, path: &[u8]) -> Option<String> {
    tree.has(path).then(|| {
        tree.remove(path);
        "removes".to_owned()
    })
}

fn mkdir(tree: &Dir, path: &[u8], random: &mut Random) -> Option<String> {
    if is_dir(tree, path) || path.ends_with(b".skip") {
        return None;
    }
    clear(tree, path);
    tree.mkdir(path);
    tree.chmod(path, *random.of(&DIR_MODES));
    Some("makes the directory".to_owned())
}

fn link(tree: &Dir, path: &[u8], memory: &mut Memory) -> Option<String> {
    if is_dir(tree, path) {
        return None;
    }
    clear(tree, path);
    memory.made += 1;
    tree.link(path, format!("nowhere {}", memory.made));
    Some("makes the link".to_owned())
}

fn chmod(tree: &Dir, path: &[u8], random: &mut Random) -> Option<String> {
    let modes: &[u32] = match (is_dir(tree, path), is_file(tree, path)) {
        (true, _) => &DIR_MODES,
        (_, true) => &FILE_MODES,
        _ => return None,
    };
    let mode = *random.of(modes);
    tree.chmod(path, mode);
    Some(format!("sets mode {mode:o} of"))
}

fn touch(tree: &Dir, path: &[u8], random: &mut Random) -> Option<String> {
    is_file(tree, path).then(|| {
        let nanos = 1_500_000_000_000_000_000 + random.next() % 400_000_000_000_000_000;
        tree.set_mtime(path, nanos);
        format!("sets mtime {nanos} of")
    })
}

/// Changes a few bytes and leaves length and mtime as they were, or adds some, or cuts some off.
fn edit_in_place(
    tree: &Dir,
    path: &[u8],
    memory: &mut Memory,
    random: &mut Random,
) -> Option<String> {
    if !is_file(tree, path) {
        return None;
    }
    memory.made += 1;
    let old = tree.read(path);
    let mut file = fs::File::options().write(true).open(tree.at(path)).ok()?;
    let mtime = file.metadata().ok()?.modified().ok()?;
    let mark = format!("{:06}", memory.made);
    let words = match random.below(3) {
        0 if old.len() > 20 => {
            let at = random.below(old.len() - 10) as u64;
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(mark.as_bytes()).unwrap();
            file.set_modified(mtime).unwrap();
            "changes bytes, and not length or mtime, of"
        }
        1 if old.len() > 1000 => {
            let len = random.below(old.len()) as u64;
            file.set_len(len).unwrap();
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(mark.as_bytes()).unwrap();
            "cuts"
        }
        _ => {
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(mark.as_bytes()).unwrap();
            "appends to"
        }
    };
    Some(format!("{words} (mark {mark})"))
}

fn rename(tree: &Dir, path: &[u8], random: &mut Random) -> Option<String> {
    let to = *random.of(&PATHS);
    if !tree.has(path) || to.starts_with(path) || path.starts_with(to) || !make_parents(tree, to) {
        return None;
    }
    clear(tree, to);
    fs::rename(tree.at(path), tree.at(to)).ok()?;
    let shown = std::ffi::OsStr::from_bytes(to).as_bytes().escape_ascii();
    Some(format!("renames to \"{shown}\""))
}
