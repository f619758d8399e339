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

/// Device and inode of the directory at `path` and of each one above it, itself first: what tells two directories apart,
/// whatever leads to them. Empty where that cannot be found out.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door to the disk")]
pub fn ancestry(path: &Path) -> Vec<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let real = real_path(path).unwrap_or_default();
    let found = real
        .ancestors()
        .filter_map(|path| std::fs::metadata(path).ok());
    found.map(|found| (found.dev(), found.ino())).collect()
}

/// What names the running kernel, and no machine: another one after each start. `None` where the system does not tell.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door to the disk")]
pub fn kernel_id() -> Option<String> {
    let text = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    Some(blake3::hash(text.trim_ascii()).to_hex().to_string())
}
