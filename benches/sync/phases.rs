//! How far a run of rsyn is, told from outside by what stands in the state directory of the side that receives.

use std::path::{Path, PathBuf};
use std::time::Instant;

/// Seconds of each part of a run, in its order. What a run does not reach counts to the part before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Phases {
    /// Until a process ran on the hub.
    pub connection: f64,
    /// Until the transaction's directory appeared: both scans, and what they agree on.
    pub comparison: f64,
    /// Until its journal was there: content travels, is verified, staged and synced.
    pub transfer: f64,
    /// Until its directory was gone: moved into place and decided; with a snapshot it becomes one.
    pub commit: f64,
    /// Base, index, goodbye.
    pub end: f64,
}

/// Watches the receiving tree.
pub struct Receiver {
    transactions: PathBuf,
    staged: Option<Instant>,
    prepared: Option<Instant>,
    decided: Option<Instant>,
}

impl Receiver {
    pub fn new(tree: &Path) -> Self {
        Self {
            transactions: tree.join(".rsyn/txn"),
            staged: None,
            prepared: None,
            decided: None,
        }
    }

    pub fn look(&mut self) {
        let now = Instant::now();
        let homes: Vec<PathBuf> = std::fs::read_dir(&self.transactions)
            .map(|list| list.filter_map(|e| Some(e.ok()?.path())).collect())
            .unwrap_or_default();
        if !homes.is_empty() {
            self.staged.get_or_insert(now);
        } else if self.staged.is_some() {
            self.decided.get_or_insert(now);
        }
        if homes.iter().any(|home| home.join("plan").exists()) {
            self.prepared.get_or_insert(now);
        }
    }

    /// The parts of a run from `start` to `end`, if the hub's process began at `hub`.
    pub fn phases(&self, start: Instant, hub: Option<Instant>, end: Instant) -> Phases {
        let connected = hub.unwrap_or(end);
        let staged = self.staged.unwrap_or(end).max(connected);
        let decided = self.decided.unwrap_or(end).max(staged);
        let prepared = self.prepared.unwrap_or(decided).clamp(staged, decided);
        let between = |from: Instant, to: Instant| (to - from).as_secs_f64();
        Phases {
            connection: between(start, connected),
            comparison: between(connected, staged),
            transfer: between(staged, prepared),
            commit: between(prepared, decided),
            end: between(decided, end),
        }
    }
}
