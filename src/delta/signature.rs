//! [`Signature`]: the hashes of a basis as the other side received them, ready to be searched.

use super::filter::Filter;
use super::index::{Index, all_with_strong, with_strong};
use super::strong::{Strong, StrongHash};
use super::weak::{WEAK_BYTES, Weak, WeakHash};
use super::{DeltaError, Params};

/// A checked signature with its search index. Holds the encoded bytes, 8 to 12 bytes per block beside them and a
/// filter of at most 1 MiB.
pub struct Signature {
    pub(super) params: Params,
    pub(super) weak: WeakHash,
    pub(super) strong: StrongHash,
    pub(super) filter: Filter,
    records: Records,
    index: Index,
    basis_bytes: u64,
}

/// What became of a search.
pub(super) enum Found {
    /// This block has the same hashes.
    Block(u32),
    /// No block has the weak hash; nothing was spent.
    Nothing,
    /// A block has the weak hash but none the strong one, which was computed in vain.
    FalseHit,
}

impl Signature {
    /// Reads the signature of a basis of `basis_bytes`, as a [`Signer`](super::Signer) wrote it.
    ///
    /// Takes time and memory in proportion to `encoded`, whatever the parameters claim.
    ///
    /// # Errors
    /// Those of [`Params::check`], and [`DeltaError::SignatureLength`].
    pub fn parse(params: Params, basis_bytes: u64, encoded: Vec<u8>) -> Result<Self, DeltaError> {
        params.check(basis_bytes)?;
        let wanted = params.signature_bytes(basis_bytes);
        let available = encoded.len() as u64;
        if available != wanted {
            return Err(DeltaError::SignatureLength { wanted, available });
        }
        let records = Records {
            encoded,
            record_bytes: params.record_bytes(),
        };
        // The last, shorter block is not searched by its weak hash, which belongs to windows of full length.
        let full = u32::try_from(basis_bytes / u64::from(params.block_bytes)).unwrap_or(u32::MAX);
        Ok(Self {
            params,
            weak: WeakHash::new(&params.key, params.block_bytes),
            strong: StrongHash::new(&params.key, params.strong_bytes),
            filter: Filter::new((0..full as usize).map(|block| records.weak(block as u32))),
            index: Index::new(&records, full),
            records,
            basis_bytes,
        })
    }

    /// Length of the basis in bytes.
    #[must_use]
    pub fn basis_bytes(&self) -> u64 {
        self.basis_bytes
    }

    /// The parameters it was made with.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Blocks, the last, shorter one included.
    pub(super) fn blocks(&self) -> u32 {
        u32::try_from(self.params.blocks(self.basis_bytes)).unwrap_or(u32::MAX)
    }

    /// Length of the last block if it is shorter than the others, else 0.
    pub(super) fn short_block_len(&self) -> usize {
        (self.basis_bytes % u64::from(self.params.block_bytes)) as usize
    }

    /// Where a block starts in the basis.
    pub(super) fn offset(&self, block: u32) -> u64 {
        u64::from(block) * u64::from(self.params.block_bytes)
    }

    /// Length of a block in bytes; 0 beyond the last.
    pub(super) fn len_of(&self, block: u32) -> usize {
        let rest = self.basis_bytes.saturating_sub(self.offset(block));
        rest.min(u64::from(self.params.block_bytes)) as usize
    }

    /// Whether the strong hash of `bytes` is that of `block`, which must exist.
    pub(super) fn is_block(&self, block: u32, bytes: &[u8]) -> bool {
        self.strong.of(bytes) == self.records.strong(block)
    }

    /// Whether no other block of full length has the hashes of `block`, which must exist.
    pub(super) fn is_unique(&self, block: u32) -> bool {
        let candidates = self
            .index
            .with_weak(&self.records, self.records.weak(block));
        let strong = self.records.strong(block);
        // The short last block is not in the index, and equal to none of another length.
        all_with_strong(&self.records, candidates, strong).len() < 2
    }

    /// Searches the block that equals `window`, whose weak hash is `hash`; of several the first from `near` on.
    pub(super) fn find(&self, hash: u64, window: &[u8], near: u32) -> Found {
        if !self.filter.may_hold(hash) {
            return Found::Nothing;
        }
        let candidates = self.index.with_weak(&self.records, Weak(hash).kept());
        if candidates.is_empty() {
            return Found::Nothing;
        }
        with_strong(&self.records, candidates, self.strong.of(window), near)
            .map_or(Found::FalseHit, Found::Block)
    }
}

/// The hashes of all blocks: for each the weak hash, then the strong one, both little-endian. [signature-data]
pub(super) struct Records {
    encoded: Vec<u8>,
    record_bytes: usize,
}

impl Records {
    pub(super) const WEAK_BITS: u32 = 8 * WEAK_BYTES as u32;

    pub(super) fn write(out: &mut Vec<u8>, weak: Weak, strong: Strong, strong_bytes: u8) {
        out.extend_from_slice(&weak.kept().to_le_bytes()[..WEAK_BYTES]);
        out.extend_from_slice(&strong.to_le_bytes()[..usize::from(strong_bytes)]);
    }

    pub(super) fn weak(&self, block: u32) -> u64 {
        let mut bytes = [0; 8];
        bytes[..WEAK_BYTES].copy_from_slice(&self.record(block)[..WEAK_BYTES]);
        u64::from_le_bytes(bytes)
    }

    pub(super) fn strong(&self, block: u32) -> Strong {
        let strong = &self.record(block)[WEAK_BYTES..];
        let mut bytes = [0; 16];
        bytes[..strong.len()].copy_from_slice(strong);
        u128::from_le_bytes(bytes)
    }

    fn record(&self, block: u32) -> &[u8] {
        &self.encoded[block as usize * self.record_bytes..][..self.record_bytes]
    }
}
