//! Unified text diffs of what changes, safe to print.

use std::time::Duration;

use similar::TextDiff;

use super::printable;
use crate::model::RelPath;

/// Texts that differ wildly are shown as replaced after this time rather than kept waiting for.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Bytes that are looked at to tell text from anything else.
const PROBE_BYTES: usize = 8 * 1024;
/// Lines of one diff that are shown.
const MAX_LINES: usize = 2000;

/// The unified diff from `old` to `new`, or a line that says why there is none.
#[must_use]
pub fn unified(path: &RelPath, old: &[u8], new: &[u8]) -> String {
    let name = printable::path(path);
    if is_binary(old) || is_binary(new) {
        return format!(
            "binary files differ: {name} ({} → {} bytes)\n",
            old.len(),
            new.len()
        );
    }
    let (old_text, new_text) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let diff = TextDiff::configure()
        .timeout(TIMEOUT)
        .diff_lines(old_text.as_ref(), new_text.as_ref());
    let text = diff
        .unified_diff()
        .header(&format!("a/{name}"), &format!("b/{name}"))
        .to_string();
    let safe = printable::text(&text);
    let lines = safe.lines().count();
    if lines <= MAX_LINES {
        return safe;
    }
    let shown: Vec<_> = safe.lines().take(MAX_LINES).collect();
    format!(
        "{}\n… and {} more lines\n",
        shown.join("\n"),
        lines - MAX_LINES
    )
}

/// As git tells: a NUL near the start.
fn is_binary(content: &[u8]) -> bool {
    content.iter().take(PROBE_BYTES).any(|b| *b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> RelPath {
        RelPath::new(*b"a.txt").unwrap()
    }

    #[test]
    fn a_changed_line_is_shown_both_ways() {
        let diff = unified(&path(), b"one\ntwo\n", b"one\n2\n");
        assert!(diff.starts_with("--- a/a.txt\n+++ b/a.txt\n"), "{diff}");
        assert!(diff.contains("\n-two\n+2\n"), "{diff}");
    }

    #[test]
    fn binaries_and_control_characters_are_not_printed_raw() {
        assert!(
            unified(&path(), b"\0", b"x").starts_with("binary files differ: a.txt (1 → 1 bytes)")
        );
        let diff = unified(&path(), b"", b"\x1b[2J\n");
        assert!(diff.contains("+\\u{1b}[2J"), "{diff}");
    }
}
