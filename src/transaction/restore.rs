//! Old versions of some paths: looked up in a snapshot, put back by an ordinary transaction, or written elsewhere.
//!
//! Unlike a rollback it takes copies, so that the snapshot stays whole, and it never deletes: a path that
//! the snapshot keeps no version of is left alone.

use std::collections::HashSet;
use std::fs::File;

use crate::disk::{Dir, DiskError, FileKind, Root};
use crate::model::{Digest, Mode, Node, RelPath};

use super::error::StageError;
use super::journal::{Damage, TxnId};
use super::rollback::old_version;
use super::snapshot::{Snapshot, Source, snapshots};
use super::stage::Staging;
use super::{Change, Expected, NewNode, content};

/// Permission bits of a directory that has to be made so that an old version has a place.
const PARENT_MODE: u16 = 0o755;

/// Why an old version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// No snapshot keeps one.
    #[error("no snapshot keeps an older version of {0:?}")]
    NoVersion(RelPath),
    /// The snapshot that was named keeps none.
    #[error("the snapshot {0} keeps no version of {1:?}")]
    NotInSnapshot(TxnId, RelPath),
    /// Something of another kind stands in its place.
    #[error("{0:?} is in the way: it is a directory now, or none")]
    InTheWay(RelPath),
    /// It was no file in that version.
    #[error("{0:?} was no file then")]
    NoFile(RelPath),
    /// The content was not displaced, only its permission bits were changed, and it is another one by now.
    #[error("the snapshot keeps the permission bits of {0:?}, not its content")]
    NoContent(RelPath),
    /// Its content was not displaced: the sync moved it elsewhere, where it was changed since, and no snapshot keeps it.
    #[error("the sync of that snapshot moved {0:?} to {1:?}, where it was changed since")]
    Renamed(RelPath, RelPath),
    /// It cannot be staged.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The snapshot cannot be believed.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The tree cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Old versions that one snapshot keeps.
#[derive(Debug)]
pub struct OldVersions {
    /// The snapshot.
    pub id: TxnId,
    /// Path, index of the change, old version; in the order of the paths.
    versions: Vec<(RelPath, usize, NewNode)>,
    snapshot: Snapshot,
}

/// The versions of `path` and of what is below it that the snapshot `id` keeps; without `id`, the newest
/// snapshot that keeps any.
///
/// # Errors
/// There is none, or the snapshot is damaged.
pub fn old_versions(
    root: &Root,
    id: Option<&TxnId>,
    path: &RelPath,
) -> Result<OldVersions, RestoreError> {
    if let Some(id) = id {
        let none = || RestoreError::NotInSnapshot(id.clone(), path.clone());
        return versions_in(root, id, path)?.ok_or_else(none);
    }
    let none = || RestoreError::NoVersion(path.clone());
    for snapshot in snapshots(root)? {
        if let Some(found) = versions_in(root, &snapshot.id, path)? {
            return Ok(found);
        }
    }
    Err(none())
}

fn versions_in(
    root: &Root,
    id: &TxnId,
    path: &RelPath,
) -> Result<Option<OldVersions>, RestoreError> {
    let snapshot = Snapshot::open(root, id)?;
    let mut versions = Vec::new();
    for (index, change) in snapshot.plan.body.changes.iter().enumerate() {
        let is_meant = change.path.is_at_or_below(path) && !change.is_mere_opening();
        if let (Some(before), true) = (&change.before, is_meant) {
            let slot = u32::try_from(index).unwrap_or(u32::MAX);
            let version = old_version(&snapshot, index, slot, before)?;
            versions.push((change.path.clone(), index, version));
        }
    }
    Ok((!versions.is_empty()).then(|| OldVersions {
        id: id.clone(),
        versions,
        snapshot,
    }))
}

impl OldVersions {
    /// The paths, each with its old version.
    pub fn nodes(&self) -> impl Iterator<Item = (&RelPath, &Node)> {
        self.versions.iter().map(|(path, _, new)| (path, &new.node))
    }

    /// The changes that put the old versions into the tree as it is now; those that are there already
    /// are left out. Stage them with [`OldVersions::stage`].
    ///
    /// # Errors
    /// Something is in the way, or the tree cannot be read.
    pub fn changes(&self, root: &Root) -> Result<Vec<Change>, RestoreError> {
        let mut slot = u32::try_from(self.snapshot.plan.body.changes.len()).unwrap_or(u32::MAX);
        let mut changes: Vec<Change> = Vec::new();
        let mut seen = HashSet::new();
        for (path, _, version) in &self.versions {
            for parent in path.ancestors() {
                if seen.insert(parent.clone()) && !is_dir(root, &parent)? {
                    changes.push(make_dir(parent, slot));
                    slot = slot.saturating_add(1);
                }
            }
            seen.insert(path.clone());
            changes.extend(change(root, path, version)?);
        }
        Ok(changes)
    }

    /// Stages copies of the old versions that `changes` asks for. Those whose content was altered behind its stat are taken out
    /// of `changes` and given, unless there is no other.
    ///
    /// # Errors
    /// [`StageError::Integrity`] if all old versions are altered; one is not kept.
    pub fn stage(
        &self,
        root: &Root,
        staging: &Staging,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<RelPath>, RestoreError> {
        let mut altered = Vec::new();
        for change in &*changes {
            let Some(NewNode {
                node,
                slot: Some(slot),
            }) = &change.new
            else {
                continue;
            };
            match node {
                Node::Dir { mode } => staging.dir(*slot, *mode)?,
                Node::Symlink { target, mtime } => staging.symlink(*slot, target, *mtime)?,
                Node::File { .. } => {
                    let content = self.content(root, &change.path, *slot as usize)?;
                    match staging.copy(*slot, &content, node) {
                        Err(StageError::Integrity { .. }) if altered.len() + 1 < changes.len() => {
                            altered.push(change.path.clone());
                        }
                        other => other?,
                    }
                }
                Node::Skipped(_) => return Err(StageError::NoObject(*slot).into()),
            }
        }
        changes.retain(|change| !altered.contains(&change.path));
        Ok(altered)
    }

    /// Writes the old versions to `name` inside `dir`, where nothing may stand: `path` itself, and what
    /// the snapshot keeps below it.
    ///
    /// # Errors
    /// The failed call, or content that was not kept; what was written until then stays.
    pub fn export(
        &self,
        root: &Root,
        path: &RelPath,
        (dir, name): (&Dir, &[u8]),
    ) -> Result<(), RestoreError> {
        for (at, index, version) in &self.versions {
            let inside = at.components().skip(path.depth());
            let names: Vec<&[u8]> = std::iter::once(name).chain(inside).collect();
            if let [parents @ .., last] = names.as_slice() {
                let parent = make_dirs(dir, parents)?;
                let to = parent.as_ref().unwrap_or(dir);
                let content = || self.content(root, at, *index);
                export_one(&version.node, content, to, last)?;
            }
        }
        Ok(())
    }

    /// Hands the content of the old version of the file `path` to `sink`, piece by piece.
    ///
    /// # Errors
    /// The path is no file in that version, its content was not kept, or reading or `sink` failed.
    pub fn read(
        &self,
        root: &Root,
        path: &RelPath,
        sink: &mut dyn std::io::Write,
    ) -> Result<(), RestoreError> {
        let is_it =
            |(p, _, new): &&(RelPath, usize, NewNode)| p == path && new.node.digest().is_some();
        let found = self.versions.iter().find(is_it);
        let (_, index, _) = found.ok_or_else(|| RestoreError::NoFile(path.clone()))?;
        let mut content = self.content(root, path, *index)?;
        std::io::copy(&mut content, sink)
            .map(drop)
            .map_err(|e| DiskError::new("copy", path.as_bytes().to_vec(), e).into())
    }

    fn content(&self, root: &Root, path: &RelPath, index: usize) -> Result<File, RestoreError> {
        let to = match self.snapshot.source(index) {
            Some(Source::Kept(dir, name)) => return Ok(dir.open_file(&name)?.0),
            Some(Source::Renamed(to)) => to,
            None => return Err(RestoreError::NoContent(path.clone())),
        };
        let changes = &self.snapshot.plan.body.changes;
        let before = changes.get(index).and_then(|change| change.before.as_ref());
        let digest = before.and_then(|before| before.node.digest());
        let digest = digest.ok_or_else(|| RestoreError::NoFile(path.clone()))?;
        if let Ok((file, _)) = root.open_file(to)
            && let Some(file) = content::if_it_is(file, digest)
        {
            return Ok(file);
        }
        // A later sync may have replaced what was moved.
        let kept = kept_content(root, digest)?;
        kept.ok_or_else(|| RestoreError::Renamed(path.clone(), to.clone()))
    }
}

fn export_one(
    node: &Node,
    content: impl FnOnce() -> Result<File, RestoreError>,
    to: &Dir,
    name: &[u8],
) -> Result<(), RestoreError> {
    match node {
        Node::Dir { .. } => make_dirs(to, &[name]).map(drop),
        Node::Symlink { target, .. } => Ok(to.symlink(name, target)?),
        Node::File { mode, mtime, .. } => {
            let mut content = content()?;
            let file = to.create_file(name)?;
            let mut sink = file.file();
            std::io::copy(&mut content, &mut sink).map_err(|e| to.error("write", name, e))?;
            file.set_mode(mode.bits())?;
            Ok(file.set_mtime(*mtime)?)
        }
        Node::Skipped(_) => Ok(()),
    }
}

/// A file with the content `digest` that some snapshot keeps, at its beginning; what is damaged is passed over.
///
/// # Errors
/// The state directory cannot be read.
pub fn kept_content(root: &Root, digest: Digest) -> Result<Option<File>, DiskError> {
    for info in snapshots(root)? {
        let Ok(snapshot) = Snapshot::open(root, &info.id) else {
            continue;
        };
        for (index, change) in snapshot.plan.body.changes.iter().enumerate() {
            let before = change.before.as_ref().map(|before| &before.node);
            let source = before
                .filter(|node| node.digest() == Some(digest))
                .and_then(|_| snapshot.source(index));
            if let Some(Source::Kept(dir, name)) = source
                && let Ok((file, _)) = dir.open_file(&name)
                && let Some(file) = content::if_it_is(file, digest)
            {
                return Ok(Some(file));
            }
        }
    }
    Ok(None)
}

/// The change that puts `version` at `path`; `None` if it stands there already.
fn change(root: &Root, path: &RelPath, version: &NewNode) -> Result<Option<Change>, RestoreError> {
    let now = now(root, path)?;
    let same = |now: &Node| now.same_content(&version.node);
    match &now {
        Some(now) if same(now) && now.mode() == version.node.mode() => return Ok(None),
        Some(now) if now.is_dir() != version.node.is_dir() => {
            return Err(RestoreError::InTheWay(path.clone()));
        }
        now if version.slot.is_none() && !now.as_ref().is_some_and(same) => {
            return Err(RestoreError::NoContent(path.clone()));
        }
        _ => {}
    }
    let stays = now.as_ref().is_some_and(same);
    Ok(Some(Change {
        path: path.clone(),
        old: now.map(|node| Expected::new(node, None)),
        new: Some(NewNode {
            node: version.node.clone(),
            slot: version.slot.filter(|_| !stays),
        }),
    }))
}

/// What stands at `path` now.
fn now(root: &Root, path: &RelPath) -> Result<Option<Node>, RestoreError> {
    let Some(stat) = root.stat(path)? else {
        return Ok(None);
    };
    Ok(Some(match stat.kind {
        FileKind::Dir => Node::Dir {
            mode: Mode::from(stat.mode),
        },
        FileKind::Symlink => Node::Symlink {
            target: root.read_link(path)?,
            mtime: stat.mtime,
        },
        FileKind::Special | FileKind::Mount => {
            return Err(RestoreError::InTheWay(path.clone()));
        }
        FileKind::File => {
            let (file, stat) = root.open_file(path)?;
            let failed = |e| DiskError::new("read", path.as_bytes().to_vec(), e);
            Node::File {
                size: stat.size,
                digest: content::hash(&file).map_err(failed)?,
                mode: Mode::from(stat.mode),
                mtime: stat.mtime,
            }
        }
    }))
}

fn is_dir(root: &Root, path: &RelPath) -> Result<bool, RestoreError> {
    match root.stat(path)? {
        None => Ok(false),
        Some(stat) if stat.kind == FileKind::Dir => Ok(true),
        Some(_) => Err(RestoreError::InTheWay(path.clone())),
    }
}

fn make_dir(path: RelPath, slot: u32) -> Change {
    let node = Node::Dir {
        mode: Mode::from(PARENT_MODE),
    };
    Change {
        path,
        old: None,
        new: Some(NewNode {
            node,
            slot: Some(slot),
        }),
    }
}

/// Opens the directory at `names` below `dir`, making what is missing; `None` for no names.
fn make_dirs(dir: &Dir, names: &[&[u8]]) -> Result<Option<Dir>, RestoreError> {
    let mut at: Option<Dir> = None;
    for name in names {
        let above = at.as_ref().unwrap_or(dir);
        match above.make_dir(name, PARENT_MODE) {
            Err(e) if !e.is_taken() => return Err(e.into()),
            _ => at = Some(above.open_dir(name)?),
        }
    }
    Ok(at)
}
