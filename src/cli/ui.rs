//! The terminal: results on stdout, talk on stderr, questions only where somebody can answer.

use std::io::{BufRead, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style as Colour};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Context;
use super::output::{can_draw, columns, end_bar, note_bar, say_labelled, say_question};
pub(super) use super::output::{print, print_bytes, print_json, print_json_list, say};
use crate::ops::Failure;
use crate::ops::sync::Report;
use crate::ops::talk::{Meter, Preview, Step, Talk};
use crate::plan::{Action, Choice, Conflict, Direction, Kept, Plan, Policy, Side, Verb};
use crate::report::{printable, text};

/// How often a bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// What is said and asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// Nothing but errors.
    pub(super) quiet: bool,
    /// More.
    pub(super) verbose: bool,
    /// Results are JSON: nothing else may be on stdout, and nothing is asked.
    pub(super) json: bool,
    /// Questions are answered with yes.
    pub(super) yes: bool,
    /// Whether progress is shown; `None` where stderr is a terminal.
    pub(super) progress: Option<bool>,
}

/// The user's terminal.
pub(super) struct Terminal {
    manner: Manner,
    interrupted: Arc<AtomicBool>,
    bar: Mutex<Option<ProgressBar>>,
}

pub(super) fn red() -> Colour {
    AnsiColor::Red.on_default().bold()
}

fn yellow() -> Colour {
    AnsiColor::Yellow.on_default()
}

/// Says why something failed: what, in which state things are, what to do.
pub(super) fn say_failure(failure: &Failure) {
    end_bar();
    say_labelled(red(), "error", &printable::indented(&failure.message, 2));
    if !failure.state.is_empty() {
        say(&format!("  {}", printable::indented(&failure.state, 2)));
    }
    if !failure.hint.is_empty() {
        say(&format!(
            "  hint: {}",
            printable::indented(&failure.hint, 2)
        ));
    }
}

impl Terminal {
    /// A terminal with these manners.
    #[must_use]
    pub(super) fn new(context: &Context, manner: Manner) -> Self {
        Self {
            manner,
            interrupted: Arc::clone(&context.interrupted),
            bar: Mutex::new(None),
        }
    }

    fn bar(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints the warnings of a run; when quiet, only those about files that are not carried.
    pub(super) fn warn_of(&self, report: &Report) {
        for line in &report.uncarried {
            say_labelled(yellow(), "warning", &printable::line(line));
        }
        for line in &report.warnings {
            self.warn(line);
        }
    }

    /// The answer in small letters; `None` if there is none: end of input, or Ctrl-C.
    fn ask(&self, question: &str) -> Option<String> {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
        say_question(question);
        // A read goes on after a signal, so another thread waits for the line.
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || drop(line.send(read_line())));
        loop {
            match lines.recv_timeout(TICK) {
                Ok(answer) => return Some(answer?.trim().to_lowercase()),
                Err(RecvTimeoutError::Timeout) if !self.interrupted.load(Ordering::Relaxed) => {}
                Err(_) => return None,
            }
        }
    }
}

/// A line of standard input; `None` at its end.
fn read_line() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.ok().filter(|n| *n > 0).map(|_| line)
}

impl Talk for Terminal {
    fn step(&self, step: Step, meter: &Arc<Meter>) {
        let shown = self.manner.progress.unwrap_or_else(can_draw);
        if !shown || self.manner.quiet || (self.manner.json && self.manner.progress != Some(true)) {
            return;
        }
        if let Some(old) = self.bar().take() {
            old.finish_and_clear();
        }
        let total = meter.total_bytes.load(Ordering::Relaxed);
        let bar = match step {
            Step::Look => spinner_once_heard("looking at both sides", meter),
            Step::Transfer if total > 0 => byte_bar(total, meter),
            Step::Transfer => return,
            Step::Commit => spinner("putting files in place"),
            Step::Done => return,
        };
        if !can_draw() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            bar.finish();
            say(&format!("rsyn: {}", plain_step(step)));
        }
        note_bar(&bar);
        *self.bar() = Some(bar);
    }

    fn warn(&self, line: &str) {
        if self.manner.quiet {
            return;
        }
        say_labelled(yellow(), "warning", &printable::line(line));
    }

    fn agree(&self, question: &str) -> Option<bool> {
        if self.manner.yes || !self.can_ask() {
            return self.manner.yes.then_some(true);
        }
        let answer = self.ask(&format!("{} [y/N]", printable::line(question)));
        Some(answer.is_some_and(|a| a == "y" || a == "yes"))
    }

    fn names_all(&self) -> bool {
        self.manner.verbose || self.manner.json
    }

    fn can_ask(&self) -> bool {
        !self.manner.json && std::io::stdin().is_terminal()
    }

    fn confirm(&self, preview: &Preview<'_>) -> bool {
        let plans = std::iter::once(preview.plan).chain(preview.then);
        let asks =
            preview.undoes.is_some() || preview.takes_back > 0 || plans.clone().any(is_asked);
        if !asks || self.manner.yes || !self.can_ask() {
            return true;
        }
        let style = text::Style {
            verbose: self.manner.verbose,
            itemize: false,
        };
        for plan in plans {
            say(text::plan(plan, style).trim_end());
        }
        let question = question(preview);
        self.ask(&question).is_some_and(|a| a == "y" || a == "yes")
    }

    fn decide(&self, conflict: &Kept, remote: &str) -> Option<Choice> {
        if !self.can_ask() {
            return None;
        }
        say(&format!(
            "{} changed here and on {}",
            printable::path(&conflict.path),
            printable::line(remote)
        ));
        loop {
            let answer = self.ask("keep [l]ocal, [r]emote, [b]oth, or [q]uit?")?;
            match answer.as_str() {
                "l" | "local" => return Some(Choice::Take(Side::Local)),
                "r" | "remote" => return Some(Choice::Take(Side::Remote)),
                "b" | "both" => return Some(Choice::Both),
                "q" | "quit" => return None,
                _ => {}
            }
        }
    }
}

/// Tells whether a plan needs a question: it overwrites the other version of a conflict that nobody
/// was asked about, or it deletes on the hub.
fn is_asked(plan: &Plan) -> bool {
    let unasked = |c: &Conflict| c.policy != Policy::Ask;
    let overwrites = |a: &Action| a.old.is_some() && a.conflict.as_deref().is_some_and(unasked);
    let deletes = plan.direction == Direction::Push && plan.count(Verb::Delete) > 0;
    deletes || plan.actions.iter().any(overwrites)
}

fn question(preview: &Preview<'_>) -> String {
    let Preview {
        plan,
        then,
        remote,
        undoes,
        takes_back,
    } = *preview;
    let (remote, sum) = (printable::line(remote), text::sum(plan));
    if let Some(sync) = undoes {
        return format!("undo the {sync} on {remote} ({sum})? [y/N]");
    }
    let then = then.filter(|then| !then.actions.is_empty());
    let what = match (plan.direction, then) {
        (Direction::Push, _) => format!("push this to {remote} ({sum})"),
        (Direction::Pull, None) => format!("pull this from {remote} ({sum})"),
        (Direction::Pull, Some(push)) => format!(
            "pull this from {remote} ({sum}) and push that to it ({})",
            text::sum(push)
        ),
    };
    match takes_back {
        0 => format!("{what}? [y/N]"),
        _ => format!(
            "{what}, and take from everybody what was undone here ({takes_back} paths)? [y/N]"
        ),
    }
}

fn plain_step(step: Step) -> &'static str {
    match step {
        Step::Look => "looking at both sides",
        Step::Transfer => "transferring content",
        Step::Commit => "putting files in place",
        Step::Done => "done",
    }
}

fn spinner(words: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(words);
    bar.enable_steady_tick(TICK);
    bar
}

/// Makes a spinner that is hidden until the hub's first byte, since it would erase ssh's questions.
fn spinner_once_heard(words: &'static str, meter: &Arc<Meter>) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(words);
    bar.set_draw_target(ProgressDrawTarget::hidden());
    let (weak, meter) = (bar.downgrade(), Arc::clone(meter));
    std::thread::spawn(move || {
        while let Some(bar) = weak.upgrade().filter(|b| !b.is_finished()) {
            if meter.is_hub_heard() {
                bar.set_draw_target(ProgressDrawTarget::stderr());
                bar.enable_steady_tick(TICK);
                return;
            }
            drop(bar);
            std::thread::sleep(TICK);
        }
    });
    bar
}

/// Chooses the parts of a transfer bar that fit into one line of so many columns.
fn template(columns: u16) -> &'static str {
    match columns {
        ..60 => "{percent:>3}% {bytes} of {total_bytes}",
        60..100 => "{percent:>3}%  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left",
        100.. => "{bar:30} {percent:>3}%  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left",
    }
}

fn byte_bar(total: u64, meter: &Arc<Meter>) -> ProgressBar {
    let style = ProgressStyle::with_template(template(columns()))
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total).with_style(style);
    let (weak, meter) = (bar.downgrade(), Arc::clone(meter));
    std::thread::spawn(move || {
        while let Some(bar) = weak.upgrade().filter(|b| !b.is_finished()) {
            bar.set_position(meter.done_bytes());
            drop(bar);
            std::thread::sleep(TICK);
        }
    });
    bar
}
