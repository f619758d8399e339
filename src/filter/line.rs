//! What one line, or the argument of one `--exclude`, says.
//!
//! The whole language: an empty line and a comment say nothing, a lone `!` forgets all rules so far,
//! `+ ` and `- ` are signs, and everything else is a pattern, blanks and all.

use super::rule::Sign;

/// A pattern of this many bytes or more is dropped with a warning, as rsync does.
pub const MAX_PATTERN_BYTES: usize = 4096;

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Nothing.
    Blank,
    /// Forget every rule read so far.
    Clear,
    /// A rule; `signed`: the line gives its sign itself.
    Rule {
        sign: Sign,
        pattern: &'a [u8],
        signed: bool,
    },
    /// A pattern of [`MAX_PATTERN_BYTES`] or more, of this length in bytes.
    OverLong(usize),
    /// A sign with no pattern after it.
    SignAlone,
}

/// Reads a line of a rule file; `sign` is that of a pattern without one.
pub(super) fn read_line(text: &[u8], sign: Sign) -> Line<'_> {
    match text.first() {
        Some(b'#' | b';') => Line::Blank,
        _ => read_argument(text, sign),
    }
}

/// Reads the argument of an option, which is a line that knows no comments.
pub(super) fn read_argument(text: &[u8], sign: Sign) -> Line<'_> {
    let (sign, pattern, signed) = match text {
        b"" => return Line::Blank,
        b"!" => return Line::Clear,
        b"+ " | b"- " => return Line::SignAlone,
        [b'+', b' ', pattern @ ..] => (Sign::Include, pattern, true),
        [b'-', b' ', pattern @ ..] => (Sign::Exclude, pattern, true),
        pattern => (sign, pattern, false),
    };
    if pattern.len() >= MAX_PATTERN_BYTES {
        return Line::OverLong(pattern.len());
    }
    Line::Rule {
        sign,
        pattern,
        signed,
    }
}
