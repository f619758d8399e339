//! How much of a sweep a run does: all of it if `RSYN_HOSTILE=all`, else a spread sample; those whose name holds
//! certain words if it is other words.

use crate::evil::Case;

/// Cases of a sweep in a default run.
const SAMPLE: usize = 40;

/// One of the two halves in which a sweep runs side by side.
pub struct Part(usize);

/// Runs both halves at the same time.
pub fn in_two(half: impl Fn(Part) + Sync) {
    std::thread::scope(|scope| {
        let half = &half;
        for number in 0..2 {
            scope.spawn(move || half(Part(number)));
        }
    });
}

fn everything() -> bool {
    std::env::var("RSYN_HOSTILE").is_ok_and(|wish| wish == "all")
}

/// About so many of `cases`, spread over all of them; all of them if everything is wanted.
pub fn some<T>(cases: Vec<T>, many: usize) -> Vec<T> {
    let step = if everything() {
        1
    } else {
        (cases.len() / many).max(1)
    };
    cases.into_iter().step_by(step).collect()
}

impl Part {
    /// As [`Part::of`], for cases that take longer.
    pub fn sparse<T>(&self, cases: Vec<T>) -> Vec<T> {
        let halves = some(cases, SAMPLE / 2).into_iter().enumerate();
        halves
            .filter(|(at, _)| at % 2 == self.0)
            .map(|(_, case)| case)
            .collect()
    }

    /// What this half does of `cases`. The sample has another place in each stretch of the table, so that it
    /// meets every message and not always the same sort of evil.
    pub fn of(&self, cases: Vec<Case>) -> Vec<Case> {
        let wish = std::env::var("RSYN_HOSTILE").unwrap_or_default();
        let step = 2 * (cases.len() / SAMPLE).max(1);
        let is_mine = |at: usize| at % step == (self.0 * step / 2 + at / step * 7) % step;
        let is_done = |(at, case): &(usize, Case)| match wish.as_str() {
            "" => is_mine(*at),
            "all" => at % 2 == self.0,
            words => at % 2 == self.0 && case.name.contains(words),
        };
        cases
            .into_iter()
            .enumerate()
            .filter(is_done)
            .map(|(_, case)| case)
            .collect()
    }
}
