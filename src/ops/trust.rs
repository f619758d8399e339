//! What a file that travels with the project may say of the hub: it proposes one, this machine decides. Such a file was
//! written by whoever may write to the hub.

use std::path::{Path, PathBuf};

use super::clone::toml_text;
use super::connect::Hub;
use super::look::World;
use super::{Failure, FailureKind};
use crate::config::file;
use crate::config::remote::without_password;
use crate::disk::{Root, durable};
use crate::state::State;
use crate::state::base::Remotes;
use crate::state::layout::STATE_DIR;

/// Settings of this machine alone, in the state directory.
const MACHINE_CONFIG: &[u8] = b"config.toml";
/// They are not longer, in bytes.
const CONFIG_BYTES: u64 = 1024 * 1024;

/// A hub that a file of the project names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Its name among `[remotes]`; `None` for the main one.
    pub name: Option<String>,
}

/// Refuses a directory of this machine that only a file of the project names, where private files or another project
/// would be the hub.
///
/// # Errors
/// It is such a place.
pub(super) fn refuse_private_place(world: &World<'_>, hub: &Hub) -> Result<(), Failure> {
    let path = hub.local_path(world.environment, &world.project.path);
    let (Some(_), Some(path)) = (&hub.proposal, path) else {
        return Ok(());
    };
    let place = real_place(&path);
    let private = homes(&world.environment.home)
        .any(|home| place.starts_with(&home) || home.starts_with(&place));
    let what = if private {
        "is, holds or lies in a home"
    } else if touches_a_project(&place) {
        "is, holds or lies in another project"
    } else {
        return Ok(());
    };
    let message = format!(
        "{} names the hub {}, a directory of this machine that {what}: that file comes with the project, \
        so it is not followed there",
        hub.origin, hub.name
    );
    let hint = "if you mean it, name the hub yourself: on the command line, or as `remote = …` in .rsyn/config.toml";
    Err(Failure::new(FailureKind::Guard, message, hint))
}

/// Asks whether a hub that only a file of the project names shall be used, the first time. Gives what is to be said where
/// nobody is asked.
///
/// # Errors
/// The user does not want it, or nobody can be asked and this machine synced with another one before.
pub(super) fn ask_at_first_use(
    world: &World<'_>,
    state: Option<&State>,
    hub: &Hub,
    dry_run: bool,
) -> Result<Option<String>, Failure> {
    let Some(proposal) = &hub.proposal else {
        return Ok(None);
    };
    let (is_known, knows_others) = match state {
        Some(state) => {
            let is_known = Remotes::hub_of(state, &hub.name)?.is_some();
            (is_known, Remotes::knows_any(state)?)
        }
        None => (false, false),
    };
    if is_known {
        return Ok(None);
    }
    let named = format!(
        "{} comes with the project and names the hub {}",
        hub.origin, hub.name
    );
    let question = format!("{named}: use it on this machine?");
    let can_ask = world.environment.interactive;
    // The main hub of a machine that has one is not asked away, nor answered away by `-y`.
    let is_main = proposal.name.is_none() && knows_others;
    let answer = match dry_run || is_main {
        true => None,
        false => world.talk.agree(&question),
    };
    match answer {
        Some(true) => Ok(None),
        Some(false) => Err(Failure::new(
            FailureKind::Conflict,
            "the hub that the project names is not used",
            "name another one: `rsyn push user@host:path`",
        )),
        // A dry run asks nothing, and stops where the run would.
        None if is_main || (knows_others && !(dry_run && can_ask)) => Err(Failure::new(
            FailureKind::Guard,
            format!("{named}, but this machine synced with another one before"),
            "name the one you mean: `rsyn push user@host:path`, or `remote = …` in .rsyn/config.toml",
        )),
        None => Ok(Some(format!("{named}: this machine uses it from now on"))),
    }
}

/// That the project names another hub than the one in use; nothing if both names led to one hub.
///
/// # Errors
/// What is remembered of hubs cannot be read.
pub(super) fn passed_over(
    world: &World<'_>,
    state: Option<&State>,
    hub: &Hub,
) -> Result<Option<String>, Failure> {
    let is_main = world
        .project
        .settings
        .remote
        .as_ref()
        .is_some_and(|r| r.value == hub.name);
    let Some(proposed) = world.project.settings.proposed.as_ref().filter(|_| is_main) else {
        return Ok(None);
    };
    if let Some(state) = state
        && let Some(id) = Remotes::hub_of(state, &proposed.value)?
        && Remotes::hub_of(state, &hub.name)? == Some(id)
    {
        return Ok(None);
    }
    Ok(Some(format!(
        "{} names the hub {}; this machine goes on with {} (from {})",
        proposed.origin,
        without_password(&proposed.value),
        hub.name,
        hub.origin
    )))
}

/// Writes a hub that a file of the project named, and that was synced with, into this machine's own settings: another
/// one that arrives later does not take its place.
///
/// # Errors
/// The settings cannot be read or written.
pub(super) fn keep_remote(state: &State, hub: &Hub) -> Result<(), Failure> {
    match &hub.proposal {
        Some(proposal) => write_remote(state, proposal, &hub.name),
        None => Ok(()),
    }
}

/// Writes a remote into this machine's own settings, unless they have one there.
///
/// # Errors
/// The settings cannot be read or written.
pub fn write_remote(state: &State, proposal: &Proposal, remote: &str) -> Result<(), Failure> {
    let text = durable::read(state.dir(), MACHINE_CONFIG, CONFIG_BYTES)?.unwrap_or_default();
    let unreadable = |e: &dyn std::fmt::Display| {
        Failure::usage(format!(".rsyn/config.toml cannot be read: {e}"), "mend it")
    };
    let text = String::from_utf8(text).map_err(|e| unreadable(&e))?;
    let config = file::parse(&text, ".rsyn/config.toml", false).map_err(|e| unreadable(&e))?;
    let longer = match &proposal.name {
        None if config.remote.is_none() => {
            // Before all tables, so that it is none of theirs.
            format!(
                "# The hub of this machine.\nremote = {}\n{text}",
                toml_text(remote)
            )
        }
        Some(name) if !config.remotes.contains_key(name) => {
            let (name, url) = (toml_text(name), toml_text(remote));
            format!("{text}\n[remotes.{name}]\nurl = {url}\n")
        }
        _ => return Ok(()),
    };
    // Whatever form the user's own text has, the whole must be one that can be read.
    if let Err(e) = file::parse(&longer, ".rsyn/config.toml", false) {
        let message = format!("the hub cannot be noted in .rsyn/config.toml: {e}");
        return Err(Failure::usage(message, "write it there by hand"));
    }
    Ok(durable::replace(
        state.dir(),
        MACHINE_CONFIG,
        longer.as_bytes(),
    )?)
}

/// The real path of a place, of which the end need not be there yet.
pub(super) fn real_place(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| {
        let real = crate::disk::real_path(above).ok()?;
        Some(real.join(path.strip_prefix(above).unwrap_or(path)))
    });
    found.unwrap_or_else(|| path.to_owned())
}

/// The home of this user, and where homes of others are.
fn homes(own: &Path) -> impl Iterator<Item = PathBuf> {
    let others = ["/home", "/Users", "/root"].map(PathBuf::from);
    let own = crate::disk::real_path(own).unwrap_or_else(|_| own.to_owned());
    std::iter::once(own).chain(others)
}

/// Whether a project that knows a hub lies at, above or right below a place.
fn touches_a_project(place: &Path) -> bool {
    let below = Root::open(place).and_then(|root| root.top().list());
    let below = below.unwrap_or_default();
    let below = below.iter().map(|entry| {
        place.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&entry.name))
    });
    place
        .ancestors()
        .map(Path::to_owned)
        .chain(below)
        .any(|directory| knows_a_hub(&directory))
}

fn knows_a_hub(directory: &Path) -> bool {
    let state = Root::open(directory).and_then(|root| root.top().open_dir(STATE_DIR));
    let peers = state.and_then(|state| state.open_dir(b"peers"));
    peers.is_ok_and(|peers| matches!(peers.stat(b"remotes"), Ok(Some(_))))
}
