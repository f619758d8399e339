//! Plans and results for people, read at a glance: what, which way, why, how big.

use indicatif::HumanBytes;

use super::printable;
use crate::model::{Kind, Node, total_bytes};
use crate::ops::sync::{Outcome, Report};
use crate::plan::{
    Action, Conflict, Direction, Kept, KeptReason, Plan, Program, Reason, Side, Source, Verb,
    Winner,
};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Kept paths one by one, not only their number.
    pub verbose: bool,
    /// rsync's eleven-letter codes in place of words.
    pub itemize: bool,
}

/// Most lines of a preview before the rest is counted.
const PREVIEW_LINES: usize = 200;

/// Why an action is in the plan, in words.
#[must_use]
pub fn reason(action: &Action, direction: Direction) -> String {
    let read = direction.read().name();
    let written = direction.written().name();
    match action.reason {
        Reason::New => format!("new on {read}"),
        Reason::Changed => format!("changed on {read}"),
        Reason::ModeChanged => format!("permissions changed on {read}"),
        Reason::Deleted => format!("deleted on {read}"),
        Reason::Stale => format!("deleted on {read} before; this is an old copy"),
        Reason::ConflictLost => format!(
            "changed on both sides, {} wins",
            winner(action.conflict.as_deref())
        ),
        Reason::ConflictBoth => "changed on both sides, both are kept".to_owned(),
        Reason::EditBeatsDeletion => {
            format!("deleted on {written}, edited on {read}: the edit stays")
        }
        Reason::NeededInside => "needed for what is inside".to_owned(),
        Reason::Mirror => format!("as on {read}"),
        Reason::Undo => "as before".to_owned(),
    }
}

fn winner(conflict: Option<&Conflict>) -> &'static str {
    match conflict.and_then(|c| c.winner) {
        Some(Winner::Local) => Side::Local.name(),
        Some(Winner::Remote) => Side::Remote.name(),
        Some(Winner::Merged) => "a merged version",
        Some(Winner::Both) => "each of both",
        None => "nobody yet",
    }
}

/// Why a path stays as it is, in words.
#[must_use]
pub fn kept_words(kept: &Kept, direction: Direction) -> String {
    match kept.reason {
        KeptReason::Ahead => "changed here alone; `rsyn push` sends it".to_owned(),
        KeptReason::Behind => "changed on the hub alone; `rsyn pull` fetches it".to_owned(),
        KeptReason::CannotHold => "the disk refuses such a name or a link".to_owned(),
        KeptReason::NameTaken => {
            "the disk takes it for a name that is there; rename one of them".to_owned()
        }
        KeptReason::ExcludedInside => {
            "should go, but holds entries that are out of scope or cannot be named".to_owned()
        }
        KeptReason::InUse => match &kept.program {
            Some(program) => format!(
                "open in {}; close it there, and the next run goes on",
                user(program)
            ),
            None => "in use by a program; the next run goes on".to_owned(),
        },
        KeptReason::Changing => "kept changing; the next run goes on".to_owned(),
        KeptReason::EditKept => match kept.conflict.as_ref().and_then(|c| c.winner) {
            Some(_) => format!(
                "changed on both sides, {} stays",
                direction.written().name()
            ),
            None => "changed on both sides; you decide".to_owned(),
        },
    }
}

/// `python3 (pid 4242)`.
#[must_use]
pub fn user(program: &Program) -> String {
    let name = printable::line(&program.name);
    match program.pid {
        0 => name,
        pid => format!("{name} (pid {pid})"),
    }
}

/// A plan, one line a path: what it does, then what it keeps and what it leaves to the user.
#[must_use]
pub fn plan(plan: &Plan, style: Style) -> String {
    let left = plan.kept.iter().chain(&plan.undecided);
    actions(plan, style) + &kept(left, plan.direction, style)
}

fn actions(plan: &Plan, style: Style) -> String {
    let mut out = String::new();
    let limit = if style.verbose || style.itemize {
        usize::MAX
    } else {
        PREVIEW_LINES
    };
    for action in plan.actions.iter().take(limit) {
        let line = if style.itemize {
            itemized(action, plan.direction)
        } else {
            line(action, plan.direction)
        };
        out.push_str(&line);
        out.push('\n');
    }
    if plan.actions.len() > limit {
        out.push_str(&format!(
            "  … and {} more (-v shows all)\n",
            plan.actions.len() - limit
        ));
    }
    out
}

/// Paths that stay as they are, one line each; those that are plain on request alone.
fn kept<'a>(
    kept: impl IntoIterator<Item = &'a Kept>,
    direction: Direction,
    style: Style,
) -> String {
    let is_shown = |k: &&Kept| style.verbose || k.conflict.is_some() || is_unusual(k.reason);
    let line = |kept: &Kept| {
        format!(
            "  keep    {}  ({})\n",
            printable::path(&kept.path),
            kept_words(kept, direction)
        )
    };
    kept.into_iter().filter(is_shown).map(line).collect()
}

/// Whether a path stays for another reason than that one side alone changed it.
fn is_unusual(reason: KeptReason) -> bool {
    !matches!(
        reason,
        KeptReason::Ahead | KeptReason::Behind | KeptReason::EditKept
    )
}

fn line(action: &Action, direction: Direction) -> String {
    let name = printable::path(&action.path);
    let slash = if action.kind() == Kind::Dir { "/" } else { "" };
    let arrow = match direction {
        Direction::Pull => "<-",
        Direction::Push => "->",
    };
    let mut line = format!("{arrow} {:<7} {name}{slash}", action.verb.name());
    if let Some(Node::Symlink { target, .. }) = &action.new {
        line.push_str(&format!(" -> {}", printable::bytes(target)));
    }
    line.push_str(&format!(
        "  ({}{})",
        reason(action, direction),
        sizes(action)
    ));
    line
}

fn sizes(action: &Action) -> String {
    let size = |node: Option<&Node>| match node {
        Some(Node::File { size, .. }) => Some(*size),
        _ => None,
    };
    let moved = match &action.source {
        Source::Ours(from) if *from != action.path => {
            format!(", same content as {}", printable::path(from))
        }
        _ => String::new(),
    };
    let bytes = match (size(action.old.as_ref()), size(action.new.as_ref())) {
        (Some(old), Some(new)) if old != new => {
            format!(", {} → {}", HumanBytes(old), HumanBytes(new))
        }
        (_, Some(new)) if action.verb != Verb::Meta => format!(", {}", HumanBytes(new)),
        (Some(old), None) => format!(", {}", HumanBytes(old)),
        _ => String::new(),
    };
    let mode = match (
        action.old.as_ref().and_then(Node::mode),
        action.new.as_ref().and_then(Node::mode),
    ) {
        (Some(old), Some(new)) if old != new => {
            format!(", {:03o} → {:03o}", old.bits(), new.bits())
        }
        _ => String::new(),
    };
    format!("{bytes}{mode}{moved}")
}

/// rsync's itemized code: `YXcstpoguax` with the letters that rsyn knows.
fn itemized(action: &Action, direction: Direction) -> String {
    let name = printable::path(&action.path);
    let kind = match action.kind() {
        Kind::Dir => 'd',
        Kind::Symlink => 'L',
        Kind::File | Kind::Skipped => 'f',
    };
    let way = match (direction, action.verb, action.kind()) {
        (_, Verb::Delete, _) => {
            return format!("*deleting   {name}{}", if kind == 'd' { "/" } else { "" });
        }
        (_, Verb::Meta, _) => '.',
        (_, _, Kind::Dir | Kind::Symlink) => 'c',
        (Direction::Pull, ..) => '>',
        (Direction::Push, ..) => '<',
    };
    let flags = match (action.verb, &action.old, &action.new) {
        (Verb::Create, ..) => "+++++++++".to_owned(),
        (_, Some(old), Some(new)) => {
            let mark = |differs: bool, letter: char| if differs { letter } else { '.' };
            let mut flags = String::new();
            flags.push(mark(!old.same_content(new), 'c'));
            flags.push(mark(old.size() != new.size(), 's'));
            flags.push(mark(old.mtime() != new.mtime(), 't'));
            flags.push(mark(old.mode() != new.mode(), 'p'));
            flags + "....."
        }
        _ => ".........".to_owned(),
    };
    format!(
        "{way}{kind}{flags} {name}{}",
        if kind == 'd' { "/" } else { "" }
    )
}

/// `3 created, 1 updated, 2 conflicts; 12 KiB to transfer`, or an empty text if nothing is done.
#[must_use]
pub fn sum(plan: &Plan) -> String {
    let mut parts = Vec::new();
    let words = [
        (Verb::Create, "to create"),
        (Verb::Update, "to update"),
        (Verb::Delete, "to delete"),
        (Verb::Meta, "with new permissions"),
    ];
    for (verb, word) in words {
        match plan.count(verb) {
            0 => {}
            count => parts.push(format!("{count} {word}")),
        }
    }
    let conflicts = plan.conflicts();
    if conflicts > 0 {
        parts.push(format!(
            "{conflicts} conflict{}",
            if conflicts == 1 { "" } else { "s" }
        ));
    }
    let bytes = total_bytes(plan.actions.iter().map(Action::travelling_bytes));
    let travel = if bytes > 0 {
        format!("; {} of content", HumanBytes(bytes))
    } else {
        String::new()
    };
    format!("{}{travel}", parts.join(", "))
}

/// What a run did, or would do.
#[must_use]
pub fn report(verb: &str, report: &Report, style: Style) -> String {
    let mut out = String::new();
    for (at, leg) in report.legs.iter().enumerate() {
        out.push_str(&actions(&leg.plan, style));
        out.push_str(&kept(report.kept(at), leg.plan.direction, style));
    }
    out.push_str(&ending(verb, report));
    if report.outcome != Outcome::Declined {
        out.push_str(&one_sided(report));
    }
    out
}

/// How a run ended, with the sum of each direction.
fn ending(verb: &str, report: &Report) -> String {
    let sums: Vec<_> = report
        .legs
        .iter()
        .map(|l| (l.plan.direction.name(), sum(&l.plan)))
        .filter(|s| !s.1.is_empty())
        .collect();
    let done = || -> String {
        let line = |(direction, sum): &(&str, String)| format!("{direction} done: {}\n", past(sum));
        sums.iter().map(line).collect()
    };
    let planned = |(direction, sum): &(&str, String)| {
        format!("dry run of {direction}: {sum}; nothing was changed\n")
    };
    match report.outcome {
        Outcome::DryRun if sums.is_empty() => "dry run: nothing to do\n".to_owned(),
        Outcome::DryRun => sums.iter().map(planned).collect(),
        Outcome::NothingToDo => format!("{verb}: nothing to do\n"),
        Outcome::Declined if sums.is_empty() => "declined; nothing was changed\n".to_owned(),
        Outcome::Declined => format!(
            "{}push declined; the hub was not changed\n{}",
            done(),
            undoing(report)
        ),
        Outcome::Done => format!(
            "{}{} sent, {} received\n{}",
            done(),
            HumanBytes(report.bytes_sent),
            HumanBytes(report.bytes_received),
            undoing(report)
        ),
    }
}

/// A line for each direction that can be undone, the last one first.
fn undoing(report: &Report) -> String {
    let snapshots = report.snapshots();
    let push = snapshots.remote.map(|id| {
        let command = rollback_on_hub(report.named.as_deref(), &id);
        format!("undo the push with `{command}`\n")
    });
    let pull = snapshots.local;
    let pull = pull.map(|id| format!("undo the pull with `{}`\n", rollback_here(&id)));
    push.into_iter().chain(pull).collect()
}

/// The command that undoes a snapshot of this machine.
#[must_use]
pub fn rollback_here(id: &str) -> String {
    format!("rsyn rollback {id}")
}

/// The command that undoes a snapshot of the hub: of the one that was `named` on the command line, if one was.
#[must_use]
pub fn rollback_on_hub(named: Option<&str>, id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@~".contains(c);
    let remote = match named.filter(|name| !name.is_empty()) {
        None => String::new(),
        Some(name) if name.chars().all(is_plain) => format!("={name}"),
        Some(name) => format!("='{}'", printable::line(name).replace('\'', "'\\''")),
    };
    format!("rsyn rollback --remote{remote} {id}")
}

/// How many paths changed on one side alone and still do when all directions of the run are done.
fn one_sided(report: &Report) -> String {
    let kept: Vec<_> = (0..report.legs.len())
        .flat_map(|at| report.kept(at))
        .collect();
    let count = |reason| kept.iter().filter(|k| k.reason == reason).count();
    let (ahead, behind) = (count(KeptReason::Ahead), count(KeptReason::Behind));
    let mut out = String::new();
    if ahead > 0 {
        out.push_str(&format!(
            "{ahead} changed here alone: `rsyn push` sends {}\n",
            them(ahead)
        ));
    }
    if behind > 0 {
        out.push_str(&format!(
            "{behind} changed on the hub alone: `rsyn pull` fetches {}\n",
            them(behind)
        ));
    }
    out
}

fn them(count: usize) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

/// The sum of something that is over.
#[must_use]
pub fn past(sum: &str) -> String {
    sum.replace(" to create", " created")
        .replace(" to update", " updated")
        .replace(" to delete", " deleted")
}

/// Counts of bytes, as rsync's `--stats`.
#[must_use]
pub fn stats(report: &Report) -> String {
    let total = report.literal_bytes + report.matched_bytes;
    let wire = (report.bytes_sent + report.bytes_received).max(1);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a factor for people, with two digits"
    )]
    let speedup = total as f64 / wire as f64;
    format!(
        "literal data: {} bytes\nmatched data: {} bytes\nbytes sent: {}\nbytes received: {}\nspeedup: {speedup:.2}\n",
        report.literal_bytes, report.matched_bytes, report.bytes_sent, report.bytes_received
    )
}

/// The sum of a run that is over, or that nothing had to be done.
#[must_use]
pub fn done_sum(report: &Report) -> String {
    let sums: Vec<_> = report
        .legs
        .iter()
        .map(|l| past(&sum(&l.plan)))
        .filter(|s| !s.is_empty())
        .collect();
    if sums.is_empty() {
        "nothing to do".to_owned()
    } else {
        sums.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_that_was_named_is_named_again_as_a_shell_reads_it() {
        for (named, command) in [
            (None, "rsyn rollback --remote 0f"),
            (Some(""), "rsyn rollback --remote 0f"),
            (Some("me@hub:~/p"), "rsyn rollback --remote=me@hub:~/p 0f"),
            (Some("/a b'c"), "rsyn rollback --remote='/a b'\\''c' 0f"),
        ] {
            assert_eq!(rollback_on_hub(named, "0f"), command);
        }
    }
}
