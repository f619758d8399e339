//! [`TreeHasher`]: the digest of a tree, entry by entry, for whoever does not hold all of it.

use super::entry::Node;
use super::hash::Digest;

/// So much is hashed at once: BLAKE3 takes many kilobytes side by side, and single records one after the other.
const HASHED_BYTES: usize = 64 * 1024;

/// Makes the digest of a tree out of its entries in their order.
#[derive(Debug)]
pub struct TreeHasher {
    hasher: blake3::Hasher,
    records: Vec<u8>,
    /// Whether mtimes and what is skipped count.
    all: bool,
}

impl TreeHasher {
    /// For [`Tree::digest`](super::Tree::digest).
    #[must_use]
    pub fn of_versions() -> Self {
        Self::new(false)
    }

    /// For [`Tree::view_digest`](super::Tree::view_digest).
    #[must_use]
    pub fn of_view() -> Self {
        Self::new(true)
    }

    fn new(all: bool) -> Self {
        Self {
            hasher: blake3::Hasher::new_derive_key("rsyn 2026 tree digest v1"),
            records: Vec::with_capacity(HASHED_BYTES + 4096),
            all,
        }
    }

    /// Adds the next entry.
    pub fn add(&mut self, path: &[u8], node: &Node) {
        let records = &mut self.records;
        match node {
            Node::File { digest, mode, .. } => {
                records.push(b'f');
                records.extend_from_slice(&mode.bits().to_le_bytes());
                records.extend_from_slice(&digest.0);
            }
            Node::Dir { mode } => {
                records.push(b'd');
                records.extend_from_slice(&mode.bits().to_le_bytes());
            }
            Node::Symlink { target, .. } => {
                records.push(b'l');
                records.extend_from_slice(&Digest::of(target).0);
            }
            Node::Skipped(why) if self.all => records.extend_from_slice(&[b's', *why as u8]),
            Node::Skipped(_) => return,
        }
        if let Some(mtime) = node.mtime().filter(|_| self.all) {
            records.extend_from_slice(&mtime.secs.to_le_bytes());
            records.extend_from_slice(&mtime.nanos.to_le_bytes());
        }
        records.extend_from_slice(path);
        records.push(0); // No path has a NUL: records cannot run into each other.
        if records.len() >= HASHED_BYTES {
            self.hasher.update(records);
            records.clear();
        }
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        self.hasher.update(&self.records);
        self.hasher.finalize().into()
    }
}
