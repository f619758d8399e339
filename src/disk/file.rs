//! [`NewFile`]: a file of our own that is being written, and the one way to open one for reading.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::{self, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::dir::Dir;
use super::error::DiskError;
use super::stat::{FileKind, Found, Identity, Stat};
use super::{Result, fault};
use crate::model::Mtime;

/// A file of our own, open for reading and writing, born with mode 0600 and not yet visible to users.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: Vec<u8>,
}

impl NewFile {
    pub(crate) fn new(file: File, path: Vec<u8>) -> Self {
        Self { file, path }
    }

    /// The file, for reading it back.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What the system says about it.
    ///
    /// # Errors
    /// The failed `fstat`.
    pub fn stat(&self) -> Result<Stat> {
        fs::fstat(&self.file)
            .map(|s| Stat::of(&s))
            .map_err(|e| self.error("look at", e))
    }

    /// Which object it is.
    ///
    /// # Errors
    /// The failed call.
    pub fn identity(&self) -> Result<Identity> {
        Identity::at(&self.file, b"").map_err(|e| self.error("look at", e))
    }

    /// Writes all of `bytes` at the current position.
    ///
    /// # Errors
    /// The failed write; some bytes may be in the file.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.before("write")?;
        (&self.file)
            .write_all(bytes)
            .map_err(|e| self.error("write", e))
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The failed write; some bytes may be in the file.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.before("write")?;
        self.file
            .write_all_at(bytes, offset)
            .map_err(|e| self.error("write", e))
    }

    /// Makes it `len` bytes long; new bytes are zero and take no space.
    ///
    /// # Errors
    /// The failed `ftruncate`.
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.before("write")?;
        fs::ftruncate(&self.file, len).map_err(|e| self.error("write", e))
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// The failed `fchmod`.
    pub fn set_mode(&self, mode: u16) -> Result<()> {
        self.before("change the mode of")?;
        let mode = Mode::from_raw_mode(mode.into());
        fs::fchmod(&self.file, mode).map_err(|e| self.error("change the mode of", e))
    }

    /// Sets the modification time, and leaves the access time.
    ///
    /// # Errors
    /// The failed `futimens`.
    pub fn set_mtime(&self, mtime: Mtime) -> Result<()> {
        self.before("set the time of")?;
        fs::futimens(&self.file, &timestamps(mtime)).map_err(|e| self.error("set the time of", e))
    }

    /// Waits until content and attributes are on the disk. A failure means that the content cannot
    /// be trusted: do not retry, discard the file (see `docs/safety.md`, F22).
    ///
    /// # Errors
    /// The failed `fsync`.
    pub fn sync(&self) -> Result<()> {
        self.before("sync")?;
        sync_fd(&self.file).map_err(|e| self.error("sync", e))
    }

    fn before(&self, verb: &'static str) -> Result<()> {
        fault::before(verb, || self.path.clone()).map_err(|e| self.error(verb, e))
    }

    fn error(&self, verb: &'static str, source: impl Into<io::Error>) -> DiskError {
        DiskError::new(verb, self.path.clone(), source)
    }
}

/// Opens a regular file for reading, never through a link, never waiting for a FIFO, and without
/// moving its access time where that is permitted. A mounted one only if it `may_be_mounted`.
pub(super) fn open_regular(dir: &Dir, name: &[u8], may_be_mounted: bool) -> Result<(File, Stat)> {
    let fail = |e: io::Error| dir.error("read", name, e);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match fs::openat(dir, name, flags | NO_ATIME, Mode::empty()) {
        Err(Errno::PERM) => fs::openat(dir, name, flags, Mode::empty()),
        other => other,
    }
    .map_err(|e| fail(e.into()))?;
    let found = Found::at(&fd, b"").map_err(|e| fail(e.into()).of_handle())?;
    let stat = dir.stat_here(found);
    match stat.kind {
        FileKind::File => Ok((File::from(fd), stat)),
        FileKind::Mount if may_be_mounted && found.stat.kind == FileKind::File => {
            Ok((File::from(fd), stat))
        }
        FileKind::Mount => Err(fail(Errno::XDEV.into())),
        _ => Err(fail(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))),
    }
}

/// Reads once, as `read` does, and again when a signal came in between.
///
/// # Errors
/// The failed call, other than an interrupted one.
pub fn read_some(file: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(target_os = "linux")]
const NO_ATIME: OFlags = OFlags::NOATIME;
#[cfg(not(target_os = "linux"))]
const NO_ATIME: OFlags = OFlags::empty();

/// On macOS `fsync` stops at the drive's cache; this goes through it.
pub(super) fn sync_fd(fd: impl std::os::fd::AsFd) -> rustix::io::Result<()> {
    if !fault::SYNCS {
        return Ok(());
    }
    #[cfg(target_vendor = "apple")]
    return fs::fcntl_fullfsync(fd);
    #[cfg(not(target_vendor = "apple"))]
    fs::fsync(fd)
}

/// Times for `utimensat`: the access time stays.
pub(super) fn timestamps(mtime: Mtime) -> Timestamps {
    let omit = Timespec {
        tv_sec: 0,
        tv_nsec: fs::UTIME_OMIT,
    };
    let mtime = Timespec {
        tv_sec: mtime.secs,
        tv_nsec: mtime.nanos.into(),
    };
    Timestamps {
        last_access: omit,
        last_modification: mtime,
    }
}
