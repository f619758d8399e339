//! Where the connection of a run stays open for the next one (`--persist`): a control socket of ssh in a directory that
//! nobody else can enter.

use std::io::{Error, Result};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::disk::private_dir;

/// How long an unused connection stays open, in seconds.
pub(super) const SECONDS: u32 = 60;
/// Longest path of a socket in bytes, on the systems in use (macOS has the shortest).
const MAX_SOCKET_BYTES: usize = 103;
/// What ssh makes of `/%C` (40 hexadecimal digits), with the suffix under which it makes the socket.
const NAME_BYTES: usize = 1 + 40 + 17;

/// The pattern of the socket's path: ssh puts host, port and user into it.
///
/// # Errors
/// There is no directory for it that is this user's alone.
pub(super) fn socket() -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let directory = match std::env::var_os("XDG_RUNTIME_DIR").filter(|d| !d.is_empty()) {
        Some(run) => PathBuf::from(run).join("rsyn"),
        None => std::env::temp_dir().join(format!("rsyn-{user}")),
    };
    check_length(&directory)
        .and_then(|()| private_dir::make(&directory, user))
        .map_err(|e| Error::new(e.kind(), format!("{}: {e}", directory.display())))?;
    Ok(directory.join("%C"))
}

fn check_length(directory: &Path) -> Result<()> {
    match directory.as_os_str().as_bytes().len() + NAME_BYTES <= MAX_SOCKET_BYTES {
        true => Ok(()),
        false => Err(Error::other(
            "its name is too long for a socket: set XDG_RUNTIME_DIR to a shorter one",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_whose_sockets_would_have_too_long_names_is_refused() {
        assert!(check_length(Path::new("/run/user/1000/rsyn")).is_ok());
        let long = format!("/tmp/{}", "x".repeat(80));
        assert!(check_length(Path::new(&long)).is_err());
    }
}
