//! How far the peer's reader is behind this end's writer. Pipes, ssh and sockets swallow megabytes at once: a writer that runs
//! ahead of them learns nothing of the link, and has compressed in haste what then waits. So each end tells how many bytes
//! it has read, and a writer stays near.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

/// A writer may be so many bytes ahead at first, and by a share of what has arrived more later: what a long link holds.
const LEAD_BYTES: u64 = 512 * 1024;
const LEAD_SHARE: u64 = 4;
/// Never more than this: twice the window that ssh has for a channel.
const MOST_LEAD_BYTES: u64 = 4 * 1024 * 1024;
/// A peer that has read so many bytes at this rate in between is on a fast link: nothing is gained by staying near.
const TELLING_BYTES: u64 = 256 * 1024;
const FAST_BYTES_PER_SECOND: f64 = 20e6;
/// A reader tells of so many bytes more than last time, and of a share of all of them, but of a part of the lead in any case.
const NEWS_BYTES: u64 = 64 * 1024;
const NEWS_SHARE: u64 = 16;
const MOST_NEWS_BYTES: u64 = 1024 * 1024;
/// A peer that says nothing for this long may have a slow disk, or wait for this end: then bytes go all the same.
const PATIENCE: Duration = Duration::from_millis(250);

/// What the reader and the writer of one end tell each other.
#[derive(Debug)]
pub(super) struct Flow {
    /// Whether the peer tells what it has read, and wants to be told.
    agreed: AtomicBool,
    /// Bytes of chunks that were read here, and those of them that the peer was told of.
    read: AtomicU64,
    told: AtomicU64,
    /// Bytes of chunks that the peer has read.
    arrived: AtomicU64,
    /// When it said so, and what it had read then: where a rate is measured from.
    since: Mutex<Option<(Instant, u64)>>,
    is_fast: AtomicBool,
    /// The reader here waits for its own side, and does not hear the peer meanwhile.
    deaf: AtomicBool,
    news: (Sender<()>, Receiver<()>),
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            agreed: AtomicBool::new(false),
            read: AtomicU64::new(0),
            told: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            since: Mutex::new(None),
            is_fast: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            news: bounded(1),
        }
    }
}

impl Flow {
    /// From here on both ends tell what they have read.
    pub(super) fn agree(&self) {
        self.agreed.store(true, Ordering::Relaxed);
    }

    /// The reader has read a chunk of `bytes`.
    pub(super) fn read(&self, bytes: u64) {
        let all = self.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.agreed.load(Ordering::Relaxed) && self.is_due(all) {
            self.tell();
        }
    }

    /// The peer says that it has read `bytes` in all.
    pub(super) fn arrived(&self, bytes: u64) {
        self.arrived.fetch_max(bytes, Ordering::Relaxed);
        self.measure(bytes, Instant::now());
        self.tell();
    }

    fn measure(&self, bytes: u64, now: Instant) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, before) = *since.get_or_insert((now, bytes));
        let more = bytes.saturating_sub(before);
        if more >= TELLING_BYTES {
            let is_fast = more as f64 >= FAST_BYTES_PER_SECOND * (now - start).as_secs_f64();
            self.is_fast.store(is_fast, Ordering::Relaxed);
            *since = Some((now, bytes));
        }
    }

    /// The reader will wait for its own side, or goes on.
    pub(super) fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::Relaxed);
        if deaf {
            self.tell();
        }
    }

    /// What wakes the writer.
    pub(super) fn news(&self) -> &Receiver<()> {
        &self.news.1
    }

    /// How many bytes were read here, if the peer is to be told by now.
    pub(super) fn due(&self) -> Option<u64> {
        let all = self.read.load(Ordering::Relaxed);
        let is_due = self.agreed.load(Ordering::Relaxed) && self.is_due(all);
        is_due.then(|| {
            self.told.store(all, Ordering::Relaxed);
            all
        })
    }

    /// Waits until the peer has read most of the `sent` bytes. Gives how many were read here if the peer is to be told
    /// meanwhile: it may wait for that.
    pub(super) fn wait_for_room(&self, sent: u64) -> Option<u64> {
        let start = Instant::now();
        while self.agreed.load(Ordering::Relaxed)
            && !self.deaf.load(Ordering::Relaxed)
            && self.is_far_ahead(sent)
        {
            let due = self.due();
            let left = PATIENCE.saturating_sub(start.elapsed());
            if due.is_some() || self.news.1.recv_timeout(left).is_err() {
                return due;
            }
        }
        None
    }

    fn is_far_ahead(&self, sent: u64) -> bool {
        let arrived = self.arrived.load(Ordering::Relaxed);
        let lead = match self.is_fast.load(Ordering::Relaxed) {
            true => MOST_LEAD_BYTES,
            false => MOST_LEAD_BYTES.min(LEAD_BYTES + arrived / LEAD_SHARE),
        };
        sent.saturating_sub(arrived) > lead
    }

    fn is_due(&self, all: u64) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        let step = NEWS_BYTES + told / NEWS_SHARE;
        all - told >= step.min(MOST_NEWS_BYTES)
    }

    fn tell(&self) {
        // What was told before is enough if nobody has listened yet.
        let _known = self.news.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK_BYTES: u64 = 50_000;

    fn agreed() -> Flow {
        let flow = Flow::default();
        flow.agree();
        flow
    }

    #[test]
    fn a_peer_is_told_often_at_first_and_seldom_later() {
        let flow = agreed();
        let mut told = vec![];
        for _ in 0..1_000_000_000 / CHUNK_BYTES {
            flow.read(CHUNK_BYTES);
            told.extend(flow.due());
        }
        assert!(told[0] <= NEWS_BYTES + CHUNK_BYTES);
        assert!(told.len() < 1100, "{}", told.len());
        let steps = told.windows(2).map(|two| two[1] - two[0]);
        assert!(steps.max().unwrap() <= MOST_NEWS_BYTES + CHUNK_BYTES);
    }

    #[test]
    fn a_writer_that_is_far_ahead_waits_for_the_peer_or_until_it_has_to_tell_something() {
        let flow = agreed();
        assert_eq!(flow.wait_for_room(LEAD_BYTES), None);
        // On a busy machine any one wait may take longer than its patience.
        let is_woken = (1..6).any(|arrived| {
            std::thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    let start = Instant::now();
                    assert_eq!(flow.wait_for_room(LEAD_BYTES + arrived), None);
                    start.elapsed()
                });
                std::thread::sleep(Duration::from_millis(20));
                flow.arrived(arrived);
                (Duration::from_millis(10)..PATIENCE).contains(&writer.join().unwrap())
            })
        });
        assert!(is_woken);
        flow.read(NEWS_BYTES);
        assert_eq!(flow.wait_for_room(2 * LEAD_BYTES), Some(NEWS_BYTES));
    }

    #[test]
    fn nobody_is_waited_for_who_does_not_tell_or_cannot_be_heard_or_is_silent() {
        let start = Instant::now();
        assert_eq!(Flow::default().wait_for_room(u64::MAX), None, "not agreed");
        let deaf = agreed();
        deaf.set_deaf(true);
        assert_eq!(deaf.wait_for_room(u64::MAX), None);
        assert!(start.elapsed() < PATIENCE);
        assert_eq!(agreed().wait_for_room(u64::MAX), None, "patience ends");
        assert!(start.elapsed() >= PATIENCE);
    }

    #[test]
    fn a_fast_link_is_not_stayed_near_to() {
        let lead = |nanos_per_byte: u64| {
            let flow = agreed();
            let start = Instant::now();
            for bytes in (0..=TELLING_BYTES).step_by(64 * 1024) {
                flow.measure(bytes, start + Duration::from_nanos(bytes * nanos_per_byte));
            }
            (1..).find(|mib| flow.is_far_ahead(mib << 20)).unwrap()
        };
        assert_eq!((lead(160), lead(10)), (1, 5), "50 and 800 Mbit/s");
    }

    #[test]
    fn a_peer_may_say_anything() {
        let flow = agreed();
        flow.arrived(u64::MAX);
        flow.arrived(3);
        assert_eq!(flow.wait_for_room(10), None);
    }
}
