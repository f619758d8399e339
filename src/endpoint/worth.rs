//! Decides for each chunk whether compressing it is worth the time: not where the data does not shrink, and not where the
//! link takes plain bytes faster than this processor compresses them.

use std::time::Duration;

use crate::protocol::codec::CHUNK_INPUT_BYTES;

/// After chunks that did not shrink so many bytes go plain at most before the next try.
const MOST_PLAIN_BYTES: usize = 16 * 1024 * 1024;
/// Smaller chunks say little about what follows.
const TELLING_BYTES: usize = 16 * 1024;
/// Bytes on the way that tell how fast a link is: as many as pipes, ssh and sockets hold.
const WINDOW_BYTES: u64 = 4 * 1024 * 1024;
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

impl Cost {
    fn add(&mut self, chunk: &Sent) {
        self.input_bytes += chunk.input_bytes as u64;
        self.sent_bytes += chunk.sent_bytes as u64;
        self.compressing += chunk.compressing;
        self.sending += chunk.sending;
    }

    /// Bytes on the link per second.
    fn rate(&self) -> f64 {
        self.sent_bytes as f64 / (self.compressing + self.sending).as_secs_f64()
    }

    /// Seconds for a byte of content.
    fn per_byte(&self) -> f64 {
        (self.compressing + self.sending).as_secs_f64() / self.input_bytes.max(1) as f64
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
    /// Bytes that go plain because those before them did not shrink.
    plain_left: usize,
    plain_next: usize,
    has_filled_buffers: bool,
    /// What the kind of chunks that is sent now costs.
    now: Cost,
    /// Seconds for a byte when it is compressed, while chunks go plain for being faster.
    plain_beats: Option<f64>,
    /// Windows to wait before plain chunks are tried again.
    patience: u32,
    last_patience: u32,
}

impl Worth {
    /// Whether the next chunk, of `len` bytes, is compressed.
    pub(super) fn next(&mut self, len: usize) -> bool {
        if self.plain_beats.is_some() && len >= TELLING_BYTES {
            return false;
        }
        let plain = self.plain_left > 0 && len >= TELLING_BYTES;
        if plain {
            self.plain_left = self.plain_left.saturating_sub(len);
        }
        !plain
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
        self.now.add(&chunk);
        if self.now.sent_bytes >= WINDOW_BYTES {
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
        // The first window fills the buffers on the way, and says nothing of the link.
        let is_first = !std::mem::replace(&mut self.has_filled_buffers, true);
        match self.plain_beats {
            None if is_first || window.rate() < FAST_BYTES_PER_SECOND => {}
            None => match self.patience {
                0 => self.plain_beats = Some(window.per_byte()),
                _ => self.patience -= 1,
            },
            Some(compressed) if window.per_byte() <= compressed => {}
            Some(_) => {
                self.plain_beats = None;
                self.last_patience = (self.last_patience * 2).clamp(PATIENCE, MOST_PATIENCE);
                self.patience = self.last_patience;
            }
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

    /// The share of `bytes` that goes plain.
    fn plain_share(link: &Link, bytes: usize) -> f64 {
        let mut worth = Worth::default();
        let (mut plain, mut all) = (0, 0);
        while all < bytes {
            let input_bytes = CHUNK_INPUT_BYTES;
            let compressed = worth.next(input_bytes);
            let sent_bytes = match compressed {
                true => input_bytes * link.percent / 100,
                false => input_bytes,
            };
            let busy = if compressed { link.processor } else { 0 };
            worth.learn(Sent {
                compressed,
                input_bytes,
                sent_bytes,
                compressing: Duration::from_nanos(busy * input_bytes as u64),
                // What goes while the processor is busy is not waited for.
                sending: Duration::from_nanos(
                    (link.link * sent_bytes as u64).saturating_sub(busy * input_bytes as u64),
                ),
            });
            all += input_bytes;
            plain += if compressed { 0 } else { input_bytes };
        }
        plain as f64 / all as f64
    }

    const MANY: usize = 2_000_000_000;

    #[test]
    fn a_fast_link_takes_plain_bytes_and_a_slow_one_compressed_ones() {
        let fast = Link {
            link: 2,
            processor: 4,
            percent: 30,
        };
        assert!(plain_share(&fast, MANY) > 0.9);
        let slow = Link {
            link: 160,
            processor: 4,
            percent: 30,
        };
        assert!(plain_share(&slow, MANY) < 0.001);
    }

    #[test]
    fn a_link_between_the_two_is_tried_and_given_up() {
        let link = Link {
            link: 6,
            processor: 4,
            percent: 10,
        };
        assert!(plain_share(&link, MANY) < 0.05);
    }

    #[test]
    fn what_does_not_shrink_goes_plain() {
        let link = Link {
            link: 160,
            processor: 4,
            percent: 100,
        };
        assert!(plain_share(&link, MANY) > 0.9);
    }
}
