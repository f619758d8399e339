//! [`Talk`]: what a verb says and asks while it runs. The terminal is one listener, a test another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::endpoint::connection::Traffic;
use crate::endpoint::transfer::Counters;
use crate::plan::{Choice, Kept, Plan};

/// How far a run got; read by whoever shows it.
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes of content to transfer.
    pub total_bytes: AtomicU64,
    /// Bytes of content so far.
    pub counters: Counters,
    /// Bytes on the wire, once the hub is being reached.
    pub wire: OnceLock<Arc<Traffic>>,
}

impl Meter {
    /// Whether the hub has said anything. Until then ssh may ask on the terminal for a passphrase, say.
    #[must_use]
    pub fn is_hub_heard(&self) -> bool {
        let received = |wire: &Arc<Traffic>| wire.received.load(Ordering::Relaxed);
        self.wire.get().is_some_and(|wire| received(wire) > 0)
    }

    /// Bytes of content that are where they belong, sent, received or found there.
    #[must_use]
    pub fn done_bytes(&self) -> u64 {
        let Counters { received, supplied } = &self.counters;
        let parts = [
            &received.staged_bytes,
            &supplied.literal_bytes,
            &supplied.matched_bytes,
        ];
        parts.iter().map(|part| part.load(Ordering::Relaxed)).sum()
    }
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
#[derive(Clone, Copy)]
pub struct Preview<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The plan of the direction that follows, in a sync.
    pub then: Option<&'a Plan>,
    /// The remote as the user knows it.
    pub remote: &'a str,
    /// The sync that a rollback undoes, in words.
    pub undoes: Option<&'a str>,
    /// Paths of `plan` whose undone changes it takes from the hub.
    pub takes_back: usize,
}

impl<'a> Preview<'a> {
    /// Of one plan, and nothing else.
    #[must_use]
    pub fn of(plan: &'a Plan) -> Self {
        Self {
            plan,
            then: None,
            remote: "",
            undoes: None,
            takes_back: 0,
        }
    }
}

/// Listens to a verb and answers its questions.
pub trait Talk: Sync {
    /// A step begins; `meter` tells how far it gets.
    fn step(&self, step: Step, meter: &Arc<Meter>);
    /// Something that the user should know.
    fn warn(&self, line: &str);
    /// Answers a question with yes or no; `None` where nobody can be asked.
    fn agree(&self, question: &str) -> Option<bool>;
    /// Whether every path is to be named, however many there are.
    fn names_all(&self) -> bool;
    /// Whether there is somebody who can be asked.
    fn can_ask(&self) -> bool;
    /// Whether the plan shall be carried out; true where nobody can be asked.
    fn confirm(&self, preview: &Preview<'_>) -> bool;
    /// Decides a conflict that a policy leaves to the user; `None` leaves it undecided.
    fn decide(&self, conflict: &Kept, remote: &str) -> Option<Choice>;
}
