//! [`Work`]: how much a list of rules may cost. A pattern can be long and a path, too, and nobody but a walk knows how many
//! paths there are: so what counts is the comparing itself.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::glob::Meter;
use super::rule::Origin;

/// Comparisons that each path may cost; a common list takes a few dozen.
const STEPS_PER_PATH: u64 = 50_000;
/// Comparisons beyond those, for all paths of a walk together: less than a second.
const STEPS_BEYOND: u64 = 200_000_000;

/// What a walk may still spend on comparing paths with rules. Can be used from several threads.
#[derive(Debug)]
pub struct Work {
    beyond: AtomicU64,
    spent_at: OnceLock<Origin>,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            beyond: AtomicU64::new(STEPS_BEYOND),
            spent_at: OnceLock::new(),
        }
    }
}

impl Work {
    /// The rule that was being compared when all was spent: what was said of paths since means nothing.
    #[must_use]
    pub fn spent_at(&self) -> Option<&Origin> {
        self.spent_at.get()
    }

    /// What one more path may cost.
    pub(super) fn for_path(&self) -> Steps {
        Steps {
            taken: 0,
            most: STEPS_PER_PATH + self.beyond.load(Ordering::Relaxed),
        }
    }

    /// Takes note of what a path did cost. Most cost so little that nothing is shared between threads.
    pub(super) fn charge(&self, steps: &Steps) {
        let beyond = steps.taken.saturating_sub(STEPS_PER_PATH);
        if beyond > 0 {
            let less = |left: u64| Some(left.saturating_sub(beyond));
            self.beyond
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                .ok();
        }
    }

    /// Takes note of the rule at which it was spent.
    pub(super) fn spend_at(&self, rule: &Origin) {
        drop(self.spent_at.set(rule.clone()));
    }
}

/// Comparisons, and how many they may become.
#[derive(Debug)]
pub(super) struct Steps {
    taken: u64,
    most: u64,
}

impl Steps {
    /// As many as all paths of a walk may cost beyond the usual.
    pub(super) fn of_one_walk() -> Self {
        Self {
            taken: 0,
            most: STEPS_BEYOND,
        }
    }
}

impl Meter for Steps {
    fn steps(&mut self, count: usize) {
        self.taken = self.taken.saturating_add(count as u64);
    }

    fn is_spent(&self) -> bool {
        self.taken > self.most
    }
}
