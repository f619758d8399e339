//! Clone: a new machine in one step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::connect::{Hub, Reach};
use super::look::World;
use super::project::{Environment, Project, Settings};
use super::sync::{Report, Request};
use super::talk::Talk;
use super::{Failure, sync};
use crate::disk::{Root, durable};
use crate::plan::Direction;
use crate::state::layout::STATE_DIR;
use crate::transaction;

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
    let hub = Hub::find(&Settings::default(), reach)?;
    let path = environment.directory.join(match dir {
        Some(dir) => dir.to_owned(),
        None => last_name(&hub)?,
    });
    let existed = match Root::open(&path) {
        Ok(root) if !root.top().is_empty()? && !is_unfinished(&root)? => {
            let shown = path.display().to_string().escape_debug().to_string();
            return Err(Failure::usage(
                format!("{shown} is there and not empty"),
                "name another directory",
            ));
        }
        Ok(_) => true,
        Err(e) if e.is_missing() => false,
        Err(e) => return Err(e.into()),
    };
    let root = Root::create(&path, 0o777)?;
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
        // An interrupted one that could not go on: its journal is needed.
        Err(failure) if !holds_state_alone(&root).unwrap_or(false) => Err(failure),
        Err(failure) => {
            remove_traces(&root, &path, existed);
            Err(failure)
        }
    }
}

/// Whether a clone was interrupted there: it agreed with no hub yet, and what else stands there waits for recovery.
fn is_unfinished(root: &Root) -> Result<bool, Failure> {
    if root.top().stat(STATE_DIR)?.is_none() {
        return Ok(false);
    }
    let agreed = root.top().open_dir(STATE_DIR)?.stat(b"peers")?.is_some();
    Ok(!agreed && (holds_state_alone(root)? || transaction::pending(root)?.is_some()))
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
    let request = Request {
        reach: reach.clone(),
        own_rules: true,
        ..Request::of(vec![Direction::Pull])
    };
    let mut report = sync::run(&world, &request)?;
    // The files are here and agreed on: what fails now is no reason to take them away again.
    if let Err(failure) = note_settings(environment, reach, path, hub, root) {
        report.warnings.push(format!(
            "how this machine reaches the hub could not be noted: {failure}"
        ));
    }
    Ok(report)
}

/// Writes what this machine needs to reach the hub again, as far as the project does not bring it.
fn note_settings(
    environment: &Environment,
    reach: &Reach,
    path: &Path,
    hub: &Hub,
    root: &Root,
) -> Result<(), Failure> {
    let remote = match hub.local_path(&environment.directory) {
        Some(path) => crate::disk::real_path(&path)?.display().to_string(),
        None => hub.remote.to_string(),
    };
    let brought = Project::at(path.to_owned(), &Environment::default())?
        .settings
        .remote;
    let mut lines = Vec::new();
    if brought.is_none_or(|setting| setting.value != remote) {
        lines.push(format!("remote = {}", toml_text(&remote)));
    }
    if let Some(command) = &reach.ssh_command {
        lines.push(format!("ssh_command = {}", toml_text(command)));
    }
    if let Some(file) = &reach.ssh_config {
        let file = environment.directory.join(file).display().to_string();
        lines.push(format!("ssh_config = {}", toml_text(&file)));
    }
    if !lines.is_empty() {
        let text = format!(
            "# Written by `rsyn clone` for this machine.\n{}\n",
            lines.join("\n")
        );
        durable::replace(
            &root.top().open_dir(b".rsyn")?,
            b"config.toml",
            text.as_bytes(),
        )?;
    }
    Ok(())
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
fn remove_traces(root: &Root, path: &Path, existed: bool) {
    drop(root.top().remove_tree(b".rsyn"));
    if existed {
        return;
    }
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
        && let Ok(parent) = Root::open(parent)
    {
        drop(
            parent
                .top()
                .remove_dir(std::os::unix::ffi::OsStrExt::as_bytes(name)),
        );
    }
}
