//! Verbs that ask no hub: what is in scope, and settling an interrupted sync.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::Failure;
use super::look::World;
use crate::disk::{Holder, Lock};
use crate::endpoint::local::{Local, check_spent};
use crate::filter::{Rules, Work};
use crate::model::Entry;
use crate::scan;

/// What is in scope below a directory.
pub struct Listing {
    /// The entries in path order, none of them skipped.
    pub entries: Vec<Entry>,
    /// What was passed over and why.
    pub problems: Vec<String>,
}

/// Lists what is in scope below `path`. No content is read.
///
/// # Errors
/// The directory cannot be read.
pub fn list(path: &Path, rules: &Rules, interrupted: &AtomicBool) -> Result<Listing, Failure> {
    let (local, work) = (Local::open(path)?, Work::default());
    let found = scan::names(
        &local.root,
        &|path, is_dir| rules.excludes(path.as_bytes(), is_dir, &work),
        interrupted,
    )?;
    check_spent(&work)?;
    let problem = |p: &crate::protocol::message::Problem| {
        format!(
            "{} is passed over ({:?} {})",
            p.path.escape_ascii(),
            p.skip,
            p.detail
        )
    };
    let worth_a_word = found.problems.iter().filter(|p| !p.is_nested_state());
    let problems = worth_a_word.map(problem).collect();
    let entries = found.tree.entries();
    let entries = entries.filter(|e| !e.node.is_skipped()).cloned().collect();
    Ok(Listing { entries, problems })
}

/// Finishes or undoes an interrupted sync; says what it did, nothing if there was nothing to do.
///
/// # Errors
/// The root is busy, or the transaction cannot be settled.
pub fn recover(world: &World<'_>) -> Result<Option<String>, Failure> {
    let local = Local::open(&world.project.path)?;
    if local.state.is_none() {
        return Ok(None);
    }
    Ok(take_over(world, &local, "recover")?.1)
}

/// Locks the root for `verb` and settles what an interrupted run left; says what that was.
///
/// # Errors
/// The root is busy, or the transaction cannot be settled.
pub(super) fn take_over(
    world: &World<'_>,
    local: &Local,
    verb: &str,
) -> Result<(Lock, Option<String>), Failure> {
    let holder = Holder {
        pid: std::process::id(),
        machine: world.project.machine(world.environment),
        verb: verb.to_owned(),
        since: world.now_secs(),
    };
    let lock = local.lock(&holder)?;
    let recovered = local.recover(&lock, holder.since)?;
    Ok((lock, recovered))
}
