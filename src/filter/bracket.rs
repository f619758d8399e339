//! One `[...]` of a pattern: which bytes it stands for.
//!
//! A bracket stands for one byte and never for `/`. Classes such as `[:alpha:]` are ASCII, as in the
//! C locale. What it leaves to others: where in a pattern a bracket may stand.

/// A set of bytes, as 256 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    /// Whether `byte` is a member.
    pub(super) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn remove(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] &= !(1 << (byte & 63));
    }

    fn insert_class(&mut self, is_member: impl Fn(u8) -> bool) {
        (0..128)
            .filter(|b| is_member(*b))
            .for_each(|b| self.insert(b));
    }

    fn invert(&mut self) {
        self.0.iter_mut().for_each(|word| *word = !*word);
    }
}

/// Why a bracket makes its whole pattern match nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadBracket {
    /// No `]` ends it.
    Unclosed,
    /// It names a class that does not exist, as in `[[:letter:]]`.
    UnknownClass,
}

/// Reads the bracket whose text after `[` is `text`.
///
/// Returns its bytes and how many bytes of `text` it takes, the closing `]` included.
pub(super) fn parse(text: &[u8]) -> Result<(ByteSet, usize), BadBracket> {
    let mut at = 0;
    let inverted = matches!(text.first(), Some(b'!' | b'^'));
    at += usize::from(inverted);
    let first = at;
    let mut set = ByteSet::default();
    // The low end that a `-` would continue; none after a range or a class.
    let mut low = None;
    loop {
        let byte = *text.get(at).ok_or(BadBracket::Unclosed)?;
        if byte == b']' && at > first {
            break;
        }
        if let Some((name, len)) = class_name(&text[at..]) {
            insert_named(&mut set, name)?;
            low = None;
            at += len;
        } else if let (b'-', Some(from), Some(end)) = (byte, low, range_end(&text[at + 1..])) {
            let (to, len) = end?;
            (from..=to).for_each(|b| set.insert(b));
            low = None;
            at += 1 + len;
        } else {
            let (member, len) = member(&text[at..])?;
            set.insert(member);
            low = Some(member);
            at += len;
        }
    }
    if inverted {
        set.invert();
    }
    set.remove(b'/');
    Ok((set, at + 1))
}

/// The end of a range after its `-`; `None` where the `-` is the last member.
fn range_end(text: &[u8]) -> Option<Result<(u8, usize), BadBracket>> {
    (text.first() != Some(&b']')).then(|| member(text))
}

/// One member, perhaps quoted by a backslash, and the number of bytes it is written in.
fn member(text: &[u8]) -> Result<(u8, usize), BadBracket> {
    match text {
        [b'\\', quoted, ..] => Ok((*quoted, 2)),
        [b'\\'] | [] => Err(BadBracket::Unclosed),
        [byte, ..] => Ok((*byte, 1)),
    }
}

/// The name in a `[:name:]` at the start of `text` and the length of the whole; `None` for anything else.
fn class_name(text: &[u8]) -> Option<(&[u8], usize)> {
    let rest = text.strip_prefix(b"[:")?;
    let end = rest.iter().position(|b| *b == b']')?;
    let name = rest[..end].strip_suffix(b":")?;
    Some((name, end + 3))
}

fn insert_named(set: &mut ByteSet, name: &[u8]) -> Result<(), BadBracket> {
    let is_member: fn(u8) -> bool = match name {
        b"alnum" => |b| b.is_ascii_alphanumeric(),
        b"alpha" => |b| b.is_ascii_alphabetic(),
        b"blank" => |b| b == b' ' || b == b'\t',
        b"cntrl" => |b| b.is_ascii_control(),
        b"digit" => |b| b.is_ascii_digit(),
        b"graph" => |b| b.is_ascii_graphic(),
        b"lower" => |b| b.is_ascii_lowercase(),
        b"print" => |b| b.is_ascii_graphic() || b == b' ',
        b"punct" => |b| b.is_ascii_punctuation(),
        // Vertical tab included, which `is_ascii_whitespace` leaves out.
        b"space" => |b| matches!(b, b' ' | b'\t'..=b'\r'),
        b"upper" => |b| b.is_ascii_uppercase(),
        b"xdigit" => |b| b.is_ascii_hexdigit(),
        _ => return Err(BadBracket::UnknownClass),
    };
    set.insert_class(is_member);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The printable members of a bracket, without the `[` in front, or why it is bad.
    fn members(text: &str) -> Result<String, BadBracket> {
        let (set, len) = parse(text.as_bytes())?;
        assert_eq!(len, text.len(), "{text}");
        Ok((b' '..=b'~')
            .filter(|b| set.contains(*b))
            .map(char::from)
            .collect())
    }

    #[test]
    fn a_bracket_stands_for_its_members_and_ranges() {
        for (text, expected) in [
            ("abc]", "abc"),
            ("a-c]", "abc"),
            ("]]", "]"),
            ("]a]", "]a"),
            ("-a]", "-a"),
            ("a-]", "-a"),
            ("a-c-e]", "-abce"),
            ("z-a]", "z"),
            ("a^]", "^a"),
            (r"\]]", "]"),
            (r"a\-c]", "-ac"),
            (r"a-\c]", "abc"),
            ("[:digit:]a]", "0123456789a"),
            ("[:digit:]-c]", "-0123456789c"),
            ("a-[:]", ":a"),
            ("[:alpha]", ":[ahlp"),
            ("[:]", ":["),
            ("a/]", "a"),
            (".-0]", ".0"),
        ] {
            let mut expected: Vec<_> = expected.chars().collect();
            expected.sort_unstable();
            assert_eq!(
                members(text).unwrap(),
                String::from_iter(expected),
                "[{text}"
            );
        }
    }

    #[test]
    fn an_inverted_bracket_never_stands_for_a_slash() {
        for text in [&b"!a]"[..], b"^a]"] {
            let (set, _) = parse(text).unwrap();
            let out: Vec<u8> = (0..=255).filter(|b| !set.contains(*b)).collect();
            assert_eq!(out, b"/a");
        }
        let (set, _) = parse(b"!]a]").unwrap();
        assert!(!set.contains(b']') && !set.contains(b'a') && set.contains(b'b'));
    }

    #[test]
    fn a_bracket_without_end_or_with_an_unknown_class_is_bad() {
        for text in [
            "",
            "]",
            "!]",
            "!",
            "abc",
            r"abc\",
            r"a-\",
            "a-",
            "[:alpha:]",
        ] {
            assert_eq!(members(text), Err(BadBracket::Unclosed), "[{text}");
        }
        for text in ["[:letter:]]", "[::]]", "a[:Alpha:]]"] {
            assert_eq!(members(text), Err(BadBracket::UnknownClass), "[{text}");
        }
    }

    #[test]
    fn classes_are_those_of_the_c_locale() {
        let count = |name: &str| {
            let (set, _) = parse(format!("[:{name}:]]").as_bytes()).unwrap();
            (0..=255).filter(|b| set.contains(*b)).count()
        };
        // POSIX "Base Definitions" 7.3.1, without `/`, which a bracket never stands for.
        for (name, len) in [
            ("alnum", 62),
            ("alpha", 52),
            ("blank", 2),
            ("cntrl", 33),
            ("digit", 10),
            ("graph", 93),
            ("lower", 26),
            ("print", 94),
            ("punct", 31),
            ("space", 6),
            ("upper", 26),
            ("xdigit", 22),
        ] {
            assert_eq!(count(name), len, "{name}");
        }
    }
}
