//! Signatures that are made while content passes by and kept for the next sync, which then needs none from the other side:
//! a push's delta leaves with the plan, and a hub answers a pull at once.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::signatures::{Head, Partial};
use crate::delta::{Params, Signature, Signer};
use crate::model::{Digest, Node};
use crate::state::{KeptSignature, State};

/// Content of at least this many bytes has its signature kept: a smaller one's is soon sent.
pub const KEPT_BYTES: u64 = 1024 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;

/// Makes the signature of a content that passes by. Where blocks of an earlier content come again at a multiple of their
/// length, their hashes are taken over from its signature.
pub(super) struct Keeper {
    params: Params,
    size: u64,
    passed_bytes: u64,
    signer: Signer,
    blocks: Vec<u8>,
    /// Of the content that copies are made from.
    earlier: Option<KeptSignature>,
}

impl Keeper {
    /// For the content of `new`, made of that of `basis` if there is one; `None` if it is not worth it.
    pub(super) fn of(new: &Node, basis: Option<Digest>, state: &State) -> Option<Self> {
        let size = Some(new.size()).filter(|size| *size >= KEPT_BYTES)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).ok()?;
        let fresh = Params::for_kept(size, key);
        let has_same_form = |kept: &KeptSignature| {
            (kept.block_bytes, kept.strong_bytes) == (fresh.block_bytes, fresh.strong_bytes)
        };
        let earlier = basis.and_then(|digest| KeptSignature::load(state, digest));
        let earlier = earlier.filter(has_same_form);
        let key = earlier.as_ref().map_or(key, |kept| kept.key);
        let params = Params { key, ..fresh };
        params.check(size).ok()?;
        Some(Self {
            params,
            size,
            passed_bytes: 0,
            signer: Signer::new(&params),
            blocks: Vec::new(),
            earlier,
        })
    }

    /// Takes the next bytes of the content.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.passed_bytes += bytes.len() as u64;
        self.signer.update(bytes, &mut self.blocks);
    }

    /// Takes note that the next `len` bytes of the content are those of the basis from `offset` on. They can be read in the
    /// new content, which is `new`. If they cannot, the signature stays incomplete, and is not kept.
    pub(super) fn copied_within(&mut self, offset: u64, len: u64, new: &File) {
        let end = self.passed_bytes.saturating_add(len);
        self.take_over(offset, len);
        let mut at = self.passed_bytes;
        let mut buffer = vec![0; BUFFER_BYTES];
        while at < end {
            let room = usize::try_from(end - at).unwrap_or(usize::MAX);
            let part = &mut buffer[..room.min(BUFFER_BYTES)];
            if new.read_exact_at(part, at).is_err() {
                return;
            }
            self.pass(part);
            at += part.len() as u64;
        }
    }

    /// Takes note that the next `len` bytes of the content are those of the basis from `offset` on, as far as the hashes of
    /// its blocks stand for them; returns how far. The rest has to pass.
    pub(super) fn take_over(&mut self, offset: u64, len: u64) -> u64 {
        let (block, record) = (
            u64::from(self.params.block_bytes),
            self.params.record_bytes(),
        );
        let is_aligned = self.passed_bytes.is_multiple_of(block) && offset.is_multiple_of(block);
        let Some(earlier) = self.earlier.as_ref().filter(|_| is_aligned) else {
            return 0;
        };
        let is_last = offset.checked_add(len) == Some(earlier.basis_bytes)
            && self.passed_bytes.checked_add(len) == Some(self.size);
        let taken = if is_last { len } else { len - len % block };
        let blocks = |bytes: u64| usize::try_from(bytes.div_ceil(block)).unwrap_or(usize::MAX);
        let first = blocks(offset).saturating_mul(record);
        let wanted = blocks(taken).saturating_mul(record);
        let Some(hashes) = earlier.blocks.get(first..first.saturating_add(wanted)) else {
            return 0;
        };
        self.blocks.extend_from_slice(hashes);
        self.passed_bytes += taken;
        taken
    }

    /// Keeps the signature of the content, which has this digest. Losing it costs a round trip, so a failure is
    /// none; neither is one of which not all passed.
    pub(super) fn keep(mut self, state: &State, digest: Digest) {
        if self.passed_bytes != self.size {
            return;
        }
        self.signer.finish(&mut self.blocks);
        let Params {
            block_bytes,
            strong_bytes,
            key,
        } = self.params;
        let kept = KeptSignature {
            digest,
            basis_bytes: self.size,
            block_bytes,
            strong_bytes,
            key,
            blocks: self.blocks,
        };
        drop(kept.save(state));
    }
}

/// The kept signature of the content with this digest, ready to be searched.
pub(super) fn recall(state: &State, digest: Digest) -> Option<Signature> {
    let kept = KeptSignature::load(state, digest)?;
    let head = Head {
        basis_bytes: kept.basis_bytes,
        block_bytes: kept.block_bytes,
        strong_bytes: kept.strong_bytes,
        key: kept.key,
    };
    let mut part = Partial::new(head).ok()?;
    part.push(&kept.blocks).ok()?;
    part.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use crate::model::{Mode, Mtime};

    fn file_with(content: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content, 0).unwrap();
        file
    }

    fn noise(bytes: usize, seed: u8) -> Vec<u8> {
        let mut content = vec![0; bytes];
        blake3::Hasher::new()
            .update(&[seed])
            .finalize_xof()
            .fill(&mut content);
        content
    }

    fn keeper(state: &State, content: &[u8], basis: Option<&[u8]>) -> Keeper {
        let node = Node::File {
            size: content.len() as u64,
            digest: Digest::of(content),
            mode: Mode::from(0o644),
            mtime: Mtime { secs: 0, nanos: 0 },
        };
        Keeper::of(&node, basis.map(Digest::of), state).unwrap()
    }

    /// The hashes that are kept of `content`, with the key of `like`.
    fn hashes(like: &KeptSignature, content: &[u8]) -> Vec<u8> {
        let fresh = Params::for_kept(content.len() as u64, like.key);
        let (mut signer, mut blocks) = (Signer::new(&fresh), Vec::new());
        signer.update(content, &mut blocks);
        signer.finish(&mut blocks);
        blocks
    }

    #[test]
    fn what_is_taken_over_is_what_would_have_been_made() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::create(&Root::open(temp.path()).unwrap()).unwrap();
        let block = Params::for_kept(KEPT_BYTES, [0; 32]).block_bytes as usize;
        let old = noise(512 * block + 77, 1);
        let mut made = keeper(&state, &old, None);
        made.pass(&old);
        made.keep(&state, Digest::of(&old));
        // One block changed in place; then some bytes that move all behind them.
        let literal = noise(block, 2);
        let place = 3 * block;
        let changed = [&old[..place], &literal, &old[place + block..]].concat();
        let moved = [&old[..place], &literal[..5], &old[place..]].concat();
        for (new, first, literal, second) in [
            (&changed, place, &literal[..], place + block),
            (&moved, place, &literal[..5], place),
        ] {
            let rest = (old.len() - second) as u64;
            for is_receiver in [true, false] {
                let mut keeper = keeper(&state, new, Some(&old));
                let copied = |keeper: &mut Keeper, offset: usize, len: u64| match is_receiver {
                    true => {
                        let [taken, len] = [keeper.take_over(offset as u64, len), len]
                            .map(|bytes| usize::try_from(bytes).unwrap());
                        keeper.pass(&old[offset..][taken..len]);
                    }
                    false => keeper.copied_within(offset as u64, len, &file_with(new)),
                };
                copied(&mut keeper, 0, first as u64);
                keeper.pass(literal);
                copied(&mut keeper, second, rest);
                keeper.keep(&state, Digest::of(new));
                let kept = KeptSignature::load(&state, Digest::of(new)).unwrap();
                assert_eq!(kept.blocks, hashes(&kept, new));
            }
        }
    }

    #[test]
    fn a_copy_that_cannot_be_read_leaves_nothing_to_keep() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::create(&Root::open(temp.path()).unwrap()).unwrap();
        let content = noise(2 * 1024 * 1024, 3);
        let mut keeper = keeper(&state, &content, None);
        keeper.copied_within(0, content.len() as u64, &file_with(&content[1..]));
        keeper.keep(&state, Digest::of(&content));
        assert_eq!(KeptSignature::load(&state, Digest::of(&content)), None);
    }
}
