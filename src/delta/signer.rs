//! [`Signer`]: writes the signature of a basis while it is read.

use super::Params;
use super::signature::Records;
use super::strong::StrongHash;
use super::weak::{Weak, WeakHash};

/// Makes the signature of a basis, which is fed in pieces of any length. Holds at most one block.
pub struct Signer {
    params: Params,
    weak: WeakHash,
    strong: StrongHash,
    /// The block in progress; always shorter than a block between calls.
    partial: Vec<u8>,
}

impl Signer {
    /// A signer of blocks of `params.block_bytes` (0 is taken for 1; [`Params::check`] refuses it).
    #[must_use]
    pub fn new(params: &Params) -> Self {
        let params = Params {
            block_bytes: params.block_bytes.max(1),
            ..*params
        };
        Self {
            params,
            weak: WeakHash::new(&params.key, params.block_bytes),
            strong: StrongHash::new(&params.key, params.strong_bytes),
            partial: Vec::new(),
        }
    }

    /// Takes the next bytes of the basis and appends the records of the blocks that are complete to `out`.
    pub fn update(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        if !self.partial.is_empty() {
            rest = self.fill_partial(rest, out);
        }
        let blocks = rest.chunks_exact(self.params.block_len());
        self.partial.extend_from_slice(blocks.remainder());
        for block in blocks {
            self.sign(block, out);
        }
    }

    /// Ends the basis: appends the record of its last, shorter block, if there is one.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.sign(&self.partial, out);
        }
    }

    /// Completes the block in progress if `bytes` suffice; returns what is left of them.
    fn fill_partial<'b>(&mut self, bytes: &'b [u8], out: &mut Vec<u8>) -> &'b [u8] {
        let missing = self.params.block_len() - self.partial.len();
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.partial.extend_from_slice(head);
        if self.partial.len() == self.params.block_len() {
            self.sign(&self.partial, out);
            self.partial.clear();
        }
        rest
    }

    fn sign(&self, block: &[u8], out: &mut Vec<u8>) {
        let (weak, strong) = (Weak(self.weak.of(block)), self.strong.of(block));
        Records::write(out, weak, strong, self.params.strong_bytes);
    }
}
