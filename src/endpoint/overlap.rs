//! A root that lies in the root of its own hub, or around it, would be synced with a part of itself. A client tells where
//! it stands, and a hub that runs under the same kernel sees whether that is inside, around or where it serves.

use std::path::Path;

use super::refusal::ServeError;
use crate::disk::{ancestry, kernel_id};
use crate::protocol::handshake::Standing;
use crate::protocol::message::RefusalKind;

/// Where the root at `path` stands; `None` where the system does not name its kernel.
#[must_use]
pub fn standing(path: &Path) -> Option<Standing> {
    Some(Standing {
        kernel: kernel_id()?,
        above: ancestry(path),
    })
}

/// Refuses to serve the root at `path`, there or not yet, to a client that stands inside of it, around it or in it.
pub(super) fn refuse(path: &Path, client: Option<&Standing>) -> Result<(), ServeError> {
    let Some(client) = client.filter(|c| Some(&c.kernel) == kernel_id().as_ref()) else {
        return Ok(());
    };
    // One that is not there yet would be made below what is.
    let there = path.ancestors().find(|p| crate::disk::real_path(p).is_ok());
    let hub = there.map(ancestry).unwrap_or_default();
    let is_inside = client.above.first().is_some_and(|root| hub.contains(root));
    let is_around = there == Some(path) && hub.first().is_some_and(|r| client.above.contains(r));
    match is_inside || is_around {
        true => Err(ServeError::refused(
            RefusalKind::Usage,
            "the hub's directory and this project lie inside each other, on one machine",
            "choose a remote outside of the project",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "tests prepare the disk")]
mod tests {
    use super::*;

    #[test]
    fn a_root_inside_around_or_equal_is_refused_under_one_kernel_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        for name in ["a/b/c", "other", "a-not"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
        let client = standing(&path("a/b")).unwrap();
        for hub in ["a/b", "a/b/c", "a/b/c/new/er", "a", "link/b", "link", ""] {
            assert!(refuse(&path(hub), Some(&client)).is_err(), "{hub}");
        }
        for hub in ["other", "a-not", "a/new", "new"] {
            assert!(refuse(&path(hub), Some(&client)).is_ok(), "{hub}");
        }
        let elsewhere = Standing {
            kernel: "another".to_owned(),
            ..client
        };
        assert!(refuse(&path("a/b"), Some(&elsewhere)).is_ok());
        assert!(refuse(&path("a/b"), None).is_ok());
    }
}
