//! The lock of a root: one writer at a time, or several readers.
//!
//! `flock` on a file that is never deleted: the kernel frees it when its holder dies, however it
//! dies. The text inside tells people who holds it. A holder wipes it out when it lets go, so text in a
//! lock that is free is the last word of a process that was killed.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{FlockOperation, OFlags, Timespec, Timestamps, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::dir::Dir;
use super::error::DiskError;
use super::stat::Stat;
use crate::model::Mtime;

/// Name of the lock inside the state directory.
const LOCK_FILE: &[u8] = b"lock";
/// Nothing that we write into it is longer.
const MAX_HOLDER_BYTES: usize = 4096;
/// How often a lock that is held is tried, and how long it is waited in between.
const ATTEMPTS: u32 = 3;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(3);

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

/// What is written into a lock.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Word {
    #[serde(flatten)]
    holder: Holder,
    /// Where its process id means something.
    #[serde(default)]
    pids: Option<String>,
}

impl Word {
    fn read(file: &File) -> Option<Self> {
        let mut text = [0; MAX_HOLDER_BYTES];
        let read = file.read_at(&mut text, 0).ok()?;
        serde_json::from_slice(text.get(..read)?).ok()
    }

    /// Whether its process id is one of this process' world.
    fn is_of_here(&self) -> bool {
        self.pids.is_none() || self.pids == pid_namespace()
    }
}

/// What a root's lock tells to somebody who does not take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// Nobody holds it, and the last holder let go.
    Idle,
    /// It is held; by whom, if he left word.
    Running {
        /// Who holds it.
        holder: Option<Holder>,
        /// Whether the process id is that of another pid namespace, in which it means nothing here.
        elsewhere: bool,
    },
    /// Its last holder was killed, and nobody has taken it since.
    Died(Holder),
    /// Its last holder did not let go, and what became of it cannot be seen from here.
    Unknown(Holder),
}

/// The lock, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    exclusive: bool,
    left_by: Option<Holder>,
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
        let mut lock = Self::take(state, FlockOperation::NonBlockingLockExclusive, true)?;
        lock.left_by = Word::read(&lock.file).map(|word| word.holder);
        lock.announce(holder)
            .map_err(|e| state.error("write", LOCK_FILE, e))?;
        Ok(lock)
    }

    /// The holder before this one, if it was killed: it never let go.
    #[must_use]
    pub fn left_by(&self) -> Option<&Holder> {
        self.left_by.as_ref()
    }

    /// Who is at work, or died at it. Writes nothing. Who does not let go of the lock is at work, wherever he runs; a lock that
    /// is free may still be held where a file system does not tell of locks, so the process is looked for as well.
    ///
    /// # Errors
    /// The lock file cannot be read.
    pub fn activity(state: &Dir) -> Result<Activity, DiskError> {
        let file = match state.open_file(LOCK_FILE) {
            Ok((file, _)) => file,
            Err(e) if e.is_missing() => return Ok(Activity::Idle),
            Err(e) => return Err(e),
        };
        // For a moment only: who wants the lock alone tries more than once.
        let held = match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => flock(&file, FlockOperation::Unlock).map(|()| false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(e),
        };
        let held = held.map_err(|e| state.error("lock", LOCK_FILE, e))?;
        let word = Word::read(&file);
        let here = word.as_ref().is_none_or(Word::is_of_here);
        Ok(match word.map(|word| word.holder) {
            holder if held => Activity::Running {
                holder,
                elsewhere: !here,
            },
            None => Activity::Idle,
            Some(holder) if !here => Activity::Unknown(holder),
            Some(holder) if may_live(holder.pid) => Activity::Idle,
            Some(holder) => Activity::Died(holder),
        })
    }

    /// The last holder, if it was killed and nobody has taken the lock since. Writes nothing; where the system does not list
    /// its processes nobody is known to be dead.
    ///
    /// # Errors
    /// The lock file cannot be read.
    pub fn dead_holder(state: &Dir) -> Result<Option<Holder>, DiskError> {
        Ok(match Self::activity(state)? {
            Activity::Died(holder) => Some(holder),
            _ => None,
        })
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

    /// The present time by the clock of the file system, whatever its tick: the ctime of the lock file, after its mtime
    /// was set to that time.
    ///
    /// # Errors
    /// The failed `futimens` or `fstat`.
    pub fn tell_time(&self) -> std::io::Result<Mtime> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        };
        let now = Timestamps {
            last_access: now,
            last_modification: now,
        };
        rustix::fs::futimens(&self.file, &now)?;
        Ok(Stat::of(&rustix::fs::fstat(&self.file)?).ctime)
    }

    fn take(state: &Dir, how: FlockOperation, exclusive: bool) -> Result<Self, LockError> {
        let file = state.open_state_file(LOCK_FILE, OFlags::RDWR)?;
        let mut attempts = 1;
        loop {
            match flock(&file, how) {
                Ok(()) => {
                    return Ok(Self {
                        file,
                        exclusive,
                        left_by: None,
                    });
                }
                // Somebody may just look, which takes no time.
                Err(Errno::WOULDBLOCK) if attempts < ATTEMPTS => {
                    attempts += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(Errno::WOULDBLOCK) => {
                    let holder = Word::read(&file).map(|word| word.holder);
                    return Err(LockError::Held(holder));
                }
                Err(e) => return Err(state.error("lock", LOCK_FILE, e).into()),
            }
        }
    }

    fn announce(&self, holder: &Holder) -> std::io::Result<()> {
        let text = serde_json::to_vec(&Word {
            holder: holder.clone(),
            pids: pid_namespace(),
        })?;
        self.file.set_len(0)?;
        self.file.write_all_at(&text, 0)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A panic is no letting go: the next holder tells of it.
        if self.exclusive && !std::thread::panicking() {
            // Text that stays makes the next holder tell of a death that was none; nothing else.
            drop(self.file.set_len(0));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the door to the disk")]
fn may_live(pid: u32) -> bool {
    let processes = std::path::Path::new("/proc");
    !processes.join("self").exists() || processes.join(pid.to_string()).exists()
}

/// The pid namespace of this process, where there is such a thing.
#[expect(clippy::disallowed_methods, reason = "this is the door to the disk")]
fn pid_namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_str()?.to_owned())
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
    use crate::disk::{Root, durable};

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
    fn a_holder_that_never_let_go_is_known_to_the_next() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        let clean = Lock::exclusive(root.top(), &holder()).unwrap();
        assert_eq!(clean.left_by(), None);
        drop(clean);
        assert_eq!(Lock::dead_holder(root.top()).unwrap(), None);

        let dead = Holder {
            pid: u32::MAX,
            ..holder()
        };
        durable::replace(root.top(), LOCK_FILE, &serde_json::to_vec(&dead).unwrap()).unwrap();
        assert_eq!(Lock::dead_holder(root.top()).unwrap(), Some(dead.clone()));
        let next = Lock::exclusive(root.top(), &holder()).unwrap();
        assert_eq!(next.left_by(), Some(&dead));
        drop(next);
        assert_eq!(Lock::dead_holder(root.top()).unwrap(), None);
    }

    #[test]
    fn who_is_at_work_is_told_without_being_in_the_way() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        let activity = || Lock::activity(root.top()).unwrap();
        assert_eq!(activity(), Activity::Idle);
        let held = Lock::exclusive(root.top(), &holder()).unwrap();
        let running = Activity::Running {
            holder: Some(holder()),
            elsewhere: false,
        };
        assert_eq!(activity(), running);
        assert!(matches!(activity(), Activity::Running { .. }));
        drop(held);
        assert_eq!(activity(), Activity::Idle);
        // A holder of another pid namespace whose process id is none here.
        let word = Word {
            holder: Holder {
                pid: u32::MAX,
                ..holder()
            },
            pids: Some("pid:[1]".to_owned()),
        };
        durable::replace(root.top(), LOCK_FILE, &serde_json::to_vec(&word).unwrap()).unwrap();
        assert_eq!(activity(), Activity::Unknown(word.holder));
        let all_look = || (0..300).for_each(|_| drop(activity()));
        std::thread::scope(|scope| {
            scope.spawn(all_look);
            for _ in 0..100 {
                drop(Lock::exclusive(root.top(), &holder()).unwrap());
            }
        });
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
