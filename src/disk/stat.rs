//! [`Stat`]: what the system says about an object without following it.

use std::os::fd::AsFd;

use rustix::fs::AtFlags;
use serde::{Deserialize, Serialize};

use crate::model::Mtime;
use crate::model::entry::MODE_MASK;

/// What kind of object a name stands for, to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link itself.
    Symlink,
    /// A socket, FIFO or device: never opened, never created.
    Special,
    /// A file or directory that was mounted there, of another file system or of another place of the same one: never
    /// opened, never changed. What it hides is not known.
    Mount,
}

impl FileKind {
    pub(crate) fn of(kind: rustix::fs::FileType) -> Self {
        match kind {
            rustix::fs::FileType::RegularFile => Self::File,
            rustix::fs::FileType::Directory => Self::Dir,
            rustix::fs::FileType::Symlink => Self::Symlink,
            _ => Self::Special,
        }
    }
}

/// The fields of `lstat` that identify a version of an object. Stored in the index and the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stat {
    /// File system.
    pub dev: u64,
    /// Inode on it; reused after a removal.
    pub ino: u64,
    /// Kind of object.
    pub kind: FileKind,
    /// Permission bits, `0o777` at most.
    pub mode: u16,
    /// Everything in `st_mode`: kind, setuid, setgid, sticky, permissions.
    pub raw_mode: u32,
    /// Bytes: content of a file, target of a link; of a directory whatever the file system says.
    pub size: u64,
    /// Last change of the content, as anybody may set it.
    pub mtime: Mtime,
    /// Last change of content or attributes, as only the kernel sets it. A rename moves it, too.
    pub ctime: Mtime,
    /// Number of names.
    pub nlink: u64,
}

impl Stat {
    pub(crate) fn of(stat: &rustix::fs::Stat) -> Self {
        let raw_mode: u32 = to(stat.st_mode);
        Self {
            dev: to(stat.st_dev),
            ino: to(stat.st_ino),
            kind: FileKind::of(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
            mode: to::<u32, u16>(raw_mode & u32::from(MODE_MASK)),
            raw_mode,
            size: to(stat.st_size),
            mtime: Mtime {
                secs: to(stat.st_mtime),
                nanos: to(stat.st_mtime_nsec),
            },
            ctime: Mtime {
                secs: to(stat.st_ctime),
                nanos: to(stat.st_ctime_nsec),
            },
            nlink: to(stat.st_nlink),
        }
    }

    #[cfg(target_os = "linux")]
    fn of_statx(x: &rustix::fs::Statx) -> Self {
        let time = |t: &rustix::fs::StatxTimestamp| Mtime {
            secs: t.tv_sec,
            nanos: t.tv_nsec,
        };
        let raw_mode: u32 = to(x.stx_mode);
        Self {
            dev: rustix::fs::makedev(x.stx_dev_major, x.stx_dev_minor),
            ino: x.stx_ino,
            kind: FileKind::of(rustix::fs::FileType::from_raw_mode(raw_mode)),
            mode: to::<u32, u16>(raw_mode & u32::from(MODE_MASK)),
            raw_mode,
            size: x.stx_size,
            mtime: time(&x.stx_mtime),
            ctime: time(&x.stx_ctime),
            nlink: to(x.stx_nlink),
        }
    }

    /// What `lstat` says of a file that has one name and these permission bits, size in bytes and mtime.
    #[must_use]
    pub fn of_file(identity: &Identity, (mode, size, mtime): (u16, u64, Mtime)) -> Self {
        let kind: u32 = to(rustix::fs::FileType::RegularFile.as_raw_mode());
        Self {
            dev: identity.dev,
            ino: identity.ino,
            kind: FileKind::File,
            mode,
            raw_mode: kind | u32::from(mode),
            size,
            mtime,
            ctime: identity.ctime,
            nlink: 1,
        }
    }

    /// Whether it is a regular file, be it mounted there or not: what a user configures may be.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        FileKind::of(rustix::fs::FileType::from_raw_mode(to(self.raw_mode))) == FileKind::File
    }

    /// Whether both are the same object, whatever happened to it in between.
    #[must_use]
    pub fn same_object(&self, other: &Self) -> bool {
        (self.dev, self.ino, self.kind) == (other.dev, other.ino, other.kind)
    }

    /// Whether the object is the same and neither content nor attributes were touched.
    #[must_use]
    pub fn untouched_since(&self, earlier: &Self) -> bool {
        self.same_object(earlier)
            && (self.size, self.mtime, self.ctime, self.raw_mode)
                == (earlier.size, earlier.mtime, earlier.ctime, earlier.raw_mode)
    }
}

/// What the system says about an object, and in which mount it was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) stat: Stat,
    /// `None` where the kernel does not tell.
    pub(super) mount: Option<u64>,
}

impl Found {
    /// Looks at `name`, a link not followed; at the handle itself if `name` is empty.
    #[cfg(target_os = "linux")]
    pub(super) fn at(fd: impl AsFd, name: &[u8]) -> rustix::io::Result<Self> {
        use rustix::fs::{StatxFlags, statx};
        use rustix::io::Errno;
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        match statx(&fd, name, flags, wanted) {
            Ok(x) => Ok(Self {
                stat: Stat::of_statx(&x),
                mount: (x.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(x.stx_mnt_id),
            }),
            // An old kernel, or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => Self::without_mount(fd, name),
            Err(e) => Err(e),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn at(fd: impl AsFd, name: &[u8]) -> rustix::io::Result<Self> {
        Self::without_mount(fd, name)
    }

    /// As [`Self::at`], but for the mount.
    pub(super) fn without_mount(fd: impl AsFd, name: &[u8]) -> rustix::io::Result<Self> {
        let stat = match name {
            [] => rustix::fs::fstat(fd)?,
            _ => rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)?,
        };
        Ok(Self {
            stat: Stat::of(&stat),
            mount: None,
        })
    }
}

/// Which object a name stands for, told apart even from a later one that got the same inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// File system.
    pub dev: u64,
    /// Inode on it.
    pub ino: u64,
    /// When the object was made; `None` where the file system does not tell.
    pub born: Option<Mtime>,
    /// Last change of content or attributes; a rename is one.
    pub ctime: Mtime,
}

impl Identity {
    /// Whether both are the same object, whatever happened to it in between.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.dev, self.ino, self.born) == (other.dev, other.ino, other.born)
    }

    #[cfg(target_os = "linux")]
    pub(super) fn at(fd: impl AsFd, name: &[u8]) -> rustix::io::Result<Self> {
        use rustix::fs::{StatxFlags, makedev, statx};
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        let wanted = StatxFlags::INO | StatxFlags::CTIME | StatxFlags::BTIME;
        let x = statx(fd, name, flags, wanted)?;
        let has_birth = x.stx_mask & StatxFlags::BTIME.bits() != 0;
        let time = |t: &rustix::fs::StatxTimestamp| Mtime {
            secs: t.tv_sec,
            nanos: t.tv_nsec,
        };
        Ok(Self {
            dev: makedev(x.stx_dev_major, x.stx_dev_minor),
            ino: x.stx_ino,
            born: has_birth.then(|| time(&x.stx_btime)),
            ctime: time(&x.stx_ctime),
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn at(fd: impl AsFd, name: &[u8]) -> rustix::io::Result<Self> {
        let stat = match name {
            [] => rustix::fs::fstat(fd)?,
            _ => rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)?,
        };
        let stat = Stat::of(&stat);
        Ok(Self {
            dev: stat.dev,
            ino: stat.ino,
            born: None,
            ctime: stat.ctime,
        })
    }
}

/// Width of a field differs by platform; a value that does not fit, which no kernel gives, becomes 0.
fn to<T, U: TryFrom<T> + Default>(value: T) -> U {
    U::try_from(value).unwrap_or_default()
}
