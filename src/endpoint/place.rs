//! Where a root is, or would be: found, confined, made, known by an id.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::local::{Local, LocalError};
use super::refusal::ServeError;
use crate::disk::{Site, Vacancy, durable};
use crate::model::{Abilities, Digest, Folding};
use crate::protocol::message::{Op, RefusalKind};
use crate::state::State;

/// The exclude file that travels with a project.
pub const EXCLUDE_FILE: &str = ".rsync-exclude";
/// An exclude file is not longer than this, in bytes.
const EXCLUDE_FILE_BYTES: u64 = 1024 * 1024;

/// Where the root is, or would be.
pub enum Place {
    /// There.
    There(Box<Local>),
    /// Not there yet: a first push makes it.
    Missing(Vacancy),
}

/// The path that a client means: absolute, or below the login's home.
#[must_use]
pub fn resolve(asked: &[u8], home: &Path) -> PathBuf {
    let below_home = asked.strip_prefix(b"~/").unwrap_or(asked);
    home.join(OsStr::from_bytes(below_home))
}

impl Place {
    /// Opens the root at `path`, inside `restrict` if that is given. With `writes`, a root without state gets it.
    pub(super) fn open(
        path: &Path,
        restrict: Option<&Path>,
        writes: bool,
    ) -> Result<Self, ServeError> {
        let site = match restrict {
            None => Site::find(path).map_err(LocalError::from)?,
            Some(top) => Site::find_below(top, path)
                .map_err(LocalError::from)?
                .ok_or_else(|| outside(path))?,
        };
        match site {
            Site::There(root) => {
                let mut local = Local::at(root)?;
                if writes && local.root.top().check_writable().is_ok() {
                    local.make_state()?;
                }
                Ok(Self::There(Box::new(local)))
            }
            Site::Free(vacancy) => Ok(Self::Missing(vacancy)),
        }
    }

    /// The root, made if it was missing.
    pub(super) fn make(&mut self) -> Result<&Local, ServeError> {
        if let Self::Missing(vacancy) = self {
            // Private: whoever wants to share a hub can open it.
            let root = vacancy.make(0o700).map_err(|e| match e.is_missing() {
                true => {
                    let message = format!("on the hub: {e}");
                    ServeError::refused(
                        RefusalKind::Usage,
                        message,
                        "make its parent directory on the hub",
                    )
                }
                false => LocalError::from(e).into(),
            })?;
            *self = Self::There(Box::new(Local::at(root)?));
        }
        match self {
            Self::There(local) => {
                // A push may have moved it into a snapshot since it was opened.
                local.root.check_outside_state().map_err(LocalError::from)?;
                local.make_state()?;
                Ok(local)
            }
            Self::Missing(vacancy) => {
                let shown = vacancy.path().as_os_str().as_bytes().escape_ascii();
                Err(ServeError::refused(
                    RefusalKind::Failed,
                    format!("cannot make {shown}"),
                    "make it by hand",
                ))
            }
        }
    }
}

/// A root that is not below the served directory: missing or there, the answer is the same.
fn outside(path: &Path) -> ServeError {
    let shown = path.as_os_str().as_bytes().escape_ascii().to_string();
    let message = format!("{shown} is outside of what this key may use");
    ServeError::refused(
        RefusalKind::Usage,
        message,
        "ask for a path inside the served directory",
    )
}

/// The id of a root. One that cannot be written has none of its own and is known by its place.
#[must_use]
pub fn identity(local: &Local) -> String {
    match &local.state {
        Some(state) => state.id().to_string(),
        None => {
            let place = format!(
                "rsyn root without state {} {}",
                local.root.dev(),
                local.root.ino()
            );
            Digest::of(place.as_bytes()).to_string()[..32].to_owned()
        }
    }
}

/// Which names the disk of a root takes for one; of a root without state nothing is known.
#[must_use]
pub fn folding(local: &Local) -> Folding {
    local.state.as_ref().map_or(Folding::NONE, State::folding)
}

/// What the disk of a root can hold; of a root without state nothing else is known.
#[must_use]
pub fn holds(local: &Local) -> Abilities {
    local.state.as_ref().map_or(Abilities::ALL, State::holds)
}

/// Refuses a first push if what the disk of its new root takes for one name, or cannot hold, is among it: its plan was made
/// before that disk was known.
pub(super) fn refuse_unforeseen(local: &Local, ops: &[Op]) -> Result<(), ServeError> {
    let (folding, holds) = (folding(local), holds(local));
    if folding.is_none() && holds == Abilities::ALL {
        return Ok(());
    }
    let mut names = HashSet::new();
    let all_held = ops.iter().all(|op| {
        let node = op.new.as_ref().is_none_or(|new| holds.node(new));
        node && holds.name(&op.path) && names.insert(folding.fold(op.path.as_bytes()))
    });
    if all_held {
        return Ok(());
    }
    let message = "the disk of the hub takes some of these names for one, or cannot hold them";
    let hint = "run it again: now that the disk is known, what it cannot hold stays out";
    Err(ServeError::refused(RefusalKind::Busy, message, hint))
}

/// The text of the root's exclude file, if there is one.
pub(super) fn exclude_file(local: &Local) -> Result<Option<Vec<u8>>, ServeError> {
    let read = durable::read(
        local.root.top(),
        EXCLUDE_FILE.as_bytes(),
        EXCLUDE_FILE_BYTES,
    );
    Ok(read.map_err(LocalError::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mtime, Node, RelPath};
    use crate::protocol::message::OpSource;

    fn link(path: &str) -> Op {
        Op {
            path: RelPath::new(path.as_bytes()).unwrap(),
            old: None,
            new: Some(Node::Symlink {
                target: b"there"[..].into(),
                mtime: Mtime { secs: 0, nanos: 0 },
            }),
            source: OpSource::Nothing,
        }
    }

    #[test]
    fn a_first_push_that_its_disk_cannot_hold_is_refused_before_anything_is_staged() {
        let temp = tempfile::tempdir().unwrap();
        let mut local = Local::open(temp.path()).unwrap();
        local.make_state().unwrap();
        let ops = ["Twin", "e\u{301}", "twin", "\u{e9}"].map(link);
        assert!(refuse_unforeseen(&local, &ops).is_ok());
        let names = local.state.as_ref().unwrap().existing_subdir("names");
        let names = names.unwrap().unwrap();
        let refused = |ops: &[Op]| match refuse_unforeseen(&local, ops) {
            Err(ServeError::Refused(refusal)) => refusal.kind == RefusalKind::Busy,
            other => other.is_err(),
        };
        // Second names of the one that is asked stand for a disk that folds.
        let asked = "Spelling-\u{e9}".as_bytes();
        names
            .link(asked, &names, "spelling-\u{e9}".as_bytes())
            .unwrap();
        assert!(refused(&ops) && !refused(&ops[..2]));
        names
            .link(asked, &names, "Spelling-e\u{301}".as_bytes())
            .unwrap();
        assert!(refused(&[ops[1].clone(), ops[3].clone()]));
        names.remove_file(b"links").unwrap();
        assert!(refused(&ops[..1]));
    }
}
