//! Files that get their name when they are whole, so that a crash leaves all of one or nothing of it.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{self, AtFlags};

use super::Result;
use super::dir::Dir;
use super::file::NewFile;

impl Dir {
    /// Creates a file that has no name yet and goes when it is closed, 0600; `None` where the system has no such
    /// files. [`Dir::give_name`] names it; `name` is for messages until then.
    ///
    /// # Errors
    /// `name` cannot be one.
    pub fn create_nameless(&self, name: &[u8]) -> Result<Option<NewFile>> {
        self.mutate("create", name)?;
        let path = || [self.path(), name].join(&b'/');
        Ok(open_nameless(self).map(|fd| NewFile::new(File::from(fd), path())))
    }

    /// Gives a nameless file a name, which must be free.
    ///
    /// # Errors
    /// The failed call; [`super::DiskError::is_taken`]; [`super::DiskError::is_missing`] where `/proc` is not there.
    pub fn give_name(&self, file: &NewFile, name: &[u8]) -> Result<()> {
        self.mutate("create", name)?;
        let itself = format!("/proc/self/fd/{}", file.file().as_raw_fd());
        fs::linkat(fs::CWD, itself, self, name, AtFlags::SYMLINK_FOLLOW)
            .map_err(|e| self.error("create", name, e))
    }
}

#[cfg(target_os = "linux")]
fn open_nameless(dir: &Dir) -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    fs::openat(dir, ".", flags, Mode::RUSR | Mode::WUSR).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_nameless(_: &Dir) -> Option<OwnedFd> {
    None
}
