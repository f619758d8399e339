//! An editor in a thread of its own: saves numbered texts in its style, and takes note of what it overwrote itself.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirEntryExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use super::unsynced::Random;
use super::*;

/// Paths that the editor saves at.
pub(super) const FILES: usize = 48;

/// How an editor saves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    InPlace,
    TempAndRename,
    Append,
    DeleteAndCreate,
    /// A directory where the file was, with the text inside.
    Directory,
}

/// A number that no other text has, written as `<number>`.
pub(super) type Token = u64;

pub(super) fn new_token() -> Token {
    static LAST: AtomicU64 = AtomicU64::new(1_000_000);
    LAST.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn tokens(text: &[u8]) -> impl Iterator<Item = Token> {
    text.split(|byte| *byte == b'<').skip(1).filter_map(|part| {
        let end = part.iter().position(|byte| *byte == b'>')?;
        std::str::from_utf8(&part[..end]).ok()?.parse().ok()
    })
}

pub(super) fn path_of(number: usize) -> String {
    format!("d{}/{number:02}", number / 12)
}

/// The number in a path, or in one below it.
pub(super) fn number_of(path: &[u8]) -> Option<usize> {
    let [b'd', _, b'/', tens, ones, rest @ ..] = path else {
        return None;
    };
    let is_whole =
        tens.is_ascii_digit() && ones.is_ascii_digit() && matches!(rest, [] | [b'/', ..]);
    is_whole.then(|| usize::from(tens - b'0') * 10 + usize::from(ones - b'0'))
}

/// What stands at a path: an inode, and the text of a file.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub(super) ino: u64,
    pub(super) text: Option<Vec<u8>>,
}

impl Thing {
    pub(super) fn new(text: Option<Vec<u8>>) -> Self {
        Self { ino: 0, text }
    }
}

/// What stands at all paths below a directory.
pub(super) type Seen = BTreeMap<String, Thing>;

pub(super) fn look(top: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut todo = vec![String::new()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(top.join(&dir)).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name == ".rsyn" {
                continue;
            }
            let path = if dir.is_empty() {
                name
            } else {
                format!("{dir}/{name}")
            };
            let is_dir = entry.file_type().unwrap().is_dir();
            let text = (!is_dir).then(|| fs::read(entry.path()).unwrap());
            let ino = entry.ino();
            if is_dir {
                todo.push(path.clone());
            }
            seen.insert(path, Thing { ino, text });
        }
    }
    seen
}

/// A text that has to be found, and what of the editor's own doings would end it.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) token: Token,
    /// The paths at which the editor could remove or replace it; none of what is in a directory there.
    pub(super) numbers: Vec<usize>,
    pub(super) ino: u64,
}

/// What an editor has done.
#[derive(Debug)]
pub(super) enum Deed {
    /// Whatever was in this inode is gone.
    Truncated { number: usize, ino: u64 },
    /// Whatever was a file at this path is gone.
    Removed { number: usize },
    Saved {
        number: usize,
        held: Held,
        in_time: bool,
    },
}

impl Deed {
    pub(super) fn number(&self) -> usize {
        match self {
            Self::Truncated { number, .. }
            | Self::Removed { number }
            | Self::Saved { number, .. } => *number,
        }
    }
}

/// What must be found after the deeds of an editor.
pub(super) fn held_after(mut held: Vec<Held>, deeds: &[Deed]) -> Vec<Held> {
    for deed in deeds {
        match deed {
            Deed::Truncated { ino, .. } => held.retain(|h| h.ino != *ino),
            Deed::Removed { number } => held.retain(|h| !h.numbers.contains(number)),
            Deed::Saved { held: new, .. } => held.push(new.clone()),
        }
    }
    held
}

pub(super) fn held_in(seen: &Seen) -> Vec<Held> {
    let mut held = Vec::new();
    for (path, Thing { ino, text }) in seen {
        let number = number_of(path.as_bytes()).filter(|number| *path == path_of(*number));
        let all = tokens(text.as_deref().unwrap_or_default());
        held.extend(all.map(|token| Held {
            token,
            numbers: number.into_iter().collect(),
            ino: *ino,
        }));
    }
    held
}

/// Files that a run takes from one path to another: both numbers.
pub(super) fn moved(old: &Seen, new: &Seen) -> Vec<(usize, usize)> {
    let number = |path: &String| number_of(path.as_bytes()).filter(|n| *path == path_of(*n));
    let came = new
        .iter()
        .filter(|(path, thing)| thing.ino != 0 && thing.text.is_some() && !old.contains_key(*path));
    let pair = |(to, thing): (&String, &Thing)| {
        let from = old.iter().find(|(_, was)| was.ino == thing.ino)?.0;
        Some((number(from)?, number(to)?))
    };
    came.filter_map(pair).collect()
}

/// The time in which an editor may save, and where a run is.
#[derive(Default)]
pub(super) struct Window {
    pub(super) is_open: AtomicBool,
    pub(super) is_over: AtomicBool,
    /// The path that was moved last.
    pub(super) front: AtomicUsize,
}

/// So many saves in one window.
pub(super) struct Task {
    pub(super) window: Arc<Window>,
    pub(super) saves: usize,
}

pub(super) struct Editor {
    pub(super) top: PathBuf,
    pub(super) style: Style,
    pub(super) random: Random,
    pub(super) deeds: Vec<Deed>,
}

impl Editor {
    pub(super) fn serve(mut self, tasks: &mpsc::Receiver<Task>, done: &mpsc::Sender<Vec<Deed>>) {
        for Task { window, saves } in tasks {
            while !window.is_open.load(Ordering::SeqCst) && !window.is_over.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            for _ in 0..saves {
                if window.is_over.load(Ordering::SeqCst) {
                    break;
                }
                self.save_somewhere(&window);
                for _ in 0..self.random.below(200) {
                    std::hint::spin_loop();
                }
            }
            done.send(std::mem::take(&mut self.deeds)).unwrap();
        }
    }

    /// Half of the saves are close to where the run is.
    fn save_somewhere(&mut self, window: &Window) {
        let number = match self.random.below(2) {
            0 => (window.front.load(Ordering::SeqCst) + FILES + self.random.below(6) - 2) % FILES,
            _ => self.random.below(FILES),
        };
        // A save that fails, because somebody is in the way, is none.
        if let Some(held) = self.save(number) {
            let in_time = !window.is_over.load(Ordering::SeqCst);
            self.deeds.push(Deed::Saved {
                number,
                held,
                in_time,
            });
        }
    }

    fn save(&mut self, number: usize) -> Option<Held> {
        let (path, token) = (self.top.join(path_of(number)), new_token());
        let text = format!("<{token}>");
        let mut held = Held {
            token,
            numbers: vec![number],
            ino: 0,
        };
        match self.style {
            Style::InPlace => {
                let mut file = fs::File::create(&path).ok()?;
                held.ino = file.metadata().unwrap().ino();
                self.deeds.push(Deed::Truncated {
                    number,
                    ino: held.ino,
                });
                file.write_all(text.as_bytes()).unwrap();
            }
            Style::TempAndRename => {
                let temp = path.with_extension("tmp");
                fs::write(&temp, text).unwrap();
                if fs::rename(&temp, &path).is_err() {
                    fs::remove_file(&temp).unwrap();
                    return None;
                }
                self.deeds.push(Deed::Removed { number });
            }
            Style::Append => {
                let mut file = fs::File::options().append(true).open(&path).ok()?;
                file.write_all(text.as_bytes()).unwrap();
            }
            Style::DeleteAndCreate => {
                self.remove(number);
                fs::File::create_new(&path)
                    .ok()?
                    .write_all(text.as_bytes())
                    .unwrap();
            }
            Style::Directory => {
                self.remove(number);
                fs::create_dir(&path).ok();
                let inside = path.join(token.to_string());
                fs::File::create_new(inside)
                    .ok()?
                    .write_all(text.as_bytes())
                    .unwrap();
                held.numbers.clear();
            }
        }
        Some(held)
    }

    fn remove(&mut self, number: usize) {
        if fs::remove_file(self.top.join(path_of(number))).is_ok() {
            self.deeds.push(Deed::Removed { number });
        }
    }
}
