//! Signatures that are made while content passes by and kept for the next push, which then needs none of the
//! hub's: its delta leaves with the plan.

use super::signatures::{Head, Partial};
use crate::delta::{Params, Signature, Signer};
use crate::model::Digest;
use crate::state::{KeptSignature, State};

/// Content of at least this many bytes has its signature kept: a smaller one's is soon sent.
pub const KEPT_BYTES: u64 = 1024 * 1024;

/// Makes the signature of a content that passes by.
pub(super) struct Keeper {
    params: Params,
    basis_bytes: u64,
    passed_bytes: u64,
    signer: Signer,
    blocks: Vec<u8>,
}

impl Keeper {
    /// For a content of `basis_bytes`; `None` if that is not worth it.
    pub(super) fn of(basis_bytes: u64) -> Option<Self> {
        let mut key = [0; 32];
        if basis_bytes < KEPT_BYTES || getrandom::fill(&mut key).is_err() {
            return None;
        }
        let params = Params::for_kept(basis_bytes, key);
        params.check(basis_bytes).ok()?;
        Some(Self {
            params,
            basis_bytes,
            passed_bytes: 0,
            signer: Signer::new(&params),
            blocks: Vec::new(),
        })
    }

    /// Takes the next bytes of the content.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.passed_bytes += bytes.len() as u64;
        self.signer.update(bytes, &mut self.blocks);
    }

    /// Keeps the signature of the content, which has this digest. Losing it costs a round trip, so a failure is
    /// none; neither is one of which not all passed.
    pub(super) fn keep(mut self, state: &State, digest: Digest) {
        if self.passed_bytes != self.basis_bytes {
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
            basis_bytes: self.basis_bytes,
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
