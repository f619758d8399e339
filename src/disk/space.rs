//! How much room the file system of a root has.

use rustix::fs::fstatvfs;

use super::Result;
use super::dir::Dir;

/// Room left for this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub free_bytes: u64,
    /// Inodes; `None` where the file system makes them as needed.
    pub free_inodes: Option<u64>,
}

/// The room on the file system of `dir`.
///
/// # Errors
/// The failed `fstatvfs`.
pub fn space(dir: &Dir) -> Result<Space> {
    let stat = fstatvfs(dir).map_err(|e| dir.error("look at", b"file system", e))?;
    Ok(Space {
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        free_inodes: (stat.f_files > 0).then_some(stat.f_favail),
    })
}

#[cfg(test)]
mod tests {
    use crate::disk::Root;

    #[test]
    fn the_temporary_directory_has_some_room() {
        let root = Root::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert!(super::space(root.top()).unwrap().free_bytes > 0);
    }
}
