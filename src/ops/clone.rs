//! Clone: a new machine in one step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::connect::{Hub, Reach};
use super::look::{World, is_at};
use super::project::{Environment, Project, Settings};
use super::sync::{Report, Request};
use super::talk::Talk;
use super::{Failure, FailureKind, sync};
use crate::disk::{Root, Site, Vacancy, durable};
use crate::plan::Direction;
use crate::state::State;
use crate::state::layout::STATE_DIR;
use crate::transaction;

/// In the state directory as long as a clone is not finished: the remote that it is made from.
const UNFINISHED: &[u8] = b"unfinished-clone";
/// In the state directory once a root agreed with a hub.
const PEERS: &[u8] = b"peers";
/// A remote is not longer, in bytes.
const REMOTE_BYTES: u64 = 64 * 1024;

/// Makes a directory (`dir`, or the last name of the remote's path), pulls everything into it and leaves it
/// ready for `pull` and `push`.
///
/// # Errors
/// The directory is there and not empty, or the pull failed; a directory made here is then removed again, unless
/// content has arrived: then the same clone goes on with it.
pub fn clone(
    environment: &Environment,
    talk: &dyn Talk,
    interrupted: &Arc<AtomicBool>,
    clock: fn() -> i64,
    reach: &Reach,
    dir: Option<&Path>,
) -> Result<(PathBuf, Report), Failure> {
    let bases = [environment.standing()];
    let hub = Hub::find(&Settings::default(), reach, |path| is_at(&bases, path))?;
    let path = environment.standing().join(match dir {
        Some(dir) => dir.to_owned(),
        None => last_name(&hub)?,
    });
    let (root, made) = match Site::find(&path)? {
        Site::There(root)
            if !root.top().is_empty()?
                && !is_unfinished(&root, &remote_text(environment, &hub))? =>
        {
            let shown = path.display().to_string().escape_debug().to_string();
            return Err(Failure::usage(
                format!("{shown} is there and not empty"),
                "name another directory",
            ));
        }
        Site::There(root) => (root, None),
        Site::Free(vacancy) => (vacancy.make(0o777)?, Some(vacancy)),
    };
    let outcome = pull_all(
        environment,
        talk,
        interrupted,
        clock,
        reach,
        &path,
        &hub,
        &root,
    );
    match outcome {
        Ok(report) => Ok((path, report)),
        Err(failure) if transaction::remains(&root).is_ok_and(|r| !r.is_empty()) => {
            Err(failure.hint("run it again: it goes on with what has arrived"))
        }
        // Another clone may be at work there.
        Err(failure) if failure.kind == FailureKind::Busy => Err(failure),
        // An interrupted one that could not go on: its journal is needed.
        Err(failure) if !holds_state_alone(&root).unwrap_or(false) => Err(failure),
        Err(failure) => {
            remove_traces(&root, made.as_ref());
            Err(failure)
        }
    }
}

/// Whether a clone from `remote` was interrupted there: it is not finished, or was not even noted.
fn is_unfinished(root: &Root, remote: &str) -> Result<bool, Failure> {
    if root.top().stat(STATE_DIR)?.is_none() {
        return Ok(false);
    }
    let state = root.top().open_dir(STATE_DIR)?;
    match durable::read(&state, UNFINISHED, REMOTE_BYTES)? {
        Some(noted) => Ok(noted == remote.as_bytes()),
        None => Ok(state.stat(PEERS)?.is_none() && holds_state_alone(root)?),
    }
}

/// The remote as a later run in the clone finds it.
fn remote_text(environment: &Environment, hub: &Hub) -> String {
    let path = hub.local_path(environment, &environment.standing());
    let path = path.and_then(|path| crate::disk::real_path(&path).ok());
    path.map_or_else(|| hub.remote.to_string(), |path| path.display().to_string())
}

fn holds_state_alone(root: &Root) -> Result<bool, Failure> {
    Ok(root.top().list()?.iter().all(|n| *n.name == *STATE_DIR))
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one world, put together here and only here"
)]
fn pull_all(
    environment: &Environment,
    talk: &dyn Talk,
    interrupted: &Arc<AtomicBool>,
    clock: fn() -> i64,
    reach: &Reach,
    path: &Path,
    hub: &Hub,
    root: &Root,
) -> Result<Report, Failure> {
    let project = Project::at(crate::disk::real_path(path)?, environment)?;
    let world = World {
        project: &project,
        environment,
        talk,
        interrupted,
        clock,
        hub_here: crate::transport::local,
    };
    let state = State::create(root)?;
    let has_agreed = state.dir().stat(PEERS)?.is_some();
    let remote = remote_text(environment, hub);
    durable::replace(state.dir(), UNFINISHED, remote.as_bytes())?;
    let request = Request {
        reach: reach.clone(),
        own_rules: !has_agreed,
        ..Request::of(vec![Direction::Pull])
    };
    let mut report = sync::run(&world, &request)?;
    if holds_state_alone(root)? && !report.legs.iter().any(sync::Leg::has_acted) {
        let message = format!("there is nothing to clone: {remote} holds no file");
        let hint = "is the path right? if a first push is under way, clone again when it is done";
        return Err(Failure::new(FailureKind::Failed, message, hint));
    }
    // The files are here and agreed on: what fails now is no reason to take them away again.
    let noted = note_settings(environment, reach, &remote, root);
    let finished = noted.and_then(|()| {
        state.dir().remove_file(UNFINISHED)?;
        // A power cut must not bring the note back: the next clone would take this one for unfinished.
        Ok(state.dir().sync()?)
    });
    if let Err(failure) = finished {
        report.warnings.push(format!(
            "how this machine reaches the hub could not be noted, the same clone once more does it: {failure}"
        ));
    }
    Ok(report)
}

/// Writes what this machine needs to reach the hub again: what the project brings may be another one tomorrow.
fn note_settings(
    environment: &Environment,
    reach: &Reach,
    remote: &str,
    root: &Root,
) -> Result<(), Failure> {
    let mut lines = vec![format!("remote = {}", toml_text(remote))];
    if let Some(command) = &reach.ssh_command {
        lines.push(format!("ssh_command = {}", toml_text(command)));
    }
    if let Some(file) = &reach.ssh_config {
        let file = environment.standing().join(file).display().to_string();
        lines.push(format!("ssh_config = {}", toml_text(&file)));
    }
    let text = format!(
        "# Written by `rsyn clone` for this machine.\n{}\n",
        lines.join("\n")
    );
    let state = root.top().open_dir(STATE_DIR)?;
    Ok(durable::replace(&state, b"config.toml", text.as_bytes())?)
}

fn last_name(hub: &Hub) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let name = hub.path().rsplit(|b| *b == b'/').next().unwrap_or_default();
    match name {
        b"" | b"." | b".." | b"~" => Err(Failure::usage(
            "the remote's path has no last name",
            "name a directory: `rsyn clone REMOTE DIR`",
        )),
        name => Ok(PathBuf::from(std::ffi::OsStr::from_bytes(name))),
    }
}

/// A text as a TOML value.
#[must_use]
pub fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A clone that failed before anything arrived leaves nothing.
fn remove_traces(root: &Root, made: Option<&Vacancy>) {
    drop(root.top().remove_tree(STATE_DIR));
    if let Some(vacancy) = made {
        vacancy.remove();
    }
}
