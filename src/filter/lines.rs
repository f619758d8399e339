//! The text of a rule file as lines.
//!
//! LF, CRLF and a lone CR end a line, mixed as they come; with NUL as the end, CR and LF are ordinary.
//! What it leaves to others: what a line means (`line`).

use super::rule::Sign;

/// How a rule file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStyle {
    /// The sign of a line without one: excludes in `--exclude-from`, includes in `--include-from`.
    pub sign: Sign,
    /// Lines end in NUL, as with `--from0`.
    pub nul: bool,
}

impl FileStyle {
    /// An exclude file with ordinary lines, as `.rsync-exclude` is.
    pub const EXCLUDE: Self = Self {
        sign: Sign::Exclude,
        nul: false,
    };
    /// An include file with ordinary lines.
    pub const INCLUDE: Self = Self {
        sign: Sign::Include,
        nul: false,
    };
}

/// Cuts `text` into lines without their ends, with their numbers from 1.
///
/// A NUL ends what counts of an ordinary line. A CRLF ends one line, not two, so the numbers are
/// those an editor shows.
pub(super) fn lines(text: &[u8], nul: bool) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = text;
    let mut number = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = if nul {
            cut(rest, &[0])
        } else {
            cut(rest, b"\r\n")
        };
        rest = after;
        number += 1;
        Some((number, line.split(|b| *b == 0).next().unwrap_or(line)))
    })
}

/// The text before the first of `ends`, and what follows that end.
fn cut<'a>(text: &'a [u8], ends: &[u8]) -> (&'a [u8], &'a [u8]) {
    let len = text
        .iter()
        .position(|b| ends.contains(b))
        .unwrap_or(text.len());
    let (line, end) = text.split_at(len);
    let after = match end {
        [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
        [] => end,
    };
    (line, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_up(text: &str, nul: bool) -> Vec<(u32, &str)> {
        let shown = |(n, line)| (n, std::str::from_utf8(line).unwrap());
        lines(text.as_bytes(), nul).map(shown).collect()
    }

    #[test]
    fn lf_crlf_and_a_lone_cr_each_end_one_line() {
        let expected = [(1, "a"), (2, "b"), (3, "c"), (4, ""), (5, ""), (6, "d")];
        assert_eq!(cut_up("a\nb\r\nc\r\r\n\nd", false), expected);
        assert_eq!(cut_up("", false), []);
        assert_eq!(cut_up("a\n", false), [(1, "a")]);
    }

    #[test]
    fn a_nul_cuts_a_line_short() {
        assert_eq!(cut_up("a\0b\nc\0", false), [(1, "a"), (2, "c")]);
    }

    #[test]
    fn with_nul_as_the_end_cr_and_lf_are_ordinary() {
        assert_eq!(
            cut_up("a\nb\0c\r\n\0\0d", true),
            [(1, "a\nb"), (2, "c\r\n"), (3, ""), (4, "d")]
        );
        assert_eq!(cut_up("\r\n", true), [(1, "\r\n")]);
    }
}
