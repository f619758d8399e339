//! Permission bits, set through a handle of the object, never through a link.

use std::os::fd::OwnedFd;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::dir::Dir;
use super::stat::{FileKind, Stat};
use super::{Result, fault};

impl Dir {
    /// Sets the permission bits of the file or directory `name`, never through a link.
    ///
    /// # Errors
    /// The failed call; [`std::io::ErrorKind::InvalidInput`] for a link.
    pub fn set_mode(&self, name: &[u8], mode: u16) -> Result<()> {
        const VERB: &str = "change the mode of";
        self.mutate(VERB, name)?;
        let mode = Mode::from_raw_mode(mode.into());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match fs::openat(self, name, flags, Mode::empty()) {
            Ok(fd) => fs::fchmod(fd, mode),
            Err(Errno::ACCESS) => {
                open_unreadable(self, name).and_then(|fd| chmod_unreadable(&fd, mode))
            }
            Err(e) => Err(e),
        }
        .map_err(|e| self.error(VERB, name, e))
    }

    /// Changes all twelve permission bits of the file or directory `name` from `from` to `to`, if it is
    /// still the object with that inode and has them still. Returns whether it was and had.
    ///
    /// # Errors
    /// The failed call, other than for a missing object.
    pub fn change_mode(&self, name: &[u8], ino: u64, from: u16, to: u16) -> Result<bool> {
        const VERB: &str = "change the mode of";
        self.mutate(VERB, name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let (fd, readable) = match fs::openat(self, name, flags, Mode::empty()) {
            Err(Errno::ACCESS) => (open_unreadable(self, name), false),
            other => (other, true),
        };
        let fd = match fd {
            Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
            other => other.map_err(|e| self.error(VERB, name, e))?,
        };
        let stat = fs::fstat(&fd).map_err(|e| self.error(VERB, name, e))?;
        let stat = Stat::of(&stat);
        if stat.ino != ino || stat.raw_mode & 0o7777 != u32::from(from) {
            return Ok(false);
        }
        let to = Mode::from_raw_mode(to.into());
        if readable {
            fs::fchmod(&fd, to)
        } else {
            chmod_unreadable(&fd, to)
        }
        .map_err(|e| self.error(VERB, name, e))?;
        Ok(true)
    }

    /// Sets the permission bits of the directory itself.
    ///
    /// # Errors
    /// The failed `fchmod`.
    pub fn set_own_mode(&self, mode: u16) -> Result<()> {
        let verb = "change the mode of";
        fault::before(verb, || self.path().to_vec()).map_err(|e| self.own_error(verb, e))?;
        fs::fchmod(self, Mode::from_raw_mode(mode.into())).map_err(|e| self.own_error(verb, e))
    }
}

/// A handle that cannot read still knows its object.
#[cfg(target_os = "linux")]
fn open_unreadable(dir: &Dir, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    fs::openat(
        dir,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// `fchmod` refuses such a handle; its entry below `/proc` is the object itself, not a name of it.
#[cfg(target_os = "linux")]
fn chmod_unreadable(fd: &OwnedFd, mode: Mode) -> rustix::io::Result<()> {
    use std::os::fd::AsRawFd;
    if FileKind::of(fs::FileType::from_raw_mode(fs::fstat(fd)?.st_mode)) == FileKind::Symlink {
        return Err(Errno::INVAL);
    }
    fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode)
}

/// What cannot be read can often be written; what allows neither is refused.
#[cfg(not(target_os = "linux"))]
fn open_unreadable(dir: &Dir, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::empty())
}

#[cfg(not(target_os = "linux"))]
fn chmod_unreadable(fd: &OwnedFd, mode: Mode) -> rustix::io::Result<()> {
    fs::fchmod(fd, mode)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]
mod tests {
    use super::*;
    use crate::disk::Root;

    fn root_with_file() -> (tempfile::TempDir, Root) {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("f"), "").unwrap();
        let root = Root::open(temp.path()).unwrap();
        root.top().set_mode(b"f", 0o644).unwrap();
        (temp, root)
    }

    #[test]
    fn the_mode_of_an_unreadable_file_can_be_set() {
        let (_temp, root) = root_with_file();
        root.top().set_mode(b"f", 0o000).unwrap();
        root.top().set_mode(b"f", 0o640).unwrap();
        assert_eq!(root.top().stat(b"f").unwrap().unwrap().mode, 0o640);
        let fd = open_unreadable(root.top(), b"f").unwrap();
        chmod_unreadable(&fd, Mode::RUSR).unwrap();
        assert_eq!(root.top().stat(b"f").unwrap().unwrap().mode, 0o400);
    }

    #[test]
    fn a_mode_is_changed_only_if_object_and_bits_are_the_expected_ones() {
        let (_temp, root) = root_with_file();
        let top = root.top();
        let ino = top.stat(b"f").unwrap().unwrap().ino;
        assert!(!top.change_mode(b"f", ino + 1, 0o644, 0o600).unwrap());
        assert!(!top.change_mode(b"f", ino, 0o640, 0o600).unwrap());
        assert!(!top.change_mode(b"nothing", ino, 0o644, 0o600).unwrap());
        assert_eq!(top.stat(b"f").unwrap().unwrap().mode, 0o644);
        assert!(top.change_mode(b"f", ino, 0o644, 0o600).unwrap());
        assert_eq!(top.stat(b"f").unwrap().unwrap().mode, 0o600);
    }
}
