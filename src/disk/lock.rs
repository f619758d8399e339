//! The lock of a root: one writer at a time, or several readers.
//!
//! `flock` on a file that is never deleted: the kernel frees it when its holder dies, however it
//! dies. The text inside only tells people who holds it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::dir::Dir;
use super::error::DiskError;

/// Name of the lock inside the state directory.
const LOCK_FILE: &[u8] = b"lock";
/// Nothing that we write into it is longer.
const MAX_HOLDER_BYTES: u64 = 4096;

/// Who holds the lock, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id on that machine.
    pub pid: u32,
    /// Name of the machine.
    pub machine: String,
    /// What it does: `pull`, `push`, `rollback`.
    pub verb: String,
    /// Since when, seconds since 1970.
    pub since: i64,
}

/// The lock, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    exclusive: bool,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it. `None` if the holder left no readable word.
    #[error("{}", held(.0.as_ref()))]
    Held(Option<Holder>),
    /// The lock file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Lock {
    /// Takes the lock alone and leaves word of `holder` in it. Does not wait.
    ///
    /// # Errors
    /// [`LockError::Held`] if anybody has it, alone or shared.
    pub fn exclusive(state: &Dir, holder: &Holder) -> Result<Self, LockError> {
        let lock = Self::take(state, FlockOperation::NonBlockingLockExclusive, true)?;
        lock.announce(holder)
            .map_err(|e| state.error("write", LOCK_FILE, e))?;
        Ok(lock)
    }

    /// Takes the lock together with other readers. Does not wait, leaves no word.
    ///
    /// # Errors
    /// [`LockError::Held`] if a writer has it.
    pub fn shared(state: &Dir) -> Result<Self, LockError> {
        Self::take(state, FlockOperation::NonBlockingLockShared, false)
    }

    /// Whether nobody else can have it at the same time.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    fn take(state: &Dir, how: FlockOperation, exclusive: bool) -> Result<Self, LockError> {
        let file = state.open_state_file(LOCK_FILE, OFlags::RDWR)?;
        match flock(&file, how) {
            Ok(()) => Ok(Self {
                _file: file,
                exclusive,
            }),
            Err(Errno::WOULDBLOCK) => Err(LockError::Held(read_holder(&file))),
            Err(e) => Err(state.error("lock", LOCK_FILE, e).into()),
        }
    }

    fn announce(&self, holder: &Holder) -> std::io::Result<()> {
        let text = serde_json::to_vec(holder)?;
        self._file.set_len(0)?;
        self._file.write_all_at(&text, 0)
    }
}

/// Claims `dir` for this handle until it is closed; `false` if another handle has claimed it.
/// Tells the work of a living process from what a dead one left.
///
/// # Errors
/// The failed `flock`.
pub fn claim(dir: &Dir) -> Result<bool, DiskError> {
    match flock(dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(dir.error("lock", b".", e)),
    }
}

fn read_holder(file: &File) -> Option<Holder> {
    let mut text = Vec::new();
    file.take(MAX_HOLDER_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn held(holder: Option<&Holder>) -> impl fmt::Display {
    match holder {
        None => "another rsyn process is using this root".to_owned(),
        Some(h) => format!(
            "rsyn {} (process {} on {}) is using this root",
            h.verb.escape_default(),
            h.pid,
            h.machine.escape_default()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;

    fn holder() -> Holder {
        Holder {
            pid: 42,
            machine: "desk".into(),
            verb: "pull".into(),
            since: 1_700_000_000,
        }
    }

    #[test]
    fn a_second_writer_is_told_who_holds_the_lock() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        let held = Lock::exclusive(root.top(), &holder()).unwrap();
        let refused = Lock::exclusive(root.top(), &holder()).unwrap_err();
        assert!(matches!(&refused, LockError::Held(Some(h)) if *h == holder()));
        assert_eq!(
            refused.to_string(),
            "rsyn pull (process 42 on desk) is using this root"
        );
        assert!(Lock::shared(root.top()).is_err());
        drop(held);
        assert!(
            Lock::exclusive(root.top(), &holder())
                .unwrap()
                .is_exclusive()
        );
    }

    #[test]
    fn readers_share_the_lock_and_keep_a_writer_out() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        let one = Lock::shared(root.top()).unwrap();
        let two = Lock::shared(root.top()).unwrap();
        assert!(Lock::exclusive(root.top(), &holder()).is_err());
        drop((one, two));
        assert!(Lock::exclusive(root.top(), &holder()).is_ok());
    }
}
