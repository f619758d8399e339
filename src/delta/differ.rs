//! [`Differ`]: walks a new file once and says which of it the basis has.
//!
//! At each place the cheap guesses come first: the block after the last match follows (no rolling: matching data costs
//! one strong hash); any block stands here; this block was changed in place and the one after it was not. Only then
//! does the window roll. What the rolling search may spend on false hits is limited (see [`Differ::over_budget`]), and what
//! it may spend on bytes that are new altogether (see `stretch.rs`).

use super::output::Output;
use super::signature::{Found, Signature};
use super::stretch::Stretch;
use super::{DiffStats, MAX_LITERAL, Op};

/// Most bytes taken from the caller at once, so the most that waits beside the blocks in view.
const FEED: usize = 256 * 1024;
/// False hits that are free, in blocks: chance alone must not end the search in a short file.
const FREE_FALSE_HITS: u64 = 32;

/// Finds the operations that make a new file, which is fed in pieces of any length, from the basis of a signature.
///
/// The operations depend on the bytes, the signature and its key only, not on the pieces. Memory: two blocks,
/// [`MAX_LITERAL`] and 256 KiB.
pub struct Differ<'s> {
    signature: &'s Signature,
    /// The bytes in view; those before `output.done` are covered by operations.
    view: Vec<u8>,
    /// Place in the new file where the view begins.
    origin: u64,
    /// Place in the view where the search stands; all before it is decided.
    at: usize,
    /// The block after the last match: the one expected next.
    next: u32,
    /// Offset of the last match in the grid of blocks.
    phase: u64,
    /// What was searched since the last match.
    stretch: Stretch,
    state: State,
    output: Output,
    stats: DiffStats,
}

/// How the search goes on at `at`.
#[derive(Clone, Copy)]
enum State {
    /// After a match, or at the start: guess.
    Guess,
    /// The window at `at` has this hash and is no block: roll.
    Roll(u64),
    /// The window at `at` is no block, and the budget is spent or the stretch has a gap here: look at windows on the grid
    /// only.
    Grid,
}

/// Whether the search can go on with the bytes in view.
#[derive(PartialEq)]
enum Progress {
    On,
    Starved,
}

/// Bytes from `place` to the next one that is a multiple of the block length or a multiple beyond `phase`.
///
/// The first is where blocks stay in a file that is changed in place, the second where they are after an insertion.
fn to_next_on_grid(place: u64, phase: u64, block_bytes: u32) -> usize {
    let block = u64::from(block_bytes);
    let to = |target: u64| block - (place % block + block - target) % block;
    to(0).min(to(phase)) as usize
}

/// Most bytes in view: a literal that is not yet long enough to leave, two blocks of a guess, and new bytes.
fn view_limit(block_len: usize) -> usize {
    MAX_LITERAL + 2 * block_len + FEED
}

impl<'s> Differ<'s> {
    /// A search for the blocks of `signature`.
    #[must_use]
    pub fn new(signature: &'s Signature) -> Self {
        Self {
            signature,
            // All that it can need, for growth by doubling could hold twice as much.
            view: Vec::with_capacity(view_limit(signature.params().block_len())),
            origin: 0,
            at: 0,
            next: 0,
            phase: 0,
            stretch: Stretch::new(0),
            state: State::Guess,
            output: Output::default(),
            stats: DiffStats::default(),
        }
    }

    /// Takes the next bytes of the new file and passes the operations that are certain to `sink`.
    ///
    /// # Errors
    /// Those of `sink`, at the first of which the search stops; do not go on with it.
    pub fn update<E>(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for piece in bytes.chunks(FEED) {
            self.forget_done();
            self.view.extend_from_slice(piece);
            self.search(false, sink)?;
        }
        Ok(())
    }

    /// Ends the new file and passes the remaining operations to `sink`.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn finish<E>(
        mut self,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<DiffStats, E> {
        self.search(true, sink)?;
        self.end(sink)?;
        self.output.flush_copy(sink)?;
        Ok(DiffStats {
            copied_bytes: self.output.copied_bytes,
            literal_bytes: self.output.literal_bytes,
            ..self.stats
        })
    }

    fn search<E>(
        &mut self,
        ended: bool,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let progress = match self.state {
                State::Guess => self.guess(ended, sink)?,
                State::Roll(hash) => self.roll(hash, sink)?,
                State::Grid => self.look_on_grid(sink)?,
            };
            self.output.literals(&self.view, self.at, sink)?;
            if progress == Progress::Starved {
                return Ok(());
            }
        }
    }

    /// Tries the block expected here, then any block, then the one after the expected one a block further on.
    ///
    /// Waits for two blocks before the first guess, so that the pieces of the input cannot change the outcome and no
    /// hash is computed twice.
    fn guess<E>(
        &mut self,
        ended: bool,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<Progress, E> {
        let block_len = self.signature.params().block_len();
        if self.in_view() < if ended { 1 } else { 2 * block_len } {
            return Ok(Progress::Starved);
        }
        if self.is_at(self.next, self.at) {
            self.take(self.next, sink)?;
            return Ok(Progress::On);
        }
        if self.in_view() < block_len {
            return Ok(Progress::Starved);
        }
        let hash = self.signature.weak.of(self.window());
        if let Some(block) = self.find(hash) {
            self.take(block, sink)?;
        } else if self.goes_on_after_a_change() {
            self.at += block_len;
            self.take(self.next + 1, sink)?;
        } else {
            self.search_on(hash);
        }
        Ok(Progress::On)
    }

    /// Whether the block after the expected one stands a block further on, so that only the one here was changed.
    ///
    /// A block of which there are several, such as zeros, proves no place: there, rolling finds more.
    fn goes_on_after_a_change(&mut self) -> bool {
        let block = self.next.saturating_add(1);
        let place = self.at + self.signature.params().block_len();
        self.is_at(block, place) && self.signature.is_unique(block)
    }

    /// Rolls the window from `hash` on to the next that is a block, a false hit or the end of the view.
    fn roll<E>(
        &mut self,
        hash: u64,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<Progress, E> {
        let Signature { weak, filter, .. } = self.signature;
        let leaving = &self.view[self.at..];
        let entering = leaving
            .get(self.signature.params().block_len()..)
            .unwrap_or_default();
        let left = self.stretch.left_of_sample(self.place());
        let entering = entering.get(..left).unwrap_or(entering);
        let scan = weak.scan(filter, hash, leaving, entering);
        self.at += scan.steps;
        self.stats.rolled_bytes += scan.steps as u64;
        self.state = State::Roll(scan.hash);
        if !scan.hit {
            if scan.steps < left {
                return Ok(Progress::Starved);
            }
            self.stretch.skip_from(self.place());
            self.state = State::Grid;
            return Ok(Progress::On);
        }
        match self.find(scan.hash) {
            Some(block) => self.take(block, sink)?,
            None => self.search_on(scan.hash),
        }
        Ok(Progress::On)
    }

    /// Goes to the next place on the grid and looks at the window there.
    fn look_on_grid<E>(
        &mut self,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<Progress, E> {
        let step = to_next_on_grid(
            self.place(),
            self.phase,
            self.signature.params().block_bytes,
        );
        if self.in_view() < step + self.signature.params().block_len() {
            return Ok(Progress::Starved);
        }
        self.at += step;
        let hash = self.signature.weak.of(self.window());
        match self.find(hash) {
            Some(block) => self.take(block, sink)?,
            None => self.search_on(hash),
        }
        Ok(Progress::On)
    }

    /// Goes on from a window that is no block: rolls if the budget allows, and no gap of the stretch is here.
    fn search_on(&mut self, hash: u64) {
        self.state = if self.over_budget() || self.stretch.is_in_gap(self.place()) {
            State::Grid
        } else {
            State::Roll(hash)
        };
    }

    /// Whether false hits have cost more strong hashing than the new file is long so far.
    ///
    /// Then only the grid is searched, where there are two places per block, so the whole is linear; rolling resumes
    /// once the file has caught up. What can be lost is a block off the grid that overlaps a false hit.
    fn over_budget(&self) -> bool {
        let block = u64::from(self.signature.params().block_bytes);
        let spent = self.stats.false_hits.saturating_mul(block);
        self.signature.basis_bytes() < block || spent > self.place() + FREE_FALSE_HITS * block
    }

    /// The last, shorter block of the basis, if it ends the new file too; all else is literal.
    fn end<E>(&mut self, sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>) -> Result<(), E> {
        let len = self.signature.short_block_len();
        let last = self.signature.blocks().saturating_sub(1);
        if len > 0 && len <= self.in_view() && self.is_at(last, self.view.len() - len) {
            self.at = self.view.len() - len;
            self.take(last, sink)?;
        }
        self.at = self.view.len();
        self.output.all_literals(&self.view, self.at, sink)
    }

    /// Whether `block` stands at `place` of the view. Blocks that do not exist or would not end in view do not.
    fn is_at(&mut self, block: u32, place: usize) -> bool {
        let len = self.signature.len_of(block);
        let Some(bytes) = self
            .view
            .get(place..place + len)
            .filter(|bytes| !bytes.is_empty())
        else {
            return false;
        };
        self.stats.strong_hashes += 1;
        self.signature.is_block(block, bytes)
    }

    /// The block that equals the window at `at`, whose weak hash is `hash`.
    fn find(&mut self, hash: u64) -> Option<u32> {
        let found = self.signature.find(hash, self.window(), self.next);
        self.stats.strong_hashes += u64::from(!matches!(found, Found::Nothing));
        self.stats.false_hits += u64::from(matches!(found, Found::FalseHit));
        if let Found::Block(block) = found {
            Some(block)
        } else {
            None
        }
    }

    /// Takes `block` for the bytes at `at`: everything before is literal.
    fn take<E>(
        &mut self,
        block: u32,
        sink: &mut dyn FnMut(Op<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let len = self.signature.len_of(block);
        self.output.all_literals(&self.view, self.at, sink)?;
        self.output.copy(self.signature.offset(block), len, sink)?;
        self.at += len;
        self.next = block + 1;
        self.phase = self.place() % u64::from(self.signature.params().block_bytes);
        self.stretch = Stretch::new(self.place());
        self.state = State::Guess;
        Ok(())
    }

    fn window(&self) -> &[u8] {
        &self.view[self.at..][..self.signature.params().block_len()]
    }

    fn in_view(&self) -> usize {
        self.view.len() - self.at
    }

    /// Where the search stands in the new file.
    fn place(&self) -> u64 {
        self.origin + self.at as u64
    }

    #[cfg(test)]
    pub(super) fn view_capacity(&self) -> usize {
        self.view.capacity()
    }

    fn forget_done(&mut self) {
        let done = self.output.forget_done();
        self.view.drain(..done);
        self.at -= done;
        self.origin += done as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::to_next_on_grid;

    #[test]
    fn grid_has_the_multiples_of_a_block_and_those_shifted_by_the_phase() {
        let places = |phase| {
            let next = |place: &u64| Some(place + to_next_on_grid(*place, phase, 10) as u64);
            std::iter::successors(Some(0), next)
                .take(6)
                .collect::<Vec<_>>()
        };

        assert_eq!(places(0), [0, 10, 20, 30, 40, 50]);
        assert_eq!(places(3), [0, 3, 10, 13, 20, 23]);
        assert_eq!(to_next_on_grid(7, 3, 10), 3);
        assert_eq!(to_next_on_grid(1, 3, 10), 2);
    }
}
