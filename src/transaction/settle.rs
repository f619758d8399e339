//! After an undo: looks at every object that is left in `new/` and `old/`, and puts into the tree what
//! is not proven to be ours. Only then may the rest be discarded.

use crate::disk::{Dir, DiskError, FileKind, Identity, Root};
use crate::model::{Node, RelPath};

use super::content;
use super::error::{Attention, Why};
use super::journal::{Action, PREPARED, Planned, Staged, Step, TxnId, old_name};
use super::place::{pin_name, place};
use super::work::{Touched, Work};

/// No file system in use allows a longer name, see `model::path`.
const MAX_NAME_BYTES: usize = crate::model::path::MAX_COMPONENT_BYTES;
const COPY_ATTEMPTS: u32 = 1000;

/// Judges what a step has left aside.
pub(super) fn settle(
    work: &Work<'_>,
    step: &Step,
    touched: &mut Touched,
    attention: &mut Vec<Attention>,
) -> Result<(), DiskError> {
    let Some(change) = work.plan.change(step) else {
        return Ok(());
    };
    let Some((dir, name)) = left_by(work, step, change) else {
        return Ok(());
    };
    for name in [pin_name(&name), name] {
        if let Some(why) = verdict(work, change, dir, &name, step.action)? {
            let copy = put_aside(work, change, (dir, &name), why, touched)?;
            attention.push(Attention {
                path: change.path.clone(),
                why,
                copy: Some(copy),
            });
        }
    }
    Ok(())
}

/// Removes a directory that a step has left aside and that was judged to be of no use. A look that finds it empty is not
/// enough: a program may have been on its way into it when it was moved. A removal decides in one step: who came before
/// keeps it, who comes after finds none.
pub(super) fn remove_dir(
    work: &Work<'_>,
    step: &Step,
    touched: &mut Touched,
    attention: &mut Vec<Attention>,
) -> Result<(), DiskError> {
    let Some(change) = work.plan.change(step) else {
        return Ok(());
    };
    let Some((dir, name)) = left_by(work, step, change) else {
        return Ok(());
    };
    if dir
        .stat(&name)?
        .is_none_or(|stat| stat.kind != FileKind::Dir)
    {
        return Ok(());
    }
    match dir.remove_dir(&name) {
        Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty || e.is_taken() => {
            let why = Why::NewerKept;
            let copy = put_aside(work, change, (dir, &name), why, touched)?;
            attention.push(Attention {
                path: change.path.clone(),
                why,
                copy: Some(copy),
            });
            Ok(())
        }
        other => other,
    }
}

/// Where a step leaves an object aside, and under which name.
fn left_by<'a>(work: &Work<'a>, step: &Step, change: &Planned) -> Option<(&'a Dir, Vec<u8>)> {
    match step.action {
        Action::Mode { .. } => None,
        Action::Displace => Some((work.old, old_name(step.change))),
        Action::Place | Action::Exchange | Action::Carried | Action::Rename { .. } => {
            change.staged().map(|(_, name)| (work.new, name))
        }
    }
}

/// Why the object must not be discarded; `None` if it may be, or is not there.
fn verdict(
    work: &Work<'_>,
    change: &Planned,
    dir: &Dir,
    name: &[u8],
    action: Action,
) -> Result<Option<Why>, DiskError> {
    let Some(stat) = dir.stat(name)? else {
        return Ok(None);
    };
    let staged = change.staged().filter(|_| action != Action::Displace);
    if let (Some((staged, _)), Some(after)) = (staged, &change.after) {
        let identity = dir.identity(name)?;
        if identity.is_some_and(|i| i.is(&staged.identity)) {
            // What was written into a file that was to be renamed is under its old name, which came back before.
            let has_old_name = matches!(action, Action::Rename { .. }) && stat.nlink > 1;
            let ours = has_old_name || is_untouched(work, dir, name, &staged, &after.node)?;
            return Ok((!ours).then_some(Why::NewerKept));
        }
    }
    // An empty directory whose name is a directory again, or was to become one, has nothing to give.
    let is_of_dirs = change.was_dir() || change.will_be_dir();
    if is_of_dirs && stat.kind == FileKind::Dir && dir.open_dir(name)?.is_empty()? {
        return Ok(None);
    }
    let is_old = change
        .before
        .as_ref()
        .is_some_and(|before| stat.same_object(&before.stat));
    Ok(Some(if is_old { Why::OldKept } else { Why::NewerKept }))
}

/// Whether a staged object still has the content it was staged with. A program that had it open, or
/// opened it while it was in the tree, may have written into it.
fn is_untouched(
    work: &Work<'_>,
    dir: &Dir,
    name: &[u8],
    staged: &Staged,
    node: &Node,
) -> Result<bool, DiskError> {
    // The clock of a ctime is the kernel's; a move or an edit would have moved it. Moves begin after PREPARED; where the
    // clock has not ticked between staging and that, it need not have ticked until the edit either.
    let has_ticked = work
        .home
        .stat(PREPARED)?
        .is_some_and(|marker| staged.identity.ctime < marker.mtime);
    let same = |identity: Identity| identity.ctime == staged.identity.ctime;
    if has_ticked && dir.identity(name)?.is_some_and(same) {
        return Ok(true);
    }
    match content::still_has_content(dir, name, node) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            // Its permission bits forbid even its owner to read; it is ours and not in the tree.
            dir.set_mode(name, 0o600)?;
            content::still_has_content(dir, name, node)
        }
        other => other,
    }
}

/// Moves the object into the tree beside the path it belongs to, under a name that says what it is.
pub(super) fn put_aside(
    work: &Work<'_>,
    change: &Planned,
    (dir, name): (&Dir, &[u8]),
    why: Why,
    touched: &mut Touched,
) -> Result<RelPath, DiskError> {
    for attempt in 1..=COPY_ATTEMPTS {
        let (copy, parent) = copy_path(work, change, why, attempt)?;
        match place(dir, name, &parent, copy.name()) {
            Ok(()) => {
                touched.add(&copy, &parent);
                return Ok(copy);
            }
            Err(e) if e.is_taken() => {}
            Err(e) => return Err(e),
        }
    }
    let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    Err(work
        .root
        .top()
        .error("put aside", change.path.as_bytes(), taken))
}

/// `name.rsyn-old-<id>` or `name.rsyn-kept-<id>` in the nearest directory that is still there.
fn copy_path(
    work: &Work<'_>,
    change: &Planned,
    why: Why,
    attempt: u32,
) -> Result<(RelPath, std::sync::Arc<Dir>), DiskError> {
    let word = if why == Why::OldKept { "old" } else { "kept" };
    let name = name_beside(&change.path, (word, &work.plan.head.id), attempt);
    let mut holder = change.path.parent();
    while let Some(dir) = holder {
        if let (Some(parent), Ok(copy)) = (open(work, &dir)?, dir.join(&name)) {
            return Ok((copy, parent));
        }
        holder = dir.parent();
    }
    let copy = RelPath::new(name).map_err(|e| {
        work.root.top().error(
            "put aside",
            change.path.as_bytes(),
            std::io::Error::other(e),
        )
    })?;
    Ok((copy, std::sync::Arc::clone(work.root.top())))
}

/// The name of `path` with an end that says what it is, of which transaction.
fn name_beside(path: &RelPath, (word, id): (&str, &TxnId), attempt: u32) -> Vec<u8> {
    let mut suffix = format!(".rsyn-{word}-{}", &id.as_str()[..8]);
    if attempt > 1 {
        suffix.push_str(&format!("-{attempt}"));
    }
    let stem = path.name();
    let stem = &stem[..stem.len().min(MAX_NAME_BYTES - suffix.len())];
    [stem, suffix.as_bytes()].concat()
}

/// A path beside `path` where nothing stands, with an end that says what it is, of which transaction.
///
/// # Errors
/// The tree cannot be read, or no such path is free.
pub(super) fn beside(
    root: &Root,
    path: &RelPath,
    word: &str,
    id: &TxnId,
) -> Result<RelPath, DiskError> {
    for attempt in 1..=COPY_ATTEMPTS {
        let name = name_beside(path, (word, id), attempt);
        let beside = match path.parent() {
            Some(parent) => parent.join(&name),
            None => RelPath::new(name),
        };
        let failed = |e| {
            root.top()
                .error("name a copy of", path.as_bytes(), std::io::Error::other(e))
        };
        let beside = beside.map_err(failed)?;
        if root.stat(&beside)?.is_none() {
            return Ok(beside);
        }
    }
    let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    Err(root.top().error("name a copy of", path.as_bytes(), taken))
}

fn open(work: &Work<'_>, dir: &RelPath) -> Result<Option<std::sync::Arc<Dir>>, DiskError> {
    match work.root.dir(dir) {
        Ok(dir) => Ok(Some(dir)),
        Err(e) if e.is_no_directory() => Ok(None),
        Err(e) => Err(e),
    }
}
