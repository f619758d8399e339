//! Counts of what happened in simulated worlds.

use super::law::Counts;

/// What happened, to see that the generator is no idler.
#[derive(Debug, Default)]
pub(super) struct Figures(Counts);

impl Figures {
    pub(super) fn count(&mut self, what: &'static str, many: usize) {
        *self.0.entry(what).or_default() += many;
    }

    pub(super) fn has(&self, what: &str) -> bool {
        self.0.get(what).is_some_and(|many| *many > 0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, many) in &other.0 {
            self.count(what, *many);
        }
    }

    pub(super) fn is_lively(&self) -> bool {
        let needed = [
            "runs",
            "edits",
            "changes",
            "deletions",
            "conflicts",
            "kills here",
            "kills on the hub",
            "refusals",
            "cuts",
            "recoveries",
            "upheavals",
            "guarded",
            "rollbacks",
            "restores",
            "verified",
            "meddled",
        ];
        needed.iter().all(|what| self.has(what))
    }
}
