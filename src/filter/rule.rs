//! A rule as it was written: its sign, its pattern, and where it stands.

use std::fmt;
use std::sync::Arc;

use super::pattern::Pattern;

/// What a rule does with the entries that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// They are left out.
    Exclude,
    /// They stay in, whatever later rules say.
    Include,
}

/// Where a rule was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file or the option, as shown to people: `.rsync-exclude`, `--exclude`.
    pub source: Arc<str>,
    /// Line in the file, from 1; 0 for an option.
    pub line: u32,
}

impl Origin {
    /// A place on the command line.
    #[must_use]
    pub fn option(name: &str) -> Self {
        Self {
            source: name.into(),
            line: 0,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.source),
            line => write!(f, "{} line {line}", self.source),
        }
    }
}

/// One rule of a list.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What it does.
    pub sign: Sign,
    /// Where it comes from.
    pub origin: Origin,
    text: Box<[u8]>,
    pattern: Pattern,
}

impl Rule {
    pub(super) fn new(sign: Sign, text: &[u8], origin: Origin) -> Self {
        Self {
            sign,
            origin,
            text: text.into(),
            pattern: Pattern::new(text),
        }
    }

    /// The pattern as written, without its sign: 1 to 4095 bytes, no NUL.
    #[must_use]
    pub fn pattern(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn compiled(&self) -> &Pattern {
        &self.pattern
    }
}

/// The rule as a line of a file, always with its sign; bytes that a terminal should not see are escaped.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.sign {
            Sign::Exclude => '-',
            Sign::Include => '+',
        };
        write!(f, "{sign} {}", Printable(&self.text))
    }
}

/// Bytes of a file as text for people: control characters and what is not UTF-8 are escaped.
pub(super) struct Printable<'a>(pub(super) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char.is_control() {
                    true => write!(f, "{}", char.escape_default())?,
                    false => write!(f, "{char}")?,
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}
