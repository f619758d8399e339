//! [`Stretch`]: how much of a long run of unknown bytes is searched at every offset.
//!
//! What is far from the last match is likely to be new altogether. From there on the search rolls through samples and
//! looks at the grid alone in between, where blocks that were not moved against it are still found. A moved run that is
//! longer than a gap meets a sample, and all that is lost is the part of it before: at most a quarter of the unknown bytes
//! that came before it. A shorter moved run can lie in a gap and be missed. So a file that is new rolls through a tenth of
//! itself, and one that has little of the basis in moved pieces may cost more bytes.

/// Unknown bytes that are searched completely, before the first gap.
const FULL_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a sample.
const SAMPLE_BYTES: u64 = 1024 * 1024;
/// The longest gap.
const MAX_GAP_BYTES: u64 = 15 * SAMPLE_BYTES;
/// A gap is so many times shorter than the stretch before it.
const SHORTER: u64 = 4;

/// A run of bytes without a match. All places are in the new file, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    start: u64,
    gap_end: u64,
    sample_end: u64,
}

impl Stretch {
    /// One that begins at `start`.
    pub(super) fn new(start: u64) -> Self {
        Self {
            start,
            gap_end: start,
            sample_end: start.saturating_add(FULL_BYTES),
        }
    }

    /// Whether `place` is in a gap.
    pub(super) fn is_in_gap(&self, place: u64) -> bool {
        place < self.gap_end
    }

    /// How many bytes are left of the sample that `place` is in.
    pub(super) fn left_of_sample(&self, place: u64) -> usize {
        usize::try_from(self.sample_end.saturating_sub(place)).unwrap_or(usize::MAX)
    }

    /// Begins a gap at `place`, and puts the next sample behind it.
    pub(super) fn skip_from(&mut self, place: u64) {
        let gap = (place.saturating_sub(self.start) / SHORTER).clamp(1, MAX_GAP_BYTES);
        self.gap_end = place.saturating_add(gap);
        self.sample_end = self.gap_end.saturating_add(SAMPLE_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_grow_with_the_stretch_and_are_a_quarter_of_it_and_15_mib_at_most() {
        let mut stretch = Stretch::new(5);
        let (mut place, mut sampled, end) = (5, 0, 1 << 30);
        while place < end {
            sampled += stretch.left_of_sample(place) as u64;
            place = stretch.sample_end;
            stretch.skip_from(place);
            assert!(stretch.gap_end - place <= ((place - 5) / 4).min(MAX_GAP_BYTES));
            assert!(stretch.is_in_gap(place) && !stretch.is_in_gap(stretch.gap_end));
            place = stretch.gap_end;
        }
        assert!(sampled > FULL_BYTES && sampled < end / 10, "{sampled}");
    }
}
