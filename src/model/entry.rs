//! [`Node`]: what stands at a path. What cannot or must not be synchronised is a kind, not an error.

use serde::{Deserialize, Serialize};

use super::hash::Digest;
use super::path::{MAX_PATH_BYTES, RelPath};

/// Permission bits that travel: read, write, execute for user, group, others.
pub const MODE_MASK: u16 = 0o777;

/// Permission bits, always within [`MODE_MASK`]: setuid, setgid and sticky never travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u16", into = "u16")]
pub struct Mode(u16);

impl From<u16> for Mode {
    fn from(bits: u16) -> Self {
        Self(bits & MODE_MASK)
    }
}

impl From<Mode> for u16 {
    fn from(mode: Mode) -> Self {
        mode.0
    }
}

impl Mode {
    /// The permission bits.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }
}

/// Modification time: whole seconds since 1970 and nanoseconds below one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mtime {
    /// Seconds since 1970-01-01T00:00:00Z, negative before.
    pub secs: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nanos: u32,
}

/// Why an entry is named but never touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Skip {
    /// An exclude rule takes it out of scope.
    Excluded,
    /// A socket, FIFO or device.
    Special,
    /// It could not be read, or kept changing while it was read.
    Unreadable,
    /// Something is mounted there, of another file system or of another place of this one.
    OtherFilesystem,
    /// Its name cannot be carried (see [`super::path::PathError`]).
    BadName,
    /// Its content is not what was read before, though its stat is the same. It is in the tree all the same,
    /// as what it is now.
    Altered,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Of the whole content.
        digest: Digest,
        /// Permission bits.
        mode: Mode,
        /// Travels with the content; a difference in it alone is no change.
        mtime: Mtime,
    },
    /// A directory. What is inside are entries of their own.
    Dir {
        /// Permission bits.
        mode: Mode,
    },
    /// A symbolic link: data, never followed.
    Symlink {
        /// The target as stored, any bytes without NUL, at most [`MAX_PATH_BYTES`].
        #[serde(deserialize_with = "target")]
        target: Box<[u8]>,
        /// Travels with the target; a difference in it alone is no change.
        mtime: Mtime,
    },
    /// Something that is there and is left alone, with all that may be below it.
    Skipped(Skip),
}

/// No file system holds a longer target, so what claims one is no node.
fn target<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Box<[u8]>, D::Error> {
    let target = Box::<[u8]>::deserialize(from)?;
    match target.len() <= MAX_PATH_BYTES {
        true => Ok(target),
        false => Err(serde::de::Error::custom("the target of a link is too long")),
    }
}

/// The kind of a node, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// See [`Node::File`].
    File,
    /// See [`Node::Dir`].
    Dir,
    /// See [`Node::Symlink`].
    Symlink,
    /// See [`Node::Skipped`].
    Skipped,
}

impl Node {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::File { .. } => Kind::File,
            Self::Dir { .. } => Kind::Dir,
            Self::Symlink { .. } => Kind::Symlink,
            Self::Skipped(_) => Kind::Skipped,
        }
    }

    /// Whether two nodes are the same version: kind, content, permission bits, target. Not the mtime.
    #[must_use]
    pub fn same_version(&self, other: &Self) -> bool {
        self.same_content(other) && self.mode() == other.mode()
    }

    /// Whether two nodes have the same content, permission bits and mtime aside.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { digest: a, .. }, Self::File { digest: b, .. }) => a == b,
            (Self::Dir { .. }, Self::Dir { .. }) => true,
            (Self::Symlink { target: a, .. }, Self::Symlink { target: b, .. }) => a == b,
            (Self::Skipped(a), Self::Skipped(b)) => a == b,
            _ => false,
        }
    }

    /// Permission bits of a file or directory.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        match self {
            Self::File { mode, .. } | Self::Dir { mode } => Some(*mode),
            Self::Symlink { .. } | Self::Skipped(_) => None,
        }
    }

    /// The same with other permission bits; `None` of what has none.
    #[must_use]
    pub fn with_mode(&self, mode: Mode) -> Option<Self> {
        match self {
            Self::File {
                size,
                digest,
                mtime,
                ..
            } => Some(Self::File {
                size: *size,
                digest: *digest,
                mode,
                mtime: *mtime,
            }),
            Self::Dir { .. } => Some(Self::Dir { mode }),
            Self::Symlink { .. } | Self::Skipped(_) => None,
        }
    }

    /// Length of a file's content in bytes, of a link's target; 0 for the rest.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Symlink { target, .. } => target.len() as u64,
            Self::Dir { .. } | Self::Skipped(_) => 0,
        }
    }

    /// Digest of a file's content or of a link's target; `None` for the rest.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::File { digest, .. } => Some(*digest),
            Self::Symlink { target, .. } => Some(Digest::of(target)),
            Self::Dir { .. } | Self::Skipped(_) => None,
        }
    }

    /// Modification time of a file or link.
    #[must_use]
    pub fn mtime(&self) -> Option<Mtime> {
        match self {
            Self::File { mtime, .. } | Self::Symlink { mtime, .. } => Some(*mtime),
            Self::Dir { .. } | Self::Skipped(_) => None,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        matches!(self, Self::Dir { .. })
    }

    /// Whether it is there but never touched.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        matches!(self, Self::Skipped(_))
    }
}

/// The sum of `sizes`, at most `u64::MAX`: a peer may have told any of them.
#[must_use]
pub fn total_bytes(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}

/// A path and what stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where.
    pub path: RelPath,
    /// What.
    pub node: Node,
}
