//! Snapshots: what finished transactions displaced, as the original objects, with their plans.

use std::collections::HashMap;

use crate::disk::{Dir, Lock, Result, Root};
use crate::model::RelPath;
use crate::model::path::STATE_DIR;

use super::Label;
use super::age::ages;
use super::area::{Area, SNAP, open_if_there};
use super::displaced::{decided_at, displaced};
use super::error::{CommitError, Why};
use super::journal::{
    Damage, Head, NEW, OLD, Plan, Planned, TxnId, old_name, read_committed, read_head_if_whole,
    read_plan,
};
use super::renamed::renames;
use super::settle::put_aside;
use super::work::{Touched, Work};

/// A day, in which no snapshot is ever pruned.
const DAY_SECS: i64 = 24 * 3600;

/// A snapshot, in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its name.
    pub id: TxnId,
    /// When it was made, seconds since 1970.
    pub when: i64,
    /// By whom and why.
    pub label: Label,
    /// How many paths were changed.
    pub changes: u64,
    /// Bytes of the old versions it keeps.
    pub bytes: u64,
}

/// Which snapshots stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// So many of the newest, whatever their age.
    pub newest: usize,
    /// All that are younger.
    pub younger_than_secs: i64,
    /// Of those beyond `newest` that are older than a day, the oldest go until the rest fits.
    pub max_bytes: Option<u64>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            newest: 10,
            younger_than_secs: 7 * DAY_SECS,
            max_bytes: None,
        }
    }
}

/// What pruning has deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// The snapshots.
    pub ids: Vec<TxnId>,
    /// Bytes of their old versions.
    pub bytes: u64,
    /// Old versions that a program wrote into after they had been replaced: of them nothing was deleted.
    pub late_writes: Vec<LateWrite>,
}

/// An old version that a program wrote into after it had been replaced, found when its snapshot was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateWrite {
    /// The snapshot.
    pub id: TxnId,
    /// The path at which it stood.
    pub path: RelPath,
    /// Where it is in the tree now; `None` if it could not be put there, and its snapshot stays.
    pub copy: Option<RelPath>,
}

/// The snapshots of `root`, newest first. One whose head cannot be read is labelled `damaged` and stands at
/// the time its directory was last changed, so that nothing takes an older one for the newest. Changes nothing.
///
/// # Errors
/// The state directory cannot be read.
pub fn snapshots(root: &Root) -> Result<Vec<SnapshotInfo>> {
    let Some(state) = open_if_there(root.top(), STATE_DIR)? else {
        return Ok(Vec::new());
    };
    let Some(snap) = open_if_there(&state, SNAP)? else {
        return Ok(Vec::new());
    };
    let mut all: Vec<_> = heads(&snap)?.into_iter().map(info).collect();
    for damaged in damaged(&snap)? {
        let at = all.iter().position(|s| s.when <= damaged.when);
        all.insert(at.unwrap_or(all.len()), damaged);
    }
    Ok(all)
}

/// The snapshots whose heads cannot be read.
fn damaged(snap: &Dir) -> Result<Vec<SnapshotInfo>> {
    let mut damaged = Vec::new();
    for entry in snap.list()? {
        let Some(id) = TxnId::from_name(&entry.name) else {
            continue;
        };
        let Some(dir) = open_if_there(snap, &entry.name)? else {
            continue;
        };
        if read_head_if_whole(&dir)?.is_none() {
            let when = dir.own_stat()?.mtime.secs;
            let label = Label {
                verb: "damaged".to_owned(),
                when,
                ..Label::default()
            };
            damaged.push(SnapshotInfo {
                id,
                when,
                label,
                changes: 0,
                bytes: 0,
            });
        }
    }
    Ok(damaged)
}

fn info(head: Head) -> SnapshotInfo {
    let Head {
        id,
        label,
        changes,
        displaced_bytes,
        ..
    } = head;
    SnapshotInfo {
        id,
        when: label.when,
        label,
        changes,
        bytes: displaced_bytes,
    }
}

/// The heads of all snapshots that can be read, newest first.
pub(super) fn heads(snap: &Dir) -> Result<Vec<Head>> {
    let mut heads = Vec::new();
    for entry in snap.list()? {
        if TxnId::from_name(&entry.name).is_none() {
            continue;
        }
        let Some(dir) = open_if_there(snap, &entry.name)? else {
            continue;
        };
        heads.extend(read_head_if_whole(&dir)?);
    }
    heads.sort_by_key(|head| std::cmp::Reverse((head.seq, head.label.when)));
    Ok(heads)
}

/// Deletes the snapshots that `kept` does not keep, and old remains of interrupted transfers, at the time `now` (seconds since 1970).
/// What a program wrote into an old version is put beside its path first.
///
/// # Errors
/// The first failed call, unless there is something to tell; what was deleted until then is gone.
pub fn prune(root: &Root, lock: &Lock, kept: Kept, now: i64) -> Result<Pruned, CommitError> {
    if !lock.is_exclusive() {
        return Err(CommitError::NotLocked);
    }
    let mut pruned = Pruned::default();
    match prune_into(&mut pruned, root, kept, now) {
        Err(e) if pruned.late_writes.is_empty() => Err(e.into()),
        _ => Ok(pruned),
    }
}

fn prune_into(pruned: &mut Pruned, root: &Root, kept: Kept, now: i64) -> Result<()> {
    let area = Area::open(root)?;
    for head in surplus(heads(&area.snap)?, kept, now) {
        // One that is damaged cannot be judged, nor undone.
        let opened = match Snapshot::open_in(&area.snap, &head.id) {
            Err(Damage::Disk(e)) if e.is_exhausted() => return Err(e),
            opened => opened.ok(),
        };
        if opened.is_some_and(|snapshot| !snapshot.rescue(root, &mut pruned.late_writes)) {
            continue;
        }
        area.discard(&area.snap, head.id.name())?;
        pruned.bytes += head.displaced_bytes;
        pruned.ids.push(head.id);
    }
    area.snap.sync()?;
    area.empty_trash()?;
    super::partial::prune_on_disk(&area.partial, now)?;
    Ok(())
}

/// Pure: which of the snapshots, newest first, go.
fn surplus(heads: Vec<Head>, kept: Kept, now: i64) -> Vec<Head> {
    let ages = ages(heads.iter().map(|head| head.label.when), now);
    let mut total = 0u64;
    let mut surplus = Vec::new();
    for (n, (head, age)) in heads.into_iter().zip(ages).enumerate() {
        let bytes = total.saturating_add(head.displaced_bytes);
        let too_old = age >= kept.younger_than_secs;
        let too_much = age >= DAY_SECS && kept.max_bytes.is_some_and(|max| bytes > max);
        if n >= kept.newest && (too_old || too_much) {
            surplus.push(head);
        } else {
            total = bytes;
        }
    }
    surplus
}

/// Where the old version of a path is.
#[derive(Debug)]
pub(super) enum Source<'a> {
    /// In the snapshot, under a name in a directory.
    Kept(&'a Dir, Vec<u8>),
    /// In the tree: the transaction moved it to this path, and people may have changed it since.
    Renamed(&'a RelPath),
}

/// An opened snapshot.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) plan: Plan,
    /// Of each change that took a renamed file away, the one that brought it.
    renamed: HashMap<u32, u32>,
    /// Changes whose directory had to stay.
    pub(super) kept: Vec<u32>,
    home: Dir,
    new: Dir,
    old: Dir,
}

impl Snapshot {
    pub(super) fn open(root: &Root, id: &TxnId) -> Result<Self, Damage> {
        let snap = root.top().open_dir(STATE_DIR)?.open_dir(SNAP)?;
        Self::open_in(&snap, id)
    }

    fn open_in(snap: &Dir, id: &TxnId) -> Result<Self, Damage> {
        let home = snap.open_dir(id.name())?;
        let plan = read_plan(&home)?;
        let kept = read_committed(&home)?.unwrap_or_default();
        let (new, old) = (home.open_dir(NEW)?, home.open_dir(OLD)?);
        Ok(Self {
            renamed: renames(&plan.body.steps).collect(),
            plan,
            kept,
            home,
            new,
            old,
        })
    }

    /// Where the object is that stood at the path of a change; `None` if it was not moved.
    pub(super) fn source(&self, index: usize) -> Option<Source<'_>> {
        let changes = &self.plan.body.changes;
        let change: &Planned = changes.get(index)?;
        change.before.as_ref()?;
        match (&change.after, change.staged()) {
            (None, _) => {
                let number = u32::try_from(index).ok()?;
                let name = old_name(number);
                let to = self.renamed.get(&number);
                let to = to.and_then(|to| changes.get(*to as usize));
                Some(match to {
                    Some(to) if matches!(self.old.stat(&name), Ok(None)) => {
                        Source::Renamed(&to.path)
                    }
                    _ => Source::Kept(&self.old, name),
                })
            }
            (Some(_), Some((_, name))) => Some(Source::Kept(&self.new, name)),
            (Some(_), None) => None,
        }
    }

    /// Puts each old version that a program wrote into beside its path, and tells of it. Gives whether nothing of the kind is
    /// left, so that the snapshot may go.
    fn rescue(&self, root: &Root, told: &mut Vec<LateWrite>) -> bool {
        let work = self.work(root);
        let decided = decided_at(&self.home);
        let written = displaced(&work, &self.kept).filter(|old| {
            // One that cannot be looked at may be one.
            old.was_written_since(decided).unwrap_or(true)
        });
        let mut touched = Touched::default();
        let from = told.len();
        told.extend(written.map(|old| {
            LateWrite {
                id: self.plan.head.id.clone(),
                path: old.change.path.clone(),
                copy: put_aside(
                    &work,
                    old.change,
                    (old.dir, &old.name),
                    Why::NewerKept,
                    &mut touched,
                )
                .ok(),
            }
        }));
        let told = &mut told[from..];
        if told.is_empty() {
            return true;
        }
        // What is not on the disk beside its path may be back in the snapshot after a power cut.
        touched.sync_what_is_there(&work).is_ok() && told.iter().all(|late| late.copy.is_some())
    }

    fn work<'a>(&'a self, root: &'a Root) -> Work<'a> {
        Work {
            root,
            home: &self.home,
            new: &self.new,
            old: &self.old,
            plan: &self.plan,
        }
    }
}
