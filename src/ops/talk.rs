//! [`Talk`]: what a verb says and asks while it runs. The terminal is one listener, a test another.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::plan::{Choice, Kept, Plan};

/// How far a run got; read by whoever shows it.
#[derive(Debug, Default)]
pub struct Meter {
    /// Entries found by the scan here.
    pub scanned: AtomicU64,
    /// Bytes of content to transfer.
    pub total_bytes: AtomicU64,
    /// Bytes of content transferred.
    pub done_bytes: AtomicU64,
}

/// A step of a run that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Connecting and scanning.
    Look,
    /// Content travels.
    Transfer,
    /// Files are put in place.
    Commit,
    /// Nothing more to wait for.
    Done,
}

/// What is about to happen, to be confirmed.
pub struct Preview<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The remote as the user knows it.
    pub remote: &'a str,
}

/// Listens to a verb and answers its questions.
pub trait Talk: Sync {
    /// A step begins; `meter` tells how far it gets.
    fn step(&self, step: Step, meter: &Arc<Meter>);
    /// Something that the user should know.
    fn warn(&self, line: &str);
    /// Whether the plan shall be carried out.
    fn confirm(&self, preview: &Preview<'_>) -> bool;
    /// Decides a conflict that a policy leaves to the user; `None` leaves it undecided.
    fn decide(&self, conflict: &Kept, remote: &str) -> Option<Choice>;
}
