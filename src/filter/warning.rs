//! Lines that do something else than they seem to: rsync takes them in silence, rsyn says so.
//!
//! Decided here: what looks odd in a single line, and the words for it. An include that other rules
//! keep from ever being reached is found in `unreachable`. A warning changes nothing about a rule.

use std::fmt;

use super::glob::BadGlob;
use super::line::{Line, MAX_PATTERN_BYTES};
use super::pattern::{Form, Pattern};
use super::rule::{Origin, Printable};

/// A line that probably does not do what its author wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where the line stands.
    pub origin: Origin,
    /// The pattern, or the whole line if it is none.
    pub text: Box<[u8]>,
    /// What is odd about it.
    pub kind: WarningKind,
}

/// What is odd about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WarningKind {
    /// `!name`, which in a .gitignore would take an exception back in.
    Negation,
    /// A `!` alone that dropped so many rules.
    ClearsRules(usize),
    /// A blank or a tab at the end.
    TrailingBlank,
    /// A blank or a tab in front.
    LeadingBlank,
    /// The UTF-8 byte order mark that some editors put in front of a file.
    ByteOrderMark,
    /// A backslash in a pattern without wildcards, where it quotes nothing.
    LiteralBackslash,
    /// `-name` or `+name`: a sign without the one blank that makes it one.
    SignWithoutBlank,
    /// A word of rsync's `--filter` language, which files of patterns do not know.
    FilterWord,
    /// A `[` that no `]` ends.
    UnclosedBracket,
    /// `[[:name:]]` with a name that is none.
    UnknownClass,
    /// A wildcard pattern that ends in a backslash.
    FinalBackslash,
    /// A component that no path has: an empty one, `.` or `..`.
    ImpossibleComponent,
    /// A pattern of 4096 bytes or more, of this length; it was dropped.
    OverLong(usize),
    /// An include that an earlier exclude leaves nothing to.
    Shadowed {
        /// The exclude and where it stands.
        by: String,
    },
    /// An include below a directory that is excluded itself.
    ParentExcluded {
        /// The directory.
        parent: Box<[u8]>,
        /// The exclude and where it stands.
        by: String,
    },
}

impl Warning {
    /// What the line does.
    #[must_use]
    pub fn message(&self) -> String {
        use WarningKind as Kind;
        let text = Printable(&self.text);
        match &self.kind {
            Kind::Negation => {
                format!("`{text}` is a pattern for a name that begins with `!`, no exception")
            }
            Kind::ClearsRules(count) => format!("`!` drops the {count} rules before it"),
            Kind::TrailingBlank => {
                format!("the blank at the end of `{text}` is part of the pattern")
            }
            Kind::LeadingBlank => format!("the blank in front of `{text}` is part of the pattern"),
            Kind::ByteOrderMark => {
                "the file begins with a byte order mark, which is part of the first pattern"
                    .to_owned()
            }
            Kind::LiteralBackslash => {
                format!("the backslash in `{text}` quotes nothing: there is no wildcard")
            }
            Kind::SignWithoutBlank => {
                format!("`{text}` is a pattern: a sign needs exactly one blank after it")
            }
            Kind::FilterWord => {
                format!("`{text}` is a pattern: there are no words but `+ ` and `- `")
            }
            Kind::UnclosedBracket => format!("`{text}` matches nothing: a `[` is not closed"),
            Kind::UnknownClass => format!("`{text}` matches nothing: it names an unknown class"),
            Kind::FinalBackslash => format!("`{text}` matches nothing: it ends in a backslash"),
            Kind::ImpossibleComponent => {
                format!("`{text}` matches nothing: no path has an empty, `.` or `..` component")
            }
            Kind::OverLong(len) => format!("a pattern of {len} bytes is dropped"),
            Kind::Shadowed { by } => format!("`+ {text}` is never reached: {by} comes first"),
            Kind::ParentExcluded { parent, by } => {
                format!(
                    "`+ {text}` is never reached: {by} excludes {}/",
                    Printable(parent)
                )
            }
        }
    }

    /// What to write instead.
    #[must_use]
    pub fn fix(&self) -> String {
        use WarningKind as Kind;
        let text = Printable(&self.text);
        let rest = Printable(self.text.get(1..).unwrap_or_default());
        match &self.kind {
            Kind::Negation => format!(
                "for an exception put `+ {rest}` before the rule that excludes it; \
                 if you mean the name, write `- {text}`"
            ),
            Kind::ClearsRules(_) => "remove the line to keep them".to_owned(),
            Kind::TrailingBlank | Kind::LeadingBlank => {
                "remove it; if you mean it, write `[ ]`".to_owned()
            }
            Kind::ByteOrderMark => "save the file as UTF-8 without it".to_owned(),
            Kind::LiteralBackslash => {
                r"remove it; if a name has one, write `[\\]`; for a name that begins with # write `[#]`"
                    .to_owned()
            }
            Kind::SignWithoutBlank => {
                format!("put one blank after the sign; if you mean the name, write `- {text}`")
            }
            Kind::FilterWord => {
                format!("write `- ` or `+ ` and the pattern; if you mean the name, write `- {text}`")
            }
            Kind::UnclosedBracket => r"close it, or write `\[` or `[[]` for the character".to_owned(),
            Kind::UnknownClass => "use alnum, alpha, blank, cntrl, digit, graph, lower, print, \
                                   punct, space, upper or xdigit"
                .to_owned(),
            Kind::FinalBackslash => r"remove it, or write `\\` for the character".to_owned(),
            Kind::ImpossibleComponent => {
                "write the path from the root as `/a/b`, a directory as `a/`".to_owned()
            }
            Kind::OverLong(_) => format!("keep patterns below {MAX_PATTERN_BYTES} bytes"),
            Kind::Shadowed { .. } => "put it before that rule".to_owned(),
            Kind::ParentExcluded { parent, .. } => {
                format!("put `+ {}/` before that rule", Printable(parent))
            }
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.origin, self.message(), self.fix())
    }
}

/// What is odd about a line, taken by itself; `rules_before` is the number of rules that a `!` drops.
pub(super) fn odd(line: Line<'_>, rules_before: usize, origin: &Origin) -> Vec<Warning> {
    let warning = |text: &[u8], kind| Warning {
        origin: origin.clone(),
        text: text.into(),
        kind,
    };
    match line {
        Line::Clear if rules_before > 0 => {
            vec![warning(b"!", WarningKind::ClearsRules(rules_before))]
        }
        Line::OverLong(len) => vec![warning(b"", WarningKind::OverLong(len))],
        Line::Rule {
            pattern, signed, ..
        } => odd_pattern(pattern, signed)
            .map(|kind| warning(pattern, kind))
            .collect(),
        Line::Blank | Line::Clear | Line::SignAlone => Vec::new(),
    }
}

fn odd_pattern(pattern: &[u8], signed: bool) -> impl Iterator<Item = WarningKind> {
    let unsigned = if signed { None } else { odd_start(pattern) };
    let leading = starts_blank(pattern).then_some(WarningKind::LeadingBlank);
    let trailing = ends_blank(pattern).then_some(WarningKind::TrailingBlank);
    [unsigned, leading, trailing, odd_text(pattern)]
        .into_iter()
        .flatten()
}

/// What looks like the start of another language in a line without a sign.
fn odd_start(pattern: &[u8]) -> Option<WarningKind> {
    match pattern {
        [b'!', _, ..] => Some(WarningKind::Negation),
        [0xef, 0xbb, 0xbf, ..] => Some(WarningKind::ByteOrderMark),
        [b'-' | b'+', _, ..] => Some(WarningKind::SignWithoutBlank),
        [b'.' | b':' | b'H' | b'S' | b'P' | b'R', b' ', _, ..] => Some(WarningKind::FilterWord),
        _ => starts_with_word(pattern).then_some(WarningKind::FilterWord),
    }
}

/// Whether it begins with a long name of rsync's filter language (man page, "FILTER RULES").
fn starts_with_word(pattern: &[u8]) -> bool {
    const WORDS: [&[u8]; 8] = [
        b"exclude",
        b"include",
        b"merge",
        b"dir-merge",
        b"hide",
        b"show",
        b"protect",
        b"risk",
    ];
    let is_start = |word: &&[u8]| {
        pattern
            .strip_prefix(*word)
            .is_some_and(|rest| matches!(rest, [b' ' | b',', _, ..]))
    };
    WORDS.iter().any(is_start)
}

fn starts_blank(pattern: &[u8]) -> bool {
    matches!(pattern, [b' ' | b'\t', ..] | [0xc2, 0xa0, ..])
}

fn ends_blank(pattern: &[u8]) -> bool {
    matches!(pattern, [.., b' ' | b'\t'] | [.., 0xc2, 0xa0])
}

/// What keeps a pattern from matching what it seems to.
fn odd_text(pattern: &[u8]) -> Option<WarningKind> {
    match Pattern::new(pattern).form() {
        Form::Never(BadGlob::UnclosedBracket) => return Some(WarningKind::UnclosedBracket),
        Form::Never(BadGlob::UnknownClass) => return Some(WarningKind::UnknownClass),
        Form::Never(BadGlob::FinalBackslash) => return Some(WarningKind::FinalBackslash),
        _ => {}
    }
    let wild = pattern.iter().any(|b| b"*?[".contains(b));
    if pattern.contains(&b'\\') && !wild {
        return Some(WarningKind::LiteralBackslash);
    }
    has_impossible_component(pattern).then_some(WarningKind::ImpossibleComponent)
}

/// Whether a component is empty, `.` or `..`, the slashes at both ends aside.
fn has_impossible_component(pattern: &[u8]) -> bool {
    let text = match pattern {
        [head @ .., b'/'] if !head.is_empty() => head,
        _ => pattern,
    };
    let text = text.strip_prefix(b"/").unwrap_or(text);
    text.split(|b| *b == b'/')
        .any(|part| matches!(part, b"" | b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::WarningKind as Kind;
    use crate::filter::{FileStyle, Origin, Rules, Sign, WarningKind};

    fn kinds(line: &[u8]) -> Vec<WarningKind> {
        let mut rules = Rules::new();
        rules.add_file(line, "f", FileStyle::EXCLUDE).unwrap();
        rules
            .warnings()
            .into_iter()
            .map(|warning| warning.kind)
            .collect()
    }

    #[test]
    fn a_line_that_means_something_else_elsewhere_is_named() {
        for (line, expected) in [
            (&b"!keep.o"[..], Kind::Negation),
            (b"foo ", Kind::TrailingBlank),
            (b"foo\t", Kind::TrailingBlank),
            (b"- foo ", Kind::TrailingBlank),
            (b"foo\xc2\xa0", Kind::TrailingBlank),
            (b"  foo", Kind::LeadingBlank),
            (b"-  foo", Kind::LeadingBlank),
            (b"\xef\xbb\xbf# title", Kind::ByteOrderMark),
            (b"\\#foo", Kind::LiteralBackslash),
            (b"\\!foo", Kind::LiteralBackslash),
            (b"my\\ file", Kind::LiteralBackslash),
            (b"-foo", Kind::SignWithoutBlank),
            (b"+\tfoo", Kind::SignWithoutBlank),
            (b"-_foo", Kind::SignWithoutBlank),
            (b"-! */", Kind::SignWithoutBlank),
            (b"--exclude=foo", Kind::SignWithoutBlank),
            (b"exclude foo", Kind::FilterWord),
            (b"include,r foo", Kind::FilterWord),
            (b"merge .more", Kind::FilterWord),
            (b". .more", Kind::FilterWord),
            (b": .rsync-filter", Kind::FilterWord),
            (b"P keep", Kind::FilterWord),
            (b"foo[", Kind::UnclosedBracket),
            (b"[[:letter:]]", Kind::UnknownClass),
            (b"foo*\\", Kind::FinalBackslash),
            (b"./foo", Kind::ImpossibleComponent),
            (b"a//b", Kind::ImpossibleComponent),
            (b"../*", Kind::ImpossibleComponent),
            (b"/", Kind::ImpossibleComponent),
            (b"//", Kind::ImpossibleComponent),
            (b"foo//", Kind::ImpossibleComponent),
        ] {
            assert_eq!(kinds(line), [expected], "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_line_that_says_what_it_means_is_not() {
        for line in [
            &b"*.o"[..],
            b"/a/b/",
            b"**/x",
            b"a/**/b",
            b"- !x",
            b"- -x",
            b"- P x",
            b"-",
            b"+",
            b"!",
            b"",
            b"#  x ",
            b"[#]foo",
            b"[ ]foo[ ]",
            b"foo[\\\\]bar",
            b"\\#*",
            b"\\**",
            b"...",
            b".a",
            b"a.",
            b"+ */",
            b"foo bar",
            b"exclude",
            b"exclude_me/",
            b"includes/",
            b"P",
            b"PS x",
            b"a-b",
            b"\xff",
            b"- exclude foo",
        ] {
            assert_eq!(kinds(line), [], "{}", line.escape_ascii());
        }
    }

    #[test]
    fn dropping_rules_is_named_and_the_oddities_of_dropped_rules_are_not() {
        assert_eq!(kinds(b"a \nb\n!\nc\n"), [Kind::ClearsRules(2)]);
        assert_eq!(
            kinds(b"a\n!\nb \n!\n"),
            [Kind::ClearsRules(1), Kind::ClearsRules(1)]
        );
        assert_eq!(kinds(b"!\n!\n"), []);
    }

    #[test]
    fn a_dropped_pattern_is_named_with_its_length() {
        assert_eq!(kinds(&[b'x'; 4096]), [Kind::OverLong(4096)]);
        assert_eq!(kinds(&[b'x'; 4095]), []);
    }

    #[test]
    fn a_warning_says_where_what_and_how_to_mend_it() {
        let mut rules = Rules::new();
        rules
            .add_file(b"*.o\n!keep.o\n", ".rsync-exclude", FileStyle::EXCLUDE)
            .unwrap();
        rules
            .add_rule(Sign::Exclude, b"a\x1b[ ", Origin::option("--exclude"))
            .unwrap();
        let texts: Vec<_> = rules.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                ".rsync-exclude line 2: `!keep.o` is a pattern for a name that begins with `!`, \
                 no exception; for an exception put `+ keep.o` before the rule that excludes it; \
                 if you mean the name, write `- !keep.o`",
                "--exclude: the blank at the end of `a\\u{1b}[ ` is part of the pattern; \
                 remove it; if you mean it, write `[ ]`",
                "--exclude: `a\\u{1b}[ ` matches nothing: a `[` is not closed; \
                 close it, or write `\\[` or `[[]` for the character",
            ]
        );
    }
}
