//! Compares every precondition with the live tree, and turns changes into planned ones.
//!
//! Runs under the lock, right before the plan is written. It is an early stop and takes down what each
//! object looks like; what protects the user's data is the look at each displaced object later.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;

use crate::disk::{Dir, DiskError, FileKind, Root, Stat, asked};
use crate::model::{Mode, Node, RelPath};

use super::crowded::{crowded, makes_room};
use super::error::{CommitError, StageError};
use super::journal::{After, Before, Planned};
use super::stage::Object;
use super::{Change, Expected, NewNode, content, order};

/// Checks the changes among themselves, against the staged objects and against the tree.
///
/// # Errors
/// [`CommitError::Stale`] with every path that is not as expected; [`CommitError::Invalid`];
/// a parent that cannot be written.
pub(super) fn check(
    root: &Root,
    mut changes: Vec<Change>,
    objects: &HashMap<u32, Object>,
) -> Result<Vec<Planned>, CommitError> {
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    check_shape(&changes)?;
    let mut stale = in_the_way(root, &changes)?;
    let mut taken = Vec::new();
    let mut planned = Vec::with_capacity(changes.len());
    let mut made = Vec::new();
    for change in changes {
        let after = change
            .new
            .map(|new| after(&change.path, new, objects))
            .transpose()?;
        drop_above(&mut made, &change.path);
        let before = match look(root, &change.path, change.old.as_deref(), made.last())? {
            Look::AsExpected(before) => before,
            Look::Taken(stat) => {
                taken.push((change.path.clone(), stat));
                None
            }
            Look::Otherwise => {
                stale.push(change.path);
                continue;
            }
        };
        let change = normal(Planned {
            path: change.path,
            before: before.map(Box::new),
            after,
        })?;
        if is_made(&change) {
            made.push(change.path.clone());
        }
        planned.push(change);
    }
    if !taken.is_empty() {
        let goes = planned.iter().filter(|change| change.after.is_none());
        let going: HashSet<_> = goes
            .filter_map(|c| Some(object(&c.before.as_ref()?.stat)))
            .collect();
        stale.extend(blocked(taken, &going));
    }
    if !stale.is_empty() {
        return Err(CommitError::Stale { paths: stale });
    }
    let opened = parents_to_open(root, &planned)?;
    if !opened.is_empty() {
        planned.extend(opened);
        planned.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(planned)
}

/// The paths among `changes`, which are in the order of their paths, that are not as expected now.
pub(super) fn stale(root: &Root, changes: &[Change]) -> Result<Vec<RelPath>, DiskError> {
    let mut stale = Vec::new();
    let mut taken = Vec::new();
    let mut made: Vec<RelPath> = Vec::new();
    for Change { path, old, new } in changes {
        drop_above(&mut made, path);
        match look(root, path, old.as_deref(), made.last())? {
            Look::AsExpected(_) => {}
            Look::Otherwise => stale.push(path.clone()),
            Look::Taken(stat) => taken.push((path.clone(), stat)),
        }
        let dir = |node: Option<&Node>| node.is_some_and(Node::is_dir);
        let was_dir = dir(old.as_ref().map(|old| &old.node));
        if !was_dir && dir(new.as_ref().map(|new| &new.node)) {
            made.push(path.clone());
        }
    }
    if !taken.is_empty() {
        stale.extend(blocked(taken, &going(root, changes)?));
        stale.sort();
    }
    Ok(stale)
}

/// Those of the paths where something stands in the way that is not `going`. A disk that takes two names for one shows what
/// goes under the name of what comes, too; that it is gone by then, the move into place finds.
fn blocked(
    taken: Vec<(RelPath, Stat)>,
    going: &HashSet<(u64, u64)>,
) -> impl Iterator<Item = RelPath> {
    let stays = |(path, stat): (RelPath, Stat)| (!going.contains(&object(&stat))).then_some(path);
    taken.into_iter().filter_map(stays)
}

fn object(stat: &Stat) -> (u64, u64) {
    (stat.dev, stat.ino)
}

/// The objects that go with `changes`.
fn going(root: &Root, changes: &[Change]) -> Result<HashSet<(u64, u64)>, DiskError> {
    let mut objects = HashSet::new();
    for Change { path, .. } in changes.iter().filter(|change| change.new.is_none()) {
        objects.extend(root.stat(path)?.map(|stat| object(&stat)));
    }
    Ok(objects)
}

/// What is inside directories that shall make room, and is not planned to go. Known here, nothing is moved and back.
fn in_the_way(root: &Root, changes: &[Change]) -> Result<Vec<RelPath>, DiskError> {
    match changes.iter().any(makes_room) {
        true => Ok(crowded(root, changes)?.in_the_way),
        false => Ok(Vec::new()),
    }
}

/// What a look at a path found.
enum Look {
    AsExpected(Option<Before>),
    Otherwise,
    /// Something stands where nothing should.
    Taken(Stat),
}

/// `made` is the directory above `path` that this transaction makes, if there is one: nothing can
/// stand below it now.
fn look(
    root: &Root,
    path: &RelPath,
    old: Option<&Expected>,
    made: Option<&RelPath>,
) -> Result<Look, DiskError> {
    if made.is_some() {
        return Ok(if old.is_none() {
            Look::AsExpected(None)
        } else {
            Look::Otherwise
        });
    }
    let parent = match root.parent(path) {
        Ok(parent) => parent,
        Err(e) if e.is_no_directory() => return Ok(Look::Otherwise),
        Err(e) => return Err(e),
    };
    let stat = match parent.stat(path.name()) {
        // Its directory is opened up for what comes; should something stand there all the same, that move finds it.
        Err(e) if e.kind() == ErrorKind::PermissionDenied && old.is_none() => None,
        stat => stat?,
    };
    match (old, stat) {
        (None, None) => Ok(Look::AsExpected(None)),
        (Some(old), Some(stat)) => match matching(root, &parent, (path, old), stat)? {
            Some(stat) => Ok(Look::AsExpected(Some(Before {
                node: old.node.clone(),
                stat,
            }))),
            None => Ok(Look::Otherwise),
        },
        (None, Some(stat)) => Ok(Look::Taken(stat)),
        (Some(_), None) => Ok(Look::Otherwise),
    }
}

/// The stat of the object if it is what was expected.
fn matching(
    root: &Root,
    parent: &Dir,
    (path, old): (&RelPath, &Expected),
    stat: Stat,
) -> Result<Option<Stat>, DiskError> {
    if old.seen.is_some_and(|seen| stat.untouched_since(&seen)) {
        return Ok(Some(stat));
    }
    let mode_fits = old.node.mode().is_none_or(|mode| mode.bits() == stat.mode);
    if !(mode_fits || has_no_modes(root)) || !same_kind(&old.node, &stat) {
        return Ok(None);
    }
    if old.node.is_dir() {
        return Ok(Some(stat));
    }
    let same = content::still_has_content(parent, path.name(), &old.node)?;
    // RACE: an edit while the content was read shows here or when the object is displaced.
    let again = parent.stat(path.name())?;
    Ok(again.filter(|again| same && again.untouched_since(&stat)))
}

/// Whether the disk keeps no permission bits, so that none can be other than expected.
fn has_no_modes(root: &Root) -> bool {
    !asked::keeps_modes(root)
}

fn same_kind(node: &Node, stat: &Stat) -> bool {
    matches!(
        (node, stat.kind),
        (Node::File { .. }, FileKind::File)
            | (Node::Dir { .. }, FileKind::Dir)
            | (Node::Symlink { .. }, FileKind::Symlink)
    )
}

/// The planned state, with the staged object that carries it.
fn after(
    path: &RelPath,
    new: NewNode,
    objects: &HashMap<u32, Object>,
) -> Result<After, CommitError> {
    let Some(slot) = new.slot else {
        return Ok(After {
            node: new.node,
            staged: None,
        });
    };
    let object = objects.get(&slot).ok_or(StageError::NoObject(slot))?;
    if object.node != new.node {
        let why = "the staged object is another one";
        return Err(CommitError::Invalid {
            path: path.clone(),
            why,
        });
    }
    Ok(After {
        node: new.node,
        staged: Some(object.staged),
    })
}

/// A directory that stays a directory is never replaced; everything else that comes needs an object.
fn normal(mut change: Planned) -> Result<Planned, CommitError> {
    let invalid = |why| CommitError::Invalid {
        path: change.path.clone(),
        why,
    };
    if let Some(after) = &mut change.after {
        let old = change.before.as_ref().map(|before| &before.node);
        if old.is_some_and(Node::is_dir) && after.node.is_dir() {
            after.staged = None;
        } else if after.staged.is_none() && !old.is_some_and(|old| old.same_content(&after.node)) {
            return Err(invalid("its new content was not staged"));
        }
    }
    Ok(change)
}

fn is_made(change: &Planned) -> bool {
    let was_dir = change
        .before
        .as_ref()
        .is_some_and(|before| before.node.is_dir());
    !was_dir
        && change
            .after
            .as_ref()
            .is_some_and(|after| after.node.is_dir())
}

/// Pure: each path once, nothing skipped, and nothing comes below what is no directory afterwards.
fn check_shape(changes: &[Change]) -> Result<(), CommitError> {
    let mut closed: Vec<RelPath> = Vec::new();
    let mut made: Vec<RelPath> = Vec::new();
    let mut last: Option<&RelPath> = None;
    for Change { path, old, new } in changes {
        let fail = |why| {
            Err(CommitError::Invalid {
                path: path.clone(),
                why,
            })
        };
        if last.replace(path) == Some(path) {
            return fail("it is there twice");
        }
        let nodes = [
            old.as_ref().map(|old| &old.node),
            new.as_ref().map(|new| &new.node),
        ];
        if nodes.iter().flatten().any(|node| node.is_skipped()) {
            return fail("it is never touched");
        }
        drop_above(&mut closed, path);
        drop_above(&mut made, path);
        let [was, will] = nodes;
        if will.is_some() && !closed.is_empty() {
            return fail("there is no directory to hold it");
        }
        if made
            .last()
            .is_some_and(|dir| path.parent().as_ref() != Some(dir))
        {
            return fail("the directory that holds it is not planned");
        }
        match will {
            Some(Node::Dir { .. }) if !was.is_some_and(Node::is_dir) => made.push(path.clone()),
            Some(Node::Dir { .. }) => {}
            _ => closed.push(path.clone()),
        }
    }
    Ok(())
}

/// Keeps of a stack of directories those that `path` is below of.
fn drop_above(stack: &mut Vec<RelPath>, path: &RelPath) {
    while stack.last().is_some_and(|dir| !path.is_below(dir)) {
        stack.pop();
    }
}

/// Every directory that gets or loses a name must permit it; better known before anything moves. Gives changes, which change
/// nothing in the end, for those that have to be opened up for it.
fn parents_to_open(root: &Root, planned: &[Planned]) -> Result<Vec<Planned>, CommitError> {
    let mut opened = Vec::new();
    let mut dirs: Vec<(RelPath, bool)> = Vec::new();
    let mut checked: Option<Option<RelPath>> = None;
    for change in planned {
        while dirs
            .last()
            .is_some_and(|(dir, _)| !change.path.is_below(dir))
        {
            dirs.pop();
        }
        let parent = change.path.parent();
        let ours = dirs
            .last()
            .is_some_and(|(dir, opened)| *opened && parent.as_ref() == Some(dir));
        if moves(change) && !ours && checked.as_ref() != Some(&parent) {
            opened.extend(check_parent(root, parent.as_ref())?);
            checked = Some(parent);
        }
        dirs.push((
            change.path.clone(),
            is_made(change) || order::is_opened(change),
        ));
    }
    opened.sort_by(|a: &Planned, b| a.path.cmp(&b.path));
    opened.dedup_by(|a, b| a.path == b.path);
    Ok(opened)
}

fn check_parent(root: &Root, parent: Option<&RelPath>) -> Result<Option<Planned>, DiskError> {
    let Some(parent) = parent else {
        return root.top().check_writable().map(|()| None);
    };
    match root.dir(parent)?.check_writable() {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            let opening = root.stat(parent)?.and_then(|stat| opening(parent, stat));
            opening.map(Some).ok_or(e)
        }
        writable => writable.map(|()| None),
    }
}

/// A change that leaves a directory as it is, which has it opened up; `None` if its owner lacks no bit.
fn opening(path: &RelPath, stat: Stat) -> Option<Planned> {
    let node = Node::Dir {
        mode: Mode::from(stat.mode),
    };
    order::needs_opening(stat.mode).then(|| Planned {
        path: path.clone(),
        before: Some(Box::new(Before {
            node: node.clone(),
            stat,
        })),
        after: Some(After { node, staged: None }),
    })
}

/// Whether the change adds, removes or replaces a name.
fn moves(change: &Planned) -> bool {
    match (&change.before, &change.after) {
        (Some(_), Some(after)) => after.staged.is_some(),
        _ => true,
    }
}
