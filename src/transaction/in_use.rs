//! Files that a program has open for writing or mapped, and databases that one has open at all: they stay where they are.
//!
//! What the system does not show is not known, see [`crate::disk::users`].

use std::collections::{HashMap, HashSet};

use crate::disk::{Dir, FileKind, Root, Use, User, lasting_users, read_some, users};
use crate::model::database::{self, HEAD_BYTES, main_of, sidecars};
use crate::model::{Node, RelPath};

use super::Change;
use super::displaced::displaced;
use super::error::CommitError;
use super::journal::{Action, Plan};
use super::work::Work;

/// A path that stays as it is, because a program uses what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// Which; of a database in use also each name beside it, whether anything stands there or not.
    pub path: RelPath,
    /// The name of the program.
    pub program: String,
    /// Its process id; 0 if it is one of another pid namespace.
    pub pid: u32,
    /// Whether it is a database or belongs to one.
    pub is_database: bool,
}

/// Which files have users, at one moment.
#[derive(Debug, Default)]
pub struct Programs {
    found: HashMap<u64, User>,
}

impl Programs {
    /// Looks who uses the files with these inodes.
    #[must_use]
    pub fn at_work(root: &Root, inodes: &HashSet<u64>) -> Self {
        let found = lasting_users(root.top(), inodes);
        Self { found }
    }

    /// The paths that must stay, in path order, given paths of files and their inodes.
    pub fn held<'a>(
        &self,
        root: &Root,
        files: impl IntoIterator<Item = (&'a RelPath, u64)>,
    ) -> Vec<InUse> {
        let mut held = Vec::new();
        for (path, ino) in files {
            let Some(user) = self.found.get(&ino) else {
                continue;
            };
            let main = database_of(root, path);
            let in_use = |path: RelPath| InUse {
                path,
                program: user.program.clone(),
                pid: user.pid,
                is_database: main.is_some(),
            };
            match &main {
                Some(main) => held.extend(group(main).map(in_use)),
                None if user.does == Use::Writes => held.push(in_use(path.clone())),
                None => {}
            }
        }
        held.sort_by(|a, b| a.path.cmp(&b.path));
        held.dedup_by(|a, b| a.path == b.path);
        held
    }
}

/// A database and all names that would belong to it.
fn group(main: &RelPath) -> impl Iterator<Item = RelPath> + '_ {
    std::iter::once(main.clone()).chain(sidecars(main))
}

/// The database that `path` is or belongs to, if it does.
#[must_use]
pub fn database_of(root: &Root, path: &RelPath) -> Option<RelPath> {
    let main = main_of(path).map(|(main, _)| main);
    let main = main.filter(|main| is_database(root, main));
    main.or_else(|| is_database(root, path).then(|| path.clone()))
}

/// Whether a database stands at `path`. One that is encrypted is known by its log alone.
#[must_use]
pub fn is_database(root: &Root, path: &RelPath) -> bool {
    let begins = |path: &RelPath, with: fn(&[u8]) -> bool| {
        let parent = root.parent(path).ok();
        parent.is_some_and(|parent| with(&head(&parent, path.name())))
    };
    let has_log = || sidecars(path).any(|log| begins(&log, database::is_wal));
    begins(path, database::is_database) || stands(root, path).is_some() && has_log()
}

/// The first bytes of a file; none if it cannot be read.
fn head(dir: &Dir, name: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEAD_BYTES];
    let read = dir.open_file(name).ok();
    let read = read.and_then(|(mut file, _)| read_some(&mut file, &mut bytes).ok());
    bytes.truncate(read.unwrap_or(0));
    bytes
}

/// The inode of the file at `path`.
fn stands(root: &Root, path: &RelPath) -> Option<u64> {
    let stat = root.stat(path).ok().flatten();
    Some(stat.filter(|stat| stat.kind == FileKind::File)?.ino)
}

/// Those among `paths` that must stay, given the inodes of the files that stand there. What comes where nothing stands must
/// not come beside a database in use either.
fn held<'a>(root: &Root, paths: impl Iterator<Item = (&'a RelPath, Option<u64>)>) -> Vec<InUse> {
    let mut files = Vec::new();
    let mut changed = HashSet::new();
    for (path, ino) in paths {
        let main = main_of(path).map(|(main, _)| main);
        let main = main.and_then(|main| stands(root, &main).map(|ino| (main, ino)));
        let own = ino.map(|ino| (path.clone(), ino));
        if main.is_some() || own.is_some() {
            changed.insert(path.clone());
        }
        files.extend(own.into_iter().chain(main));
    }
    let inodes = files.iter().map(|(_, ino)| *ino).collect();
    let programs = Programs::at_work(root, &inodes);
    let mut held = programs.held(root, files.iter().map(|(path, ino)| (path, *ino)));
    held.retain(|in_use| changed.contains(&in_use.path));
    held
}

/// Takes the changes out that would take a file from a program, and what was to come below such a file; gives what stays.
pub fn leave_used(root: &Root, changes: &mut Vec<Change>) -> Vec<InUse> {
    let held = held_among(root, changes.iter());
    if !held.is_empty() {
        let stays = |path: &RelPath| held.iter().any(|h| path.is_at_or_below(&h.path));
        changes.retain(|change| !stays(&change.path));
    }
    held
}

/// The paths of `changes` that must stay.
pub(super) fn held_among<'a>(root: &Root, changes: impl Iterator<Item = &'a Change>) -> Vec<InUse> {
    let moved = changes.filter(|change| moves(change));
    held(
        root,
        moved.map(|change| (&change.path, old_file(root, change))),
    )
}

/// Whether a change puts something at its path, or takes something away.
fn moves(change: &Change) -> bool {
    change.new.as_ref().is_none_or(|new| new.slot.is_some())
}

fn old_file(root: &Root, change: &Change) -> Option<u64> {
    let old = &change.old.as_ref()?.node;
    matches!(old, Node::File { .. }).then(|| stands(root, &change.path))?
}

/// Refuses a plan that would take a file from a program.
///
/// # Errors
/// [`CommitError::InUse`].
pub(super) fn check(root: &Root, plan: &Plan) -> Result<(), CommitError> {
    let moves = |action: &Action| !matches!(action, Action::Mode { .. });
    let steps = plan.body.steps.iter().filter(|step| moves(&step.action));
    let changes = steps.filter_map(|step| plan.change(step));
    let paths = changes.map(|change| {
        let before = change.before.as_ref().map(|before| &before.stat);
        let file = before.filter(|stat| stat.kind == FileKind::File);
        (&change.path, file.map(|stat| stat.ino))
    });
    refuse(held(root, paths))
}

/// The same after the moves: a program may have opened a file right before its own.
///
/// # Errors
/// [`CommitError::InUse`].
pub(super) fn check_displaced(work: &Work<'_>, kept: &[u32]) -> Result<(), CommitError> {
    let mut inodes = HashSet::new();
    let mut objects = Vec::new();
    for object in displaced(work, kept) {
        if let Some(stat) = object.stat()?.filter(|stat| stat.kind == FileKind::File) {
            inodes.insert(stat.ino);
            objects.push((object, stat.ino));
        }
    }
    let found = users(work.root.top(), &inodes);
    let mut held = Vec::new();
    for (object, ino) in &objects {
        let Some(user) = found.get(ino) else {
            continue;
        };
        let is_database = database::is_database(&head(object.dir, &object.name));
        if is_database || user.does == Use::Writes {
            held.push(InUse {
                path: object.change.path.clone(),
                program: user.program.clone(),
                pid: user.pid,
                is_database,
            });
        }
    }
    refuse(held)
}

fn refuse(held: Vec<InUse>) -> Result<(), CommitError> {
    match held.is_empty() {
        true => Ok(()),
        false => Err(CommitError::InUse { held }),
    }
}

impl InUse {
    /// `python3 (pid 4242)`.
    #[must_use]
    pub fn user(&self) -> String {
        user_words(&self.program, self.pid)
    }
}

/// `python3 (pid 4242)`.
#[must_use]
pub fn user_words(program: &str, pid: u32) -> String {
    match pid {
        0 => program.to_owned(),
        pid => format!("{program} (pid {pid})"),
    }
}
