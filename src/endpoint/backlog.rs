//! [`Backlog`]: what a session has queued and not written yet. A run that must stay interruptible
//! waits until it is empty before it sends the order to commit.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Batches between an outbox and the thread that writes them.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: u64,
    /// Whether nothing more is written.
    ended: bool,
}

impl Backlog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One batch more is to be written.
    pub(super) fn add(&self) {
        self.state().waiting += 1;
    }

    /// Takes off so many batches that were written or given up.
    pub(super) fn remove(&self, batches: u64) {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(batches);
        self.changed.notify_all();
    }

    /// The thread that writes has ended.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Waits at most `limit` until all is written, or nothing will be. Gives whether it is so.
    pub(super) fn is_over_within(&self, limit: Duration) -> bool {
        let goes_on = |state: &mut State| state.waiting > 0 && !state.ended;
        let waited = self
            .changed
            .wait_timeout_while(self.state(), limit, goes_on);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !goes_on(&mut state)
    }
}
