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

    /// The number of the system's answer, if it came from the system.
    #[must_use]
    pub(crate) fn errno(&self) -> Option<rustix::io::Errno> {
        rustix::io::Errno::from_io_error(&self.source)
    }
}

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
    fn a_name_chosen_by_another_cannot_reach_the_terminal_unescaped() {
        let error = DiskError::new("read", b"a\x1b[2J\xff".to_vec(), rustix::io::Errno::ACCESS);
        assert_eq!(
            error.to_string(),
            "cannot read a\\x1b[2J\\xff: Permission denied (os error 13)"
        );
    }
}
