//! Includes that can never take effect, because other rules decide first.
//!
//! A rule is asked about samples of what the include could match, in which wildcards are filled with
//! a byte that no pattern names. An exclude of plain bytes and stars that matches such a sample matches
//! everything the include does. Where that is not certain, nothing is reported: a list without a warning
//! may still hold an include that never fires, but a warning is always true.

use super::glob::{self, Meter, Token};
use super::pattern::Subject;
use super::rule::{Printable, Rule, Sign};
use super::warning::{Warning, WarningKind};
use super::work::Steps;

/// Longer lists are not examined: the work grows with the square of their length.
const MAX_EXAMINED: usize = 500;

/// Stands for what a wildcard matches.
const FILLER: u8 = 1;

/// One path that an include could match.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    path: Vec<u8>,
    is_dir: bool,
    /// The path is not the whole one: anything may stand above.
    floating: bool,
}

/// A warning for each include that no entry reaches, as far as `steps` lead.
pub(super) fn unreachable(rules: &[Rule], steps: &mut Steps) -> Vec<Warning> {
    if rules.len() > MAX_EXAMINED {
        return Vec::new();
    }
    let includes = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.sign == Sign::Include);
    includes
        .filter_map(|(at, rule)| Some(warning(rule, blocked(rules, at, steps)?)))
        .collect()
}

fn warning(rule: &Rule, kind: WarningKind) -> Warning {
    Warning {
        origin: rule.origin.clone(),
        text: rule.pattern().into(),
        kind,
    }
}

/// What keeps all samples of the include number `at` from it; `None` if something may get there.
fn blocked(rules: &[Rule], at: usize, steps: &mut Steps) -> Option<WarningKind> {
    let samples = samples(rules[at].pattern());
    let mut blocker = |it| blocker(rules, at, it, steps);
    let blockers: Option<Vec<_>> = samples.iter().map(&mut blocker).collect();
    let blockers = blockers?;
    // Different rules for different samples may leave a gap between the samples.
    let same_rule = blockers.windows(2).all(|pair| pair[0].0 == pair[1].0);
    let (_, kind) = blockers.into_iter().next()?;
    same_rule.then_some(kind)
}

/// The number of the rule that keeps a sample from the include number `at`, and how it does.
fn blocker(
    rules: &[Rule],
    at: usize,
    sample: &Sample,
    steps: &mut Steps,
) -> Option<(usize, WarningKind)> {
    for (slash, _) in sample.path.iter().enumerate().filter(|(_, b)| **b == b'/') {
        let path = sample.path[..slash].to_vec();
        let parent = Sample {
            path,
            is_dir: true,
            floating: sample.floating,
        };
        if let Some(number) = excluder(rules, &parent, steps) {
            let by = shown(&rules[number]);
            return Some((
                number,
                WarningKind::ParentExcluded {
                    parent: parent.shown(),
                    by,
                },
            ));
        }
    }
    let number = excluder(&rules[..at], sample, steps)?;
    Some((
        number,
        WarningKind::Shadowed {
            by: shown(&rules[number]),
        },
    ))
}

fn shown(rule: &Rule) -> String {
    format!("`{}` ({})", Printable(rule.pattern()), rule.origin)
}

/// The number of the exclude that certainly decides about every path like `sample`.
fn excluder(rules: &[Rule], sample: &Sample, steps: &mut Steps) -> Option<usize> {
    for (number, rule) in rules.iter().enumerate() {
        let certainty = certainty(rule, sample, steps);
        // Nothing is certain any more.
        if steps.is_spent() {
            return None;
        }
        match (certainty, rule.sign) {
            (Certainty::Always, Sign::Exclude) => return Some(number),
            (Certainty::Always | Certainty::Perhaps, Sign::Include) => return None,
            _ => {}
        }
    }
    None
}

/// Whether a rule matches all paths that a sample stands for.
enum Certainty {
    Always,
    Perhaps,
    Never,
}

fn certainty(rule: &Rule, sample: &Sample, steps: &mut Steps) -> Certainty {
    let pattern = rule.pattern();
    let subject = Subject::new(&sample.path, sample.is_dir);
    let matches = rule.compiled().matches(subject, steps);
    let exact = !sample.floating && !sample.path.contains(&FILLER);
    if exact || (matches && is_general(pattern, sample)) {
        return if matches {
            Certainty::Always
        } else {
            Certainty::Never
        };
    }
    // Elsewhere in the tree it may match what it does not match here, unless the names differ.
    match plain_name(pattern) {
        Some(name) if !subject.name().contains(&FILLER) && name != subject.name() => {
            Certainty::Never
        }
        _ => Certainty::Perhaps,
    }
}

/// Whether a pattern that matches the sample matches it wherever it stands and whatever fills it.
fn is_general(pattern: &[u8], sample: &Sample) -> bool {
    let anywhere = !sample.floating || !pattern.starts_with(b"/");
    let any_filling = !pattern.iter().any(|b| b"?[".contains(b));
    anywhere && (any_filling || !sample.path.contains(&FILLER))
}

/// The last component of a pattern, if it has no wildcard.
fn plain_name(pattern: &[u8]) -> Option<&[u8]> {
    let text = pattern.strip_suffix(b"/").unwrap_or(pattern);
    let name = text.rsplit(|b| *b == b'/').next()?;
    (!name.iter().any(|b| b"*?[\\".contains(b))).then_some(name)
}

impl Sample {
    /// The path as a pattern for it, for people.
    fn shown(&self) -> Box<[u8]> {
        let slash: &[u8] = if self.floating { b"" } else { b"/" };
        let path = self
            .path
            .iter()
            .map(|b| if *b == FILLER { b'*' } else { *b });
        slash.iter().copied().chain(path).collect()
    }
}

/// Paths that stand for all that the pattern of an include matches; none if it matches nothing.
fn samples(pattern: &[u8]) -> Vec<Sample> {
    let (text, dir_only) = match pattern {
        [head @ .., b'/'] if !head.is_empty() => (head, true),
        _ => (pattern, false),
    };
    let (text, floating) = text
        .strip_prefix(b"/")
        .map_or((text, true), |rest| (rest, false));
    let Some(tokens) = tokens(text, floating) else {
        return Vec::new();
    };
    let sample = |path: Vec<u8>, is_dir| Sample {
        path,
        is_dir,
        floating,
    };
    let mut all = Vec::new();
    // For each `**` once a single component, and once three.
    for deep in [&[FILLER][..], &[FILLER, b'/', FILLER, b'/', FILLER]] {
        let path = filled(&tokens, deep);
        all.extend((!dir_only).then(|| sample(path.clone(), false)));
        all.push(sample(path, true));
        // `dir/***` is the directory as well.
        if let (true, [dir @ .., Token::Byte(b'/'), Token::DeepStar]) =
            (text.ends_with(b"***"), &tokens[..])
        {
            all.push(sample(filled(dir, deep), true));
        }
    }
    all
}

/// The pieces of a pattern; `None` if it matches nothing.
fn tokens(text: &[u8], floating: bool) -> Option<Vec<Token>> {
    if !text.iter().any(|b| b"*?[".contains(b)) {
        return Some(text.iter().map(|b| Token::Byte(*b)).collect());
    }
    let glob = glob::parse(text).ok()?;
    match glob.tokens() {
        // Matches at the top as well.
        [Token::DeepStar, Token::Byte(b'/'), rest @ ..] if floating => Some(rest.to_vec()),
        tokens => Some(tokens.to_vec()),
    }
}

/// Pieces with their wildcards filled, those for `**` with `deep`.
fn filled(tokens: &[Token], deep: &[u8]) -> Vec<u8> {
    let bytes = |token: &Token| match token {
        Token::Byte(byte) => vec![*byte],
        Token::DeepStar => deep.to_vec(),
        Token::Any | Token::Set(_) | Token::Star => vec![FILLER],
    };
    tokens.iter().flat_map(bytes).collect()
}

#[cfg(test)]
mod tests {
    use crate::filter::{FileStyle, Rules, WarningKind};

    /// What is said of the includes in these lines.
    fn warnings(lines: &[&str]) -> Vec<String> {
        let mut rules = Rules::new();
        rules
            .add_file(lines.join("\n").as_bytes(), "f", FileStyle::EXCLUDE)
            .unwrap();
        rules.warnings().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_include_after_an_exclude_that_covers_it_is_never_reached() {
        for lines in [
            &["*.o", "+ keep.o"][..],
            &["*", "+ *.c"],
            &["**", "+ /a.c"],
            &["foo/*", "+ foo/**"],
            &["+ x.c", "*.c", "+ /main.c"],
            &["*.c", "+ [a-f]?.c"],
            &["/*", "+ /a"],
            &["*~", "+ doc/*~"],
            &["keep", "+ keep/"],
            &["a/**", "+ a/**"],
            &["foo/keep", "+ foo/keep"],
            &["*.o", "+ **/*.o"],
        ] {
            let warnings = warnings(lines);
            let fix = "comes first; put it before that rule";
            assert!(
                warnings.len() == 1 && warnings[0].ends_with(fix),
                "{lines:?} {warnings:?}"
            );
        }
    }

    #[test]
    fn an_include_below_an_excluded_directory_is_never_reached() {
        for (lines, parent) in [
            (&["foo/", "+ foo/keep"][..], "foo"),
            (&["+ foo/keep", "foo/"], "foo"),
            (&["+ /a/b/***", "*"], "/a"),
            (&["+ /a/", "/a/*", "+ /a/b/c"], "/a/b"),
            (&["+ /src/*/main.c", "/*"], "/src"),
            (&["**", "+ /a/b.c"], "/a"),
            (&["+ *.c", "+ /d/x/", "/d", "!", "+ lib/a.c", "lib"], "lib"),
        ] {
            let warnings = warnings(lines);
            let fix = format!("put `+ {parent}/` before that rule");
            assert!(
                warnings.iter().any(|text| text.ends_with(&fix)),
                "{lines:?} {warnings:?}"
            );
        }
    }

    #[test]
    fn an_include_that_something_may_reach_is_not_reported() {
        for lines in [
            &["+ keep.o", "*.o"][..],
            &["+ */", "+ *.c", "*"],
            &["+ /a/", "+ /a/b/***", "*"],
            &["+ /d/", "/*", "+ /d/keep", "/d/*"],
            &["+ foo/keep", "foo/*"],
            &["/keep.o", "+ keep.o"],
            &["keep/", "+ keep"],
            &["*/keep", "+ keep"],
            &["[!a]*.c", "+ *.c"],
            &["?.c", "+ [a-z].c"],
            &["+ /x/foo/", "foo/", "+ foo/keep"],
            &["+ **/foo/", "foo/", "+ foo/keep"],
            &["*.c", "+ *.c*"],
            &["/*/x", "+ /**/x"],
            &["/?.c", "+ /*.c"],
            &["foo/**", "+ foo/***"],
            &["foo/**", "+ foo/****"],
            &["foo/**", "+ foo/***/"],
            &["/a*b", "/*/*/*b", "+ /a**b"],
        ] {
            assert!(
                warnings(lines).is_empty(),
                "{lines:?}: {:?}",
                warnings(lines)
            );
        }
    }

    #[test]
    fn a_warning_names_the_rule_in_the_way() {
        let mut rules = Rules::new();
        rules
            .add_file(b"# C\n*.o\n", "first", FileStyle::EXCLUDE)
            .unwrap();
        rules
            .add_file(b"keep.o\n", "second", FileStyle::INCLUDE)
            .unwrap();
        let [warning] = &rules.warnings()[..] else {
            panic!()
        };
        assert_eq!(
            warning.kind,
            WarningKind::Shadowed {
                by: "`*.o` (first line 2)".to_owned()
            }
        );
        assert_eq!(
            warning.to_string(),
            "second line 1: `+ keep.o` is never reached: `*.o` (first line 2) comes first; \
             put it before that rule"
        );
    }
}
