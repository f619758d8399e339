//! What a disk can hold: links, names, permission bits.

use serde::{Deserialize, Serialize};

use super::{Node, RelPath};

/// Characters in names that vfat, exFAT and NTFS have other uses for.
const MARKS: &[u8] = b"\"*:<>?\\|";

/// What a disk can hold beside plain files in plain names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Abilities {
    /// Symbolic links.
    pub links: bool,
    /// Names with `:` and the like, and with a dot or blank at their end.
    pub marks: bool,
    /// Names that are no UTF-8.
    pub bytes: bool,
    /// Permission bits.
    pub modes: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self::ALL
    }
}

impl Abilities {
    /// Whatever there is.
    pub const ALL: Self = Self {
        links: true,
        marks: true,
        bytes: true,
        modes: true,
    };

    /// Whether something can have the name of `path` in its directory.
    #[must_use]
    pub fn name(self, path: &RelPath) -> bool {
        let name = path.name();
        let is_marked = |byte: &u8| *byte < b' ' || MARKS.contains(byte);
        let has_marks = name.iter().any(is_marked) || name.ends_with(b".") || name.ends_with(b" ");
        (self.marks || !has_marks) && (self.bytes || std::str::from_utf8(name).is_ok())
    }

    /// Whether `node` can stand anywhere.
    #[must_use]
    pub fn node(self, node: &Node) -> bool {
        self.links || !matches!(node, Node::Symlink { .. })
    }
}
