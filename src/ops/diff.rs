//! Text diffs of what a plan changes: the contents of both sides, fetched for the eye, written nowhere.

use std::io::Read;

use super::Failure;
use super::look::Look;
use crate::disk::DiskError;
use crate::model::{Kind, Node, RelPath};
use crate::plan::{Action, Direction, Plan, Source, Verb};
use crate::report::{diff, printable};

/// Longer files are named, not shown.
const LIMIT_BYTES: u64 = 1024 * 1024;

/// The diffs of what `plan` changes, of the paths in `only` or of all.
///
/// # Errors
/// The hub cannot be asked for its contents, or a file here cannot be read.
pub fn diffs(look: &Look<'_>, plan: &Plan, only: &[RelPath]) -> Result<String, Failure> {
    let chosen = |a: &&Action| only.is_empty() || only.iter().any(|p| a.path.is_at_or_below(p));
    let actions: Vec<_> = plan.actions.iter().filter(chosen).collect();
    let theirs = there(look, plan.direction, &actions)?;
    let each = actions.into_iter().zip(theirs);
    each.map(|(action, theirs)| one(look, plan.direction, action, theirs.as_deref()))
        .collect()
}

/// The hub's content of each action, where it is small enough to be shown.
fn there(
    look: &Look<'_>,
    direction: Direction,
    actions: &[&Action],
) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let wanted = |action: &&Action| match direction {
        Direction::Pull => matches!(action.source, Source::Theirs(_)) && shown(action.new.as_ref()),
        Direction::Push => shown(action.old.as_ref()),
    };
    let path = |action: &&Action| match (&action.source, direction) {
        (Source::Theirs(from), Direction::Pull) => from.clone(),
        _ => action.path.clone(),
    };
    let paths: Vec<_> = actions.iter().filter(|a| wanted(a)).map(path).collect();
    let mut contents = look
        .client
        .contents(&paths, usize::try_from(LIMIT_BYTES).unwrap_or(usize::MAX))?
        .into_iter();
    Ok(actions
        .iter()
        .map(|a| {
            if wanted(a) {
                contents.next().flatten()
            } else {
                None
            }
        })
        .collect())
}

fn shown(node: Option<&Node>) -> bool {
    node.is_some_and(|n| n.kind() == Kind::File && n.size() <= LIMIT_BYTES)
}

fn one(
    look: &Look<'_>,
    direction: Direction,
    action: &Action,
    hub: Option<&[u8]>,
) -> Result<String, Failure> {
    let name = printable::path(&action.path);
    let nodes = [action.old.as_ref(), action.new.as_ref()];
    if nodes.iter().flatten().any(|n| n.kind() != Kind::File) {
        return Ok(format!("{} {name}\n", action.verb.name()));
    }
    if nodes.iter().flatten().any(|n| n.size() > LIMIT_BYTES) {
        let sizes = nodes.map(|n| n.map_or(0, Node::size));
        return Ok(format!(
            "{} {name} ({} → {} bytes, too long to show)\n",
            action.verb.name(),
            sizes[0],
            sizes[1]
        ));
    }
    if action.verb == Verb::Meta {
        let mode = |n: Option<&Node>| n.and_then(Node::mode).map_or(0, crate::model::Mode::bits);
        return Ok(format!(
            "permissions of {name}: {:03o} → {:03o}\n",
            mode(nodes[0]),
            mode(nodes[1])
        ));
    }
    let path = match &action.source {
        Source::Theirs(from) | Source::Ours(from) => from,
        Source::Nothing => &action.path,
    };
    let (old, new) = match direction {
        Direction::Pull if matches!(action.source, Source::Ours(_)) => {
            (here(look, &action.path)?, here(look, path)?)
        }
        Direction::Pull => (here(look, &action.path)?, hub.map(<[u8]>::to_vec)),
        Direction::Push => (hub.map(<[u8]>::to_vec), here(look, path)?),
    };
    let (old, new) = match action.verb {
        Verb::Create => (Vec::new(), new.unwrap_or_default()),
        Verb::Delete => (old.unwrap_or_default(), Vec::new()),
        Verb::Update | Verb::Meta => (old.unwrap_or_default(), new.unwrap_or_default()),
    };
    Ok(diff::unified(&action.path, &old, &new))
}

/// The content of a file here; `None` if none is there by now.
fn here(look: &Look<'_>, path: &RelPath) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match look.local.root.open_file(path) {
        Ok((file, _)) => file,
        Err(e) if e.is_no_directory() => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut content = Vec::new();
    let read = file.take(LIMIT_BYTES + 1).read_to_end(&mut content);
    read.map_err(|e| DiskError::new("read", path.as_bytes().to_vec(), e))?;
    Ok(Some(content))
}
