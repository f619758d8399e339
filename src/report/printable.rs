//! Names made safe to print: they are chosen by others, and a terminal obeys control characters.

use crate::model::RelPath;

/// A path for people: readable UTF-8 as it is; control characters, text-direction marks, backslashes before
/// an escape and bytes that are no UTF-8 as `\n`, `\u{202e}`, `\xff`.
#[must_use]
pub fn path(path: &RelPath) -> String {
    bytes(path.as_bytes())
}

/// Any bytes for people.
#[must_use]
pub fn bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// A text for people that has no more than its one line to itself: a line break in it would pass for what follows.
#[must_use]
pub fn line(text: &str) -> String {
    bytes(text.as_bytes())
}

/// Any text for people whose further lines begin `columns` in, so that none passes for a line of its own.
#[must_use]
pub fn indented(words: &str, columns: usize) -> String {
    text(words).replace('\n', &format!("\n{:columns$}", ""))
}

/// Any text for people; its own line breaks stay.
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || c == '\t' {
            out.push(c);
        } else {
            push(&mut out, c);
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    if c.is_control() || is_direction_mark(c) {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// Characters that reorder or hide what is around them (Unicode bidi controls, zero-width marks, BOM).
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A JSON value as one line in which no character is raw that a terminal obeys.
///
/// JSON itself escapes only those below U+0020. The others stand inside of strings, so `\u` keeps their meaning.
#[must_use]
pub fn json(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if c.is_control() || is_direction_mark(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let cases: [(&[u8], &str); 6] = [
            ("größe 日本.txt".as_bytes(), "größe 日本.txt"),
            (b"a\nb\x1b[2J\x07", "a\\nb\\u{1b}[2J\\u{7}"),
            (b"\xffz\xc3", "\\xffz\\xc3"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("evil\u{202e}txt.exe".as_bytes(), "evil\\u{202e}txt.exe"),
            (b"-rf", "-rf"),
        ];
        for (raw, shown) in cases {
            assert_eq!(bytes(raw), shown);
            assert!(!bytes(raw).chars().any(char::is_control));
        }
    }

    #[test]
    fn what_has_one_line_to_itself_begins_no_other() {
        assert_eq!(line("a\nerror: b\r\tc"), "a\\nerror: b\\r\\tc");
        assert_eq!(text("a\n\tb\r"), "a\n\tb\\r");
        assert_eq!(indented("a\nerror: b\r", 3), "a\n   error: b\\r");
    }

    #[test]
    fn json_keeps_its_meaning_without_what_a_terminal_obeys() {
        let value = serde_json::json!({"a\u{9b}": "b\x1b\x7f\u{202e}\u{feff}é"});
        let line = json(&value);
        assert!(
            !line.chars().any(|c| c.is_control() || is_direction_mark(c)),
            "{line}"
        );
        assert!(line.contains('é'));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&line).unwrap(),
            value
        );
    }
}
