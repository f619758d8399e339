//! One pattern: which part of a path it is compared with, and the comparison.
//!
//! The text decides everything: a leading `/` ties it to the root, a trailing `/` makes it one for
//! directories, slashes inside and `**` say how much of the path is looked at (`docs/filter-rules.md`,
//! "What a pattern is compared with"). What it leaves to others: signs and order (`rules`), files
//! (`lines`, `line`).

use super::glob::{self, BadGlob, Glob, Meter, Token};

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    dir_only: bool,
    form: Form,
}

/// The part of a path that is compared, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// The last component.
    Name(Text),
    /// The last so many components, two or more; a path with fewer does not match.
    Tail(usize, Text),
    /// The whole path.
    Whole(Text),
    /// The whole path, or its rest from just after any `/`, begins with these bytes.
    Below(Box<[u8]>),
    /// A glob with `**`.
    Deep(Deep),
    /// The pattern matches nothing.
    Never(BadGlob),
}

/// A string of bytes without `**`, or with one at its start or end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// These bytes.
    Literal(Box<[u8]>),
    /// Anything, then these bytes.
    Suffix(Box<[u8]>),
    /// These bytes, then anything.
    Prefix(Box<[u8]>),
    /// A match of this glob, which has no `**`.
    Glob(Glob),
}

/// A glob with `**` and what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deep {
    glob: Glob,
    start: Start,
    /// Plain bytes that every path it matches has somewhere.
    needle: Box<[u8]>,
    /// The pattern ends in three stars: a `/` is added to the path of a directory.
    dir_too: bool,
}

/// Where a deep pattern may begin to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// At the start of the path: the pattern begins with `/`.
    Path,
    /// At the start of any component.
    AnyComponent,
    /// At a `/` put before the path: the pattern begins with `**`.
    Slash,
}

/// An entry as patterns see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    path: &'a [u8],
    name: &'a [u8],
    is_dir: bool,
}

impl<'a> Subject<'a> {
    /// `path` is relative to the root: components joined by `/`, no slash at either end.
    pub(super) fn new(path: &'a [u8], is_dir: bool) -> Self {
        let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
        Self { path, name, is_dir }
    }

    /// The last component.
    pub(super) fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Whether it is a directory.
    pub(super) fn is_dir(&self) -> bool {
        self.is_dir
    }

    /// The last `count` components, one or more; `None` if there are fewer.
    fn tail(&self, count: usize) -> Option<&'a [u8]> {
        let mut missing = count;
        for (at, byte) in self.path.iter().enumerate().rev() {
            if *byte == b'/' {
                missing -= 1;
                if missing == 0 {
                    return Some(&self.path[at + 1..]);
                }
            }
        }
        (missing == 1).then_some(self.path)
    }
}

impl Pattern {
    /// Compiles the text of a rule, its sign taken off.
    pub(super) fn new(text: &[u8]) -> Self {
        let (text, dir_only) = match text {
            [head @ .., b'/'] if !head.is_empty() => (head, true),
            _ => (text, false),
        };
        Self {
            dir_only,
            form: Form::new(text),
        }
    }

    /// Whether the entry is what this pattern describes.
    pub(super) fn matches(&self, subject: Subject<'_>, meter: &mut impl Meter) -> bool {
        if self.dir_only && !subject.is_dir {
            return false;
        }
        meter.steps(1);
        match &self.form {
            Form::Name(text) => text.is(subject.name, meter),
            Form::Tail(count, text) => {
                let tail = subject.tail(*count);
                meter.steps(scanned(tail.map_or(subject.path.len(), <[u8]>::len)));
                tail.is_some_and(|tail| text.is(tail, meter))
            }
            Form::Whole(text) => text.is(subject.path, meter),
            Form::Below(dir) => {
                meter.steps(scanned(subject.path.len()));
                begins_at_any_component(subject.path, dir)
            }
            Form::Deep(deep) => deep.matches(subject, meter),
            Form::Never(_) => false,
        }
    }

    /// Whether directories alone can match.
    pub(super) fn is_dir_only(&self) -> bool {
        self.dir_only
    }

    /// What it is compared with.
    pub(super) fn form(&self) -> &Form {
        &self.form
    }
}

/// Converts a search for one byte among so many bytes into its cost in comparisons.
fn scanned(bytes: usize) -> usize {
    bytes / 16
}

impl Form {
    /// `text` has no sign and no trailing slash for directories any more.
    fn new(text: &[u8]) -> Self {
        let slashes = text.iter().filter(|b| **b == b'/').count();
        let deep = text.windows(2).any(|pair| pair == b"**");
        let anchored = text.strip_prefix(b"/");
        if !text.iter().any(|b| matches!(b, b'*' | b'?' | b'[')) {
            let literal = Text::Literal(anchored.unwrap_or(text).into());
            return Self::shallow(anchored.is_some(), slashes, literal);
        }
        let glob = match glob::parse(anchored.unwrap_or(text)) {
            Ok(glob) => glob,
            Err(bad) => return Self::Never(bad),
        };
        if !deep {
            return Self::shallow(anchored.is_some(), slashes, Text::new(glob, slashes == 0));
        }
        let start = match anchored {
            Some(_) => Start::Path,
            None if text.starts_with(b"**") => Start::Slash,
            None => Start::AnyComponent,
        };
        Self::deep(Deep::new(glob, start, text.ends_with(b"***")))
    }

    /// A pattern without `**`.
    fn shallow(anchored: bool, slashes: usize, text: Text) -> Self {
        match (anchored, slashes) {
            (true, _) => Self::Whole(text),
            (false, 0) => Self::Name(text),
            (false, slashes) => Self::Tail(slashes + 1, text),
        }
    }

    /// A pattern with `**`, in a form that is quick to compare where there is one.
    fn deep(deep: Deep) -> Self {
        if deep.dir_too {
            return Self::Deep(deep);
        }
        let quick = match (deep.start, deep.glob.tokens()) {
            // `/foo/**`
            (Start::Path, [head @ .., Token::DeepStar]) => {
                plain(head).map(|head| Self::Whole(Text::Prefix(head)))
            }
            // `foo/**`
            (Start::AnyComponent, [head @ .., Token::DeepStar]) => plain(head).map(Self::Below),
            // `**/foo`: the `/` put before the path makes it the same as `foo`.
            (Start::Slash, [Token::DeepStar, Token::Byte(b'/'), rest @ ..])
                if !rest.contains(&Token::DeepStar) =>
            {
                let slashes = rest.iter().filter(|t| **t == Token::Byte(b'/')).count();
                let text = Text::new(deep.glob.without_first(2), slashes == 0);
                Some(Self::shallow(false, slashes, text))
            }
            // `**/foo/**`
            (
                Start::Slash,
                [
                    Token::DeepStar,
                    Token::Byte(b'/'),
                    head @ ..,
                    Token::DeepStar,
                ],
            ) => plain(head).map(Self::Below),
            // `**foo`
            (Start::Slash, [Token::DeepStar, rest @ ..]) => {
                plain(rest).map(|rest| Self::Whole(Text::Suffix(rest)))
            }
            _ => None,
        };
        quick.unwrap_or(Self::Deep(deep))
    }
}

/// The bytes of pieces that all stand for one byte each.
fn plain(tokens: &[Token]) -> Option<Box<[u8]>> {
    tokens.iter().map(Token::plain).collect()
}

impl Text {
    /// The quickest form of a glob without `**`; `in_name`: it is compared with single components.
    fn new(glob: Glob, in_name: bool) -> Self {
        if let Some(bytes) = plain(glob.tokens()) {
            return Self::Literal(bytes);
        }
        match glob.tokens() {
            [Token::Star, rest @ ..] if in_name => plain(rest).map(Self::Suffix),
            [head @ .., Token::Star] if in_name => plain(head).map(Self::Prefix),
            _ => None,
        }
        .unwrap_or(Self::Glob(glob))
    }

    fn is(&self, subject: &[u8], meter: &mut impl Meter) -> bool {
        match self {
            Self::Literal(bytes) => subject == &**bytes,
            Self::Suffix(bytes) => subject.ends_with(bytes),
            Self::Prefix(bytes) => subject.starts_with(bytes),
            Self::Glob(glob) => glob.matches(subject, meter),
        }
    }
}

impl Deep {
    fn new(glob: Glob, start: Start, dir_too: bool) -> Self {
        // The slashes at its ends could be those added to the path.
        let run = glob.longest_plain_run();
        let needle = run.strip_prefix(b"/").unwrap_or(&run);
        Self {
            needle: needle.strip_suffix(b"/").unwrap_or(needle).into(),
            glob,
            start,
            dir_too,
        }
    }

    fn matches(&self, subject: Subject<'_>, meter: &mut impl Meter) -> bool {
        let before: &[u8] = if self.start == Start::Slash {
            b"/"
        } else {
            b""
        };
        let after: &[u8] = if self.dir_too && subject.is_dir {
            b"/"
        } else {
            b""
        };
        let bytes = before.iter().chain(subject.path).chain(after).copied();
        if self.glob.refuses_end(bytes.clone()) {
            return false;
        }
        meter.steps(subject.path.len());
        if !contains(subject.path, &self.needle) {
            return false;
        }
        self.glob
            .matches_deep(bytes, self.start == Start::AnyComponent, meter)
    }
}

fn contains(path: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || path.windows(needle.len()).any(|window| window == needle)
}

/// Whether `path`, or its rest from just after any `/`, begins with `start`.
fn begins_at_any_component(path: &[u8], start: &[u8]) -> bool {
    let mut slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
    path.starts_with(start) || slashes.any(|(at, _)| path[at + 1..].starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `path` ends in `/` for a directory.
    fn matches(pattern: &str, path: &str) -> bool {
        let (path, is_dir) = path
            .strip_suffix('/')
            .map_or((path, false), |dir| (dir, true));
        let subject = Subject::new(path.as_bytes(), is_dir);
        Pattern::new(pattern.as_bytes()).matches(subject, &mut ())
    }

    fn form(pattern: &str) -> Form {
        Pattern::new(pattern.as_bytes()).form
    }

    #[test]
    fn a_pattern_is_compared_with_the_part_of_the_path_that_its_slashes_say() {
        // Pattern, what it matches, what it does not.
        for (pattern, yes, no) in [
            ("foo", "foo foo/ d/foo", "xfoo foo/x"),
            ("foo/", "foo/ d/foo/", "foo d/foo"),
            ("/foo", "foo foo/", "d/foo"),
            ("d/foo", "d/foo x/d/foo", "foo xd/foo d/x/foo"),
            ("*/foo", "d/foo e/d/foo", "foo"),
            ("/*/foo", "d/foo", "foo e/d/foo"),
            ("/d/*.o", "d/a.o", "x/d/a.o d/e/a.o"),
            ("foo/**", "foo/a foo/a/b x/foo/a", "foo foo/ xfoo/a"),
            ("/foo/**", "foo/a foo/a/b", "foo foo/ x/foo/a"),
            ("foo/***", "foo/ foo/a x/foo/ x/foo/a", "foo xfoo/"),
            ("foo***", "foo foo/ foobar x/foo/a", "xfoo"),
            ("**/foo/**", "foo/a foo/a/b x/foo/a", "foo foo/ xfoo/a"),
            ("f*/***", "foo/ foo/a x/foo/", "foo bar/"),
            ("/foo/***", "foo/ foo/a", "foo x/foo/ foobar/"),
            ("/foo***", "foo/ foo/a foobar/ foobar", "x/foo"),
            ("a/**/b", "a/x/b a/x/y/b x/a/y/b", "a/b"),
            ("a**b", "ab a/b axb/yb x/a/b", "xa/b"),
            ("**/foo", "foo d/foo", "xfoo d/xfoo foo/x"),
            ("**foo", "foo xfoo d/xfoo", "foo/x"),
            ("**/d/foo", "d/foo x/d/foo", "foo xd/foo"),
            ("**/d/f*", "d/foo x/d/foo", "d/x/foo"),
            ("/**/*", "a/b a/b/c", "a"),
            ("**/*", "a a/b", ""),
            ("**/", "a/ a/b/", "a a/b"),
            ("foo/**/", "foo/a/", "foo/ foo/a"),
            ("a[/]b", "", "a/b a[/]b"),
            ("**a/***", "a/ xa/ d/a/ a/b", "a"),
            ("a[/x]b", "", "axb d/axb a/b"),
            ("**/fo*/**", "foo/a x/foo/a", "foo xfoo/a"),
            (r"\**/b", "*/b x/*a/b", r"a/b \*/b"),
            (r"\*", "* d/*", r"\* a"),
            (r"foo\*", "foo*", r"foo\* foox"),
            (r"foo\x", r"foo\x", "foox"),
            (r"\**", "* *a x/*", "a"),
        ] {
            for path in yes.split_whitespace() {
                assert!(matches(pattern, path), "{pattern} on {path}");
            }
            for path in no.split_whitespace() {
                assert!(!matches(pattern, path), "{pattern} on {path}");
            }
        }
    }

    #[test]
    fn common_patterns_are_compared_without_a_glob() {
        let bytes = |text: &str| text.as_bytes().into();
        for (pattern, expected) in [
            ("foo/", Form::Name(Text::Literal(bytes("foo")))),
            ("**/foo/", Form::Name(Text::Literal(bytes("foo")))),
            ("*.o", Form::Name(Text::Suffix(bytes(".o")))),
            ("**/*.o", Form::Name(Text::Suffix(bytes(".o")))),
            (".env.*", Form::Name(Text::Prefix(bytes(".env.")))),
            ("/a/b", Form::Whole(Text::Literal(bytes("a/b")))),
            ("/a/**", Form::Whole(Text::Prefix(bytes("a/")))),
            ("**~", Form::Whole(Text::Suffix(bytes("~")))),
            ("a/b", Form::Tail(2, Text::Literal(bytes("a/b")))),
            ("a/**", Form::Below(bytes("a/"))),
            ("**/a/**", Form::Below(bytes("a/"))),
        ] {
            assert_eq!(form(pattern), expected, "{pattern}");
        }
    }
}
