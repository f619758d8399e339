//! A wildcard pattern against a string of bytes, in time that no pattern can make explode.
//!
//! What it leaves to others: which part of a path the string is (`pattern`).
//!
//! Two ways to match, each at most about tokens times bytes steps:
//! - without `**` only the most recent `*` needs to be tried again, because an earlier one could not
//!   get past the same `/` either (the usual linear-space wildcard match);
//! - with `**` all positions in the pattern that the bytes so far can have led to are kept as a set
//!   of bits (simulation of a nondeterministic automaton; K. Thompson, "Regular expression search
//!   algorithm", CACM 11(6), 1968).

use super::bracket::{self, BadBracket, ByteSet};
use super::line::MAX_PATTERN_BYTES;

/// What one piece of a pattern stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// This byte.
    Byte(u8),
    /// `?`: any byte but `/`.
    Any,
    /// `[...]`: a byte of the glob's set of this number.
    Set(u16),
    /// `*`: any number of bytes without `/`.
    Star,
    /// `**` or more stars: any number of any bytes.
    DeepStar,
}

impl Token {
    /// The byte, if it stands for just one.
    pub(super) fn plain(&self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(*byte),
            _ => None,
        }
    }
}

/// Why a pattern can match nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadGlob {
    /// A `[` that no `]` ends.
    UnclosedBracket,
    /// `[[:name:]]` with a name that is none.
    UnknownClass,
    /// A backslash with nothing after it.
    FinalBackslash,
}

impl From<BadBracket> for BadGlob {
    fn from(bad: BadBracket) -> Self {
        match bad {
            BadBracket::Unclosed => Self::UnclosedBracket,
            BadBracket::UnknownClass => Self::UnknownClass,
        }
    }
}

/// Counts the steps of a match; `()` does not.
pub(super) trait Meter {
    /// So many comparisons, each of a token with a byte or as quick.
    fn steps(&mut self, count: usize);

    /// Whether they are more than they may be.
    fn is_spent(&self) -> bool {
        false
    }
}

impl Meter for () {
    fn steps(&mut self, _: usize) {}
}

/// A parsed wildcard pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    tokens: Box<[Token]>,
    sets: Box<[ByteSet]>,
}

/// Reads a wildcard pattern of less than [`MAX_PATTERN_BYTES`] bytes.
pub(super) fn parse(text: &[u8]) -> Result<Glob, BadGlob> {
    let mut tokens = Vec::with_capacity(text.len());
    let mut sets: Vec<ByteSet> = Vec::new();
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        let token = match byte {
            b'?' => Token::Any,
            b'*' => {
                let more = rest.iter().take_while(|b| **b == b'*').count();
                rest = &rest[more..];
                if more == 0 {
                    Token::Star
                } else {
                    Token::DeepStar
                }
            }
            b'\\' => {
                let (quoted, after) = rest.split_first().ok_or(BadGlob::FinalBackslash)?;
                rest = after;
                Token::Byte(*quoted)
            }
            b'[' => {
                let (set, len) = bracket::parse(rest)?;
                rest = &rest[len..];
                Token::Set(number_of(&mut sets, set))
            }
            byte => Token::Byte(*byte),
        };
        tokens.push(token);
    }
    Ok(Glob {
        tokens: tokens.into(),
        sets: sets.into(),
    })
}

/// The place of `set` among `sets`, added there unless the last one is the same.
fn number_of(sets: &mut Vec<ByteSet>, set: ByteSet) -> u16 {
    if sets.last() != Some(&set) {
        sets.push(set);
    }
    // A bracket takes three bytes at least, so a pattern of the allowed length has no 65,536 of them.
    u16::try_from(sets.len() - 1).unwrap_or(u16::MAX)
}

impl Glob {
    /// The pieces in order. Two stars never follow one another.
    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The longest run of pieces that each stand for one given byte.
    pub(super) fn longest_plain_run(&self) -> Vec<u8> {
        let runs = self
            .tokens
            .split(|token| !matches!(token, Token::Byte(_)))
            .map(|run| run.iter().filter_map(Token::plain).collect());
        runs.max_by_key(Vec::len).unwrap_or_default()
    }

    /// The same glob without its first `count` pieces.
    pub(super) fn without_first(&self, count: usize) -> Self {
        Self {
            tokens: self.tokens[count..].into(),
            sets: self.sets.clone(),
        }
    }

    /// Whether the glob, which has no `**`, matches the whole of `subject`.
    ///
    /// At most `tokens * (bytes + 1)` steps.
    pub(super) fn matches(&self, subject: &[u8], meter: &mut impl Meter) -> bool {
        if self.refuses_end(subject.iter().copied()) {
            return false;
        }
        let (mut token_at, mut byte_at) = (0, 0);
        // Behind the most recent star: the token after it and the byte where the next try begins.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let (token, byte) = (self.tokens.get(token_at), subject.get(byte_at));
            meter.steps(1);
            match (token, byte) {
                (None, None) => return true,
                (Some(Token::Star), _) => {
                    token_at += 1;
                    retry = Some((token_at, byte_at));
                    continue;
                }
                (Some(token), Some(byte)) if self.accepts(*token, *byte) => {
                    token_at += 1;
                    byte_at += 1;
                    continue;
                }
                // Pieces are left and bytes are not: a longer star would leave even fewer.
                (Some(_), None) => return false,
                _ => {}
            }
            match retry {
                Some((after_star, from)) if subject[from] != b'/' => {
                    (token_at, byte_at) = (after_star, from + 1);
                    retry = Some((after_star, from + 1));
                }
                _ => return false,
            }
        }
    }

    /// Whether the glob matches all of `subject`, or, if `at_any_component`, its rest from just after
    /// any `/`.
    ///
    /// At most `(tokens + 1) * (bytes + 1)` steps. Whether its end fits at all is for the caller to ask first.
    pub(super) fn matches_deep(
        &self,
        subject: impl DoubleEndedIterator<Item = u8> + Clone,
        at_any_component: bool,
        meter: &mut impl Meter,
    ) -> bool {
        // Nearly every pattern is short; the states of a long one take a kilobyte to clear.
        if self.tokens.len() < 64 {
            self.simulate::<1>(subject, at_any_component, meter)
        } else {
            self.simulate::<WORDS>(subject, at_any_component, meter)
        }
    }

    /// The simulation itself, with states of `W` words.
    fn simulate<const W: usize>(
        &self,
        subject: impl Iterator<Item = u8>,
        at_any_component: bool,
        meter: &mut impl Meter,
    ) -> bool {
        let (mut now, mut next) = (&mut States::<W>::at_start(self), &mut States([0; W]));
        for byte in subject {
            if now.reaches_final_deep_star(self) {
                return true;
            }
            next.0.fill(0);
            now.for_each(|at| {
                meter.steps(1);
                self.follow(at, byte, next);
            });
            if at_any_component && byte == b'/' {
                next.insert(0, self);
            }
            std::mem::swap(&mut now, &mut next);
        }
        now.contains(self.tokens.len())
    }

    /// Puts into `next` where `byte` leads from the piece number `at`.
    fn follow<const W: usize>(&self, at: usize, byte: u8, next: &mut States<W>) {
        match self.tokens.get(at) {
            Some(Token::DeepStar) => next.insert(at, self),
            Some(Token::Star) if byte != b'/' => next.insert(at, self),
            Some(token) if self.accepts(*token, byte) => next.insert(at + 1, self),
            _ => {}
        }
    }

    /// Whether a piece that stands for one byte stands for this one.
    fn accepts(&self, token: Token, byte: u8) -> bool {
        match token {
            Token::Byte(wanted) => wanted == byte,
            Token::Any => byte != b'/',
            Token::Set(number) => self.sets[usize::from(number)].contains(byte),
            Token::Star | Token::DeepStar => false,
        }
    }

    /// Whether the plain bytes that end the glob already differ from the end of `subject`.
    pub(super) fn refuses_end(&self, subject: impl DoubleEndedIterator<Item = u8>) -> bool {
        let mut from_end = subject.rev();
        let mut plain = self.tokens.iter().rev().map_while(Token::plain);
        plain.any(|byte| from_end.next() != Some(byte))
    }
}

/// Words of [`States`]: one bit for each piece of the longest pattern, and one for its end.
const WORDS: usize = MAX_PATTERN_BYTES / 64 + 1;

/// Positions in a glob: before the piece of that number, or at the end.
struct States<const W: usize>([u64; W]);

impl<const W: usize> States<W> {
    fn at_start(glob: &Glob) -> Self {
        let mut states = Self([0; W]);
        states.insert(0, glob);
        states
    }

    fn contains(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    /// Adds `at` and, because a star also stands for nothing, what follows a star there.
    fn insert(&mut self, at: usize, glob: &Glob) {
        self.0[at / 64] |= 1 << (at % 64);
        if matches!(glob.tokens.get(at), Some(Token::Star | Token::DeepStar)) {
            self.0[(at + 1) / 64] |= 1 << ((at + 1) % 64);
        }
    }

    /// Whether the glob ends in a `**` that has been reached: then any rest matches.
    fn reaches_final_deep_star(&self, glob: &Glob) -> bool {
        matches!(glob.tokens.last(), Some(Token::DeepStar)) && self.contains(glob.tokens.len() - 1)
    }

    fn for_each(&self, mut visit: impl FnMut(usize)) {
        for (word, bits) in self.0.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                visit(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Steps(usize);

    impl Meter for Steps {
        fn steps(&mut self, count: usize) {
            self.0 += count;
        }
    }

    /// Both ways to match, where both apply; they must agree.
    fn matches(glob: &Glob, subject: &[u8]) -> bool {
        let deep = glob.matches_deep(subject.iter().copied(), false, &mut ());
        if !glob.tokens.contains(&Token::DeepStar) {
            assert_eq!(
                glob.matches(subject, &mut ()),
                deep,
                "{glob:?} {}",
                subject.escape_ascii()
            );
        }
        deep
    }

    /// The meaning of a glob, by trying everything.
    fn naive(glob: &Glob, tokens: &[Token], subject: &[u8]) -> bool {
        let Some((token, after)) = tokens.split_first() else {
            return subject.is_empty();
        };
        let next = subject.split_first();
        match token {
            Token::Star | Token::DeepStar => {
                let passes = |byte: u8| *token == Token::DeepStar || byte != b'/';
                naive(glob, after, subject)
                    || next.is_some_and(|(byte, rest)| passes(*byte) && naive(glob, tokens, rest))
            }
            token => next.is_some_and(|(byte, rest)| {
                glob.accepts(*token, *byte) && naive(glob, after, rest)
            }),
        }
    }

    /// Every string of up to `len` pieces.
    fn strings(pieces: &[&str], len: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut from = 0;
        for _ in 0..len {
            let to = all.len();
            for at in from..to {
                let longer: Vec<_> = pieces.iter().map(|p| format!("{}{p}", all[at])).collect();
                all.extend(longer);
            }
            from = to;
        }
        all
    }

    #[test]
    fn every_short_glob_matches_what_trying_everything_finds() {
        let subjects = strings(&["a", "b", "/"], 5);
        for text in strings(&["a", "/", "?", "*", "**", "[!a]"], 4) {
            let glob = parse(text.as_bytes()).unwrap();
            for subject in &subjects {
                let expected = naive(&glob, &glob.tokens, subject.as_bytes());
                assert_eq!(
                    matches(&glob, subject.as_bytes()),
                    expected,
                    "{text} on {subject}"
                );
            }
        }
    }

    #[test]
    fn a_deep_glob_may_begin_at_any_component_if_it_is_asked_to() {
        let subjects = strings(&["a", "b", "/"], 6);
        for text in strings(&["a", "/", "*", "**"], 4) {
            let glob = parse(text.as_bytes()).unwrap();
            for subject in subjects.iter().map(String::as_bytes) {
                let slashes = (0..subject.len()).filter(|at| subject[*at] == b'/');
                let mut starts = [0].into_iter().chain(slashes.map(|at| at + 1));
                let expected = starts.any(|at| naive(&glob, &glob.tokens, &subject[at..]));
                let found = glob.matches_deep(subject.iter().copied(), true, &mut ());
                assert_eq!(found, expected, "{text} on {}", subject.escape_ascii());
            }
        }
    }

    #[test]
    fn no_pattern_takes_more_steps_than_its_length_times_that_of_the_path() {
        let long_patterns = [
            "*a".repeat(2000) + "b",
            "*a*".repeat(1000) + "[b]",
            "a*".repeat(2000) + "?b[b]",
            "**/".repeat(1300) + "[b]",
            "**a".repeat(1300) + "[b]",
            "**?".repeat(1300) + "[b]",
            "**[a-z]*".repeat(500) + "?[b]",
            "*[!b]".repeat(800) + "b",
            "*".repeat(4000) + "[b]",
            "?".repeat(2000) + "**" + &"?".repeat(2000) + "[b]",
            "[a]".repeat(1300) + "*",
            "**/*".repeat(1000) + "/**/[b]",
        ];
        let long_paths = [
            "a".repeat(4095),
            "a/".repeat(2047) + "a",
            "aaaaaaaaaaaaaaa/".repeat(255) + "a",
            "/".repeat(4095),
        ];
        for pattern in &long_patterns {
            let glob = parse(pattern.as_bytes()).unwrap();
            for path in &long_paths {
                let bound = (glob.tokens.len() + 1) * (path.len() + 1);
                for at_any_component in [false, true] {
                    let mut steps = Steps(0);
                    glob.matches_deep(path.bytes(), at_any_component, &mut steps);
                    assert!(steps.0 <= bound, "{} steps for {:.40}", steps.0, pattern);
                }
                if !glob.tokens.contains(&Token::DeepStar) {
                    let mut steps = Steps(0);
                    glob.matches(path.as_bytes(), &mut steps);
                    assert!(steps.0 <= bound, "{} steps for {:.40}", steps.0, pattern);
                }
            }
        }
    }

    #[test]
    fn a_backslash_at_the_end_and_a_bad_bracket_make_no_glob() {
        assert_eq!(parse(br"a*\"), Err(BadGlob::FinalBackslash));
        assert_eq!(parse(b"*[a"), Err(BadGlob::UnclosedBracket));
        assert_eq!(parse(b"[[:x:]]"), Err(BadGlob::UnknownClass));
        assert!(parse(br"a*\\").is_ok());
    }
}
