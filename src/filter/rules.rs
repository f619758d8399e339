//! The ordered list of rules: the first that matches decides, and no match means included.
//!
//! What it leaves to others: cutting text into lines (`lines`, `line`), comparing (`pattern`), warning
//! (`warning`).

use std::sync::Arc;

use super::error::FilterError;
use super::index::Index;
use super::line::{self, Line};
use super::lines::{self, FileStyle};
use super::pattern::Subject;
use super::rule::{Origin, Rule, Sign};
use super::unreachable::unreachable;
use super::warning::{self, Warning, WarningKind};
use super::wire;
use super::work::{Steps, Work};
use crate::model::{Digest, RelPath};

/// Most rules that a list can hold.
pub const MAX_RULES: usize = 20_000;

/// Rules in order, from all files and options together.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    index: Index,
    /// What is odd about single lines.
    odd: Vec<Warning>,
    /// Upper bound of the length of [`Rules::encode`].
    wire_bytes: usize,
}

/// What the rules say of one entry.
#[derive(Debug, Clone, Copy)]
pub struct Verdict<'a> {
    /// Whether the entry is in.
    pub included: bool,
    /// The rule that decides; `None`: none matches, so the entry is in.
    pub rule: Option<&'a Rule>,
}

/// What the rules say of a path, with its parents looked at first.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// Whether the entry is in.
    pub included: bool,
    /// Where it was decided: the topmost parent that is excluded, else the entry itself.
    pub path: RelPath,
    /// The rule that decides; `None`: none matches, so the entry is in.
    pub rule: Option<&'a Rule>,
}

impl Rules {
    /// No rules: everything is in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the rules of a file; `source` is its name as shown to people.
    ///
    /// A line `!` in it drops all rules before, those of earlier files and options included.
    ///
    /// # Errors
    /// [`FilterError`] if a line cannot be used; then none of the file is, and `self` is as it was.
    pub fn add_file(
        &mut self,
        text: &[u8],
        source: &str,
        style: FileStyle,
    ) -> Result<(), FilterError> {
        let source: Arc<str> = source.into();
        let mut longer = self.clone();
        for (number, text) in lines::lines(text, style.nul) {
            let origin = Origin {
                source: source.clone(),
                line: number,
            };
            longer.add(line::read_line(text, style.sign), origin)?;
        }
        *self = longer;
        Ok(())
    }

    /// Appends the rule of one option, such as `--exclude`; a `+ ` or `- ` in `text` overrides `sign`.
    ///
    /// A `!` alone drops all rules before.
    ///
    /// # Errors
    /// [`FilterError`] if it cannot be used; then `self` is as it was.
    pub fn add_rule(&mut self, sign: Sign, text: &[u8], origin: Origin) -> Result<(), FilterError> {
        let text = text.split(|b| *b == 0).next().unwrap_or(text);
        self.add(line::read_argument(text, sign), origin)
    }

    /// Appends all rules of another list.
    ///
    /// # Errors
    /// [`FilterError`] if there are too many; then some are in.
    pub fn add_all(&mut self, other: &Self) -> Result<(), FilterError> {
        other
            .rules
            .iter()
            .try_for_each(|rule| self.push(rule.clone()))
    }

    fn add(&mut self, line: Line<'_>, origin: Origin) -> Result<(), FilterError> {
        let odd = warning::odd(line, self.rules.len(), &origin);
        match line {
            Line::Blank | Line::OverLong(_) => {}
            Line::Clear => self.clear(),
            Line::SignAlone => return Err(FilterError::SignAlone(origin)),
            Line::Rule { sign, pattern, .. } => self.push(Rule::new(sign, pattern, origin))?,
        }
        self.odd.extend(odd);
        Ok(())
    }

    /// Forgets the rules, and what was odd about them.
    fn clear(&mut self) {
        let mut odd = std::mem::take(&mut self.odd);
        odd.retain(|warning| matches!(warning.kind, WarningKind::ClearsRules(_)));
        *self = Self {
            odd,
            ..Self::default()
        };
    }

    /// Appends a rule, within the limits of a list.
    pub(super) fn push(&mut self, rule: Rule) -> Result<(), FilterError> {
        let wire_bytes = self.wire_bytes + wire::max_len(&rule, self.rules.last());
        if self.rules.len() == MAX_RULES {
            return Err(FilterError::TooManyRules(rule.origin));
        }
        if wire_bytes + wire::COUNTS_LEN > wire::MAX_WIRE_BYTES {
            return Err(FilterError::TooManyBytes(rule.origin));
        }
        self.index.push(self.rules.len(), rule.compiled());
        self.rules.push(rule);
        self.wire_bytes = wire_bytes;
        Ok(())
    }

    /// The rules in the order in which they are tried.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the rules say of an entry whose parents are known to be in.
    ///
    /// `path` is relative to the root: components joined by `/`, no slash at either end.
    #[must_use]
    pub fn verdict(&self, path: &[u8], is_dir: bool) -> Verdict<'_> {
        let pattern_of = |at: usize| self.rules[at].compiled();
        let first = self
            .index
            .first_match(Subject::new(path, is_dir), pattern_of, &mut ());
        // Steps that nobody counts are never spent.
        self.verdict_of(first.unwrap_or(None))
    }

    fn verdict_of(&self, first: Option<usize>) -> Verdict<'_> {
        let rule = first.map(|at| &self.rules[at]);
        Verdict {
            included: rule.is_none_or(|rule| rule.sign == Sign::Include),
            rule,
        }
    }

    /// Whether an entry whose parents are known to be in is excluded, as [`Self::verdict`] says, for a walk that has `work` to
    /// spend. Once that is spent, everything is.
    #[must_use]
    pub fn excludes(&self, path: &[u8], is_dir: bool, work: &Work) -> bool {
        if work.spent_at().is_some() {
            return true;
        }
        let mut steps = work.for_path();
        let pattern_of = |at: usize| self.rules[at].compiled();
        let subject = Subject::new(path, is_dir);
        let first = self.index.first_match(subject, pattern_of, &mut steps);
        work.charge(&steps);
        match first {
            Ok(first) => !self.verdict_of(first).included,
            Err(at) => {
                work.spend_at(&self.rules[at].origin);
                true
            }
        }
    }

    /// What the rules say of a path: an excluded directory takes all below it along.
    #[must_use]
    pub fn decide(&self, path: &RelPath, is_dir: bool) -> Decision<'_> {
        let parents = path.ancestors().map(|parent| (parent, true));
        for (at, is_dir) in parents.chain([(path.clone(), is_dir)]) {
            let Verdict { included, rule } = self.verdict(at.as_bytes(), is_dir);
            if !included || at == *path {
                return Decision {
                    included,
                    path: at,
                    rule,
                };
            }
        }
        Decision {
            included: true,
            path: path.clone(),
            rule: None,
        }
    }

    /// Lines that probably do not do what their author wants, in reading order; then the includes that
    /// no entry reaches. The verdicts are rsync's all the same.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut all = self.odd.clone();
        all.extend(unreachable(&self.rules, &mut Steps::of_one_walk()));
        all
    }

    /// A digest of what the list means: signs and patterns in order, not where they come from.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("rsyn 2026 filter digest v1");
        for rule in &self.rules {
            let sign = match rule.sign {
                Sign::Exclude => b'-',
                Sign::Include => b'+',
            };
            hasher.update(&[sign]);
            hasher.update(rule.pattern());
            hasher.update(&[0]); // No pattern has a NUL: rules cannot run into each other.
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Rules {
        let mut rules = Rules::new();
        rules
            .add_file(text.as_bytes(), "rules", FileStyle::EXCLUDE)
            .unwrap();
        rules
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_decides_however_it_is_found() {
        // By name, by extension, by comparison; each first once.
        for (text, name, line) in [
            ("a.o\n*.o\na*", "a.o", 1),
            ("*.o\na.o\na*", "a.o", 1),
            ("a*\n*.o\na.o", "a.o", 1),
            ("b*\n*.o\na.o", "a.o", 2),
            ("a.o/\n*.o/\na*\na.o", "a.o", 3),
            ("x\n*.tar.gz\n*.gz", "a.tar.gz", 2),
            ("x\ny\n+ a.o\n*.o", "a.o", 3),
        ] {
            let rules = rules(text);
            let rule = rules.verdict(name.as_bytes(), false).rule.unwrap();
            assert_eq!(rule.origin.line, line, "{text:?}");
        }
    }

    #[test]
    fn a_directory_finds_rules_for_directories_and_a_file_does_not() {
        let rules = rules("foo/\n*.d/\n");
        assert!(!rules.verdict(b"foo", true).included && !rules.verdict(b"x.d", true).included);
        assert!(rules.verdict(b"foo", false).included && rules.verdict(b"x.d", false).included);
    }

    #[test]
    fn a_decision_names_the_topmost_excluded_parent_and_its_rule() {
        let rules = rules("+ keep\nbuild/\n*.o");
        let inside = rules.decide(&path("x/build/y/keep"), false);
        assert!(!inside.included);
        assert_eq!(inside.path, path("x/build"));
        assert_eq!(inside.rule.unwrap().origin.to_string(), "rules line 2");

        let kept = rules.decide(&path("x/keep"), false);
        assert!(kept.included && kept.path == path("x/keep"));
        assert_eq!(kept.rule.unwrap().to_string(), "+ keep");

        let free = rules.decide(&path("x/y"), false);
        assert!(free.included && free.rule.is_none() && free.path == path("x/y"));
    }

    #[test]
    fn an_exclamation_mark_drops_the_rules_of_earlier_sources_too() {
        let mut rules = rules("a\nb");
        rules
            .add_rule(Sign::Exclude, b"c", Origin::option("--exclude"))
            .unwrap();
        rules
            .add_file(b"!\nd\n", "more", FileStyle::INCLUDE)
            .unwrap();
        let left: Vec<_> = rules.rules().iter().map(ToString::to_string).collect();
        assert_eq!(left, ["+ d"]);
        assert!(rules.verdict(b"a", false).included);
    }

    #[test]
    fn a_sign_alone_refuses_its_whole_file_and_nothing_else() {
        let mut rules = rules("a");
        let error = rules.add_file(b"b\n!\nc\n+ \n", ".rsync-exclude", FileStyle::EXCLUDE);
        assert_eq!(
            error.unwrap_err().to_string(),
            "cannot use the rules of .rsync-exclude line 4: a sign with no pattern after it; \
             add the pattern or remove the line"
        );
        assert_eq!(rules.rules().len(), 1);
        assert!(
            rules
                .add_rule(Sign::Include, b"- ", Origin::option("--include"))
                .is_err()
        );
    }

    #[test]
    fn a_list_has_limits() {
        let mut rules = Rules::new();
        let origin = || Origin::option("--exclude");
        for _ in 0..MAX_RULES {
            rules.add_rule(Sign::Exclude, b"x", origin()).unwrap();
        }
        let error = rules.add_rule(Sign::Exclude, b"x", origin());
        assert_eq!(error, Err(FilterError::TooManyRules(origin())));

        let mut rules = Rules::new();
        let long = [b'x'; 4095];
        let error =
            (0..MAX_RULES).find_map(|_| rules.add_rule(Sign::Exclude, &long, origin()).err());
        assert_eq!(error, Some(FilterError::TooManyBytes(origin())));
        let len = rules.encode().len();
        assert!(len <= wire::MAX_WIRE_BYTES && len > wire::MAX_WIRE_BYTES - 20_000);
    }

    #[test]
    fn a_pattern_of_4096_bytes_is_dropped_and_one_of_4095_is_not() {
        let bracket = |len: usize| format!("[{}]\n", "a".repeat(len - 2));
        assert_eq!(rules(&bracket(4095)).rules().len(), 1);
        assert_eq!(rules(&format!("- {}", bracket(4095))).rules().len(), 1);
        assert!(rules(&bracket(4096)).rules().is_empty());
        assert!(!rules(&bracket(4095)).verdict(b"a", false).included);
    }

    #[test]
    fn a_digest_sees_signs_patterns_and_their_order_but_not_where_they_stand() {
        let digest = |text: &str| rules(text).digest();
        assert_eq!(digest("a\nb\n"), digest("# note\n\n- a\r\nx\n!\n- a\nb"));
        for other in ["b\na\n", "a\n", "a\n+ b\n", "a\nb/\n", "ab\n", ""] {
            assert_ne!(digest("a\nb\n"), digest(other), "{other:?}");
        }
    }
}
