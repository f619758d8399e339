//! Decides for each chunk whether compressing it is worth the time, and how much of it: none where the data does not shrink
//! or where the link takes plain bytes faster than this processor compresses them, more where the processor waits for the
//! link anyway.

use std::time::Duration;

use crate::protocol::codec::{CHUNK_INPUT_BYTES, Effort};

/// After chunks that did not shrink so many bytes go plain at most before the next try.
const MOST_PLAIN_BYTES: usize = 16 * 1024 * 1024;
/// A direction in which no chunk is as long as this makes no codec: that takes more memory and time than it saves.
const FIRST_BYTES: usize = 1024;
/// Smaller chunks say little about what follows.
const TELLING_BYTES: usize = 16 * 1024;
/// Bytes on the way that tell how fast a link is, where the writer stays near the peer's reader (`flow.rs`).
const WINDOW_BYTES: u64 = 4 * 1024 * 1024;
/// So many of plain ones: fewer are gone before a scheduler's whim has evened out.
const PLAIN_WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Plain bytes may take so many times longer: they leave the processors of both ends to others.
const PLAIN_MAY_TAKE: f64 = 1.2;
/// A window is not longer than this: a slow link shows itself soon.
const WINDOW_TIME: Duration = Duration::from_millis(100);
/// With each window those before it count so much less: half a second is remembered.
const MEMORY: f64 = 0.8;
/// Another effort has to promise that it takes at most this share of the time.
const WORTH_A_CHANGE: f64 = 0.95;
/// A processor that compresses for this share of the time does not wait for the link.
const BUSY_SHARE: f64 = 0.97;
/// Windows until a processor is known to be that busy: what is on its way covers one without waiting.
const WINDOWS_TO_TELL: u32 = 3;
/// A link that takes compressed bytes at this rate may be faster with plain ones.
const FAST_BYTES_PER_SECOND: f64 = 15e6;
/// A link that turned out to be slower is tried again after so many windows, and then after twice as many each time.
const PATIENCE: u32 = 8;
const MOST_PATIENCE: u32 = 256;

/// What chunks of one kind cost so far.
#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    input_bytes: u64,
    sent_bytes: u64,
    compressing: Duration,
    sending: Duration,
}

/// What an effort took lately.
#[derive(Debug, Default, Clone, Copy)]
struct Lately {
    windows: u32,
    compressing_secs: f64,
    all_secs: f64,
}

impl Lately {
    fn plus(&self, window: &Cost) -> Self {
        Self {
            windows: self.windows + 1,
            compressing_secs: self.compressing_secs * MEMORY + window.compressing.as_secs_f64(),
            all_secs: self.all_secs * MEMORY + window.time().as_secs_f64(),
        }
    }

    /// The share of the time that went into compressing.
    fn share(&self) -> f64 {
        self.compressing_secs / self.all_secs
    }
}

impl Cost {
    fn of(chunk: &Sent) -> Self {
        Self {
            input_bytes: chunk.input_bytes as u64,
            sent_bytes: chunk.sent_bytes as u64,
            compressing: chunk.compressing,
            sending: chunk.sending,
        }
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            input_bytes: self.input_bytes + other.input_bytes,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            compressing: self.compressing + other.compressing,
            sending: self.sending + other.sending,
        }
    }

    /// Bytes on the link per second.
    fn rate(&self) -> f64 {
        self.sent_bytes as f64 / self.time().as_secs_f64()
    }

    fn time(&self) -> Duration {
        self.compressing + self.sending
    }

    /// Seconds for a byte of content.
    fn per_byte(&self) -> f64 {
        self.time().as_secs_f64() / self.input_bytes.max(1) as f64
    }
}

/// A chunk that went, and how long that took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// Whether it was compressed.
    pub(super) compressed: bool,
    /// Its bytes before.
    pub(super) input_bytes: usize,
    /// Its bytes on the link.
    pub(super) sent_bytes: usize,
    /// Time for compressing it.
    pub(super) compressing: Duration,
    /// Time until the link had taken it.
    pub(super) sending: Duration,
}

/// See the page.
#[derive(Debug, Default)]
pub(super) struct Worth {
    /// Whether anything is compressed at all.
    compresses: bool,
    /// Whether anything was.
    has_begun: bool,
    effort: Effort,
    /// Bytes that go plain because those before them did not shrink.
    plain_left: usize,
    plain_next: usize,
    /// What the kind of chunks that is sent now costs.
    now: Cost,
    /// What the present effort took.
    lately: Lately,
    /// Seconds for a byte when it is compressed, while chunks go plain for being faster.
    plain_beats: Option<f64>,
    /// The plain chunks that go wait for compressed ones before them: they say nothing yet.
    is_settling: bool,
    /// Windows to wait before plain chunks are tried again.
    patience: u32,
    last_patience: u32,
}

impl Worth {
    /// Of a direction in which compression is allowed or not.
    pub(super) fn new(compresses: bool) -> Self {
        Self {
            compresses,
            ..Self::default()
        }
    }

    /// How hard the next chunk, of `len` bytes, is compressed; `None` if it goes plain.
    pub(super) fn next(&mut self, len: usize) -> Option<Effort> {
        self.has_begun |= len >= FIRST_BYTES;
        if !self.compresses || !self.has_begun || self.plain_beats.is_some() && len >= TELLING_BYTES
        {
            return None;
        }
        let plain = self.plain_left > 0 && len >= TELLING_BYTES;
        if plain {
            self.plain_left = self.plain_left.saturating_sub(len);
        }
        (!plain).then_some(self.effort)
    }

    /// Takes note of a chunk that went.
    pub(super) fn learn(&mut self, chunk: Sent) {
        if chunk.input_bytes < TELLING_BYTES {
            return;
        }
        if chunk.compressed {
            self.learn_of_shrinking(chunk.input_bytes, chunk.sent_bytes);
        }
        if chunk.compressed == self.plain_beats.is_some() {
            return;
        }
        self.now = self.now.plus(&Cost::of(&chunk));
        let full_bytes = match chunk.compressed || self.is_settling {
            true => WINDOW_BYTES,
            false => PLAIN_WINDOW_BYTES,
        };
        let is_full = self.now.sent_bytes >= full_bytes;
        if is_full || self.now.time() >= WINDOW_TIME {
            let window = std::mem::take(&mut self.now);
            self.judge(&window);
        }
    }

    fn learn_of_shrinking(&mut self, input: usize, output: usize) {
        // Less than 5 % gained.
        if output * 20 > input * 19 {
            self.plain_next = (self.plain_next * 2).clamp(CHUNK_INPUT_BYTES, MOST_PLAIN_BYTES);
            self.plain_left = self.plain_next;
        } else {
            self.plain_next = 0;
        }
    }

    fn judge(&mut self, window: &Cost) {
        match self.plain_beats {
            None if window.rate() < FAST_BYTES_PER_SECOND => self.adapt(window),
            None => match self.patience {
                0 => (self.plain_beats, self.is_settling) = (Some(window.per_byte()), true),
                _ => self.patience -= 1,
            },
            Some(_) if std::mem::take(&mut self.is_settling) => {}
            Some(compressed) if window.per_byte() <= compressed * PLAIN_MAY_TAKE => {}
            Some(_) => {
                self.plain_beats = None;
                self.last_patience = (self.last_patience * 2).clamp(PATIENCE, MOST_PATIENCE);
                self.patience = self.last_patience;
            }
        }
    }

    /// Takes the effort with which a byte of content takes the least time: as long as the processor compresses it, or as
    /// the link takes what is left of it, whichever is longer.
    fn adapt(&mut self, window: &Cost) {
        self.lately = self.lately.plus(window);
        let share = self.lately.share();
        let time = |effort: Effort| {
            let compressing = share * effort.cost() / self.effort.cost();
            compressing.max(effort.size() / self.effort.size())
        };
        let best = match share < BUSY_SHARE {
            true => {
                let by_time = |a: &Effort, b: &Effort| time(*a).total_cmp(&time(*b));
                let best = Effort::ALL.into_iter().min_by(by_time);
                best.filter(|best| time(*best) <= WORTH_A_CHANGE)
            }
            // How fast the link is does not show: a lesser effort will tell.
            false => {
                let lesser = Effort::ALL.into_iter().rev().find(|e| *e < self.effort);
                lesser.filter(|_| self.lately.windows >= WINDOWS_TO_TELL)
            }
        };
        if let Some(best) = best {
            (self.effort, self.lately) = (best, Lately::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link and a processor, in nanoseconds per byte, and a ratio of compression in percent.
    struct Link {
        link: u64,
        processor: u64,
        percent: usize,
    }

    /// In percent of that of the least effort.
    fn size(effort: Effort) -> usize {
        match effort {
            Effort::Quick => 100,
            Effort::Firm => 77,
            Effort::Thorough => 70,
        }
    }

    /// How `bytes` went: the share that went plain, and every change of effort.
    fn send(link: &Link, bytes: usize) -> (f64, Vec<Effort>) {
        let mut worth = Worth::new(true);
        let (mut plain, mut all, mut efforts) = (0, 0, vec![]);
        while all < bytes {
            let input_bytes = CHUNK_INPUT_BYTES;
            let effort = worth.next(input_bytes);
            let sent_bytes = match effort {
                // What does not shrink shrinks with no effort.
                Some(_) if link.percent == 100 => input_bytes,
                Some(effort) => input_bytes * link.percent * size(effort) / 10_000,
                None => input_bytes,
            };
            let seconds = |ns_per_byte: f64, bytes: usize| {
                Duration::from_secs_f64(ns_per_byte * bytes as f64 * 1e-9)
            };
            let busy = link.processor as f64 * effort.map_or(0.0, Effort::cost);
            let compressing = seconds(busy, input_bytes);
            worth.learn(Sent {
                compressed: effort.is_some(),
                input_bytes,
                sent_bytes,
                compressing,
                // What goes while the processor is busy is not waited for.
                sending: seconds(link.link as f64, sent_bytes).saturating_sub(compressing),
            });
            all += input_bytes;
            plain += if effort.is_some() { 0 } else { input_bytes };
            if let Some(effort) = effort.filter(|effort| efforts.last() != Some(effort)) {
                efforts.push(effort);
            }
        }
        (plain as f64 / all as f64, efforts)
    }

    const MANY: usize = 2_000_000_000;
    /// Nanoseconds for a byte at 50 Mbit/s.
    const SLOW: u64 = 160;

    #[test]
    fn a_fast_link_takes_plain_bytes_and_a_slow_one_compressed_ones() {
        let fast = Link {
            link: 2,
            processor: 4,
            percent: 30,
        };
        let (plain, efforts) = send(&fast, MANY);
        assert!(plain > 0.9);
        assert_eq!(efforts, [Effort::Quick]);
        let slow = Link { link: SLOW, ..fast };
        assert!(send(&slow, MANY).0 < 0.001);
    }

    #[test]
    fn a_processor_that_waits_for_the_link_compresses_harder_and_stays_at_it() {
        let efforts = |processor| {
            let link = Link {
                link: SLOW,
                processor,
                percent: 30,
            };
            send(&link, MANY).1
        };
        assert_eq!(efforts(3), [Effort::Quick, Effort::Thorough]);
        assert_eq!(efforts(10), [Effort::Quick, Effort::Firm]);
        assert_eq!(efforts(40), [Effort::Quick]);
    }

    #[test]
    fn a_link_that_got_faster_gets_less_effort() {
        let mut worth = Worth::new(true);
        let mut window = |compressing, sending| {
            worth.learn(Sent {
                compressed: true,
                input_bytes: 10 * 1024 * 1024,
                sent_bytes: 3 * 1024 * 1024,
                compressing: Duration::from_millis(compressing),
                sending: Duration::from_millis(sending),
            });
            worth.next(CHUNK_INPUT_BYTES)
        };
        assert_eq!(window(30, 470), Some(Effort::Thorough));
        for _ in 0..3 {
            // The link is a little slower than the processor: what was gained is kept.
            assert_eq!(window(450, 50), Some(Effort::Thorough));
        }
        assert_eq!(window(500, 0), Some(Effort::Thorough), "one window alone");
        let busy: Vec<_> = (0..30).map(|_| window(500, 0)).collect();
        assert!(busy.contains(&Some(Effort::Firm)));
        assert_eq!(busy.last(), Some(&Some(Effort::Quick)));
    }

    #[test]
    fn windows_without_waiting_between_others_change_nothing() {
        let mut worth = Worth::new(true);
        let mut efforts = vec![];
        for number in 0..100 {
            // What waits in one of two is what was on its way in the other.
            let sending = if number % 2 == 0 { 0 } else { 120 };
            worth.learn(Sent {
                compressed: true,
                input_bytes: 6 * 1024 * 1024,
                sent_bytes: 600 * 1024,
                compressing: Duration::from_millis(if number < 2 { 12 } else { 100 }),
                sending: Duration::from_millis(sending),
            });
            efforts.extend(worth.next(CHUNK_INPUT_BYTES));
        }
        efforts.dedup();
        assert_eq!(efforts, [Effort::Quick, Effort::Thorough]);
    }

    #[test]
    fn a_link_between_the_two_is_tried_and_given_up() {
        let link = Link {
            link: 6,
            processor: 4,
            percent: 10,
        };
        assert!(send(&link, MANY).0 < 0.05);
    }

    #[test]
    fn plain_bytes_are_not_judged_by_what_was_on_its_way_before_them() {
        let mut worth = Worth::new(true);
        let mut window = |compressed, mebibytes: usize, millis| {
            worth.learn(Sent {
                compressed,
                input_bytes: mebibytes << 20,
                sent_bytes: if compressed { 4 << 20 } else { mebibytes << 20 },
                compressing: Duration::ZERO,
                sending: Duration::from_millis(millis),
            });
            worth.next(CHUNK_INPUT_BYTES).is_some()
        };
        assert!(!window(true, 12, 100));
        assert!(!window(false, 2, 120), "these waited for the others");
        assert!(!window(false, 16, 80));
        assert!(window(false, 2, 120), "and these for nothing");
    }

    #[test]
    fn a_direction_of_small_chunks_alone_makes_no_codec() {
        let mut worth = Worth::new(true);
        assert_eq!(worth.next(FIRST_BYTES - 1), None);
        assert_eq!(worth.next(FIRST_BYTES), Some(Effort::Quick));
        assert_eq!(worth.next(10), Some(Effort::Quick), "it is there now");
    }

    #[test]
    fn what_does_not_shrink_goes_plain() {
        let link = Link {
            link: SLOW,
            processor: 4,
            percent: 100,
        };
        assert!(send(&link, MANY).0 > 0.9);
    }
}
