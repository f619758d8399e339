//! A directory outside of any root that one user alone can enter.
#![expect(
    clippy::disallowed_methods,
    reason = "it has no root above it to be reached through"
)]

use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Makes the directory if it is not there, and trusts one that is there only if `user`, who this process acts
/// as, alone can enter it.
///
/// # Errors
/// It cannot be made, or somebody else could get in.
pub fn make(directory: &Path, user: u32) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
        _ => check(directory, user),
    }
}

fn check(directory: &Path, user: u32) -> Result<()> {
    // Not through a link, which somebody else could have put there.
    let found = std::fs::symlink_metadata(directory)?;
    match found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0 {
        true => Ok(()),
        false => Err(Error::other(
            "it is not a directory that only you can enter; remove it or set XDG_RUNTIME_DIR",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_a_directory_of_the_users_own_is_trusted() {
        let temp = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let own = temp.path().join("own");
        make(&own, user).unwrap();
        make(&own, user).unwrap();
        assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        assert!(check(&own, user + 1).is_err(), "of another");
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert!(make(&link, user).is_err(), "a link");
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(make(&own, user).is_err(), "open to the group");
    }
}
