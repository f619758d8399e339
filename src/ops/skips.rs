//! What a look passes over, and how it is told: of many of one kind ten, and how many more there are.

use std::collections::{BTreeMap, BTreeSet};

use super::look::Look;
use crate::model::{RelPath, Skip};
use crate::plan::{KeptReason, Plan};
use crate::protocol::message::Problem;

/// So many of one kind are named.
const NAMED: usize = 10;

impl Look<'_> {
    /// Takes note of what the look passed over, on both sides.
    pub(super) fn note_problems(&mut self) {
        let names_all = self.world.talk.names_all();
        for (problems, side) in [
            (&self.scan.problems, "here"),
            (&self.view.problems, "on the hub"),
        ] {
            let mut by_kind: BTreeMap<_, (Skip, Vec<String>)> = BTreeMap::new();
            for problem in problems.iter().filter(|p| !p.is_nested_state()) {
                let none = || (problem.skip, Vec::new());
                let (_, lines) = by_kind.entry(kind(problem.skip)).or_insert_with(none);
                lines.push(words(problem, side));
            }
            for (kind, (skip, lines)) in by_kind {
                let told = match is_uncarried(skip) {
                    true => &mut self.uncarried,
                    false => &mut self.warnings,
                };
                let lines = summed(lines, &format!("paths {side} {kind}"), names_all);
                let mut news: Vec<_> = lines
                    .into_iter()
                    .filter(|line| !told.contains(line))
                    .collect();
                told.append(&mut news);
            }
        }
    }

    /// How many paths are not carried though nothing excludes them: of the last look, and of `plans`.
    pub(super) fn skipped<'p>(&'p self, plans: impl Iterator<Item = &'p Plan>) -> usize {
        let problems = self.scan.problems.iter().chain(&self.view.problems);
        let uncarried = |p: &&Problem| is_uncarried(p.skip) && !p.is_nested_state();
        let mut paths: BTreeSet<&[u8]> = problems.filter(uncarried).map(|p| &*p.path).collect();
        let held = plans
            .flat_map(|plan| &plan.kept)
            .filter(|kept| is_held(kept.reason));
        paths.extend(held.map(|kept| RelPath::as_bytes(&kept.path)));
        paths.len()
    }
}

/// Whether a path is kept for what a program or a disk does, not for what somebody decided.
fn is_held(reason: KeptReason) -> bool {
    match reason {
        KeptReason::InUse
        | KeptReason::Changing
        | KeptReason::NameTaken
        | KeptReason::CannotHold => true,
        KeptReason::Ahead
        | KeptReason::Behind
        | KeptReason::EditKept
        | KeptReason::ExcludedInside => false,
    }
}

/// Whether a file that should be carried is not. A socket never is, and what is mounted belongs to another tree.
fn is_uncarried(skip: Skip) -> bool {
    matches!(skip, Skip::Unreadable | Skip::BadName)
}

/// What several of a kind are, in words.
fn kind(skip: Skip) -> &'static str {
    match skip {
        Skip::Special => "are sockets, FIFOs or devices and are skipped",
        Skip::Unreadable => "cannot be read and are skipped",
        Skip::OtherFilesystem => "are mounted there or on another file system, and are skipped",
        Skip::BadName => "have names that are not carried",
        Skip::Excluded => "are excluded",
        Skip::Altered => {
            "have another content than before, though their size and times are the same"
        }
    }
}

fn words(problem: &Problem, side: &str) -> String {
    let path = problem.path.escape_ascii();
    let detail = problem.detail.escape_debug();
    let why = match problem.skip {
        Skip::Special => "is a socket, FIFO or device and is skipped".to_owned(),
        Skip::Unreadable => format!("cannot be read and is skipped ({detail})"),
        Skip::OtherFilesystem => {
            "is mounted there or on another file system, and is skipped".to_owned()
        }
        Skip::BadName => format!("has a name that is not carried ({detail})"),
        Skip::Excluded => "is excluded".to_owned(),
        Skip::Altered => {
            "has another content than before, though its size and times are the same".to_owned()
        }
    };
    format!("{path} {side} {why}")
}

/// The first of many lines of one kind, and how many more there are; `all` of them if that is wanted.
pub(super) fn summed(mut lines: Vec<String>, kind: &str, all: bool) -> Vec<String> {
    // One line about one more would say less than that one.
    if !all && lines.len() > NAMED + 1 {
        let more = grouped(lines.len() - NAMED);
        lines.truncate(NAMED);
        lines.push(format!("{more} more {kind} (-v names them)"));
    }
    lines
}

/// A number with a comma before each three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_of_a_kind_ten_are_told_and_the_number_of_the_others() {
        let lines = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
        for few in [0, 1, 10, 11] {
            assert_eq!(summed(lines(few), "x", false), lines(few));
        }
        let many = summed(lines(3000), "paths", false);
        assert_eq!(many.len(), 11);
        assert_eq!(many[10], "2,990 more paths (-v names them)");
        assert_eq!(summed(lines(3000), "paths", true).len(), 3000);
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_234_567)],
            ["0", "999", "1,234,567"]
        );
    }
}
