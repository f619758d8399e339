//! Where a path of the user really leads.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Result;
use super::error::DiskError;

/// The absolute path of what stands at `path`, all links resolved.
///
/// # Errors
/// It is missing or the way there cannot be read.
#[expect(clippy::disallowed_methods, reason = "this is the door to the disk")]
pub fn real_path(path: &Path) -> Result<PathBuf> {
    let found = std::fs::canonicalize(path);
    found.map_err(|e| DiskError::new("find", path.as_os_str().as_bytes().to_vec(), e))
}

/// The bytes of the program at `path`, to be copied elsewhere.
///
/// # Errors
/// It cannot be read.
#[expect(clippy::disallowed_methods, reason = "this is the door to the disk")]
pub fn read_program(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| DiskError::new("read", path.as_os_str().as_bytes().to_vec(), e))
}
