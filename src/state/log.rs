//! The log: one JSON line for every sync that this root took part in.

use serde::{Deserialize, Serialize};

use super::{Result, State};
use crate::disk::{Holder, Lock, durable};
use crate::plan::Verb;
use crate::report::time::rfc3339;

const FILE: &[u8] = b"log.jsonl";
const OLDER: &[u8] = b"log.jsonl.1";
/// A log of this length in bytes is put aside and a new one begun; the one put aside before is dropped.
const ROTATE_BYTES: u64 = 4 * 1024 * 1024;

/// The snapshots that undo a run, by the side that keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshots {
    /// On this machine: for `rsyn rollback`.
    #[serde(default)]
    pub local: Option<String>,
    /// On the hub: for `rsyn rollback --remote`.
    #[serde(default)]
    pub remote: Option<String>,
}

impl Snapshots {
    /// The one on the side where the run ended: the hub's if it made one there.
    #[must_use]
    pub fn last(&self) -> Option<&String> {
        self.remote.as_ref().or(self.local.as_ref())
    }
}

/// One sync, as it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it ended, RFC 3339; of one that was killed, when it began.
    pub when: String,
    /// `pull`, `push`, `sync`, `rollback`, `restore`, `recover`, `verify`, `prune`.
    pub verb: String,
    /// The machine at the other end.
    pub peer: String,
    /// Paths created.
    #[serde(default)]
    pub create: u64,
    /// Paths whose content was replaced.
    #[serde(default)]
    pub update: u64,
    /// Paths deleted.
    #[serde(default)]
    pub delete: u64,
    /// Paths whose permission bits changed.
    #[serde(default)]
    pub meta: u64,
    /// Conflicts.
    #[serde(default)]
    pub conflicts: u64,
    /// Paths that were not carried though nothing excludes them.
    #[serde(default)]
    pub skipped: u64,
    /// Bytes that went over the wire from here.
    #[serde(default)]
    pub bytes_sent: u64,
    /// Bytes that came over the wire.
    #[serde(default)]
    pub bytes_received: u64,
    /// `ok`, `nothing_to_do`, `stopped`, `failed`, `killed`.
    pub result: String,
    /// Snapshot that undoes it; of two, the hub's.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// The same with its side; older records have none.
    #[serde(default)]
    pub snapshots: Snapshots,
    /// What went wrong, or which guards were lifted.
    #[serde(default)]
    pub note: Option<String>,
}

impl Record {
    /// A record of things that were done, counted; who did them when is left to the caller.
    #[must_use]
    pub fn of(done: impl IntoIterator<Item = Verb>) -> Self {
        let mut record = Self {
            result: "ok".to_owned(),
            ..Self::default()
        };
        for verb in done {
            let count = match verb {
                Verb::Create => &mut record.create,
                Verb::Update => &mut record.update,
                Verb::Delete => &mut record.delete,
                Verb::Meta => &mut record.meta,
            };
            *count += 1;
        }
        record
    }

    /// The record of a recovery that had something to settle, at `now_secs` since 1970; `words` say what.
    #[must_use]
    pub fn recovered(now_secs: i64, words: &str) -> Self {
        Self {
            when: rfc3339(now_secs.saturating_mul(1000)),
            verb: "recover".to_owned(),
            note: Some(words.to_owned()),
            ..Self::of([])
        }
    }

    /// The record of snapshots that were to go, at `now_secs` since 1970, and had something that nobody else has; `words` say
    /// what.
    #[must_use]
    pub fn pruned(now_secs: i64, words: &str) -> Self {
        Self {
            verb: "prune".to_owned(),
            ..Self::recovered(now_secs, words)
        }
    }

    /// The same record with the snapshots that undo it.
    #[must_use]
    pub fn undone_by(self, snapshots: Snapshots) -> Self {
        Self {
            snapshot: snapshots.last().cloned(),
            snapshots,
            ..self
        }
    }

    /// The record of a run that could not write one.
    #[must_use]
    pub fn killed(holder: &Holder) -> Self {
        let words = "it was killed or the machine stopped; the next run settles what it had begun";
        Self {
            when: rfc3339(holder.since.saturating_mul(1000)),
            verb: holder.verb.clone(),
            peer: holder.machine.clone(),
            result: "killed".to_owned(),
            note: Some(format!("process {}: {words}", holder.pid)),
            ..Self::default()
        }
    }
}

/// Appends `record`.
///
/// # Errors
/// It cannot be written. The outcome of the sync stands all the same.
pub fn append(state: &State, record: &Record) -> Result<()> {
    if state
        .dir()
        .stat(FILE)?
        .is_some_and(|s| s.size > ROTATE_BYTES)
    {
        state.dir().rename_over(FILE, state.dir(), OLDER)?;
    }
    let mut line = serde_json::to_vec(record).unwrap_or_default();
    line.push(b'\n');
    Ok(durable::append(state.dir(), FILE, &line)?)
}

/// The last `count` records, newest first, one that was killed just now among them. Lines that are no record
/// are passed over.
///
/// # Errors
/// It cannot be read.
pub fn last(state: &State, count: usize) -> Result<Vec<Record>> {
    let dead = Lock::dead_holder(state.dir())?;
    let mut records: Vec<_> = dead.iter().map(Record::killed).collect();
    for file in [FILE, OLDER] {
        let bytes = durable::read(state.dir(), file, ROTATE_BYTES * 2)?.unwrap_or_default();
        let lines = bytes.split(|b| *b == b'\n').rev();
        records.extend(lines.filter_map(|line| serde_json::from_slice(line).ok()));
    }
    records.truncate(count);
    Ok(records)
}
