//! A list of rules as bytes for the other side, and back.
//!
//! Form (postcard): the number of sources and each source's name; the number of rules, and for each
//! its sign (true: include), pattern, source and line. Patterns are compiled anew by the reader, which
//! so gives the same verdicts. Warnings stay with the side that read the files.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::WireError;
use super::line::MAX_PATTERN_BYTES;
use super::rule::{Origin, Rule, Sign};
use super::rules::{MAX_RULES, Rules};

/// Longest encoded list, in bytes.
pub const MAX_WIRE_BYTES: usize = 4 << 20;

/// Upper bound of the two counts at the front of an encoded list, in bytes.
pub(super) const COUNTS_LEN: usize = 6;

/// An upper bound of what `rule` adds to an encoded list, `before` being the rule in front of it.
pub(super) fn max_len(rule: &Rule, before: Option<&Rule>) -> usize {
    // Sign 1, length of the pattern 2, source 3, line 5 bytes at most; a new source its name and 5 more.
    let known = before.is_some_and(|before| before.origin.source == rule.origin.source);
    let source = if known {
        0
    } else {
        rule.origin.source.len() + 5
    };
    rule.pattern().len() + 11 + source
}

/// A rule as it is written, its source by number.
#[derive(Serialize, Deserialize)]
struct WireRule<'a> {
    include: bool,
    pattern: &'a [u8],
    source: u32,
    line: u32,
}

impl Rules {
    /// The list as bytes, at most [`MAX_WIRE_BYTES`], for [`Rules::decode`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sources = Sources::default();
        let rules: Vec<_> = self
            .rules()
            .iter()
            .map(|rule| sources.wire_rule(rule))
            .collect();
        // Serialising plain numbers and bytes into memory has no way to fail.
        postcard::to_stdvec(&(sources.names, rules)).unwrap_or_default()
    }

    /// The list in `bytes`, which the other side chose.
    ///
    /// # Errors
    /// [`WireError`] for bytes that [`Rules::encode`] did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > MAX_WIRE_BYTES {
            return Err(WireError::TooLong);
        }
        let mut rest = bytes;
        let sources: Vec<Arc<str>> = take_all(&mut rest, |name: &str| Ok(name.into()))?;
        let mut rules = Self::new();
        for rule in take_all(&mut rest, |rule: WireRule<'_>| read_rule(&rule, &sources))? {
            rules.push(rule).map_err(|_| WireError::TooLong)?;
        }
        rest.is_empty().then_some(rules).ok_or(WireError::Malformed)
    }
}

/// The names of sources in the order of their first rule, each once.
#[derive(Default)]
struct Sources<'a> {
    names: Vec<&'a str>,
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Sources<'a> {
    fn wire_rule(&mut self, rule: &'a Rule) -> WireRule<'a> {
        let source = self.number_of(&rule.origin.source);
        let include = rule.sign == Sign::Include;
        WireRule {
            include,
            pattern: rule.pattern(),
            source,
            line: rule.origin.line,
        }
    }

    fn number_of(&mut self, name: &'a str) -> u32 {
        // A list has at most MAX_RULES sources.
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(name).or_insert_with(|| {
            self.names.push(name);
            next
        })
    }
}

/// Takes a counted sequence off `rest`, one element at a time: a count costs no memory.
fn take_all<'a, W: Deserialize<'a>, T>(
    rest: &mut &'a [u8],
    read: impl Fn(W) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let count: usize = take(rest)?;
    if count > MAX_RULES {
        return Err(WireError::TooLong);
    }
    (0..count).map(|_| read(take(rest)?)).collect()
}

fn take<'a, T: Deserialize<'a>>(rest: &mut &'a [u8]) -> Result<T, WireError> {
    let (value, after) = postcard::take_from_bytes(rest).map_err(|_| WireError::Malformed)?;
    *rest = after;
    Ok(value)
}

fn read_rule(rule: &WireRule<'_>, sources: &[Arc<str>]) -> Result<Rule, WireError> {
    let WireRule {
        include,
        pattern,
        source,
        line,
    } = *rule;
    if pattern.is_empty() || pattern.len() >= MAX_PATTERN_BYTES || pattern.contains(&0) {
        return Err(WireError::Pattern);
    }
    let source = usize::try_from(source).ok().and_then(|at| sources.get(at));
    let source = source.ok_or(WireError::Malformed)?.clone();
    let sign = if include {
        Sign::Include
    } else {
        Sign::Exclude
    };
    Ok(Rule::new(sign, pattern, Origin { source, line }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filter::FileStyle;

    fn rules(text: &[u8]) -> Rules {
        let mut rules = Rules::new();
        rules.add_file(text, "first", FileStyle::EXCLUDE).unwrap();
        rules.add_file(text, "second", FileStyle::INCLUDE).unwrap();
        rules
    }

    #[test]
    fn a_decoded_list_has_the_same_rules_and_origins() {
        let text = b"a\n- b/\r\n+ *.o\n/c\xff/**\n[!d]?\n\n# e\n  f \n";
        let sent = rules(text);
        let received = Rules::decode(&sent.encode()).unwrap();
        assert_eq!(received.rules().len(), 12);
        for (sent, received) in sent.rules().iter().zip(received.rules()) {
            assert_eq!(sent.sign, received.sign);
            assert_eq!(sent.pattern(), received.pattern());
            assert_eq!(sent.origin, received.origin);
        }
        assert!(
            Rules::decode(&Rules::new().encode())
                .unwrap()
                .rules()
                .is_empty()
        );
    }

    #[test]
    fn a_list_that_breaks_a_limit_is_refused() {
        let encode = |sources: &[&str], rules: &[(bool, &[u8], u32, u32)]| {
            postcard::to_stdvec(&(sources, rules)).unwrap()
        };
        let error = |bytes: &[u8]| Rules::decode(bytes).unwrap_err();
        assert!(Rules::decode(&encode(&["f"], &[(true, b"x", 0, 1)])).is_ok());
        assert_eq!(
            error(&encode(&["f"], &[(true, b"", 0, 1)])),
            WireError::Pattern
        );
        assert_eq!(
            error(&encode(&["f"], &[(true, b"x\0", 0, 1)])),
            WireError::Pattern
        );
        assert_eq!(
            error(&encode(&["f"], &[(true, &[b'x'; 4096], 0, 1)])),
            WireError::Pattern
        );
        assert_eq!(
            error(&encode(&["f"], &[(true, b"x", 1, 1)])),
            WireError::Malformed
        );
        let many = vec![(false, &b"x"[..], 0, 1); MAX_RULES + 1];
        assert_eq!(error(&encode(&["f"], &many)), WireError::TooLong);
        assert!(Rules::decode(&encode(&["f"], &many[1..])).is_ok());
        assert_eq!(
            error(&encode(&["f"; MAX_RULES + 1], &[])),
            WireError::TooLong
        );
        assert_eq!(error(&vec![0; MAX_WIRE_BYTES + 1]), WireError::TooLong);
        assert_eq!(error(b"\0\0\0"), WireError::Malformed);
        assert_eq!(error(b"\0\xff\xff\xff\xff\x0f"), WireError::TooLong);
        let whole = rules(b"a\nb\n").encode();
        for len in 0..whole.len() {
            assert_eq!(error(&whole[..len]), WireError::Malformed, "cut to {len}");
        }
    }

    /// Text in which signs, wildcards and slashes are frequent.
    fn rule_text() -> impl Strategy<Value = Vec<u8>> {
        let byte =
            prop_oneof![3 => prop::sample::select(b"ab/*?[]!\\-+ \n".to_vec()), 1 => any::<u8>()];
        prop::collection::vec(byte, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_decoded_list_gives_the_same_verdicts_and_digest(
            text in rule_text(),
            paths in prop::collection::vec("[ab*-]{1,3}(/[ab*-]{1,2}){0,3}", 1..20),
        ) {
            let mut sent = Rules::new();
            prop_assume!(sent.add_file(&text, "file", FileStyle::EXCLUDE).is_ok());
            let received = Rules::decode(&sent.encode()).unwrap();
            prop_assert_eq!(sent.digest(), received.digest());
            for path in &paths {
                for is_dir in [false, true] {
                    let verdict = |rules: &Rules| {
                        let verdict = rules.verdict(path.as_bytes(), is_dir);
                        (verdict.included, verdict.rule.map(|rule| rule.origin.clone()))
                    };
                    prop_assert_eq!(verdict(&sent), verdict(&received));
                }
            }
        }

        #[test]
        fn any_bytes_are_a_list_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(rules) = Rules::decode(&bytes) {
                prop_assert!(Rules::decode(&rules.encode()).is_ok());
            }
        }

        #[test]
        fn a_list_with_one_byte_changed_is_a_list_or_an_error(
            text in rule_text(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut rules = Rules::new();
            prop_assume!(rules.add_file(&text, "file", FileStyle::EXCLUDE).is_ok());
            let mut bytes = rules.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(rules) = Rules::decode(&bytes) {
                let _ = rules.verdict(b"a/b", false).included;
                prop_assert!(Rules::decode(&rules.encode()).is_ok());
            }
        }
    }
}
