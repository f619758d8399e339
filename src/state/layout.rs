//! The state directory of a root: where it is, who it belongs to, what lies in it.
//!
//! ```text
//! .rsyn/            0700, on the file system of the root, never scanned, never named by a peer
//!   id              random id of this root
//!   .gitignore      "*"
//!   config.toml     settings of this machine alone; written by people
//!   lock            see disk::lock
//!   index           stat to digest, see index.rs
//!   peers/<hub>.a .b    what this root and a hub last agreed on, two generations, see base.rs
//!   peers/remotes   which remote leads to which hub
//!   hub.a hub.b     what this root knows as a hub, see hub.rs
//!   signatures/<digest>    of large files as of the last sync, see signatures.rs
//!   log.jsonl       every sync
//!   txn/ snap/ trash/ partial/    see transaction/
//! ```

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::home::Home;
use super::part;
use super::sealed::{self, Checked, Sealed};
use super::{Result, StateError};
use crate::disk::{Dir, Root, Stat, durable};

/// Name of the state directory.
pub const STATE_DIR: &[u8] = crate::model::path::STATE_DIR;
/// No state file is longer: 4 million entries.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Random identity of a root. It moves with the tree, whatever the host or the path is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RootId(String);

impl RootId {
    const DIGITS: usize = 32;

    /// Parses 32 lower-case hexadecimal digits; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == Self::DIGITS && text.bytes().all(valid)).then(|| Self(text.to_owned()))
    }

    fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|e| StateError::Layout(format!("cannot get random bytes: {e}")))?;
        Ok(Self(crate::protocol::handshake::to_hex(&bytes)))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RootId {
    type Error = &'static str;
    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a root id")
    }
}

impl From<RootId> for String {
    fn from(id: RootId) -> Self {
        id.0
    }
}

/// The opened state directory of a root.
#[derive(Debug, Clone)]
pub struct State {
    dir: Arc<Dir>,
    id: RootId,
    home: Home,
}

impl State {
    /// Opens the state directory of `root`; `None` if there is none yet.
    ///
    /// # Errors
    /// It is there but cannot be used: no directory, no readable id.
    pub fn open(root: &Root) -> Result<Option<Self>> {
        let Some(stat) = root.top().stat(STATE_DIR)? else {
            return Ok(None);
        };
        if stat.kind != crate::disk::FileKind::Dir {
            let words = ".rsyn is not a directory; move it away, rsyn keeps its state there";
            return Err(StateError::Layout(words.to_owned()));
        }
        let dir = Arc::new(root.top().open_dir(STATE_DIR)?);
        match durable::read(&dir, b"id", 64)? {
            None => Ok(None),
            Some(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let damaged = || StateError::Damaged {
                    file: "id".to_owned(),
                };
                let id = RootId::parse(text.trim_end()).ok_or_else(damaged)?;
                let home = Home::of(root.top(), &dir)?;
                Ok(Some(Self { dir, id, home }))
            }
        }
    }

    /// Opens the state directory of `root` and makes it if there is none.
    ///
    /// # Errors
    /// It cannot be made or used.
    pub fn create(root: &Root) -> Result<Self> {
        if let Some(state) = Self::open(root)? {
            return Ok(state);
        }
        match root.top().make_dir(STATE_DIR, 0o700) {
            Err(e) if !e.is_taken() => return Err(e.into()),
            _ => {}
        }
        let dir = Arc::new(root.top().open_dir(STATE_DIR)?);
        dir.set_own_mode(0o700)?;
        let ignore = b"# Made by rsyn: state of this machine, never shared.\n*\n";
        create_unless_there(&dir, b".gitignore", ignore)?;
        let id = RootId::random()?;
        // Last, so that a directory with an id is complete. Two makers at once: one id wins for both.
        create_unless_there(&dir, b"id", format!("{id}\n").as_bytes())?;
        root.top().sync()?;
        Self::open(root)?.ok_or_else(|| StateError::Damaged {
            file: "id".to_owned(),
        })
    }

    /// Gives the root an id of its own: its state was copied from another one, which keeps the old id. Durably, if it is
    /// `lasting`.
    ///
    /// # Errors
    /// There are no random bytes, or it cannot be written.
    pub fn renew_id(&mut self, lasting: bool) -> Result<()> {
        let id = RootId::random()?;
        if lasting {
            durable::replace(&self.dir, b"id", format!("{id}\n").as_bytes())?;
        }
        self.id = id;
        Ok(())
    }

    /// Where it lies.
    pub(super) fn home(&self) -> Home {
        self.home
    }

    /// Identity of the root.
    #[must_use]
    pub fn id(&self) -> &RootId {
        &self.id
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// Removes what a crash left of files that were being written into directories of the state (those of the state
    /// itself are swept by `transaction::recover`). The caller holds the lock.
    ///
    /// # Errors
    /// A directory cannot be listed or a file not removed.
    pub fn sweep(&self) -> Result<()> {
        for name in [super::base::DIR, super::signatures::DIR] {
            if let Some(dir) = self.existing_subdir(name)? {
                durable::sweep(&dir)?;
            }
        }
        Ok(())
    }

    /// A directory inside, made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn subdir(&self, name: &str) -> Result<Dir> {
        match self.dir.make_dir(name.as_bytes(), 0o700) {
            // ORDER: before anything is put inside, so that a power cut cannot take it away again.
            Ok(()) => self.dir.sync()?,
            Err(e) if e.is_taken() => {}
            Err(e) => return Err(e.into()),
        }
        Ok(self.dir.open_dir(name.as_bytes())?)
    }

    /// A directory inside, if it is there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn existing_subdir(&self, name: &str) -> Result<Option<Dir>> {
        match self.dir.open_dir(name.as_bytes()) {
            Ok(dir) => Ok(Some(dir)),
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

/// Writes a state file at once as a whole; one that is there stays.
fn create_unless_there(dir: &Dir, name: &[u8], bytes: &[u8]) -> Result<()> {
    match durable::create(dir, name, bytes, 0o600) {
        Err(e) if !e.is_taken() => Err(e.into()),
        _ => Ok(()),
    }
}

/// Reads a sealed file; `None` if it is missing.
///
/// # Errors
/// As [`sealed::open`], or it cannot be read.
pub fn load<T: Sealed + DeserializeOwned>(dir: &Dir, file: &str) -> Result<Option<T>> {
    match durable::open(dir, file.as_bytes(), MAX_FILE_BYTES)? {
        None => Ok(None),
        Some((opened, bytes)) => open(opened, &bytes, file).map(Some),
    }
}

/// What a state file holds, whose [parts](part::Part) stay in it.
fn open<T: Sealed>(opened: File, bytes: &[u8], file: &str) -> Result<T> {
    part::decode(opened, bytes, |bytes| sealed::open(bytes, file))
}

/// Writes a sealed file, atomically and durably.
///
/// # Errors
/// It cannot be written.
pub fn save<T: Sealed>(dir: &Dir, file: &str, value: &T) -> Result<()> {
    durable::replace_with(dir, file.as_bytes(), |new| {
        sealed::seal(value, file, |block| new.write_all(block))
    })
}

/// A sealed value that is kept in two generations: a writer never touches the newest valid one. It begins with its
/// sequence number, which grows by one with each write.
pub trait Generations: Sealed {
    /// The number of this generation.
    fn sequence(&self) -> u64;
}

fn files(stem: &str) -> [String; 2] {
    [format!("{stem}.a"), format!("{stem}.b")]
}

/// The sequence number of a generation that is whole; `None` if the file is missing.
fn sequence_of<T: Generations>(dir: &Dir, file: &str) -> Result<Option<u64>> {
    match dir.open_file(file.as_bytes()) {
        Ok((opened, stat)) => sealed::number_checked::<T>(&opened, stat.size, file).map(Some),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The newest generation that is not damaged, and whether a damaged one was passed over.
///
/// # Errors
/// A file cannot be read, or a later version of rsyn wrote it.
pub fn load_newest<T: Generations>(dir: &Dir, stem: &str) -> Result<(Option<T>, bool)> {
    let mut damaged = false;
    // The one that seems to be the newest last: it is at hand then, and one at a time is in memory.
    let mut files = files(stem);
    files.sort_by_key(|file| sequence_claimed(dir, file));
    let (mut found, mut last) = (Vec::new(), None);
    for file in files {
        last = None;
        match Whole::read::<T>(dir, file) {
            Ok(Some(whole)) => {
                found.push((whole.sequence, whole.file.clone()));
                last = Some(whole);
            }
            Ok(None) => {}
            Err(StateError::Damaged { .. }) => damaged = true,
            Err(e) => return Err(e),
        }
    }
    found.sort_by_key(|(sequence, _)| *sequence);
    for (_, file) in found.into_iter().rev() {
        let value = match last.take().filter(|whole| whole.file == file) {
            Some(whole) => open(whole.opened, &whole.bytes, &file).map(Some),
            None => load(dir, &file),
        };
        match value {
            Ok(None) => {}
            Ok(found) => return Ok((found, damaged)),
            Err(StateError::Damaged { .. }) => damaged = true,
            Err(e) => return Err(e),
        }
    }
    Ok((None, damaged))
}

/// A generation that is whole. Its value waits to be decoded.
struct Whole {
    sequence: u64,
    file: String,
    opened: File,
    bytes: Vec<u8>,
}

impl Whole {
    /// Reads one; `None` if the file is missing.
    fn read<T: Generations>(dir: &Dir, file: String) -> Result<Option<Self>> {
        let Some((opened, bytes)) = durable::open(dir, file.as_bytes(), MAX_FILE_BYTES)? else {
            return Ok(None);
        };
        let sequence = Checked::<T>::new(&bytes, &file)?.first_number()?;
        Ok(Some(Self {
            sequence,
            file,
            opened,
            bytes,
        }))
    }
}

/// The sequence number that a file seems to begin with; nothing says that it is whole.
fn sequence_claimed(dir: &Dir, file: &str) -> Option<u64> {
    let mut begin = [0; sealed::HEADER_BYTES + 10];
    let (opened, _) = dir.open_file(file.as_bytes()).ok()?;
    let read = opened.read_at(&mut begin, 0).ok()?;
    sealed::number_claimed(begin.get(..read)?)
}

/// Writes the next generation over the older or damaged one.
///
/// # Errors
/// It cannot be written, or the system has nothing left to read the others with; the newest generation is as it was.
pub fn save_next<T: Generations>(dir: &Dir, stem: &str, value: &T) -> Result<()> {
    let [a, b] = files(stem);
    let sequence = |file: &str| match sequence_of::<T>(dir, file) {
        Ok(sequence) => Ok(sequence.unwrap_or(0)),
        // It may be the newest, and whole.
        Err(StateError::Disk(e)) if e.is_exhausted() => Err(StateError::Disk(e)),
        Err(_) => Ok(0),
    };
    let file = if sequence(&a)? <= sequence(&b)? { a } else { b };
    save(dir, &file, value)
}

/// The two generations as they lie there now. Opened, so that no later file gets the number of their inodes.
pub struct Mark([Option<(File, Stat)>; 2]);

impl Mark {
    /// Takes a mark of the generations under `stem`.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn of(dir: &Dir, stem: &str) -> Result<Self> {
        let [a, b] = files(stem);
        let opened = |file: &str| match dir.open_file(file.as_bytes()) {
            Ok(opened) => Ok(Some(opened)),
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(e),
        };
        Ok(Self([opened(&a)?, opened(&b)?]))
    }

    /// Whether nothing was written between the two marks.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let inodes = |mark: &Self| {
            mark.0
                .each_ref()
                .map(|f| f.as_ref().map(|(_, stat)| stat.ino))
        };
        inodes(self) == inodes(other)
    }
}
