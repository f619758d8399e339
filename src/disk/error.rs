//! [`DiskError`]: what was tried, on what, and what the system answered.

use std::fmt;
use std::io;

/// A call that failed. Printed as `cannot <verb> <path>: <cause>`, the path escaped.
#[derive(Debug)]
pub struct DiskError {
    /// What was tried, as the verb of a sentence: `read`, `rename`, `change the mode of`.
    pub verb: &'static str,
    /// Where, relative to the root unless the root itself could not be opened.
    pub path: Vec<u8>,
    /// The answer of the system.
    pub source: io::Error,
}

impl DiskError {
    pub(crate) fn new(verb: &'static str, path: Vec<u8>, source: impl Into<io::Error>) -> Self {
        Self {
            verb,
            path,
            source: source.into(),
        }
    }

    /// The same, of a call on an opened handle: whatever it answers says nothing about where a path leads, so it must
    /// not read as a path that is gone.
    pub(crate) fn of_handle(mut self) -> Self {
        if self.is_no_directory() {
            self.source = io::Error::other(self.source);
        }
        self
    }

    /// A path that leads into a state directory.
    pub(super) fn in_state(path: Vec<u8>) -> Self {
        Self::new("use", path, io::Error::other(InState))
    }

    /// Whether the path is or lies in a state directory, which nobody may name.
    #[must_use]
    pub fn is_in_state(&self) -> bool {
        let cause = self.source.get_ref();
        cause.and_then(|e| e.downcast_ref::<InState>()).is_some()
    }

    /// The kind of the system's answer.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether nothing stands at that path.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }

    /// Whether something stands there already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether the path leads through something that is no directory: nothing, a file or a link.
    #[must_use]
    pub fn is_no_directory(&self) -> bool {
        use rustix::io::Errno;
        let errno = self.errno();
        self.is_missing() || errno == Some(Errno::NOTDIR) || errno == Some(Errno::LOOP)
    }

    /// Whether the path is on another file system than the root.
    #[must_use]
    pub fn is_other_filesystem(&self) -> bool {
        self.errno() == Some(rustix::io::Errno::XDEV)
    }

    /// Whether the disk, or the user's share of it, is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use rustix::io::Errno;
        matches!(self.errno(), Some(Errno::NOSPC | Errno::DQUOT))
    }

    /// Tells whether the file system cannot hold such an object: its name or content is too long, or
    /// the file system does not allow the name.
    #[must_use]
    pub fn is_unfit(&self) -> bool {
        use rustix::io::Errno;
        matches!(
            self.errno(),
            Some(Errno::NAMETOOLONG | Errno::FBIG | Errno::ILSEQ)
        )
    }

    /// Whether the process or the system has no more of what such a call needs, descriptors or memory: that says nothing
    /// of the path.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        use rustix::io::Errno;
        let is_memory = self.kind() == io::ErrorKind::OutOfMemory;
        is_memory
            || matches!(
                self.errno(),
                Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS)
            )
    }

    /// The number of the system's answer, if it came from the system.
    #[must_use]
    pub(crate) fn errno(&self) -> Option<rustix::io::Errno> {
        rustix::io::Errno::from_io_error(&self.source)
    }
}

/// The cause of [`DiskError::is_in_state`].
#[derive(Debug, thiserror::Error)]
#[error("rsyn keeps its own state there (.rsyn)")]
struct InState;

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: &[u8] = if self.path.is_empty() {
            b"the root"
        } else {
            &self.path
        };
        write!(
            f,
            "cannot {} {}: {}",
            self.verb,
            path.escape_ascii(),
            self.source
        )
    }
}

// The cause is part of the sentence already, so that it is not offered again as a source.
impl std::error::Error for DiskError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_about_an_opened_handle_never_reads_as_a_path_that_is_gone() {
        use rustix::io::Errno;
        for errno in [Errno::LOOP, Errno::NOTDIR, Errno::NOENT] {
            let of_path = DiskError::new("open", b"a".to_vec(), errno);
            assert!(of_path.is_no_directory());
            let words = of_path.to_string();
            let of_handle = of_path.of_handle();
            assert!(!of_handle.is_no_directory() && !of_handle.is_missing());
            assert_eq!(of_handle.to_string(), words);
        }
        let other = DiskError::new("open", b"a".to_vec(), Errno::IO).of_handle();
        assert_eq!(other.errno(), Some(Errno::IO));
    }

    #[test]
    fn a_name_chosen_by_another_cannot_reach_the_terminal_unescaped() {
        let error = DiskError::new("read", b"a\x1b[2J\xff".to_vec(), rustix::io::Errno::ACCESS);
        assert_eq!(
            error.to_string(),
            "cannot read a\\x1b[2J\\xff: Permission denied (os error 13)"
        );
    }
}
