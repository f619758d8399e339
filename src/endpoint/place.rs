//! Where a root is, or would be: found, confined, made, known by an id.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::local::{Local, LocalError};
use super::refusal::ServeError;
use crate::disk::{Root, durable};
use crate::model::Digest;
use crate::protocol::message::RefusalKind;

/// The exclude file that travels with a project.
pub const EXCLUDE_FILE: &str = ".rsync-exclude";
/// An exclude file is not longer than this, in bytes.
const EXCLUDE_FILE_BYTES: u64 = 1024 * 1024;

/// Where the root is, or would be.
pub enum Place {
    /// There.
    There(Box<Local>),
    /// Not there yet: a first push makes it.
    Missing {
        /// Where.
        path: PathBuf,
        /// Whether it could be made.
        parent_writable: bool,
    },
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
        let path = match restrict {
            None => path.to_owned(),
            Some(top) => confine(path, top)?,
        };
        match Local::open(&path) {
            Ok(mut local) => {
                if writes && local.root.top().check_writable().is_ok() {
                    local.make_state()?;
                }
                Ok(Self::There(Box::new(local)))
            }
            Err(LocalError::Disk(e)) if e.is_missing() => {
                let parent = path.parent().map(Root::open);
                let parent_writable =
                    parent.is_some_and(|p| p.is_ok_and(|p| p.top().check_writable().is_ok()));
                Ok(Self::Missing {
                    path,
                    parent_writable,
                })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// The root, made if it was missing.
    pub(super) fn make(&mut self) -> Result<&Local, ServeError> {
        if let Self::Missing { path, .. } = self {
            // Private: whoever wants to share a hub can open it.
            let root = Root::create(path, 0o700).map_err(|e| match e.is_missing() {
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
            let mut local = Local {
                root: Arc::new(root),
                state: None,
            };
            local.make_state()?;
            *self = Self::There(Box::new(local));
        }
        match self {
            Self::There(local) => {
                local.make_state()?;
                Ok(local)
            }
            Self::Missing { path, .. } => {
                let message = format!("cannot make {}", path.as_os_str().as_bytes().escape_ascii());
                Err(ServeError::refused(
                    RefusalKind::Failed,
                    message,
                    "make it by hand",
                ))
            }
        }
    }
}

/// The path inside `top` that a client means, with all links resolved, or a refusal.
fn confine(path: &Path, top: &Path) -> Result<PathBuf, ServeError> {
    let outside = || {
        let shown = path.as_os_str().as_bytes().escape_ascii().to_string();
        let message = format!("{shown} is outside of what this key may use");
        ServeError::refused(
            RefusalKind::Usage,
            message,
            "ask for a path inside the served directory",
        )
    };
    let top = crate::disk::real_path(top).map_err(LocalError::from)?;
    let real = match crate::disk::real_path(path) {
        Ok(real) => real,
        // Not there yet: its parent decides.
        Err(e) if e.is_missing() => {
            let (parent, name) = path.parent().zip(path.file_name()).ok_or_else(outside)?;
            crate::disk::real_path(parent)
                .map_err(|_| outside())?
                .join(name)
        }
        Err(_) => return Err(outside()),
    };
    if real.starts_with(&top) {
        Ok(real)
    } else {
        Err(outside())
    }
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

/// Whether names that differ only in case are two names. The state directory is a name we know.
#[must_use]
pub fn is_case_sensitive(local: &Local) -> bool {
    local.state.is_none() || !matches!(local.root.top().stat(b".RSYN"), Ok(Some(_)))
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
