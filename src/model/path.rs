//! [`RelPath`]: the name of an entry below a root, as bytes.
//!
//! A path that exists has been checked: relative, `/`-separated, no empty, `.` or `..` component, no
//! NUL, nothing inside a state directory. So code that holds one never checks again, whoever sent it.
//! What it leaves to others: the disk, the terminal (see `report::printable`), Unicode.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Name of the state directory of a root. No synchronised path has a component of this name.
pub const STATE_DIR: &[u8] = b".rsyn";

/// Longest component in bytes (`NAME_MAX` of every Unix file system in use).
pub const MAX_COMPONENT_BYTES: usize = 255;
/// Longest path in bytes (`PATH_MAX` of Linux, without the final NUL).
pub const MAX_PATH_BYTES: usize = 4095;
/// Deepest nesting, in components.
pub const MAX_DEPTH: usize = 512;

/// A relative, `/`-separated path of raw bytes that is safe to open below a root.
///
/// The order is by component, so a directory comes right before everything below it:
/// `a`, `a/b`, `a/b/c`, `a.txt` (a plain byte order would put `a.txt` between `a` and `a/b`).
/// Several trees name the same paths, so a clone shares its bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelPath(Arc<[u8]>);

/// Why bytes are not a [`RelPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path or one of its components is empty (`""`, `"/a"`, `"a//b"`, `"a/"`).
    #[error("a path has an empty component")]
    EmptyComponent,
    /// A component is `.` or `..`.
    #[error("a path has a `.` or `..` component")]
    Dots,
    /// A NUL byte.
    #[error("a path has a NUL byte")]
    Nul,
    /// Longer than [`MAX_PATH_BYTES`], [`MAX_COMPONENT_BYTES`] or deeper than [`MAX_DEPTH`].
    #[error("a path is too long or too deep")]
    TooLong,
    /// A component names the state directory ([`STATE_DIR`], in any case).
    #[error("a path leads into a state directory")]
    StateDir,
}

impl RelPath {
    /// Checks `bytes` and makes them a path.
    ///
    /// # Errors
    /// [`PathError`] for the first rule of this module that the bytes break.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Result<Self, PathError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let mut depth = 0;
        for component in bytes.split(|&b| b == b'/') {
            check_component(component)?;
            depth += 1;
        }
        if depth > MAX_DEPTH {
            return Err(PathError::TooLong);
        }
        Ok(Self(bytes))
    }

    /// The path of the entry `name` inside this directory.
    ///
    /// # Errors
    /// [`PathError`] if `name` is no single valid component or the whole gets too long.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        check_component(name)?;
        let length = self.0.len() + 1 + name.len();
        if length > MAX_PATH_BYTES || self.depth() == MAX_DEPTH {
            return Err(PathError::TooLong);
        }
        let parts = self.0.iter().chain(b"/").chain(name);
        Ok(Self(parts.copied().collect()))
    }

    /// The raw bytes, `/`-separated, without a leading or trailing slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components from the top down; at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/')
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or(&self.0)
    }

    /// The directory that holds this entry; `None` at the top of the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let cut = self.0.iter().rposition(|&b| b == b'/')?;
        Some(Self(self.0[..cut].into()))
    }

    /// The bytes of the directory that holds this entry; empty at the top of the root.
    #[must_use]
    pub fn parent_bytes(&self) -> &[u8] {
        let cut = self.0.iter().rposition(|&b| b == b'/');
        &self.0[..cut.unwrap_or(0)]
    }

    /// Every directory above this entry, from the top down.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'/')
            .map(|(cut, _)| Self(self.0[..cut].into()))
    }

    /// Number of components.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// Whether this entry lies inside the directory `dir` (not: is it).
    #[must_use]
    pub fn is_below(&self, dir: &Self) -> bool {
        self.0.len() > dir.0.len() && self.0[dir.0.len()] == b'/' && self.0.starts_with(&dir.0)
    }

    /// Whether this entry is `top` or lies below it.
    #[must_use]
    pub fn is_at_or_below(&self, top: &Self) -> bool {
        self == top || self.is_below(top)
    }
}

/// Checks one component of a path.
///
/// # Errors
/// [`PathError`] for the rule it breaks.
pub fn check_component(component: &[u8]) -> Result<(), PathError> {
    if component.is_empty() {
        return Err(PathError::EmptyComponent);
    }
    if component == b"." || component == b".." {
        return Err(PathError::Dots);
    }
    if component.len() > MAX_COMPONENT_BYTES {
        return Err(PathError::TooLong);
    }
    if component.contains(&0) {
        return Err(PathError::Nul);
    }
    if component.contains(&b'/') {
        return Err(PathError::EmptyComponent);
    }
    if component.eq_ignore_ascii_case(STATE_DIR) {
        return Err(PathError::StateDir);
    }
    Ok(())
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

/// Bytes from a peer or a state file become a path only if they pass [`RelPath::new`].
impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = RelPath;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a relative path")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<RelPath, E> {
                RelPath::new(bytes).map_err(E::custom)
            }
        }
        deserializer
            .deserialize_bytes(Bytes)
            .map_err(D::Error::custom)
    }
}

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_bytes(&self.0, &other.0)
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of [`RelPath`] on raw bytes: as bytes, but `/` sorts before every other byte.
#[must_use]
pub fn compare_bytes(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    match a.iter().zip(b).find(|(x, y)| x != y) {
        Some((x, y)) => rank(*x).cmp(&rank(*y)),
        None => a.len().cmp(&b.len()),
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_path_that_could_leave_its_root_is_refused() {
        let refused: [(&[u8], PathError); 10] = [
            (b"", PathError::EmptyComponent),
            (b"/etc/passwd", PathError::EmptyComponent),
            (b"a//b", PathError::EmptyComponent),
            (b"a/", PathError::EmptyComponent),
            (b"..", PathError::Dots),
            (b"a/../b", PathError::Dots),
            (b"a/.", PathError::Dots),
            (b"a\0b", PathError::Nul),
            (b"sub/.RSYN/base", PathError::StateDir),
            (&[b'x'; 256], PathError::TooLong),
        ];
        for (bytes, why) in refused {
            assert_eq!(RelPath::new(bytes), Err(why), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn names_are_bytes_and_any_byte_but_slash_and_nul_is_fine() {
        for byte in (1..=255u8).filter(|b| *b != b'/' && *b != b'.') {
            assert_eq!(RelPath::new([byte]).unwrap().as_bytes(), [byte]);
        }
        assert!(RelPath::new([b'x'; 255]).is_ok());
        assert!(RelPath::new(*b"...").is_ok());
    }

    #[test]
    fn a_directory_sorts_right_before_what_is_below_it() {
        let sorted = ["a", "a/b", "a/b/c", "a/c", "a b", "a.txt", "ab", "b"];
        let mut shuffled: Vec<_> = sorted.iter().rev().map(|p| path(p)).collect();
        shuffled.sort();
        assert_eq!(shuffled, sorted.map(path));
    }

    #[test]
    fn parts_of_a_path() {
        let p = path("a/b/c");
        assert_eq!(p.name(), b"c");
        assert_eq!(p.parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), None);
        assert_eq!(p.ancestors().collect::<Vec<_>>(), [path("a"), path("a/b")]);
        assert!(
            p.is_below(&path("a/b"))
                && !p.is_below(&path("a/b/c"))
                && !path("ab").is_below(&path("a"))
        );
        assert!(path("a").join(b"..").is_err() && path("a").join(b"x/y").is_err());
    }
}
