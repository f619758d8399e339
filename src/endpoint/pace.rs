//! Holds a rate: how long to wait before the next bytes may go.

use std::time::{Duration, Instant};

/// The smallest piece that is paced, in bytes: smaller ones would cost more in system calls than they smooth.
const LEAST_PIECE_BYTES: usize = 1024;
/// Pieces per second that a rate is held with.
const PIECES_PER_SECOND: u64 = 20;

/// A rate in bytes per second, held from the first byte on. Time that was not used is not saved up.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<u64>,
    free_at: Instant,
}

impl Pace {
    /// `None` is no limit.
    pub(super) fn new(bytes_per_second: Option<u64>, now: Instant) -> Self {
        Self {
            rate: bytes_per_second.filter(|r| *r > 0),
            free_at: now,
        }
    }

    /// The most bytes to send at once.
    pub(super) fn piece_bytes(&self) -> usize {
        match self.rate {
            None => usize::MAX,
            Some(rate) => usize::try_from(rate / PIECES_PER_SECOND)
                .unwrap_or(usize::MAX)
                .max(LEAST_PIECE_BYTES),
        }
    }

    /// How long to wait before `bytes` may go.
    pub(super) fn wait(&mut self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let start = self.free_at.max(now);
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / rate;
        self.free_at = start + Duration::from_nanos(nanos);
        start - now
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a starting point for made-up times"
)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_held_over_many_pieces() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(100_000), start);
        let mut now = start;
        for _ in 0..100 {
            now += pace.wait(pace.piece_bytes(), now);
        }
        let sent = 100 * pace.piece_bytes() as u64;
        let seconds = (now - start).as_secs_f64();
        let rate = sent as f64 / seconds;
        assert!(
            (95_000.0..105_500.0).contains(&rate),
            "{rate} bytes per second"
        );
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(1000), start);
        assert_eq!(pace.wait(1000, start), Duration::ZERO);
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.wait(1000, later), Duration::ZERO);
        assert_eq!(pace.wait(1000, later), Duration::from_secs(1));
    }
}
