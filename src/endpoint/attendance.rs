//! [`Attendance`]: whether the client of a session is still there. Work for one that is gone is given up, but for a change
//! of the tree that has begun.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::PeerError;

/// So long a session may take to notice by itself, and to put away what it has.
const GRACE: Duration = Duration::from_millis(500);
/// A session is looked at this often.
const STEP: Duration = Duration::from_millis(100);

/// Shared by a session and by who waits for it.
#[derive(Debug)]
pub(super) struct Attendance {
    /// Set when nothing more comes from the client.
    ended: Arc<AtomicBool>,
    /// Set when all that came is taken as well: then nobody waits for an answer. One that is content says so with its last
    /// message, which is still to be taken.
    gone: Arc<AtomicBool>,
    /// Held while the tree is changed; whether nobody waits for the session any more.
    given_up: Mutex<bool>,
}

impl Attendance {
    /// Of a client from which nothing more comes once `ended` is set.
    pub(super) fn new(ended: Arc<AtomicBool>) -> Arc<Self> {
        let (gone, given_up) = (Arc::default(), Mutex::new(false));
        Arc::new(Self {
            ended,
            gone,
            given_up,
        })
    }

    /// Set when the client is gone.
    pub(super) fn gone(&self) -> &Arc<AtomicBool> {
        &self.gone
    }

    /// Whether the client is there.
    ///
    /// # Errors
    /// [`PeerError::Closed`] if it is gone.
    pub(super) fn check(&self) -> Result<(), PeerError> {
        match self.gone.load(Ordering::Relaxed) {
            true => Err(PeerError::Closed),
            false => Ok(()),
        }
    }

    /// Begins a change of the tree: until the guard is dropped the session is waited for.
    ///
    /// # Errors
    /// [`PeerError::Closed`] if nobody waits for it any more.
    pub(super) fn begin_change(&self) -> Result<MutexGuard<'_, bool>, PeerError> {
        match self.given_up.lock() {
            Ok(given_up) if !*given_up => Ok(given_up),
            _ => Err(PeerError::Closed),
        }
    }

    /// Waits for the `end` of the session, or until its client is gone and it does not end; `is_idle` tells whether it has taken all
    /// that came. Gives its outcome, if it has one.
    pub(super) fn wait<T>(&self, end: &Receiver<T>, is_idle: impl Fn() -> bool) -> Option<T> {
        let mut since: Option<Instant> = None;
        loop {
            match end.recv_timeout(STEP) {
                Ok(outcome) => return Some(outcome),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.ended.load(Ordering::Relaxed) && is_idle() {
                self.gone.store(true, Ordering::Relaxed);
                let since = since.get_or_insert_with(Instant::now);
                if since.elapsed() >= GRACE && self.give_up() {
                    return None;
                }
            }
        }
    }

    /// Whether no change is under way; then none begins any more.
    fn give_up(&self) -> bool {
        match self.given_up.try_lock() {
            Ok(mut given_up) => {
                *given_up = true;
                true
            }
            // The session panicked.
            Err(TryLockError::Poisoned(_)) => true,
            Err(TryLockError::WouldBlock) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    fn gone() -> Arc<Attendance> {
        Attendance::new(Arc::new(AtomicBool::new(true)))
    }

    #[test]
    fn a_session_that_does_not_end_is_left_soon_and_changes_nothing_any_more() {
        let (_session, ended) = bounded::<()>(1);
        let attendance = gone();
        let start = Instant::now();
        assert_eq!(attendance.wait(&ended, || true), None);
        assert!(start.elapsed() >= GRACE);
        assert!(attendance.begin_change().is_err());
    }

    #[test]
    fn a_change_that_has_begun_is_waited_for() {
        let (session, ended) = bounded(1);
        let attendance = gone();
        let change = attendance.begin_change().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| attendance.wait(&ended, || true));
            std::thread::sleep(2 * GRACE);
            assert!(!waiting.is_finished());
            session.send("committed").unwrap();
            assert_eq!(waiting.join().unwrap(), Some("committed"));
        });
        drop(change);
    }

    #[test]
    fn a_session_that_has_something_to_take_is_waited_for() {
        let (session, ended) = bounded(1);
        let attendance = gone();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(2 * GRACE);
                session.send(7)
            });
            assert_eq!(attendance.wait(&ended, || false), Some(7));
        });
        assert!(attendance.check().is_ok());
    }

    #[test]
    fn a_session_whose_client_is_there_is_waited_for() {
        let (session, ended) = bounded(1);
        let attendance = Attendance::new(Arc::default());
        assert!(attendance.check().is_ok());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(2 * GRACE);
                session.send(7)
            });
            assert_eq!(attendance.wait(&ended, || true), Some(7));
        });
        drop(attendance.begin_change().unwrap());
    }
}
